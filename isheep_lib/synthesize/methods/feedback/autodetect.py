"""AutoDetect: an examiner lists skills, a questioner seeks tasks at which the model fails, an assessor adds what is missing.

A row of `examples.jsonl`, whose output is the best of several careful answers:
    {"id": "i1-s03-c07", "instruction": "…", "input": "", "output": "…", "finish": "end", "num_tokens": 58,
     "parents": ["i1-s03-c02", "i1-s03-c04"], "operator": "harder", "round": 8, "skill": "keeping to a word limit",
     "skill_id": "i1-s03", "score": 2, "first_output": "…"}

What a row of `skills.jsonl` holds, see `feedback.skills`; the next iteration tests these skills again.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Any, ClassVar

from pydantic import Field

from isheep_lib.display.table import Table
from isheep_lib.engines.generate import ask
from isheep_lib.params.kinds import Positive, Section
from isheep_lib.record.funnel import require
from isheep_lib.record.journal import Journal
from isheep_lib.synthesize.candidates import Candidates, Intake, pool_of
from isheep_lib.synthesize.evolving.rounds import read_rewriting
from isheep_lib.synthesize.extras.own import WithFiles, rows_of
from isheep_lib.synthesize.feedback.cases import ask_first, ask_harder, attempt, take_step
from isheep_lib.synthesize.feedback.skills import Skill, assess, examine
from isheep_lib.synthesize.method import Example, Method, Need
from isheep_lib.synthesize.shared_params import Shared
from isheep_lib.synthesize.writing import Writing

FILE = "skills.jsonl"
ADVICE = "look at the examples; raise skills, cases or weak_score, or lower min_instructions"
PROMPTS = ("skills", "task", "harder", "reference", "best", "judge", "assess", "new")


class AutoDetectOptions(Section):
    """What is tested, how many tasks test each skill, and what counts as a weakness."""

    area: str = Field("following instructions", description="what is tested, in the language of the prompts", min_length=1)
    skills: Positive = Field(12, description="skills that the examiner lists (12 in the paper for following instructions)")
    first_cases: Positive = Field(5, description="tasks from a skill alone, before harder ones (5 in the paper's code)")
    cases: Positive = Field(15, description="tasks of a skill, those first ones included (15 in the paper's code)")
    weak_score: int = Field(3, description="a score of at most this, of 10, is a weakness", ge=1, le=9)
    references: Positive = Field(
        3, description="careful answers to each task, the best of which is the reference and is learned"
    )
    added_skills: int = Field(6, description="skills that the assessor may add", ge=0)
    tries: Positive = Field(3, description="proposals of the assessor for each of them")


class AutoDetect(Method[AutoDetectOptions]):
    """Skills listed by an examiner, tasks at which the model fails, and what an assessor finds missing."""

    name = "autodetect"
    source = "AutoDetect (arXiv 2406.16714); the model itself examines, asks, answers and judges; prompts in our words"
    Options = AutoDetectOptions
    needs: ClassVar[tuple[Need, ...]] = ("an aligned model",)
    brings_answers = True
    one_answer = True
    carries: ClassVar[str] = FILE
    prompts = tuple(f"autodetect-{name}.txt" for name in PROMPTS)
    reasons: ClassVar[dict[str, str]] = {
        "solved": "the score of the model's answer is above `weak_score`, so the task shows no weakness",
        "not_judged": "task, reference and answer leave no room for a score in the model's context",
    }

    def conflicts(self, shared: Shared, options: AutoDetectOptions) -> list[str]:
        """Name values that contradict one another."""
        problems = ["first_cases: must be at most cases"] if options.first_cases > options.cases else []
        if options.references > 1 and not shared.response_temperature:
            said = f"references: at response_temperature 0 all {options.references} answers are the same"
            problems.append(f"{said}; raise it, or set 1")
        return problems

    def most(self, shared: Shared, options: AutoDetectOptions) -> int:
        """Return how many tasks test all skills together."""
        return (options.skills + options.added_skills) * options.cases

    def given(self, writing: Writing[AutoDetectOptions]) -> Table:
        """Show what is tested."""
        options = writing.options
        return Table([{"tested": options.area, "skills": options.skills, "tasks of each": options.cases}])

    def prepared(self, writing: Writing[AutoDetectOptions]) -> Table:
        """Show the skills that an earlier iteration tested."""
        rows = [{"skill": row["skill"], "mean score": row["mean_score"]} for row in writing.carried if not row["reason"]]
        return Table(rows or [{"skill": "the examiner lists them first"}], "the skills that this iteration begins with")

    def example(self, writing: Writing[AutoDetectOptions]) -> Example:
        """Take one skill through its first task, step by step."""
        with writing.open_journal("example") as journal:
            skills, prompt, said, _ = examine(writing, journal, "example")
            usable = [skill for skill in skills if not skill.reason]
            steps = {f"skill {n}": f"{s.skill} ({s.reason or 'taken'})" for n, s in enumerate(skills, start=1)}
            if usable:
                item = read_rewriting(ask(writing.engine, ask_first(writing, usable[0], "example").request))
                steps["task"] = item.instruction
                intake = Intake(writing, pool_of([], 1.0))
                reason, detail = intake.problem(item)
                if reason:
                    steps["verdict"] = f"{reason} {detail}".strip()
                else:
                    (found,) = attempt(writing, journal, {"example-c00": item}).values()
                    steps |= {
                        "answer": found.answer["output"],
                        "reference": found.reference["output"],
                        "score": str(found.score),
                    }
        return Example(prompt, said, [{"step": name, "text": text} for name, text in steps.items()])

    def write(self, writing: Writing[AutoDetectOptions]) -> Candidates:
        """Test every skill, then those that the assessor adds, until enough weaknesses are found.

        Raises:
            YieldError: no skill was listed, fewer than `min_instructions` were accepted, or an operator never wrote a task.
        """
        options = writing.options
        intake = Intake(writing, pool_of([task.instruction for task in writing.earlier], writing.shared.max_rouge))
        opened = (writing.open_journal(name) for name in ("skills", "tasks", "tries"))
        with next(opened) as journal, next(opened) as tasks, next(opened) as tries:
            skills = self._first_skills(writing, intake, journal)
            self._test(writing, intake, (tasks, tries), [skill for skill in skills if not skill.reason])
            for place in range(options.added_skills):
                if intake.full or not (added := self._added(writing, intake, journal, skills, place)):
                    break
                self._test(writing, intake, (tasks, tries), [added])
        found = intake.require(ADVICE)
        rows = [skill.as_row(options.weak_score) for skill in skills]
        return WithFiles(found.accepted, found.dropped, found.tokens, {FILE: rows})

    def evidence(self, candidates: Candidates) -> Table:
        """Show the weaknesses by skill, and what each operator brought to them."""
        kept = Counter((row["skill_id"], row["operator"]) for row in candidates.accepted)
        shown = [
            {
                "skill": row["skill"],
                "": ": ".join(filter(None, (row["reason"], row["detail"]))) or row["source"],
                "tasks": row["cases"],
                "scored": row["scored"],
                "mean score": "" if row["mean_score"] is None else row["mean_score"],
                "weak": row["weak"],
                "accepted: first": kept[row["id"], "first"],
                "accepted: harder": kept[row["id"], "harder"],
            }
            for row in rows_of(candidates, FILE)
        ]
        return Table(shown or [{"skill": "none was listed"}], "weaknesses by skill; scores are from 1 to 10")

    def figure(self, candidates: Candidates) -> Any:
        """Draw mean scores and accepted tasks by skill."""
        from isheep_lib.synthesize.feedback.figures import weaknesses

        kept = Counter(row["skill_id"] for row in candidates.accepted)
        rows = [(row["skill"], row["mean_score"], kept[row["id"]]) for row in rows_of(candidates, FILE) if row["scored"]]
        return weaknesses(rows, "mean score, from 1 to 10", (1.0, 10.0))

    def _first_skills(self, writing: Writing[AutoDetectOptions], intake: Intake, journal: Journal) -> list[Skill]:
        """Return the skills that an earlier iteration tested, or have the examiner list them."""
        names = ("id", "iteration", "source", "skill")
        carried = [Skill(**{name: row[name] for name in names}) for row in writing.carried if not row["reason"]]
        if carried:
            return carried
        skills, _, _, tokens = examine(writing, journal, f"i{writing.iteration}")
        intake.found.tokens += tokens
        bad = [{"reason": skill.reason, "instruction": skill.skill} for skill in skills if skill.reason]
        require(len(skills) - len(bad), 1, "skills by the examiner", bad, "name another area, or take a better model")
        return skills

    def _test(
        self,
        writing: Writing[AutoDetectOptions],
        intake: Intake,
        journals: tuple[Journal, Journal],
        skills: Sequence[Skill],
    ) -> None:
        """Have the questioner write the first tasks of each skill, then harder ones, one a skill and step."""
        options, prefix = writing.options, f"i{writing.iteration}"
        ids = {skill.id: skill.id if skill.id.startswith(f"{prefix}-") else f"{prefix}-{skill.id}" for skill in skills}
        steps = [range(options.first_cases), *([n] for n in range(options.first_cases, options.cases))]
        for number, places in enumerate(steps, start=1):
            if intake.full:
                return
            asks = ask_first if number == 1 else ask_harder
            asked = {f"{ids[s.id]}-c{n:02d}": asks(writing, s, f"{ids[s.id]}-c{n:02d}") for s in skills for n in places}
            take_step(writing, intake, journals, asked, number)

    def _added(
        self, writing: Writing[AutoDetectOptions], intake: Intake, journal: Journal, skills: list[Skill], place: int
    ) -> Skill | None:
        """Return a skill that the assessor adds, None where it stops; its other proposals are recorded with their reasons."""
        for attempted in range(writing.options.tries):
            id_ = f"i{writing.iteration}-a{place}{attempted}"
            proposed, tokens = assess(writing, journal, skills, id_)
            intake.found.tokens += tokens
            if proposed is None:
                return None
            skills.append(proposed)
            if not proposed.reason:
                return proposed
        return None
