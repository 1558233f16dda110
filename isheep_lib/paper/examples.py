"""Pairs from the corners of quality and following, as the paper's Table 6 shows them.

    corners_table(run_dir, "isheep iterate 1 ...")    # four pairs, or the command that would score them

Covers choosing by a run's own scores. Does not cover whether those can be trusted (the check in assess.ipynb).
"""

import statistics
from pathlib import Path
from typing import Any

from isheep_lib.display.table import Table, clip
from isheep_lib.record import manifests
from isheep_lib.record.rows import read_jsonl

CRITERIA = ("quality", "following")
CORNERS = (("good", "good"), ("good", "poor"), ("poor", "good"), ("poor", "poor"))


def corners_table(run_dir: Path, command: str) -> Table:
    """Show a pair from each corner, of the last iteration that has scores on both criteria.

    Good is above the median of the iteration, poor is not; of a corner the pair that lies furthest out is shown.
    """
    for iteration, (folder, _) in reversed(manifests.of_stage(run_dir, "assess").items()):
        scored = read_jsonl(folder / "scores.jsonl")
        scorer = next((name for row in scored for name in _scorers(row["scores"])), "")
        if scorer:
            pairs = read_jsonl(manifests.stage_folder(run_dir, iteration, "synthesize") / "examples.jsonl")
            caption = f"Iteration {iteration}, scorer {scorer}; good is above the median of the iteration"
            return Table(corner_rows(pairs, scored, scorer), caption)
    return Table([{"not run": "no iteration has scores of quality and following", "command": command}])


def _scorers(scores: dict[str, float]) -> list[str]:
    """Name the scorers that have scored a pair on both criteria."""
    names = [column.removesuffix("_quality") for column in sorted(scores) if column.endswith("_quality")]
    return [name for name in names if f"{name}_following" in scores]


def corner_rows(pairs: list[dict[str, Any]], scored: list[dict[str, Any]], scorer: str) -> list[dict[str, Any]]:
    """Choose the pair of each corner and make its row."""
    texts = {pair["id"]: pair for pair in pairs}
    columns = [f"{scorer}_{criterion}" for criterion in CRITERIA]
    values = {row["id"]: [row["scores"][name] for name in columns] for row in scored if scorer in _scorers(row["scores"])}
    middle = [statistics.median(each[i] for each in values.values()) for i in range(len(CRITERIA))]
    rows = []
    for corner in CORNERS:
        inside = [name for name in sorted(values) if _corner(values[name], middle) == corner and name in texts]
        row: dict[str, Any] = dict(zip(CRITERIA, corner, strict=True))
        if not inside:
            rows.append(row | {"task": "no pair in this corner"})
            continue
        furthest = max(inside, key=lambda name: sum(abs(v - m) for v, m in zip(values[name], middle, strict=True)))
        pair = texts[furthest]
        task = "\n\n".join(part for part in (pair["instruction"], pair["input"]) if part)
        scores = " / ".join(f"{value:.2f}" for value in values[furthest])
        rows.append(row | {"scores": scores, "task": clip(task), "response": clip(pair["output"]), "pair": furthest})
    return rows


def _corner(values: list[float], middle: list[float]) -> tuple[str, ...]:
    return tuple("good" if value > mid else "poor" for value, mid in zip(values, middle, strict=True))
