"""LLMs-as-Instructors: new tasks from the model's errors, alone or beside the nearest seeds that it answers rightly.

A row of `examples.jsonl`:
    {"id": "i1-g1-004-0", "instruction": "…", "input": "", "output": "… 42", "finish": "end", "num_tokens": 58,
     "parents": ["checkable-012"], "operator": "contrast", "round": 1, "skill": "number", "written_answer": "42",
     "neighbours": ["checkable-003", "checkable-031", "checkable-007"], "agreeing": 4, "votes": 5}
"""

from collections.abc import Sequence
from typing import ClassVar, Literal

from pydantic import Field

from isheep_lib.params.kinds import Positive
from isheep_lib.prompting.chat import user_words
from isheep_lib.record.funnel import require
from isheep_lib.record.journal import Journal
from isheep_lib.synthesize.feedback.from_mistakes import (
    DISAGREES,
    NO_ANSWER,
    NOT_CHECKABLE,
    SAME_TASK,
    FromMistakes,
    MistakesOptions,
)
from isheep_lib.synthesize.feedback.mistakes import Seen, shown
from isheep_lib.synthesize.feedback.neighbours import nearest
from isheep_lib.synthesize.method import Need
from isheep_lib.synthesize.writing import Writing


class InstructorsOptions(MistakesOptions):
    """What is shown of a mistake."""

    learning: Literal["error", "contrast"] = Field(
        "contrast", description="the mistake alone, or beside the nearest seeds that are answered rightly"
    )
    neighbours: Positive = Field(3, description="contrast: rightly answered seeds beside each mistake (3 in the paper)")


class LLMsAsInstructors(FromMistakes[InstructorsOptions]):
    """New tasks from the model's errors, and from what it does rightly nearby."""

    name = "llms_as_instructors"
    source = "LLMs-as-Instructors (arXiv 2407.00497); the model itself instructs; prompts in our words"
    Options = InstructorsOptions
    needs: ClassVar[tuple[Need, ...]] = ("seeds", "an aligned model")
    people = "the known answers of seeds, and rules that compare answers"
    prompts = ("llms_as_instructors-error.txt", "llms_as_instructors-contrast.txt")
    reasons: ClassVar[dict[str, str]] = {
        "no_answer": NO_ANSWER,
        "not_checkable": NOT_CHECKABLE,
        "same_task": SAME_TASK,
        "disagrees": DISAGREES,
    }

    def prompt_files(self, options: InstructorsOptions) -> tuple[str, ...]:
        """Name the prompts of the way of learning."""
        return (f"llms_as_instructors-{options.learning}.txt",)

    def operator_of(self, options: InstructorsOptions) -> str:
        """Name what rows call the way that they were written."""
        return options.learning

    def neighbours(self, writing: Writing[InstructorsOptions], journal: Journal, seen: Sequence[Seen]) -> dict[str, list[Seen]]:
        """Find by the model's own vectors the nearest seeds that are answered rightly.

        Raises:
            YieldError: the model answers no seed rightly.
        """
        if writing.options.learning == "error":
            return {}
        right, wrong = ([one for one in seen if one.right == side] for side in (True, False))
        do = "set synthesize.options.learning to error, which shows none, or give easier seeds"
        require(len(right), 1, f"of {len(seen)} seeds answered rightly, as contrast shows", [one.example for one in wrong], do)
        if any(f"{one.seed.id}/neighbours" not in journal.rows for one in wrong):
            vectors = dict(zip([one.seed.id for one in seen], writing.engine.embed(_texts(seen)), strict=True))
            others, limit = [vectors[one.seed.id] for one in right], writing.options.neighbours
            near = {one.seed.id: nearest(vectors[one.seed.id], others, limit) for one in wrong}
            rows = [{"id": f"{id_}/neighbours", "places": places} for id_, places in near.items()]
            journal.append([row for row in rows if row["id"] not in journal.rows])
        return {one.seed.id: [right[place] for place in journal.rows[f"{one.seed.id}/neighbours"]["places"]] for one in wrong}

    def prompt(self, writing: Writing[InstructorsOptions], wrong: Seen, right: Sequence[Seen]) -> str:
        """Ask for a task that teaches what a mistake lacks."""
        more = {"said": wrong.said, **shown(wrong)}
        if writing.options.learning == "contrast":
            more["right"] = "\n".join(f"- {' '.join(user_words(one.seed).split())} {one.seed.output}" for one in right)
        return writing.prompts.render(f"llms_as_instructors-{writing.options.learning}.txt", **more)

    def times(self, writing: Writing[InstructorsOptions], mistakes: int) -> int:
        """Return how often each mistake is written from: ceil(wanted / mistakes) + 1, as published."""
        return -(-writing.shared.instructions // mistakes) + 1


def _texts(seen: Sequence[Seen]) -> list[str]:
    return [user_words(one.seed) for one in seen]
