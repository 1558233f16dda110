"""Crash-safe appending: torn tails are cut, damage in the middle is refused."""

import errno
import json
import os
import resource
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isheep_lib.engines.protocol import fill_journal
from isheep_lib.errors import RecordError
from isheep_lib.record.journal import Journal

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
    assert "15/15" in json.loads((tmp_path / "progress").read_text())["line"]


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


@few
@given(line=st.integers(0, 3), offset=st.integers(0, 10_000), change=st.integers(1, 255))
def test_a_changed_byte_before_whole_lines_is_refused(line, offset, change, tmp_path_factory):
    path = filled(tmp_path_factory.mktemp("damage"))
    lines = path.read_bytes().splitlines(keepends=True)
    damaged = bytearray(path.read_bytes())
    damaged[sum(map(len, lines[:line])) + offset % (len(lines[line]) - 1)] ^= change  # line breaks have a test of their own
    path.write_bytes(damaged)
    with pytest.raises(RecordError) as caught:
        reopened(path)
    assert f"Line {line + 1} is damaged" in str(caught.value)
    assert str(path) in str(caught.value)
    assert "delete it to run the stage again" in str(caught.value)
    assert path.read_bytes() == damaged


def test_a_lost_line_break_between_whole_lines_is_refused(tmp_path):
    path = filled(tmp_path)
    lines = path.read_bytes().split(b"\n")
    path.write_bytes(lines[0] + b"\n" + lines[1] + b"\n".join(lines[2:]))
    with pytest.raises(RecordError, match="Line 2 is damaged"):
        reopened(path)


@pytest.mark.parametrize(
    ("old", "new"),
    [(b"1.23456", b"1e23456"), (b'"plain"', b'"\\ud800"'), (b'"plain"', b'"pl\xffin"'), (b"1.23456", b"NaN")],
)
@pytest.mark.parametrize("last", [False, True])
def test_damage_that_is_still_json_counts_as_damage(tmp_path, old, new, last):
    rows = [{"id": "a"}, {"id": "b", "score": 1.23456, "text": "plain"}, *([] if last else [{"id": "c"}])]
    path = filled(tmp_path, rows)
    path.write_bytes(path.read_bytes().replace(old, new))
    if last:
        assert list(reopened(path)) == ["a"]
    else:
        with pytest.raises(RecordError, match="Line 3 is damaged"):
            reopened(path)


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
