"""Crash-safe appending: torn tails are cut, what does not follow from the line before it is dropped."""

import errno
import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isheep_lib.engines.protocol import fill_journal
from isheep_lib.errors import RecordError
from isheep_lib.record.journal import Journal, _checksum, read_rows
from isheep_lib.record.progress import read_state
from isheep_lib.record.rows import canonical_json

few = settings(max_examples=50, deadline=None)
ROWS = [{"id": f"row-{n}", "text": f"line\u2028break {n}\n", "num_tokens": n, "score": 1.5 + n} for n in range(4)]


def filled(folder, rows=ROWS, fingerprint="f1"):
    path = folder / "work" / "j.jsonl"
    with Journal(path, fingerprint) as journal:
        journal.append(rows)
    return path


def reopened(path, fingerprint="f1"):
    with Journal(path, fingerprint, timeout=0.0) as journal:
        return dict(journal.rows)


def test_rows_come_back_by_id_in_the_order_of_appending(tmp_path):
    rows = reopened(filled(tmp_path))
    assert list(rows.values()) == ROWS
    assert list(rows) == [row["id"] for row in ROWS]


def test_only_parts_that_lack_rows_are_asked_what_is_there_stays_and_progress_counts_units(tmp_path, monkeypatch):
    monkeypatch.setenv("ISHEEP_PROGRESS", str(tmp_path / "progress"))
    asked = []

    def ask(lacking, tick):
        for part in lacking:
            asked.append(part)
            tick(1.5)
            yield [{"id": name, "new": True} for name in part]

    with Journal(tmp_path / "j.jsonl", "f1") as journal:
        journal.append([{"id": "a"}, {"id": "c"}])
        fill_journal(journal, ["ab", "c", "de"], lambda part: dict.fromkeys(part, 3), ask, "parts", "thing")
    rows = [{"id": "a"}, {"id": "c"}, *({"id": name, "new": True} for name in "bde")]
    assert (asked, list(reopened(tmp_path / "j.jsonl").values())) == (["ab", "de"], rows)
    state = read_state(tmp_path / "progress")
    assert state is not None
    assert "15/15" in state.line()


def test_batches_appended_after_reopening_add_up(tmp_path):
    path = filled(tmp_path, ROWS[:1])
    for row in ROWS[1:]:
        with Journal(path, "f1") as journal:
            journal.append([row])
            assert journal.rows[row["id"]] == row
    assert list(reopened(path).values()) == ROWS


def test_a_new_journal_is_empty_and_keeps_its_fingerprint(tmp_path):
    path = filled(tmp_path, [])
    assert reopened(path) == {}
    with pytest.raises(RecordError):
        reopened(path, "f2")


def test_other_settings_are_refused_with_the_file_and_what_to_do(tmp_path):
    path = filled(tmp_path)
    before = path.read_bytes()
    with pytest.raises(RecordError) as caught:
        reopened(path, "f2")
    assert "belongs to other settings" in str(caught.value)
    assert str(path) in str(caught.value)
    assert "do: delete this file" in str(caught.value)
    assert path.read_bytes() == before
    assert len(reopened(path)) == len(ROWS)  # the refusal let the lock go


@few
@given(data=st.data())
def test_a_journal_cut_at_any_byte_yields_a_prefix_and_goes_on(data, tmp_path_factory):
    path = filled(tmp_path_factory.mktemp("cut"))
    whole = path.read_bytes()
    size = data.draw(st.integers(0, len(whole)))
    path.write_bytes(whole[:size])
    rows = list(reopened(path).values())
    finished = whole[:size].count(b"\n") - 1
    assert rows == ROWS[: max(0, finished)]
    with Journal(path, "f1") as journal:
        journal.append(ROWS[len(rows) :])
    assert path.read_bytes() == whole


def damaged(path, line, offset, change):
    lines = path.read_bytes().splitlines(keepends=True)
    content = bytearray(path.read_bytes())
    content[sum(map(len, lines[:line])) + offset % (len(lines[line]) - 1)] ^= change  # line breaks have a test of their own
    path.write_bytes(content)


