"""WizardMath: problems made harder and easier round after round, and answered by what most of n answers say.

A row of `examples.jsonl`:
    {"id": "i1-g2-004", "instruction": "…", "input": "", "output": "…", "finish": "end", "num_tokens": 120,
     "parents": ["i1-g1-004"], "operator": "simplify", "direction": "down", "generation": 2,
     "voted": "42", "votes": {"42": 5, "40": 1}, "unread": 2}
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, Field

from isheep_lib.display.table import Table
from isheep_lib.errors import DataError
from isheep_lib.params.kinds import Positive, distinct
from isheep_lib.record.journal import Journal
from isheep_lib.record.rows import Task
from isheep_lib.synthesize.candidates import Candidates, Intake
from isheep_lib.synthesize.evolving import eliminator
from isheep_lib.synthesize.evolving.rounds import Answered, Draft, DrawnOptions, Evolving, Problem, filled
from isheep_lib.synthesize.evolving.voted_answers import answer_by_vote, check_vote, checkable
from isheep_lib.synthesize.evolving.votes import Vote
from isheep_lib.synthesize.extras.needs import require_kinds
from isheep_lib.synthesize.extras.own import WithFiles, rows_of
from isheep_lib.synthesize.method import Need
from isheep_lib.synthesize.respond import ANSWER
from isheep_lib.synthesize.shared_params import Shared
from isheep_lib.synthesize.writing import Writing

Operator = Literal["add_constraint", "concretise", "add_reasoning", "simplify", "easier_elsewhere"]
UPWARD: tuple[Operator, ...] = ("add_constraint", "concretise", "add_reasoning")
DOWNWARD: tuple[Operator, ...] = ("simplify", "easier_elsewhere")
OPERATORS = (*UPWARD, *DOWNWARD)


class MathOptions(DrawnOptions):
    """How often problems are rewritten and by what, and how many answers to each are held against one another."""

    rounds: Positive = Field(8, description="times that every problem is rewritten (8 in the paper)")
    operators: Annotated[list[Operator], Field(min_length=1), AfterValidator(distinct)] = Field(
        list(OPERATORS), description="what a rewriting may do, one drawn for each: upward the first three, downward the others"
    )
    kinds: list[str] = Field(["number", "maths"], description="kinds of seeds that are rewritten, none is all seeds")
    votes: Positive = Field(8, description="answers to each problem, n; the number that most of them give decides")
    min_votes: Positive = Field(2, description="answers that must give that number")
    checked_seeds: int = Field(
        16, description="seeds with a number as output that the same vote answers, to tell how it does", ge=0
    )


class WizardMath(Evolving[MathOptions]):
    """Problems rewritten harder and easier, and answered by what most of several answers say."""

    name = "wizard_math"
    source = "WizardMath (arXiv 2308.09583), its evolution; the model itself rewrites, answers and votes; prompts in our words"
    Options = MathOptions
    needs: ClassVar[tuple[Need, ...]] = ("seeds", "an aligned model")
    people = "rules that eliminate rewritings, and the reading of numbers"
    prompts = tuple(f"wizard_math-{name}.txt" for name in OPERATORS)
    one_answer = True
    reasons: ClassVar[dict[str, str]] = {
        "unchanged": eliminator.UNCHANGED,
        "leaked_marker": eliminator.LEAKED_MARKER,
        "malformed": "line breaks more than twice the spaces, more than ten list items, or an assistant speaking of itself",
        "no_number": "none of the answers gives a number",
        "tied": "several numbers are given by equally many answers, and by most",
        "too_few_votes": "fewer answers than `min_votes` give the most frequent number",
    }

    def conflicts(self, shared: Shared, options: MathOptions) -> list[str]:
        """Name values that contradict one another."""
        problems = super().conflicts(shared, options)
        if options.min_votes > options.votes:
            problems.append("min_votes: must be at most votes")
        if options.votes > 1 and not shared.response_temperature:
            problems.append(f"votes: at response_temperature 0 all {options.votes} answers are the same; raise it, or set 1")
        return problems

    def check_data(self, shared: Shared, options: MathOptions) -> dict[str, str]:
        """Refuse seeds without a problem, or, where some are to be checked, without an output that is a number."""
        found = require_kinds(shared, options.kinds)
        if options.checked_seeds and not checkable(found):
            raise DataError(
                f"None of the {len(found)} seeds that are problems has a number as its output, so no vote can be checked",
                where=shared.seeds,
                allowed="an output such as 42; output=answer in synthesize.seed_fields reads it from the field answer",
                do="give outputs, or set synthesize.options.checked_seeds to 0",
            )
        return {}

    def operators(self, options: MathOptions) -> Sequence[str]:
        """Name what may be drawn."""
        return options.operators

    def all_operators(self) -> Sequence[str]:
        """Name every operator."""
        return OPERATORS

    def lineage(self, operator: str) -> dict[str, Any]:
        """Say which way an operator goes."""
        return {"direction": "up" if operator in UPWARD else "down"}

    def kinds(self, options: MathOptions) -> Sequence[str]:
        """Name the kinds of seeds that may be rewritten."""
        return options.kinds

    def prompt(self, writing: Writing[MathOptions], task: Task, operator: str) -> str:
        """Ask for one rewriting, in words."""
        return filled(writing, f"wizard_math-{operator}.txt", task)

    def text_problem(self, draft: Draft, intake: Intake) -> Problem | None:
        """Return the first reason to eliminate a rewriting by its text alone."""
        return eliminator.rewriting_problem(draft, intake) or eliminator.form_problem(draft, intake)

    def answered(self, writing: Writing[MathOptions], journal: Journal, drafts: Mapping[str, Draft]) -> dict[str, Answered]:
        """Answer each rewriting n times, and keep the first whole answer that gives what most of them give."""
        found = answer_by_vote(writing, journal, writing.options.votes, [draft.row for draft in drafts.values()])
        return {i: _answered(writing, rows, result) for i, (rows, result) in found.items()}

    def write(self, writing: Writing[MathOptions]) -> Candidates:
        """Rewrite and vote round by round, and let the same vote answer seeds whose answers are known.

        Raises:
            YieldError: fewer than `min_instructions` were accepted, or an operator failed every time.
        """
        checked, tokens = check_vote(writing, self.seeds_of(writing), writing.options.checked_seeds, writing.options.votes)
        found = super().write(writing)
        return WithFiles(found.accepted, found.dropped, found.tokens + tokens, {"checked_seeds.jsonl": checked})

    def evidence(self, candidates: Candidates) -> Table:
        """Show what each operator brought, ties among it, and how often the vote is right where the answer is known."""
        table = super().evidence(candidates)
        ties = sum(row["reason"] == "tied" for row in candidates.dropped)
        said = f"{table.title}; {ties} tied votes"
        checked = rows_of(candidates, "checked_seeds.jsonl")
        if checked:
            right, decided = sum(row["right"] for row in checked), sum(bool(row["voted"]) for row in checked)
            said += f"; of {len(checked)} seeds with known answers the vote decides {decided} and is right on {right}"
        return Table(table.rows, said)


def _answered(writing: Writing[MathOptions], rows: list[dict[str, Any]], result: Vote) -> Answered:
    problem = None
    if not result.counts:
        problem = "no_number", f"{result.unread} answers"
    elif result.tied:
        problem = "tied", f"{', '.join(result.tied)}: {result.agreeing} of {len(rows)} each"
    elif result.agreeing < writing.options.min_votes:
        problem = "too_few_votes", f"{result.agreeing} of {len(rows)}"
    chosen = {name: rows[max(0, result.first)][name] for name in ANSWER}
    spent = sum(row["num_tokens"] for row in rows) - chosen["num_tokens"]
    return Answered({**chosen, "voted": result.winner, "votes": result.counts, "unread": result.unread}, problem, spent)
