"""One stage at work: checked parameters, verified inputs, the fingerprint, and the commit.

    stage = open_stage("filter", globals())     # in a notebook: every complaint comes now
    rows = stage.read("synthesize", "examples.jsonl")
    stage.commit({"kept.jsonl": kept}, counts=funnel)

Covers what all stage notebooks share. Does not cover any stage's own work.
"""

import contextlib
import json
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any, Generic

from isheep_lib.display.folded import Told, parameters
from isheep_lib.engines import parity
from isheep_lib.engines.open import open_engine, preflight
from isheep_lib.engines.params import Model, TrainedModel
from isheep_lib.engines.protocol import Engine
from isheep_lib.engines.transcript import TRANSCRIPT, Recorded
from isheep_lib.errors import RecordError
from isheep_lib.iterate import asked, claims, stopping
from isheep_lib.iterate.fingerprint_parts import fingerprint_parts
from isheep_lib.iterate.grade import grade_of_run
from isheep_lib.iterate.run_params import STAGE_PARAMS, Asking, P, SynthesizeParams, WithModel, prompts_of
from isheep_lib.models import trained
from isheep_lib.models.base import ModelRef
from isheep_lib.params import old_names
from isheep_lib.params.check import check
from isheep_lib.params.notebook import cell_values
from isheep_lib.prompting.chat import Frame, get_frame
from isheep_lib.prompting.prompt_files import Prompts
from isheep_lib.record import locks, manifests, provenance, shards
from isheep_lib.record.fingerprints import explanations, fingerprint
from isheep_lib.record.fixity import inventory
from isheep_lib.record.journal import WAITS
from isheep_lib.record.rows import Task, first_of_each, make_durable, read_jsonl, task_of, write_atomic, write_jsonl
from isheep_lib.synthesize.extras.own import carried_file
from isheep_lib.synthesize.writing import Writing

SCHEMA = 2  # since 2, manifests carry a digest of themselves
# Set by the runner for the kernels it starts: it holds the run's lock and publishes the manifest itself.
UNDER_RUNNER = "ISHEEP_RUNNER"


