"""Stages that runs share: what another run beside this one has made of the same inputs is not made again.

Two runs that differ only in what comes later have the same fingerprints up to there: all iterative settings share their
first iteration, all filters one synthesis. Covers finding and taking over. Does not cover when (`iterate.chain`).
"""

import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from isheep_lib.errors import RecordError
from isheep_lib.record import manifests
from isheep_lib.record.fixity import inventory
from isheep_lib.record.folders import replacing
from isheep_lib.record.rows import make_durable


def find_same(run_dir: Path, iteration: int, stage: str, fingerprint: str) -> Path | None:
    """Return the folder of a finished stage with this fingerprint in another run beside this one, all its files at hand."""
    for path in sorted(run_dir.parent.glob(f"*/iter-{iteration}/{stage}/{manifests.MANIFEST}")):
        if path.is_relative_to(run_dir):
            continue
        try:
            manifest = manifests.read_manifest(path.parent)
        except RecordError:  # another run that is damaged is no reason to stop this one
            continue
        if not manifest or manifest["fingerprint"] != fingerprint:
            continue
        if all(_has_size(path.parent / name, kept["bytes"]) for name, kept in manifest["outputs"].items()):
            return path.parent
    return None


def _has_size(path: Path, size: int) -> bool:
    try:
        return path.is_file() and path.stat().st_size == size
    except OSError:  # it may be taken away as we look
        return False


def copy_stage(source: Path, folder: Path, **own: Any) -> None:
    """Make a finished stage of another run, if its files are as recorded, one of this run; its manifest says whose it was.

    Facts of this run that the manifest states replace those of the other.
    """
    manifest = manifests.require_intact(source)
    shared_from = manifest.get("shared_from", source.parents[1].name)
    with replacing(folder) as fresh:
        for name in manifest["outputs"]:
            (fresh / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source / name, fresh / name)  # no link: whoever edits one record must not change two
            make_durable(fresh / name)
        manifests.write_manifest(fresh, {**manifest, **own, "shared_from": shared_from})
    make_durable(folder.parent)
    inventory.renew(folder.parents[1], f"{folder.parent.name}/{folder.name}")


def taken(recorded: Iterable[dict[str, Any]]) -> str:
    """Say which of some stages, given by their manifests, were taken from which other run, "" where none was."""
    by_run: dict[str, list[str]] = {}
    for manifest in recorded:
        if "shared_from" in manifest:
            by_run.setdefault(manifest["shared_from"], []).append(f"iter-{manifest['iteration']}/{manifest['stage']}")
    told = [f"{len(names)} taken from the run {run}: {', '.join(names)}" for run, names in by_run.items()]
    return "; ".join(told)
