"""Folders: there whole or not at all, and never in place of somebody else's."""

import subprocess
import sys
from pathlib import Path

import pytest

from isheep_lib.errors import RecordError
from isheep_lib.record.folders import cache_folder, made_once, replacing, require_own


def all_of(folder):
    return {path.relative_to(folder).as_posix(): path.read_text() for path in folder.rglob("*") if path.is_file()}


def notes(folder):
    """Count as somebody else's whatever is called notes."""
    return folder.rglob("notes.*")


@pytest.fixture
def out(tmp_path):
    """Return a folder with two files, alone in its own."""
    folder = tmp_path / "beside" / "out"
    (folder / "deep").mkdir(parents=True)
    (folder / "a").write_text("old")
    (folder / "deep" / "b").write_text("old")
    return folder


@pytest.mark.parametrize(
    ("home", "cache", "where", "why"),
    [
        ("/proc/nobody", None, "~/.cache/isheep, as ISHEEP_CACHE is not set", "No such file or directory"),
        ("/home", "/proc/nobody/x", "ISHEEP_CACHE=/proc/nobody/x", "No such file or directory"),
        ("/home", "{file}", "ISHEEP_CACHE={file}", "File exists"),
        ("/home", "{file}/x", "ISHEEP_CACHE={file}/x", "Not a directory"),
        ("/home", "x" * 300, "ISHEEP_CACHE=xxx", "File name too long"),
    ],
)
def test_a_cache_that_cannot_be_written_is_told_with_the_variable_that_moves_it(tmp_path, monkeypatch, home, cache, where, why):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("HOME", home)
    monkeypatch.delenv("ISHEEP_CACHE", raising=False)
    if cache:
        monkeypatch.setenv("ISHEEP_CACHE", cache.format(file=tmp_path / "file"))
    with pytest.raises(RecordError) as caught:
        cache_folder()
    assert f"cannot be written: {why}" in caught.value.what
    assert where.format(file=tmp_path / "file") in caught.value.where
    assert "export ISHEEP_CACHE=" in caught.value.do


def test_no_home_is_no_traceback(monkeypatch):
    monkeypatch.setenv("ISHEEP_CACHE", "")
    monkeypatch.setattr(
        Path, "expanduser", lambda _: (_ for _ in ()).throw(RuntimeError("Could not determine home directory."))
    )
    with pytest.raises(RecordError, match="Could not determine home directory"):
        cache_folder()


def test_what_stands_there_stays_until_the_new_one_is_whole_and_then_goes_whole(out):
    with replacing(out) as fresh:
        assert not list(fresh.iterdir())
        (fresh / "c").write_text("new")
        assert set(all_of(out)) == {"a", "deep/b"}
    assert all_of(out) == {"c": "new"}
    assert list(out.parent.iterdir()) == [out]


def test_a_new_folder_is_made_with_those_above_it_and_is_as_open_as_any_other(tmp_path):
    with replacing(tmp_path / "one" / "two") as fresh:
        (fresh / "c").write_text("new")
    assert all_of(tmp_path / "one") == {"two/c": "new"}
    (tmp_path / "other").mkdir()
    assert (tmp_path / "one" / "two").stat().st_mode == (tmp_path / "other").stat().st_mode


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, OSError])
def test_whatever_stops_the_filling_leaves_the_earlier_folder_and_nothing_beside_it(out, error):
    before = all_of(out)
    with pytest.raises(RecordError if error is OSError else error), replacing(out) as fresh:
        (fresh / "c").write_text("half")
        raise error("no")
    assert all_of(out) == before
    assert list(out.parent.iterdir()) == [out]


def test_what_somebody_puts_there_meanwhile_is_not_replaced(out):
    with pytest.raises(RecordError, match=r"(?s)no report wrote.*notes\.txt.*--out"), replacing(out, "report", notes):
        (out / "deep" / "notes.txt").write_text("mine")
    assert set(all_of(out)) == {"a", "deep/b", "deep/notes.txt"}


def test_a_disk_that_refuses_is_said_so(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RecordError, match="Writing failed"), replacing(tmp_path / "file" / "out"):
        pass


def test_a_place_is_ours_where_nothing_foreign_stands(out):
    require_own(out, "report", notes)
    require_own(out / "none", "report", notes)
    with pytest.raises(RecordError, match=r"here lie a\b"):
        require_own(out / "a", "report", notes)


HOLDER = """
import os, signal, sys
from pathlib import Path
from isheep_lib.record.folders import temporary
with temporary(Path(sys.argv[1]), ".out-") as folder:
    (folder / "half").write_text("half")
    print(folder, flush=True)
    sys.stdin.readline()
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_killed_process_left_beside_goes_at_the_next_time_and_what_a_live_one_holds_does_not(out):
    killed, live = (
        subprocess.Popen(
            [sys.executable, "-c", HOLDER, str(out.parent)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(2)
    )
    left, held = Path(killed.stdout.readline().strip()), Path(live.stdout.readline().strip())
    killed.communicate("\n")
    somebodys = out.parent / ".out-notes"
    somebodys.mkdir()
    assert (left / "half").is_file()
    with replacing(out) as fresh:
        (fresh / "c").write_text("new")
    assert {path.name for path in out.parent.iterdir()} == {"out", held.name, somebodys.name}
    assert (held / "half").is_file()
    live.communicate("\n")
    with replacing(out):
        pass
    assert {path.name for path in out.parent.iterdir()} == {"out", somebodys.name}


def test_a_folder_made_once_holds_nothing_of_a_process_that_was_killed_as_it_made_it(tmp_path):
    (tmp_path / "model.partial").mkdir()
    (tmp_path / "model.partial" / "half").write_text("half")

    def make(folder):
        folder.mkdir()
        (folder / "whole").write_text("whole")

    assert all_of(made_once(tmp_path / "model", make)) == {"whole": "whole"}
