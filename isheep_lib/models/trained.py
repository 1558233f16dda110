"""The weights of a run: the model of each iteration, what made it, what it says of fixed texts, and how to serve it.

Covers base plus the adapter that an iteration trained. Does not cover finding a base (`models.base`) or asking it (`engines`).
"""

from pathlib import Path
from typing import Any

from isheep_lib.errors import RecordError
from isheep_lib.models.base import ModelRef, find_model, trained_model
from isheep_lib.record import manifests
from isheep_lib.record.rows import digest_file, read_jsonl


def model_of(run_dir: Path, base_model: str, iteration: int) -> ModelRef:
    """Return M_k of a run: the base with the adapters up to iteration k, none for 0, or the weights trained in it."""
    base = find_model(base_model)
    folders = [manifests.stage_folder(run_dir, k, "train") for k in manifests.lineage(run_dir, iteration)]
    if folders and any(name.startswith("model/") for name in trained_weights(run_dir, iteration)):
        return trained_model(f"{base.name}, iteration {iteration}", folders[-1] / "model")
    return ModelRef(base.name, base.path, base.digest, tuple(folder / "adapter" for folder in folders))


def training_rows(run_dir: Path, iteration: int) -> list[dict[str, Any]]:
    """Read every row that the model of an iteration was trained on, none for the base; a changed file is a RecordError.

    Of a pair of answers, which the model has read both, there are two rows: the chosen one, then the rejected one.
    """
    rows: list[dict[str, Any]] = []
    for name, digest in manifests.trained_on(run_dir, iteration).items():
        path = run_dir / name
        if not path.is_file() or digest_file(path) != digest:
            raise RecordError(
                f"{name} is not what iteration {iteration} was trained on",
                where=manifests.short(path),
                do="restore the file, or make the training anew with isheep iterate --stale redo",
            )
        rows += [answer for row in read_jsonl(path) for answer in _answers(row)]
    return rows


def _answers(row: dict[str, Any]) -> list[dict[str, Any]]:
    if "chosen" not in row:
        return [row]
    asked = {"instruction": row["instruction"], "input": row["input"]}
    return [{"id": f"{row['id']}/{side}", **asked, "output": row[side]} for side in ("chosen", "rejected")]


def trained_weights(run_dir: Path, iteration: int) -> list[str]:
    """Name the weight files that an iteration's training left: an adapter's, or a whole model's."""
    outputs = manifests.require_intact(manifests.stage_folder(run_dir, iteration, "train"), [])["outputs"]
    return [name for name in sorted(outputs) if name.endswith(manifests.WEIGHTS)]
