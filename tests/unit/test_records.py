"""Rows on disk: reading, writing, hashing, seed tasks."""

import errno
import hashlib
import json
import os
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isheep_lib import records
from isheep_lib.errors import DataError, RecordError
from isheep_lib.records import canonical_json, load_seeds, read_jsonl, write_atomic, write_jsonl

few = settings(max_examples=50, deadline=None)
plain_text = st.text(st.characters(exclude_categories=["Cs"]))
leaves = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | plain_text
documents = st.recursive(leaves, lambda inner: st.lists(inner) | st.dictionaries(plain_text, inner), max_leaves=12)
LINE_BREAKS = ["\u2028", "\u2029", "\x85", "\x0c", "\x0b", "\x1e", "\r", "\n", "\r\n"]


def write_lines(path, *lines):
    path.write_bytes(b"\n".join(line if isinstance(line, bytes) else line.encode() for line in lines) + b"\n")
    return path


@few
@given(documents)
def test_canonical_json_reads_back_as_the_same_value(value):
    assert json.loads(canonical_json(value)) == value


@few
@given(st.dictionaries(plain_text, leaves))
def test_canonical_json_does_not_depend_on_the_order_of_keys(value):
    assert canonical_json(dict(reversed(value.items()))) == canonical_json(value)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {"a": [float("-inf")]}])
def test_canonical_json_refuses_what_json_cannot_say(value):
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical_json(value)


def test_digests_are_sha256_of_the_bytes(tmp_path):
    path = tmp_path / "x.txt"
    path.write_bytes("naïve".encode())
    expected = hashlib.sha256(b"na\xc3\xafve").hexdigest()
    assert records.digest_text("naïve") == records.digest_file(path) == expected


@few
@given(rows=st.lists(st.dictionaries(plain_text, documents, max_size=3), max_size=4))
def test_rows_come_back_as_they_were_written(rows, tmp_path_factory):
    path = tmp_path_factory.mktemp("rows") / "rows.jsonl"
    write_jsonl(path, rows)
    assert read_jsonl(path) == rows


@pytest.mark.parametrize("odd", LINE_BREAKS)
def test_what_looks_like_a_line_break_inside_a_string_does_not_end_a_row(tmp_path, odd):
    row = {"id": "a", "output": f"one{odd}two"}
    write_jsonl(tmp_path / "r.jsonl", [row, {"id": "b"}])
    assert read_jsonl(tmp_path / "r.jsonl") == [row, {"id": "b"}]


def test_blank_lines_and_windows_line_ends_are_no_rows(tmp_path):
    assert read_jsonl(write_lines(tmp_path / "r.jsonl", '{"a": 1}\r', "", "   ", '{"a": 2}')) == [{"a": 1}, {"a": 2}]


def test_every_bad_line_is_named_with_file_line_and_column(tmp_path):
    path = write_lines(tmp_path / "r.jsonl", '{"a": 1}', '{"a": }', "[1]", "", "nonsense")
    with pytest.raises(DataError) as caught:
        read_jsonl(path)
    message = str(caught.value)
    assert "3 bad row(s) in r.jsonl" in message
    assert f"{path}:2: not JSON" in message
    assert "column 7" in message
    assert f"{path}:3: expected an object, got list" in message
    assert f"{path}:5: not JSON" in message
    assert "'nonsense'" in message
    assert "do: mend or remove these rows" in message


def test_a_flood_of_bad_lines_is_cut_but_counted(tmp_path):
    with pytest.raises(DataError) as caught:
        read_jsonl(write_lines(tmp_path / "r.jsonl", *["x"] * 50))
    assert "50 bad row(s)" in str(caught.value)
    assert "and 30 more" in str(caught.value)
    assert len(str(caught.value).splitlines()) < 30


def test_writing_makes_folders_and_leaves_no_partial_file(tmp_path):
    path = tmp_path / "a" / "b" / "x.json"
    write_atomic(path, "new")
    assert path.read_text() == "new"
    assert [p.name for p in path.parent.iterdir()] == ["x.json"]


@pytest.mark.parametrize(
    ("code", "said", "do"),
    [
        (errno.ENOSPC, "The disk is full", "free some space"),
        (errno.EDQUOT, "The disk is full", "free some space"),
        (errno.EIO, "Writing failed", "permissions"),
    ],
)
def test_a_failed_write_leaves_the_old_file_and_says_why(tmp_path, monkeypatch, code, said, do):
    path = tmp_path / "x.json"
    path.write_text("old")

    def fail(descriptor):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(RecordError) as caught:
        write_atomic(path, "new" * 1000)
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["x.json"]
    for part in (said, os.strerror(code), str(path), do):
        assert part in str(caught.value)


