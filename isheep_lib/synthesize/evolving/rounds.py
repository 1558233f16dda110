"""The rounds of evolution: every task rewritten once a round by an operator drawn for it, what fails dropped by name.

    lines of tasks -> rewritings -> problems of the text -> what the model says of them -> answers -> accepted or dropped

A rewriting that is accepted takes its parent's place; a task whose rewriting failed is rewritten again in the next round.
Covers what all of the family share. Does not cover operators, or what eliminates a rewriting (each method).
"""

import random
from abc import abstractmethod
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Annotated, Any, ClassVar, TypeVar

from pydantic import Field

from isheep_lib.display.table import Table, samples
from isheep_lib.engines.generate import ask, generate_all
from isheep_lib.engines.protocol import Completion, Request
from isheep_lib.languages import rules
from isheep_lib.languages.rules import Language
from isheep_lib.params.kinds import Positive, Section
from isheep_lib.prompting.chat import user_words
from isheep_lib.record.funnel import require
from isheep_lib.record.journal import Journal
from isheep_lib.record.rows import Task
from isheep_lib.synthesize.candidates import Candidates, Intake, pool_of
from isheep_lib.synthesize.extras.asking import text_request
from isheep_lib.synthesize.extras.needs import of_kinds, seeds_of
from isheep_lib.synthesize.method import Example, Method
from isheep_lib.synthesize.respond import ANSWER, respond
from isheep_lib.synthesize.rules import Item, unquoted
from isheep_lib.synthesize.shared_params import Shared
from isheep_lib.synthesize.writing import Writing

HOPELESS = 24  # rewritings by one operator of which none was accepted: what it does, it does not do with this model
Problem = tuple[str, str]  # a reason, and its detail
Weight = Annotated[float, Field(gt=0.0)]


class EvolvingOptions(Section):
    """How often tasks are rewritten."""

    rounds: Positive = Field(4, description="times that every task is rewritten")
    parents: int = Field(0, description="seeds that are rewritten, 0 is as many as the wanted instructions need", ge=0)


class DrawnOptions(EvolvingOptions):
    """How often tasks are rewritten, and how often by what; a method adds its `operators`."""

    weights: list[Weight] = Field([], description="how often each of operators is drawn, none is all alike")


E = TypeVar("E", bound=EvolvingOptions)


@dataclass(frozen=True)
class Draft:
    """A rewriting on its way: the task that it was made from, by what, and how it reads."""

    id: str
    parent: Task
    operator: str
    item: Item
    generation: int = 0

    @property
    def row(self) -> dict[str, Any]:
        """The task alone, as a row."""
        return {"id": self.id, "instruction": self.item.instruction, "input": self.item.input}


@dataclass(frozen=True)
class Answered:
    """What a rewriting's row gains, why it is dropped if it is, and the tokens generated for that beside the response's."""

    row: Mapping[str, Any] = field(default_factory=dict)
    problem: Problem | None = None
    spent: int = 0


