"""Rounding of what was computed in float64: to digits that every machine finds, and telling where one might find others.

Covers numbers and vectors. Does not cover computing them (`batching.scoring`) or counting what is open (`arbiter`).
"""

import numpy as np

ERROR = 1e-12  # of log p of one token in float64, in nats; two machines were seen to differ by 2e-13 in a logit
BITS = 16  # of a vector's largest number, whose grid all others share: machines differ 27 bits and more below it


def rounds_either_way(value: float, digits: int, error: float) -> bool:
    """Tell whether a number that may be off by an error would then round to another one."""
    return round(value - error, digits) != round(value + error, digits)


def coarse(vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Round every row to a grid that follows from its largest number.

    Args:
        vectors: float64, rows x size.

    Returns:
        Float32 of the same shape, and for each row how many numbers lie so near to an edge that either side may be right.
    """
    error = ERROR * np.abs(vectors).max(axis=-1, keepdims=True, initial=0.0)
    low, high = (_on_grid(moved) for moved in (vectors - error, vectors + error))
    return _on_grid(vectors).astype(np.float32), (low != high).sum(axis=-1)


def _on_grid(vectors: np.ndarray) -> np.ndarray:
    largest = np.frexp(np.abs(vectors).max(axis=-1, keepdims=True, initial=0.0))[1]  # power of two above it
    return np.ldexp(np.round(np.ldexp(vectors, BITS - largest)), largest - BITS)
