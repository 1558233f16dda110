"""What the paper's Figures 2 to 4 are drawn from, read from records of runs.

    points_of([run_dir, other_dir], "threshold").left_out    # runs that cannot stand in one figure, with the reason
    shares_table(run_dir)                                    # the numbers of Figure 3
    map_of(run_dir, ["seeds/tasks.jsonl"])                   # the plane of Figure 4, and vectors to place in it

Covers reading and counting; what a half-done run lacks is not there. Does not cover drawing (`paper.figures`) or the plane
itself (`display.embedding_map`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from isheep_lib.display.embedding_map import Map, fit
from isheep_lib.display.evaluation_tables import metrics_of, with_error
from isheep_lib.display.table import Table
from isheep_lib.engines.params import PromptedModel
from isheep_lib.engines.vectors import vectors_by_model, vectors_by_words
from isheep_lib.errors import EngineError, ModelError
from isheep_lib.filter.steps.threshold import COMPARISONS
from isheep_lib.params import run_file
from isheep_lib.prompting.chat import user_words
from isheep_lib.record import manifests
from isheep_lib.record.rows import Task, first_of_each, read_jsonl, task_of
from isheep_lib.scorers.scorer import Scorer
from isheep_lib.scorers.table import SCORERS, columns, scorer, scorer_of
from isheep_lib.synthesize.seeds import load_seeds

Parameter = Literal["threshold", "instructions"]

PAPER_THRESHOLD = 8.0  # the paper's C, Section 3.4
AVERAGE = "_average"


@dataclass(frozen=True)
class Point:
    """One model's IFEval accuracies at one value of a parameter: metric to value, standard error, items."""

    x: float
    iteration: int
    values: dict[str, dict[str, Any]]


class Found(NamedTuple):
    """Points to draw, and what is not drawn with the reason."""

    points: list[Point]
    left_out: list[dict[str, str]]


def points_of(run_dirs: Sequence[Path], parameter: Parameter) -> Found:
    """Read points from runs; one that differs from the first in model, frame or questions is left out and says why."""
    points: list[Point] = []
    left_out = []
    first: dict[str, Any] = {}
    for run_dir in run_dirs:
        params, found = run_file.run_params(run_dir), metrics_of(run_dir)
        x, problem = _place(params, parameter)
        if problem or not found:
            left_out.append({"run": manifests.short(run_dir), "left out": problem or "nothing is evaluated yet"})
            continue
        for iteration, metrics in found.items():
            facts = _facts(params, metrics, iteration, parameter)
            other = [f"{name} is {fact}, not {first[name]}" for name, fact in facts.items() if first.get(name, fact) != fact]
            if "ifeval" not in metrics["tasks"]:
                other = ["IFEval was not evaluated"]
            if other:
                left_out.append({"run": f"{manifests.short(run_dir)}, M_{iteration}", "left out": "; ".join(other)})
                continue
            first |= facts
            points.append(Point(x, iteration, metrics["tasks"]["ifeval"]["values"]))
    return Found(points, left_out)


def _place(params: dict[str, Any], parameter: Parameter) -> tuple[float, str]:
    """Return a run's place on the axis, counting C as the paper does, or why it has none."""
    section = params.get("synthesize" if parameter == "instructions" else "filter")
    if section is None:
        return 0.0, f"there is no such run, or it has not come to {'synthesis' if parameter == 'instructions' else 'filtering'}"
    if parameter == "instructions":
        return float(section["instructions"]), ""
    steps = sorted(section["steps"])
    if section.get("random_control"):
        return 0.0, "its pairs are drawn at random (filter.random_control)"
    known = {(): -1.0, ("rules",): 0.0, ("rules", "threshold"): float(section["threshold"])}
    if tuple(steps) not in known:
        return 0.0, f"its filter is {', '.join(section['steps'])}, which is no threshold after rules"
    return known[tuple(steps)], ""


def _facts(params: dict[str, Any], metrics: dict[str, Any], iteration: int, parameter: Parameter) -> dict[str, Any]:
    """Name what must agree between the points of one figure; the base model may be asked in another frame."""
    task = metrics["tasks"].get("ifeval", {})
    facts = {
        "the base model": params.get("model", {}).get("base_model"),
        f"the frame of {'the base model' if iteration == 0 else 'trained models'}": metrics["frame"],
        "the subset": task.get("subset"),
        "the digest of the questions": task.get("digest", "")[:12],
    }
    filtering = params.get("filter", {})
    if parameter == "threshold" and "threshold" in filtering["steps"]:
        facts["the scorer"] = f"{filtering['scorer']} {filtering['comparison'].replace('_', ' ')} C"
    return facts


@dataclass(frozen=True)
class Share:
    """How many of an iteration's pairs a score puts beyond C; an unread score puts none there."""

    iteration: int
    column: str
    side: str
    threshold: float
    pairs: int
    beyond: int
    unread: int

    def percent(self) -> dict[str, Any]:
        """Return the share with the standard error sqrt(p (1 - p) / n), in percent."""
        p = self.beyond / self.pairs
        return {"value": 100 * p, "standard_error": 100 * (p * (1 - p) / self.pairs) ** 0.5, "items": self.pairs}

    def line(self) -> str:
        """Name the line that this share is a point of."""
        return f"{self.column.replace('_', ' ')} {self.side} {self.threshold:g}"


