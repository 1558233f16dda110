"""Generation that survives a kill: what a journal lacks is asked, and every finished part is durable."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from typing import Any

from isheep_lib.engines.protocol import SPARE, Completion, Engine, Request, fill_journal
from isheep_lib.prompting.special_tokens import encode
from isheep_lib.record.journal import Journal

CHUNK = 16  # prompts whose choices are read between two journal entries


def ask(engine: Engine, request: Request) -> Completion:
    """Continue one prompt."""
    (completion,) = next(iter(engine.generate(engine.batches([request]))))
    return completion


def overlong(engine: Engine, texts: Mapping[str, str], spare: int = SPARE) -> dict[str, str]:
    """Say by name how long those texts are, in tokens, that leave no room for `spare` more in the model's context."""
    said, known = f"and {spare} more, the model's context is {engine.context}", lengths(engine, texts)
    return {name: f"{length} tokens {said}" for name, length in known.items() if length + spare > engine.context}


def lengths(engine: Engine, texts: Mapping[str, str]) -> dict[str, int]:
    """Count the tokens of texts by name, {} where nobody knows the context and so nothing is too long."""
    return {name: len(encode(engine.tokenizer, text)) for name, text in texts.items()} if engine.context else {}


def generate_all(engine: Engine, requests: list[Request], journal: Journal, label: str) -> dict[str, Completion]:
    """Generate what the journal lacks, making each finished part durable; return completions by request id.

    Batches are composed from all requests before the journal is asked, so a resumed stage and the workers that fill
    shards of one compute the same batches as one uninterrupted worker. A worker returns what it has at hand: its own
    batches and what the others have finished by then.
    """

    def ask(batches: list[list[Request]], tick: Callable[[float], None]) -> Iterator[list[dict[str, Any]]]:
        return (list(map(_row, found)) for found in engine.generate(batches, tick))

    fill_journal(journal, engine.batches(requests), lambda batch: {request.id: 1 for request in batch}, ask, label)
    return {request.id: Completion(**journal.rows[request.id]) for request in requests if request.id in journal.rows}


def _row(completion: Completion) -> dict[str, Any]:
    row = asdict(completion)
    del row["tokens"]  # which the transcript holds
    return row


def choose_all(
    engine: Engine, prompts: dict[str, str], labels: list[str], journal: Journal, label: str
) -> dict[str, list[float]]:
    """Read what the journal lacks off the probabilities of labels; return log p of each label by prompt id, in nats."""
    names = list(prompts)
    chunks = [names[start : start + CHUNK] for start in range(0, len(names), CHUNK)]

    def ask(chunk: list[str]) -> list[dict[str, Any]]:
        return [{"id": f"choices/{chunk[0]}", "logs": engine.choices([prompts[name] for name in chunk], labels)}]

    fill_journal(journal, chunks, lambda c: {f"choices/{c[0]}": len(c)}, lambda lacking, _: map(ask, lacking), label)
    rows = {chunk[0]: journal.rows.get(f"choices/{chunk[0]}") for chunk in chunks}
    return {n: logs for chunk in chunks if (row := rows[chunk[0]]) for n, logs in zip(chunk, row["logs"], strict=True)}
