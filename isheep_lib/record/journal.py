"""Crash-safe, append-only results of a stage that is still running.

A line is one JSON object with a checksum over itself and the checksum before it; the first line names the fingerprint the
rows belong to:
    {"fingerprint":"3f…","_c":"9a…"}
    {"id":"i1-r0-p003-t2","text":"…","_c":"0b…"}

So a line that was changed, though its checksum was made anew, does not lead to the next one. Rows from there on are
dropped and computed again. Covers one writer a file. Several writers of one step, each with a file, are `record.shards`';
finished files are `record.manifests`'s.
"""

import fcntl
import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TypeVar

from isheep_lib.errors import RecordError
from isheep_lib.record.locks import locked
from isheep_lib.record.rows import canonical_json, make_folder, write_failure
from isheep_lib.server_key import struck_all

WAITS = "waits_for_other_shard"  # why a worker that fills one shard lacks a row
T = TypeVar("T")


class Held(RecordError):
    """A journal that another live process writes."""


class Journal:
    """Rows by id that survive a kill; open it, read `rows`, `append` each finished batch."""

    def __init__(self, path: Path, fingerprint: str, *, part: str = "this stage", timeout: float = 10.0) -> None:
        """Open or create the journal and take its lock.

        Args:
            fingerprint: what the rows belong to; another fingerprint in the file is refused.
            part: what its writer fills, for the message that refuses a second writer.
            timeout: seconds to wait for a writer that is just being ended.

        Raises:
            Held: another process writes it.
            RecordError: it belongs to another fingerprint, or is no file that can be written.
        """
        self.path = path
        if path.exists() and not path.is_file():
            raise RecordError("The journal is no file", where=str(path), do="move it away, and run the command again")
        try:
            make_folder(path.parent)
            # Unbuffered: what could not be written must not come back at close().
            self._file = open(path, "a+b", buffering=0)  # noqa: SIM115 - held open with its lock until close()
        except OSError as error:
            raise write_failure(path, error) from error
        if not locked(self._file, fcntl.LOCK_EX, timeout):
            self._file.close()
            do = "wait for it to end, or end it, and run the command again"
            raise Held(f"Another process is writing {part}", where=str(path), do=do)
        self.rows: dict[str, dict] = {}
        self._load(fingerprint)

    def _load(self, fingerprint: str) -> None:
        self._file.seek(0)
        found = read_chain(self._file.read())
        if found.rows and found.rows[0] != {"fingerprint": fingerprint}:
            self._file.close()
            raise RecordError("The journal belongs to other settings", where=str(self.path), do="delete this file")
        if found.dropped:
            print(f"{self.path.name}: {found.dropped}")
        os.ftruncate(self._file.fileno(), found.end)
        self._last = found.last
        if not found.rows:
            self._write([{"fingerprint": fingerprint}])
        self.rows = {row["id"]: row for row in found.rows[1:]}

    def mine(self, parts: list[T]) -> list[T]:
        """Choose the parts of the work that this journal's writer does: all of them, where there is one writer."""
        return parts

    def refresh(self) -> None:
        """Take in what other writers have finished since; there are none."""

    def append(self, rows: list[dict]) -> None:
        """Make a finished batch durable before it counts as done; each row needs a text `id`."""
        rows = struck_all(rows)
        self._write(rows)
        self.rows.update({row["id"]: row for row in rows})

    def _write(self, rows: list[dict]) -> None:
        start, last, lines = self._file.seek(0, os.SEEK_END), self._last, []
        for row in rows:
            text = canonical_json(row)
            last = _checksum(last, text)
            lines.append(canonical_json({**row, "_c": last}).encode() + b"\n")
        try:
            data = memoryview(b"".join(lines))
            while data:
                data = data[self._file.write(data) :]
            os.fsync(self._file.fileno())
        except OSError as error:
            os.ftruncate(self._file.fileno(), start)
            raise write_failure(self.path, error) from error
        self._last = last

    def close(self) -> None:
        """Release the lock."""
        self._file.close()

    def __enter__(self) -> "Journal":
        """Return the open journal."""
        return self

    def __exit__(self, kind: type | None, value: BaseException | None, trace: TracebackType | None) -> None:
        """Close the journal, whatever happened."""
        self.close()


def read_rows(path: Path, fingerprint: str) -> dict[str, dict]:
    """Read the rows of a journal that another process may be writing, taking no lock and changing nothing.

    Lines that do not follow from those before them are no rows here: their writer mends them, or they are computed again.
    """
    try:
        rows = read_chain(path.read_bytes()).rows if path.is_file() else []
    except FileNotFoundError:  # the stage was recorded meanwhile
        return {}
    if not rows or rows[0] != {"fingerprint": fingerprint}:
        return {}
    return {row["id"]: row for row in rows[1:]}


@dataclass(frozen=True)
class Chain:
    """The lines of a journal that follow from one another: its rows, where they end, the last checksum, and what was lost."""

    rows: list[dict]
    end: int
    last: str
    dropped: str  # in words, "" for nothing or a line that was being written


@dataclass(frozen=True)
class Line:
    """A line as it could have been written: its row, the checksum that it claims, and what that was made of."""

    row: dict
    checksum: str
    text: str


def read_chain(content: bytes) -> Chain:
    """Read a journal's lines as far as each follows from the one before it.

    Where a whole line does not, either of the two was changed: both are dropped, with all that follows.
    """
    lines = content.split(b"\n")[:-1]
    good, ends, dropped = [], [0], ""
    for number, content_of_line in enumerate(lines, start=1):
        line = parse_line(content_of_line)
        before = good[-1].checksum if good else ""
        names_itself = line is not None and isinstance(line.row.get("id" if good else "fingerprint"), str)
        if line is not None and names_itself and line.checksum == _checksum(before, line.text):
            good.append(line)
            ends.append(ends[-1] + len(content_of_line) + 1)
            continue
        if line is not None and good:
            good.pop()
            ends.pop()
        if line is not None or any(parse_line(later) for later in lines[number:]):
            dropped = f"line {number} does not follow from the one before it (changed, or of an older version): "
            dropped += f"{len(lines) - len(good)} line(s) are dropped and computed again"
        break
    return Chain([line.row for line in good], ends[-1], good[-1].checksum if good else "", dropped)


def parse_line(content: bytes) -> Line | None:
    """Read a line without its line break, None for one that was never written so."""
    try:
        row = json.loads(content)
        checksum = row.pop("_c")
        text = canonical_json(row)
        text.encode()
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):  # no JSON of ours, or no object
        return None
    return Line(row, checksum, text) if isinstance(row, dict) and isinstance(checksum, str) else None


def _checksum(before: str, text: str) -> str:
    return hashlib.blake2b((before + text).encode(), digest_size=8).hexdigest()