class Evolving(Method[E]):
    """A method that rewrites seeds round after round.

    Attributes:
        advice: what to do where too few tasks were accepted.
        one_answer: the method itself decides which answer a task has.
    """

    advice: ClassVar[str] = "look at the examples; raise rounds or parents, choose other operators, or lower min_instructions"
    brings_answers: ClassVar[bool] = True
    one_answer: ClassVar[bool] = False

    @abstractmethod
    def operators(self, options: E) -> Sequence[str]:
        """Name what may be drawn, in the order of `weights`."""

    @abstractmethod
    def prompt(self, writing: Writing[E], task: Task, operator: str) -> str:
        """Ask for one rewriting, in words."""

    @abstractmethod
    def text_problem(self, draft: Draft, intake: Intake) -> Problem | None:
        """Return the first reason to eliminate a rewriting by its text alone, None if there is none."""

    def judged(self, writing: Writing[E], journal: Journal, drafts: Mapping[str, Draft]) -> dict[str, Problem]:
        """Return which rewritings the model itself finds wanting, before they are answered."""
        return {}

    @abstractmethod
    def answered(self, writing: Writing[E], journal: Journal, drafts: Mapping[str, Draft]) -> dict[str, Answered]:
        """Answer rewritings, and say which of them their answers eliminate."""

    def lineage(self, operator: str) -> dict[str, Any]:
        """Return what a row says of its operator beside the name."""
        return {}

    def seeds_of(self, writing: Writing[E]) -> list[Task]:
        """Return the seeds that may be rewritten."""
        return of_kinds(writing.seeds, self.kinds(writing.options))

    def kinds(self, options: E) -> Sequence[str]:
        """Name the kinds of seeds that may be rewritten, none for all."""
        return ()

    def most(self, shared: Shared, options: E) -> int:
        """Return how many rewritings there are of as many seeds as are drawn."""
        return options.rounds * min(wanted(shared, options), len(of_kinds(seeds_of(shared), self.kinds(options))))

    def conflicts(self, shared: Shared, options: E) -> list[str]:
        """Name values that contradict one another."""
        number, drawn = len(_weights(options)), len(self.operators(options))
        if number in (0, drawn):
            return []
        return [f"weights: {number} for {drawn} operators; give one for each, in their order, or none for all alike"]

    def given(self, writing: Writing[E]) -> Table:
        """Show the seeds that are rewritten."""
        rows = [vars(task) for task in self.parents(writing)]
        return samples(rows, ["id", "kind", "instruction", "input"], 3, 0, f"{len(rows)} tasks to rewrite, for example")

    def example(self, writing: Writing[E]) -> Example:
        """Take one seed through a round by the first operator, step by step."""
        parent, operator = self.parents(writing)[0], self.operators(writing.options)[0]
        return self.step_by_step(writing, parent, operator, self.request(writing, "example", parent, operator))

    def step_by_step(self, writing: Writing[E], parent: Task, operator: str, request: Request) -> Example:
        """Show what becomes of one rewriting: its text, its problems, and what its answer says."""
        said = ask(writing.engine, request)
        draft = Draft("example", parent, operator, read_rewriting(said, writing.read_in))
        steps = {"was": user_words(parent), "operator": operator, "is": draft.item.instruction}
        problem = self.text_problem(draft, Intake(writing, pool_of([], 1.0)))
        if not problem and draft.item.instruction:
            with writing.open_journal("example") as journal:
                problem = self.judged(writing, journal, {draft.id: draft}).get(draft.id)
                found = Answered() if problem else self.answered(writing, journal, {draft.id: draft})[draft.id]
            problem = problem or found.problem
            steps |= {name: str(value) for name, value in found.row.items()}
        steps["verdict"] = ": ".join(filter(None, problem)) if problem else "nothing against it"
        return Example(request.prompt, said.text, [{"step": name, "text": text} for name, text in steps.items()])

    def write(self, writing: Writing[E]) -> Candidates:
        """Rewrite and answer round by round; a task whose rewriting failed is rewritten again in the next round.

        A rewriting is compared with all tasks known so far but those it was made from.

        Raises:
            YieldError: fewer than `min_instructions` were accepted, or an operator failed every time; with the top reasons
                and examples.
        """
        return self.in_rounds(writing, self.operators(writing.options), partial(self.request, writing))

    def in_rounds(
        self, writing: Writing[E], operators: Sequence[str], request: Callable[[str, Task, str], Request]
    ) -> Candidates:
        """Rewrite by these operators; `request` asks for a rewriting by id, task and operator."""
        lines = {f"{n:03d}": [task] for n, task in enumerate(self.parents(writing))}  # a seed, then what became of it
        known = [task.instruction for task in (*writing.seeds, *writing.earlier)]
        intake = Intake(writing, pool_of(known, writing.shared.max_rouge))
        with writing.open_journal("rewritings") as rewritten, writing.open_journal("answers") as answered:
            for generation in range(1, writing.options.rounds + 1):
                if not intake.full:
                    ids = {f"i{writing.iteration}-g{generation}-{key}": line for key, line in lines.items()}
                    drawn = {id_: _draw(writing, id_, operators) for id_ in ids}
                    requests = [request(id_, line[-1], drawn[id_]) for id_, line in ids.items()]
                    said = generate_all(writing.engine, requests, rewritten, f"rewriting, round {generation}")
                    intake.found.tokens += sum(completion.num_tokens for completion in said.values())
                    items = {i: read_rewriting(said[i], writing.read_in) for i in ids}
                    drafts = {i: Draft(i, line[-1], drawn[i], items[i], generation) for i, line in ids.items()}
                    self._take_round(writing, intake, (rewritten, answered), drafts, ids)
                    require_successes(intake.found)
        return intake.require(self.advice)

    def evidence(self, candidates: Candidates) -> Table:
        """Show what each operator brought."""
        kept = Counter(row["operator"] for row in candidates.accepted)
        lost = Counter((row["operator"], row["reason"]) for row in candidates.dropped)
        rows: list[dict[str, Any]] = []
        for operator in self.all_operators() or sorted({*kept, *(name for name, _ in lost)}):
            reasons = {reason: number for (name, reason), number in lost.items() if name == operator}
            written = kept[operator] + sum(reasons.values())
            top = max(reasons, key=lambda reason: reasons[reason], default="")
            if written:
                rows.append({"operator": operator, "written": written, "accepted": kept[operator], "mostly lost by": top})
        return Table(rows or [{"operator": "none was used"}], "what each operator brought")

    def figure(self, candidates: Candidates) -> Any:
        """Draw what each generation brought."""
        from isheep_lib.synthesize.extras.figures import generations

        return generations(candidates.accepted, candidates.dropped)

    def all_operators(self) -> Sequence[str]:
        """Name every operator that the method has, in the order of tables; () where they have no fixed names."""
        return ()

    def parents(self, writing: Writing[E]) -> list[Task]:
        """Draw the seeds that are rewritten; all must fit the model's context, whichever are drawn."""
        writing.refuse_seeds(self.overlong_seeds(writing), "shorten or remove them, or lower synthesize.instruction_tokens")
        draw, seeds = random.Random(writing.seed_of("parents")), self.seeds_of(writing)  # noqa: S311 - reproducible, not secret
        return draw.sample(seeds, min(wanted(writing.shared, writing.options), len(seeds)))

    def overlong_seeds(self, writing: Writing[E]) -> dict[str, str]:
        """Say by id how long the prompts of seeds are that have no room for a rewriting."""
        long = dict[str, str]()
        for operator in self.operators(writing.options):
            prompts = {task.id: self.request(writing, "", task, operator).prompt for task in self.seeds_of(writing)}
            long = writing.overlong(prompts, writing.shared.instruction_tokens) | long
        return long

    def request(self, writing: Writing[E], id_: str, task: Task, operator: str) -> Request:
        """Ask for one rewriting, in the model's frame."""
        return text_request(writing, id_, self.prompt(writing, task, operator))

    def _take_round(
        self,
        writing: Writing[E],
        intake: Intake,
        journals: tuple[Journal, Journal],
        drafts: dict[str, Draft],
        lines: dict[str, list[Task]],
    ) -> None:
        """Take one rewriting of each line in or drop it; what is accepted becomes the line's last task."""
        apart = {i: {task.instruction for task in line} for i, line in lines.items()}
        problems = {i: self.text_problem(d, intake) or intake.problem(d.item, apart[i]) for i, d in drafts.items()}
        problems |= self.judged(writing, journals[0], {i: draft for i, draft in drafts.items() if not problems[i][0]})
        left = {i: draft for i, draft in drafts.items() if not problems[i][0]}
        answers = self.answered(writing, journals[1], left)
        for i, draft in drafts.items():
            found = answers.get(i, Answered())
            problem = problems[i] if problems[i][0] else found.problem or intake.problem(draft.item, apart[i])
            lineage = {"parents": [draft.parent.id], "operator": draft.operator, "generation": draft.generation}
            intake.found.tokens += found.spent
            if intake.take(i, draft.item, {**lineage, **self.lineage(draft.operator), **found.row}, problem):
                lines[i].append(Task(i, draft.item.instruction))


