"""Figures from records, with labels and units; one function a figure, each returns a matplotlib Figure.

Covers drawing. Does not cover tables (`report`). Figures are made without pyplot, so nothing is shown twice or leaks.
"""

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from isheep_lib.report import SIGNS, TITLES

BLUE, RED, GREY, DARK = "#1b6ca8", "#d1495b", "#c9ccd1", "#30343b"


class Drawing(Figure):
    """A figure that a notebook shows as PNG without pyplot, the same bytes for the same data."""

    def _repr_png_(self) -> bytes:
        buffer = io.BytesIO()
        self.savefig(buffer, format="png", metadata={"Software": None})
        return buffer.getvalue()


def _figure(columns: int, width: float = 9.0, height: float = 3.0, rows: int = 1) -> tuple[Figure, list[Any]]:
    figure = Drawing(figsize=(width, height), dpi=90, layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).ravel().tolist()
    for axis in axes:
        axis.spines[["top", "right"]].set_visible(False)
    return figure, axes


def funnel(counts: dict[str, Any], what: str) -> Figure:
    """Draw what was kept and what left for which reason."""
    names = ["kept", *counts["dropped"]]
    values = [counts["kept"], *counts["dropped"].values()]
    figure, (axis,) = _figure(1, height=0.8 + 0.3 * len(names))
    bars = axis.barh([name.replace("_", " ") for name in names], values, color=[BLUE] + [GREY] * (len(names) - 1))
    axis.bar_label(bars, padding=3)
    axis.invert_yaxis()
    axis.set_xlabel(f"{what} (of {counts['in']})")
    return figure


def lengths(rows: Sequence[dict[str, Any]]) -> Figure:
    """Draw the lengths of instructions and of outputs, in words."""
    figure, axes = _figure(2)
    for axis, name in zip(axes, ("instruction", "output"), strict=True):
        values = [len(row[name].split()) for row in rows]
        axis.hist(values, bins=20, color=BLUE)
        axis.axvline(float(np.median(values)) if values else 0.0, color=DARK, linestyle="--", linewidth=1)
        axis.set_xlabel(f"{name} length (words), median dashed")
        axis.set_ylabel("pairs")
    return figure


def true_and_shuffled(true: Sequence[Any], false: Sequence[Any], found: Sequence[Any]) -> Figure:
    """Draw each score's values for true and for shuffled pairs; nothing where another worker makes the check."""
    if not found:
        return Drawing(figsize=(1, 1), dpi=90)
    figure, axes = _figure(min(3, len(found)), height=2.6 * -(-len(found) // 3), rows=-(-len(found) // 3))
    for axis in axes[len(found) :]:
        axis.set_visible(False)
    for axis, r in zip(axes, found, strict=False):
        sides = [[row.scores[r.column] for row in side if r.column in row.scores] for side in (true, false)]
        if sides[0] + sides[1]:
            bins = np.histogram_bin_edges(sides[0] + sides[1], bins=14)
            axis.hist(sides[0], bins=bins, color=BLUE, alpha=0.75, label="true pairs")
            axis.hist(sides[1], bins=bins, color=RED, alpha=0.6, label="shuffled pairs")
        unit = " (nats a token)" if r.column == "mutual_information" else " (1 to 10)"
        axis.set_xlabel(r.column.replace("_", " ") + unit, fontsize=9)
        axis.set_ylabel("pairs")
        axis.set_title(f"AUROC {r.auroc:.2f}", fontsize=10)
    axes[0].legend(fontsize=8, frameon=False)
    return figure


def threshold_sweep(scored: Sequence[dict[str, Any]], columns: Sequence[str], threshold: float) -> Figure:
    """Draw the share of pairs that each threshold would keep, before the rules, and the scores' histogram."""
    lowest = sorted(min(row["scores"][c] for c in columns) for row in scored if all(c in row["scores"] for c in columns))
    figure, (left, right) = _figure(2)
    left.hist(lowest, bins=20, color=BLUE)
    right.step(lowest, 1 - np.arange(1, len(lowest) + 1) / max(1, len(scored)), where="post", color=BLUE)
    right.set_ylabel("share of pairs above the threshold")
    right.set_ylim(0, 1)
    left.set_ylabel("pairs")
    for axis in (left, right):
        axis.axvline(threshold, color=RED, linestyle="--", linewidth=1)
        axis.set_xlabel(f"{' and '.join(columns).replace('_', ' ')}, chosen threshold dashed")
    return figure


def training_curves(log: Sequence[dict[str, float]]) -> Figure:
    """Draw losses, learning rate and gradient norm over optimizer steps."""
    figure, axes = _figure(3)
    steps = [row for row in log if "loss" in row]
    held = [row for row in log if "eval_loss" in row]
    axes[0].plot([r["step"] for r in steps], [r["loss"] for r in steps], color=GREY, label="training")
    axes[0].plot([r["step"] for r in held], [r["eval_loss"] for r in held], "o-", color=BLUE, label="held out")
    axes[0].legend(fontsize=8, frameon=False)
    axes[1].plot([r["step"] for r in steps], [r["learning_rate"] for r in steps], color=DARK)
    axes[2].plot([r["step"] for r in steps], [r["grad_norm"] for r in steps], color=DARK)
    for axis, name in zip(axes, ("loss (nats a token)", "learning rate", "gradient norm"), strict=True):
        axis.set_xlabel("optimizer step")
        axis.set_ylabel(name)
    return figure


def accuracies(metrics: dict[str, Any], earlier: dict[str, Any] | None) -> Figure:
    """Draw the four accuracies with one standard error, beside the model before."""
    figure, (axis,) = _figure(1)
    names = list(TITLES)
    series = [("model before", earlier, GREY)] if earlier else []
    series.append(("this model", metrics, BLUE))
    for i, (label, source, color) in enumerate(series):
        values = [source["ifeval"][name] for name in names]
        x = np.arange(len(names)) + (i - (len(series) - 1) / 2) * 0.36
        axis.bar(
            x,
            [v["value"] for v in values],
            0.34,
            yerr=[v["standard_error"] or 0.0 for v in values],
            color=color,
            label=label,
            capsize=3,
        )
    axis.set_xticks(range(len(names)), [TITLES[name] for name in names])
    axis.set_ylabel("accuracy (%)")
    axis.set_title(f"IFEval on {metrics['subset']}; bars are one standard error", fontsize=10)
    axis.legend(fontsize=8, frameon=False)
    return figure


def metrics_over_iterations(found: dict[int, dict[str, Any]]) -> Figure:
    """Draw every metric over iterations, the base model at 0."""
    figure, axes = _figure(4, height=5.4, rows=2, width=11.0)
    x = list(found)
    for axis, (name, title) in zip(axes[:4], TITLES.items(), strict=True):
        values = [found[k]["ifeval"][name] for k in x]
        axis.errorbar(
            x, [v["value"] for v in values], [v["standard_error"] or 0.0 for v in values], fmt="o-", color=BLUE, capsize=3
        )
        axis.set_ylabel(f"IFEval {title} (%)", fontsize=8)
    for axis, (name, title) in zip(axes[4:], SIGNS.items(), strict=True):
        axis.plot(x, [found[k]["signs"][name] for k in x], "o-", color=DARK)
        axis.set_ylabel(title, fontsize=8)
    for axis in axes:
        axis.set_xlabel("iteration (0 is the base model)", fontsize=8)
        axis.set_xticks(x)
    return figure