@dataclass
class StageSession(Generic[P]):
    """An open stage; `commit` ends it."""

    name: str
    params: P
    run_dir: Path
    parts: dict[str, Any]
    lock: locks.RunLock | None
    repeats: bool = False
    tokens: dict[str, int] = field(default_factory=dict)
    engine: Recorded | None = None
    engine_facts: dict[str, Any] = field(default_factory=dict)
    started: float = field(default_factory=time.monotonic)

    @property
    def folder(self) -> Path:
        """Where the stage's record lies."""
        return manifests.stage_folder(self.run_dir, self.params.iteration, self.name)

    @property
    def out(self) -> Path:
        """Where outputs are written: the record's folder, or aside when a finished stage is repeated."""
        return self.work / "out" if self.repeats else self.folder

    @property
    def work(self) -> Path:
        """Where unfinished work lies, apart for each fingerprint."""
        return self.folder / f".work-{fingerprint(self.parts)[:12]}"

    @property
    def model_iteration(self) -> int:
        """The iteration whose model this stage uses, 0 for the base model."""
        return self.params.model_iteration(self.params.iteration)

    @cached_property
    def model(self: "StageSession[WithModel]") -> ModelRef:
        """The model this stage uses, adapters included."""
        return trained.model_of(self.run_dir, self.params.base_model, self.model_iteration)

    @cached_property
    def prompts(self) -> Prompts:
        """The prompts that this stage asks with."""
        return prompts_of(self.params)

    def summary(self) -> Told:
        """Show what this stage is about to do: place, model, and the parameters, those at their defaults folded."""
        facts = {"stage": self.name, "run": self.params.run, "iteration": self.params.iteration, **provenance.git_state()}
        if isinstance(self.params, TrainedModel) and self.parts.get("model"):
            added = [name for name in self.parts["model"] if name != "base"]
            facts["model"] = " + ".join([self.params.base_model, *added])
            facts["model digest"] = " + ".join(digest[:12] for digest in self.parts["model"].values())
        facts |= {"fingerprint": fingerprint(self.parts)[:12], "grade": grade_of_run(self.run_dir).line}
        rest = {n: v for n, v in self.params.model_dump().items() if n not in ("run", "iteration", "base_model")}
        return parameters(facts, rest, type(self.params)().model_dump())

    def writing(self: "StageSession[SynthesizeParams]", engine: Engine, frame: Frame) -> Writing[Any]:
        """Put together what the chosen method of synthesis writes with."""
        rows, params = first_of_each(self.inputs("synthesize", "examples.jsonl"), task_of), self.params
        earlier = [Task(task_of(row), row.get("free_instruction", row["instruction"]), row["input"]) for row in rows]
        given = (engine, frame, params, params.options, params.iteration, earlier, self.seed, self.common_journal)
        return Writing(*given, self.prompts, self.inputs("synthesize", carried_file(params.chosen)))

    def inputs(self, stage: str, file: str) -> list[dict]:
        """Read the rows of all files of this name that the stage's inputs name, in the order of iterations."""
        named = self.params.inputs(self.params.iteration)
        return [row for k, made_by, name in named if (made_by, name) == (stage, file) for row in self.read(stage, file, k)]

    def earlier_metrics(self) -> dict[str, Any] | None:
        """Return the metrics of the model before, None if it was not evaluated or this is the base model."""
        if self.params.iteration == 0:
            return None
        folder = manifests.stage_folder(self.run_dir, self.params.iteration - 1, "evaluate")
        return manifests.read_manifest(folder, "metrics.json")

    def open_engine(self: "StageSession[Asking]") -> tuple[Engine, Frame]:
        """Load the model of this stage and its chat frame."""

        def opened() -> Engine:
            preflight(self.model, self.params)
            engine = open_engine(self.model, self.params)
            held = parity.hold_against_weights(engine, self.run_dir, self.model, self.model_iteration, self.params)
            self.engine_facts = {"parity": held}
            return engine

        engine = self.recorded(opened, self.model, self.params)
        return engine, self._frame(self.params.frame_of(self.model_iteration), engine.tokenizer)

    def recorded(self, opened: Callable[[], Engine], model: ModelRef | None, settings: Model, *journal: str) -> Engine:
        """Open what answers this stage, its answers on record; see `asked.open_recorded`."""
        self.engine = asked.open_recorded(self, opened, model, settings, *journal)
        return self.engine

    def open_tokenizer(self: "StageSession[WithModel]", frame: str = "") -> tuple[Any, Frame]:
        """Load the tokenizer alone, with a frame by name, that of trained models by default."""
        from transformers import AutoTokenizer

        tokenizer = AutoTokenizer.from_pretrained(self.model.path, trust_remote_code=False)
        return tokenizer, self._frame(frame or self.params.aligned_frame, tokenizer)

    def _frame(self: "StageSession[WithModel]", name: str, tokenizer: Any) -> Frame:
        frame = get_frame(name, self.params.system_prompt, tokenizer, self.params.template_date)
        self.engine_facts |= frame.notes
        print(*frame.notes.values(), sep="\n", end="\n" if frame.notes else "")
        return frame

    @property
    def shard(self) -> str:
        """Which part of the stage this worker fills, "" where it does all."""
        return shards.shard_name(*shards.place_of(self.params))

    def journal(self, name: str) -> shards.ShardJournal:
        """Open this worker's journal of one step of the stage; it also shows what other workers have finished."""
        return shards.ShardJournal(self.work, name, fingerprint(self.parts), *shards.place_of(self.params))

    def common_journal(self, name: str) -> shards.ShardJournal | shards.CommonJournal:
        """Open the journal of a step that one worker does for all of them."""
        return shards.CommonJournal(self.work / f"{name}.jsonl", fingerprint(self.parts)) if self.shard else self.journal(name)

    def seed(self, record: str) -> int:
        """Derive a record's seed."""
        return provenance.seed_for(self.params.seed, self.params.iteration, self.name, record)

    def read(self, stage: str, file: str, iteration: int | None = None) -> list[dict]:
        """Read the rows of an earlier stage, whose bytes were verified when this stage was opened."""
        iteration = self.params.iteration if iteration is None else iteration
        return read_jsonl(manifests.stage_folder(self.run_dir, iteration, stage) / file)

    def training_rows(self) -> list[dict]:
        """Read every row that the model of this stage was trained on; the base model has none."""
        return trained.training_rows(self.run_dir, self.model_iteration)

    def vectors(self) -> Any:
        """Read the pairs' vectors where the stage's inputs name them, else None; float32, pairs x size."""
        named = self.params.inputs(self.params.iteration)
        found = [manifests.stage_folder(self.run_dir, k, made_by) / file for k, made_by, file in named if file.endswith(".npy")]
        if not found:
            return None
        import numpy as np

        return np.load(found[0])

    def commit(
        self,
        rows: dict[str, list[dict]],
        counts: dict[str, Any],
        documents: dict[str, dict] | None = None,
        files: tuple[str, ...] = (),
        **more: Any,
    ) -> str:
        """Write the outputs, then the manifest; a repeated stage is compared with its record instead.

        Of several workers, the one that has every row at hand records the stage, once.

        Args:
            counts: `in`, `kept` and `dropped` by reason, which must add up.
            files: outputs that already lie in `out`.
            more: further facts for the manifest.

        Returns:
            One line that says what became of it.

        Raises:
            RecordError: the counts do not add up, the disk is full, or a repetition gave other bytes.
        """
        if counts["in"] != counts["kept"] + sum(counts["dropped"].values()):
            raise RecordError(f"{counts} do not add up: in = kept + dropped", where=str(self.folder))
        missing = counts["dropped"].get(WAITS, 0)
        if missing and not self.shard:
            raise RecordError(f"{missing} row(s) were not computed", where=str(self.folder), do="start the stage again")
        under_runner = os.environ.get(UNDER_RUNNER) == str(self.folder)
        try:
            asked.keep(self)
            if missing:
                said = f"{self.shard} is done: {missing} rows of other shards are still missing"
                return f"{said}; the last worker records the stage"
            with locks.turn(self.run_dir) if self.shard else contextlib.nullcontext():
                if self.shard and shards.is_recorded(self.folder, self.parts):
                    return f"{self.shard} is done; another worker has recorded the stage in {manifests.short(self.folder)}"
                rows = rows | ({TRANSCRIPT: self.engine.rows()} if self.engine else {})
                for name, content in rows.items():
                    write_jsonl(self.out / name, content)
                for name, document in (documents or {}).items():
                    write_atomic(self.out / name, json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False) + "\n")
                manifest = self._manifest(counts, [*rows, *(documents or {}), *files], more)
                if self.repeats:
                    return self._compare(manifest)
                name = manifests.PENDING if under_runner else manifests.MANIFEST
                path = manifests.write_manifest(self.folder, manifest, name)
                unfit = "" if under_runner else inventory.renew(self.run_dir, f"iter-{self.params.iteration}/{self.name}")
        finally:
            shards.leave(self.folder, self.lock)
        said = f"{self.name} of iteration {self.params.iteration} is recorded in {manifests.short(path.parent)}"
        said += asked.exactness(self)
        return f"{said}; but {unfit}" if unfit else said

    def _compare(self, manifest: dict[str, Any]) -> str:
        recorded = manifests.read_manifest(self.folder) or {"outputs": {}, "parts": {}, "environment": {}}
        made, kept = manifest["outputs"], recorded["outputs"]
        other = [name for name in made if kept.get(name, {}).get("sha256") != made[name]["sha256"]]
        shutil.rmtree(self.work)
        if other:
            raise RecordError(
                f"Repeated, but these outputs differ from the record: {', '.join(other)}",
                where=str(self.folder),
                allowed=f"the same bytes; {'; '.join(explanations(recorded, manifest, differs=True))}",
                do="the record was left as it is",
            )
        return f"Repeated: all {len(made)} outputs are the same bytes as the record in {manifests.short(self.folder)}"

    def _manifest(self, counts: dict[str, Any], outputs: list[str], more: dict[str, Any]) -> dict[str, Any]:
        for name in outputs:
            make_durable(self.out / name)  # else a power loss could leave the manifest without what it names
        return {
            "schema": SCHEMA,
            "stage": self.name,
            "iteration": self.params.iteration,
            "fingerprint": fingerprint(self.parts),
            "parts": self.parts,
            "parameters": self.params.model_dump(exclude={"run"}),
            "outputs": {name: manifests.describe_file(self.out / name) for name in sorted(outputs)},
            "counts": counts,
            "tokens": self.tokens,
            "engine": {**self.engine_facts, **(self.engine.facts() if self.engine else {})},  # some are known last
            "seconds": round(time.monotonic() - self.started, 1),
            "finished": datetime.now(UTC).isoformat(timespec="seconds"),
            "environment": provenance.environment(),
            "git": provenance.git_state(),
            "grade": grade_of_run(self.run_dir).as_fact(),
            **({"sources": sources} if (sources := self.params.sources()) else {}),
            **more,
        }