@few
@given(line=st.integers(0, 4), offset=st.integers(0, 10_000), change=st.integers(1, 255))
def test_whatever_byte_is_changed_only_rows_that_were_written_come_back_and_the_rest_is_done_again(
    line, offset, change, tmp_path_factory
):
    path = filled(tmp_path_factory.mktemp("damage"))
    whole = path.read_bytes()
    damaged(path, line, offset, change)
    rows = list(reopened(path).values())
    assert rows == ROWS[: len(rows)]
    assert len(rows) in {max(0, line - 2), max(0, line - 1)}
    with Journal(path, "f1") as journal:
        journal.append(ROWS[len(rows) :])
    assert path.read_bytes() == whole


def checksum_anew(path, number, old, new):
    """Change a line and make its checksum anew from the line before it, as somebody who knows the format would."""
    lines = path.read_bytes().splitlines()
    before = json.loads(lines[number - 2])["_c"] if number > 1 else ""
    row = json.loads(lines[number - 1].replace(old, new))
    assert row != json.loads(lines[number - 1])
    del row["_c"]
    lines[number - 1] = canonical_json({**row, "_c": _checksum(before, canonical_json(row))}).encode()
    path.write_bytes(b"\n".join(lines) + b"\n")


LINES = {
    "a text changed": lambda path: path.write_bytes(path.read_bytes().replace(b"break 1", b"break 7")),
    "a text with its checksum anew": lambda path: checksum_anew(path, 3, b"break 1", b"break 7"),
    "an id with its checksum anew": lambda path: checksum_anew(path, 3, b"row-1", b"row-9"),
    "no id": lambda path: checksum_anew(path, 3, b'"id"', b'"di"'),
    "a number with its checksum anew": lambda path: checksum_anew(path, 3, b"2.5", b"3.5"),
    "a line gone": lambda path: swap(path, lambda lines: lines[:2] + lines[3:]),
    "a line twice": lambda path: swap(path, lambda lines: [*lines[:3], *lines[2:]]),
    "two lines exchanged": lambda path: swap(path, lambda lines: [*lines[:2], lines[3], lines[2], lines[4]]),
    "an empty line": lambda path: swap(path, lambda lines: [*lines[:2], b"", *lines[2:]]),
    "a line of another journal": lambda path: swap(path, lambda lines: [*lines[:2], foreign(path), *lines[3:]]),
    "a list": lambda path: swap(path, lambda lines: [*lines[:2], b"[1]", *lines[3:]]),
    "a word": lambda path: swap(path, lambda lines: [*lines[:2], b'"word"', *lines[3:]]),
    "a deep list": lambda path: swap(path, lambda lines: [*lines[:2], b"[" * 100_000, *lines[3:]]),
    "a checksum that is no text": lambda path: swap(path, lambda lines: [*lines[:2], b'{"_c":1,"id":"row-1"}', *lines[3:]]),
    "no checksum": lambda path: swap(path, lambda lines: [*lines[:2], b'{"id":"row-1"}', *lines[3:]]),
    "a lost line break": lambda path: swap(path, lambda lines: [*lines[:2], lines[2] + lines[3], lines[4]]),
    "a byte of no text": lambda path: path.write_bytes(path.read_bytes().replace(b"break 1", b"break \xff")),
    "half a character": lambda path: path.write_bytes(path.read_bytes().replace(b"break 1", b"br\\ud800")),
    "a number beyond all": lambda path: path.write_bytes(path.read_bytes().replace(b"2.5", b"1e999")),
    "no number": lambda path: path.write_bytes(path.read_bytes().replace(b"2.5", b"NaN")),
}


def swap(path, change):
    path.write_bytes(b"\n".join(change(path.read_bytes().splitlines())) + b"\n")


def foreign(path):
    other = filled(path.parent / "other", ROWS[1:3], "f2")
    return other.read_bytes().splitlines()[1]


@pytest.mark.parametrize("edit", LINES)
def test_what_does_not_follow_from_the_line_before_it_is_dropped_in_words_and_computed_again(tmp_path, capsys, edit):
    path = filled(tmp_path)
    whole = path.read_bytes()
    LINES[edit](path)
    rows = reopened(path)
    said = capsys.readouterr().out
    assert list(rows.values()) in ([], ROWS[:1], ROWS[:2])
    assert said.startswith("j.jsonl: line ") and "line(s) are dropped and computed again" in said
    with Journal(path, "f1") as journal:
        journal.append([row for row in ROWS if row["id"] not in rows])
    assert path.read_bytes() == whole
    reopened(path)
    assert capsys.readouterr().out == ""


