"""New tasks from seeds that the model answers wrongly, each kept where most of several answers say what was written with it.

    seeds -> answers, right and wrong -> new tasks like the wrong ones -> answers to these -> accepted or dropped

Only seeds are ever shown, so no mistake of a new task is passed on. Covers what LLM2LLM and LLMs-as-Instructors share. Does not
cover what a prompt shows of a mistake, or how often it is asked (each method).
"""

from abc import abstractmethod
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar, TypeVar

from pydantic import Field

from isheep_lib.display.table import Table, samples
from isheep_lib.engines.generate import ask, generate_all
from isheep_lib.engines.protocol import Request
from isheep_lib.languages.words import words
from isheep_lib.params.kinds import Positive, Section
from isheep_lib.record.funnel import require
from isheep_lib.record.journal import Journal
from isheep_lib.record.rows import Task, task_of
from isheep_lib.synthesize.candidates import Candidates, Intake, pool_of
from isheep_lib.synthesize.evolving.rounds import require_successes
from isheep_lib.synthesize.extras.asking import text_request
from isheep_lib.synthesize.extras.needs import of_kinds
from isheep_lib.synthesize.extras.own import WithFiles, rows_of
from isheep_lib.synthesize.feedback.checking import agreeing, is_checkable, number_of, require_checkable
from isheep_lib.synthesize.feedback.fitting import first_fitting
from isheep_lib.synthesize.feedback.mistakes import Seen, answer_seeds, labels_of, read_task
from isheep_lib.synthesize.method import Example, Method
from isheep_lib.synthesize.respond import ANSWER, respond, response_prompt
from isheep_lib.synthesize.rules import Item
from isheep_lib.synthesize.shared_params import Shared
from isheep_lib.synthesize.writing import Writing

FILE = "seed_answers.jsonl"
KINDS = ["number", "fact", "text"]
Problem = tuple[str, str]  # a reason, and its detail


class MistakesOptions(Section):
    """Which seeds are answered, how often their mistakes are written from, and how new answers are held against one another."""

    kinds: list[str] = Field(KINDS, description="kinds of seeds that are answered, none is all; each needs an output to check")
    rounds: Positive = Field(4, description="times at most that every wrongly answered seed is written from in an iteration")
    votes: Positive = Field(5, description="answers to each new task that are held against the one written with it")
    min_votes: Positive = Field(3, description="answers that must give it, more than half of votes")


O = TypeVar("O", bound=MistakesOptions)  # noqa: E741 - options
# The meanings of reasons, for the methods that give them.
NO_ANSWER = "no answer was written with the task"
NOT_CHECKABLE = "the answer written with it is no number where the seed's is one, or more than a few words"
SAME_TASK = "it says what its seed says"
DISAGREES = "fewer than `min_votes` of the model's answers give the one that it wrote with the task"


