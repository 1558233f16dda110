"""What a sweep found: one table of all its runs, each against its random control and against the reference run.

    ablation_table(sweep)      # rows: values x iterations x benchmarks; paired tests on the same items

Covers pairing runs of a sweep, over its seeds. Does not cover running it (`ablate.runs`) or the tests
(`analysis.significance`).
"""

import itertools
import shlex
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.figure import Figure

from isheep_lib.ablate.runs import stops
from isheep_lib.ablate.sweep import Sweep
from isheep_lib.analysis.significance import NOTHING_SHOWN, Comparison, holm, mean_with_error, verdict
from isheep_lib.benchmarks.catalogue import BENCHMARKS
from isheep_lib.benchmarks.comparison import Evaluated, compare_shared, recorded, values_of
from isheep_lib.display.evaluation_tables import METRICS, named, with_error
from isheep_lib.display.figures import BLUE, DARK, GREY, nothing, panels, widen
from isheep_lib.display.table import Table
from isheep_lib.iterate.grade import grade_of_run
from isheep_lib.record import manifests
from isheep_lib.record.rows import canonical_json
from isheep_lib.record.stages import steps

NOT_RUN, NO_CHOICE = "not run", "none: no choice among pairs"
ACROSS = 4  # panels of a figure side by side
LEAST = 20  # percentage points that an axis spans at least, so that a small difference looks small


@dataclass(frozen=True)
class Side:
    """The models of one point of a sweep at one iteration, one per seed."""

    label: str
    models: list[Evaluated]
    bases: set[str]
    frames: set[str]
    pairs: list[int]  # trained on, one per seed
    weights: list[str]  # of base model and adapters, one per seed

    def named(self, benchmark: str) -> str:
        """Name a benchmark, with its language where that is not one of the point's."""
        return named(benchmark, self.models[0].language) if self.models else BENCHMARKS[benchmark].title


@dataclass(frozen=True)
class Row:
    """One line of the table: a point, an iteration, a benchmark, and its two comparisons or why there is none."""

    side: Side
    iteration: int
    benchmark: str
    value: dict[str, Any] | None
    seeds: list[float]
    control: Comparison | str
    reference: Comparison | str


def rows_of(sweep: Sweep) -> list[Row]:
    """Compare every finished point of a sweep at every iteration, on each benchmark's first metric.

    Several seeds of a point are one model to the tests: an item's value is its mean over them.
    """
    found = []
    for label in dict.fromkeys(point.label for point in sweep.points):
        last = iterations_of(sweep, label)
        for iteration in range(1, last + 1):
            side = side_of(sweep, label, iteration)
            others = [control_of(sweep, label, iteration), reference_of(sweep, label, iteration, last)]
            for name in side.models[0].tasks if side.models else ():
                values = pooled(side.models, name)
                if isinstance(values, str):
                    found.append(Row(side, iteration, name, None, [], values, values))
                    continue
                of_items = [values_of(name, model.rows(name)).values() for model in side.models]
                means = [100 * statistics.fmean(itertools.chain(*values)) for values in of_items]
                against = [compared(side, other, name) if other else "" for other in others]
                mean = mean_with_error([value for value in values.values() if value])
                found.append(Row(side, iteration, name, mean, means, *against))
    return found


def iterations_of(sweep: Sweep, label: str) -> int:
    """Return the last iteration of a point."""
    return max(point.iterations for point in sweep.points if point.label == label)


def control_of(sweep: Sweep, label: str, iteration: int) -> Side | None:
    """Return the random control of a point, None where it has none."""
    has_one = any(point.control and point.label == label for point in sweep.points)
    return side_of(sweep, label, iteration, control=True) if has_one else None


def reference_of(sweep: Sweep, label: str, iteration: int, last: int) -> Side | None:
    """Return the reference at the same iteration; a shorter run's last model stands against the reference's last."""
    if sweep.reference is None or label == sweep.reference.label:
        return None
    return side_of(sweep, sweep.reference.label, sweep.reference.iterations if iteration == last else iteration)