def test_a_torn_tail_is_cut_without_a_word(tmp_path, capsys):
    path = filled(tmp_path)
    path.write_bytes(path.read_bytes() + b'{"id":"row-4","te\x00\x00\n\x00\x00')
    assert list(reopened(path).values()) == ROWS
    assert capsys.readouterr().out == ""


def test_a_journal_of_a_version_without_a_chain_is_begun_anew_in_words(tmp_path, capsys):
    path = filled(tmp_path)
    rows = [json.loads(line) for line in path.read_bytes().splitlines()]
    for row in rows:
        del row["_c"]
    path.write_text("".join(canonical_json({**row, "_c": _checksum("", canonical_json(row))}) + "\n" for row in rows))
    assert reopened(path) == {}
    assert "of an older version): 5 line(s) are dropped" in capsys.readouterr().out


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo])
def test_a_journal_that_is_no_file_is_refused_in_words(tmp_path, make):
    make(tmp_path / "j.jsonl")
    with pytest.raises(RecordError, match=r"The journal is no file(.|\n)*move it away"):
        Journal(tmp_path / "j.jsonl", "f1")
    assert read_rows(tmp_path / "j.jsonl", "f1") == {}


@pytest.mark.parametrize(
    ("old", "new"),
    [(b"1.23456", b"1e23456"), (b'"plain"', b'"\\ud800"'), (b'"plain"', b'"pl\xffin"'), (b"1.23456", b"NaN")],
)
@pytest.mark.parametrize("last", [False, True])
def test_damage_that_is_still_json_counts_as_damage(tmp_path, old, new, last):
    rows = [{"id": "a"}, {"id": "b", "score": 1.23456, "text": "plain"}, *([] if last else [{"id": "c"}])]
    path = filled(tmp_path, rows)
    path.write_bytes(path.read_bytes().replace(old, new))
    assert list(reopened(path)) == ["a"]


def test_a_second_writer_is_refused_with_the_file_and_what_to_do(tmp_path):
    path = filled(tmp_path)
    with Journal(path, "f1"), pytest.raises(RecordError) as caught:
        Journal(path, "f1", timeout=0.0)
    assert "Another process is writing this stage" in str(caught.value)
    assert str(path) in str(caught.value)
    assert "wait for it to end" in str(caught.value)


def test_a_killed_writer_leaves_its_rows_and_no_lock(tmp_path):
    path = tmp_path / "j.jsonl"
    code = (
        "import os, signal, sys; from pathlib import Path; from isheep_lib.record.journal import Journal; "
        "j = Journal(Path(sys.argv[1]), 'f1'); j.append([{'id': 'a'}]); os.kill(os.getpid(), signal.SIGKILL)"
    )
    assert subprocess.run([sys.executable, "-c", code, path]).returncode == -9
    assert reopened(path) == {"a": {"id": "a"}}


def test_an_append_that_cannot_be_made_durable_leaves_no_row(tmp_path, monkeypatch):
    path = filled(tmp_path, ROWS[:1])
    before = path.read_bytes()

    def fail(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with Journal(path, "f1") as journal:
        with monkeypatch.context() as patch, pytest.raises(RecordError) as caught:
            patch.setattr(os, "fsync", fail)
            journal.append(ROWS[1:])
        assert list(journal.rows) == ["row-0"]
        assert path.read_bytes() == before
        journal.append(ROWS[1:2])  # space was made
    assert "The disk is full" in str(caught.value)
    assert str(path) in str(caught.value)
    assert "finished batches are kept" in str(caught.value)
    assert list(reopened(path)) == ["row-0", "row-1"]


@pytest.mark.parametrize("freed", [True, False])
def test_a_disk_that_fills_while_writing_is_reported_and_leaves_no_half_line(tmp_path, freed):
    path = filled(tmp_path, ROWS[:1])
    before = path.read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        with pytest.raises(RecordError, match="The disk is full"), Journal(path, "f1") as journal:
            resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 20, hard))
            try:
                journal.append(ROWS[1:])
            finally:
                if freed:
                    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.read_bytes() == before
