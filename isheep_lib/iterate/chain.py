"""The loop over iterations: what is done, what is missing, and running it in order.

    chain = open_chain(globals())      # in iterate.ipynb
    chain.plan()                       # one row per stage
    chain.run()                        # what is missing

Covers planning and running whole runs. Does not cover one stage (`iterate.session`, `iterate.runner`).
"""

import os
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from isheep_lib.display.folded import Told, parameters
from isheep_lib.errors import RecordError
from isheep_lib.iterate import claims, estimate, hub_ids, needs, stopping
from isheep_lib.iterate.fingerprint_parts import fingerprint_parts
from isheep_lib.iterate.grade import grade_of
from isheep_lib.iterate.outcome import Finished, finished, told
from isheep_lib.iterate.run_params import SECTIONS, IterateParams, RunParams, load_run, require_prompts
from isheep_lib.params import run_file
from isheep_lib.params.check import check
from isheep_lib.params.kinds import Section, Shard
from isheep_lib.params.notebook import cell_values
from isheep_lib.record import locks, provenance, stages
from isheep_lib.record.fingerprints import fingerprint, stale_reason
from isheep_lib.record.fixity import inventory
from isheep_lib.record.manifests import (
    read_manifest,
    require_file,
    require_intact,
    require_run,
    run_folder,
    short,
    stage_folder,
    stage_folders,
    weights_state,
)
from isheep_lib.record.progress import read_state
from isheep_lib.record.provenance import project_root
from isheep_lib.record.reuse import copy_stage, find_same
from isheep_lib.record.verification import Verdict, verify_stages

FREE = stages.LEAVES  # an evaluation may be made anew with other settings; its stages then show as stale
DONE, STALE, MISSING, STARTED, SHARED = "done", "stale", "to run", "to resume", "to share"


@dataclass(frozen=True)
class Step:
    """One stage of one iteration and its state: done, stale (made by other code or settings), to run, to resume, to share."""

    iteration: int
    stage: str
    state: str
    note: str = ""
    manifest: dict[str, Any] | None = None
    same: Path | None = None  # where another run has made it


@dataclass
class Chain:
    """A run being brought to an iteration."""

    params: IterateParams
    run_params: RunParams
    run_dir: Path
    lock: locks.RunLock
    before: Finished = field(default_factory=dict)  # stages that were done when it was opened
    unfit: str = ""  # why the run's inventory could not be renewed

    def look(self, iteration: int, stage: str) -> Step:
        """Find the state of one stage, whose inputs must be in place; an output that was edited or deleted is a RecordError."""
        folder = stage_folder(self.run_dir, iteration, stage)
        manifest = read_manifest(folder)
        parts = fingerprint_parts(self.run_dir, stage, self.run_params.stage(stage, iteration))
        if manifest is None:
            same = find_same(self.run_dir, iteration, stage, fingerprint(parts)) if self.params.share else None
            if same:
                return Step(iteration, stage, SHARED, f"made by {same.parents[1].name}", same=same)
            started = any(folder.glob(".work-*/*.jsonl")) or any(folder.glob(".work-*/checkpoints/*"))
            return Step(iteration, stage, STARTED if started else MISSING)
        require_intact(folder)
        if fingerprint(parts) == manifest["fingerprint"]:
            return Step(iteration, stage, DONE, manifest=manifest)
        return Step(iteration, stage, STALE, stale_reason(manifest["parts"], parts), manifest)

    def summary(self) -> Told:
        """Show which run this is and its parameters, by section those that differ from the defaults; the others are folded."""
        facts: dict[str, Any] = {"run": short(self.run_dir), "iterations": self.params.iteration, "params": self.params.params}
        facts |= {"override": self.params.override} if self.params.override else {}
        facts |= {**provenance.git_state(), "grade": grade_of(self.run_params.model_dump()).line}
        values = {"seed": self.run_params.seed} | _flat({name: getattr(self.run_params, name) for name in SECTIONS})
        return parameters(facts, values, _flat({name: kind() for name, kind in SECTIONS.items()}))

    def verify(self) -> list[Verdict]:
        """Verify every stage; see `record.verification`."""
        return verify_stages(self.run_dir)

    def root(self) -> str:
        """Say the root digest by which the record can be quoted, or why the inventory does not give one."""
        return self.unfit or f"root sha256 {inventory.root_of(self.run_dir)}"

    def plan(self) -> list[Step]:
        """List every stage up to the wanted iteration; nothing after a stage that must run can be known to be done."""
        found: list[Step] = []
        for iteration, stage in self._steps():
            before = [step for step in found if stages.feeds(step.stage, step.iteration, stage, iteration)]
            folder = stage_folder(self.run_dir, iteration, stage)
            if all(self._reusable(step) for step in before):
                found.append(self.look(iteration, stage))
            elif read_manifest(folder) is None:
                found.append(Step(iteration, stage, MISSING))
            else:
                found.append(Step(iteration, stage, "to check", "after the stages before it"))
        return found

    def share(self) -> None:
        """Take over, in order, what runs beside this one have made of the same inputs."""
        lacking: list[Step] = []
        for iteration, stage in self._steps():
            if any(stages.feeds(step.stage, step.iteration, stage, iteration) for step in lacking):
                continue
            step = self.look(iteration, stage)
            if step.same:
                self._take_over(step, step.same)
            elif not self._reusable(step):
                lacking.append(step)

    def _steps(self) -> list[tuple[int, str]]:
        return stages.steps(self.params.iteration, bool(self.run_params.judge.judged))

    def _take_over(self, step: Step, same: Path) -> None:
        grade = grade_of(self.run_params.model_dump()).as_fact()  # that of this run, which may report what the other did not
        copy_stage(same, stage_folder(self.run_dir, step.iteration, step.stage), grade=grade)

    def _reusable(self, step: Step) -> bool:
        return step.state == DONE or (step.state == STALE and self.params.stale == "keep")

    def run(self) -> None:
        """Run what is missing, in order; a finished stage is reused.

        Raises:
            RecordError: a stage is stale and `stale` is "stop", or its files are not as recorded.
            StageFailed: a notebook failed; what was finished is kept.
        """
        steps, judged = self._steps(), bool(self.run_params.judge.judged)
        for number, (iteration, stage) in enumerate(steps):
            step = self.look(iteration, stage)
            if step.state == STALE and self.params.stale == "stop":
                raise self._stale(step)
            if self._reusable(step):
                continue
            if step.same:
                self._take_over(step, step.same)
                continue
            if step.state == STALE:
                self._set_aside(step)
            from isheep_lib.iterate import runner  # slow to import, and nobody who only looks at a run needs it

            given = self.run_params.stage(stage, iteration).model_dump(exclude=set(Shard.model_fields))  # a worker's own
            where = estimate.place_of(iteration, stage, self.params.iteration, judged)
            left = estimate.countdown(self.run_dir, self.run_params, steps[number:])
            runner.run_stage(stage, iteration, self.run_dir, given, project_root() / "notebooks", where, left)
        made = [name for name, manifest in finished(self.run_dir, steps).items() if self.before.get(name) != manifest]
        self.unfit = inventory.renew(self.run_dir, *made)
        self.lock.release()

    def outcome(self) -> str:
        """Say which stages ran, which were taken from other runs, and which were done before."""
        return told(self.before, finished(self.run_dir, self._steps()))

    def _stale(self, step: Step) -> RecordError:
        return RecordError(
            f"iter-{step.iteration}/{step.stage} was made otherwise: {step.note}",
            where=short(stage_folder(self.run_dir, step.iteration, step.stage)),
            allowed="stale: stop (now), keep (go on with what is there), redo (run it again, the old record is set aside)",
            do="give -p stale keep or -p stale redo, or another run (-p run NAME)",
        )

    def _set_aside(self, step: Step) -> None:
        folder = stage_folder(self.run_dir, step.iteration, step.stage)
        aside = folder.parent / f".superseded-{step.stage}-{uuid.uuid4().hex[:8]}"
        os.replace(folder, aside)