def side_of(sweep: Sweep, label: str, iteration: int, control: bool = False) -> Side:
    """Read the models of a point, one per seed; those that are not finished yet are not in it."""
    points = [p for p in sweep.points if p.label == label and p.control == control and p.iterations >= iteration]
    models, bases, frames, pairs, weights = [], set(), set(), [], []
    for point in points:
        run_dir = manifests.run_folder(point.run)
        model = recorded(run_dir, iteration)
        train = manifests.read_manifest(manifests.stage_folder(run_dir, iteration, "train"))
        evaluation = manifests.read_manifest(manifests.stage_folder(run_dir, iteration, "evaluate"))
        if model is None or train is None or evaluation is None:
            continue
        models.append(model)
        bases.add(evaluation["parts"]["model"]["base"])
        frames.add(evaluation["metrics"]["frame"])
        pairs.append(train["counts"]["kept"])
        weights.append(canonical_json(sorted(evaluation["parts"]["model"].values())))
    return Side(label, models, bases, frames, pairs, weights)


def pooled(models: Sequence[Evaluated], name: str) -> dict[str, list[float]] | str:
    """Return each item's values, averaged over seeds, or why that would be no average of the same thing."""
    if any(name not in model.tasks for model in models):
        return "not evaluated with every seed"
    if len({(m.tasks[name]["subset"], m.tasks[name]["digest"], m.tasks[name]["metric"]) for m in models}) > 1:
        return "seeds were asked other items"
    rows = [values_of(name, model.rows(name)) for model in models]
    answered = {id_: all(row[id_] for row in rows) for id_ in rows[0]}
    means = {id_: [sum(v) / len(v) for v in zip(*(row[id_] for row in rows), strict=True)] for id_ in rows[0] if answered[id_]}
    return {id_: means.get(id_, []) for id_ in rows[0]}


def compared(side: Side, other: Side, name: str) -> Comparison | str:
    """Compare two points on one benchmark, or say why that would be unfair."""
    if why := unfair(side, other, name):
        return why
    before, after = pooled(other.models, name), pooled(side.models, name)
    if isinstance(before, str) or isinstance(after, str):
        return f"left out: {before if isinstance(before, str) else after}"
    return compare_shared(before, after)


def unfair(side: Side, other: Side, name: str) -> str:
    """Say why two points may not be compared on a benchmark, "" where they may."""
    if not other.models:
        return NOT_RUN
    if other.weights == side.weights:
        return "the same model"
    if other.bases != side.bases:
        return "left out: another base model"
    if other.frames != side.frames:
        return "left out: another frame"
    if len(other.models) != len(side.models):
        return f"left out: {len(side.models)} seed(s) against {len(other.models)}"
    if name not in other.models[0].tasks:
        return "left out: not evaluated on it"
    facts = [{field: model.models[0].tasks[name][field] for field in ("subset", "digest", "metric")} for model in (other, side)]
    if facts[0] != facts[1]:
        return f"left out: other items ({facts[0]['subset']} and {facts[1]['subset']})"
    return ""


def ablation_table(sweep: Sweep, rows: Sequence[Row] | None = None) -> Table:
    """Show every point, iteration and benchmark, with paired tests; each column of tests is one family for Holm."""
    rows = rows_of(sweep) if rows is None else rows
    reference = sweep.reference.label if sweep.reference else ""
    with_control = any(point.control for point in sweep.points)
    said = [tested([row.control for row in rows]), tested([row.reference for row in rows])]
    grades = {point.label: grade_of_run(manifests.run_folder(point.run)).label for point in sweep.points if not point.control}
    shown = []
    for row, control, against in zip(rows, *said, strict=True):
        line = {
            "run": row.side.label,
            "iteration": row.iteration,
            "grade": grades[row.side.label],
            "pairs": " / ".join(str(n) for n in dict.fromkeys(row.side.pairs)),
            "benchmark": f"{row.side.named(row.benchmark)}, {METRICS[BENCHMARKS[row.benchmark].metric]}",
            "percent": with_error(row.value) if row.value else f"left out: {row.control}",
        }
        if len(row.seeds) > 1:
            line["seeds from, to"] = f"{min(row.seeds):.1f}, {max(row.seeds):.1f}"
        if with_control:
            line["against as many pairs by chance"] = control or NO_CHOICE
        if reference:
            line[f"against {reference}"] = against or "it is the reference"
        shown.append(line)
    caption = (
        "percent with one standard error over items; differences in percentage points with the 95 % interval of a paired "
        "bootstrap, p after Holm over the tests of a column; the reference is that of the same iteration, for the last model "
        "of a shorter run its last one"
    )
    return Table(shown or [{"run": NOT_RUN}], caption)


