"""Output files of two executions: by bytes first, then by what rows and values say."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isheep_lib.record import manifests
from isheep_lib.record.rows import write_jsonl
from isheep_lib.rerun.file_diff import compare_file, rows_that_differ, value_difference
from isheep_lib.rerun.notebook_diff import USUAL

few = settings(max_examples=60, deadline=None)
leaves = st.none() | st.booleans() | st.integers(-5, 5) | st.floats(-5, 5) | st.text(max_size=4)
values = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
)


@few
@given(values)
def test_a_value_differs_from_itself_nowhere(value):
    assert value_difference(value, json.loads(json.dumps(value))) is None


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ({"a": 1.0}, {"a": 1.0000000001}, None),
        ({"a": 1}, {"a": 1.0}, None),
        ({"a": 1000001}, {"a": 1000002}, ("a", "1000001", "1000002")),
        ({"a": {"b": [1, 2]}}, {"a": {"b": [1, 3]}}, ("a.b[1]", "2", "3")),
        ({"a": [1]}, {"a": [1, None]}, ("a[1]", "nothing", "null")),
        ({"a": None}, {}, ("a", "null", "nothing")),
        ({"a": 1}, {"a": True}, ("a", "1", "true")),
        ({"a": "0.10000000000"}, {"a": "0.1"}, ("a", "0.10000000000", "0.1")),
        ({"a": [1]}, {"a": {"b": 1}}, ("a", "[1]", '{"b": 1}')),
    ],
)
def test_the_first_place_where_values_differ_is_named(before, after, expected):
    assert value_difference(before, after) == expected


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ([{"id": "a", "n": 1}, {"id": "b", "n": 2}], [{"id": "b", "n": 2}, {"id": "a", "n": 1}], []),
        ([{"id": "a", "n": 1}, {"id": "b", "n": 2}], [{"id": "a", "n": 1}, {"id": "b", "n": 3}], ["b"]),
        ([{"id": "a"}, {"id": "b"}], [{"id": "b"}, {"id": "c"}], ["a", "c"]),
        ([{"step": 1}, {"step": 2}], [{"step": 1}, {"step": 3}], ["row 2"]),
        ([{"id": "a", "n": 1}, {"id": "a", "n": 2}], [{"id": "a", "n": 1}, {"id": "a", "n": 3}], ["row 2"]),
        ([], [], []),
    ],
    ids=["order", "value", "one side", "no ids", "an id twice", "nothing"],
)
def test_rows_are_named_by_id_or_where_ids_do_not_do_by_number(before, after, expected):
    assert rows_that_differ(before, after) == expected


def compared(tmp_path, name, before, after):
    """Write a file on each side, where it is given, and compare the two."""
    paths = [tmp_path / side / name for side in ("before", "after")]
    for path, content in zip(paths, (before, after), strict=True):
        path.parent.mkdir()
        if isinstance(content, list):
            write_jsonl(path, content)
        elif content is not None:
            path.write_text(content)
    described = [manifests.describe_file(path) if path.is_file() else None for path in paths]
    return compare_file(*paths, *described, USUAL)


@pytest.mark.parametrize(
    ("name", "before", "after"),
    [("rows.jsonl", [{"id": "a"}], [{"id": "a"}]), ("metrics.json", "{}", "{}"), ("vectors.npy", "x", "x")],
)
def test_the_same_bytes_are_no_difference(tmp_path, name, before, after):
    assert compared(tmp_path, name, before, after) is None


ROW = {"id": "a", "score": 1.5}


@pytest.mark.parametrize(
    ("name", "before", "after", "kind", "decides"),
    [
        ("rows.jsonl", [ROW], [{**ROW, "score": 1.5000000001}], "within the tolerance", False),
        ("rows.jsonl", [ROW], [{**ROW, "score": 1.6}], "rows", True),
        ("rows.jsonl", [ROW, {"id": "b"}], [{"id": "b"}, ROW], "order of rows", True),
        ("metrics.json", '{"a": 1.5}', '{"a": 1.5000000001}', "within the tolerance", False),
        ("metrics.json", '{"a": 1.5}', '{"a": 1.6}', "values", True),
        ("weights.safetensors", "x", "y", "other bytes", True),
        ("rows.jsonl", [ROW], None, "file missing", True),
        ("rows.jsonl", None, [ROW], "file added", True),
    ],
)
def test_other_bytes_are_read_and_only_what_they_say_decides(tmp_path, name, before, after, kind, decides):
    change = compared(tmp_path, name, before, after)
    assert (change.place, change.kind, change.decides) == (name, kind, decides)


def test_the_number_of_rows_that_differ_and_the_first_ids_are_said(tmp_path):
    before = [{"id": f"p{n}", "text": "a"} for n in range(9)]
    after = [{**row, "text": "b"} if n > 1 else row for n, row in enumerate(before)]
    change = compared(tmp_path, "rows.jsonl", before, after)
    assert change.before == "9 row(s)"
    assert change.after == "9 row(s), 7 row(s) differ: p2, p3, p4, p5, p6 and 2 more"
