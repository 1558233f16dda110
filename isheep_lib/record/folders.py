"""Folders that are there whole or not at all: filled beside their place, then moved to it at once.

    require_own(out, "report", foreign)
    with replacing(out, "report", foreign) as fresh:      # what stands at `out` stays until the block has ended well
        (fresh / "index.html").write_text(page)

Covers refusing a folder of somebody else's, the exchange, and where what can be made again is kept. Does not cover single
files (`record.rows`).
"""

import contextlib
import errno
import fcntl
import glob
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock

from isheep_lib.errors import RecordError
from isheep_lib.record.locks import locked
from isheep_lib.record.rows import write_failure

HELD = ".held"  # the lock in a temporary folder
Foreign = Callable[[Path], Iterable[Path]]  # lists what somebody else put into a folder, or changed there


def require_own(out: Path, maker: str, foreign: Foreign) -> None:
    """Refuse, as a RecordError, a place that holds anything but an earlier work of the same `maker`, such as "report"."""
    if not out.exists():
        return
    found = sorted(foreign(out)) if out.is_dir() else [out]
    if found:
        raise RecordError(
            f"The folder for the {maker} holds what no {maker} wrote, or what was changed since, and would be replaced",
            where=str(out),
            allowed=f"a new folder, an empty one, or an earlier {maker} as it was written; here lie "
            + ", ".join(path.name for path in found[:5]),
            do="give another folder (--out FOLDER), or move these files away",
        )


@contextmanager
def replacing(out: Path, maker: str = "", foreign: Foreign = lambda _: ()) -> Iterator[Path]:
    """Give an empty folder to fill, which takes the place of `out` once the block has ended well.

    Raises:
        RecordError: the disk refuses, or `out` meanwhile holds what is foreign (`require_own`).
    """
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with temporary(out.parent, f".{out.name}-") as beside:
            fresh, old = beside / "new", beside / "old"
            fresh.mkdir()
            yield fresh
            require_own(out, maker, foreign)  # filling took a while
            if out.exists():
                os.replace(out, old)
            os.replace(fresh, out)
    except OSError as error:
        raise write_failure(out, error) from error


@contextmanager
def temporary(parent: Path, prefix: str) -> Iterator[Path]:
    """Give a folder for the time of the block, and remove those of this name whose makers were killed.

    Its maker holds a lock in it, which nothing but its end releases; a folder without that file is somebody else's.
    """
    for left in parent.glob(f"{glob.escape(prefix)}*/{HELD}"):
        with contextlib.suppress(OSError), open(left, "r+", encoding="utf-8") as file:
            if locked(file, fcntl.LOCK_EX):
                shutil.rmtree(left.parent)
    with tempfile.TemporaryDirectory(prefix=prefix, dir=parent) as name:
        folder = Path(name)
        with open(folder / f"{HELD}.new", "w", encoding="utf-8") as file:
            locked(file, fcntl.LOCK_EX)
            os.replace(file.name, folder / HELD)  # nobody sees it without its lock
            yield folder


def made_once(target: Path, make: Callable[[Path], None]) -> Path:
    """Return a folder that `make` fills at its first use, one process alone; the rename is the commit point."""
    if not target.is_dir():
        target.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(target.with_suffix(".lock")):
            if not target.is_dir():  # else another process has made it meanwhile
                partial = target.with_suffix(".partial")
                shutil.rmtree(partial, ignore_errors=True)  # of a process that was killed
                make(partial)
                os.replace(partial, target)
    return target


def cache_folder() -> Path:
    """Return the folder for what can be made again: converted models, digests, answers; a RecordError if there can be none."""
    named = os.environ.get("ISHEEP_CACHE")
    folder = Path(named or "~/.cache/isheep")
    try:
        folder = folder if named else folder.expanduser()
        folder.mkdir(parents=True, exist_ok=True)
        problem = "" if os.access(folder, os.W_OK | os.X_OK) else os.strerror(errno.EACCES)
    except (OSError, RuntimeError, ValueError) as error:  # no home at all; a name that no folder can have
        problem = (error.strerror if isinstance(error, OSError) else "") or str(error)
    if problem:
        raise RecordError(
            f"The folder for converted models, digests and answers cannot be written: {problem}",
            where=f"ISHEEP_CACHE={named}" if named else "~/.cache/isheep, as ISHEEP_CACHE is not set",
            do="point ISHEEP_CACHE at a folder that can be written: export ISHEEP_CACHE=/path/to/folder",
        )
    return folder
