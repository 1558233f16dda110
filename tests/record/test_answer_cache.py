"""Answers that were given before: kept by what decides them, found by id, nothing lost by two writers."""

import copy

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isheep_lib.record.answer_cache import answers_folder, keep, read_known

PARTS = {
    "stage": "evaluate",
    "model": {"base": "b" * 64, "iter-1/adapter": "a" * 64},
    "engine": {"torch": "2.13.0", "transformers": "5.19"},
    "parameters": {"engine": "transformers", "inference_dtype": "float32", "tasks": ["ifeval"], "answer_tokens": 16},
    "code": {"answer_all": "3"},
    "engine_code": {"decode": "1", "Reader": "2"},
    "prompts": {"frames.yaml": "4"},
    "inputs": {},
}


def changed(path, value):
    parts = copy.deepcopy(PARTS)
    inner = parts
    for name in path[:-1]:
        inner = inner[name]
    inner[path[-1]] = value
    return parts


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("ISHEEP_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.mark.parametrize("name", ["tasks", "data", "subset_seed", "few_shot", "answer_tokens"])
def test_in_bfloat16_an_answer_holds_among_the_same_questions_alone_and_in_float32_among_any(name):
    def folder(dtype, value):
        parts = changed(("parameters", "inference_dtype"), dtype)
        parts["parameters"][name] = value
        return answers_folder(parts, "cpu")

    assert folder("bfloat16", ["ifeval:64"]) != folder("bfloat16", ["arc_easy:64"])
    assert folder("float32", ["ifeval:64"]) == folder("float32", ["arc_easy:64"])


@pytest.mark.parametrize(
    "path",
    [
        ("model", "base"),
        ("model", "iter-1/adapter"),
        ("engine", "torch"),
        ("parameters", "engine"),
        ("parameters", "inference_dtype"),
        ("parameters", "context_tokens"),
        ("parameters", "served_model"),
        ("engine_code", "decode"),
    ],
)
def test_what_decides_an_answer_decides_the_folder(path):
    assert answers_folder(changed(path, "other"), "cpu") != answers_folder(PARTS, "cpu")


@pytest.mark.parametrize(
    "path",
    [
        ("code", "answer_all"),
        ("parameters", "tasks"),
        ("parameters", "answer_tokens"),
        ("prompts", "frames.yaml"),
        ("inputs", "x"),
    ],
)
def test_what_the_ids_or_nothing_says_does_not(cache, path):
    assert answers_folder(changed(path, "other"), "cpu") == answers_folder(PARTS, "cpu")
    assert answers_folder(PARTS, "cpu").is_relative_to(cache)


def test_another_device_is_another_folder():
    assert answers_folder(PARTS, "cpu") != answers_folder(PARTS, "cuda")


def test_nothing_is_known_of_a_model_that_was_never_asked(tmp_path):
    assert read_known(tmp_path / "none") == {}
    keep(tmp_path / "none", [])
    assert not (tmp_path / "none").exists()


rows = st.dictionaries(st.text("abc/", min_size=1, max_size=4), st.integers(), max_size=6)


@settings(max_examples=40, deadline=None)
@given(st.lists(rows, max_size=4))
def test_all_that_was_kept_is_found_by_id(tmp_path_factory, kept):
    folder = tmp_path_factory.mktemp("known")
    seen = {}
    for group in kept:
        fresh = {id_: value for id_, value in group.items() if id_ not in seen}
        keep(folder, [{"id": id_, "value": value} for id_, value in fresh.items()])
        seen |= fresh
    assert {id_: row["value"] for id_, row in read_known(folder).items()} == seen


def test_the_same_rows_kept_twice_are_one_file_and_others_another(tmp_path):
    for rows_kept in ([{"id": "a"}], [{"id": "a"}], [{"id": "b", "text": "é\u2028x"}]):
        keep(tmp_path, rows_kept)
    assert len(list(tmp_path.iterdir())) == 2
    assert read_known(tmp_path) == {"a": {"id": "a"}, "b": {"id": "b", "text": "é\u2028x"}}


@pytest.mark.parametrize(
    "content", [b'{"id":"a","score":1.5', b'{"id":"a","score":2.5}\n', b'{"id":"a","score":NaN}\n', b"", b"\xff"]
)
def test_a_file_that_was_changed_since_is_left_out_in_words_and_its_answers_are_asked_again(tmp_path, capsys, content):
    keep(tmp_path, [{"id": "a", "score": 1.5}])
    keep(tmp_path, [{"id": "b"}])
    (path,) = [path for path in tmp_path.iterdir() if b'"a"' in path.read_bytes()]
    path.write_bytes(content)
    assert read_known(tmp_path) == {"b": {"id": "b"}}
    assert capsys.readouterr().out == f"{path} is not as it was kept: these answers are asked again\n"
