r"""Skills at which a model is tested, and tasks for them with scores: AutoDetect's examiner and assessor.

    shown_cases([Case("a", "Add two numbers.", 2), Case("b", "Add two apples.", 9)], 5, 3, random.Random(0))

A row of `skills.jsonl`; a skill with a reason was not tested:
    {"id": "i1-s03", "iteration": 1, "source": "examiner", "skill": "keeping to a word limit", "reason": "", "detail": "",
     "cases": 15, "scored": 12, "mean_score": 4.25, "weak": 5}

Covers skills and what is shown of their cases. Does not cover tasks, answers and their scores (`feedback.cases`).
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean
from typing import Any

from isheep_lib.engines.generate import generate_all
from isheep_lib.languages.words import words
from isheep_lib.record.journal import Journal
from isheep_lib.synthesize.candidates import pool_of
from isheep_lib.synthesize.extras.asking import text_request, yes_shares
from isheep_lib.synthesize.feedback.fitting import first_fitting
from isheep_lib.synthesize.revising.constitution import read_rules
from isheep_lib.synthesize.writing import Writing

MOST_WORDS = 12  # of a skill's name
KNOWN = 0.7  # ROUGE-L F with another skill, more is the same one
STOP = "[[Stop]]"
SHOWN, SHOWN_WEAK, PREFIX = 5, 2, 3  # cases in a prompt, weak ones among them, and words at their beginnings that must differ
LIKELY = 0.5  # probability of yes, above which the model's answer is yes


@dataclass(frozen=True)
class Case:
    """A task that tests a skill, with the score from 1 to 10 that the model's answer got."""

    id: str
    task: str
    score: int


@dataclass
class Skill:
    """A skill that is tested, or why it is not, and its cases."""

    id: str
    iteration: int
    source: str  # examiner or assessor
    skill: str
    reason: str = ""
    detail: str = ""
    asked: int = 0
    cases: list[Case] = field(default_factory=list)

    @property
    def mean(self) -> float | None:
        """The mean score of its cases, None where none has a score."""
        return fmean(case.score for case in self.cases) if self.cases else None

    def weak(self, limit: int) -> list[Case]:
        """Return the cases with a score of at most `limit`."""
        return [case for case in self.cases if case.score <= limit]

    def as_row(self, limit: int) -> dict[str, Any]:
        """Return what is recorded."""
        told = {name: getattr(self, name) for name in ("id", "iteration", "source", "skill", "reason", "detail")}
        mean = None if self.mean is None else round(self.mean, 3)
        return {**told, "cases": self.asked, "scored": len(self.cases), "mean_score": mean, "weak": len(self.weak(limit))}


def shown_cases(cases: Sequence[Case], number: int, limit: int, draw: random.Random) -> list[Case]:
    """Draw the cases that a prompt shows: two weak ones if there are, else any; of those that begin alike, one.

    Args:
        cases: of one skill.
        number: shown at most.
        limit: the highest score of a weak one.
        draw: what draws.
    """
    first = dict[tuple[str, ...], Case]()
    for case in cases:
        first.setdefault(tuple(words(case.task)[:PREFIX]), case)
    apart = list(first.values())
    weak, rest = ([case for case in apart if (case.score <= limit) == side] for side in (True, False))
    chosen = draw.sample(weak, min(SHOWN_WEAK, number, len(weak)))
    others = [*draw.sample(rest, len(rest)), *(case for case in weak if case not in chosen)]
    drawn = [*chosen, *others][:number]
    return [case for case in apart if case in drawn]


def name_of(text: str) -> str:
    """Return a skill's name without what a model writes around it."""
    return text.strip().strip('*"“”').rstrip(".。;；").strip()


def checked(skills: Sequence[Skill], known: Sequence[str], most: int) -> list[Skill]:
    """Say which skills are none: of another form, named before, or more than were wanted."""
    pool, good, found = pool_of(list(known), KNOWN), 0, list[Skill]()
    for skill in skills:
        near, number = pool.find(skill.skill), len(words(skill.skill))
        if not skill.reason and not 0 < number <= MOST_WORDS:
            skill = replace(skill, reason="no_skill_in_form", detail=f"{number} words")
        elif not skill.reason and near:
            skill = replace(skill, reason="known_skill", detail=near[0])
        elif not skill.reason and good == most:
            skill = replace(skill, reason="beyond_wanted")
        elif not skill.reason:
            good += 1
            pool.add(skill.skill)
        found.append(skill)
    return found


def examine(writing: Writing[Any], journal: Journal, id_: str) -> tuple[list[Skill], str, str, int]:
    """Have the examiner list skills.

    Returns:
        The skills with what is wrong with them, the prompt, what was written, and the tokens that this took.
    """
    options = writing.options
    asked = writing.prompts.render("autodetect-skills.txt", area=options.area, number=str(options.skills))
    request = text_request(writing, f"{id_}-skills", asked)
    said = generate_all(writing.engine, [request], journal, "listing skills")[request.id]
    read = [name_of(text) for text in read_rules(said.text)]
    cut = len(read) - 1 if said.finish == "length" else -1
    skills = [
        Skill(f"{id_}-s{place:02d}", writing.iteration, "examiner", text, "cut_off" if place == cut else "")
        for place, text in enumerate(read)
    ]
    return checked(skills, [], options.skills), request.prompt, said.text, said.num_tokens


def assess(writing: Writing[Any], journal: Journal, skills: Sequence[Skill], id_: str) -> tuple[Skill | None, int]:
    """Have the assessor name a skill that is missing; None where it says that none is, with the tokens that this took."""
    options, tested = writing.options, [skill for skill in skills if not skill.reason]
    weak = [case for skill in tested for case in skill.weak(options.weak_score)]
    draw = random.Random(writing.seed_of(f"{id_}/shown"))  # noqa: S311 - reproducible, not secret
    cases = draw.sample(weak, min(SHOWN, len(weak)))
    listed = "\n".join(f"- {skill.skill}: {'-' if skill.mean is None else f'{skill.mean:.1f}'}" for skill in tested)
    told = ["\n".join(f"- {' '.join(case.task.split())}" for case in cases[:n]) or "-" for n in range(len(cases), -1, -1)]
    asked = (writing.prompts.render("autodetect-assess.txt", area=options.area, skills=listed, cases=bad) for bad in told)
    request = first_fitting(writing, (text_request(writing, f"{id_}/proposed", words) for words in asked))
    said = generate_all(writing.engine, [request], journal, "looking for a missing skill")[request.id]
    if STOP.lower() in said.text.lower():
        return None, said.num_tokens
    text = name_of(next(iter(read_rules(said.text)), ""))
    skill = Skill(id_, writing.iteration, "assessor", text, "cut_off" if said.finish == "length" else "")
    (skill,) = checked([skill], [one.skill for one in tested], 1)
    if skill.reason:
        return skill, said.num_tokens
    names = "\n".join(f"- {one.skill}" for one in tested)
    question = writing.prompts.render("autodetect-new.txt", area=options.area, skills=names, skill=skill.skill)
    shares = yes_shares(writing, {f"{id_}/new": question}, journal, "is the skill new")
    return (skill if shares.get(f"{id_}/new", 0.0) > LIKELY else replace(skill, reason="not_new")), said.num_tokens