class FromMistakes(Method[O]):
    """A method that writes tasks like those seeds that the model answers wrongly."""

    operator: ClassVar[str]
    brings_answers: ClassVar[bool] = True
    one_answer: ClassVar[bool] = True
    advice: ClassVar[str] = "look at the examples; raise rounds, lower min_votes, give more seeds, or lower min_instructions"

    @abstractmethod
    def prompt(self, writing: Writing[O], wrong: Seen, right: Sequence[Seen]) -> str:
        """Ask for one new task from a mistake, in words; `right` are neighbours that are answered rightly, if any."""

    @abstractmethod
    def times(self, writing: Writing[O], mistakes: int) -> int:
        """Return how often each of so many mistakes is written from in a round."""

    def neighbours(self, writing: Writing[O], journal: Journal, seen: Sequence[Seen]) -> dict[str, list[Seen]]:
        """Return which rightly answered seeds are shown beside each mistake, by the mistake's id."""
        return {}

    def operator_of(self, options: O) -> str:
        """Name what rows call the way that they were written."""
        return self.operator

    def conflicts(self, shared: Shared, options: O) -> list[str]:
        """Name values that contradict one another."""
        problems = []
        if options.min_votes > options.votes:
            problems.append("min_votes: must be at most votes")
        elif 2 * options.min_votes <= options.votes:
            problems.append(f"min_votes: must be more than half of the {options.votes} votes, so that no two answers can win")
        if options.votes > 1 and not shared.response_temperature:
            problems.append(f"votes: at response_temperature 0 all {options.votes} answers are the same; raise it, or set 1")
        return problems

    def check_data(self, shared: Shared, options: O) -> dict[str, str]:
        """Refuse seeds whose outputs cannot be checked."""
        require_checkable(shared, options.kinds)
        return {}

    def given(self, writing: Writing[O]) -> Table:
        """Show the seeds that are answered."""
        rows = [vars(task) for task in self._seeds(writing)]
        return samples(rows, ["id", "kind", "instruction", "input", "output"], 3, 0, f"{len(rows)} seeds to answer, such as")

    def example(self, writing: Writing[O]) -> Example:
        """Take the first wrongly answered seed through all steps."""
        with writing.open_journal("seed_answers") as journal:
            seen, _ = answer_seeds(writing, journal, self._seeds(writing))
            near = self.neighbours(writing, journal, seen)
        wrong = _require_mistakes(seen)[0]
        request = self._request(writing, "example", wrong, near)
        said = ask(writing.engine, request)
        item, written = read_task(said, labels_of(self.prompt(writing, wrong, [])))
        steps = {"seed": wrong.seed.instruction, "known": wrong.seed.output, "said": wrong.said[:200], "is": item.instruction}
        steps |= {f"right neighbour {n}": one.seed.instruction for n, one in enumerate(near.get(wrong.seed.id, ()), start=1)}
        steps |= {"written answer": written}
        intake = Intake(writing, pool_of([task.instruction for task in writing.seeds], writing.shared.max_rouge))
        problem = self._problem(wrong.seed, item, written) or _text_problem(intake, item)
        if not problem:
            with writing.open_journal("example") as journal:
                (found,) = _vote(writing, journal, {"example": Task("example", item.instruction, output=written)}).values()
            steps |= {"answers": " | ".join(row["output"][:80] for row in found[0]), "agreeing": str(len(found[1]))}
            problem = ("disagrees", "") if len(found[1]) < writing.options.min_votes else None
        steps["verdict"] = ": ".join(filter(None, problem)) if problem else "nothing against it"
        return Example(request.prompt, said.text, [{"step": name, "text": text} for name, text in steps.items()])

    def write(self, writing: Writing[O]) -> Candidates:
        """Answer the seeds, and write from the wrong ones round after round until enough are accepted.

        Raises:
            YieldError: no seed was answered wrongly, fewer than `min_instructions` were accepted, or nothing was accepted of
                many; with the top reasons and examples.
        """
        known = [task.instruction for task in (*writing.seeds, *writing.earlier)]
        intake = Intake(writing, pool_of(known, writing.shared.max_rouge))
        with writing.open_journal("seed_answers") as journal:
            seen, tokens = answer_seeds(writing, journal, self._seeds(writing))
            near = self.neighbours(writing, journal, seen)
        wrong = _require_mistakes(seen)
        with writing.open_journal("new_tasks") as written, writing.open_journal("votes") as votes:
            for number in range(1, writing.options.rounds + 1):
                if not intake.full:
                    self._take_round(writing, intake, (written, votes), number, wrong, near)
                    require_successes(intake.found)
        found = intake.require(self.advice)
        return WithFiles(found.accepted, found.dropped, found.tokens + tokens, {FILE: [one.row for one in seen]})

    def evidence(self, candidates: Candidates) -> Table:
        """Show how many seeds of each kind were answered wrongly, and what was written from them."""
        seen = rows_of(candidates, FILE)
        kind_of = {row["id"]: row["kind"] for row in seen}
        kept = Counter(kind_of.get(row["parents"][0], "") for row in candidates.accepted)
        lost = [(kind_of.get(row["parents"][0], ""), row["reason"]) for row in candidates.dropped]
        rows = []
        for kind in sorted(set(kind_of.values())):
            own = [row["right"] for row in seen if row["kind"] == kind]
            reasons = Counter(reason for name, reason in lost if name == kind)
            row = {"skill": kind or "no kind", "seeds": len(own), "answered wrongly": len(own) - sum(own)}
            row |= {"written": kept[kind] + reasons.total(), "accepted": kept[kind]}
            rows.append(row | {"mostly lost by": next((reason for reason, _ in reasons.most_common(1)), "")})
        return Table(rows or [{"skill": "no seed was answered"}], "where the model fails, and what was written from that")

    def figure(self, candidates: Candidates) -> Any:
        """Draw by kind of seed how many are answered wrongly, and how many tasks were accepted."""
        from isheep_lib.synthesize.feedback.figures import weaknesses

        kept = Counter(row["skill"] for row in candidates.accepted)
        seen = rows_of(candidates, FILE)
        kinds = sorted({row["kind"] for row in seen})
        wrong = {k: [not row["right"] for row in seen if row["kind"] == k] for k in kinds}
        rows = [(k or "no kind", sum(wrong[k]) / len(wrong[k]), kept[k]) for k in kinds]
        return weaknesses(rows, "share of seeds answered wrongly", (0.0, 1.0))

    def _seeds(self, writing: Writing[O]) -> list[Task]:
        """Return the seeds that are answered; all must fit the model's context, whichever are wrong."""
        seeds = of_kinds(writing.seeds, writing.options.kinds)
        prompts = {seed.id: response_prompt(writing, vars(seed)) for seed in seeds}
        long = writing.overlong(prompts, writing.shared.response_tokens)
        writing.refuse_seeds(long, "shorten or remove them, or lower synthesize.response_tokens")
        return seeds

    def _request(self, writing: Writing[O], id_: str, wrong: Seen, near: Mapping[str, Sequence[Seen]]) -> Request:
        """Ask for a task from one mistake; of neighbours and of the wrong answer, as much as the context holds."""
        right = list(near.get(wrong.seed.id, ()))
        shown = [(wrong, right[:n]) for n in range(len(right), -1, -1)] + [(replace(wrong, said=wrong.said[:200]), [])]
        forms = (text_request(writing, id_, self.prompt(writing, one, beside)) for one, beside in shown)
        return first_fitting(writing, forms)

    def _take_round(
        self,
        writing: Writing[O],
        intake: Intake,
        journals: tuple[Journal, Journal],
        number: int,
        wrong: Sequence[Seen],
        near: Mapping[str, Sequence[Seen]],
    ) -> None:
        """Write from each mistake, answer what is a task, and take in what most answers agree on."""
        times, labels = self.times(writing, len(wrong)), labels_of(self.prompt(writing, wrong[0], []))
        parents = {
            f"i{writing.iteration}-g{number}-{place:03d}-{time}": one
            for time in range(times)
            for place, one in enumerate(wrong)
        }
        requests = [self._request(writing, id_, one, near) for id_, one in parents.items()]
        said = generate_all(writing.engine, requests, journals[0], f"new tasks, round {number}")
        intake.found.tokens += sum(completion.num_tokens for completion in said.values())
        read = {id_: read_task(said[id_], labels) for id_ in parents}
        problems = {i: self._problem(parents[i].seed, *read[i]) or _text_problem(intake, read[i][0]) for i in parents}
        left = {i: Task(i, read[i][0].instruction, output=read[i][1]) for i in parents if not problems[i]}
        voted = _vote(writing, journals[1], left)
        for i, one in parents.items():
            item, answer = read[i]
            lineage = {"parents": [one.seed.id], "operator": self.operator_of(writing.options), "round": number}
            lineage |= {"skill": one.seed.kind, "written_answer": answer}
            if beside := near.get(one.seed.id):
                lineage["neighbours"] = [right.seed.id for right in beside]
            rows, agree = voted.get(i, ([], []))
            if rows:
                lineage |= {"agreeing": len(agree), "votes": len(rows)}
            problem = problems[i]
            if rows and len(agree) < writing.options.min_votes:
                problem = "disagrees", f"{len(agree)} of {len(rows)} say {answer}"
            if rows and agree:
                lineage |= {name: rows[agree[0]][name] for name in ANSWER}
            taken = intake.take(i, item, lineage, problem or intake.problem(item))
            spent = sum(row["num_tokens"] for row in rows)
            intake.found.tokens += spent - (rows[agree[0]]["num_tokens"] if taken else 0)

    def _problem(self, seed: Task, item: Item, answer: str) -> Problem | None:
        """Return why a text is no new task with a checkable answer, None where it is one."""
        if item.cut:
            return "cut_off", ""
        if not item.instruction:
            return "empty", ""
        if not answer:
            return "no_answer", ""
        if words(item.instruction) in (words(seed.instruction), words(f"{seed.instruction} {seed.input}")):
            return "same_task", ""
        is_other = number_of(seed.output) is not None and number_of(answer) is None
        return ("not_checkable", answer[:80]) if is_other or not is_checkable(answer) else None


def _require_mistakes(seen: Sequence[Seen]) -> list[Seen]:
    """Return the seeds that were answered wrongly.

    Raises:
        YieldError: there are none.
    """
    wrong = [one for one in seen if not one.right]
    do = "the model has nothing to learn from these; give harder seeds, or choose another method"
    require(len(wrong), 1, f"of {len(seen)} seeds answered wrongly", [one.example for one in seen], do)
    return wrong


def _text_problem(intake: Intake, item: Item) -> Problem | None:
    """Return what the rules and earlier tasks have against a task, None for nothing."""
    reason, detail = intake.problem(item)
    return (reason, detail) if reason else None


def _vote(
    writing: Writing[Any], journal: Journal, tasks: Mapping[str, Task]
) -> dict[str, tuple[list[dict[str, Any]], list[int]]]:
    """Answer tasks several times; return the answers, and the places of those that say what was written with the task."""
    rows = [{"id": i, "instruction": task.instruction, "input": ""} for i, task in tasks.items()]
    answers: dict[str, list[dict[str, Any]]] = {}
    for row in respond(writing, rows, journal, writing.options.votes):
        answers.setdefault(task_of(row), []).append(row)
    return {i: (own, agreeing(tasks[i], own)) for i, own in answers.items()}
