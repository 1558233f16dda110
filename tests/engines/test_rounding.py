"""Rounding: to what every machine finds, and a word where one might find something else."""

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra.numpy import arrays

from isheep_lib.engines.exact.rounding import BITS, ERROR, coarse, rounds_either_way

pytestmark = pytest.mark.hypothesis


@pytest.mark.parametrize(
    ("value", "digits", "error", "open_"),
    [
        (-7.10264, 4, 1e-9, False),
        (-7.10265, 4, 1e-9, True),
        (-7.10265 + 2e-9, 4, 1e-9, False),
        (-7.10265 - 5e-10, 4, 1e-9, True),
        (0.5, 6, 1.0, True),  # an error larger than a digit leaves nothing
    ],
)
def test_a_number_within_its_error_of_a_rounding_edge_is_open(value, digits, error, open_):
    assert rounds_either_way(value, digits, error) is open_


@given(arrays(np.float64, (3, 4), elements=st.floats(-100, 100)))
def test_vectors_keep_the_first_bits_of_their_largest_number(vectors):
    found, open_ = coarse(vectors)
    assert found.dtype == np.float32
    assert np.all(np.abs(found - vectors) <= np.abs(vectors).max(axis=1, keepdims=True) * 2.0**-BITS + 1e-45)
    again, _ = coarse(found.astype(np.float64))
    np.testing.assert_array_equal(again, found)
    assert open_.shape == (3,)


@given(arrays(np.float64, (2, 5), elements=st.floats(-10, 10)), st.integers(0, 2**31))
def test_vectors_that_are_off_by_the_error_differ_only_where_they_are_called_open(vectors, seed):
    error = ERROR * np.abs(vectors).max(axis=1, keepdims=True)
    moved = vectors + np.random.default_rng(seed).uniform(-1, 1, vectors.shape) * error
    found, open_ = coarse(vectors)
    differing = (coarse(moved)[0] != found).sum(axis=1)
    assert np.all(differing <= open_)


def test_a_number_on_the_edge_between_two_is_counted():
    edge = 0.5 + 2.0**-BITS  # half of a step where the largest number is between 1 and 2
    assert coarse(np.array([[1.0, edge, -1.5], [1.0, 0.5, -1.5]]))[1].tolist() == [1, 0]
