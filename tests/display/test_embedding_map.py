"""The map of texts: vectors, the plane, and what lies where in it."""

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isheep_lib.display import embedding_map
from isheep_lib.engines import vectors as engines_vectors
from isheep_lib.engines.open import open_engine
from isheep_lib.engines.params import Model
from isheep_lib.engines.vectors import settings_for, vectors_by_model, vectors_by_words
from isheep_lib.errors import DataError, ModelError
from isheep_lib.models.base import find_model

few = settings(max_examples=40, deadline=None)


def cloud(number, size=5, seed=0):
    """Return vectors that vary most along the first axis and then along the second."""
    scale = np.array([9.0, 3.0, *[0.1] * (size - 2)])
    return np.random.default_rng(seed).normal(size=(number, size)) * scale + 7.0


def test_the_plane_is_that_of_the_two_widest_directions():
    plane = embedding_map.fit(cloud(300))
    assert abs(plane.components[0, 0]) > 0.99
    assert abs(plane.components[1, 1]) > 0.99
    assert plane.explained[0] > plane.explained[1] > 0
    assert sum(plane.explained) == pytest.approx(1.0, abs=0.01)
    assert "8" in plane.axes()[0] or "9" in plane.axes()[0]
    assert plane.axes()[0].startswith("first component (")


def test_the_reference_lies_around_the_origin_where_project_puts_it():
    vectors = cloud(40)
    plane = embedding_map.fit(vectors)
    assert np.allclose(plane.reference.mean(axis=0), 0.0)
    assert np.allclose(plane.project(vectors), plane.reference)
    assert np.allclose(plane.project(plane.centre[None] + 2 * plane.components[1]), [[0.0, 2.0]])


@few
@given(st.integers(0, 999), st.permutations([1, -1]))
def test_signs_do_not_depend_on_how_the_vectors_came(seed, order):
    vectors = cloud(30, seed=seed)
    plane, again = embedding_map.fit(vectors), embedding_map.fit(vectors[:: order[0]])
    assert np.allclose(plane.components, again.components, atol=1e-6)
    assert all(row[np.abs(row).argmax()] > 0 for row in plane.components)


def test_large_and_small_sets_get_the_same_plane(monkeypatch):
    vectors = cloud(60)
    small = embedding_map.fit(vectors)
    monkeypatch.setattr(embedding_map, "LARGE", 4)
    large = embedding_map.fit(vectors)
    assert np.allclose(small.components, large.components, atol=1e-8)
    assert np.allclose(small.explained, large.explained)


@pytest.mark.parametrize(
    "vectors", [np.zeros((0, 1)), np.zeros((2, 5)), np.ones((9, 5)), np.arange(9.0)[:, None]], ids=["none", "two", "same", "1d"]
)
def test_what_spans_no_plane_is_refused(vectors):
    with pytest.raises(DataError, match="span no map"):
        embedding_map.fit(vectors)


def test_the_region_holds_95_of_100_of_the_reference_and_nothing_far_away():
    vectors = cloud(400)
    plane = embedding_map.fit(vectors)
    table = plane.spread({"own": vectors, "far": vectors + 500.0, "centre": np.tile(plane.centre, (3, 1)), "none": vectors[:0]})
    own, far, centre, none = table.rows
    assert own["inside the 95 % region"] == "95.0%"
    assert own["against the reference"] == pytest.approx(1.0)
    assert own["mean distance in all dimensions"] >= own["mean distance in the plane"] > 5
    assert far["inside the 95 % region"] == "0.0%"
    assert far["against the reference"] > 10
    assert (centre["inside the 95 % region"], centre["mean distance in the plane"]) == ("100.0%", 0.0)
    assert (none["points"], none["inside the 95 % region"]) == (0, "")


