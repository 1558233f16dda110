"""The engine of a stage: its answers become part of the record, and are taken from one where a record is checked.

Covers opening, what is known from before, and what is kept for later evaluations. Does not cover transcripts
(`engines.transcript`) or holding one against a model (`engines.replay`).
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol
from weakref import WeakValueDictionary

from isheep_lib.engines import replay
from isheep_lib.engines.params import Model
from isheep_lib.engines.protocol import Engine
from isheep_lib.engines.transcript import Recorded
from isheep_lib.errors import RecordError
from isheep_lib.evaluate.params import Evaluate
from isheep_lib.models.base import ModelRef
from isheep_lib.params.kinds import Section
from isheep_lib.record import answer_cache
from isheep_lib.record.shards import ShardJournal

_OPEN: WeakValueDictionary[str, Recorded] = WeakValueDictionary()  # by the folder of unfinished work


class Asking(Protocol):
    """What is used of an open stage (`iterate.session`)."""

    repeats: bool
    parts: dict[str, Any]

    @property
    def params(self) -> Section:
        """The stage's parameters."""

    @property
    def work(self) -> Path:
        """Where unfinished work lies."""

    @property
    def engine(self) -> Recorded | None:
        """What answers the stage."""

    def journal(self, name: str) -> ShardJournal:
        """Open this worker's journal of one step of the stage."""


def open_recorded(
    stage: Asking, opened: Callable[[], Engine], model: ModelRef | None, settings: Model, journal: str = "transcript"
) -> Recorded:
    """Open what answers a stage: an engine, or its record where that is being checked.

    Args:
        opened: loads the engine.
        model: its weights, None where only a server has them.
        settings: what the engine is opened with.
        journal: where its answers are kept; another model of the same stage has another.
    """
    if earlier := _OPEN.get(str(stage.work)):  # a teacher, or a cell that is executed again: its journal is still held
        earlier.close()
    if plan := replay.planned():
        engine = replay.Replayed(plan, stage.journal(journal), model, settings)
    else:
        made = opened()
        folder, params = answers_folder(stage, made), stage.params
        again = isinstance(params, Evaluate) and params.reuse_answers and not stage.repeats
        known = answer_cache.read_known(folder) if folder and again else {}
        engine = Recorded(made, stage.journal(journal), known)
    _OPEN[str(stage.work)] = engine
    return engine


def answers_folder(stage: Asking, engine: Engine) -> Path | None:
    """Name the folder of the answers that this model gave before, None for a stage whose answers are not kept."""
    if not isinstance(stage.params, Evaluate):
        return None
    return answer_cache.answers_folder(stage.parts, str(engine.facts().get("device", "")))


def exactness(stage: Asking) -> str:
    """Say how the decisions of an exact engine were made, "" for any other; machines differ in how many they look at twice."""
    facts = stage.engine.facts().get("numerics") if stage.engine else None
    if not isinstance(facts, dict):
        return ""
    said = f"; exact: {facts['decided']:,} tokens, {facts['again']:,} of them decided in float64, {facts['scores']:,} scores"
    return f"{said}, {len(facts['undecided'])} undecided"


def keep(stage: Asking) -> None:
    """Keep answers for later evaluations; a folder that cannot be written costs these time, but this one nothing."""
    engine = stage.engine
    if engine is None or isinstance(engine, replay.Replayed) or not (folder := answers_folder(stage, engine)):
        return
    try:
        answer_cache.keep(folder, engine.fresh())
    except (RecordError, OSError) as error:
        print(f"These answers are not kept for later evaluations: {error}")