def shares_of(run_dir: Path) -> list[Share]:
    """Count every score column's pairs beyond C in every assessed iteration.

    C is the run's own where its threshold decides by this scorer, the paper's 8 for other scores of 1 to 10; further
    columns have none and are left out.
    """
    filtering = run_file.run_params(run_dir).get("filter", {})
    found = []
    for iteration, (folder, _) in manifests.of_stage(run_dir, "assess").items():
        rows = read_jsonl(folder / "scores.jsonl")
        for column in _columns(rows):
            decides = "threshold" in filtering.get("steps", ()) and whose(column).name == filtering["scorer"]
            if not decides and not whose(column).asks:
                continue
            comparison, threshold = ("above", PAPER_THRESHOLD)
            if decides:
                comparison, threshold = filtering["comparison"], float(filtering["threshold"])
            passes, side = COMPARISONS[comparison]
            values = [value for row in rows if (value := _score(row["scores"], column)) is not None]
            beyond, unread = sum(passes(value, threshold) for value in values), len(rows) - len(values)
            found.append(Share(iteration, column, side, threshold, len(rows), beyond, unread))
    return found


def _columns(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Name the columns of scores, read or not, and the average of both criteria of each prompted scorer that has both."""
    present = dict.fromkeys(name for row in rows for name in (*row["scores"], *row["unread"]))
    named = []
    for each in (each for each in SCORERS.values() if each.asks):
        own = [column for column in each.columns("both") if column in present]
        named += [*own, *([f"{each.name}{AVERAGE}"] if len(own) == 2 else [])]
    return [*named, *(column for column in present if column not in named)]


def whose(column: str) -> Scorer:
    """Return the scorer of a column or of the average of both criteria."""
    return scorer(column.removesuffix(AVERAGE)) if column.endswith(AVERAGE) else scorer_of(column)


def _score(scores: dict[str, float], column: str) -> float | None:
    """Return a score or the average of both criteria, None where one is unread."""
    names = columns(column.removesuffix(AVERAGE), "both") if column.endswith(AVERAGE) else [column]
    return sum(scores[name] for name in names) / len(names) if all(name in scores for name in names) else None


def shares_table(run_dir: Path) -> Table:
    """Show the numbers of Figure 3."""
    rows = [
        {
            "iteration": str(share.iteration),
            "score": share.column.replace("_", " "),
            "C": f"{share.side} {share.threshold:g}",
            "pairs": str(share.pairs),
            "beyond C": str(share.beyond),
            "unread": str(share.unread),
            "share (%)": with_error(share.percent()),
        }
        for share in shares_of(run_dir)
    ]
    said = "Share of all generated pairs, ± one standard error; an unread score is not beyond C"
    return Table(rows, said if rows else "no iteration is assessed yet by a score that has a threshold")


class Placed(NamedTuple):
    """A map, the vectors of each iteration's instructions, and what the vectors are."""

    plane: Map | None
    groups: dict[int, np.ndarray]
    how: str


def map_of(run_dir: Path, set_files: Sequence[str], map_model: str = "") -> Placed:
    """Fit the plane to the tasks of files and place each iteration's instructions; without the model, by their words.

    Args:
        run_dir: the run.
        set_files: any files of tasks that can be seeds; together they span the plane.
        map_model: a base model as in a params file, empty is the run's.

    Raises:
        DataError: a file cannot be read, or the files hold fewer than three different tasks.
    """
    written = _written(run_dir)
    if not written:
        return Placed(None, {}, "")
    sets = [user_words(task) for name in set_files for task in load_seeds(name, [])]
    texts = [*sets, *(text for group in written.values() for text in group)]
    settings = PromptedModel(**run_file.run_params(run_dir).get("model", {}))
    name = map_model or settings.base_model
    said = Path(name.removeprefix("embedded:").partition("@")[0]).name
    try:
        vectors, how = vectors_by_model(texts, name, settings), f"final-layer vectors of {said}"
    except (ModelError, EngineError):
        vectors, how = vectors_by_words(texts), f"vectors of words (TF-IDF), the model {said} is not at hand"
    groups, start = {}, len(sets)
    for iteration, group in written.items():
        groups[iteration] = vectors[start : start + len(group)]
        start += len(group)
    return Placed(fit(vectors[: len(sets)]), groups, how)


def _written(run_dir: Path) -> dict[int, list[str]]:
    """Return the tasks that each iteration kept, as a user would say them."""
    return {
        iteration: [
            user_words(Task(row["id"], row["instruction"], row["input"]))
            for row in first_of_each(read_jsonl(folder / "examples.jsonl"), task_of)
        ]
        for iteration, (folder, _) in manifests.of_stage(run_dir, "synthesize").items()
    }
