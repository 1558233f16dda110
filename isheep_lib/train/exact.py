"""Exact training: an adapter of the same bytes on every machine, learned in float64 and rounded to a grid.

    with arithmetic(params):                     # weights, losses, gradients and optimizer in float64
        train(...)
    to_grid(weight, spacing(learning_rate))      # what is recorded, and what held-out losses are measured with

In float64 machines differ by a billionth of the grid, so they round to the same values unless a weight lies that near to
the middle between two. Such weights are counted: where there are none, the bytes are proven to be everybody's.
Covers arithmetic, dropout, the grid. Does not cover the training itself (`train.trainer`) or its files (`train.run`).
"""

import contextlib
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch.nn import functional
from torch.utils.checkpoint import noop_context_fn

from isheep_lib.engines.exact.double import NothingShorter, Watch
from isheep_lib.errors import TrainingError
from isheep_lib.train.params import Train

PARTS = 8  # of a learning rate, which is about what AdamW moves a weight by in a step
BOUND = 5e-10  # of the learning rate: fifty times as far as weights of two machines were seen apart, see docs/training.md
WHERE, PLAIN = "train.numerics exact", "set train.numerics to plain: then the weights are this machine's own"


class _Exactly(NothingShorter):
    """Float64 for float32, and dropout that any machine draws alike: torch's own depends on its math library."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is functional.dropout:
            return _dropout(*args, **(kwargs or {}))
        if func is functional.scaled_dot_product_attention and (kwargs or {}).get("dropout_p"):
            raise TrainingError(
                "Exact training knows no dropout inside attention, and this model has it", where=WHERE, do=PLAIN
            )
        return super().__torch_function__(func, types, args, kwargs)


def _dropout(given: torch.Tensor, p: float = 0.5, training: bool = True, **_: Any) -> torch.Tensor:
    """Drop a share of the values by torch's generator on the CPU, one number after the other."""
    if not training or p == 0:
        return given
    kept = torch.rand(given.shape, device="cpu") >= p
    return given * (kept.to(given.device, given.dtype) / (1 - p))


@contextlib.contextmanager
def arithmetic(params: Train) -> Iterator[None]:
    """Let torch compute in float64 whatever it would compute in float32, where training is exact."""
    if params.numerics == "plain":
        yield
        return
    with _Exactly():
        yield


def contexts(params: Train) -> Callable[[], tuple[Any, Any]]:
    """Say how gradient checkpointing computes, first and again; a backward pass leaves the arithmetic that it began in."""
    return _first_and_again if params.numerics == "exact" else noop_context_fn


def _first_and_again() -> tuple[Any, Any]:
    return contextlib.nullcontext(), _Exactly()


def watch() -> Watch:
    """Raise a TrainingError, in the block, at the first operation that leaves float64."""
    return Watch(lambda what: TrainingError(what, where=WHERE, do=PLAIN))


def spacing(learning_rate: float) -> float:
    """Return the distance of the grid's values, a power of two: an eighth of the learning rate or somewhat less."""
    return math.ldexp(1.0, math.frexp(learning_rate)[1] - 1) / PARTS


def to_grid(weight: torch.Tensor, step: float) -> torch.Tensor:
    """Return the nearest values of the grid, float64."""
    return torch.round(weight.double() / step) * step + 0.0  # of two zeros the one without a sign


def put_on_grid(file: Path, learning_rate: float) -> dict[str, Any]:
    """Round an adapter's file to the grid, in float32; return facts such as how many weights lie near an edge."""
    step, bound = spacing(learning_rate), BOUND * learning_rate
    weights = load_file(file)
    save_file({name: to_grid(weight, step).float() for name, weight in weights.items()}, file, {"format": "pt"})
    near = sum(near_edge(weight, step, bound) for weight in weights.values())
    return {"grid": step, "bound": bound, "weights": sum(map(torch.numel, weights.values())), "near_edge": near}


def near_edge(weight: torch.Tensor, step: float, bound: float) -> int:
    """Count the values that lie at most `bound` from the middle between two values of the grid."""
    places = weight.double() / step
    return int(((places - places.floor() - 0.5).abs() * step <= bound).sum())


@contextlib.contextmanager
def as_recorded(model: torch.nn.Module, params: Train) -> Iterator[None]:
    """Let a model compute with its trained weights as the record will have them: on the grid, where training is exact."""
    if params.numerics == "plain":
        yield
        return
    step = spacing(params.learning_rate)
    trained = [weight for weight in model.parameters() if weight.requires_grad]
    kept = [weight.data for weight in trained]
    for weight in trained:
        weight.data = to_grid(weight.data, step)
    try:
        yield
    finally:
        for weight, value in zip(trained, kept, strict=True):
            weight.data = value
