"""Progress: a line for a terminal, a log, a notebook and another process."""

import fcntl
import json
import os
import re
import struct
import termios
from dataclasses import asdict, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tqdm.utils import disp_len

from isheep_lib.record import progress as record_progress
from isheep_lib.record.progress import PROGRESS_FILE, Progress, Relay, State, TerminalSink, duration, read_state

AT_WORK = State(*("check, wrong pairs", 35, 56, "pair"), elapsed=24.0, where="assess, stage 2 of 6 of iteration 1", left=530.0)

PLACED = "assess, stage 2 of 6 of iteration 1, about 9 minutes left: check, wrong pairs:"


class Recorder:
    """Remembers what was shown."""

    def __init__(self):
        self.states = []

    @property
    def shown(self):
        return [(state.line(), state.last) for state in self.states]

    def show(self, state):
        self.states.append(state)


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
        assert not read_state(tmp_path / "progress.json").last
        bar.advance(3)
    state = read_state(tmp_path / "progress.json")
    assert (state.label, state.count, state.total, state.last) == ("x", 3, 3, True)
    assert terminal.shown == []
    assert [p.name for p in tmp_path.iterdir()] == ["progress.json"]


def put(path, state):
    path.write_text(json.dumps(asdict(state)))


def test_a_relay_shows_each_state_once_and_in_its_place(tmp_path, terminal):
    path = tmp_path / "p.json"
    relay = Relay(path, lambda state: replace(state, where="assess"))
    relay.begin()
    relay.poll()  # nothing is written yet
    path.write_text('{"label": ')
    relay.poll()  # half a file
    ended = replace(AT_WORK, count=56, last=True)
    for state in (AT_WORK, AT_WORK, ended):
        put(path, state)
        relay.poll()
    relay.end()
    places = [State("", where="assess"), replace(AT_WORK, where="assess"), replace(ended, where="assess")]
    assert terminal.states == places


def test_a_relay_that_ends_amid_the_work_leaves_its_last_state_as_the_last(tmp_path, terminal):
    relay = Relay(tmp_path / "p.json")
    put(tmp_path / "p.json", AT_WORK)
    relay.poll()
    relay.end()
    assert terminal.states == [AT_WORK, replace(AT_WORK, last=True)]


def test_a_relay_between_two_kernels_passes_on_what_it_sees_and_leaves_the_terminal_alone(tmp_path, terminal):
    inner, outer = tmp_path / "inner.json", tmp_path / "outer.json"
    put(inner, State("x", 3, 3, "it", last=True))
    Relay(inner, lambda state: replace(state, where="assess", left=60.0), str(outer)).poll()
    assert read_state(outer) == State("x", 3, 3, "it", last=True, where="assess", left=60.0)
    assert terminal.shown == []


@pytest.mark.parametrize(
    ("width", "line"),
    [
        (
            0,
            PLACED + r" +62%\|#+ +\| 35/56 \[00:24<00:14, .*s\]",
        ),
        (
            140,
            PLACED + r" +62%\|#+ +\| 35/56 \[00:24<00:14, .*s\]",
        ),
        (
            119,
            PLACED + r" +62%\|#+ +\| 35/56 \[00:24<00:14\]",
        ),
        (89, PLACED + r" 62%, 35/56"),
        (79, r"assess, stage 2 of 6 of iteration 1, 9 minutes left: check, wrong pairs: 62%"),
        (20, r"assess, stage 2 of 6"),
    ],
)
def test_a_narrow_place_leaves_out_what_matters_least(width, line):
    assert re.fullmatch(line, AT_WORK.line(width))


@given(
    state=st.builds(
        State,
        label=st.text(max_size=40).filter(str.isprintable),
        count=st.integers(0, 10**6),
        total=st.integers(0, 10**6),
        unit=st.sampled_from(["", "it", "pair"]),
        elapsed=st.floats(0, 1e6),
        last=st.booleans(),
        where=st.sampled_from(["", "评估, stage 2 of 6 of iteration 1", "assess, stage 2 of 6 of iteration 1 of 12"]),
        left=st.none() | st.floats(0, 1e7),
    ),
    width=st.integers(2, 200),
)
def test_no_line_is_wider_than_its_place(state, width):
    assert disp_len(state.line(width)) <= width


def test_what_is_over_has_no_time_left():
    assert "left" not in replace(AT_WORK, last=True).line()


def test_a_record_holds_no_estimate_of_the_run_and_the_same_line_for_every_terminal():
    line = replace(AT_WORK, left=None, where="").line()
    assert len(line) == 100
    assert line == State(*("check, wrong pairs", 35, 56, "pair"), elapsed=24.0).line()


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0, "a minute"), (61, "2 minutes"), (540, "9 minutes"), (7200, "2.0 hours"), (200_000, "2.3 days")],
)
def test_a_length_of_time_is_said_as_people_say_it(seconds, said):
    assert duration(seconds) == said


@pytest.mark.parametrize("columns", [80, 120, 40])
def test_a_terminal_of_any_width_keeps_one_line_for_all_refreshes(columns):
    """The terminal is a real one; what it would show is worked out as a terminal does: by its width."""
    outer, inner = os.openpty()
    fcntl.ioctl(inner, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    sink = TerminalSink(inner)
    for count in range(20):
        sink.show(replace(AT_WORK, count=count))
    fcntl.ioctl(inner, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns // 2, 0, 0))  # the window is made smaller
    sink.show(replace(AT_WORK, count=56, last=True))
    text = ""
    while "\n" not in text:  # the last line's end
        text += os.read(outer, 100_000).decode()
    os.close(outer)
    os.close(inner)
    assert text.count("\n") == 1
    *wide, narrow = text.replace("\x1b[2K", "").replace("\r\n", "").split("\r")[1:]
    assert len(wide) == 20
    assert max(map(len, wide)) < columns
    assert len(narrow) < columns // 2
    assert "assess, stage 2 of 6" in wide[0]


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
        sink.show(State("one"))
        sink.show(State("two", last=True))

    assert written(showing, tty=True) == "\r\x1b[2Kone\r\x1b[2Ktwo\n"


def test_a_log_gets_few_lines_and_the_last_one(clock):
    def showing(sink):
        for second in range(70):
            clock[0] += 1
            sink.show(State("x", second, 70, "it"))
        sink.show(State("x", 70, 70, "it", last=True))
        sink.show(State("x", 70, 70, "it", last=True))

    lines = written(showing).splitlines()
    assert 3 <= len(lines) <= 4
    assert "70/70" in lines[-1]
    assert "70/70" not in lines[-2]
    assert not {"\x1b", "\r"} & set("".join(lines))


def test_a_reader_that_went_away_does_not_stop_the_work():
    reader, writer = os.pipe()
    os.close(reader)
    TerminalSink(writer).show(State("x", last=True))
    os.close(writer)
    TerminalSink(writer).show(State("x", last=True))


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
