"""Who writes tasks: the run's own model, or a foreign one that `synthesize.teacher` names; the model itself answers them.

    writer = open_writer(stage)                # the teacher, where one is named
    responding = writer.answering(writing)     # it is let go, and the run's model opened in its place: never both at once

A teacher is computed by the run's engine and asked in its own chat template: what else it was trained on nobody could tell from
its weights. What it was asked and answered is a file of its own, as the same question to two models has two answers.
Covers opening, and what a record keeps of a teacher. Does not cover which methods another model can write for
(`own.part_of_learner`) or what a run with a teacher is called (`iterate.grade`).
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from isheep_lib.engines import parity
from isheep_lib.engines.open import open_engine, preflight
from isheep_lib.engines.params import Model
from isheep_lib.engines.protocol import Engine
from isheep_lib.engines.tokens import digest_own_frame
from isheep_lib.errors import ModelError
from isheep_lib.models.base import ModelRef, find_model
from isheep_lib.prompting.chat import Frame, get_frame
from isheep_lib.synthesize.writing import Writing

FIELD = "synthesize.teacher"
FRAME = "tokenizer"
TRANSCRIPT = "teacher_transcript.jsonl"
JOURNAL = "teacher_transcript"


class Stage(Protocol):
    """What opening a writer uses of its open stage, which a room above this one opens (`iterate.session`)."""

    params: Any  # SynthesizeParams, of the room above
    run_dir: Path

    def open_engine(self) -> tuple[Engine, Frame]:
        """Load the model of this stage and its chat frame, in place of what was open."""

    def recorded(self, opened: Callable[[], Engine], model: ModelRef | None, settings: Model, *journal: str) -> Any:
        """Open what answers this stage, its answers on record."""


@dataclass
class Writer:
    """Who writes, open.

    Attributes:
        teacher: its weights, None where the run's model writes itself.
        facts: what the manifest keeps of a teacher, {} without one.
        files: rows by file of what a teacher was asked, once it is let go.
    """

    stage: Stage
    engine: Any
    frame: Frame
    teacher: ModelRef | None
    facts: dict[str, Any]
    files: dict[str, list[dict[str, Any]]]
    _answers: Writing[Any] | None = None

    def answering(self, writing: Writing[Any]) -> Writing[Any]:
        """Return what responses are asked with: the run's model, for which a teacher that has written makes room."""
        if self.teacher is None:
            return writing
        if self._answers is None:
            self.files = {TRANSCRIPT: self.engine.rows()}
            self.facts["teacher"] |= self.engine.facts()  # some are known last
            engine, frame = self.stage.open_engine()
            self._answers = replace(writing, engine=engine, frame=frame)
        return self._answers


def open_writer(stage: Stage) -> Writer:
    """Load who writes, and its chat frame.

    Raises:
        EngineError, ModelError: what keeps it away, with what to do.
    """
    name = stage.params.teacher
    if not name:
        return Writer(stage, *stage.open_engine(), None, {}, {})
    model, settings = find_teacher(name), stage.params.model_copy(update={"base_model": name, "served_model": ""})
    facts: dict[str, Any] = {"name": name, "digest": model.digest, "frame": FRAME}

    def opened() -> Engine:
        preflight(model, settings)
        engine = open_engine(model, settings)
        facts["parity"] = parity.hold_against_weights(engine, stage.run_dir, model, 0, settings)
        return engine

    engine = stage.recorded(opened, model, settings, JOURNAL)
    frame = own_frame(engine.tokenizer, settings.system_prompt, settings.template_date)
    print(*frame.notes.values(), sep="\n", end="\n" if frame.notes else "")
    return Writer(stage, engine, frame, model, {"teacher": facts | frame.notes}, {})


def find_teacher(name: str) -> ModelRef:
    """Find the teacher as a base model is found; an error names the parameter."""
    try:
        return find_model(name)
    except ModelError as error:
        raise ModelError(error.what, where=f"{FIELD}: {error.where}", allowed=error.allowed, do=error.do) from error


def own_frame(tokenizer: Any, system: str, day: str) -> Frame:
    """Return the chat frame of a teacher: its own template, without which a model cannot be one (ModelError)."""
    try:
        return get_frame(FRAME, system, tokenizer, day)
    except ModelError as error:
        raise _frameless(error) from error


def fingerprint_parts(name: str, settings: Model) -> dict[str, Any]:
    """Name a teacher by its weights and its chat template, {} where there is none."""
    if not name:
        return {}
    model = find_teacher(name)
    try:
        frame = digest_own_frame(model, settings.system_prompt, settings.template_date)
    except ModelError as error:
        raise _frameless(error) from error
    return {"teacher": {"model": model.digest, "frame": frame}}


def _frameless(error: ModelError) -> ModelError:
    allowed, do = "a model that brings a chat template of its own", f"name another one, or leave {FIELD} empty"
    return ModelError(error.what, where=FIELD, allowed=allowed, do=do)
