"""Progress with an estimate: one updating line in Jupyter, in the terminal, and for whoever drives the stage.

    with Progress("responses", total=80) as progress:
        progress.advance(8)

A notebook gets one output that is replaced, never a flood. A kernel started by the runner writes its state to a
small file, which the runner's own process shows; so the line reaches the terminal through two levels of kernels.
"""

import contextlib
import json
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tqdm import tqdm

PROGRESS_FILE = "ISHEEP_PROGRESS"
QUIET_SECONDS = 30.0  # between lines where the terminal is a log


class Progress:
    """Counts items and shows the count, the rate and the time left."""

    def __init__(self, label: str, total: int, unit: str = "it", done: int = 0) -> None:
        """Start at `done` of `total`; what was done before does not count for the estimate."""
        self.label, self.total, self.unit, self.initial, self.count = label, total, unit, done, done
        self._start, self._shown, self._share = time.monotonic(), 0.0, 0.0
        target = os.environ.get(PROGRESS_FILE)
        self._sinks = [_FileSink(Path(target)) if target else _terminal(), DisplaySink()]

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

    def line(self) -> str:
        """Return the present state as one line of text."""
        elapsed = time.monotonic() - self._start
        # A batch that is computed again for its missing rows counts those that were there twice, until it is finished.
        shared = round(self.count + self._share, 1)
        return tqdm.format_meter(
            (min(shared, self.total) if self.total else shared) if self._share else self.count,
            self.total,
            elapsed,
            prefix=self.label,
            unit=self.unit,
            ncols=100,
            initial=self.initial,
            ascii=" #",
        )

    def _show(self, last: bool = False) -> None:
        self._shown = time.monotonic()
        for sink in self._sinks:
            sink.show(self.line(), last)

    def __enter__(self) -> "Progress":
        """Show the bar."""
        self._show()
        return self

    def __exit__(self, *_: object) -> None:
        """Leave the last state standing."""
        self._show(last=True)


class DisplaySink:
    """One output in a notebook, replaced in place; nothing outside IPython."""

    def __init__(self) -> None:
        """Show nothing yet."""
        self._handle: Any = None
        self._active = "IPython" in sys.modules and sys.modules["IPython"].get_ipython() is not None

    def show(self, line: str, last: bool = False) -> None:
        """Put text in the place of what stood there."""
        if not self._active:
            return
        from IPython.display import display

        bundle = {"text/plain": line}
        if self._handle is None:
            self._handle = display(bundle, raw=True, display_id=True)
        else:
            self._handle.update(bundle, raw=True)


class _FileSink:
    """The state for another process, replaced atomically; losing one is harmless, so no fsync."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def show(self, line: str, last: bool) -> None:
        partial = self._path.with_suffix(".partial")
        partial.write_text(json.dumps({"line": line, "last": last}))
        os.replace(partial, self._path)


class TerminalSink:
    """The process's own stderr as it was before Jupyter captured it: a line on a terminal, few lines in a log."""

    def __init__(self, descriptor: int) -> None:
        """Write to a file descriptor."""
        self._descriptor, self._is_tty, self._written, self._text = descriptor, os.isatty(descriptor), 0.0, ""

    def show(self, line: str, last: bool) -> None:
        """Replace the terminal's line, or add one to a log every half minute."""
        if self._is_tty:
            self._write(f"\r\x1b[2K{line}" + ("\n" if last else ""))
        elif (last and line != self._text) or time.monotonic() - self._written >= QUIET_SECONDS:
            self._written, self._text = time.monotonic(), line
            self._write(line + "\n")

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

    def __init__(self, path: Path, title: str, onward: str | None = None) -> None:
        """Watch a file and show it here, or in the file `onward`, if a process further out watches that."""
        self._path, self._title, self._seen = path, title, {}
        self._sinks = [_FileSink(Path(onward)) if onward else _terminal(), DisplaySink()]

    def poll(self) -> None:
        """Show the newest state, if it changed."""
        try:
            state = json.loads(self._path.read_text())
        except (FileNotFoundError, json.JSONDecodeError):
            return
        if state != self._seen:
            self._seen = state
            for sink in self._sinks:
                sink.show(f"{self._title} {state['line']}".lstrip(), state["last"])


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