def test_the_region_is_an_ellipse_as_wide_as_the_reference_along_each_axis():
    plane = embedding_map.fit(cloud(400))
    reach = 1.5 * plane.reference.std(axis=0)
    along, across = np.array([[reach[0], 0.0]]), np.array([[0.0, reach[0]]])
    assert plane.inside(along).all()
    assert not plane.inside(across).any()


def test_a_reference_on_one_line_still_gives_a_map():
    vectors = np.outer(np.arange(5.0), [1.0, 2.0, 0.0])
    plane = embedding_map.fit(vectors)
    assert plane.explained[0] == pytest.approx(1.0)
    assert np.isfinite(plane.spread({"own": vectors}).rows[0]["against the reference"])


def test_words_are_vectors_of_length_one_without_any_model():
    vectors = vectors_by_words(["Salt and water.", "salt, WATER and", "a quiet river", "?!"])
    assert vectors.dtype == np.float32
    assert np.allclose(np.linalg.norm(vectors, axis=1), [1, 1, 1, 0])
    assert vectors[0] @ vectors[1] == pytest.approx(1.0)
    assert vectors[0] @ vectors[2] == 0.0


@pytest.mark.parametrize("texts", [[], [""], ["?", "!"]])
def test_texts_without_words_have_vectors_of_nothing(texts):
    assert vectors_by_words(texts).shape == (len(texts), 1)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """Return the folder of kept vectors, empty at first."""
    monkeypatch.setenv("ISHEEP_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "vectors"


def test_a_model_gives_its_own_vectors_in_the_order_of_the_texts(tiny_model, monkeypatch, cache):
    wanted = Model(base_model=str(tiny_model), inference_dtype="float32")
    texts = ["the garden", "a red river", "how to write a list of small ideas", "one"]
    engine = open_engine(find_model(str(tiny_model)), wanted)
    monkeypatch.setattr(engines_vectors, "CHUNK", 3)
    found = vectors_by_model(texts, str(tiny_model), wanted)
    assert found.dtype == np.float32
    assert np.allclose(found, engine.embed(texts), atol=1e-5)
    assert vectors_by_model([], str(tiny_model), wanted).shape[0] == 0


def test_the_engine_is_closed_also_when_it_fails(monkeypatch, tiny_model, cache):
    closed = []

    def broken(texts):
        raise DataError("too long")

    engine = SimpleNamespace(embed=broken, close=lambda: closed.append(True))
    monkeypatch.setattr(engines_vectors, "open_engine", lambda model, settings: engine)
    with pytest.raises(DataError, match="too long"):
        vectors_by_model(["a"], str(tiny_model), Model(base_model=str(tiny_model), inference_dtype="float32"))
    assert closed == [True]


def test_an_absent_model_is_told_before_anything_is_loaded(monkeypatch):
    monkeypatch.setattr(engines_vectors, "open_engine", None)
    with pytest.raises(ModelError, match="No model at"):
        vectors_by_model(["a"], "nowhere/at/all", Model())


def test_another_model_is_not_asked_by_the_name_that_a_server_gave_the_first():
    given = Model(base_model="a", served_model="first", inference_dtype="float32")
    assert settings_for(given, "a") == given
    other = settings_for(given, "b")
    assert (other.base_model, other.served_model, other.inference_dtype) == ("b", "", "float32")


def test_neighbours_are_the_nearest_others_in_order():
    points = np.array([[0.0, 0.0], [3.0, 4.0], [1.0, 0.0], [0.0, 0.0]])
    assert embedding_map.nearest(points, 0, 2) == [(3, 0.0), (2, 1.0)]
    assert [i for i, _ in embedding_map.nearest(points, 3, 9)] == [0, 2, 1]


@few
@given(st.integers(0, 500), st.integers(1, 50))
def test_thinning_keeps_both_ends_and_no_more_than_asked(number, most):
    chosen = embedding_map.thinned(number, most)
    assert len(chosen) == min(number, most)
    assert chosen == sorted(set(chosen))
    if number and most > 1:
        assert chosen[0] == 0
        assert chosen[-1] == number - 1
