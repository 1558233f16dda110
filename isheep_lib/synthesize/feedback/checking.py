r"""Answers that code can tell right from wrong: a number, or a few words.

    says(Task("", "Add 3 and 4.", output="7"), "3 + 4 = 7")                     # True
    says(Task("", "Where does the Nile end?", output="Egypt"), "In Egypt.")     # True

Covers comparing. Does not cover programs, which only run (`evolving.unit_tests`), or asking (`feedback.mistakes`).
"""

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

from isheep_lib.analysis.words import grams
from isheep_lib.errors import DataError
from isheep_lib.languages.words import words
from isheep_lib.prompting.chat import user_words
from isheep_lib.prompting.thinking import answer_part
from isheep_lib.record.rows import Task
from isheep_lib.synthesize.evolving.votes import final_number
from isheep_lib.synthesize.extras.needs import require_kinds
from isheep_lib.synthesize.shared_params import Shared

CHECKED_WORDS = 12  # an answer with more is a text, of which there are many right ones
SHOWN = 20  # seeds that an error names


def number_of(answer: str) -> Fraction | None:
    """Return the number that an answer is and nothing else, None where it is more or less than a number."""
    return final_number(answer) if len(answer.split()) == 1 and ":" not in answer else None


def is_checkable(answer: str) -> bool:
    """Tell whether code can tell an answer right: it is a number, or one line of a few words."""
    short = "\n" not in answer.strip() and 0 < len(words(answer)) <= CHECKED_WORDS
    return number_of(answer) is not None or short


def says(task: Task, said: str) -> bool:
    """Tell whether an answer gives the output of its task.

    A number must be the one that the answer ends in. Words must stand in the answer in their order; where they stand in the
    task already, so that repeating it would pass, the answer must be these words and nothing else.
    """
    known = number_of(task.output)
    if known is not None:
        return final_number(said) == known
    wanted, found = words(task.output), words(answer_part(said))
    if not wanted or _stand_in(wanted, words(user_words(task))):
        return bool(wanted) and found == wanted
    return _stand_in(wanted, found)


def _stand_in(wanted: Sequence[str], found: Sequence[str]) -> bool:
    return tuple(wanted) in grams(found, len(wanted))


def require_checkable(shared: Shared, kinds: Sequence[str]) -> None:
    """Refuse seeds of these kinds whose outputs code cannot check.

    Raises:
        DataError: there is no seed of these kinds, or some have no output, or one that is neither a number nor a few words.
    """
    bad = [seed for seed in require_kinds(shared, kinds) if not is_checkable(seed.output)]
    if bad:
        listed = "\n  ".join(f"{seed.id}: {_said(seed.output)}" for seed in bad[:SHOWN])
        more = f"\n  and {len(bad) - SHOWN} more" if len(bad) > SHOWN else ""
        raise DataError(
            f"The answers to {len(bad)} seed task(s) cannot be checked:\n  {listed}{more}",
            where=shared.seeds,
            allowed=f"an output that is a number, or one line of at most {CHECKED_WORDS} words",
            do="give such outputs (output=answer in synthesize.seed_fields reads them from the field answer), as "
            "seeds/checkable.jsonl has them, or name kinds that have them in synthesize.options.kinds",
        )


def _said(output: str) -> str:
    return repr(output[:60]) if output else "it has no output"


def agreeing(task: Task, rows: Sequence[Mapping[str, Any]]) -> list[int]:
    """Return the places of those answers that give the output of a task; first those that ended by themselves."""
    right = [place for place, row in enumerate(rows) if says(task, row["output"])]
    return sorted(right, key=lambda place: rows[place]["finish"] == "length")
