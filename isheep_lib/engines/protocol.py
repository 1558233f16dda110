"""Engines: the one small protocol through which stages ask a model.

Covers the protocol, and filling a journal. Does not cover opening an engine (`engines.open`) or prompts (`prompting.chat`).
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

import numpy as np

from isheep_lib.record.journal import Journal
from isheep_lib.record.progress import Progress

T = TypeVar("T")
SPARE = 4  # tokens that scoring may add to a text: a label's, or the one that a server always generates


@dataclass(frozen=True)
class Request:
    """One framed prompt and how to sample its continuation."""

    id: str  # record id, for errors and journals
    prompt: str  # framed text
    max_new_tokens: int  # limit of the continuation, in tokens
    temperature: float = 0.0  # 0 is greedy
    top_p: float = 1.0  # nucleus mass
    seed: int = 0  # of this record alone
    stop: tuple[str, ...] = field(default=())  # texts that end the continuation and are not part of it


@dataclass(frozen=True)
class Completion:
    """A continuation and why it ended."""

    id: str  # of the request
    text: str  # without special tokens and without what ended it
    finish: str  # "end" (an end token), "stop" (a stop text), "length" (the limit) or "refused" (a judge's server filtered it)
    num_tokens: int  # generated tokens, an end token included
    stopped_by: str = ""  # the stop text or the end token's text, "" at the limit
    tokens: tuple[int, ...] = field(default=(), repr=False)  # the generated ones, where the engine knows them


def quiet(units: float) -> None:
    """Report progress to nobody."""


class Engine(Protocol):
    """What every engine can do; a record's result does not depend on the records around it."""

    vocabulary: Any  # the `engines.tokens.Vocabulary` of the model, None where only a server knows it
    tokenizer: Any
    context: int  # prompt and new tokens together at most, 0 where only a server knows it

    def facts(self) -> dict[str, Any]:
        """Say what a record must keep of this engine: its name, versions, number format and device."""

    def batches(self, requests: list[Request]) -> list[list[Request]]:
        """Divide requests into what is computed together: a resumed stage and a shard take whole batches.

        Raises:
            DataError: a prompt and its continuation do not fit the model's context; all such ids are listed.
        """

    def generate(self, batches: list[list[Request]], tick: Callable[[float], None] = quiet) -> Iterator[list[Completion]]:
        """Continue every prompt of whole batches, as `batches` made them, yielding completions as they are finished.

        `tick` is told the work on unfinished requests, in requests (2.5 is two and a half).
        """

    def logprobs(self, pairs: list[tuple[str, str]]) -> list[tuple[float, int]]:
        """Return log p(continuation | context) in nats and the continuation's tokens, for (context, continuation)."""

    def choices(self, prompts: list[str], labels: list[str]) -> list[list[float]]:
        """Return log p(label and no longer label | prompt) in nats, shape prompts x labels."""

    def embed(self, texts: list[str]) -> np.ndarray:
        """Return the final layer's vectors, float32 of shape texts x size: the mean over the tokens that fit the context."""

    def close(self) -> None:
        """Give back what the engine holds: memory, processes, connections."""


def fill_journal(
    journal: Journal,
    parts: list[T],
    units_of: Callable[[T], dict[str, int]],
    ask: Callable[[list[T], Callable[[float], None]], Iterable[list[dict[str, Any]]]],
    label: str,
    unit: str = "it",
) -> None:
    """Ask for the parts that the journal lacks, make their rows durable as they come, and show progress.

    Args:
        parts: what is computed together.
        units_of: the ids of the rows that a part becomes, each with the units of progress that it counts.
        ask: makes groups of rows of the parts that lack some, and may tell work on unfinished ones in units.
    """
    mine = [(part, units_of(part)) for part in journal.mine(parts)]
    units = {id_: count for _, own in mine for id_, count in own.items()}
    done = sum(count for id_, count in units.items() if id_ in journal.rows)
    with Progress(label, sum(units.values()), unit, done) as progress:
        lacking = [part for part, own in mine if any(id_ not in journal.rows for id_ in own)]
        for rows in ask(lacking, progress.set_share):
            fresh = [row for row in rows if row["id"] not in journal.rows]
            journal.append(fresh)
            progress.advance(sum(units[row["id"]] for row in fresh))
    journal.refresh()