GOOD = '{"id": "s1", "instruction": "Name three uses of salt.", "kind": "list", "output": "Cooking."}'


def test_seeds_are_read_with_their_fields_trimmed_and_ids_given_to_those_without(tmp_path):
    path = write_lines(tmp_path / "seeds.jsonl", GOOD, '{"instruction": "  Add these. ", "input": " 2, 3\\n"}')
    first, second = load_seeds(path)
    assert (first.id, first.instruction, first.input, first.kind) == ("s1", "Name three uses of salt.", "", "list")
    assert (second.instruction, second.input, second.output) == ("Add these.", "2, 3", "")
    assert second.id == "seed-002"


def test_the_same_instruction_with_another_input_is_another_task(tmp_path):
    path = write_lines(
        tmp_path / "s.jsonl", '{"instruction": "Add.", "input": "1, 2"}', '{"instruction": "Add.", "input": "3"}'
    )
    assert len(load_seeds(path)) == 2


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ('{"instruction": "x"', "not JSON"),
        ("plain words", "not JSON"),
        ('["instruction"]', "expected an object, got list"),
        ('{"prompt": "Name a metal.", "output": "Iron"}', "no instruction (fields: prompt, output)"),
        ('{"instruction": "   "}', "no instruction"),
        ("{}", "no instruction (fields: none)"),
        ('{"id": "s1", "instruction": "Another task."}', "same id as line 1: 's1'"),
        ('{"instruction": "NAME three uses of salt. "}', "same instruction as line 1"),
        ('{"instruction": "Add.", "input": 3}', "input must be text"),
        ('{"instruction": ["Add."], "output": null}', "instruction, output must be text"),
        ('{"id": 7, "instruction": "Add."}', "id must be text"),
    ],
)
def test_a_bad_seed_is_named_with_its_line(tmp_path, bad, said):
    path = write_lines(tmp_path / "seeds.jsonl", GOOD, bad)
    with pytest.raises(DataError) as caught:
        load_seeds(path)
    message = str(caught.value)
    assert said in message
    assert re.search(rf"{re.escape(str(path))}\D{{1,8}}2\b", message)
    assert "do: mend or remove these rows" in message


def test_a_row_without_an_instruction_is_named_with_its_line_also_after_blank_lines(tmp_path):
    path = write_lines(tmp_path / "seeds.jsonl", GOOD, "", "", '{"output": "x"}')
    with pytest.raises(DataError) as caught:
        load_seeds(path)
    assert re.search(rf"{re.escape(str(path))}\D{{1,8}}4\b", str(caught.value))


def test_all_bad_seeds_are_listed_at_once(tmp_path):
    with pytest.raises(DataError) as caught:
        load_seeds(write_lines(tmp_path / "s.jsonl", '{"output": "x"}', GOOD, '{"instruction": 1}', GOOD))
    message = str(caught.value)
    assert "4 bad row(s)" in message  # the last row repeats both an id and an instruction
    assert all(part in message for part in ("no instruction", "must be text", "same id", "same instruction"))


@pytest.mark.parametrize("content", [b"", b"\n\n  \n"])
def test_a_file_without_seeds_is_refused(tmp_path, content):
    path = tmp_path / "seeds.jsonl"
    path.write_bytes(content)
    with pytest.raises(DataError) as caught:
        load_seeds(path)
    assert "seeds.jsonl holds no seed task" in str(caught.value)
    assert str(path) in str(caught.value)
    assert "do: add rows with an instruction" in str(caught.value)


def test_missing_seeds_are_named_with_their_path(tmp_path):
    with pytest.raises(DataError) as caught:
        load_seeds(tmp_path / "nowhere.jsonl")
    assert "nowhere.jsonl does not exist" in str(caught.value)
    assert str(tmp_path) in str(caught.value)
    assert "do: check the path" in str(caught.value)


def test_seeds_that_are_not_utf8_are_refused_with_the_place(tmp_path):
    path = write_lines(tmp_path / "seeds.jsonl", b'{"instruction": "Caf\xe9"}')
    with pytest.raises(DataError) as caught:
        load_seeds(path)
    assert "seeds.jsonl is not UTF-8 text (byte 20)" in str(caught.value)
    assert "do: save it as UTF-8" in str(caught.value)
