"""Answers that were given before: the same model asked the same thing is not asked again.

Rows lie in the cache folder, one folder for what decides an answer (weights, engine, its code, number format, numerics, device;
where the format is less than float32 also the benchmarks asked), one file for an evaluation; rows are those of a transcript,
whose id is a digest of the prompt and its sampling.

Covers keeping and finding. Does not cover asking (`engines`) or the journal of a stage at work (`record.journal`).
"""

from pathlib import Path
from typing import Any

from isheep_lib.errors import DataError
from isheep_lib.record.folders import cache_folder
from isheep_lib.record.rows import canonical_json, digest_text, read_jsonl, write_jsonl

DECIDING = ("engine", "inference_dtype", "numerics", "context_tokens", "served_model")
# What decides which rows are computed beside one another: in bfloat16 a row's last bits, and so a choice, depend on it.
BESIDE = ("tasks", "data", "subset_seed", "few_shot", "answer_tokens")


def answers_folder(parts: dict[str, Any], device: str) -> Path:
    """Name the folder of one model's answers, given the parts of the stage's fingerprint and what computes."""
    alone = parts["parameters"]["inference_dtype"] == "float32"
    key = {
        "model": parts["model"],
        "engine": parts["engine"],
        "parameters": {name: parts["parameters"].get(name) for name in (*DECIDING, *([] if alone else BESIDE))},
        "code": parts["engine_code"],
        "device": device,
    }
    return cache_folder() / "answers" / digest_text(canonical_json(key))[:24]


def read_known(folder: Path) -> dict[str, dict[str, Any]]:
    """Read all answers of a model by id; a file that was changed since it was kept is left out, in words."""
    known: dict[str, dict[str, Any]] = {}
    for path in sorted(folder.glob("*.jsonl")):
        try:
            rows = read_jsonl(path)
            whole = _name(rows) == path.stem
        except (DataError, ValueError):  # no rows at all, or numbers that are none
            rows, whole = [], False
        known |= {row["id"]: row for row in rows if whole}
        if not whole:
            print(f"{path} is not as it was kept: these answers are asked again")
    return known


def keep(folder: Path, rows: list[dict[str, Any]]) -> None:
    """Keep fresh answers; equal sets have one file, so two evaluations at once do no harm."""
    if rows:
        write_jsonl(folder / f"{_name(rows)}.jsonl", rows)


def _name(rows: list[dict[str, Any]]) -> str:
    return digest_text(canonical_json(rows))[:24]
