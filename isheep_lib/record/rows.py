"""Rows on disk: JSON lines in, JSON lines out, with file and line in every complaint.

A row of `examples.jsonl`:
    {"id": "i1-r0-p003-t2", "instruction": "Name three uses of salt.", "input": "", "output": "...", ...}

Covers reading, writing, hashing, and what a task is. Does not cover seed tasks (`synthesize.seeds`), where files lie
(`record.manifests`) or crash-safe appending (`record.journal`).
"""

import contextlib
import errno
import hashlib
import json
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from isheep_lib.errors import DataError, IsheepError, RecordError
from isheep_lib.reading.files import read_text
from isheep_lib.reading.strict_json import NotJsonError, parse_json
from isheep_lib.server_key import struck

T = TypeVar("T")


@dataclass(frozen=True)
class Task:
    """An instruction with its optional input and, for seeds, a reference output."""

    id: str
    instruction: str
    input: str = ""
    output: str = ""
    kind: str = ""


@dataclass(frozen=True)
class Pair:
    """A task with the response that a model wrote, one row of `examples.jsonl`."""

    id: str
    instruction: str
    input: str  # "" for none
    output: str  # the response
    finish: str = "end"  # why the response ended: "end", "stop" or "length"
    num_tokens: int = 0  # generated tokens of the response
    # The row's other fields, what the pair was made from: demonstrations, parents, operator, document.
    lineage: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> "Pair":
        """Read a row; fields that are not the pair's own are its lineage."""
        own = {name: row[name] for name in PAIR_FIELDS if name in row}
        return cls(**own, lineage={name: value for name, value in row.items() if name not in own})

    def as_row(self) -> dict[str, Any]:
        """Return the row that `from_row` reads as this pair."""
        return {**self.lineage, **{name: getattr(self, name) for name in PAIR_FIELDS}}

    @property
    def task(self) -> Task:
        """The task alone."""
        return Task(self.id, self.instruction, self.input)

    @property
    def task_id(self) -> str:
        """The id of the task, which is the pair's own where the task has one answer."""
        return self.lineage.get("task", self.id)


def as_pairs(rows: Iterable[Mapping[str, Any]]) -> list[Pair]:
    """Read rows as pairs."""
    return [Pair.from_row(row) for row in rows]


def task_of(row: Mapping[str, Any]) -> str:
    """Name the task of a row, which has the row's own id where it has one answer."""
    return row.get("task", row["id"])


def first_of_each(rows: Iterable[T], group: Callable[[T], str]) -> list[T]:
    """Return the first row of each group, such as of each task, in their order."""
    found: dict[str, T] = {}
    for row in rows:
        found.setdefault(group(row), row)
    return list(found.values())


SURROGATE = re.compile("[\ud800-\udfff]")  # half a character, which no UTF-8 text holds
PAIR_FIELDS = ("id", "instruction", "input", "output", "finish", "num_tokens")
TASK_FIELDS = tuple(f.name for f in fields(Task))


def parse_fields(
    pairs: Sequence[str], known: Sequence[str] = TASK_FIELDS, example: str = "instruction=question"
) -> dict[str, str]:
    """Read a mapping of fields, ours=theirs: ["instruction=question"] gives {"instruction": "question"}.

    Theirs may be a path into nested objects and lists: meta.prompt, messages.0.content. `known` are our fields.

    Raises:
        ValueError: a pair has another form, ours is none of our fields, or ours comes twice. All such pairs are named.
    """
    named: dict[str, str] = {}
    problems = []
    for pair in pairs:
        ours, equals, theirs = (part.strip() for part in pair.partition("="))
        if not equals or not theirs:
            problems.append(f"{pair!r} should have the form ours=theirs, such as {example}")
        elif ours not in known:
            problems.append(f"{pair!r}: {ours!r} should be one of {', '.join(known)}")
        elif ours in named:
            problems.append(f"{pair!r}: {ours} is named twice")
        else:
            named[ours] = theirs
    if problems:
        raise ValueError("; ".join(problems))
    return named


def canonical_json(value: object) -> str:
    """Serialise so that equal values give equal text: sorted keys, no spaces, no NaN."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def shown(text: str) -> str:
    """Write a text from a file, or a file's name, on one line that no terminal chokes on or obeys."""
    return text if text.isprintable() else ascii(text)[1:-1]


