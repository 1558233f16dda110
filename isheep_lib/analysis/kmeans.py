"""K-means on a model's own vectors, the same clusters for the same vectors and seed on one machine.

Covers clustering. Does not cover vectors (engines) or what is chosen of a cluster (`filter`, `synthesize`).
"""

import warnings

import numpy as np


def cluster(vectors: np.ndarray, number: int, seed: int) -> list[list[int]]:
    """Return the rows of each cluster, at most `number` clusters, none empty; equal vectors share one.

    Args:
        vectors: float32, shape rows x size.
        number: K; at most as many as there are rows.
        seed: of the k-means++ start.
    """
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning
    from threadpoolctl import threadpool_limits

    if not len(vectors):
        return []
    # One thread adds in one order; several give other last bits, and so other clusters, in every run.
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # fewer distinct vectors than clusters
        labels = KMeans(min(number, len(vectors)), n_init=1, random_state=seed % 2**32).fit(vectors).labels_
    groups = [np.flatnonzero(labels == label).tolist() for label in range(labels.max() + 1)]
    return [group for group in groups if group]
