"""Engines: the one small protocol through which stages ask a model.

Covers the protocol, opening an engine, and generation that survives a kill. Does not cover prompts (`prompts`) or
which model (`models`).
"""

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

import numpy as np

from isheep_lib.journal import Journal
from isheep_lib.models import ModelRef
from isheep_lib.progress import Progress

SPARE = 4  # tokens that scoring may add to a text: a label's, or the one that a server always generates


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
    """A continuation and why it ended.

    Attributes:
        id: of the request.
        text: without special tokens and without what ended it.
        finish: "end" (an end token), "stop" (a stop text) or "length" (the limit).
        num_tokens: generated tokens, an end token included.
        stopped_by: the stop text or the end token's text, "" at the limit.
    """

    id: str
    text: str
    finish: str
    num_tokens: int
    stopped_by: str = ""


def quiet(units: float) -> None:
    """Report progress to nobody."""


class Engine(Protocol):
    """What every engine can do; a record's result does not depend on the records around it."""

    tokenizer: Any

    def facts(self) -> dict[str, Any]:
        """Say what a record must keep of this engine: its name, versions, number format and device."""

    def batches(self, requests: list[Request]) -> list[list[Request]]:
        """Divide requests into what is computed together: a resumed stage and a shard take whole batches.

        Raises:
            DataError: a prompt and its continuation do not fit the model's context; all such ids are listed.
        """

    def generate(self, batches: list[list[Request]], tick: Callable[[float], None] = quiet) -> Iterator[list[Completion]]:
        """Continue every prompt, yielding completions as they are finished.

        Args:
            batches: whole batches that `batches` made.
            tick: told the work on unfinished requests, in requests (2.5 is two and a half).
        """

    def logprobs(self, pairs: list[tuple[str, str]]) -> list[tuple[float, int]]:
        """Return log p(continuation | context) in nats and the continuation's tokens, for (context, continuation)."""

    def choices(self, prompts: list[str], labels: list[str]) -> list[list[float]]:
        """Return log p(label and no longer label | prompt) in nats, shape prompts x labels."""

    def embed(self, texts: list[str]) -> np.ndarray:
        """Return the final layer's vectors, mean over a text's tokens, float32 of shape texts x size."""

    def close(self) -> None:
        """Give back what the engine holds: memory, processes, connections."""


def open_engine(model: ModelRef, settings: Any) -> Engine:
    """Load a model into the engine that the settings name.

    Args:
        model: base and adapters.
        settings: the section `params.Model`, or a stage's parameters, which include it.
    """
    if settings.engine == "vllm":
        from isheep_lib.engines.vllm_engine import VllmEngine

        return VllmEngine(model, settings)
    if settings.engine == "server":
        from isheep_lib.engines.server_engine import ServerEngine

        return ServerEngine(model, settings)
    from isheep_lib.engines.transformers_engine import TransformersEngine

    return TransformersEngine(
        model, settings.inference_dtype, settings.batch_tokens, settings.cache_tokens, settings.context_tokens
    )


def ask(engine: Engine, request: Request) -> Completion:
    """Continue one prompt."""
    (completion,) = next(iter(engine.generate(engine.batches([request]))))
    return completion


def refuse_long(engine: Engine, texts: dict[str, str]) -> None:
    """Raise now, with the record ids, what scoring would meet only hours later: texts beyond the context.

    Raises:
        DataError: with all such ids.
    """
    engine.batches([Request(id_, text, SPARE) for id_, text in texts.items()])


def generate_all(engine: Engine, requests: list[Request], journal: Journal, label: str) -> dict[str, Completion]:
    """Generate what the journal lacks, making each finished part durable; return completions by request id.

    Batches are composed from all requests before the journal is asked, so a resumed stage and the workers that fill
    shards of one compute the same batches as one uninterrupted worker. A worker returns what it has at hand: its own
    batches and what the others have finished by then.
    """
    batches = journal.mine(engine.batches(requests))
    own = [request.id for batch in batches for request in batch]
    with Progress(label, len(own), done=sum(id_ in journal.rows for id_ in own)) as progress:
        waiting = [batch for batch in batches if any(request.id not in journal.rows for request in batch)]
        for completions in engine.generate(waiting, progress.set_share):
            fresh = [asdict(c) for c in completions if c.id not in journal.rows]
            journal.append(fresh)
            progress.advance(len(fresh))
    journal.refresh()
    return {request.id: Completion(**journal.rows[request.id]) for request in requests if request.id in journal.rows}


def preflight(model: ModelRef, settings: Any) -> None:
    """Raise now what would stop an engine later: not installed, not reachable, the model not known, memory too small.

    Raises:
        EngineError, ModelError: with what to do.
    """
    if settings.engine == "vllm":
        from isheep_lib.engines import vllm_engine as chosen
    elif settings.engine == "server":
        from isheep_lib.engines import server_engine as chosen
    else:
        from isheep_lib.engines import transformers_engine as chosen
    chosen.preflight(model, settings)