def digest_text(text: str) -> str:
    """Hash text as UTF-8 with SHA-256."""
    return hashlib.sha256(text.encode()).hexdigest()


def digest_file(path: Path) -> str:
    """Hash a file's bytes with SHA-256, once in this process as long as inode, size and times of the file stay the same."""
    now = path.stat()
    return _digest_of(path, now.st_dev, now.st_ino, now.st_size, now.st_mtime_ns, now.st_ctime_ns)


@cache
def _digest_of(path: Path, *_: int) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def forget_digests() -> None:
    """Make `digest_file` read every file again."""
    _digest_of.cache_clear()


def write_atomic(path: Path, content: str | bytes) -> None:
    """Write a file, text as UTF-8, so that readers see the old bytes or all of the new ones, also after a crash."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")  # two processes may write one cache
    try:
        make_folder(path.parent)
        partial.write_bytes(struck(content).encode() if isinstance(content, str) else content)
        publish(partial, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            partial.unlink()
        raise write_failure(path, error) from error


def publish(partial: Path, path: Path) -> None:
    """Move a finished file to its final name, its bytes and the move durable: a power loss leaves the old file or this one."""
    make_durable(partial)
    os.replace(partial, path)
    make_durable(path.parent)


def make_folder(folder: Path) -> Path:
    """Make a folder and those above it, so that a power loss does not take them away with what is put there.

    Raises:
        IsheepError: why that cannot be.
    """
    try:
        new = [each for each in (folder, *folder.parents) if not each.exists()]
        folder.mkdir(parents=True, exist_ok=True)
        for each in new:
            make_durable(each.parent)
    except OSError as error:
        raise write_failure(folder, error) from error
    return folder


def make_durable(path: Path) -> None:
    """Wait until a file's bytes, or a folder's names, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_failure(path: Path, error: OSError) -> IsheepError:
    """Explain a failed write; a full disk is the usual reason and loses nothing that was finished."""
    full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    return RecordError(
        f"{'The disk is full' if full else 'Writing failed'}: {error.strerror}",
        where=str(path),
        do="free some space and run the same command again: finished batches are kept and the stage resumes"
        if full
        else "check the folder's permissions, or choose another place, and run the command again",
    )


def write_jsonl(path: Path, rows: Iterable[dict]) -> None:
    """Write rows atomically, one canonical JSON object a line."""
    write_atomic(path, "".join(canonical_json(row) + "\n" for row in rows))


def read_jsonl(path: Path) -> list[dict]:
    """Read JSON objects line by line; every bad line is named at once."""
    return [row for _, row in read_numbered(path)]


def read_numbered(
    path: Path, allowed: str = "one JSON object a line", wrong: Callable[[dict], list[str]] = lambda row: []
) -> list[tuple[int, dict]]:
    """Read JSON objects with their line numbers; `allowed` is said of a file with bad lines, `wrong` names faults of a row."""
    rows, problems = number_lines(read_text(path), path, wrong)
    if problems:
        raise bad_rows(path.name, [problem for _, problem in problems], allowed)
    return rows


def number_lines(
    text: str, path: Path, wrong: Callable[[dict], list[str]] = lambda row: []
) -> tuple[list[tuple[int, dict]], list[tuple[int, str]]]:
    """Read JSON objects with their line numbers, and what is wrong with other lines, also with their numbers."""
    rows, problems = [], []
    # Not splitlines(): a model may write U+2028 or form feeds, which JSON leaves unescaped inside strings.
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = parse_json(line)
        except NotJsonError as error:
            at = "" if error.position is None else f" at column {error.position + 1}"
            problems.append((number, f"{path}:{number}: not JSON ({error.reason}{at}): {line.strip()[:60]!r}"))
            continue
        found = wrong(row) if isinstance(row, dict) else [f"expected an object, got {type(row).__name__}"]
        problems += [(number, f"{path}:{number}: {what}") for what in found]
        if isinstance(row, dict):
            rows.append((number, row))
    return rows, problems


def bad_rows(name: str, problems: list[str], allowed: str, do: str = "mend or remove these rows") -> DataError:
    """Make one error of all bad rows of a file; 20 are shown."""
    shown = "\n  ".join(problems[:20])
    more = f"\n  … and {len(problems) - 20} more" if len(problems) > 20 else ""
    return DataError(f"{len(problems)} bad row(s) in {name}:\n  {shown}{more}", allowed=allowed, do=do)
