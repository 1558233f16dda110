"""Candidates: tasks that a method wrote, each accepted or dropped with a reason."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from isheep_lib.record.funnel import funnel, require
from isheep_lib.record.journal import WAITS
from isheep_lib.record.rows import Task
from isheep_lib.synthesize.near_duplicates import NearDuplicates
from isheep_lib.synthesize.respond import response_prompt
from isheep_lib.synthesize.rules import Item, instruction_problem
from isheep_lib.synthesize.shared_params import Shared
from isheep_lib.synthesize.writing import Writing


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
        if reason := instruction_problem(item, self.shared.instruction_rules, self.writing.frame.words):
            return reason, ""
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
        require(len(self.found.accepted), self.shared.min_instructions, "new instructions", self.found.dropped, do)
        return self.found


def pool_of(texts: list[str], limit: float) -> NearDuplicates:
    """Fill a pool to compare with."""
    pool = NearDuplicates(limit)
    for text in texts:
        pool.add(text)
    return pool


def shown_tasks(found: Candidates, known: list[Task]) -> list[dict[str, Any]]:
    """List the tasks that prompts showed, with the number of candidates that were made from each.

    Args:
        found: what the prompts brought.
        known: seeds and tasks of earlier iterations; those of this one are among the candidates.
    """
    rows = (*found.accepted, *found.dropped)
    times = Counter(id_ for row in rows for id_ in (*row.get("demonstrations", ()), *row.get("parents", ())))
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
