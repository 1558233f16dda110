"""Figures from records, with labels and units; one function a figure, each returns a matplotlib Figure.

Covers drawing. Does not cover tables (`display.stage_tables`). Figures are made without pyplot, so nothing is shown twice
or leaks.
"""

import io
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from matplotlib.figure import Figure

from isheep_lib.analysis.collapse import SIGNS
from isheep_lib.analysis.reliability import Checked
from isheep_lib.benchmarks.comparison import spoken_in
from isheep_lib.display import fonts
from isheep_lib.display.evaluation_tables import named
from isheep_lib.display.scripts import wrapped
from isheep_lib.display.stage_tables import two_digits
from isheep_lib.languages.words import count_words
from isheep_lib.scorers.table import scorer_of

BLUE, RED, GREY, DARK = "#1b6ca8", "#d1495b", "#c9ccd1", "#30343b"
WRONG = (RED, "#e8a33d", "#5b8c5a")
GROUPS = (BLUE, *WRONG, "#7b5ea7", "#3aa6a0", "#8c6d4f", "#c77dba")
END = 0.04  # of an axis over iterations, beyond its ends: a point that lies there is whole
LEAST_LOSS = 0.05  # of a loss: the least that its axis spans
OTHER = "#9aa0a8"  # every group beyond these
MARKERS, DASHES = "osD^vP*X", ("-", "--", ":", "-.")  # what tells groups and lines apart without colours


class Drawing(Figure):
    """A figure that a notebook shows as PNG without pyplot, in letters of any script, the same bytes for the same data."""

    def draw(self, renderer: Any) -> None:
        """Draw with fonts that have the letters, whatever the format of the file."""
        fonts.provide(self)
        super().draw(renderer)

    def _repr_png_(self) -> bytes:
        buffer = io.BytesIO()
        self.savefig(buffer, format="png", metadata={"Software": None})
        return buffer.getvalue()


def nothing() -> Figure:
    """Return the figure that stands where there is nothing to draw, and says so: pages make figures as wide as a text."""
    figure = Drawing(figsize=(9.0, 0.3), dpi=90)
    figure.text(0.0, 0.5, "nothing to draw here", va="center", fontsize=8, color=DARK)
    return figure


