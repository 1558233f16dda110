"""Progress: a line for a terminal, a log, a notebook and another process."""

import json
import os
import re

import pytest

from isheep_lib.record import progress as record_progress
from isheep_lib.record.progress import PROGRESS_FILE, Progress, Relay, TerminalSink


class Recorder:
    """Remembers what was shown."""

    def __init__(self):
        self.shown = []

    def show(self, line, last):
        self.shown.append((line, last))


@pytest.fixture
def terminal(monkeypatch):
    recorder = Recorder()
    monkeypatch.delenv(PROGRESS_FILE, raising=False)
    monkeypatch.setattr(record_progress, "_terminal", lambda: recorder)
    return recorder


def counts(line):
    """Return the count and the total that a line shows."""
    count, total = re.search(r"([\d.]+)/(\d+) \[", line).groups()
    return float(count), int(total)


@pytest.fixture
def clock(monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(record_progress.time, "monotonic", lambda: now[0])
    return now


def test_a_bar_shows_label_count_and_unit_from_its_start_to_its_end(terminal, clock):
    with Progress("responses", 80, unit="row") as bar:
        clock[0] += 4
        bar.advance(8)
    first, *_, last = terminal.shown
    assert first[0].startswith("responses")
    assert counts(first[0]) == (0, 80)
    assert first[1] is False
    assert counts(last[0]) == (8, 80)
    assert "2.00row/s" in last[0]
    assert last[1] is True


def test_a_bar_is_shown_at_most_once_a_second(terminal, clock):
    with Progress("x", 1000) as bar:
        for _ in range(1000):
            bar.advance()
            clock[0] += 0.01
    assert 10 <= len(terminal.shown) <= 13
    assert counts(terminal.shown[-1][0]) == (1000, 1000)


def test_what_was_done_before_does_not_count_for_the_rate(terminal, clock):
    with Progress("x", 100, done=90) as bar:
        clock[0] += 10
        bar.advance(5)
    assert counts(terminal.shown[-1][0]) == (95, 100)
    assert "2.00s/it" in terminal.shown[-1][0]


def test_whole_items_are_counted_without_decimals(terminal):
    bar = Progress("x", 8)
    assert " 0/8 " in bar.line()
    bar.advance(3)
    assert " 3/8 " in bar.line()


def test_a_batch_under_way_counts_by_its_share_until_it_is_done(terminal, clock):
    with Progress("x", 20, done=4) as bar:
        clock[0] += 4
        bar.set_share(2.0)
        assert counts(terminal.shown[-1][0]) == (6, 20)
        assert "2.00s/it" in terminal.shown[-1][0]
        bar.set_share(4.0)  # too soon to be shown
        assert len(terminal.shown) == 2
        bar.advance(8)
    assert counts(terminal.shown[-1][0]) == (12, 20)


def test_a_bar_of_nothing_is_shown_and_ends(terminal):
    with Progress("x", 0):
        pass
    assert terminal.shown[-1][1] is True


def test_a_failure_inside_leaves_the_last_state_and_is_passed_on(terminal):
    with pytest.raises(KeyError), Progress("x", 3) as bar:
        bar.advance()
        raise KeyError
    assert counts(terminal.shown[-1][0]) == (1, 3)


def test_the_state_goes_to_the_file_of_whoever_drives_the_stage(tmp_path, monkeypatch, terminal):
    monkeypatch.setenv(PROGRESS_FILE, str(tmp_path / "progress.json"))
    with Progress("x", 3) as bar:
        assert json.loads((tmp_path / "progress.json").read_text())["last"] is False
        bar.advance(3)
    state = json.loads((tmp_path / "progress.json").read_text())
    assert state["last"] is True
    assert counts(state["line"]) == (3, 3)
    assert terminal.shown == []
    assert [p.name for p in tmp_path.iterdir()] == ["progress.json"]


def test_a_relay_shows_each_state_once_under_its_title(tmp_path, terminal):
    path = tmp_path / "p.json"
    relay = Relay(path, "[1 assess]")
    relay.poll()  # nothing is written yet
    path.write_text('{"line": ')
    relay.poll()  # half a file
    for state in ({"line": "1/3", "last": False}, {"line": "1/3", "last": False}, {"line": "3/3", "last": True}):
        path.write_text(json.dumps(state))
        relay.poll()
    assert terminal.shown == [("[1 assess] 1/3", False), ("[1 assess] 3/3", True)]


def test_a_relay_between_two_kernels_passes_on_what_it_sees_and_leaves_the_terminal_alone(tmp_path, terminal):
    inner, outer = tmp_path / "inner.json", tmp_path / "outer.json"
    inner.write_text(json.dumps({"line": "3/3", "last": True}))
    Relay(inner, "iteration 1 assess:", str(outer)).poll()
    assert json.loads(outer.read_text()) == {"line": "iteration 1 assess: 3/3", "last": True}
    assert terminal.shown == []


def test_a_relay_ends_the_line_also_when_its_last_text_was_seen(tmp_path, terminal):
    path = tmp_path / "p.json"
    relay = Relay(path, "t")
    for last in (False, True, True):
        path.write_text(json.dumps({"line": "3/3", "last": last}))
        relay.poll()
    assert terminal.shown == [("t 3/3", False), ("t 3/3", True)]


def written(showing, *, tty=False):
    reader, writer = os.pipe()
    try:
        sink = TerminalSink(writer)
        sink._is_tty = tty
        showing(sink)
    finally:
        os.close(writer)
    with os.fdopen(reader, encoding="utf-8", newline="") as file:
        return file.read()


def test_a_terminal_replaces_its_line_and_ends_it_once():
    def showing(sink):
        sink.show("1/2", False)
        sink.show("2/2", True)

    assert written(showing, tty=True) == "\r\x1b[2K1/2\r\x1b[2K2/2\n"


def test_a_log_gets_few_lines_and_the_last_one(clock):
    def showing(sink):
        for second in range(70):
            clock[0] += 1
            sink.show(f"{second}/70", False)
        sink.show("70/70", True)
        sink.show("70/70", True)

    lines = written(showing).splitlines()
    assert 3 <= len(lines) <= 4
    assert lines[-1] == "70/70"
    assert "\x1b" not in "".join(lines)


def test_a_reader_that_went_away_does_not_stop_the_work():
    reader, writer = os.pipe()
    os.close(reader)
    TerminalSink(writer).show("x", True)
    os.close(writer)
    TerminalSink(writer).show("x", True)


def test_without_any_terminal_nothing_is_shown(monkeypatch):
    monkeypatch.delenv(PROGRESS_FILE, raising=False)
    monkeypatch.setattr(record_progress.sys, "stderr", object())
    with Progress("x", 1) as bar:
        bar.advance()
    assert counts(bar.line()) == (1, 1)


def test_a_share_never_shows_more_than_all(recwarn):
    progress = Progress("answers", 541, done=490)
    progress.set_share(64.0)
    assert "541/541" in progress.line()
    assert not list(recwarn)