def tested(comparisons: Sequence[Comparison | str]) -> list[str]:
    """Write a column of comparisons, corrected together (Holm), and why others are none."""
    tests = {str(i): item for i, item in enumerate(comparisons) if isinstance(item, Comparison)}
    adjusted = holm({i: item.p for i, item in tests.items()})
    texts = []
    for i, item in enumerate(comparisons):
        if isinstance(item, str):
            texts.append(item)
            continue
        p = adjusted[str(i)]
        word = verdict(item, p)
        shown = "" if word == NOTHING_SHOWN else f": {word}"
        texts.append(
            f"{item.difference:+.1f} ({item.low:+.1f} to {item.high:+.1f}), p {'< 0.001' if p < 0.001 else f'{p:.3f}'}{shown}"
        )
    return texts


def unfinished_table(sweep: Sweep) -> Table:
    """Show which evaluations of a sweep are missing, and the command that makes them, or why nothing will."""
    rows, stopped = [], stops(sweep)
    for point in sweep.points:
        run_dir = manifests.run_folder(point.run)
        wanted = [k for k, stage in steps(point.iterations) if stage == "evaluate"]
        lacking = [f"M_{k}" for k in wanted if recorded(run_dir, k) is None]
        if lacking:
            said = stopped.get(point.name)
            then = {"stopped": said} if said else {"command": f"isheep ablate {shlex.quote(sweep.path)}"}
            rows.append({"run": point.name, "not run": ", ".join(lacking), **then})
    return Table(rows or [{"not run": "nothing: every model of the sweep is evaluated"}])


def figure(rows: Sequence[Row], measured: Mapping[str, Mapping[str, float]] | None = None) -> Figure:
    """Draw each benchmark's percent by point, last iteration filled, with one standard error.

    Args:
        rows: of `rows_of`.
        measured: what else is drawn beside them, by title and point (`ablate.yields`).
    """
    names, more = list(dict.fromkeys(row.benchmark for row in rows)), measured or {}
    if not names:
        return nothing()
    labels = list(dict.fromkeys(row.side.label for row in rows))
    last = {label: max(row.iteration for row in rows if row.side.label == label) for label in labels}
    number = len(names) + len(more)
    # As wide as a page at most: letters of a wider figure shrink with it.
    figure, axes = panels(number, min(number, ACROSS), min(11.0, 1.6 + 3.4 * number), 1.2 + 0.34 * len(labels), sharey=True)
    for axis, name in zip(axes, names, strict=False):
        _benchmark(axis, last, [row for row in rows if row.benchmark == name])
    for axis, (title, values) in zip(axes[len(names) :], more.items(), strict=True):
        bars = axis.barh(range(len(labels)), [values.get(label, 0.0) for label in labels], 0.6, color=GREY)
        shown = [_number(values[label]) if label in values else "not measured" for label in labels]
        axis.bar_label(bars, shown, padding=2, fontsize=8)
        axis.margins(x=0.2)  # for the numbers
        axis.set_xlabel(title, color=DARK, fontsize=9)
    for axis in axes:
        axis.tick_params(labelsize=8)
    axes[0].set_yticks(range(len(labels)), labels)
    axes[0].invert_yaxis()
    return figure


def _benchmark(axis: Any, last: Mapping[str, int], rows: Sequence[Row]) -> None:
    """Draw a benchmark's percent by point, of which `last` has the last iterations."""
    labels = list(last)
    for row in rows:
        if row.value:
            earlier = last[row.side.label] - row.iteration
            y, color = labels.index(row.side.label) + 0.16 * earlier, GREY if earlier else BLUE
            axis.errorbar(row.value["value"], y, xerr=row.value["standard_error"] or 0.0, fmt="o", color=color, capsize=3)
    widen(axis, LEAST, "x")
    titles = " / ".join(dict.fromkeys(row.side.named(row.benchmark) for row in rows))
    axis.set_xlabel(f"{titles},\n{METRICS[BENCHMARKS[rows[0].benchmark].metric]} (%)", color=DARK, fontsize=9)


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"
