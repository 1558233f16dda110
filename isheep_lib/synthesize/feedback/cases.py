"""Tasks for skills, answered by the model and scored against its own best answer: AutoDetect's questioner and judge.

Covers one step: a task or several for each skill. Does not cover which skills there are (`feedback.skills`) or how many steps
are taken (`methods.feedback.autodetect`).
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from isheep_lib.engines.generate import generate_all
from isheep_lib.engines.protocol import Completion, Request
from isheep_lib.record.funnel import require
from isheep_lib.record.journal import Journal
from isheep_lib.synthesize.candidates import Intake
from isheep_lib.synthesize.evolving.rounds import HOPELESS, read_rewriting
from isheep_lib.synthesize.extras.asking import answer_request, text_request
from isheep_lib.synthesize.feedback.judging import scores
from isheep_lib.synthesize.feedback.skills import SHOWN, Case, Skill, shown_cases
from isheep_lib.synthesize.respond import ANSWER, respond
from isheep_lib.synthesize.rules import Item
from isheep_lib.synthesize.writing import Writing

FIRST, HARDER = "first", "harder"  # operators: a task from a skill alone, or one after others and their scores


@dataclass(frozen=True)
class Asked:
    """A request for a task, the skill that it tests, and the cases that it shows."""

    request: Request
    skill: Skill
    shown: Sequence[Case] = ()

    @property
    def operator(self) -> str:
        """How the task is written."""
        return HARDER if self.shown else FIRST


@dataclass(frozen=True)
class Tried:
    """A task, both answers to it, and the score of the model's own one, None where it could not be judged."""

    item: Item
    answer: Mapping[str, Any]
    reference: Mapping[str, Any]
    spent: int  # tokens beside the reference that was taken
    score: int | None


def ask_first(writing: Writing[Any], skill: Skill, id_: str) -> Asked:
    """Ask for a task from a skill alone."""
    asked = writing.prompts.render("autodetect-task.txt", skill=skill.skill)
    return Asked(text_request(writing, id_, asked), skill)


def ask_harder(writing: Writing[Any], skill: Skill, id_: str) -> Asked:
    """Ask for a task that is harder for the model than those before, of which as many are shown as its context holds."""
    draw = random.Random(writing.seed_of(f"{id_}/shown"))  # noqa: S311 - reproducible, not secret
    shown = shown_cases(skill.cases, SHOWN, writing.options.weak_score, draw)
    for number in range(len(shown), 0, -1):
        cases = "\n".join(f"- {' '.join(case.task.split())} ({case.score})" for case in shown[:number])
        asked = writing.prompts.render("autodetect-harder.txt", skill=skill.skill, cases=cases)
        request = text_request(writing, id_, asked)
        if not writing.overlong({"": request.prompt}, request.max_new_tokens):
            return Asked(request, skill, shown[:number])
    return ask_first(writing, skill, id_)


def take_step(
    writing: Writing[Any], intake: Intake, journals: tuple[Journal, Journal], asked: Mapping[str, Asked], number: int
) -> None:
    """Write tasks, try the model at them, and take in those at which it fails, with its own best answer.

    Raises:
        YieldError: of many texts by one operator none was a task.
    """
    said = generate_all(
        writing.engine, [one.request for one in asked.values()], journals[0], f"tasks for skills, step {number}"
    )
    intake.found.tokens += sum(completion.num_tokens for completion in said.values())
    items = {i: read_rewriting(said[i]) for i in asked}
    problems = {i: intake.problem(item) for i, item in items.items()}
    tried = attempt(writing, journals[1], {i: item for i, item in items.items() if not problems[i][0]})
    for i, one in asked.items():
        one.skill.asked += 1
        lineage: dict[str, Any] = {"parents": [case.id for case in one.shown], "operator": one.operator, "round": number}
        lineage |= {"skill": one.skill.skill, "skill_id": one.skill.id}
        found, problem = tried.get(i), problems[i]
        if found is None:
            intake.take(i, items[i], lineage, problem)
            continue
        lineage |= {"score": found.score, "first_output": found.answer["output"]}
        if found.score is not None:
            one.skill.cases.append(Case(i, items[i].instruction, found.score))
        problem = _problem(found, writing.options.weak_score) or intake.problem(items[i])
        lineage |= {} if problem[0] else {name: found.reference[name] for name in ANSWER}
        taken = intake.take(i, items[i], lineage, problem)
        intake.found.tokens += found.spent + (0 if taken else found.reference["num_tokens"])
    _require_tasks(intake)


