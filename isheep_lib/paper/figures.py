"""The paper's Figures 1 to 4 from records of runs, drawn our own way.

    pipeline(run_dir)                                           # Figure 1, with the counts of the run's first iteration
    found = points_of([run_dir, other_dir], "threshold")
    accuracy_over(found.points, AXES["threshold"])              # Figure 2a; 2b with "instructions"
    shares_over_threshold(run_dir)                              # Figure 3, its numbers by shares_table(run_dir)
    instruction_map(*map_of(run_dir, ["seeds/tasks.jsonl"]))    # Figure 4

Covers what the four figures show; each draws what there is, and nothing where there is nothing. Does not cover what they are
drawn from (`paper.points`), other figures (`display.figures`) or files (`display.save`).
"""

import itertools
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from isheep_lib.display.embedding_map import Map
from isheep_lib.display.evaluation_tables import METRICS
from isheep_lib.display.figures import DARK, GREY, nothing, panels, widen
from isheep_lib.paper.points import PAPER_THRESHOLD, Point, shares_of, whose
from isheep_lib.params import run_file
from isheep_lib.record.manifests import all_manifests

WIDTH = 6.8  # inches, the text of a page
SMALL = 7.0  # points; nothing is smaller
# Told apart by colour-blind readers (Okabe and Ito 2008), and by marker and line where colours fail.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS, LINES = "os^DvPX", ("-", "--", "-.", ":")
BASE_LOOK = {"color": "#6b7078", "marker": "x", "linestyle": ":", "markersize": 4.5, "linewidth": 1.0}
ASIDE = 0.012  # of the axis: lines stand beside each other, so that their error bars can be told apart
IFEVAL = ("prompt_strict", "inst_strict", "prompt_loose", "inst_loose")
AXES = {
    "threshold": "threshold C (-1: no filter, 0: rules alone)",
    "instructions": "data size I (instructions wanted an iteration)",
}
PAPER_SHARES = (50.0, 70.0)  # per cent of pairs above 8 over iterations 1 to 6, as the text on Figure 3 says


def _panels(number: int, across: int, height: float, **shared: Any) -> tuple[Figure, list[Any]]:
    figure, axes = panels(number, across, WIDTH, height, 110, **shared)
    for axis in axes:
        axis.tick_params(labelsize=SMALL)
    return figure, axes


def _look(number: int) -> dict[str, Any]:
    """Choose colour, marker and line of the n-th series."""
    color, marker = COLORS[number % len(COLORS)], MARKERS[number % len(MARKERS)]
    return {"color": color, "marker": marker, "linestyle": LINES[number % len(LINES)], "markersize": 4.5, "linewidth": 1.3}


# Figure 1.

STEPS = {  # place in the drawing, title, what happens
    "seeds": ((0, 1), "seed tasks", "given"),
    "prompts": ((1, 1), "prompts $P_t$", "in context, by $M_t$"),
    "responses": ((2, 1), "responses $R_t$", "one each, by $M_t$"),
    "assess": ((3, 1), "self-assessment $S_t$", "each pair, by $M_t$"),
    "filter": ((3, 0), "filter: $D_t$", "rules, score above C"),
    "train": ((2, 0), "train: $M_{t+1}$", "LoRA on $M_{base}$"),
    "evaluate": ((1, 0), "evaluate", "benchmarks"),
}
LEAST = 20  # percentage points that an axis of accuracies spans at least, so that a small difference looks small
BOX, STRIDE = (1.0, 0.72), (1.32, 1.25)  # width and height of a box, and from one to the next


def pipeline(run_dir: Path | None = None) -> Figure:
    """Draw one turn of the loop; of a run, with rows in and kept in its first iteration (Figure 1)."""
    figure, (axis,) = panels(1, 1, WIDTH, 2.6, 110)
    axis.set_axis_off()
    axis.set_xlim(-0.55 * BOX[0], 3 * STRIDE[0] + 0.55 * BOX[0])
    axis.set_ylim(-0.55 * BOX[1], STRIDE[1] + 0.55 * BOX[1])
    counts, done = _first_counts(run_dir) if run_dir else {}, _descriptions(run_dir)
    for name, (place, title, what) in STEPS.items():
        _box(axis, place, [title, done.get(name, what), counts.get(name, "")])
    names = list(STEPS)
    for before, after in itertools.pairwise(names):
        _arrow(axis, STEPS[before][0], STEPS[after][0])
    _arrow(axis, STEPS["evaluate"][0], STEPS["prompts"][0])
    x, y = STRIDE[0] - 0.06, STRIDE[1] / 2
    axis.text(x, y, "next iteration:\n$M_{t+1}$ takes the place of $M_t$", ha="right", va="center", fontsize=SMALL)
    return figure


