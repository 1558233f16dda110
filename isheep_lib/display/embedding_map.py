"""The map of texts: a model's vectors in the plane of two principal components (paper, Figure 4), with numbers beside it.

    vectors = vectors_by_model([*seeds, *written], params.base_model, params)
    plane = fit(vectors[: len(seeds)])
    plane.spread({"seeds": vectors[: len(seeds)], "written": vectors[len(seeds) :]})

Covers vectors of texts, the plane, and what lies where in it. Does not cover which texts (`explore.pairs`, `paper.points`) or
pictures (`display.figures`, `paper.figures`).
"""

from dataclasses import dataclass

import numpy as np

from isheep_lib.display.table import Table
from isheep_lib.errors import DataError

LARGE = 1000  # rows and columns from which two components are sought without the others
REGION = 95.0  # per cent of the reference that its own region holds
MOST = 3000  # points of a map
DIGITS = 9  # of directions and places, which float64 gives to 13 or more


@dataclass(frozen=True)
class Map:
    """The plane of the reference's first two principal components."""

    centre: np.ndarray  # the reference's mean, of the vectors' size
    # both directions, 2 x size; the largest entry of each is positive, so equal data give an equal picture
    components: np.ndarray
    explained: tuple[float, float]  # share of the reference's variance along each
    reference: np.ndarray  # the reference in the plane, vectors x 2

    def project(self, vectors: np.ndarray) -> np.ndarray:
        """Return the places of vectors in the plane, vectors x 2."""
        return settled((np.asarray(vectors, np.float64) - self.centre) @ self.components.T)

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


def settled(numbers: np.ndarray) -> np.ndarray:
    """Round numbers to nine digits of the largest one: the last bits of a sum differ from machine to machine."""
    largest = float(np.abs(numbers).max(initial=0.0))
    return np.round(numbers, DIGITS - int(np.ceil(np.log10(largest)))) if largest else numbers


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
    with threadpool_limits(1):
        found = PCA(2, svd_solver=solver, random_state=0).fit(vectors)
    directions = settled(found.components_)
    signs = [np.sign(row[np.abs(row).argmax()]) or 1.0 for row in directions]
    components = directions * np.array(signs)[:, None]
    first, second = (float(share) for share in found.explained_variance_ratio_)
    return Map(found.mean_, components, (first, second), settled((vectors - found.mean_) @ components.T))


def nearest(points: np.ndarray, place: int, number: int) -> list[tuple[int, float]]:
    """Return the rows nearest to one row and their distances, the nearest first, without the row itself."""
    distances = np.linalg.norm(points - points[place], axis=1)
    order = [int(i) for i in np.argsort(distances, kind="stable") if i != place]
    return [(i, float(distances[i])) for i in order[:number]]


def thinned(number: int, most: int = MOST) -> list[int]:
    """Choose at most `most` of `number` rows, evenly spaced."""
    return np.unique(np.linspace(0, number - 1, min(number, most)).round().astype(int)).tolist() if number else []
