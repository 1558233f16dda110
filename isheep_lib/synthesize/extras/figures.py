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

MOST = 24  # bars; the rest is told in the label
LONGEST = 40  # letters of a name


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


def shares(kept: Sequence[str], dropped: Sequence[str], what: str) -> Figure:
    """Draw how often each name stands for something accepted and for something dropped, the most frequent first.

    Args:
        kept: a name for each accepted thing.
        dropped: one for each that was dropped.
        what: the things are.
    """
    if not kept and not dropped:
        return nothing()
    good, bad = Counter(kept), Counter(dropped)
    ranked = sorted({*good, *bad}, key=lambda name: (-good[name], -bad[name], name))
    names = ranked[:MOST]
    figure, (axis,) = panels(1, 1, height=0.9 + 0.28 * len(names))
    labels = [short_name(name) for name in names]
    places = range(len(names))
    axis.barh(places, [good[name] for name in names], color=BLUE, label="accepted")
    axis.barh(places, [bad[name] for name in names], left=[good[name] for name in names], color=GREY, label="dropped")
    axis.set_yticks(places, labels)
    axis.invert_yaxis()
    axis.legend(frameon=False)
    more = f", {len(ranked) - len(names)} more names are not shown" if len(ranked) > len(names) else ""
    axis.set_xlabel(f"{what}{more}")
    return figure


def short_name(name: str) -> str:
    """Shorten a name that a model may have written, and keep a dollar sign from being read as mathematics."""
    return (name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…").replace("$", r"\$")
