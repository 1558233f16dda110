"""Figures of single methods of synthesis: what their own choices brought, by name.

Covers drawing names and numbers. Does not cover which names there are (the methods).
"""

from collections import Counter
from collections.abc import Sequence

from matplotlib.figure import Figure

from isheep_lib.display.figures import BLUE, GREY, nothing, panels

MOST = 24  # bars; the rest is told in the label
LONGEST = 40  # letters of a name


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
    labels = [_short(name) for name in names]
    places = range(len(names))
    axis.barh(places, [good[name] for name in names], color=BLUE, label="accepted")
    axis.barh(places, [bad[name] for name in names], left=[good[name] for name in names], color=GREY, label="dropped")
    axis.set_yticks(places, labels)
    axis.invert_yaxis()
    axis.legend(frameon=False)
    more = f", {len(ranked) - len(names)} more names are not shown" if len(ranked) > len(names) else ""
    axis.set_xlabel(f"{what}{more}")
    return figure


def _short(name: str) -> str:
    """Shorten a name that a model may have written, and keep a dollar sign from being read as mathematics."""
    return (name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…").replace("$", r"\$")
