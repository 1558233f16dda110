"""Candidates: tasks that a method wrote, each accepted or dropped with a reason."""

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import Field

from isheep_lib.engines.generate import generate_all
from isheep_lib.engines.protocol import Completion, Request
from isheep_lib.languages.mismatch import mismatch
from isheep_lib.params.kinds import Positive, Section
from isheep_lib.record.funnel import funnel, require
from isheep_lib.record.journal import WAITS
from isheep_lib.record.rows import Task
from isheep_lib.synthesize.near_duplicates import NearDuplicates
from isheep_lib.synthesize.respond import response_prompt
from isheep_lib.synthesize.rules import MISMATCH, Item
from isheep_lib.synthesize.shared_params import Shared
from isheep_lib.synthesize.writing import Writing


class BatchOptions(Section):
    """How often a method asks that asks batch by batch until enough tasks are accepted."""

    prompts_per_batch: Positive = Field(32, description="prompts generated before new tasks are compared")
    max_batches: Positive = Field(4, description="batches after which the stage takes what it has")

    @property
    def most_prompts(self) -> int:
        """How many prompts are generated at most."""
        return self.prompts_per_batch * self.max_batches


# What helps where nearly all tasks are dropped for one reason.
NEARLY_ALL = 0.8
ADVICE = {
    MISMATCH: "the model does not write in synthesize.language; set the language that it writes, or any, prompts in the run's "
    "language, or a model that speaks it",
    "starts_oddly": "look at how they begin; synthesize.language may be another than the tasks'",
    "stray_label": "labels of the list's form stand in them: show other demonstrations, or another method",
    "cut_off": "raise synthesize.instruction_tokens",
    "too_short": "set synthesize.language to that of the tasks, whose words are counted, or show longer demonstrations",
    "too_long": "set synthesize.language to that of the tasks, whose words are counted, or show shorter demonstrations",
    "near_duplicate": "raise synthesize.instruction_temperature or max_rouge, or show other demonstrations",
    "beyond_context": "lower synthesize.response_tokens, or raise model.context_tokens where the model allows",
}


@dataclass(frozen=True)
class Prompt:
    """One prompt for new tasks, what a row says of its origin, and how the answer is cut into tasks."""

    request: Request
    lineage: Mapping[str, Any]
    read: Callable[[Completion], list[Item]]


@dataclass
class Candidates:
    """What a method wrote: accepted rows in order, dropped ones with reason, detail and raw text, tokens generated."""

    accepted: list[dict[str, Any]] = field(default_factory=list)
    dropped: list[dict[str, Any]] = field(default_factory=list)
    tokens: int = 0

    def tasks(self) -> list[Task]:
        """Return the accepted tasks."""
        return [Task(row["id"], row["instruction"], row["input"]) for row in self.accepted]


@dataclass
class Intake:
    """Takes candidates one by one, against the rules, the tasks known so far, and the number wanted."""

    writing: Writing[Any]
    pool: NearDuplicates
    asks: bool = True  # for responses: they need room in the model's context
    found: Candidates = field(default_factory=Candidates)

    @property
    def shared(self) -> Shared:
        """The parameters that all methods have."""
        return self.writing.shared

    @property
    def full(self) -> bool:
        """Whether as many tasks as wanted are accepted."""
        return len(self.found.accepted) >= self.shared.instructions

    def problem(self, item: Item, apart: Collection[str] = ()) -> tuple[str, str]:
        """Return why an item is no new task, and the detail; ("", "") if it is one. It may resemble the texts `apart`."""
        if reason := self.writing.rule_problem(item):
            return reason, mismatch(item.instruction, self.shared.language) if reason == MISMATCH else ""
        prompts = {"the prompt for a response": response_prompt(self.writing, vars(item))} if self.asks else {}
        if long := self.writing.overlong(prompts, self.shared.response_tokens):
            return "beyond_context", " has ".join(*long.items())
        if near := self.pool.find(item.instruction, apart):
            return "near_duplicate", f"ROUGE-L {near[1]:.2f} with: {near[0]}"
        return ("beyond_target", "") if self.full else ("", "")

    def take(self, id_: str, item: Item, lineage: Mapping[str, Any], problem: tuple[str, str] | None = None) -> bool:
        """Accept an item as a task or drop it, by `problem` where the caller has looked already; tell which."""
        reason, detail = self.problem(item) if problem is None else problem
        row = {"id": id_, "instruction": item.instruction, "input": item.input, **lineage}
        if reason:
            self.found.dropped.append({**row, "reason": reason, "detail": detail, "raw": item.raw})
        else:
            self.pool.add(item.instruction)
            self.found.accepted.append(row)
        return not reason

    def require(self, do: str) -> Candidates:
        """Return what was taken in.

        Raises:
            YieldError: it is less than `min_instructions`.
        """
        found = self.found
        require(len(found.accepted), self.shared.min_instructions, "new instructions", found.dropped, advice(found, do))
        return self.found