def read_rewriting(said: Completion, language: Language = "en") -> Item:
    """Read a rewritten task: the text without a label of some languages before it and quotes around it."""
    text = said.text.strip()
    label = rules.of(language).first("rewriting", text)
    return Item(said.text, unquoted(text[label.end() :] if label else text), "", cut=said.finish == "length")


def one_response(writing: Writing[Any], journal: Journal, drafts: Mapping[str, Draft]) -> dict[str, dict[str, Any]]:
    """Answer each rewriting once; return output, finish and num_tokens by id."""
    answers = respond(writing, [draft.row for draft in drafts.values()], journal)
    return {row["id"]: {name: row[name] for name in ANSWER} for row in answers}


def require_successes(found: Candidates) -> None:
    """Stop where an operator failed every time.

    Raises:
        YieldError: of `HOPELESS` rewritings by one operator, or more, none was accepted; with the top reasons and examples.
    """
    kept = {row["operator"] for row in found.accepted}
    tried = Counter(row["operator"] for row in found.dropped if row["reason"] != "beyond_target")
    for operator, times in tried.items():
        if operator not in kept and times >= HOPELESS:
            own = [row for row in found.dropped if row["operator"] == operator]
            do = "look at the examples; leave the operator out, change sampling or instruction_tokens, or take a better model"
            require(0, 1, f"tasks by the operator {operator}, which failed every time", own, do)


def wanted(shared: Shared, options: EvolvingOptions) -> int:
    """Return how many seeds are rewritten, where there are as many."""
    return options.parents or -(-shared.instructions // options.rounds)


def _draw(writing: Writing[Any], id_: str, operators: Sequence[str]) -> str:
    """Draw the operator of one rewriting by its own seed."""
    draw, weights = random.Random(writing.seed_of(f"{id_}/operator")), _weights(writing.options)  # noqa: S311
    return draw.choices(operators, weights)[0] if weights else draw.choice(operators)


def _weights(options: EvolvingOptions) -> Sequence[float]:
    return options.weights if isinstance(options, DrawnOptions) else ()


def filled(writing: Writing[Any], name: str, task: Task, **more: str) -> str:
    """Fill a prompt of this writing with a task as the user would say it."""
    return writing.prompts.render(name, task=user_words(task), **more)
