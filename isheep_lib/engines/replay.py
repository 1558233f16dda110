"""A stage answered from its own record, and the record held against the model on this machine.

Under `isheep check` a stage's notebook runs as ever, but what it asks is looked up in the transcript: so its outputs are
shown to follow from the answers, and every question is known again. The answers themselves are then held against the model
without generating: one forward pass over prompt and answer, and at each token the question whether the row's own uniform
number leads to it (`engines.exact.token_check`).
Covers looking up and collecting. Does not cover executing stages and comparing their files (`rerun.check`).
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from isheep_lib.engines.exact.verdict import Sample, together
from isheep_lib.engines.params import Model
from isheep_lib.engines.protocol import Completion, Request, quiet
from isheep_lib.engines.tokens import load_vocabulary
from isheep_lib.engines.transcript import TRANSCRIPT, Asked, Recorded, key_of
from isheep_lib.errors import EngineError, RecordError
from isheep_lib.models.base import ModelRef
from isheep_lib.record.manifests import read_manifest, short
from isheep_lib.record.rows import read_jsonl
from isheep_lib.record.shards import ShardJournal


@dataclass
class Plan:
    """The record that a stage is answered from.

    Attributes:
        record: folder of the recorded stage.
        engines: what answered, by the name of its journal; none for a stage that asked no model.
    """

    record: Path
    engines: dict[str, "Replayed"] = field(default_factory=dict)

    def hold(self, sample: int, label: str) -> dict[str, Any]:
        """Hold a sample of the answers, 0 for all, against each model that gave them; see `token_check.hold`."""
        return together([engine.hold(sample, label) for engine in self.engines.values()])


CHUNK = 256  # requests looked up between two journal entries
_PLAN: ContextVar[Plan | None] = ContextVar("plan", default=None)


def planned() -> Plan | None:
    """Return the plan that stages are opened by here, None where none is being checked."""
    return _PLAN.get()


@contextlib.contextmanager
def answering_from(plan: Plan) -> Iterator[None]:
    """Let the stages that are opened in the block be answered from a record."""
    token = _PLAN.set(plan)
    try:
        yield
    finally:
        _PLAN.reset(token)


class Replayed(Recorded):
    """What a stage was answered, as an engine; it remembers what was asked."""

    def __init__(self, plan: Plan, journal: ShardJournal, model: ModelRef | None, settings: Model) -> None:
        """Read the transcript that the journal became and, where there are weights, the tokenizer."""
        self.model, self.settings = model, settings
        self.path = plan.record / f"{journal.name}.jsonl"
        plan.engines[journal.name] = self
        self.asked: dict[str, Asked] = {}
        manifest = read_manifest(plan.record) or {}
        facts = manifest.get("engine" if self.path.name == TRANSCRIPT else "teacher", {})
        super().__init__(_Record(model, settings, facts), journal, {row["id"]: row for row in read_jsonl(self.path)})

    def find(self, asked: Sequence[Asked]) -> list[dict[str, Any] | None]:
        """Return the rows of what was asked.

        Raises:
            RecordError: it was never asked; then code, inputs or settings are not those of the record.
        """
        rows = super().find(asked)
        strange = [one for one, row in zip(asked, rows, strict=True) if row is None]
        if strange:
            named = strange[0].id if isinstance(strange[0], Request) else strange[0][0][:60]
            raise RecordError(
                f"The stage asks what its record does not hold: {len(strange)} question(s), such as {named!r}",
                where=short(self.path),
                allowed="the questions on record, made anew from the record's inputs and parameters",
                do="check with the code of the manifest's commit; if that is this one, inputs or transcript were edited",
            )
        self.asked |= {key_of(one): one for one in asked}
        return rows

    def hold(self, sample: int, label: str) -> dict[str, Any]:
        """Hold a sample of the answers, 0 for all, against the model; see `token_check.hold`."""
        from isheep_lib.engines.exact.token_check import hold

        return hold(self.asked, self._known, self.model, self.settings, Sample(sample, label))


class _Record:
    """Stands where an engine stands and computes nothing but vectors, which are not in a transcript."""

    def __init__(self, model: ModelRef | None, settings: Model, facts: dict[str, Any]) -> None:
        self._model, self._settings, self._facts = model, settings, facts
        self.vocabulary = load_vocabulary(model, settings.context_tokens) if model else None
        self.tokenizer = self.vocabulary.tokenizer if self.vocabulary else None
        self.context = facts.get("context", self.vocabulary.context if self.vocabulary else 0)

    def facts(self) -> dict[str, Any]:
        return self._facts

    def batches(self, requests: list[Request]) -> list[list[Request]]:
        return [requests[first : first + CHUNK] for first in range(0, len(requests), CHUNK)]

    def generate(self, batches: list[list[Request]], tick: Callable[[float], None] = quiet) -> Iterator[list[Completion]]:
        raise NotImplementedError("a record generates nothing")

    def logprobs(self, pairs: list[tuple[str, str]]) -> list[tuple[float, int]]:
        raise NotImplementedError("a record scores nothing")

    def choices(self, prompts: list[str], labels: list[str]) -> list[list[float]]:
        raise NotImplementedError("a record scores nothing")

    def embed(self, texts: list[str]) -> np.ndarray:
        from isheep_lib.engines.transformers_engine import TransformersEngine

        if self._model is None:
            raise EngineError("Vectors need weights, and only a server has these", where="isheep check")
        engine = TransformersEngine(self._model, self._settings.model_copy(update={"engine": "transformers"}))
        try:
            return engine.embed(texts)
        finally:
            engine.close()

    def close(self) -> None:
        pass
