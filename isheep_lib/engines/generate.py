"""Generation that survives a kill: what a journal lacks is asked, and every finished part is durable."""

from dataclasses import asdict

from isheep_lib.engines.protocol import SPARE, Completion, Engine, Request
from isheep_lib.record.journal import Journal
from isheep_lib.record.progress import Progress


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