def _flat(sections: Mapping[str, Section]) -> dict[str, Any]:
    """Name every parameter of sections as a params file's override does."""
    return {f"{name}.{field}": value for name, section in sections.items() for field, value in section.model_dump().items()}


def prepare(values: dict[str, Any]) -> tuple[IterateParams, RunParams, Path]:
    """Check what needs no model: parameters, the params file, seeds, benchmarks' data, whether the run is free and the same.

    Returns:
        The parameters of `iterate.ipynb`, those of the run, and the run's folder.
    """
    params = check(IterateParams, values, "iterate.ipynb")
    run_params = load_run(require_file(params.params, "params"), params.override, params.run)
    run_dir = run_folder(run_params.run)
    run_params = hub_ids.settle(run_params, run_file.run_params(run_dir))
    for stage in stages.ORDER:
        getattr(run_params, stage).data_digests()
    require_prompts(run_params)
    if run_dir.is_dir():
        locks.RunLock(run_dir).release()
        claims.check_params(run_dir, run_params.model_dump(exclude={"run"}), FREE)
    return params, run_params, run_dir


def open_chain(names: dict[str, Any]) -> Chain:
    """Open a run from the globals of `iterate.ipynb`: claimed, locked; whatever would stop it later is raised now."""
    stopping.end_with_parent()
    params, run_params, run_dir = prepare(cell_values(names, IterateParams))
    needs.check(run_params, run_dir, params.iteration)
    lock = locks.RunLock(run_dir)
    try:
        claims.claim_params(run_dir, run_params.model_dump(exclude={"run"}), FREE)
    except BaseException:
        lock.release()
        raise
    before = finished(run_dir, stages.steps(params.iteration, bool(run_params.judge.judged)))
    return Chain(params, run_params, run_dir, lock, before)


def status(run_dir: Path) -> list[dict[str, Any]]:
    """List the stages of a run that are done, begun, failed or running, touching none; a RecordError where there is no run."""
    require_run(run_dir)
    rows, live = [], locks.is_held(run_dir)
    for folder in stage_folders(run_dir):
        manifest = read_manifest(folder)
        now = read_state(folder / ".progress.json") if live and not manifest else None
        state = "done" if manifest else "failed" if (folder / f"{folder.name}.failed.ipynb").is_file() else "begun"
        rows.append(
            {
                "iteration": int(folder.parent.name.split("-")[1]),
                "stage": folder.name,
                "state": "running" if now else state,
                "kept": f"{manifest['counts']['kept']} of {manifest['counts']['in']}" if manifest else "",
                "seconds": f"{manifest.get('notebook_seconds', manifest['seconds']):.0f}" if manifest else "",
                "weights": weights_state(folder, manifest) if manifest else "",
                "taken from": manifest.get("shared_from", "") if manifest else "",
                "now": now.line() if now else "",
            }
        )
    return rows
