"""Nearest neighbours by the cosine of two vectors, the same on any machine.

    nearest([1, 0], [[0, 1], [2, 0.5], [3, 0]], 2)      # [2, 1]

The product of two float32 numbers is exact in float64, and `math.fsum` rounds a sum once, whatever its order; so neither the
number of cores nor a library decides who is near.
"""

import math
from collections.abc import Sequence

import numpy as np


def nearest(vector: Sequence[float] | np.ndarray, others: Sequence[Sequence[float]] | np.ndarray, number: int) -> list[int]:
    """Return the places of the nearest of other vectors, the nearest first; of equally near ones the earlier.

    Args:
        vector: of one text, float32 of shape (size,).
        others: of the texts to choose from, float32 of shape (texts, size).
        number: wanted; fewer where there are fewer.
    """
    near = [-_cosine(vector, other) for other in others]
    return sorted(range(len(near)), key=lambda place: (near[place], place))[:number]


def _cosine(one: Sequence[float] | np.ndarray, other: Sequence[float] | np.ndarray) -> float:
    """Return the cosine of two vectors, 0 where one of them has no length."""
    length = math.sqrt(_product(one, one)) * math.sqrt(_product(other, other))
    return _product(one, other) / length if length else 0.0


def _product(one: Sequence[float] | np.ndarray, other: Sequence[float] | np.ndarray) -> float:
    return math.fsum(float(a) * float(b) for a, b in zip(one, other, strict=True))
