"""The figure of what matters in a run: how far each trained model lies from the base model, with intervals.

Covers drawing. Does not cover the tests (`analysis.significance`) or other figures (`display.figures`).
"""

from collections.abc import Sequence

from matplotlib.figure import Figure

from isheep_lib.benchmarks.comparison import Compared
from isheep_lib.display.evaluation_tables import named
from isheep_lib.display.figures import BLUE, DARK, GREY, MARKERS, nothing, panels

LEAST = 5.0  # percentage points on either side of zero, so that a small difference looks small


def differences(against_base: Sequence[Compared]) -> Figure:
    """Draw each benchmark's difference to the base model with its 95 % interval, the last model filled; nothing without one.

    Benchmarks on which no item of any model differs are counted in the title.
    """
    found = [pair for pair in against_base if pair.found]
    every = list(dict.fromkeys(name for pair in found for name in pair.found))
    if not every:
        return nothing()
    differ = {name for pair in found for name, one in pair.found.items() if one.only_before or one.only_after}
    names = [name for name in every if name in differ] or every
    figure, (axis,) = panels(1, 1, width=7.5, height=1.4 + 0.16 * len(names) * (1 + len(found)))
    for number, pair in enumerate(found):
        last = pair is found[-1]
        shown = [(names.index(name), one) for name, one in pair.found.items() if name in names]
        places = [at + 0.6 * ((number + 0.5) / len(found) - 0.5) for at, _ in shown]
        values = [one.difference for _, one in shown]
        reach = [[max(0.0, one.difference - one.low) for _, one in shown]]
        reach += [[max(0.0, one.high - one.difference) for _, one in shown]]
        color, face = (BLUE, BLUE) if last else (DARK, "white")
        marker = MARKERS[0 if last else 1 + number % (len(MARKERS) - 1)]
        style = {"fmt": marker, "markersize": 6 if last else 4, "color": color, "markerfacecolor": face}
        axis.errorbar(values, places, xerr=reach, capsize=3, ecolor=color if last else GREY, label=pair.after, **style)
    axis.axvline(0, color=DARK, linestyle="--", linewidth=1)
    wide = max(LEAST, *(abs(end) for pair in found for one in pair.found.values() for end in (one.low, one.high)))
    axis.set_xlim(-1.05 * wide, 1.05 * wide)
    axis.set_yticks(range(len(names)), [named(name, found[-1].language) for name in names], fontsize=9)
    axis.set_ylim(len(names) - 0.4, -0.6)
    axis.set_xlabel(f"percentage points above {found[-1].before}, with 95 % interval", fontsize=9)
    axis.tick_params(axis="x", labelsize=9)
    alike = len(every) - len(names)
    rest = f" ({alike} more benchmark(s): no item differs)" if alike else ""
    axis.set_title(f"What changed since the base model{rest}", fontsize=11, loc="left")
    if len(found) > 1:
        axis.legend(fontsize=9, frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return figure
