"""The map of texts: a model's vectors in the plane of two principal components (paper, Figure 4), with numbers beside it.

    vectors = vectors_by_model([*seeds, *written], params.base_model, params)
    plane = fit(vectors[: len(seeds)])
    plane.spread({"seeds": vectors[: len(seeds)], "written": vectors[len(seeds) :]})

Covers vectors of texts, the plane, what lies where in it, and a picture with hover text that needs no script. Does not cover
which texts (`explore.pairs`, `paper.reproduction`).
"""

import html
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from isheep_lib.display.table import Table, clip
from isheep_lib.errors import DataError

LARGE = 1000  # rows and columns from which two components are sought without the others
REGION = 95.0  # per cent of the reference that its own region holds
MOST = 3000  # points of a picture
TITLE = 400  # characters of a hover text
PALETTE = ("#1b6ca8", "#d1495b", "#e8a33d", "#5b8c5a", "#7b5ea7", "#3aa6a0", "#8c6d4f", "#c77dba")
OTHER = "#9aa0a8"  # every group beyond the palette
WIDTH, HEIGHT, LEFT, BOTTOM, TOP = 760, 480, 62, 52, 12


@dataclass(frozen=True)
class Map:
    """The plane of the reference's first two principal components.

    Attributes:
        centre: the reference's mean, of the vectors' size.
        components: both directions, 2 x size; the largest entry of each is positive, so equal data give an equal picture.
        explained: share of the reference's variance along each.
        reference: the reference in the plane, vectors x 2.
    """

    centre: np.ndarray
    components: np.ndarray
    explained: tuple[float, float]
    reference: np.ndarray

    def project(self, vectors: np.ndarray) -> np.ndarray:
        """Return the places of vectors in the plane, vectors x 2."""
        return (np.asarray(vectors, np.float64) - self.centre) @ self.components.T

    def axes(self) -> tuple[str, str]:
        """Name both axes with the variance that they explain."""
        first, second = (f"{share:.1%} of the reference's variance" for share in self.explained)
        return f"first component ({first})", f"second component ({second})"

    def inside(self, points: np.ndarray) -> np.ndarray:
        """Tell which points of the plane lie in the reference's region: the ellipse around 95 % of its own points."""
        limit = np.percentile(self._standardised(self.reference), REGION)
        return self._standardised(points) <= limit * (1 + 1e-9)  # the outermost point, computed twice, stays inside

    def _standardised(self, points: np.ndarray) -> np.ndarray:
        """Return distances from the centre in standard deviations of the reference along each axis."""
        deviations = self.reference.std(axis=0)
        return np.linalg.norm(points / np.where(deviations > 0, deviations, 1.0), axis=1)

    def spread(self, groups: dict[str, np.ndarray]) -> Table:
        """Measure how far groups of vectors lie from the reference's centre, and how many inside its region."""
        own = _mean_length(self.reference)
        rows = []
        for name, vectors in groups.items():
            points = self.project(vectors)
            distance = _mean_length(points)
            rows.append(
                {
                    "group": name,
                    "points": len(points),
                    "mean distance in the plane": distance,
                    "against the reference": distance / own,
                    "mean distance in all dimensions": _mean_length(np.asarray(vectors, np.float64) - self.centre),
                    "inside the 95 % region": f"{self.inside(points).mean():.1%}" if len(points) else "",
                }
            )
        return Table(rows, "Distances from the reference's centre; 1 against the reference is as far as its own points")


def _mean_length(rows: np.ndarray) -> float:
    return float(np.linalg.norm(rows, axis=1).mean()) if len(rows) else float("nan")


def fit(reference: np.ndarray) -> Map:
    """Find the plane in which a reference set varies most.

    Raises:
        DataError: fewer than three vectors, or they do not differ.
    """
    from sklearn.decomposition import PCA
    from threadpoolctl import threadpool_limits

    vectors = np.asarray(reference, np.float64)
    if len(vectors) < 3 or vectors.shape[1] < 2 or not vectors.std(axis=0).any():
        raise DataError(
            f"{len(vectors)} vector(s) of size {vectors.shape[1]} span no map",
            allowed="three texts or more that are not all the same",
            do="give more texts as the map's reference",
        )
    solver = "full" if min(vectors.shape) < LARGE else "arpack"
    with threadpool_limits(1):  # one thread adds in one order, so the picture is the same in every run
        found = PCA(2, svd_solver=solver, random_state=0).fit(vectors)
    signs = [np.sign(row[np.abs(row).argmax()]) or 1.0 for row in found.components_]
    components = found.components_ * np.array(signs)[:, None]
    first, second = (float(share) for share in found.explained_variance_ratio_)
    return Map(found.mean_, components, (first, second), (vectors - found.mean_) @ components.T)


def nearest(points: np.ndarray, place: int, number: int) -> list[tuple[int, float]]:
    """Return the rows nearest to one row and their distances, the nearest first, without the row itself."""
    distances = np.linalg.norm(points - points[place], axis=1)
    order = [int(i) for i in np.argsort(distances, kind="stable") if i != place]
    return [(i, float(distances[i])) for i in order[:number]]


def thinned(number: int, most: int = MOST) -> list[int]:
    """Choose at most `most` of `number` rows, evenly spaced."""
    return np.unique(np.linspace(0, number - 1, min(number, most)).round().astype(int)).tolist() if number else []


