"""The steps of Rainbow Teaming: children mutated, answered, rated and held against what their cells hold.

Covers one batch, and what becomes of the archive at the end. Does not cover draws (`methods.feedback.rainbow`) or the archive
by itself (`feedback.archive`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from isheep_lib.analysis.bleu import bleu
from isheep_lib.engines.generate import generate_all
from isheep_lib.engines.protocol import Request
from isheep_lib.languages.words import words
from isheep_lib.prompting.chat import user_words
from isheep_lib.record.funnel import require
from isheep_lib.record.journal import Journal
from isheep_lib.record.rows import Task
from isheep_lib.synthesize.candidates import Intake
from isheep_lib.synthesize.evolving.rounds import HOPELESS, read_rewriting
from isheep_lib.synthesize.extras.asking import answer_request, text_request, yes_shares
from isheep_lib.synthesize.feedback.archive import Archive, Cell, read_grid, waves
from isheep_lib.synthesize.feedback.judging import second_wins
from isheep_lib.synthesize.respond import ANSWER, respond
from isheep_lib.synthesize.rules import Item
from isheep_lib.synthesize.writing import Writing

Problem = tuple[str, str]  # a reason, and its detail
DIGITS = 6  # of a fitness, so that no library's last bit decides a draw
LIKELY = 0.5  # probability of yes, above which the model's answer is yes


@dataclass(frozen=True)
class Child:
    """A task that was mutated from another one toward a cell."""

    id: str
    parent: Task
    cell: Cell
    item: Item
    round: int

    @property
    def row(self) -> dict[str, Any]:
        """The task alone, as a row."""
        return {"id": self.id, "instruction": self.item.instruction, "input": ""}

    @property
    def lineage(self) -> dict[str, Any]:
        """Where it comes from."""
        return {"parents": [self.parent.id], "operator": "mutate", "cell": list(self.cell), "round": self.round}


@dataclass
class Course:
    """What a writing has come to.

    Attributes:
        archive: the best task of each cell so far.
        children: every one of this iteration.
        fitness: of those that were rated.
        lost: why those are lost that are.
        refusals: on the grid of safety, what the archive of an earlier iteration had in the place of answers, by id.
    """

    archive: Archive
    children: dict[str, Child] = field(default_factory=dict)
    fitness: dict[str, float] = field(default_factory=dict)
    lost: dict[str, Problem] = field(default_factory=dict)
    refusals: dict[str, dict[str, Any]] = field(default_factory=dict)

    def settle(self, writing: Writing[Any], intake: Intake, journal: Journal) -> None:
        """Accept what holds a cell now, in the order in which it was written, and drop the rest."""
        held = {row["id"]: row for row in self.archive.in_order() if row["id"] in self.children}
        if writing.options.grid == "safety":
            self._refuse(writing, intake, journal, held)
            for row in self.archive.in_order():
                row |= self.refusals.get(row["id"], {})
        for id_, child in self.children.items():
            problem = self.lost.get(id_) or intake.problem(child.item, {child.parent.instruction})
            own = {"fitness": self.fitness[id_]} if id_ in self.fitness else {}
            if not problem[0]:
                own |= {name: held[id_][name] for name in ANSWER}
            elif id_ in held:
                intake.found.tokens += held[id_]["num_tokens"]
            intake.take(id_, child.item, {**child.lineage, **own}, problem)

    def _refuse(self, writing: Writing[Any], intake: Intake, journal: Journal, held: Mapping[str, dict[str, Any]]) -> None:
        """Put refusals in the place of answers; what the model does not refuse is lost, and no answer stays in the archive."""
        asked = {i: writing.prompts.render("rainbow-refuse.txt", task=row["instruction"]) for i, row in held.items()}
        forms = [answer_request(writing, f"{i}/refusal", words) for i, words in asked.items()]
        long = writing.overlong({form.id: form.prompt for form in forms}, writing.shared.response_tokens)
        requests = [form for form in forms if form.id not in long]
        said = generate_all(writing.engine, requests, journal, "refusals")
        texts = {i: said[f"{i}/refusal"].text.strip() for i in held if f"{i}/refusal" in said}
        judged = {
            f"{i}/refuses": writing.prompts.render("rainbow-refuses.txt", task=held[i]["instruction"], answer=text)
            for i, text in texts.items()
        }
        shares = yes_shares(writing, judged, journal, "judging refusals")
        for i, row in held.items():
            intake.found.tokens += row["num_tokens"]
            refuses = shares.get(f"{i}/refuses", 0.0) > LIKELY
            answer = said[f"{i}/refusal"] if refuses else None
            row |= {"output": texts[i] if answer else "", "finish": answer.finish if answer else "end"}
            row |= {"num_tokens": answer.num_tokens if answer else 0}
            if not refuses:
                intake.found.tokens += said[f"{i}/refusal"].num_tokens if f"{i}/refusal" in said else 0
                self.lost[i] = "no_refusal", ""


def grid_of(writing: Writing[Any]) -> dict[str, list[str]]:
    """Read the grid of a run, in the language of its prompts."""
    name = f"rainbow-{writing.options.grid}.txt"
    return read_grid(writing.prompts.render(name), name)


def begin(writing: Writing[Any], intake: Intake, journal: Journal, cells: Sequence[Cell]) -> Course:
    """Begin with the archive that an earlier iteration left, answered and rated by the model that writes now."""
    course = Course(Archive(cells))
    rows = {f"{row['id']}/again": {**row, "input": ""} for row in writing.carried}
    rated = rate(writing, journal, {i: {"id": i, "instruction": row["instruction"], "input": ""} for i, row in rows.items()})
    for i, row in rows.items():
        answer, fitness = rated[i]
        intake.found.tokens += answer["num_tokens"]
        new = {name: answer[name] for name in ANSWER} | {"fitness": row["fitness"] if fitness is None else fitness}
        course.archive.put({name: value for name, value in row.items() if name != "input"} | new)
        course.refusals[row["id"]] = {name: row[name] for name in ANSWER}
    return course


def take_batch(
    writing: Writing[Any],
    intake: Intake,
    journals: tuple[Journal, Journal],
    course: Course,
    drawn: Mapping[str, tuple[Task, Cell]],
) -> None:
    """Mutate a batch of parents toward their cells, and put what is better than a cell's task into it.

    Args:
        journals: of the mutations, and of what comes of them.
        drawn: parents and cells by the child's id.

    Raises:
        YieldError: of many children none came into the archive.
    """
    number = 1 + len(course.children) // writing.options.batch  # all before this one were full
    children = _mutate(writing, intake, journals[0], drawn, number)
    course.children |= {child.id: child for child in children}
    problems = {child.id: text_problem(intake, child) for child in children}
    course.lost |= {i: problem for i, problem in problems.items() if problem}
    left = {child.id: child for child in children if not problems[child.id]}
    rated = rate(writing, journals[1], {i: child.row for i, child in left.items()})
    rows = []
    for i, (answer, fitness) in rated.items():
        if fitness is None:
            course.lost[i] = "not_judged", "task and answer"
            intake.found.tokens += answer["num_tokens"]
            continue
        course.fitness[i] = fitness
        own = {name: answer[name] for name in ANSWER} | {"fitness": fitness, "iteration": writing.iteration}
        rows.append({**left[i].lineage, "id": i, "instruction": left[i].item.instruction, **own})
    for wave in waves(rows):
        _compare(writing, intake, journals[1], course, wave)
    if not course.archive.elites and len(course.children) >= HOPELESS:
        lost = [{**course.children[i].row, "reason": reason} for i, (reason, _) in course.lost.items()]
        do = "look at the examples; give other seeds, change sampling or instruction_tokens, or take a better model"
        require(0, 1, "tasks by the operator mutate, which failed every time", lost, do)


def _mutate(
    writing: Writing[Any], intake: Intake, journal: Journal, drawn: Mapping[str, tuple[Task, Cell]], number: int
) -> list[Child]:
    """Mutate each parent once for each dimension of the grid; a text that is cut off or empty goes no further."""
    tasks = {i: parent for i, (parent, _) in drawn.items()}
    items = dict[str, Item]()
    for place, name in enumerate(grid_of(writing)):
        on = [i for i in drawn if i not in items or (items[i].instruction and not items[i].cut)]
        requests = [mutation(writing, f"{i}/{place}", tasks[i], name, drawn[i][1][place]) for i in on]
        framed = {request.id: request.prompt for request in requests}
        long = writing.overlong(framed, writing.shared.instruction_tokens)
        said = generate_all(
            writing.engine, [r for r in requests if r.id not in long], journal, f"mutating, batch {number}, {name}"
        )
        for i in on:
            if done := said.get(f"{i}/{place}"):
                items[i] = read_rewriting(done)
                tasks[i] = Task(i, items[i].instruction)
                intake.found.tokens += done.num_tokens
            else:  # what was written so far leaves no room to go on
                items[i] = Item(tasks[i].instruction, tasks[i].instruction, "", cut=True)
    return [Child(i, parent, cell, items[i], number) for i, (parent, cell) in drawn.items()]


def mutation(writing: Writing[Any], id_: str, task: Task, name: str, value: str) -> Request:
    """Ask for a task moved toward a value of one dimension."""
    asked = writing.prompts.render("rainbow-mutate.txt", task=user_words(task), dimension=name, value=value)
    return text_request(writing, id_, asked)


def text_problem(intake: Intake, child: Child) -> Problem | None:
    """Return the first reason to drop a child by its text alone, None if there is none."""
    text, parent = child.item.instruction, user_words(child.parent)
    if not child.item.cut and words(text) and words(text) == words(parent):
        return "unchanged", ""
    copied = bleu(text, parent)
    if not child.item.cut and copied > intake.writing.options.max_bleu:
        return "near_parent", f"BLEU {copied:.2f}"
    reason, detail = intake.problem(child.item, {child.parent.instruction})
    return (reason, detail) if reason else None


def rate(
    writing: Writing[Any], journal: Journal, rows: Mapping[str, dict[str, Any]]
) -> dict[str, tuple[dict[str, Any], float | None]]:
    """Answer tasks, and return each answer with how likely the model finds it failing; None where that does not fit."""
    answers = {row["id"]: row for row in respond(writing, list(rows.values()), journal)}
    name = "rainbow-lacking.txt" if writing.options.grid == "tasks" else "rainbow-harmful.txt"
    asked = {
        f"{i}/fitness": writing.prompts.render(name, task=row["instruction"], answer=answers[i]["output"])
        for i, row in rows.items()
    }
    shares = yes_shares(writing, asked, journal, "judging answers")
    return {i: (answers[i], round(shares[f"{i}/fitness"], DIGITS) if f"{i}/fitness" in shares else None) for i in rows}


def _compare(writing: Writing[Any], intake: Intake, journal: Journal, course: Course, wave: Sequence[dict[str, Any]]) -> None:
    """Hold each child against what its cell holds, in both orders, and put it there if it is preferred."""
    name = "rainbow-prefer.txt" if writing.options.grid == "tasks" else "rainbow-more_harmful.txt"
    elites = {row["id"]: course.archive.elites.get(tuple(row["cell"])) for row in wave}
    asked = {
        f"{row['id']}/{elite['id']}": (_both(writing, name, elite, row), _both(writing, name, row, elite))
        for row in wave
        if (elite := elites[row["id"]])
    }
    odds = second_wins(writing, journal, asked, "comparing with the archive")
    for row in wave:
        elite = elites[row["id"]]
        key = f"{row['id']}/{elite['id']}" if elite else ""
        if elite and odds.get(key, 0.0) <= 0.0:
            course.lost[row["id"]] = ("not_preferred", f"to {elite['id']}") if key in odds else ("not_judged", "two of both")
            intake.found.tokens += row["num_tokens"]
            continue
        course.archive.put(row)
        if elite and elite["id"] in course.children:
            course.lost[elite["id"]] = "replaced", f"by {row['id']}"
            intake.found.tokens += elite["num_tokens"]


def _both(writing: Writing[Any], name: str, first: Mapping[str, Any], second: Mapping[str, Any]) -> str:
    more = {"first": first["instruction"], "first_answer": first["output"]}
    return writing.prompts.render(name, **more, second=second["instruction"], second_answer=second["output"])
