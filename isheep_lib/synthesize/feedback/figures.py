"""Figures of where a model fails: weaknesses by skill, and an archive as a grid; each returns a matplotlib Figure.

Covers drawing. Does not cover tables (each method's `evidence`).
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from isheep_lib.display.figures import BLUE, nothing, panels
from isheep_lib.synthesize.extras.figures import short_name


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
    axes[0].set_yticks(places, [short_name(row[0]) for row in rows], fontsize="small")
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
