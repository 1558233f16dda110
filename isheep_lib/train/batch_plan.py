"""Which rows are computed together: optimizer steps, and the forward passes of a step on each process.

    found = plan(lengths, params, seed)
    found.steps[0][0]           # rows of the first forward pass of the first optimizer step

A step's rows are drawn by seed alone. How they are shared out among forward passes and processes changes what is
computed side by side, never what a step learns from: its loss is the sum over all its learned tokens by their number, or over
all its pairs of answers by theirs. The two answers of a pair stand in one forward pass; a row is a pair there.
Covers the plan and its padding. Does not cover tensors (`train.trainer`).
"""

import random
from dataclasses import dataclass

from isheep_lib.train.params import Train

Pass = tuple[int, ...]  # rows of one forward pass; none where a process only keeps the others company


@dataclass(frozen=True)
class Plan:
    """A whole training, all epochs."""

    # Of each optimizer step the forward passes of all processes; process p has p, p + processes, ….
    steps: tuple[tuple[Pass, ...], ...]
    processes: int  # that train together
    epochs: int  # passes over the rows

    @property
    def steps_per_epoch(self) -> int:
        """Optimizer steps in which every row is learned once."""
        return len(self.steps) // self.epochs

    def passes(self, process: int) -> list[tuple[int, Pass]]:
        """List the forward passes of one process in order, each with its number in the whole training."""
        numbered = list(enumerate(rows for step in self.steps for rows in step))
        return numbered[process :: self.processes]


def accumulation(params: Train) -> int:
    """Return the forward passes that each process makes before the optimizer steps."""
    return params.train_batch // (params.micro_batch * params.num_processes)


def plan(lengths: list[int], params: Train, seed: int) -> Plan:
    """Lay out a training of rows with these numbers of tokens, in an order drawn by seed."""
    number = params.train_batch // params.micro_batch
    rng = random.Random(seed)  # noqa: S311 - reproducible, not secret
    steps = []
    for _ in range(params.epochs):
        order = list(range(len(lengths)))
        rng.shuffle(order)
        for start in range(0, len(order), params.train_batch):
            rows = order[start : start + params.train_batch]
            steps.append(_passes(rows, lengths, number, params.micro_batch, params.batching))
    return Plan(tuple(steps), params.num_processes, params.epochs)


def _passes(rows: list[int], lengths: list[int], number: int, most: int, batching: str) -> tuple[Pass, ...]:
    """Share a step's rows out among `number` forward passes of at most `most` rows, those of like work side by side."""
    if batching == "packed":
        found = _evenly(rows, lengths, number, most)
    else:
        ranked = sorted(rows, key=lambda row: -lengths[row])
        found = [tuple(ranked[i : i + most]) for i in range(0, len(ranked), most)]
    return (*found, *[()] * (number - len(found)))


def _evenly(rows: list[int], lengths: list[int], number: int, most: int) -> list[Pass]:
    """Give each row, the longest first, to the pass that has the fewest tokens so far."""
    groups: list[list[int]] = [[] for _ in range(number)]
    for row in sorted(rows, key=lambda row: -lengths[row]):
        open_ = [group for group in groups if len(group) < most]
        min(open_, key=lambda group: sum(lengths[i] for i in group)).append(row)
    return [tuple(group) for group in groups]


def padding_share(found: Plan, lengths: list[list[int]], batching: str) -> float:
    """Return the share of a training's computed positions that hold no token.

    Args:
        found: the plan.
        lengths: of the answers of each row, one or two.
        batching: how rows are put together.
    """
    passes = [[length for row in rows for length in lengths[row]] for step in found.steps for rows in step if rows]
    tokens = sum(map(sum, passes))
    widths = tokens if batching == "packed" else sum(len(each) * max(each) for each in passes)
    return 1 - tokens / widths
