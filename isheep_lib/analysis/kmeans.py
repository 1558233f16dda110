"""K-means on a model's own vectors: the same clusters for the same vectors and seed, on every machine.

Instruction sets and threads change the last bits of sums, and so which of two equally near centres is nearest. So distances in
float64 that differ by less than any such error count as equal, and the first centre wins.
Covers clustering. Does not cover vectors (engines) or what is chosen of a cluster (`filter`, `synthesize`).
"""

import numpy as np

TIE = 1e-9  # of the largest squared distance from the mean; sums differ by a millionth of it
ROUNDS = 300
CHUNK = 1024  # rows whose distances to all centres are held at once


def cluster(vectors: np.ndarray, number: int, seed: int) -> list[list[int]]:
    """Return the rows of each cluster, at most `number` clusters, none empty; equal vectors share one.

    Args:
        vectors: shape rows x size.
        number: K; at most as many as there are different rows.
        seed: of the k-means++ start (Arthur and Vassilvitskii 2007).
    """
    if not len(vectors):
        return []
    rows = np.asarray(vectors, np.float64)
    rows = rows - rows.mean(axis=0)
    tie = TIE * float(np.square(rows).sum(axis=1).max())
    centres = _start(rows, number, np.random.default_rng(seed))
    labels = _nearest(rows, centres, tie)
    for _ in range(ROUNDS):
        for label in np.unique(labels):
            centres[label] = rows[labels == label].mean(axis=0)
        before, labels = labels, _nearest(rows, centres, tie)
        if (labels == before).all():
            break
    return [np.flatnonzero(labels == label).tolist() for label in np.unique(labels)]


def _start(rows: np.ndarray, number: int, draw: np.random.Generator) -> np.ndarray:
    """Draw rows as centres, each time in proportion to the squared distance from those drawn before."""
    chosen = [int(draw.integers(len(rows)))]
    far = np.square(rows - rows[chosen[0]]).sum(axis=1)
    while len(chosen) < number and far.any():
        reach = far.cumsum()
        point = min(draw.random() * reach[-1], np.nextafter(reach[-1], 0))  # a row of distance 0 has no part in the range
        chosen.append(int(np.searchsorted(reach, point, side="right")))
        far = np.minimum(far, np.square(rows - rows[chosen[-1]]).sum(axis=1))
    return rows[chosen]


def _nearest(rows: np.ndarray, centres: np.ndarray, tie: float) -> np.ndarray:
    """Return the place of each row's nearest centre, the first of equally near ones."""
    own = np.square(centres).sum(axis=1)
    found = []
    for first in range(0, len(rows), CHUNK):
        distances = own - 2 * rows[first : first + CHUNK] @ centres.T  # less the row's own square, which is the same for all
        found.append((distances <= distances.min(axis=1, keepdims=True) + tie).argmax(axis=1))
    return np.concatenate(found)
