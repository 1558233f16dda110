"""K-means: a partition of all rows, the same for the same seed, that finds what lies apart."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isheep_lib.analysis.kmeans import cluster

few = settings(max_examples=40, deadline=None)
points = st.lists(st.tuples(*[st.sampled_from([-3.0, -1.0, 0.0, 0.5, 7.0])] * 2), max_size=25)


def table(rows):
    return np.array(rows, dtype=np.float32).reshape(-1, 2)


def blobs(sizes, seed=0):
    """Scatter groups a thousand times as far apart as they are wide, and their rows in mixed order."""
    generator = np.random.default_rng(seed)
    labels = generator.permutation(np.repeat(np.arange(len(sizes)), sizes))
    centres = 1000.0 * np.stack([np.arange(len(sizes)), np.arange(len(sizes)) % 3], axis=1)
    return (centres[labels] + generator.normal(size=(len(labels), 2))).astype(np.float32), labels


@few
@given(points, st.integers(1, 30), st.integers(0, 2**40))
def test_clusters_divide_all_rows_and_none_is_empty(rows, number, seed):
    groups = cluster(table(rows), number, seed)
    assert sorted(row for group in groups for row in group) == list(range(len(rows)))
    assert all(groups)
    assert all(group == sorted(group) for group in groups)
    assert len(groups) <= min(number, len(rows))


@few
@given(points, st.integers(1, 30), st.integers(0, 2**40))
def test_the_same_vectors_and_seed_give_the_same_clusters(rows, number, seed):
    assert cluster(table(rows), number, seed) == cluster(table(rows), number, seed)


@few
@given(points, st.integers(1, 30), st.integers(0, 5))
def test_equal_vectors_share_a_cluster(rows, number, seed):
    label = {row: i for i, group in enumerate(cluster(table(rows), number, seed)) for row in group}
    same = [(i, j) for i in range(len(rows)) for j in range(i) if rows[i] == rows[j]]
    assert all(label[i] == label[j] for i, j in same)


@pytest.mark.parametrize("sizes", [(1, 1), (5, 1, 9), (4,) * 8, (30, 2, 2, 17)])
@pytest.mark.parametrize("seed", range(4))
def test_groups_that_lie_far_apart_are_found(sizes, seed):
    vectors, labels = blobs(sizes, seed)
    found = {tuple(group) for group in cluster(vectors, len(sizes), seed)}
    assert found == {tuple(np.flatnonzero(labels == label).tolist()) for label in range(len(sizes))}


def test_more_clusters_than_rows_leave_every_row_alone():
    assert sorted(cluster(table([(0, 0), (1, 0), (5, 5)]), 10, 1)) == [[0], [1], [2]]


def test_equal_vectors_are_one_cluster_without_a_warning(no_warnings):
    assert cluster(table([(2, 3)] * 6), 4, 1) == [[0, 1, 2, 3, 4, 5]]


def test_no_rows_have_no_clusters():
    assert cluster(table([]), 3, 0) == []


def test_another_seed_may_divide_a_cloud_otherwise():
    vectors = np.random.default_rng(3).normal(size=(60, 4)).astype(np.float32)
    found = [sorted(map(tuple, cluster(vectors, 6, seed))) for seed in range(5)]
    assert any(one != found[0] for one in found)
