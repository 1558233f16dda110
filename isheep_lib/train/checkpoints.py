"""Checkpoints of a training: which are whole, which to go on from, which was the best.

A checkpoint is whole when its `whole.json` names every file with its size; that file is written last, atomically, once
all processes have written theirs. Whatever a crash leaves behind lacks it.
Covers finding and marking. Does not cover what is inside (transformers' Trainer).
"""

import json
import os
import shutil
from pathlib import Path
from typing import Any

from isheep_lib.record.rows import canonical_json, write_atomic

MARK = "whole.json"


def step_of(checkpoint: Path) -> int:
    """Return the optimizer step that a checkpoint was saved after."""
    return int(checkpoint.name.rpartition("-")[2])


def mark_whole(checkpoint: Path) -> None:
    """Say that a checkpoint is complete, once its files are on the disk."""
    files = sorted(path for path in checkpoint.rglob("*") if path.is_file() and path.name != MARK)
    for path in files:
        with open(path, "rb") as file:
            os.fsync(file.fileno())
    sizes = {str(path.relative_to(checkpoint)): path.stat().st_size for path in files}
    write_atomic(checkpoint / MARK, canonical_json(sizes))


def problem(checkpoint: Path) -> str:
    """Say what keeps a checkpoint from being whole, "" for nothing."""
    try:
        sizes = json.loads((checkpoint / MARK).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return "it was not finished"
    except ValueError:
        return f"{MARK} cannot be read"
    for name, size in sizes.items():
        path = checkpoint / name
        if not path.is_file():
            return f"{name} is missing"
        if path.stat().st_size != size:
            return f"{name} has {path.stat().st_size} of {size} bytes"
    return ""


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


def last_whole(folder: Path) -> tuple[Path | None, list[str]]:
    """Find the newest checkpoint below a folder that is whole, as is its best one; remove torn ones.

    Returns:
        The checkpoint, None where there is none, and a sentence for each torn one.
    """
    found = sorted(folder.glob("checkpoint-*"), key=step_of)
    torn = {checkpoint: why for checkpoint in found if (why := problem(checkpoint))}
    for checkpoint in found:
        if checkpoint not in torn and ((best := best_of(checkpoint)) in torn or not best.is_dir()):
            torn[checkpoint] = f"{best.name}, the best until then, is torn or gone"
    for checkpoint in torn:
        shutil.rmtree(checkpoint)
    whole = [checkpoint for checkpoint in found if checkpoint not in torn]
    after = f"training goes on after step {step_of(whole[-1])}" if whole else "training starts anew"
    return (whole[-1] if whole else None), [
        f"{path.name} is torn ({why}) and was skipped: {after}" for path, why in torn.items()
    ]


def best_step(log: list[dict[str, Any]]) -> int:
    """Return the step, after the first, with the lowest held-out loss; of equal ones the earliest."""
    held = [row for row in log if "eval_loss" in row and row["step"] > 0]
    return int(min(held, key=lambda row: (row["eval_loss"], row["step"]))["step"])
