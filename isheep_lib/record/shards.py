"""Shards: several workers fill one stage, each with a journal of its own, and read what the others have finished.

    responses.shard-3-of-64.jsonl    of one worker; without shards the name is responses.jsonl
    instructions.jsonl               of all workers: one writes it, the others wait and then read it

Covers who writes and who reads which journal, what a worker says in the end, and what of its work goes then. Does not cover
recording a stage (`iterate.session`) or a journal's lines (`record.journal`).
"""

import shutil
import time
from pathlib import Path
from types import TracebackType
from typing import Any

from isheep_lib.errors import RecordError
from isheep_lib.params.kinds import Section, Shard
from isheep_lib.record import manifests
from isheep_lib.record.fingerprints import stale_reason
from isheep_lib.record.journal import Held, Journal, T, parse_line, read_rows
from isheep_lib.record.locks import RunLock
from isheep_lib.record.progress import Progress

FINISHED = "/finished"  # id of the last row of a journal of all workers; no record's id begins so
POLL_SECONDS = 1.0


def shard_name(shard: int, num_shards: int) -> str:
    """Name a shard for people, "" where one worker does all."""
    return f"shard {shard} of {num_shards}" if num_shards > 1 else ""


def place_of(params: Section) -> tuple[int, int]:
    """Return a worker's number and how many there are, (0, 1) where one does all."""
    return (params.shard, params.num_shards) if isinstance(params, Shard) else (0, 1)


class ShardJournal(Journal):
    """A worker's own journal, whose rows include those in the other workers' journals, however many these were."""

    def __init__(
        self, folder: Path, name: str, fingerprint: str, shard: int = 0, num_shards: int = 1, *, timeout: float = 10.0
    ) -> None:
        """Open or create the journal of one worker, numbered from 0, for one step of a stage; see `Journal`."""
        self.shard, self.num_shards = shard, num_shards
        self.name, self._folder, self._fingerprint = name, folder, fingerprint
        own = f"{name}.shard-{shard}-of-{num_shards}.jsonl" if num_shards > 1 else f"{name}.jsonl"
        part = f"{shard_name(shard, num_shards)} of this stage (each worker needs its own number)"
        super().__init__(folder / own, fingerprint, part=part if num_shards > 1 else "this stage", timeout=timeout)
        self.refresh()

    def mine(self, parts: list[T]) -> list[T]:
        """Choose every n-th part, so that long and short ones are shared out evenly."""
        return parts[self.shard :: self.num_shards]

    def refresh(self) -> None:
        """Take in the rows of all other journals of this step."""
        others = [self._folder / f"{self.name}.jsonl", *sorted(self._folder.glob(f"{self.name}.shard-*-of-*.jsonl"))]
        for path in others:
            if path != self.path:
                self.rows = read_rows(path, self._fingerprint) | self.rows


class CommonJournal:
    """The one journal of a step that cannot be divided: its first user writes it, the others wait and then read it.

    Nothing is locked before the first look at the rows, so a worker without work here waits for nobody. If the writer
    dies, its lock is free and the next worker goes on where it stopped.
    """

    def __init__(self, path: Path, fingerprint: str) -> None:
        """Name the journal and what its rows belong to; see `Journal`."""
        self.path, self._fingerprint = path, fingerprint
        self._journal: Journal | None = None
        self._rows: dict[str, dict] | None = None

    @property
    def rows(self) -> dict[str, dict]:
        """Rows by id, once this worker writes the journal or another one has finished it."""
        if self._rows is None and not self._obtain():
            with Progress(f"waiting: another worker writes {self.path.stem}", 0, unit="kB", done=self._size()) as progress:
                while not self._obtain():
                    progress.advance(self._size() - progress.count)
                    time.sleep(POLL_SECONDS)
        return self._rows or {}

    def mine(self, parts: list[T]) -> list[T]:
        """Choose all parts: whoever writes does everything."""
        return parts

    def refresh(self) -> None:
        """Take in nothing: there is one writer at a time."""

    def append(self, rows: list[dict]) -> None:
        """Make a finished batch durable before it counts as done."""
        if self._journal is None:
            raise RuntimeError("a finished journal is only read")
        self._journal.append(rows)

    def _obtain(self) -> bool:
        """Take the rows of a finished journal, or its lock; False while another worker writes it."""
        if self._last_row():
            self._rows = read_rows(self.path, self._fingerprint)
            if _is_finished(self._rows):
                return True
        try:  # also one that was finished and is damaged: what does not hold is dropped, and made again
            self._journal = Journal(self.path, self._fingerprint, timeout=0.0)
        except Held:
            self._rows = None
            return False
        self._rows = self._journal.rows
        if _is_finished(self._rows):  # between the two looks
            self._close()
        return True

    def _last_row(self) -> bool:
        """Look for the last row at the file's end only: a journal may be large, and many workers look every second."""
        try:
            with open(self.path, "rb") as file:
                file.seek(max(0, self.path.stat().st_size - 200))
                lines = file.read().split(b"\n")
        except (FileNotFoundError, IsADirectoryError):  # the journal says of the latter what to do
            return False
        line = parse_line(lines[-2]) if len(lines) > 1 else None
        return line is not None and line.row.get("id") == FINISHED

    def _size(self) -> int:
        return self.path.stat().st_size // 1024 if self.path.is_file() else 0

    def _close(self) -> None:
        if self._journal:
            self._journal.close()
        self._journal = None

    def __enter__(self) -> "CommonJournal":
        """Return the journal."""
        return self

    def __exit__(self, kind: type | None, value: BaseException | None, trace: TracebackType | None) -> None:
        """Let the journal go; a step that ended well is finished for all workers."""
        if self._journal and kind is None:
            self._journal.append([{"id": FINISHED, "rows": len(self._journal.rows.keys() - {FINISHED})}])
        self._close()


def _is_finished(rows: dict[str, dict]) -> bool:
    return FINISHED in rows and rows[FINISHED].get("rows") == len(rows) - 1


def is_recorded(folder: Path, parts: dict[str, Any]) -> bool:
    """Tell whether another worker has recorded the stage; with other code or settings, that is a RecordError."""
    recorded = manifests.read_manifest(folder)
    if recorded and (reason := stale_reason(recorded["parts"], parts)):
        raise RecordError(
            f"The stage is recorded, but {reason}",
            where=manifests.short(folder),
            do="take another run (-p run NAME), or make the stage anew with isheep iterate --stale redo",
        )
    return recorded is not None


def turn_away(folder: Path) -> None:
    """End the notebook of a worker that comes when nothing is left to do, by SystemExit with 0, which papermill takes well."""
    print(f"{folder.parent.name}/{folder.name} is done and recorded in {manifests.short(folder)}: no shard is left to fill")
    raise SystemExit(0)


def finish(folder: Path) -> None:
    """Remove the unfinished work of a stage that is done."""
    for work in folder.glob(".work-*"):
        shutil.rmtree(work)
    for half in folder.glob(".*.partial"):  # of a process that was killed as it wrote
        half.unlink(missing_ok=True)


def leave(folder: Path, lock: RunLock | None) -> None:
    """Let the run go; once the stage is recorded, whoever leaves last removes its unfinished work. A runner holds the lock."""
    if lock is None:
        return
    if manifests.read_manifest(folder) and lock.is_last():  # other workers may still write or read their journals
        finish(folder)
    lock.release()
