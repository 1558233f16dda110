"""Checkpoints of a training: which are whole, which to go on from, which was the best.

A checkpoint is whole when its `whole.json` names every file with its digest, the step, and the training it belongs to. That
file is written last, atomically, once all processes have written theirs. Whatever a crash leaves behind lacks it, and
whatever was changed since does not fit it; such a checkpoint is skipped before any of it is loaded.
Covers finding and marking. Does not cover what is inside (transformers' Trainer).
"""

import json
import shutil
from pathlib import Path
from typing import Any

from isheep_lib.errors import RecordError
from isheep_lib.record.fixity.sealed import Described, Shape, read_sealed, shaped, write_sealed
from isheep_lib.record.manifests import describe_file, difference
from isheep_lib.record.rows import make_durable, shown

MARK = "whole.json"


class _Mark(Shape):
    files: dict[str, Described]
    job: str
    step: int


def step_of(checkpoint: Path) -> int:
    """Return the optimizer step that a checkpoint was saved after."""
    return int(checkpoint.name.rpartition("-")[2])


def mark_whole(checkpoint: Path, job: str) -> None:
    """Say that a checkpoint is complete, once its files are on the disk; `job` is the digest of its training."""
    files = [path for path in _contents(checkpoint) if path.name != MARK]
    for path in files:
        make_durable(path)
    described = {path.relative_to(checkpoint).as_posix(): describe_file(path) for path in files}
    write_sealed(checkpoint / MARK, {"files": described, "job": job, "step": step_of(checkpoint)})


def _contents(checkpoint: Path) -> list[Path]:
    return sorted(path for path in checkpoint.rglob("*") if not path.is_dir() or path.is_symlink())


def problem(checkpoint: Path, job: str) -> str:
    """Say what keeps a checkpoint from being whole and of this training, "" for nothing; every file is hashed."""
    if checkpoint.is_symlink() or not checkpoint.is_dir() or not checkpoint.name.rpartition("-")[2].isdecimal():
        return "it is no checkpoint's folder"
    try:
        found = read_sealed(checkpoint / MARK, MARK, "")
        if found is None:
            return "it was not finished"
        values, has_digest = found
        mark = shaped(_Mark, values)
    except RecordError as error:
        return error.what
    except ValueError as error:
        return f"{MARK} does not hold what it should, or is of an older version: {error}"
    if not has_digest:
        return f"{MARK} lost the digest of itself"
    if mark.step != step_of(checkpoint):
        return f"it was saved after step {mark.step}"
    if mark.job != job:
        return "it belongs to another training"
    for name, kept in values["files"].items():
        if why := _file_problem(checkpoint / name, kept):
            return f"{name} {why}"
    names = (path.relative_to(checkpoint).as_posix() for path in _contents(checkpoint))
    added = [name for name in names if name != MARK and name not in mark.files]
    return f"{added[0]} was added" if added else ""


def _file_problem(path: Path, kept: dict[str, Any]) -> str:
    found = difference(path, kept)
    if found is None:
        return "is a link" if path.is_symlink() else ""
    if found.kind != "changed":
        return "is missing"
    size = path.stat().st_size
    return f"has {size} of {kept['bytes']} bytes" if size != kept["bytes"] else "has other bytes"


def best_of(checkpoint: Path) -> Path:
    """Return the checkpoint with the lowest held-out loss as of this one."""
    state = json.loads((checkpoint / "trainer_state.json").read_text(encoding="utf-8"))
    return checkpoint.with_name(f"checkpoint-{state['best_global_step']}")


def drop_old(folder: Path) -> None:
    """Remove all checkpoints but the two newest and the best one as of each."""
    found = sorted(folder.glob("checkpoint-*"), key=step_of)
    kept = {*found[-2:], *map(best_of, found[-2:])}
    for checkpoint in found:
        if checkpoint not in kept:
            shutil.rmtree(checkpoint)


def last_whole(folder: Path, job: str) -> tuple[Path | None, list[str]]:
    """Find the newest checkpoint below a folder that is whole, as is its best one; remove all that are not.

    Args:
        job: digest of the training that goes on.

    Returns:
        The checkpoint, None where there is none, and a sentence for each that was removed.
    """
    everything = sorted(folder.glob("checkpoint-*"))
    torn = {path: why for path in everything if (why := problem(path, job))}
    found = sorted((path for path in everything if path not in torn), key=step_of)
    for checkpoint in found:
        if (best := best_of(checkpoint)) in torn or not best.is_dir():
            torn[checkpoint] = f"{best.name}, the best until then, is torn or gone"
    for path in torn:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
    whole = [checkpoint for checkpoint in found if checkpoint not in torn]
    after = f"training goes on after step {step_of(whole[-1])}" if whole else "training starts anew"
    return (whole[-1] if whole else None), [
        f"{shown(path.name)} is torn ({shown(why)}) and was skipped: {after}" for path, why in sorted(torn.items(), key=_place)
    ]


def _place(item: tuple[Path, str]) -> tuple[int, str]:
    number = item[0].name.rpartition("-")[2]
    return (int(number) if number.isdecimal() else -1), item[0].name


def best_step(log: list[dict[str, Any]]) -> int:
    """Return the step, after the first, with the lowest held-out loss; of equal ones the earliest."""
    held = [row for row in log if "eval_loss" in row and row["step"] > 0]
    return int(min(held, key=lambda row: (row["eval_loss"], row["step"]))["step"])
