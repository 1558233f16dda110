"""Evol-Instruct: tasks rewritten, round after round, by operators drawn at random, and what failed eliminated (WizardLM).

A row of `examples.jsonl`:
    {"id": "i1-g2-004", "instruction": "…", "input": "", "output": "…", "finish": "end", "num_tokens": 58,
     "parents": ["i1-g1-004"], "operator": "add_constraint", "generation": 2}
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field

from isheep_lib.engines.protocol import SPARE
from isheep_lib.params.kinds import Positive, distinct
from isheep_lib.record.journal import Journal
from isheep_lib.record.rows import Task
from isheep_lib.synthesize.candidates import Intake
from isheep_lib.synthesize.evolving import eliminator
from isheep_lib.synthesize.evolving.rounds import (
    Answered,
    Draft,
    DrawnOptions,
    Evolving,
    Problem,
    filled,
    one_response,
)
from isheep_lib.synthesize.method import Need
from isheep_lib.synthesize.writing import Writing

Operator = Literal["add_constraint", "deepen", "concretise", "add_reasoning", "complicate_input", "in_breadth"]
OPERATORS: tuple[Operator, ...] = ("add_constraint", "deepen", "concretise", "add_reasoning", "complicate_input", "in_breadth")


class EvolOptions(DrawnOptions):
    """How often tasks are rewritten, and by what."""

    rounds: Positive = Field(4, description="times that every task is rewritten (4 in the paper)")
    operators: Annotated[list[Operator], Field(min_length=1), AfterValidator(distinct)] = Field(
        list(OPERATORS), description="what a rewriting may do, one drawn at random for each"
    )


class EvolInstruct(Evolving[EvolOptions]):
    """Seeds rewritten round after round, harder or rarer, and failed rewritings eliminated."""

    name = "evol_instruct"
    source = "WizardLM (arXiv 2304.12244); the model itself rewrites, compares and answers; prompts in our words"
    Options = EvolOptions
    needs: ClassVar[tuple[Need, ...]] = ("seeds", "an aligned model")
    people = "rules that eliminate rewritings and answers"
    prompts = (*(f"evol-{name}.txt" for name in OPERATORS), "evol-equal.txt")
    reasons: ClassVar[dict[str, str]] = {
        "unchanged": eliminator.UNCHANGED,
        "leaked_marker": eliminator.LEAKED_MARKER,
        "malformed": "line breaks more than twice the spaces, more than ten list items, or an assistant speaking of itself",
        "equal": "the model finds the same constraints, depth and breadth as in its parent",
        "apology": "the response is short and apologises",
        "says_nothing": "the response holds punctuation and stop words alone",
    }

    def packages(self, options: EvolOptions) -> list[str]:
        """Name whose stop words are taken."""
        return ["scikit-learn"]

    def operators(self, options: EvolOptions) -> Sequence[str]:
        """Name what may be drawn."""
        return options.operators

    def all_operators(self) -> Sequence[str]:
        """Name every operator."""
        return OPERATORS

    def prompt(self, writing: Writing[EvolOptions], task: Task, operator: str) -> str:
        """Ask for one rewriting, in words."""
        return filled(writing, f"evol-{operator}.txt", task)

    def overlong_seeds(self, writing: Writing[EvolOptions]) -> dict[str, str]:
        """Say by id how long the prompts of seeds are that have no room for a rewriting, or to be compared with it."""
        questions = {task.id: eliminator.equal_question(writing, task, "") for task in writing.seeds}
        compared = {id_: writing.frame.prompt(words) for id_, words in questions.items()}
        return writing.overlong(compared, writing.shared.instruction_tokens + SPARE) | super().overlong_seeds(writing)

    def text_problem(self, draft: Draft, intake: Intake) -> Problem | None:
        """Return the first reason to eliminate a rewriting by its text alone (WizardLM, h2o-wizardlm)."""
        return eliminator.rewriting_problem(draft, intake) or eliminator.form_problem(draft, intake)

    def judged(self, writing: Writing[EvolOptions], journal: Journal, drafts: Mapping[str, Draft]) -> dict[str, Problem]:
        """Return which rewritings the model finds equal to their parents."""
        return eliminator.equal(writing, journal, drafts)

    def answered(self, writing: Writing[EvolOptions], journal: Journal, drafts: Mapping[str, Draft]) -> dict[str, Answered]:
        """Answer rewritings once each; an apology or an answer that says nothing eliminates them."""
        answers = one_response(writing, journal, drafts)
        return {
            i: Answered(row, eliminator.answer_problem(row["output"], writing.shared.language)) for i, row in answers.items()
        }
