"""A model's vectors are kept: computed once for what decides them, safe to read, bounded."""

import os
import shutil

import numpy as np
import pytest

from isheep_lib.engines import vectors as engines_vectors
from isheep_lib.engines.params import Model
from isheep_lib.engines.vectors import vectors_by_model


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """Return the folder of kept vectors, empty at first."""
    monkeypatch.setenv("ISHEEP_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "vectors"


class Counting:
    """An engine that counts what it was asked."""

    def __init__(self):
        self.asked = []

    def embed(self, texts):
        self.asked += texts
        return [[float(len(text)), 1.0] for text in texts]

    def close(self):
        pass


@pytest.fixture
def counting(monkeypatch):
    engine = Counting()
    monkeypatch.setattr(engines_vectors, "open_engine", lambda model, settings: engine)
    return engine


def settings(model, **changes):
    return Model(base_model=str(model), inference_dtype="float32", **changes)


def test_vectors_are_computed_once_for_a_model_and_its_texts(tiny_model, cache, counting):
    first = vectors_by_model(["a", "bc"], str(tiny_model), settings(tiny_model))
    again = vectors_by_model(["a", "bc"], str(tiny_model), settings(tiny_model))
    assert counting.asked == ["a", "bc"]
    assert np.array_equal(first, again) and again.dtype == np.float32
    for texts, changes in ((["bc", "a"], {}), (["a", "bc"], {"context_tokens": 7})):
        counting.asked.clear()
        vectors_by_model(texts, str(tiny_model), settings(tiny_model, **changes))
        assert counting.asked == texts, "what decides vectors was not looked at"


def test_another_model_has_vectors_of_its_own(tiny_model, tmp_path, cache, counting):
    other = shutil.copytree(tiny_model, tmp_path / "other")
    config = other / "generation_config.json"
    config.write_text(config.read_text() + " ")
    for model in (tiny_model, other):
        vectors_by_model(["a"], str(model), settings(model))
    assert counting.asked == ["a", "a"]


@pytest.mark.parametrize("damage", [b"", b"\x93NUMPY", b"cos\nsystem\n(S'true'\ntR."])
def test_a_damaged_file_of_vectors_is_computed_again_and_no_pickle_runs(tiny_model, cache, counting, damage):
    vectors_by_model(["a"], str(tiny_model), settings(tiny_model))
    (kept,) = cache.glob("*.npy")
    kept.write_bytes(damage)
    assert np.array_equal(vectors_by_model(["a"], str(tiny_model), settings(tiny_model)), [[1.0, 1.0]])
    assert counting.asked == ["a", "a"]
    assert np.array_equal(np.load(kept), [[1.0, 1.0]])


def test_vectors_used_longest_ago_make_room_for_others(tiny_model, cache, counting, monkeypatch):
    size = 128 + 8  # a header and two numbers
    monkeypatch.setattr(engines_vectors, "MOST_BYTES", 2 * size)
    for number, text in enumerate("abab" + "c"):
        vectors_by_model([text], str(tiny_model), settings(tiny_model))
        for path in cache.glob("*.npy"):  # as if a minute had passed
            os.utime(path, (path.stat().st_atime, path.stat().st_mtime - 60 * (number + 1)))
    assert len([*cache.glob("*.npy")]) == 2
    counting.asked.clear()
    vectors_by_model(["b"], str(tiny_model), settings(tiny_model))
    assert counting.asked == []


def test_a_cache_that_cannot_be_written_costs_time_alone(tiny_model, cache, counting, capsys):
    cache.parent.mkdir()
    cache.write_text("in the way")
    for _ in range(2):
        assert np.array_equal(vectors_by_model(["a"], str(tiny_model), settings(tiny_model)), [[1.0, 1.0]])
    assert counting.asked == ["a", "a"]
    assert "These vectors are not kept" in capsys.readouterr().out
