"""Crash-safe, append-only results of a stage that is still running.

A line is one JSON object with a checksum; the first line names the fingerprint the rows belong to:
    {"fingerprint":"3f…","_c":"9a…"}
    {"id":"i1-r0-p003-t2","text":"…","_c":"0b…"}

Covers one writer a file: torn tails are cut, damage in the middle is refused. Several writers of one step are
`record.shards`'; finished files are `record.manifests`'s.
"""

import fcntl
import hashlib
import json
import os
from pathlib import Path
from types import TracebackType
from typing import TypeVar

from isheep_lib.errors import RecordError
from isheep_lib.record.locks import locked
from isheep_lib.record.rows import canonical_json, write_failure
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
            RecordError: it belongs to another fingerprint, or its middle is damaged.
        """
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        # Unbuffered: what could not be written must not come back at close().
        self._file = open(path, "a+b", buffering=0)  # noqa: SIM115 - held open with its lock until close()
        if not locked(self._file, fcntl.LOCK_EX, timeout):
            self._file.close()
            do = "wait for it to end, or end it, and run the command again"
            raise Held(f"Another process is writing {part}", where=str(path), do=do)
        self.rows: dict[str, dict] = {}
        self._load(fingerprint)

    def _load(self, fingerprint: str) -> None:
        self._file.seek(0)
        data = self._file.read()
        end, rows = 0, []
        for line in data.split(b"\n")[:-1]:
            row = checked(line)
            if row is None:
                break
            rows.append(row)
            end += len(line) + 1
        rest = data[end:].split(b"\n")
        if any(checked(line) is not None for line in rest[1:]):
            self._file.close()
            raise RecordError(
                f"Line {len(rows) + 1} is damaged while later lines are whole",
                where=str(self.path),
                do="the disk or an editor changed this file: delete it to run the stage again from its start",
            )
        if end < len(data):
            os.ftruncate(self._file.fileno(), end)
        if not rows:
            self._write([{"fingerprint": fingerprint}])
        elif rows[0].get("fingerprint") != fingerprint:
            self._file.close()
            raise RecordError("The journal belongs to other settings", where=str(self.path), do="delete this file")
        self.rows = {row["id"]: row for row in rows[1:]}

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
        start = self._file.seek(0, os.SEEK_END)
        try:
            data = memoryview(b"".join(_line(row) for row in rows))
            while data:
                data = data[self._file.write(data) :]
            os.fsync(self._file.fileno())
        except OSError as error:
            os.ftruncate(self._file.fileno(), start)
            raise write_failure(self.path, error) from error

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

    A line that is not whole is no row here: its writer mends it, or it is computed again.
    """
    try:
        rows = [row for line in path.read_bytes().split(b"\n")[:-1] if (row := checked(line)) is not None]
    except FileNotFoundError:
        return {}
    if not rows or rows[0] != {"fingerprint": fingerprint}:
        return {}
    return {row["id"]: row for row in rows[1:]}


def _checksum(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def _line(row: dict) -> bytes:
    return canonical_json({**row, "_c": _checksum(canonical_json(row))}).encode() + b"\n"


def checked(line: bytes) -> dict | None:
    """Return the row of a whole line without its line break, None for a torn or changed one."""
    try:
        row = json.loads(line)
        found = row.pop("_c", None)
        return row if found == _checksum(canonical_json(row)) else None
    except (ValueError, AttributeError, TypeError):  # not JSON, not an object, or values that we never write
        return None
