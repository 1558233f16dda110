"""What a model was asked and what it answered: nothing is asked twice, and every answer is on record.

    engine = Recorded(engine, journal)     # the journal becomes transcript.jsonl when the stage is recorded

A row is found by a digest of all that was asked, so it also tells whether the same is asked again:
    {"id": "9f…", "of": "i1-r0-p003-t2", "tokens": "504 28 1790 2"}       a continuation
    {"id": "3c…", "logprob": -7.1026, "num_tokens": 12}                    log p of a continuation that was given
    {"id": "77…", "logs": [-0.2105, -1.6641]}                                log p of labels

Tokens are one text because a list of numbers takes seven times the memory. A continuation of a server that names no token
ids is kept as text. Vectors are outputs of their stages and not kept here.
Covers keeping and finding. Does not cover holding answers against a model (`engines.replay`).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np

from isheep_lib.engines.protocol import Completion, Engine, Request, quiet
from isheep_lib.record.journal import Journal
from isheep_lib.record.rows import canonical_json, digest_text

TRANSCRIPT = "transcript.jsonl"
STEM = 32  # characters of a digest in an id
Asked = Request | tuple[str, str] | tuple[str, tuple[str, ...]]  # a continuation, (context, continuation), (prompt, labels)


def key_of(asked: Asked) -> str:
    """Name what was asked by everything that decides the answer; a request's id does not."""
    if isinstance(asked, Request):
        said: list[Any] = ["generate", {name: value for name, value in asdict(asked).items() if name != "id"}]
    else:
        said = ["logprob" if isinstance(asked[1], str) else "choices", *asked]
    return digest_text(canonical_json(said))[:STEM]


def row_of(request: Request, completion: Completion, vocabulary: Any) -> dict[str, Any]:
    """Write a continuation as its tokens; also as what was read from them where another reading would differ."""
    row: dict[str, Any] = {"id": key_of(request), "of": request.id}
    bare = replace(completion, tokens=())
    if completion.tokens:
        row["tokens"] = " ".join(map(str, completion.tokens))
        if vocabulary.completion(request, tokens_of(row)) == completion:
            return row
    return row | {name: value for name, value in asdict(bare).items() if name not in ("id", "tokens")}


def tokens_of(row: Mapping[str, Any]) -> list[int]:
    """Return the tokens of a continuation, none where only its text is on record."""
    return [int(token) for token in row.get("tokens", "").split()]


def completion_of(request: Request, row: Mapping[str, Any], vocabulary: Any) -> Completion:
    """Read what `row_of` wrote."""
    if "finish" not in row:
        return vocabulary.completion(request, tokens_of(row))
    read = {name: row[name] for name in ("text", "finish", "num_tokens", "stopped_by")}
    return Completion(request.id, **read, tokens=tuple(tokens_of(row)))


class Recorded:
    """An engine whose answers are on record; see the protocol `isheep_lib.engines.protocol.Engine`."""

    def __init__(self, engine: Engine, journal: Journal, known: Mapping[str, dict[str, Any]] | None = None) -> None:
        """Open the record.

        Args:
            journal: of this stage; what an earlier, killed process was answered is in it.
            known: rows of other stages that this engine would repeat.
        """
        self.engine, self.journal, self._known = engine, journal, known or {}
        self.vocabulary = engine.vocabulary
        self.tokenizer, self.context = engine.tokenizer, engine.context

    def facts(self) -> dict[str, Any]:
        """Say what computes; see the protocol."""
        return self.engine.facts()

    def rows(self) -> list[dict[str, Any]]:
        """Return what all workers of the stage were answered, in an order that does not depend on who asked first."""
        self.journal.refresh()
        return sorted(self.journal.rows.values(), key=lambda row: (row.get("of", ""), row["id"]))

    def fresh(self) -> list[dict[str, Any]]:
        """Return those rows that were not known before."""
        return [row for row in self.rows() if row["id"] not in self._known]

    def batches(self, requests: list[Request]) -> list[list[Request]]:
        """Divide requests into what is computed together; see the protocol."""
        return self.engine.batches(requests)

    def find(self, asked: Sequence[Asked]) -> list[dict[str, Any] | None]:
        """Return the rows of what was asked before, None where nobody did."""
        keys = [key_of(one) for one in asked]
        known = [self._known[key] for key in dict.fromkeys(keys) if key not in self.journal.rows and key in self._known]
        if known:
            self.journal.append(known)
        return [self.journal.rows.get(key) for key in keys]

    def _keep(self, rows: list[dict[str, Any]]) -> None:
        fresh = [row for row in rows if row["id"] not in self.journal.rows]
        if fresh:
            self.journal.append(fresh)

    def generate(self, batches: list[list[Request]], tick: Callable[[float], None] = quiet) -> Iterator[list[Completion]]:
        """Continue the prompts of whole batches; see the protocol. A batch is computed whole, or not at all."""
        lacking = [batch for batch in batches if not all(self.find(batch))]
        for batch in batches:
            if all(self.find(batch)):
                yield self._completions(batch)
        requests = {request.id: request for batch in lacking for request in batch}
        for found in self.engine.generate(lacking, tick) if lacking else ():
            self._keep([row_of(requests[one.id], one, self.vocabulary) for one in found])
            yield self._completions([requests[one.id] for one in found])

    def _completions(self, requests: Sequence[Request]) -> list[Completion]:
        return [completion_of(request, self.journal.rows[key_of(request)], self.vocabulary) for request in requests]

    def logprobs(self, pairs: list[tuple[str, str]]) -> list[tuple[float, int]]:
        """Score continuations; see the protocol."""
        lacking = [pair for pair, row in zip(pairs, self.find(pairs), strict=True) if not row]
        found = self.engine.logprobs(lacking) if lacking else []
        rows = zip(lacking, found, strict=True)
        self._keep([{"id": key_of(pair), "logprob": value, "num_tokens": number} for pair, (value, number) in rows])
        kept = [self.journal.rows[key_of(pair)] for pair in pairs]
        return [(row["logprob"], row["num_tokens"]) for row in kept]

    def choices(self, prompts: list[str], labels: list[str]) -> list[list[float]]:
        """Score labels; see the protocol."""
        asked = [(prompt, tuple(labels)) for prompt in prompts]
        lacking = [one for one, row in zip(asked, self.find(asked), strict=True) if not row]
        found = self.engine.choices([prompt for prompt, _ in lacking], labels) if lacking else []
        self._keep([{"id": key_of(one), "logs": logs} for one, logs in zip(lacking, found, strict=True)])
        return [self.journal.rows[key_of(one)]["logs"] for one in asked]

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """Return vectors; see the protocol."""
        return self.engine.embed(list(texts))

    def close(self) -> None:
        """Give back what is held."""
        self.journal.close()
        self.engine.close()
