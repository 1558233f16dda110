"""Rows of a run's record, whose bytes are held against their manifest."""

from pathlib import Path
from typing import Any

from isheep_lib.record import manifests
from isheep_lib.record.rows import read_jsonl


def rows_of(run_dir: Path, iteration: int, stage: str, file: str) -> list[dict[str, Any]] | None:
    """Read the rows that a stage recorded, None where it is not done.

    Raises:
        RecordError: the file is not as its manifest says.
    """
    folder = manifests.stage_folder(run_dir, iteration, stage)
    if file not in (manifests.read_manifest(folder) or {"outputs": {}})["outputs"]:
        return None
    manifests.require_intact(folder, [file])
    return read_jsonl(folder / file)
