"""One writer for a run: its lock, and turns of the workers that fill it together."""

import contextlib
import fcntl
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, TextIO

from isheep_lib.errors import RecordError
from isheep_lib.record.rows import make_folder, write_failure

LOOK_SECONDS = 0.3  # `is_held` takes the lock for a moment


class RunLock:
    """Holds a run for one process, or for the workers that fill shards of it; whoever else starts is refused."""

    def __init__(self, run_dir: Path, shard: str = "", *, timeout: float = 1.0) -> None:
        """Take the lock.

        Args:
            shard: names a worker's shard, which shares the run with other workers; "" takes the run alone.
            timeout: seconds to wait for a holder that only looks or is just leaving.

        Raises:
            RecordError: another live process holds the run, or workers do.
        """
        make_folder(run_dir)
        try:
            self._file: TextIO = open(run_dir / ".lock", "a+", encoding="utf-8")  # noqa: SIM115 - held until release()
        except OSError as error:
            raise write_failure(run_dir, error) from error
        if not locked(self._file, fcntl.LOCK_SH if shard else fcntl.LOCK_EX, timeout):
            raise self._refusal(run_dir, shard)
        if not shard:
            self._file.truncate(0)
        # Workers that start together each append one line, so the last line names a holder or one that has just left.
        try:
            self._file.write(f"{shard + ', ' if shard else ''}process {os.getpid()} on {socket.gethostname()}\n")
            self._file.flush()
        except OSError as error:
            with contextlib.suppress(OSError):  # closing would write it once more
                self._file.close()
            raise write_failure(run_dir, error) from error

    def _refusal(self, run_dir: Path, shard: str) -> RecordError:
        self._file.seek(0)
        holder = (self._file.read().split("\n")[:-1] or ["unknown"])[-1]
        self._file.close()
        if holder.startswith("shard") and not shard:
            said = f"The run is being filled by workers (the last to start: {holder})"
            return RecordError(said, where=str(run_dir), do="wait for them to end, or choose another name (-p run NAME)")
        return RecordError(
            f"The run is being written by another process ({holder})",
            where=str(run_dir),
            do="wait for it to end, or choose another name (-p run NAME)",
        )

    def is_last(self) -> bool:
        """Tell a leaving worker whether nobody else holds the run; it holds the run alone then."""
        return locked(self._file, fcntl.LOCK_EX, LOOK_SECONDS)

    def release(self) -> None:
        """Let the run go."""
        self._file.close()


def locked(file: IO[Any], kind: int, timeout: float = 0.0) -> bool:
    """Lock an open file, if that can be done within some seconds."""
    deadline = time.monotonic() + timeout
    while True:
        try:
            fcntl.flock(file, kind | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if time.monotonic() >= deadline:
                return False
            time.sleep(0.1)


def is_held(run_dir: Path) -> bool:
    """Tell whether a live process holds a run, without changing anything."""
    path = run_dir / ".lock"
    try:
        # A network disk gives an exclusive lock only to a file that is open for writing.
        with open(path, "r+" if os.access(path, os.W_OK) else "r", encoding="utf-8") as file:
            return not locked(file, fcntl.LOCK_EX)
    except (FileNotFoundError, NotADirectoryError):
        return False


@contextlib.contextmanager
def turn(run_dir: Path) -> Iterator[None]:
    """Let the workers of one run take turns where they write the same files: its parameters, a stage's record."""
    run_dir.mkdir(parents=True, exist_ok=True)
    with open(run_dir / ".turn", "a", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