def advice(found: Candidates, do: str) -> str:
    """Say what to do where one reason drops nearly all tasks, before the method's own advice or in its place."""
    reasons = Counter(row["reason"] for row in found.dropped)
    written = len(found.accepted) + len(found.dropped)
    name, number = next(iter(reasons.most_common(1)), ("", 0))
    if number < NEARLY_ALL * written or name not in ADVICE:
        return do
    said = f"{number} of {written} were dropped as {name}: {ADVICE[name]}"
    return f"{said}; more of them would not help" if name == MISMATCH else f"{said}; else {do}"


def write_in_batches(
    writing: Writing[Any], known: list[str], prompt_of: Callable[[str, list[Task]], Prompt], do: str
) -> Candidates:
    """Ask for batches of new tasks until enough are accepted or the batches are used up.

    Deduplication compares with what is known and, as `dedup_scope` says, with what was accepted in this batch, in this
    stage, or in the whole run, in the order of batches, prompts and items; so a batch depends on finished ones only.

    Args:
        writing: whose options are `BatchOptions`.
        known: instructions that no new one may resemble, such as the seeds.
        prompt_of: id of a prompt, and the tasks accepted in earlier iterations and batches, to the prompt.
        do: advice where too few were accepted.

    Raises:
        YieldError: fewer than `min_instructions` were accepted; with the top reasons and examples.
    """
    shared, options = writing.shared, writing.options
    before = [task.instruction for task in writing.earlier if shared.dedup_scope == "run"]
    intake = Intake(writing, pool_of([*known, *before], shared.max_rouge))
    with writing.open_journal("instructions") as journal:
        for batch in range(options.max_batches):
            if intake.full:
                break
            if batch and shared.dedup_scope == "batch":
                intake.pool = pool_of(known, shared.max_rouge)
            tasks = writing.earlier + intake.found.tasks()
            ids = [f"i{writing.iteration}-r{batch}-p{n:03d}" for n in range(options.prompts_per_batch)]
            prompts = {id_: prompt_of(id_, tasks) for id_ in ids}
            requests = [prompt.request for prompt in prompts.values()]
            said = generate_all(writing.engine, requests, journal, f"instructions, batch {batch + 1}")
            for id_, prompt in prompts.items():
                intake.found.tokens += said[id_].num_tokens
                for number, item in enumerate(prompt.read(said[id_])):
                    intake.take(f"{id_}-t{number}", item, prompt.lineage)
    return intake.require(do)


def pool_of(texts: list[str], limit: float) -> NearDuplicates:
    """Fill a pool to compare with."""
    pool = NearDuplicates(limit)
    for text in texts:
        pool.add(text)
    return pool


def shown_tasks(found: Candidates, known: list[Task], answered: Sequence[dict[str, Any]] = ()) -> list[dict[str, Any]]:
    """List the tasks that prompts showed, with the number of candidates, and of answers, that were made from each.

    Args:
        found: what the prompts brought.
        known: seeds and tasks of earlier iterations; those of this one are among the candidates.
        answered: the tasks with their answers, which may have been written after answered seeds.
    """
    rows = (*found.accepted, *found.dropped)
    times = Counter(id_ for row in rows for id_ in (*row.get("demonstrations", ()), *row.get("parents", ())))
    times.update(id_ for row in answered for id_ in row.get("response_demonstrations", ()))
    fields = ("id", "instruction", "input", "output")
    tasks = [task for task in [*known, *found.tasks()] if task.id in times]
    return [{**{f: getattr(task, f) for f in fields}, "shown": times[task.id]} for task in tasks]


def funnel_of(
    found: Candidates, examples: list[dict[str, Any]], same: Sequence[dict[str, Any]] = (), answers: int = 1
) -> dict[str, Any]:
    """Count what the model wrote: tasks that were dropped, and of accepted ones each answer, kept, dropped or waited for.

    Args:
        found: the tasks.
        examples: their answers, of several workers those at hand.
        same: answers that repeat one of the same task.
        answers: wanted of each task.
    """
    wanted = answers * len(found.accepted)
    waiting = [{"reason": WAITS}] * (wanted - len(examples) - len(same))
    return funnel(wanted + len(found.dropped), [*found.dropped, *same, *waiting])
