"""What a synthesis brought: accepted and dropped tasks, compared with earlier ones."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from isheep_lib.record.funnel import funnel
from isheep_lib.record.journal import WAITS
from isheep_lib.record.rows import Task
from isheep_lib.synthesize.lists import Item
from isheep_lib.synthesize.near_duplicates import NearDuplicates
from isheep_lib.synthesize.rules import instruction_problem


@dataclass
class Harvest:
    """What one synthesis brought: accepted tasks in order, rows dropped with their reasons, tokens generated."""

    accepted: list[dict[str, Any]] = field(default_factory=list)
    dropped: list[dict[str, Any]] = field(default_factory=list)
    tokens: int = 0


def pool_of(texts: list[str], limit: float) -> NearDuplicates:
    """Fill a pool to compare with."""
    pool = NearDuplicates(limit)
    for text in texts:
        pool.add(text)
    return pool


def _accept_or_drop(id_: str, item: Item, shown: list[str], params: Any, pool: NearDuplicates, harvest: Harvest) -> None:
    reason, detail = instruction_problem(item, params.instruction_rules), ""
    if not reason and (near := pool.find(item.instruction)):
        reason, detail = "near_duplicate", f"ROUGE-L {near[1]:.2f} with: {near[0]}"
    if not reason and len(harvest.accepted) >= params.instructions:
        reason = "beyond_target"
    row = {"id": id_, "instruction": item.instruction, "input": item.input, "demonstrations": shown}
    if reason:
        harvest.dropped.append({**row, "reason": reason, "detail": detail, "raw": item.raw})
    else:
        pool.add(item.instruction)
        harvest.accepted.append(row)


def shown_tasks(harvest: Harvest, known: list[Task]) -> list[dict[str, Any]]:
    """List the tasks that prompts showed, with the number of generated tasks that followed each.

    Args:
        harvest: what the prompts brought.
        known: seeds and tasks of earlier iterations; those of this one are in the harvest.
    """
    times = Counter(id_ for row in (*harvest.accepted, *harvest.dropped) for id_ in row["demonstrations"])
    own = [Task(row["id"], row["instruction"], row["input"]) for row in harvest.accepted]
    fields = ("id", "instruction", "input", "output")
    return [{**{f: getattr(task, f) for f in fields}, "shown": times[task.id]} for task in [*known, *own] if task.id in times]


def funnel_of(harvest: Harvest, examples: list[dict[str, Any]]) -> dict[str, Any]:
    """Count the tasks that the model wrote: answered, dropped by reason, or waiting for another worker's answer."""
    waiting = [{"reason": WAITS}] * (len(harvest.accepted) - len(examples))
    return funnel(len(harvest.accepted) + len(harvest.dropped), [*harvest.dropped, *waiting])