def _first_counts(run_dir: Path) -> dict[str, str]:
    """Say what went into each step of the first iteration and what it kept."""
    manifests = [m for _, m in all_manifests(run_dir) if m["iteration"] > 0]
    first = min((m["iteration"] for m in manifests), default=0)
    found = {m["stage"]: m["counts"] for m in manifests if m["iteration"] == first}
    said = {stage: f"{count['in']} in, {count['kept']} kept" for stage, count in found.items()}
    if "synthesize" in found:
        said |= {"prompts": said.pop("synthesize"), "responses": f"{found['synthesize']['kept']} pairs"}
    if "evaluate" in found:
        said["evaluate"] = f"{found['evaluate']['in']} items"
    return said


def _descriptions(run_dir: Path | None) -> dict[str, str]:
    """Say what a run does differently from the paper's loop."""
    params = run_file.run_params(run_dir) if run_dir else {}
    said = {}
    if params.get("assess", {}).get("scorers") == []:
        said["assess"] = "nothing is scored"
    elif params.get("assess", {}).get("assessor") == "base":
        said["assess"] = "each pair, by $M_{base}$"
    if "filter" in params:
        said["filter"] = ", ".join(step.replace("_", " ") for step in params["filter"]["steps"]) or "nothing is dropped"
    if params.get("train", {}).get("setting") == "one_last":
        said["train"] = "LoRA on $M_t$"
    return said


def _centre(place: tuple[int, int]) -> tuple[float, float]:
    return place[0] * STRIDE[0], place[1] * STRIDE[1]


def _box(axis: Any, place: tuple[int, int], lines: Sequence[str]) -> None:
    from matplotlib.patches import FancyBboxPatch

    (x, y), (width, height) = _centre(place), BOX
    corner = (x - width / 2, y - height / 2)
    axis.add_patch(FancyBboxPatch(corner, width, height, "round,pad=0,rounding_size=0.06", fc="#f3f5f8", ec=DARK, lw=0.9))
    title, what, count = lines
    said = [(title, "bold", DARK), ("\n".join(textwrap.wrap(what, 24)), "normal", DARK), (count, "bold", COLORS[0])]
    said = [line for line in said if line[0]]
    for number, (text, weight, color) in enumerate(said):
        rise = 0.21 * (len(said) - 1) / 2 - 0.21 * number
        axis.text(x, y + rise, text, ha="center", va="center", fontsize=SMALL, weight=weight, color=color)


def _arrow(axis: Any, before: tuple[int, int], after: tuple[int, int]) -> None:
    """Draw an arrow from the edge of one box to the edge of its neighbour."""
    (x0, y0), (x1, y1) = _centre(before), _centre(after)
    across, up = np.sign(x1 - x0) * BOX[0] / 2, np.sign(y1 - y0) * BOX[1] / 2
    axis.annotate("", (x1 - across, y1 - up), (x0 + across, y0 + up), arrowprops={"arrowstyle": "-|>", "color": DARK, "lw": 1})


# Figures 2 to 4.


def accuracy_over(points: Sequence[Point], axis_title: str) -> Figure:
    """Draw the four IFEval accuracies, a line per iteration, through the mean of runs at the same place (Figure 2)."""
    if not points:
        return nothing()
    iterations, places = sorted({point.iteration for point in points}), sorted({point.x for point in points})
    figure, axes = _panels(4, 2, 2.3, sharex=True, sharey=True)
    span = places[-1] - places[0] or 1.0
    margin = span / 2 if len(places) == 1 else 4 * ASIDE * span
    for axis, metric in zip(axes, IFEVAL, strict=True):
        for number, iteration in enumerate(iterations):
            own = [point for point in points if point.iteration == iteration and metric in point.values]
            _accuracies(axis, own, metric, ASIDE * span * (number - (len(iterations) - 1) / 2))
        axis.set_title(METRICS[metric], fontsize=SMALL + 1, loc="left")
        axis.set_xticks(places, [f"{place:g}" for place in places])
        axis.set_xlim(places[0] - margin, places[-1] + margin)
        axis.grid(axis="y", color=GREY, linewidth=0.4)
    widen(axes[0], LEAST)  # the others share its axis
    figure.supxlabel(axis_title, fontsize=SMALL + 1)
    figure.supylabel("IFEval accuracy (%), bars are one standard error", fontsize=SMALL + 1)
    _legend(figure, axes[0])
    return figure


