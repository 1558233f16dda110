"""Generation that survives a kill: what a journal lacks is asked, and every finished part is durable."""

from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import Any

from isheep_lib.engines.protocol import SPARE, Completion, Engine, Request, fill_journal
from isheep_lib.record.journal import Journal


def ask(engine: Engine, request: Request) -> Completion:
    """Continue one prompt."""
    (completion,) = next(iter(engine.generate(engine.batches([request]))))
    return completion


def refuse_long(engine: Engine, texts: dict[str, str]) -> None:
    """Raise now, as a DataError with all such ids, what scoring would meet only hours later: texts beyond the context."""
    engine.batches([Request(id_, text, SPARE) for id_, text in texts.items()])


def generate_all(engine: Engine, requests: list[Request], journal: Journal, label: str) -> dict[str, Completion]:
    """Generate what the journal lacks, making each finished part durable; return completions by request id.

    Batches are composed from all requests before the journal is asked, so a resumed stage and the workers that fill
    shards of one compute the same batches as one uninterrupted worker. A worker returns what it has at hand: its own
    batches and what the others have finished by then.
    """

    def ask(batches: list[list[Request]], tick: Callable[[float], None]) -> Iterator[list[dict[str, Any]]]:
        return ([asdict(completion) for completion in found] for found in engine.generate(batches, tick))

    fill_journal(journal, engine.batches(requests), lambda batch: {request.id: 1 for request in batch}, ask, label)
    return {request.id: Completion(**journal.rows[request.id]) for request in requests if request.id in journal.rows}