def attempt(writing: Writing[Any], journal: Journal, items: Mapping[str, Item]) -> dict[str, Tried]:
    """Answer tasks, write references, and hold the first against the second."""
    rows = [{"id": i, "instruction": item.instruction, "input": ""} for i, item in items.items()]
    answers = {row["id"]: row for row in respond(writing, rows, journal)}
    references = _references(writing, journal, items)
    asked = {
        f"{i}/judged": writing.prompts.render(
            "autodetect-judge.txt", task=item.instruction, reference=references[i][0]["output"], answer=answers[i]["output"]
        )
        for i, item in items.items()
        if i in references
    }
    found = scores(writing, journal, asked, "judging answers")
    return {
        i: Tried(item, answers[i], best, answers[i]["num_tokens"] + spent, found.get(f"{i}/judged"))
        for i, item in items.items()
        for best, spent in [references.get(i, (_none(answers[i]), 0))]
    }


def _none(answer: Mapping[str, Any]) -> dict[str, Any]:
    """Return what stands in the place of a reference for which the model's context has no room."""
    return {"output": "", "finish": answer["finish"], "num_tokens": 0}


def _references(writing: Writing[Any], journal: Journal, items: Mapping[str, Item]) -> dict[str, tuple[dict[str, Any], int]]:
    """Write several answers to each task with care, and return the best by the model's own score, with the others' tokens."""
    number = writing.options.references
    asked = {i: writing.prompts.render("autodetect-reference.txt", task=item.instruction) for i, item in items.items()}
    forms = [answer_request(writing, f"{i}/reference-{n}", words) for i, words in asked.items() for n in range(number)]
    long = writing.overlong({form.id: form.prompt for form in forms}, writing.shared.response_tokens)
    requests = [form for form in forms if form.id not in long]
    said = generate_all(writing.engine, requests, journal, "reference answers")
    judged = {
        f"{name}/score": writing.prompts.render(
            "autodetect-best.txt", task=items[name.rpartition("/")[0]].instruction, answer=answer.text.strip()
        )
        for name, answer in said.items()
        if number > 1
    }
    marks = scores(writing, journal, judged, "comparing references")
    own = {i: [f"{i}/reference-{n}" for n in range(number)] for i in items if f"{i}/reference-0" not in long}
    return {i: best_of([(said[name], marks.get(f"{name}/score", 0)) for name in names]) for i, names in own.items()}


def best_of(answers: Sequence[tuple[Completion, int]]) -> tuple[dict[str, Any], int]:
    """Return the answer with the highest score, of equal ones the first that ended by itself, and the tokens of the others."""
    place = max(range(len(answers)), key=lambda n: (answers[n][1], answers[n][0].finish != "length", -n))
    best = answers[place][0]
    row = {"output": best.text.strip(), "finish": best.finish, "num_tokens": best.num_tokens}
    return row, sum(answer.num_tokens for answer, _ in answers) - best.num_tokens


def _problem(found: Tried, limit: int) -> tuple[str, str] | None:
    """Return why a task shows no weakness, None where it does."""
    if found.score is None:
        return "not_judged", ""
    return ("solved", f"score {found.score}") if found.score > limit else None


def _require_tasks(intake: Intake) -> None:
    """Stop where an operator wrote nothing that is a task, however often it was used."""
    found = intake.found
    read = {row["operator"] for row in (*found.accepted, *found.dropped) if "score" in row}
    for operator in (FIRST, HARDER):
        own = [row for row in found.dropped if row["operator"] == operator and row["reason"] != "beyond_target"]
        if operator not in read and len(own) >= HOPELESS:
            do = "look at the examples; change synthesize.options.area, sampling or instruction_tokens, or take a better model"
            require(0, 1, f"tasks by the operator {operator}, which failed every time", own, do)
