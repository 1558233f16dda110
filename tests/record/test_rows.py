"""Rows on disk: reading, writing, hashing, and the mapping of fields."""

import errno
import hashlib
import json
import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isheep_lib.errors import DataError, RecordError
from isheep_lib.record.rows import (
    Pair,
    canonical_json,
    digest_file,
    digest_text,
    forget_digests,
    parse_fields,
    read_jsonl,
    write_atomic,
    write_jsonl,
)

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
    assert digest_text("naïve") == digest_file(path) == expected


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


def test_a_byte_order_mark_is_no_part_of_the_first_row(tmp_path):
    assert read_jsonl(write_lines(tmp_path / "r.jsonl", b'\xef\xbb\xbf{"a": 1}')) == [{"a": 1}]


@pytest.mark.parametrize(
    ("pairs", "expected"),
    [
        ([], {}),
        (["instruction=question"], {"instruction": "question"}),
        (["instruction = my question", "output=meta.answer"], {"instruction": "my question", "output": "meta.answer"}),
        (["id=key", "kind=key"], {"id": "key", "kind": "key"}),
        (["input=a=b"], {"input": "a=b"}),
    ],
)
def test_fields_are_mapped_ours_to_theirs(pairs, expected):
    assert parse_fields(pairs) == expected


@pytest.mark.parametrize(
    ("pair", "said"),
    [
        ("question", "'question' should have the form ours=theirs"),
        ("instruction=", "should have the form ours=theirs"),
        ("instruction= ", "should have the form ours=theirs"),
        ("", "should have the form ours=theirs"),
        ("=question", "'' should be one of id, instruction, input, output, kind"),
        ("question=instruction", "'question' should be one of id, instruction"),
        ("output=other", "'output=other': output is named twice"),
    ],
)
def test_a_wrong_mapping_is_refused_with_the_pair(pair, said):
    with pytest.raises(ValueError, match=r"named twice|should") as caught:
        parse_fields(["output=answer", pair])
    assert said in str(caught.value)


def test_all_wrong_pairs_of_a_mapping_are_named_at_once():
    with pytest.raises(ValueError, match=r"'prompt'.*'x=y'"):
        parse_fields(["prompt", "x=y"])


lineages = st.dictionaries(
    st.sampled_from(["demonstrations", "parents", "operator", "document"]), st.lists(st.text(), max_size=2)
)


@given(st.text(), st.text(), st.text(), st.sampled_from(["end", "stop", "length"]), st.integers(0, 9), lineages)
def test_a_pair_is_its_row_whatever_else_the_row_holds(instruction, given_input, output, finish, tokens, lineage):
    own = {"id": "i1", "instruction": instruction, "input": given_input, "output": output, "finish": finish}
    row = {**own, "num_tokens": tokens, **lineage}
    pair = Pair.from_row(row)
    assert pair.as_row() == row
    assert pair.lineage == lineage
    assert (pair.task.id, pair.task.instruction, pair.task.input, pair.task.output) == ("i1", instruction, given_input, "")


def test_a_file_is_read_once_for_its_digest_until_it_changes_or_digests_are_forgotten(tmp_path, monkeypatch):
    read, real = [], hashlib.file_digest
    monkeypatch.setattr(hashlib, "file_digest", lambda file, kind: read.append(file.name) or real(file, kind))
    path = tmp_path / "rows.jsonl"
    path.write_text("one")
    assert digest_file(path) == digest_file(path) == hashlib.sha256(b"one").hexdigest()
    assert len(read) == 1
    write_atomic(path, "two")  # as many bytes
    assert digest_file(path) == hashlib.sha256(b"two").hexdigest()
    forget_digests()
    digest_file(path)
    assert len(read) == 3
