"""A training as files: the job that its processes read, its rows, its log, how it ended.

    job = Job(folder, params, seed, work)
    job.save()                            # job.json; rows.jsonl lies beside it

Covers the files. Does not cover the training (`train.trainer`) or starting it (`train.launch`).
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from isheep_lib.record.rows import canonical_json, digest_file, digest_text, read_jsonl, write_atomic, write_jsonl
from isheep_lib.train.dataset import Data, PairRow, Row, TrainRow
from isheep_lib.train.objectives.table import OBJECTIVES
from isheep_lib.train.params import TrainParams

JOB, ROWS = "job.json", "rows.jsonl"
FAILURE, RESULT = "failure.json", "result.json"
WATCHED = "ISHEEP_WATCHED"  # set where standard input closes with whoever started the training


@dataclass(frozen=True)
class Job:
    """A training as a file: all that its processes need to know.

    Attributes:
        model: folder of the weights that learning starts from.
        params: parameters of the stage.
        seed: of adapter initialisation, order and dropout.
        work: folder of the rows (`rows.jsonl`), checkpoints and the result.
    """

    model: Path
    params: TrainParams
    seed: int
    work: Path

    @property
    def digest(self) -> str:
        """The SHA-256 of what decides the result, wherever it is computed and by however many processes."""
        rows = digest_file(self.work / ROWS)
        return digest_text(canonical_json({"params": self.params.deciding(), "rows": rows, "seed": self.seed}))

    def save(self) -> Path:
        """Write the job into its folder and return the file."""
        values = {"model": str(self.model), "params": self.params.model_dump(), "seed": self.seed, "work": str(self.work)}
        write_atomic(self.work / JOB, json.dumps(values, indent=1) + "\n")
        return self.work / JOB

    @classmethod
    def load(cls, path: Path) -> "Job":
        """Read a job that was saved."""
        values = json.loads(path.read_text(encoding="utf-8"))
        return cls(Path(values["model"]), TrainParams(**values["params"]), values["seed"], Path(values["work"]))


def load_rows(work: Path, held_out: bool) -> list[Row]:
    """Read the rows to learn, or those held out."""
    return [_loaded(row) for row in read_jsonl(work / ROWS) if row["held_out"] == held_out]


def _loaded(row: dict[str, Any]) -> Row:
    if "rejected" not in row:
        return TrainRow(row["id"], row["tokens"], row["read"])
    chosen, rejected = (TrainRow(side["id"], side["tokens"], side["read"]) for side in (row["chosen"], row["rejected"]))
    return PairRow(row["id"], chosen, rejected)


def save_rows(data: Data, work: Path) -> None:
    """Write the rows for the processes of a training."""
    parts = ((data.train, False), (data.held_out, True))
    write_jsonl(work / ROWS, [_saved(row) | {"held_out": held_out} for part, held_out in parts for row in part])


def _saved(row: Row) -> dict[str, Any]:
    if isinstance(row, TrainRow):
        return {"id": row.id, "tokens": row.input_ids, "read": row.read}
    return {"id": row.id, "chosen": _saved(row.chosen), "rejected": _saved(row.rejected)}


FIGURES = tuple(dict.fromkeys(name for objective in OBJECTIVES.values() for name in objective.figures))
KEPT = ("step", "epoch", "loss", "grad_norm", "learning_rate", "eval_loss")
KEPT += tuple(f"{part}{name}" for part in ("", "eval_") for name in FIGURES if name != "loss")


def clean(history: list[dict[str, float]], steps_per_epoch: int) -> list[dict[str, float]]:
    """Keep what two runs of the same training share: no timings, no totals, no evaluation that a resume repeats."""
    rows: dict[tuple[float, bool], dict[str, float]] = {}
    for row in history:
        if "loss" in row or "eval_loss" in row:
            known = {**row, "epoch": row["step"] / steps_per_epoch}
            kept = {key: round(float(known[key]), 6) for key in KEPT if key in known}
            rows.setdefault((row["step"], "eval_loss" in row), kept)
    return list(rows.values())
