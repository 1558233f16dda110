"""Runs of a sweep that brought too few pairs to go on: a result of the sweep, not a fault of it.

    stop_of(run_dir, 1)  # "filter of iteration 1: only 8 kept pairs, 12 are needed"

Covers what the notebook of the stage that stopped says. Does not cover runs that failed for another reason.
"""

import json
from pathlib import Path

from isheep_lib.errors import IsheepError, StageFailed, YieldError
from isheep_lib.record import manifests
from isheep_lib.record.stages import steps


def stop_of(run_dir: Path, iterations: int) -> str:
    """Return which stage of a run stopped for want of pairs and in which words; "" where none did."""
    for iteration, stage in steps(iterations):
        folder = manifests.stage_folder(run_dir, iteration, stage)
        failed = folder / f"{stage}.failed.ipynb"
        if failed.is_file() and manifests.read_manifest(folder) is None and (said := _said(failed)):
            return f"{stage} of iteration {iteration}: {said[0].lower()}{said[1:]}"
    return ""


def yielded_too_little(error: IsheepError) -> bool:
    """Tell whether a run ended just now for want of pairs: a failed notebook may be that of an earlier try."""
    return isinstance(error, StageFailed) and error.what.startswith(f"{YieldError.__name__}: ")


def _said(notebook: Path) -> str:
    """Return what the YieldError that ended a notebook says before its reasons, "" where it ended otherwise."""
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    errors = [out for cell in cells for out in cell.get("outputs", ()) if out["output_type"] == "error"]
    texts = [out["evalue"] for out in errors if out["ename"] == YieldError.__name__]
    return texts[-1].split("\n")[0].split("; dropped")[0] if texts else ""