def open_stage(stage: str, names: dict[str, Any]) -> StageSession:
    """Open a stage from a notebook's globals: check parameters, claim the run, verify inputs, find the model.

    A parameter left at its default is taken from the run, when the run exists: `params.yaml` says what a run is.

    Raises:
        IsheepError: anything that would stop the stage later, before any model is loaded.
    """
    stopping.end_with_parent()
    # Before torch is loaded: threads that wait by spinning take the cores from other workers on this machine.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    kind = STAGE_PARAMS[stage]
    defaults = {name: field.default for name, field in kind.model_fields.items()}
    given = old_names.renew(cell_values(names, kind), "model", stage, scorers=False, defaults=defaults)
    old_names.tell(given.renamed)
    params = check(kind, claims.complete_params(kind, given.values, stage), f"{stage}.ipynb", known=given.problems)
    run_dir = manifests.run_folder(params.run)
    folder = manifests.stage_folder(run_dir, params.iteration, stage)
    under_runner = os.environ.get(UNDER_RUNNER) == str(folder)
    shard = shards.shard_name(*shards.place_of(params))
    lock = None if under_runner else locks.RunLock(run_dir, shard)
    try:
        with locks.turn(run_dir) if shard else contextlib.nullcontext():
            params = claims.claim_stage(run_dir, stage, params)
        parts = fingerprint_parts(run_dir, stage, params)
        recorded = not under_runner and manifests.read_manifest(folder) is not None
        if shard and shards.is_recorded(folder, parts):
            shards.leave(folder, lock)
            shards.turn_away(folder)
    except BaseException:
        if lock:
            lock.release()
        raise
    return StageSession(stage, params, run_dir, parts, lock, recorded)
