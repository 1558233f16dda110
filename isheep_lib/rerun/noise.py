"""How far two trainings, or vectors, of one number format may lie apart on different machines, where neither is exact.

Rounding differs in the last bits of every sum, and an optimizer that divides by the root of a mean square passes it on; what
is compared is therefore the weights as a whole, and the losses.
"""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from isheep_lib.record.rows import read_jsonl
from isheep_lib.rerun.notebook_diff import Change

LOSS = 0.02  # nats per token
WEIGHTS = 0.1  # of the length of the recorded weights
VECTORS = 0.05  # of the length of the recorded ones; bfloat16 keeps 8 bits
PARITY = 0.02  # nats per token, of parity.json and reference.jsonl


def training_difference(recorded: Path, made: Path, change: Change) -> Change:
    """Say how far an output of a training lies from the recorded one, and whether that is more than noise."""
    if not made.is_file():
        return change
    if not recorded.is_file():
        return replace(change, kind="cannot be compared", after="the record's weights are not at hand", decides=False)
    if recorded.suffix == ".safetensors":
        far, most, unit = weight_distance(recorded, made), WEIGHTS, "of the weights' length"
    elif recorded.name == "log.jsonl":
        far, most, unit = _loss_distance(read_jsonl(recorded), read_jsonl(made)), LOSS, "nats per token"
    elif recorded.name == "reference.jsonl":
        far, most, unit = _reference_distance(read_jsonl(recorded), read_jsonl(made)), PARITY, "nats per token"
    elif recorded.name == "parity.json":
        far, most, unit = _parity_distance(recorded, made), PARITY, "nats per token"
    else:
        return change
    if far <= most:
        return replace(change, kind="within the format's noise", after=f"{far:.2g} {unit} apart", decides=False)
    return replace(change, kind="another training", after=f"{far:.2g} {unit} apart, noise is at most {most:g}")


def vector_difference(recorded: Path, made: Path, change: Change) -> Change:
    """Say how far vectors of an engine that is not exact lie from the recorded ones, and whether that is more than noise."""
    if not (recorded.is_file() and made.is_file()):
        return change
    old, new = (np.load(path).astype(np.float64) for path in (recorded, made))
    far = float(np.linalg.norm(old - new) / max(np.linalg.norm(old), 1e-30)) if old.shape == new.shape else float("inf")
    kind = "within the format's noise" if far <= VECTORS else "other vectors"
    return replace(change, kind=kind, after=f"{far:.2g} of the vectors' length apart", decides=not far <= VECTORS)


def weight_distance(before: Path, after: Path) -> float:
    """Return the distance of two files of weights over the first one's length; infinite where tensors do not match."""
    from safetensors.numpy import load_file

    old, new = load_file(before), load_file(after)
    if {name: value.shape for name, value in old.items()} != {name: value.shape for name, value in new.items()}:
        return float("inf")
    gap = sum(float(np.square(old[name].astype(np.float64) - new[name]).sum()) for name in old)
    return (gap / sum(float(np.square(value.astype(np.float64)).sum()) for value in old.values())) ** 0.5


def _loss_distance(old: list[dict[str, float]], new: list[dict[str, float]]) -> float:
    if [sorted(row) for row in old] != [sorted(row) for row in new]:
        return float("inf")
    return max(abs(a[name] - b[name]) for a, b in zip(old, new, strict=True) for name in a if "loss" in name)


def _reference_distance(old: list[dict[str, Any]], new: list[dict[str, Any]]) -> float:
    """Compare what the starting model says of answers, by token; infinite where these are not the same answers."""
    apart = [
        abs(a[side] - b[side]) / a[f"{side}_tokens"]
        for a, b in zip(old, new, strict=False)
        for side in ("chosen", "rejected")
        if a["id"] == b["id"] and a[f"{side}_tokens"] == b[f"{side}_tokens"]
    ]
    return max(apart, default=0.0) if len(apart) == 2 * max(len(old), len(new)) else float("inf")


def _parity_distance(before: Path, after: Path) -> float:
    old, new = (json.loads(path.read_text(encoding="utf-8"))["probes"] for path in (before, after))
    if len(old) != len(new):
        return float("inf")
    return max((abs(a[name] - b[name]) for a, b in zip(old, new, strict=True) for name in ("base", "adapter")), default=0.0)
