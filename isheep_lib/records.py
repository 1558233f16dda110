"""Rows on disk: JSON lines in, JSON lines out, with file and line in every complaint.

A row of `examples.jsonl`:
    {"id": "i1-r0-p003-t2", "instruction": "Name three uses of salt.", "input": "", "output": "...", ...}

Covers reading, writing, hashing and the seed tasks. Does not cover where files lie (`store`) or
crash-safe appending (`journal`).
"""

import errno
import hashlib
import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from isheep_lib.errors import DataError, IsheepError, RecordError


@dataclass(frozen=True)
class Task:
    """An instruction with its optional input and, for seeds, a reference output."""

    id: str
    instruction: str
    input: str = ""
    output: str = ""
    kind: str = ""


def canonical_json(value: object) -> str:
    """Serialise so that equal values give equal text: sorted keys, no spaces, no NaN."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def digest_text(text: str) -> str:
    """Hash text as UTF-8 with SHA-256."""
    return hashlib.sha256(text.encode()).hexdigest()


def digest_file(path: Path) -> str:
    """Hash a file's bytes with SHA-256."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_atomic(path: Path, text: str) -> None:
    """Write a file so that readers see the old bytes or all of the new ones, also after a crash."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")  # two processes may write one cache
    try:
        with open(partial, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        publish(partial, path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise write_failure(path, error) from error


def publish(partial: Path, path: Path) -> None:
    """Move a finished file to its final name and make the move durable."""
    os.replace(partial, path)
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def write_failure(path: Path, error: OSError) -> IsheepError:
    """Explain a failed write; a full disk is the usual reason and loses nothing that was finished."""
    full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    return RecordError(
        f"{'The disk is full' if full else 'Writing failed'}: {error.strerror}",
        where=str(path),
        do="free some space and run the same command again: finished batches are kept and the stage resumes"
        if full
        else "check the folder's permissions and run the same command again",
    )


def write_jsonl(path: Path, rows: Iterable[dict]) -> None:
    """Write rows atomically, one canonical JSON object a line."""
    write_atomic(path, "".join(canonical_json(row) + "\n" for row in rows))


def read_jsonl(path: Path) -> list[dict]:
    """Read JSON objects line by line; every bad line is named at once."""
    return [row for _, row in read_numbered(path)]


def read_numbered(path: Path) -> list[tuple[int, dict]]:
    """Read JSON objects with their line numbers."""
    rows, problems = [], []
    for number, line in enumerate(_read_lines(path), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            problems.append(f"{path}:{number}: not JSON ({error.msg} at column {error.colno}): {line.strip()[:60]!r}")
            continue
        if isinstance(row, dict):
            rows.append((number, row))
        else:
            problems.append(f"{path}:{number}: expected an object, got {type(row).__name__}")
    if problems:
        raise _bad_rows(path, problems, "one JSON object a line")
    return rows


def _read_lines(path: Path) -> list[str]:
    try:
        # Not splitlines(): a model may write U+2028 or form feeds, which JSON leaves unescaped inside strings.
        return path.read_text(encoding="utf-8").split("\n")
    except FileNotFoundError as error:
        raise DataError(f"{path.name} does not exist", where=str(path), do="check the path") from error
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path.name} is not UTF-8 text (byte {error.start})", where=str(path), do="save it as UTF-8"
        ) from error


def _bad_rows(path: Path, problems: list[str], allowed: str) -> DataError:
    shown = "\n  ".join(problems[:20])
    more = f"\n  … and {len(problems) - 20} more" if len(problems) > 20 else ""
    return DataError(
        f"{len(problems)} bad row(s) in {path.name}:\n  {shown}{more}", allowed=allowed, do="mend or remove these rows"
    )


def _is_unicode(text: str) -> bool:
    """Tell text from lone surrogates, which JSON can spell and UTF-8 cannot write."""
    return not any("\ud800" <= letter <= "\udfff" for letter in text)


def load_seeds(path: Path) -> list[Task]:
    """Read seed tasks: `instruction` is required; `id`, `kind`, `input` and `output` are optional text.

    Raises:
        DataError: the file is absent or empty, or a row is not JSON, lacks an instruction, has a field that
            is not text, or repeats an id or an instruction with the same input. All such rows are listed.
    """
    tasks, problems, seen = [], [], {}
    for number, row in read_numbered(path):
        where = f"{path}:{number}"
        fields = {name: row.get(name, "") for name in ("id", "instruction", "input", "output", "kind")}
        wrong = [name for name, value in fields.items() if not isinstance(value, str) or not _is_unicode(value)]
        if wrong:
            problems.append(f"{where}: {', '.join(wrong)} must be text (valid Unicode)")
            continue
        task = Task(**{name: value.strip() for name, value in fields.items()})
        task = task if task.id else Task(**{**task.__dict__, "id": f"seed-{number:03d}"})
        if not task.instruction:
            problems.append(f"{where}: no instruction (fields: {', '.join(row) or 'none'})")
            continue
        for key in (("id", task.id), ("instruction", f"{task.instruction}\n{task.input}".lower())):
            if key in seen:
                problems.append(f"{where}: same {key[0]} as line {seen[key]}: {key[1][:60]!r}")
            seen.setdefault(key, number)
        tasks.append(task)
    if problems:
        raise _bad_rows(path, problems, "instruction (text), and optionally id, kind, input, output (text)")
    if not tasks:
        raise DataError(f"{path.name} holds no seed task", where=str(path), do="add rows with an instruction")
    return tasks
