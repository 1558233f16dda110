"""Progress with an estimate: one updating line in Jupyter, in the terminal, and for whoever drives the stage.

    with Progress("responses", total=80) as progress:
        progress.advance(8)

A notebook gets one output that is replaced, never a flood. A kernel started by the runner writes its state, in numbers, to
a small file, which the runner's own process shows; so it reaches the terminal through two levels of kernels, and whoever
draws it knows how wide the terminal is just then.
"""

import contextlib
import json
import math
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from tqdm import tqdm
from tqdm.utils import disp_len, disp_trim

PROGRESS_FILE = "ISHEEP_PROGRESS"
QUIET_SECONDS = 30.0  # between lines where the terminal is a log
METER = 100  # columns of a meter where nothing says how wide the place is: records must not depend on a terminal
UNKNOWN_WIDTH = 80  # columns of a terminal that does not tell
COUNT = "{n_fmt}/{total_fmt}"
SHORT = "{desc}: {percentage:.0f}%"
METERS = (None, "{l_bar}{bar}| " + COUNT + " [{elapsed}<{remaining}]", f"{SHORT}, {COUNT}", SHORT)  # None is tqdm's own form
COUNTERS = (None, "{desc}: {n_fmt} {unit}")  # where the total is not known


@dataclass(frozen=True)
class State:
    """How far a piece of work is.

    Attributes:
        label: what is counted; alone, without a unit, it is work that nobody counts.
        total: 0 where it is not known.
        initial: what had been done before.
        elapsed: seconds since then.
        last: the work is over.
        where: which part of what this is.
        left: seconds until the whole is done, None where nothing says.
    """

    label: str
    count: float = 0
    total: int = 0
    unit: str = ""
    initial: int = 0
    elapsed: float = 0.0
    last: bool = False
    where: str = ""
    left: float | None = None

    def remaining(self) -> float:
        """Return the seconds that the counted work itself still takes, 0 where its rate is not known yet."""
        done = self.count - self.initial
        return (self.total - self.count) * self.elapsed / done if done > 0 and self.total else 0.0

    def line(self, width: int = 0) -> str:
        """Write the state in at most `width` columns, what matters least left out first; 0 leaves nothing out."""
        places = [self._place("{}, about {} left"), self._place("{}, {} left")]
        if not self.unit:
            found = [": ".join(filter(None, (place, self.label))) for place in places]
        else:
            forms = METERS if self.total else COUNTERS
            found = [self._meter(f"{place}: " if place else "", form, width) for place in places for form in forms]
        fitting = (text for text in found if not width or disp_len(text) <= width)
        return next(fitting, None) or disp_trim(found[-1], width)

    def _place(self, form: str) -> str:
        if self.left is None or self.last:
            return self.where
        return form.format(self.where, duration(self.left))

    def _meter(self, place: str, form: str | None, width: int) -> str:
        def written(columns: int | None) -> str:
            return tqdm.format_meter(
                self.count,
                self.total,
                self.elapsed,
                prefix=place + self.label,
                unit=self.unit,
                ncols=columns,
                initial=self.initial,
                ascii=" #",
                bar_format=form,
            )

        least = written(None)  # with a bar of ten columns
        if width and disp_len(least) > width:
            return least
        return written(width or METER + disp_len(place))


def duration(seconds: float) -> str:
    """Write a length of time as one says it; never more exact than it can be known."""
    if seconds < 60:
        return "a minute"
    if seconds < 90 * 60:
        return f"{math.ceil(seconds / 60)} minutes"
    if seconds < 36 * 3600:
        return f"{seconds / 3600:.1f} hours"
    return f"{seconds / 86400:.1f} days"


class Progress:
    """Counts items and shows the count, the rate and the time left."""

    def __init__(self, label: str, total: int, unit: str = "it", done: int = 0) -> None:
        """Start at `done` of `total`; what was done before does not count for the estimate."""
        self.label, self.total, self.unit, self.initial, self.count = label, total, unit, done, done
        self._start, self._shown, self._share = time.monotonic(), 0.0, 0.0
        target = os.environ.get(PROGRESS_FILE)
        shown = [_FileSink(Path(target)) if target else _terminal(), DisplaySink()]
        self._sinks = [] if _UNSEEN.get() else shown

    def advance(self, count: int = 1) -> None:
        """Count finished items; shows at most once a second."""
        self.count += count
        self._share = 0.0
        if time.monotonic() - self._shown >= 1.0:
            self._show()

    def set_share(self, units: float) -> None:
        """Show work on items that are not finished yet, in items, before they count."""
        self._share = units
        if time.monotonic() - self._shown >= 1.0:
            self._show()

    def state(self, last: bool = False) -> State:
        """Return how far the work is now."""
        count: float = self.count
        if self._share:
            # A batch that is computed again for its missing rows counts those that were there twice, until it is finished.
            shared = round(self.count + self._share, 1)
            count = min(shared, self.total) if self.total else shared
        elapsed = time.monotonic() - self._start
        return State(self.label, count, self.total, self.unit, self.initial, elapsed, last)

    def line(self) -> str:
        """Return the present state as one line of text."""
        return self.state().line()

    def _show(self, last: bool = False) -> None:
        self._shown = time.monotonic()
        for sink in self._sinks:
            sink.show(self.state(last))

    def __enter__(self) -> "Progress":
        """Show the bar."""
        self._show()
        return self

    def __exit__(self, *_: object) -> None:
        """Leave the last state standing."""
        self._show(last=True)