def panels(
    number: int, across: int, width: float = 9.0, height: float = 3.0, dpi: int = 90, **shared: Any
) -> tuple[Figure, list[Any]]:
    """Return a figure with a number of panels, `across` in a row of that height in inches, and their axes."""
    rows = max(1, -(-number // across))
    figure = Drawing(figsize=(width, height * rows), dpi=dpi, layout="constrained")
    axes = figure.subplots(rows, across, squeeze=False, **shared).ravel().tolist()
    for place, axis in enumerate(axes):
        axis.spines[["top", "right"]].set_visible(False)
        axis.set_visible(place < number)
    return figure, axes[:number]


def widen(axis: Any, least: float, which: str = "y") -> None:
    """Widen an axis to at least so much from end to end, so that a small difference looks small."""
    low, high = getattr(axis, f"get_{which}lim")()
    if high - low < least:
        middle = (low + high) / 2
        getattr(axis, f"set_{which}lim")(middle - least / 2, middle + least / 2)


def funnel(counts: dict[str, Any], what: str) -> Figure:
    """Draw what was kept and what left for which reason."""
    names = ["kept", *counts["dropped"]]
    values = [counts["kept"], *counts["dropped"].values()]
    figure, (axis,) = panels(1, 1, height=0.8 + 0.3 * len(names))
    bars = axis.barh([name.replace("_", " ") for name in names], values, color=[BLUE] + [GREY] * (len(names) - 1))
    axis.bar_label(bars, padding=3)
    axis.invert_yaxis()
    axis.set_xlabel(f"{what} (of {counts['in']})")
    return figure


def lengths(rows: Sequence[dict[str, Any]]) -> Figure:
    """Draw the lengths of instructions and of outputs, in words."""
    figure, axes = panels(2, 2)
    for axis, name in zip(axes, ("instruction", "output"), strict=True):
        values = [count_words(row[name]) for row in rows]
        axis.hist(values, bins=20, color=BLUE)
        axis.axvline(float(np.median(values)) if values else 0.0, color=DARK, linestyle="--", linewidth=1)
        axis.set_xlabel(f"{name} length (words), median dashed")
        axis.set_ylabel("pairs")
    return figure


def calibration(check: Checked) -> Figure:
    """Draw each score's histogram for true pairs and for each kind of wrong ones; nothing where no check was made."""
    if not check.columns:
        return nothing()
    figure, axes = panels(len(check.columns), min(3, len(check.columns)), width=10.0, height=3.2)
    for axis, column in zip(axes, check.columns, strict=True):
        sides = {"true": check.true, **check.wrong}
        values = {name: [row.scores[column] for row in side if column in row.scores] for name, side in sides.items()}
        every = [value for side in values.values() for value in side]
        if every:
            bins = np.histogram_bin_edges(every, bins=14)
            axis.hist(values.pop("true"), bins=bins, color=BLUE, alpha=0.5, label="true pairs")
            for (name, side), color, dashes in zip(values.items(), WRONG, DASHES, strict=False):
                label = name.replace("_", " ") if side else None  # else the legend would name what is not drawn
                axis.hist(side, bins=bins, color=color, histtype="step", linewidth=1.6, linestyle=dashes, label=label)
        if not every:
            axis.text(0.5, 0.5, "no readable score", ha="center", transform=axis.transAxes)
        found = [r for r in check.found if r.column == column and r.auroc == r.auroc]
        lines = [f"AUROC {two_digits(r.auroc)} ({r.corruption.replace('_', ' ')})" for r in found]
        axis.set_title("\n".join(lines), fontsize=9, loc="left")
        axis.tick_params(labelsize=8)
        axis.set_xlabel(f"{column.replace('_', ' ')} ({scorer_of(column).unit})", fontsize=9)
        axis.set_ylabel("pairs")
        axis.yaxis.get_major_locator().set_params(integer=True)
    legend = next((axis for axis in axes if axis.get_legend_handles_labels()[0]), None)
    if legend:
        legend.legend(fontsize=8, frameon=False)
    return figure


def calibration_over_iterations(by_iteration: dict[int, dict[str, Any]]) -> Figure:
    """Draw each checked score's AUROCs, mean and saturation over iterations; nothing before the first check."""
    columns = list(dict.fromkeys(column for check in by_iteration.values() for column in check))
    kinds = list(dict.fromkeys(kind for check in by_iteration.values() for row in check.values() for kind in row["auroc"]))
    if not columns:
        return nothing()
    asking = [column for column in columns if scorer_of(column).asks]
    measures: list[tuple[str, list[str], tuple[str, ...]]]
    measures = [(f"AUROC against {kind.replace('_', ' ')}", columns, ("auroc", kind, "value")) for kind in kinds]
    measures += [("mean score (1 to 10)", asking, ("mean",)), ("share of scores that round to 10", asking, ("saturation",))]
    figure, axes = panels(len(measures), 3, width=10.0, height=2.9)
    for axis, (title, names, path) in zip(axes, measures, strict=True):
        for column in names:
            values = {k: _at(check[column], path) for k, check in by_iteration.items() if column in check}
            number = columns.index(column)
            look = {"color": f"C{number}", "marker": MARKERS[number % 8], "linestyle": DASHES[number % 4]}
            axis.plot(list(values), list(values.values()), label=column.replace("_", " "), **look)
        axis.set_ylabel(title, fontsize=9)
        axis.tick_params(labelsize=8)
        axis.set_xlabel("iteration")
        axis.set_xticks(list(by_iteration))
        axis.set_ylim(*((0.5, 10.5) if path[0] == "mean" else (-0.05, 1.05)))
        if path[0] == "auroc":
            axis.axhline(0.5, color=DARK, linestyle="--", linewidth=1)
    # Beside the panels: within one it would hide points, of which a first iteration has one a score.
    figure.legend(
        *axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=len(columns), fontsize=8, frameon=False
    )
    return figure


def _at(row: dict[str, Any], path: tuple[str, ...]) -> float:
    """Follow a path into a document; what is absent or null is not drawn."""
    value: Any = row
    for name in path:
        value = (value or {}).get(name)
    return np.nan if value is None else value


class Threshold(Protocol):
    """The parameters of the step threshold."""

    @property
    def comparison(self) -> str:
        """What a kept score is: above, at_least, below or at_most."""

    @property
    def threshold(self) -> float:
        """C of the paper."""


def threshold_sweep(scored: Sequence[dict[str, Any]], columns: Sequence[str], params: Threshold) -> Figure:
    """Draw what each threshold would keep of all pairs, and the scores' histogram; nothing without a threshold."""
    if not columns:
        return nothing()
    rows = [[row["scores"][c] for c in columns] for row in scored if all(c in row["scores"] for c in columns)]
    upwards = params.comparison in ("above", "at_least")
    values = np.array(sorted((min if upwards else max)(row) for row in rows))
    figure, (left, right) = panels(2, 2)
    left.hist(values, bins=20, color=BLUE)
    ranks = np.arange(1, len(values) + 1)
    right.step(values, (len(values) - ranks if upwards else ranks) / max(1, len(scored)), where="post", color=BLUE)
    right.set_ylabel(f"share of pairs {params.comparison.replace('_', ' ')} the threshold")
    right.set_ylim(0, 1)
    left.set_ylabel("pairs")
    for axis in (left, right):
        axis.axvline(params.threshold, color=RED, linestyle="--", linewidth=1)
        axis.set_xlabel(f"{' and '.join(columns).replace('_', ' ')}, chosen threshold dashed")
    return figure


def training_curves(log: Sequence[dict[str, float]], unit: str = "nats per token") -> Figure:
    """Draw losses, learning rate and gradient norm over optimizer steps; of pairs of answers also what is said of them."""
    steps = [row for row in log if "loss" in row]
    held = [row for row in log if "eval_loss" in row]
    of_pairs = any("eval_margin" in row for row in held)
    names = [f"loss ({unit})", "learning rate", "gradient norm"]
    names += ["margin", "pairs with a margin above 0", "log p (nats per token)"] if of_pairs else []
    figure, axes = panels(len(names), 3)
    _both(axes[0], steps, held, "loss")
    axes[1].plot([r["step"] for r in steps], [r["learning_rate"] for r in steps], color=DARK)
    axes[2].plot([r["step"] for r in steps], [r["grad_norm"] for r in steps], color=DARK)
    if of_pairs:
        _both(axes[3], steps, held, "margin")
        _both(axes[4], steps, held, "accuracy")
        axes[4].set_ylim(0, 1)
        for side, color, look in (("chosen", BLUE, "o-"), ("rejected", RED, "s--")):
            values = [row[f"eval_{side}"] for row in held]
            axes[5].plot([row["step"] for row in held], values, look, color=color, label=f"{side}, held out" if held else None)
    for axis, name in zip(axes, names, strict=True):
        axis.set_xlabel("optimizer step")
        axis.set_ylabel(name)
        if axis.get_legend_handles_labels()[0]:
            axis.legend(fontsize=8, frameon=False)
    return figure


def _both(axis: Any, steps: Sequence[dict[str, float]], held: Sequence[dict[str, float]], name: str) -> None:
    """Draw a figure of the training over the steps, in training and of held-out rows."""
    if steps:
        axis.plot([r["step"] for r in steps], [r[name] for r in steps], color=GREY, label="training")
    if held:
        axis.plot([r["step"] for r in held], [r[f"eval_{name}"] for r in held], "o-", color=BLUE, label="held out")
    if name == "loss":
        widen(axis, LEAST_LOSS * abs(np.mean(axis.get_ylim())))


def scores(metrics: dict[str, Any], earlier: dict[str, Any] | None) -> Figure:
    """Draw each benchmark's first metric with one standard error, beside the model before."""
    names = list(metrics["tasks"])
    figure, (axis,) = panels(1, 1, height=1.2 + 0.36 * len(names))
    series = [("model before", earlier, GREY)] if earlier else []
    series.append(("this model", metrics, BLUE))
    for i, (label, source, color) in enumerate(series):
        values = [_first(source, name) for name in names]
        y = np.arange(len(names)) + (i - (len(series) - 1) / 2) * 0.36
        errors = [v["standard_error"] or 0.0 for v in values]
        axis.barh(y, [v["value"] for v in values], 0.34, xerr=errors, color=color, label=label, capsize=2)
    axis.set_yticks(
        range(len(names)), [f"{named(n, spoken_in(metrics))} ({metrics['tasks'][n]['subset']})" for n in names], fontsize=8
    )
    axis.invert_yaxis()
    axis.set_xlabel("first metric of each benchmark (%), bars are one standard error")
    axis.legend(fontsize=8, frameon=False)
    return figure


def _first(metrics: dict[str, Any], name: str) -> dict[str, Any]:
    """Return a benchmark's first metric; where it was not evaluated, one that is not drawn."""
    task = metrics["tasks"].get(name)
    return task["values"][task["metric"]] if task else {"value": np.nan, "standard_error": 0.0}


def scores_over_iterations(by_iteration: dict[int, dict[str, Any]]) -> Figure:
    """Draw each benchmark's first metric over iterations, the base model at 0."""
    names = list(dict.fromkeys(name for metrics in by_iteration.values() for name in metrics["tasks"]))
    language = spoken_in(by_iteration[max(by_iteration)]) if by_iteration else "en"
    series = [(f"{named(name, language)} (%)", {k: _first(m, name) for k, m in by_iteration.items()}) for name in names]
    return _over_iterations(series, list(by_iteration), BLUE, (0, 100))


def drift_over_iterations(by_iteration: dict[int, dict[str, Any]]) -> Figure:
    """Draw the signs of a collapse over iterations, the base model at 0."""
    series = []
    for name, title in SIGNS.items():
        values = {k: m["signs"][name] for k, m in by_iteration.items()}
        series.append((title, {k: {"value": np.nan if v is None else v, "standard_error": 0.0} for k, v in values.items()}))
    return _over_iterations(series, list(by_iteration), DARK, (0, None))


def _over_iterations(
    series: Sequence[tuple[str, dict[int, dict[str, Any]]]],
    iterations: list[int],
    color: str,
    limits: tuple[float, float | None],
) -> Figure:
    figure, axes = panels(len(series), 4, width=11.0, height=2.4)
    for axis, (title, values) in zip(axes, series, strict=True):
        points = list(values.values())
        errors = [v["standard_error"] or 0.0 for v in points]
        axis.errorbar(list(values), [v["value"] for v in points], errors, fmt="o-", color=color, capsize=3)
        axis.set_title("\n".join(wrapped(title, 32)), fontsize=9, loc="left")
        axis.tick_params(labelsize=8)
        axis.set_xlabel("iteration (0 is the base model)", fontsize=8)
        axis.set_xticks(iterations)
        low, high = limits
        high = high or (1 if "share)" in title else max(1.0, axis.get_ylim()[1]))
        axis.set_ylim(low - END * high, (1 + END) * high)
    return figure


def points(places: np.ndarray, groups: Sequence[str], axes: tuple[str, str], title: str, marked: int | None = None) -> Figure:
    """Draw points x 2 of a plane, each in the colour of its group in the order of first appearance, one of them ringed.

    Dollar signs in the title and in names of groups are no formulas.
    """
    figure, (axis,) = panels(1, 1, width=8.5, height=5.5)
    for number, name in enumerate(dict.fromkeys(groups)):
        own = places[[group == name for group in groups]]
        color = GROUPS[number] if number < len(GROUPS) else OTHER
        look = {"color": color, "marker": MARKERS[number % len(MARKERS)]}
        axis.scatter(*own.T, s=24, alpha=0.75, linewidths=0, label=f"{name} ({len(own)})", **look)
    if marked is not None:
        axis.scatter(*places[marked], s=150, facecolors="none", edgecolors=DARK, linewidths=1.8, zorder=3)
    if len(places):
        legend = axis.legend(fontsize=8, frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))
        for text in legend.get_texts():
            text.set_parse_math(False)
    axis.set_title("\n".join(wrapped(title, 110)), fontsize=9, loc="left", parse_math=False)
    axis.set_xlabel(axes[0])
    axis.set_ylabel(axes[1])
    return figure