def _accuracies(axis: Any, points: Sequence[Point], metric: str, aside: float) -> None:
    """Draw one iteration's points with their errors, a little aside of their place, and the line through their means."""
    if not points:
        return
    iteration, values = points[0].iteration, [point.values[metric]["value"] for point in points]
    look = _look(iteration - 1) if iteration else BASE_LOOK
    errors = [point.values[metric]["standard_error"] or 0.0 for point in points]
    x = [point.x for point in points]
    means = {place: np.mean([value for value, own in zip(values, x, strict=True) if own == place]) for place in sorted(set(x))}
    label = f"$M_{{{iteration}}}$" + ("" if iteration else " (base)")
    axis.plot([place + aside for place in means], list(means.values()), label=label, **look)
    axis.errorbar(
        [place + aside for place in x], values, errors, fmt=look["marker"], color=look["color"], ms=4.5, capsize=2, lw=0.8
    )


def _legend(figure: Figure, axis: Any) -> None:
    """Name the lines above all panels, where they hide no point."""
    handles, labels = axis.get_legend_handles_labels()
    figure.legend(
        handles,
        labels,
        fontsize=SMALL,
        frameon=False,
        loc="outside upper center",
        ncols=min(4 if len(labels) < 5 else 3, len(labels)),
    )


def shares_over_threshold(run_dir: Path) -> Figure:
    """Draw the share of generated pairs scored beyond C by iteration, a line per score (Figure 3)."""
    shares = shares_of(run_dir)
    if not shares:
        return nothing()
    figure, (axis,) = _panels(1, 1, 2.9)
    lines = list(dict.fromkeys(share.line() for share in shares))
    for number, line in enumerate(lines):
        own = [share for share in shares if share.line() == line]
        values = [share.percent() for share in own]
        aside = 3 * ASIDE * (number - (len(lines) - 1) / 2)
        axis.errorbar(
            [share.iteration + aside for share in own],
            [value["value"] for value in values],
            [value["standard_error"] for value in values],
            label=line,
            capsize=2,
            **_look(number),
        )
    if any(whose(share.column).asks and (share.side, share.threshold) == ("above", PAPER_THRESHOLD) for share in shares):
        low, high = PAPER_SHARES
        axis.axhspan(low, high, color=GREY, alpha=0.4, linewidth=0, label=f"paper: {low:g} to {high:g} % above 8")
    axis.set_xticks(sorted({share.iteration for share in shares}))
    axis.set_ylim(-3, 103)
    axis.set_xlabel("iteration", fontsize=SMALL + 1)
    axis.set_ylabel("share of generated pairs (%),\nbars are one standard error", fontsize=SMALL + 1)
    _legend(figure, axis)
    return figure


def instruction_map(plane: Map | None, groups: dict[int, np.ndarray], how: str = "") -> Figure:
    """Draw each iteration's instructions among the reference set's, a panel an iteration (Figure 4)."""
    if plane is None or not groups:
        return nothing()
    across = min(3, len(groups))
    figure, axes = _panels(len(groups), across, 0.8 / -(-len(groups) // across) + 2.2, sharex=True, sharey=True)
    for number, (axis, (iteration, vectors)) in enumerate(zip(axes, groups.items(), strict=True)):
        look = {"color": COLORS[number % len(COLORS)], "marker": MARKERS[number % len(MARKERS)]}
        axis.scatter(*plane.reference.T, s=7, color="#a9adb5", linewidths=0)
        axis.scatter(*plane.project(vectors).T, s=13, alpha=0.75, linewidths=0, **look)
        axis.set_title(f"iteration {iteration}: {len(vectors)} instructions", fontsize=SMALL + 1, loc="left")
    across, up = plane.axes()
    figure.supxlabel(across, fontsize=SMALL + 1)
    figure.supylabel(up.replace(" (", "\n("), fontsize=SMALL + 1)
    said = [f"grey: {len(plane.reference)} tasks of the reference", *([how] if how else [])]
    figure.suptitle("; ".join(said), fontsize=SMALL + 1, x=0.01, ha="left")
    return figure
