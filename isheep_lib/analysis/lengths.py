"""Whether answers to the same items became shorter or longer.

    compare_lengths({"a": 40, "b": 60}, {"a": 20, "b": 50})     # Change(items=2, before=50.0, after=35.0, difference=-15.0, …)

Covers lengths by item, in any unit. Does not cover reading answers (`benchmarks.comparison`).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

RESAMPLES = 10_000
DIGITS = 6  # sums of resamples differ in their last bits from machine to machine
SHORTER, LONGER, AS_LONG = "shorter", "longer", "about as long"


@dataclass(frozen=True)
class Change:
    """Mean lengths on the shared items; `difference` is after minus before, with a 95 % bootstrap interval over items."""

    items: int
    before: float
    after: float
    difference: float
    low: float
    high: float

    @property
    def word(self) -> str:
        """Say that answers are shorter or longer where the interval leaves 0 out, else that they are about as long."""
        return SHORTER if self.high < 0 else LONGER if self.low > 0 else AS_LONG


def compare_lengths(before: Mapping[str, int], after: Mapping[str, int], seed: int = 0) -> Change | None:
    """Compare lengths on the items of both sides; None where they share none. The order of items changes nothing."""
    ids = sorted(before.keys() & after.keys())
    if not ids:
        return None
    delta = np.array([after[id_] - before[id_] for id_ in ids], dtype=float)
    generator, means = np.random.default_rng(seed), []
    batch = max(1, 1_000_000 // len(ids))  # drawn numbers held at once
    for start in range(0, RESAMPLES, batch):
        drawn = generator.integers(len(ids), size=(min(batch, RESAMPLES - start), len(ids)))
        means.append(delta[drawn].mean(axis=1))
    low, high = np.quantile(np.concatenate(means), (0.025, 0.975))
    first, last = (math.fsum(side[id_] for id_ in ids) / len(ids) for side in (before, after))
    return Change(len(ids), first, last, last - first, round(float(low), DIGITS), round(float(high), DIGITS))
