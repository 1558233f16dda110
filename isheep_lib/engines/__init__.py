"""Engines: the one small protocol through which stages ask a model.

Covers the protocol and opening an engine. Does not cover prompts (`prompts`) or which model (`models`).
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

from isheep_lib.journal import Journal
from isheep_lib.models import ModelRef
from isheep_lib.progress import Progress


@dataclass(frozen=True)
class Request:
    """One framed prompt and how to sample its continuation.

    Attributes:
        id: record id, for errors and journals.
        prompt: framed text.
        max_new_tokens: limit of the continuation, in tokens.
        temperature: 0 is greedy.
        top_p: nucleus mass.
        seed: of this record alone.
        stop: texts that end the continuation and are not part of it.
    """

    id: str
    prompt: str
    max_new_tokens: int
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0
    stop: tuple[str, ...] = field(default=())


@dataclass(frozen=True)
class Completion:
    """A continuation, why it ended ("end" token, "stop" text, "length") and its size in tokens."""

    id: str
    text: str
    finish: str
    num_tokens: int


class Engine(Protocol):
    """What every engine can do; a record's result does not depend on the records around it."""

    tokenizer: Any

    def batches(self, requests: list[Request]) -> list[list[Request]]:
        """Divide requests into the batches that are generated together."""

    def generate(self, batch: list[Request], tick: Callable[[float], None] = ...) -> list[Completion]:
        """Continue every prompt of one batch, telling `tick` the share that is done."""

    def logprobs(self, pairs: list[tuple[str, str]]) -> list[tuple[float, int]]:
        """Return log p(continuation | context) in nats and the continuation's tokens, for (context, continuation)."""

    def choices(self, prompts: list[str], labels: list[str]) -> list[list[float]]:
        """Return log p(label and no longer label | prompt) in nats, shape prompts x labels."""


def open_engine(model: ModelRef, dtype: str, batch_size: int, batch_tokens: int) -> Engine:
    """Load a model into the transformers engine."""
    from isheep_lib.engines.transformers_engine import TransformersEngine

    return TransformersEngine(model, dtype, batch_size, batch_tokens)


def generate_all(engine: Engine, requests: list[Request], journal: Journal, label: str) -> dict[str, Completion]:
    """Generate what the journal lacks, making each batch durable; return completions by request id.

    Batches are composed from all requests before the journal is asked, so a resumed stage computes the same batches
    as an uninterrupted one.
    """
    done = sum(request.id in journal.rows for request in requests)
    with Progress(label, len(requests), done=done) as progress:
        for batch in engine.batches(requests):
            missing = {request.id for request in batch if request.id not in journal.rows}
            if missing:
                completions = engine.generate(batch, progress.within(len(missing)))
                fresh = [asdict(c) for c in completions if c.id in missing]
                journal.append(fresh)
                progress.advance(len(fresh))
    return {request.id: Completion(**journal.rows[request.id]) for request in requests}
