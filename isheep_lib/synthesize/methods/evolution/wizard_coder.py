"""WizardCoder: programming tasks made harder round after round, and answers kept that pass unit tests of the model's own.

A row of `examples.jsonl`:
    {"id": "i1-g2-004", "instruction": "…", "input": "", "output": "…", "finish": "end", "num_tokens": 120,
     "parents": ["i1-g1-004"], "operator": "misdirect", "generation": 2,
     "tests": ["assert double(2) == 4", "assert double(0) == 0"]}
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, Field

from isheep_lib.benchmarks.code_extraction import extract_code
from isheep_lib.engines.generate import generate_all
from isheep_lib.engines.protocol import Completion
from isheep_lib.params.kinds import Positive, distinct
from isheep_lib.record.journal import Journal
from isheep_lib.record.rows import Task
from isheep_lib.sandbox.run import require_method, sandbox_method
from isheep_lib.synthesize.candidates import Intake
from isheep_lib.synthesize.evolving import eliminator, unit_tests
from isheep_lib.synthesize.evolving.rounds import (
    Answered,
    Draft,
    DrawnOptions,
    Evolving,
    Problem,
    Weight,
    filled,
    one_response,
)
from isheep_lib.synthesize.extras.asking import text_request
from isheep_lib.synthesize.extras.needs import require_kinds
from isheep_lib.synthesize.method import Need
from isheep_lib.synthesize.shared_params import Shared
from isheep_lib.synthesize.writing import Writing

Operator = Literal["add_constraint", "rarer_requirement", "add_reasoning", "misdirect", "raise_complexity"]
OPERATORS: tuple[Operator, ...] = ("add_constraint", "rarer_requirement", "add_reasoning", "misdirect", "raise_complexity")


class CoderOptions(DrawnOptions):
    """How often programming tasks are rewritten and by what, and the unit tests that their answers must pass."""

    rounds: Positive = Field(3, description="times that every task is rewritten (in the paper, until a benchmark falls: 3)")
    weights: list[Weight] = Field(
        [1.0, 1.0, 1.0, 1.0, 0.5], description="how often each of operators is drawn, none is all alike; complexity sparingly"
    )
    operators: Annotated[list[Operator], Field(min_length=1), AfterValidator(distinct)] = Field(
        list(OPERATORS), description="what a rewriting may do, one drawn for each"
    )
    kinds: list[str] = Field(["code"], description="kinds of seeds that are rewritten, none is all seeds")
    tests: Positive = Field(3, description="assertions that the model is asked for")
    min_tests: Positive = Field(2, description="assertions that must be read, and that the answer must pass, all of them")
    code_sandbox: Literal["required", "unconfined"] = Field(
        "required", description="without a sandbox the stage is refused, or programs run unconfined"
    )


class WizardCoder(Evolving[CoderOptions]):
    """Programming tasks rewritten harder, and answers kept that pass unit tests which the model wrote."""

    name = "wizard_coder"
    source = "WizardCoder (arXiv 2306.08568); the model itself rewrites, answers and writes tests; prompts in our words"
    Options = CoderOptions
    needs: ClassVar[tuple[Need, ...]] = ("seeds", "an aligned model", "a sandbox")
    people = "rules that eliminate rewritings, and Python, which runs the model's tests"
    prompts = (*(f"wizard_coder-{name}.txt" for name in OPERATORS), "wizard_coder-tests.txt")
    one_answer = True
    reasons: ClassVar[dict[str, str]] = {
        "unchanged": eliminator.UNCHANGED,
        "leaked_marker": eliminator.LEAKED_MARKER,
        "no_function": "the response holds no Python function",
        "too_few_tests": "fewer assertions than `min_tests` could be read that call the function",
        "trivial_tests": "a function that does nothing passes the tests as well",
        "fails_tests": "the answer does not pass the tests that the model wrote",
    }

    def conflicts(self, shared: Shared, options: CoderOptions) -> list[str]:
        """Name values that contradict one another."""
        more = ["min_tests: must be at most tests"] if options.min_tests > options.tests else []
        return [*super().conflicts(shared, options), *more]

    def check_data(self, shared: Shared, options: CoderOptions) -> dict[str, str]:
        """Refuse seeds without a programming task, and a machine without a sandbox."""
        require_kinds(shared, options.kinds)
        require_method(sandbox_method(options.code_sandbox))
        return {}

    def operators(self, options: CoderOptions) -> Sequence[str]:
        """Name what may be drawn."""
        return options.operators

    def all_operators(self) -> Sequence[str]:
        """Name every operator."""
        return OPERATORS

    def kinds(self, options: CoderOptions) -> Sequence[str]:
        """Name the kinds of seeds that may be rewritten."""
        return options.kinds

    def prompt(self, writing: Writing[CoderOptions], task: Task, operator: str) -> str:
        """Ask for one rewriting, in words."""
        return filled(writing, f"wizard_coder-{operator}.txt", task)

    def text_problem(self, draft: Draft, intake: Intake) -> Problem | None:
        """Return the first reason to eliminate a rewriting by its text alone."""
        return eliminator.rewriting_problem(draft, intake)

    def answered(self, writing: Writing[CoderOptions], journal: Journal, drafts: Mapping[str, Draft]) -> dict[str, Answered]:
        """Answer rewritings, have tests written for the answers' functions without showing their bodies, and run both."""
        answers = one_response(writing, journal, drafts)
        codes = {i: extract_code(row["output"]) for i, row in answers.items()}
        names = {i: unit_tests.main_function(code, drafts[i].item.instruction) for i, code in codes.items()}
        asked = {i: _tests_prompt(writing, drafts[i], codes[i], name) for i, name in names.items() if name}
        long = writing.overlong(
            {i: writing.frame.prompt(words) for i, words in asked.items()}, writing.shared.instruction_tokens
        )
        requests = [text_request(writing, f"{i}/tests", words) for i, words in asked.items() if i not in long]
        said = generate_all(writing.engine, requests, journal, "unit tests")
        read = {i: _read(said.get(f"{i}/tests"), names[i]) for i in answers}
        tested = {
            i: unit_tests.Checked(codes[i], names[i], tests)
            for i, tests in read.items()
            if len(tests) >= writing.options.min_tests
        }
        verdicts = unit_tests.run_tests(tested, sandbox_method(writing.options.code_sandbox), journal)
        return {
            i: Answered(
                {**row, "tests": read[i]},
                _problem(names[i], len(read[i]), verdicts.get(i)),
                said[f"{i}/tests"].num_tokens if f"{i}/tests" in said else 0,
            )
            for i, row in answers.items()
        }


def _tests_prompt(writing: Writing[CoderOptions], draft: Draft, code: str, name: str) -> str:
    """Ask for assertions, from the task and the function's first line alone, so that they do not follow its body."""
    more = {"number": str(writing.options.tests), "signature": unit_tests.signature(code, name), "function": name}
    return filled(writing, "wizard_coder-tests.txt", Task(draft.id, draft.item.instruction), **more)


def _read(said: Completion | None, name: str) -> list[str]:
    return unit_tests.read_tests(said.text, name) if said else []


def _problem(name: str, number: int, verdict: Any) -> Problem | None:
    """Return why an answer is not kept, None where it passes tests that say something."""
    if not name:
        return "no_function", ""
    if verdict is None:
        return "too_few_tests", f"{number} read"
    if not verdict.passed:
        return "fails_tests", verdict.said
    return ("trivial_tests", "") if verdict.trivial else None