_UNSEEN: ContextVar[bool] = ContextVar("unseen", default=False)


@contextlib.contextmanager
def unseen() -> Iterator[None]:
    """Show nothing of work that is begun in the block."""
    token = _UNSEEN.set(True)
    try:
        yield
    finally:
        _UNSEEN.reset(token)


class DisplaySink:
    """One output in a notebook, replaced in place; nothing outside IPython."""

    def __init__(self) -> None:
        """Show nothing yet."""
        self._handle: Any = None
        self._active = "IPython" in sys.modules and sys.modules["IPython"].get_ipython() is not None

    def show(self, state: State) -> None:
        """Put a state in the place of what stood there; the last one holds no estimate."""
        self.write(state.line())

    def write(self, text: str) -> None:
        """Put text in the place of what stood there."""
        if not self._active:
            return
        from IPython.display import display

        bundle = {"text/plain": text}
        if self._handle is None:
            self._handle = display(bundle, raw=True, display_id=True)
        else:
            self._handle.update(bundle, raw=True)


class _FileSink:
    """The state for another process, replaced atomically; losing one is harmless, so no fsync."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def show(self, state: State) -> None:
        partial = self._path.with_suffix(".partial")
        partial.write_text(json.dumps(asdict(state)))
        os.replace(partial, self._path)


def read_state(path: Path) -> State | None:
    """Read what another process wrote, None where there is nothing, or no longer, or what another version left."""
    try:
        return State(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


class TerminalSink:
    """The process's own stderr as it was before Jupyter captured it: a line on a terminal, few lines in a log."""

    def __init__(self, descriptor: int) -> None:
        """Write to a file descriptor."""
        self._descriptor, self._is_tty, self._written, self._text = descriptor, os.isatty(descriptor), 0.0, ""

    def show(self, state: State) -> None:
        """Replace the terminal's line, or add one to a log every half minute."""
        if self._is_tty:
            # A line that fills the last column is continued by some terminals, which leaves it there for good.
            self._write(f"\r\x1b[2K{state.line(self._columns() - 1)}" + ("\n" if state.last else ""))
            return
        line = state.line()
        if (state.last and line != self._text) or time.monotonic() - self._written >= QUIET_SECONDS:
            self._written, self._text = time.monotonic(), line
            self._write(line + "\n")

    def _columns(self) -> int:
        """Ask each time, as a window may change; a line needs more than two columns to say anything."""
        with contextlib.suppress(OSError):
            return max(os.get_terminal_size(self._descriptor).columns or UNKNOWN_WIDTH, 3)
        return UNKNOWN_WIDTH

    def _write(self, text: str) -> None:
        try:
            os.write(self._descriptor, text.encode())
        except OSError:  # nobody is there to read; the work goes on
            return


def _terminal() -> TerminalSink:
    """Return the terminal of this process; a kernel keeps a copy of the stderr it was started with."""
    copied = getattr(sys.stderr, "_original_stdstream_copy", None)
    return TerminalSink(copied if isinstance(copied, int) else 2)


class Relay:
    """Shows in this process what a kernel writes to its progress file."""

    def __init__(self, path: Path, place: Callable[[State], State] = lambda state: state, onward: str | None = None) -> None:
        """Watch a file and show it here, or in the file `onward`, if a process further out watches that.

        Args:
            place: adds to a state what this process knows of it, such as where in the whole it is.
        """
        self._path, self._place, self._seen, self._open = path, place, State(""), False
        self._sinks = [_FileSink(Path(onward)) if onward else _terminal(), DisplaySink()]

    def begin(self) -> None:
        """Say which work this is before it counts anything."""
        self._show(State(""))

    def poll(self) -> None:
        """Show the newest state, if it changed."""
        state = read_state(self._path)
        if state and state != self._seen:
            self._show(state)

    def end(self) -> None:
        """Leave standing what was shown last, without an estimate."""
        if self._open:
            self._show(replace(self._seen, last=True))

    def _show(self, state: State) -> None:
        self._seen, self._open = state, not state.last
        for sink in self._sinks:
            sink.show(self._place(state))


@contextlib.contextmanager
def watching(look: Callable[[], None]) -> Iterator[None]:
    """Look every second from a thread while the block works, and once more when it has ended."""
    over = threading.Event()

    def watch() -> None:
        while not over.wait(1.0):
            look()

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        look()
