"""Runs of a sweep that brought too few pairs to go on: a result of the sweep, not a fault of it.

    stop_of(run_dir, 1)  # "filter of iteration 1: only 8 kept pairs, 12 are needed"

Covers what the notebook of the stage that stopped says. Does not cover runs that failed for another reason.
"""

import json
from dataclasses import dataclass
from pathlib import Path

from isheep_lib.errors import IsheepError, StageFailed, YieldError
from isheep_lib.record import manifests
from isheep_lib.record.stages import steps


@dataclass(frozen=True)
class Stop:
    """The stage of a run that stopped for want of pairs, and in which words."""

    iteration: int
    stage: str
    words: str

    @property
    def said(self) -> str:
        """Say both."""
        return f"{self.stage} of iteration {self.iteration}: {self.words[0].lower()}{self.words[1:]}"


def find_stop(run_dir: Path, iterations: int) -> Stop | None:
    """Find where a run stopped, None where no stage did."""
    for iteration, stage in steps(iterations):
        folder = manifests.stage_folder(run_dir, iteration, stage)
        failed = folder / f"{stage}.failed.ipynb"
        if failed.is_file() and manifests.read_manifest(folder) is None and (words := _said(failed)):
            return Stop(iteration, stage, words)
    return None


def stop_of(run_dir: Path, iterations: int) -> str:
    """Say where a run stopped, "" where no stage did."""
    stop = find_stop(run_dir, iterations)
    return stop.said if stop else ""


def yielded_too_little(error: IsheepError) -> bool:
    """Tell whether a run ended just now for want of pairs: a failed notebook may be that of an earlier try."""
    return isinstance(error, StageFailed) and error.what.startswith(f"{YieldError.__name__}: ")


def _said(notebook: Path) -> str:
    """Return what the YieldError that ended a notebook says before its reasons, "" where it ended otherwise."""
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    errors = [out for cell in cells for out in cell.get("outputs", ()) if out["output_type"] == "error"]
    texts = [out["evalue"] for out in errors if out["ename"] == YieldError.__name__]
    return texts[-1].split("\n")[0].split("; dropped")[0] if texts else ""