class HoverMap:
    """A picture of points whose texts show under the pointer: SVG without script, so it needs no network and no widgets."""

    def __init__(
        self,
        points: np.ndarray,
        groups: Sequence[str],
        titles: Sequence[str],
        axes: tuple[str, str],
        caption: str = "",
        marked: int | None = None,
    ) -> None:
        """Hold the points; of too many, some evenly spaced ones are drawn, and the caption says so.

        Args:
            points: places, points x 2.
            groups: names, one a point; they choose the colour.
            titles: hover texts, one a point; escaped and shortened.
            axes: labels of both axes.
            caption: a line above the picture.
            marked: a point to ring, if any.
        """
        self.points, self.groups, self.titles = np.asarray(points, np.float64), list(groups), list(titles)
        self.axes, self.marked = axes, marked
        self.shown = thinned(len(self.points))
        few = f"{len(self.shown)} of {len(self.points)} points are drawn" if len(self.shown) < len(self.points) else ""
        self.caption = "; ".join(part for part in (caption, few) if part)

    def colors(self) -> dict[str, str]:
        """Return the colour of each group, the palette in the order of first appearance."""
        names = list(dict.fromkeys(self.groups))
        return {name: PALETTE[i] if i < len(PALETTE) else OTHER for i, name in enumerate(names)}

    def _repr_html_(self) -> str:
        caption = f"<p>{_safe(self.caption)}</p>" if self.caption else ""
        names = "".join(
            f"<span style='white-space:nowrap;margin-right:1.2em'><svg width='12' height='12'>"
            f"<circle cx='6' cy='6' r='5' fill='{color}'/></svg> {_safe(name)} ({self.groups.count(name)})</span> "
            for name, color in self.colors().items()
        )
        return f"<div class='tex2jax_ignore'>{caption}<div>{names}</div>{self.svg()}</div>"

    def svg(self) -> str:
        """Draw the points, the ringed one last."""
        label = f"{len(self.shown)} points by {self.axes[0]} and {self.axes[1]}"
        head = (
            f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {WIDTH} {HEIGHT}' role='img' aria-label='{_safe(label)}' "
            f"style='width:100%;max-width:{WIDTH}px;height:auto' font-family='sans-serif' font-size='12'>"
            f"<rect width='{WIDTH}' height='{HEIGHT}' fill='#ffffff'/>"
        )
        if not self.shown:
            return f"{head}<text x='{WIDTH / 2}' y='{HEIGHT / 2}' text-anchor='middle'>no points</text></svg>"
        across, down = (_ticks(self.points[:, i]) for i in (0, 1))
        x = LEFT + (self.points[:, 0] - across[0]) / (across[-1] - across[0]) * (WIDTH - LEFT - TOP)
        y = HEIGHT - BOTTOM - (self.points[:, 1] - down[0]) / (down[-1] - down[0]) * (HEIGHT - BOTTOM - TOP)
        colors = self.colors()
        dots = [
            f"<circle cx='{x[i]:.1f}' cy='{y[i]:.1f}' r='4' fill='{colors[self.groups[i]]}' fill-opacity='0.75'>"
            f"<title>{_safe(clip(self.titles[i], TITLE))}</title></circle>"
            for i in self.shown
        ]
        if self.marked is not None:
            ring = f"<circle cx='{x[self.marked]:.1f}' cy='{y[self.marked]:.1f}' r='9'"
            dots.append(f"{ring} fill='none' stroke='#30343b' stroke-width='2' pointer-events='none'/>")
        return f"{head}{self._frame(across, down)}{''.join(dots)}</svg>"

    def _frame(self, across: list[float], down: list[float]) -> str:
        """Draw both axes, their marks and their labels."""
        right, base = WIDTH - TOP, HEIGHT - BOTTOM
        parts = [f"<path d='M{LEFT} {TOP}V{base}H{right}' fill='none' stroke='#30343b'/>"]
        for i, value in enumerate(across):
            place = LEFT + i / (len(across) - 1) * (right - LEFT)
            parts.append(f"<text x='{place:.1f}' y='{base + 16}' text-anchor='middle' fill='#30343b'>{value:g}</text>")
        for i, value in enumerate(down):
            place = base - i / (len(down) - 1) * (base - TOP)
            parts.append(f"<text x='{LEFT - 6}' y='{place + 4:.1f}' text-anchor='end' fill='#30343b'>{value:g}</text>")
        middle = (TOP + base) / 2
        parts.append(f"<text x='{(LEFT + right) / 2}' y='{HEIGHT - 10}' text-anchor='middle'>{_safe(self.axes[0])}</text>")
        turned = f"transform='rotate(-90 14 {middle})'"
        parts.append(f"<text x='14' y='{middle}' text-anchor='middle' {turned}>{_safe(self.axes[1])}</text>")
        return "".join(parts)

    def __repr__(self) -> str:
        """Return one line: a terminal shows no picture."""
        counts = ", ".join(f"{name} {self.groups.count(name)}" for name in self.colors())
        return f"map of {len(self.points)} points ({counts or 'none'}){': ' + self.caption if self.caption else ''}"


def _safe(text: str) -> str:
    """Escape text; control characters have no place in a picture."""
    return html.escape("".join(letter if letter.isprintable() or letter == "\n" else " " for letter in text))


def _ticks(values: np.ndarray) -> list[float]:
    """Return round, evenly spaced numbers that enclose all values."""
    from matplotlib.ticker import MaxNLocator

    low, high = float(values.min()), float(values.max())
    if low == high:
        low, high = low - 1, high + 1
    return [round(float(value), 10) + 0.0 for value in MaxNLocator(6, min_n_ticks=2).tick_values(low, high)]
