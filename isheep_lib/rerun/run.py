"""A committed record executed again in a new place, and what differs from it, stage by stage and cell by cell.

    repeated = rerun(store.run_folder("reference/smollm2-135m"), ["filter"])
    differences_table(repeated)

A stage reads what was repeated before it, and the record's own files where that was not chosen: without a choice
everything comes from the repetition itself. Answers are asked anew. Covers planning, executing and reporting. Does not
cover how two notebooks are compared (`rerun.notebook_diff`) or whether a record is whole (`record.verification`).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat

from isheep_lib.display.table import Table, clip
from isheep_lib.errors import RecordError
from isheep_lib.iterate import claims, runner
from isheep_lib.iterate.run_params import SECTIONS, STAGE_PARAMS
from isheep_lib.params import run_file
from isheep_lib.record import locks
from isheep_lib.record.fingerprints import explanations
from isheep_lib.record.manifests import (
    read_manifest,
    run_folder,
    run_name,
    short,
    stage_folder,
)
from isheep_lib.record.provenance import project_root
from isheep_lib.record.reuse import copy_stage
from isheep_lib.record.rows import digest_text
from isheep_lib.rerun.file_diff import compare_file
from isheep_lib.rerun.notebook_diff import USUAL, Change, compare_cells, compared_cells
from isheep_lib.rerun.plan import Place, parameters_in, plan


@dataclass(frozen=True)
class Repeated:
    """One stage that was executed again."""

    iteration: int
    stage: str
    cells: int  # code cells whose outputs were compared
    files: int  # output files, notebook apart, that were compared
    cell_changes: list[Change]  # what differs in the notebook
    file_changes: list[Change]  # what differs in the other files
    notes: list[str]  # what else is not as it was and may explain a difference: inputs, code, packages, machine
    seconds: float  # what it took now
    recorded_seconds: float  # what it took then

    @property
    def name(self) -> str:
        """The stage as the record names it."""
        return f"iter-{self.iteration}/{self.stage}"

    @property
    def differs(self) -> bool:
        """Whether anything came out otherwise; a source that changed and shows the same does not count."""
        return any(change.decides for change in [*self.cell_changes, *self.file_changes])

    def lines(self) -> list[str]:
        """Say in a line what became of it, and below it what else is not as it was."""
        same = self.cells - len({change.place for change in self.cell_changes if change.decides})
        bytes_same = self.files - len({change.place for change in self.file_changes})
        near = len({change.place for change in self.file_changes if not change.decides})
        files = f"{bytes_same} of {self.files} files the same bytes" + (f" and {near} within the tolerance" if near else "")
        times = f"{self.seconds:.1f} s (recorded {self.recorded_seconds:.1f} s)"
        cells = f"{same} of {self.cells} cells the same" if self.cells else "no notebook to compare (run by hand)"
        rewritten = [change.place for change in self.cell_changes if not change.decides]
        notes = [*([f"rewritten since: {', '.join(rewritten)}"] if rewritten else []), *self.notes]
        return [f"{self.name}: {cells}, {files}, {times}", *(f"  {note}" for note in notes)]


def rerun(
    run_dir: Path,
    stages: Sequence[str] = (),
    iterations: Sequence[int] = (),
    into: Path | None = None,
    tell: Callable[[Repeated], Any] = lambda _: None,
) -> list[Repeated]:
    """Execute stages of a record again in a new place and compare what comes out.

    Stages and iterations that are not named are all of them; the new place is by default `rerun-<run>` under results, for a
    record elsewhere with a digest of its path. `tell` is called with each stage that is finished; whatever stops the next
    one, these stand.

    Raises:
        ParameterError, RecordError: the choice, the record or the place does not do; then nothing was executed.
        StageFailed: a notebook failed; what was repeated before is kept.
    """
    run_dir = run_dir.resolve()
    recorded, reads = plan(run_dir, stages, iterations)
    chosen = list(reads)
    place = _new_place(run_dir, into)
    given = {at: parameters_in(at, recorded[at], place) for at in chosen}
    lock, found = locks.RunLock(place), []
    try:
        claims.claim_params(place, run_file.run_params(run_dir))
        for at in chosen:
            _provide(run_dir, place, reads[at])
            now = _execute(at, place, given[at])
            found.append(_compare(run_dir, place, at, recorded[at], now))
            tell(found[-1])
    finally:
        lock.release()
    return found


def differences_table(repeated: Sequence[Repeated]) -> Table:
    """List everything that differs."""
    rows = [
        {
            "stage": one.name,
            "cell or file": change.place,
            "what": change.kind,
            "recorded": clip(change.before),
            "repeated": clip(change.after),
        }
        for one in repeated
        for change in [*one.cell_changes, *one.file_changes]
    ]
    return Table(rows or [{"differences": "none"}], "what differs from the record")


def summary(repeated: Sequence[Repeated]) -> list[str]:
    """Say what became of each stage and, in the last line, of all."""
    differing = [one.name for one in repeated if one.differs]
    last = f"Different: {', '.join(differing)}" if differing else "Everything repeated came out as it was recorded."
    return [*(line for one in repeated for line in one.lines()), last]


def _new_place(run_dir: Path, into: Path | None) -> Path:
    place = into.expanduser().resolve() if into else run_folder(_usual_name(run_dir))
    if place.is_relative_to(run_dir):
        raise RecordError("A record is not repeated inside itself", where=short(place), do="give another --into FOLDER")
    if place.exists():
        what = "The place of the repetition is taken"
        raise RecordError(what, where=short(place), do="give another --into FOLDER, or delete this one")
    return place


def _usual_name(run_dir: Path) -> str:
    """Name the place of a repetition under results, another one for each record: many records have the same last name."""
    name = run_name(run_dir)
    if not Path(name).is_absolute():
        return f"rerun-{name}"
    return f"rerun-{run_dir.name}-{digest_text(name)[:8]}"


def _provide(run_dir: Path, place: Path, needed: Sequence[Place]) -> None:
    """Take over from the record what a stage reads, where it is not repeated."""
    for at in needed:
        if read_manifest(stage_folder(place, *at)) is None:
            copy_stage(stage_folder(run_dir, *at), stage_folder(place, *at))


def _execute(at: Place, place: Path, params: dict[str, Any]) -> dict[str, Any]:
    """Run a stage's notebook; the new place says what this stage was recorded with, also where its run changed later."""
    iteration, stage = at
    claims.claim_params(place, claims.as_sections(STAGE_PARAMS[stage], params, stage), tuple(SECTIONS))
    return runner.run_stage(stage, iteration, place, params, project_root() / "notebooks")


def _compare(run_dir: Path, place: Path, at: Place, recorded: dict[str, Any], now: dict[str, Any]) -> Repeated:
    before, after = stage_folder(run_dir, *at), stage_folder(place, *at)
    name = f"{at[1]}.ipynb"
    cells, cell_changes = set(), []
    if name in recorded["outputs"]:
        books = [nbformat.read(folder / name, as_version=4) for folder in (before, after)]
        cells, cell_changes = compared_cells(*books), compare_cells(*books)
    files = sorted({*recorded["outputs"], *now["outputs"]} - {name})
    compared = [
        compare_file(before / file, after / file, recorded["outputs"].get(file), now["outputs"].get(file), USUAL)
        for file in files
    ]
    file_changes = [change for change in compared if change]
    decides = any(change.decides for change in [*cell_changes, *file_changes])
    return Repeated(
        *at,
        cells=len(cells),
        files=len(files),
        cell_changes=cell_changes,
        file_changes=file_changes,
        notes=explanations(recorded, now, bool(file_changes) or decides),
        seconds=now["notebook_seconds"],
        recorded_seconds=recorded.get("notebook_seconds", recorded["seconds"]),
    )
