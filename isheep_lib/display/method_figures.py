"""Figures of what methods of synthesis did, from the lineage in their rows; each returns a matplotlib Figure.

Covers drawing. Does not cover tables (each method's `evidence`).
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from isheep_lib.display.figures import BLUE, DARK, GREY, GROUPS, nothing, panels
from isheep_lib.languages.words import count_words


def generations(accepted: Sequence[Mapping[str, Any]], dropped: Sequence[Mapping[str, Any]]) -> Figure:
    """Draw what each generation brought: rewritings accepted and dropped, and the lengths of accepted tasks by operator.

    Args:
        accepted, dropped: rows with `generation` and `operator`; lengths are in words.
    """
    numbers = sorted({row["generation"] for row in (*accepted, *dropped)})
    if not numbers:
        return nothing()
    kept, lost = (Counter(row["generation"] for row in rows) for rows in (accepted, dropped))
    figure, (left, right) = panels(2, 2)
    bottom = [kept[number] for number in numbers]
    left.bar(numbers, bottom, color=BLUE, label="accepted")
    left.bar(numbers, [lost[number] for number in numbers], bottom=bottom, color=GREY, label="dropped")
    left.set_ylabel("rewritings")
    left.legend(frameon=False)
    for place, operator in enumerate(sorted({row["operator"] for row in accepted})):
        own = [row for row in accepted if row["operator"] == operator]
        means = [[count_words(row["instruction"]) for row in own if row["generation"] == n] for n in numbers]
        found = [(n, float(np.mean(lengths))) for n, lengths in zip(numbers, means, strict=True) if lengths]
        right.plot(*zip(*found, strict=True), "o-", color=GROUPS[place % len(GROUPS)], label=operator.replace("_", " "))
    right.set_ylabel("mean length of accepted tasks (words)")
    if accepted:
        right.legend(frameon=False, fontsize="small")
    for axis in (left, right):
        axis.set_xlabel("generation")
        axis.set_xticks(numbers)
    return figure


def versions(rows: Sequence[Mapping[str, Any]]) -> Figure:
    """Draw the failure rate of each version of a way of rewriting that was tried, that of the chosen one in colour.

    Args:
        rows: with `version`, `failure_rate` (0 to 1, None where it was not tried) and `chosen`.
    """
    tried = [row for row in rows if row["failure_rate"] is not None]
    if not tried:
        return nothing()
    figure, (axis,) = panels(1, 1)
    colors = [BLUE if row["chosen"] else GREY for row in tried]
    axis.bar([str(row["version"]) for row in tried], [row["failure_rate"] for row in tried], color=colors)
    axis.set_ylim(0, 1)
    axis.set_xlabel("version of the way of rewriting, the chosen one in colour")
    axis.set_ylabel("failure rate on the development set")
    return figure


def revisions(rows: Sequence[Mapping[str, Any]]) -> Figure:
    """Draw the ratios of pairs before and after their revisions; what lies on the side of the arrow was taken.

    Args:
        rows: with `ifd_before` and `ifd_revised`, `rifd_before` and `rifd_revised`, where these could be read.
    """
    sides = (("ifd", "IFD of the pair", "above"), ("rifd", "reversed IFD of the pair", "below"))
    figure, axes = panels(2, 2, height=4.0)
    for axis, (name, label, side) in zip(axes, sides, strict=True):
        found = [(row[f"{name}_before"], row[f"{name}_revised"]) for row in rows if f"{name}_revised" in row]
        taken = [pair for pair in found if (pair[1] > pair[0]) == (side == "above") and pair[0] != pair[1]]
        for points, color, said in ((found, GREY, "left as it was"), (taken, BLUE, "revision taken")):
            axis.scatter([x for x, _ in points], [y for _, y in points], color=color, s=12, label=said)
        low, high = min((min(pair) for pair in found), default=0.0), max((max(pair) for pair in found), default=1.0)
        axis.plot([low, high], [low, high], color=DARK, linestyle="--", linewidth=1)
        axis.set_xlabel(f"{label}, before")
        axis.set_ylabel(f"{label}, revised")
    axes[0].legend(frameon=False, fontsize="small")
    return figure


def shares(rows: Sequence[tuple[str, int, int]]) -> Figure:
    """Draw how many topics each kind of questions has, and how many questions about them were accepted.

    Args:
        rows: kind, topics, accepted questions.
    """
    figure, axes = panels(2, 2, height=0.8 + 0.22 * len(rows), sharey=True)
    names = [name for name, _, _ in rows]
    for axis, place, label in zip(axes, (1, 2), ("topics", "accepted questions"), strict=True):
        axis.barh(names, [row[place] for row in rows], color=BLUE)
        axis.set_xlabel(label)
    axes[0].invert_yaxis()
    axes[0].tick_params(axis="y", labelsize="small")
    return figure


def weaknesses(rows: Sequence[tuple[str, float, int]], label: str, limits: tuple[float, float]) -> Figure:
    """Draw how the model does by skill, and how many tasks were accepted for each.

    Args:
        rows: skill, measure, accepted tasks; in the order in which they are drawn.
        label: what the measure is, with its unit.
        limits: the least and the highest value of the measure.
    """
    if not rows:
        return nothing()
    figure, axes = panels(2, 2, height=0.9 + 0.28 * len(rows), sharey=True)
    places = range(len(rows))
    for axis, column, said in zip(axes, (1, 2), (label, "accepted tasks"), strict=True):
        axis.barh(places, [row[column] for row in rows], color=BLUE)
        axis.set_xlabel(said)
    axes[0].set_xlim(*limits)
    axes[0].set_yticks(places, [row[0] for row in rows], fontsize="small")
    axes[0].invert_yaxis()
    return figure


def archive_grid(rows: Sequence[Mapping[str, Any]]) -> Figure:
    """Draw an archive as a grid: the first dimension downward, all others across; colour is fitness, white is empty.

    Args:
        rows: with `cell`, a value for each dimension, and `fitness` (0 to 1).
    """
    if not rows:
        return nothing()
    down = list(dict.fromkeys(row["cell"][0] for row in rows))
    across = sorted({tuple(row["cell"][1:]) for row in rows})
    values = np.full((len(down), len(across)), np.nan)
    for row in rows:
        values[down.index(row["cell"][0]), across.index(tuple(row["cell"][1:]))] = row["fitness"]
    figure, (axis,) = panels(1, 1, height=2.4 + 0.35 * len(down))
    image = axis.imshow(values, vmin=0.0, vmax=1.0, cmap="Blues", aspect="auto")
    axis.set_yticks(range(len(down)), down, fontsize="small")
    axis.set_xticks(range(len(across)), ["\n".join(cell) for cell in across], rotation=90, fontsize="x-small")
    figure.colorbar(image, label="fitness: how likely the model finds its answer failing (0 to 1)")
    return figure
