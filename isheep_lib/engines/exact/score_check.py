"""Recorded log-probabilities held against a model: how far what it says now lies from what is on record.

Covers continuations (nats per token) and labels (probabilities: of labels that are next to impossible, logarithms differ by
more and decide nothing). Does not cover tokens (`engines.exact.token_check`).
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from isheep_lib.engines.transcript import Asked

Kept = tuple[Asked, dict[str, Any]]  # what was asked and its row in the transcript
LEAST = {"exact": 0.0, "float32": 2e-4, "bfloat16": 0.01}  # what is not noise is beyond this, whatever was measured


def recorded(kept: Sequence[Kept]) -> list[list[float]]:
    """Return the values on record, in the units above."""
    return [
        [row["logprob"] / max(1, row["num_tokens"]), row["num_tokens"]]
        if "logprob" in row
        else [math.exp(v) for v in row["logs"]]
        for _, row in kept
    ]


def computed(engine: Any, kept: Sequence[Kept]) -> list[list[float]]:
    """Return what a model says now, in the same order and units."""
    values: list[list[float]] = [[] for _ in kept]
    pairs, groups = {}, {}
    for i, (asked, _) in enumerate(kept):
        if isinstance(asked, tuple) and isinstance(asked[1], str):
            pairs[i] = asked
        elif isinstance(asked, tuple):
            groups.setdefault(asked[1], {})[i] = asked[0]
    if pairs:
        for i, (total, number) in zip(pairs, engine.logprobs(list(pairs.values())), strict=True):
            values[i] = [total / max(1, number), number]
    for labels, prompts in groups.items():
        for i, logs in zip(prompts, engine.choices(list(prompts.values()), list(labels)), strict=True):
            values[i] = [math.exp(log) for log in logs]
    return values


def distances(before: list[list[float]], now: list[list[float]]) -> list[float]:
    """Return how far two computations of each score lie apart at most."""
    both = zip(before, now, strict=True)
    return [float(np.abs(np.subtract(a, b)).max(initial=0.0)) if len(a) == len(b) else math.inf for a, b in both]


def document(far: list[float], noise: list[float], kind: str, most: float) -> dict[str, Any]:
    """Say how many scores are further from the record than its number format explains: `most` times the noise seen here."""
    tolerance = max(LEAST[kind], most * max(noise, default=0.0))
    outside = sum(distance > tolerance for distance in far)
    return {"checked": len(far), "outside": outside, "largest": max(far, default=0.0), "tolerance": tolerance}
