"""Rows in the forms people have them: JSON lines, a JSON list, CSV, TSV, parquet, a hub dataset pinned to a commit.

    open_rows("mine/questions.parquet", "synthesize.seeds")
    open_rows("org/name@<40-hex commit>#config/split", "evaluate.data")

Covers finding and reading. Does not cover what the rows mean (`synthesize.seeds`, `benchmarks.data`).
"""

import re
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from isheep_lib.errors import DataError
from isheep_lib.reading.delimited import ENDINGS as DELIMITED
from isheep_lib.reading.delimited import read_delimited
from isheep_lib.reading.files import ENDINGS as PACKED
from isheep_lib.reading.files import read_text
from isheep_lib.reading.strict_json import NotJsonError, parse_json, parse_next
from isheep_lib.record.provenance import find_file, project_root, why_no_file
from isheep_lib.record.rows import bad_rows, number_lines

FORMS = "JSON lines, a JSON list of objects, CSV or TSV with a line of column names, or parquet; also as .gz or .zst"
PINNED = "org/name@<40-hex commit>, with #config/split if need be"
DATASET = re.compile(r"(?P<repository>[\w.-]+/[\w.-]+)(?P<at>@(?P<commit>[^#]*))?(?:#(?P<config>[^/]*)(?:/(?P<split>.+))?)?")
FILE_NAMES = (".jsonl", ".json", ".csv", ".tsv", ".parquet", ".gz", ".zst")


@dataclass(frozen=True)
class Row:
    """A row as it was found: its number, where that is in words, and its content."""

    number: int
    place: str
    content: dict[str, Any]


@dataclass(frozen=True)
class Rows:
    """All rows of a source; `unit` is what a row is called there, `problems` name those that are none, with their numbers."""

    name: str
    where: str
    unit: str
    rows: list[Row]
    problems: list[tuple[int, str]] = field(default_factory=list)


def open_rows(source: str, parameter: str) -> Rows:
    """Read all rows of a source: a file, from the current folder or the clone's root, or a hub dataset pinned to a commit.

    Raises:
        DataError: it is absent, unreadable, not pinned, or has rows that are no objects; all such rows are listed.
    """
    found = read_rows(source, parameter)
    if found.problems:
        raise bad_rows(found.name, [problem for _, problem in found.problems], FORMS)
    return found


def read_rows(source: str, parameter: str) -> Rows:
    """Read a source as `open_rows` does, for a caller that has more to say of its rows: those that are bad are `problems`."""
    if path := find_file(source):
        return _open_file(path)
    why, named = why_no_file(source), dataset_named(source)
    if not named:
        raise DataError(
            f"{source} {why}",
            where=parameter,
            allowed=f"a file ({FORMS}), or a hub dataset ({PINNED})",
            do=f"give a path from here or from {project_root()}",
        )
    if not re.fullmatch(r"[0-9a-f]{40}", named["commit"] or ""):
        raise DataError(
            f"{source!r} is not pinned to a commit, and no file here has this name",
            where=parameter,
            allowed=PINNED,
            do="take the commit from the dataset's page, or give the path of a local file",
        )
    return _open_dataset(
        source, named["repository"], named["commit"], named["config"] or None, named["split"] or "train", parameter
    )


def dataset_named(source: str) -> re.Match[str] | None:
    """Take the name of a hub dataset apart, None where something of this name lies here or it looks like a file's name."""
    named = DATASET.fullmatch(source)
    if not named or why_no_file(source) != "does not exist" or (not named["at"] and Path(source).suffix in FILE_NAMES):
        return None
    return named


def _open_file(path: Path) -> Rows:
    with open(path, "rb") as file:
        start = file.read(4)
    if start == b"PAR1" or (start and path.suffix == ".parquet"):
        return _open_parquet(path)
    text = read_text(path)
    ending = (Path(path.stem).suffix if path.suffix in PACKED else path.suffix).lower()
    if ending in DELIMITED:
        return _open_delimited(path, text, ending)
    if text.lstrip().startswith("["):
        return _open_list(path, text)
    numbered, problems = number_lines(text, path)
    if problems and not numbered and (names := _one_object(text)):
        what = f"{path}: one object, not a list of them; it has {names}"
        return Rows(path.name, str(path), "line", [], [(1, what)])
    rows = [Row(number, f"{path}:{number}", row) for number, row in numbered]
    return Rows(path.name, str(path), "line", rows, problems)


def _one_object(text: str) -> str:
    """Name the fields of an object that is a whole file, "" for any other text."""
    try:
        found = parse_json(text)
    except NotJsonError:
        return ""
    return ", ".join(map(repr, list(found)[:20])) if isinstance(found, dict) else ""


def _open_delimited(path: Path, text: str, ending: str) -> Rows:
    found, problems = read_delimited(text, ending)
    rows = [Row(number, f"{path}:{line}", content) for number, (line, content) in enumerate(found, start=1)]
    return Rows(path.name, str(path), "row", rows, [(line, f"{path}:{line}: {what}") for line, what in problems])


def _open_list(path: Path, text: str) -> Rows:
    """Read a JSON list item by item, each with the line on which it begins, as far as it is clear where items end."""
    rows: list[Row] = []
    problems: list[tuple[int, str]] = []
    line, counted, end, closing = 1, 0, text.index("[") + 1, ","
    number = 0
    while closing == ",":
        number += 1
        start = _after_space(text, end)
        if number == 1 and text.startswith("]", start):
            end = start + 1
            break
        line, counted = line + text.count("\n", counted, start), start
        place = f"{path}:{line}, item {number}"
        try:
            item, end = parse_next(text, start)
            if isinstance(item, dict):
                rows.append(Row(number, place, item))
            else:
                problems.append((number, f"{place}: expected an object, got {type(item).__name__}"))
        except NotJsonError as error:
            problems.append((number, _not_json(path, place, text, error)))
            if error.end is None:
                return Rows(path.name, str(path), "item", rows, problems)
            end = error.end
        end = _after_space(text, end)
        closing, end = text[end : end + 1], end + 1
        if closing not in (",", "]"):
            problems.append((number, _not_json(path, place, text, NotJsonError("Expecting ',' delimiter", end - 1))))
    if closing in (",", "]") and text[end:].strip():
        problems.append((number, _not_json(path, "", text, NotJsonError("Extra data", _after_space(text, end)))))
    return Rows(path.name, str(path), "item", rows, problems)


def _after_space(text: str, start: int) -> int:
    found = re.compile(r"[ \t\r\n]*").match(text, start)
    return found.end() if found else start


def _not_json(path: Path, place: str, text: str, error: NotJsonError) -> str:
    if error.position is None:
        unread = "" if error.end else "; what follows was not read"
        return f"{place}: not JSON ({error.reason}){unread}"
    line, column = text.count("\n", 0, error.position) + 1, error.position - text.rfind("\n", 0, error.position)
    return f"{path}:{line}: not JSON ({error.reason} at column {column}); what follows was not read"


def _open_parquet(path: Path) -> Rows:
    import pyarrow
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(path) as file:
            contents = file.read().to_pylist()
    except (pyarrow.ArrowException, OSError, ValueError, OverflowError) as error:  # a value may have no Python form
        raise DataError(
            f"{path.name} is no parquet file that can be read: {_first_line(error)}",
            where=str(path),
            allowed=FORMS,
            do="save it again, or name it by its form (.jsonl, .json)",
        ) from error
    return _table(path.name, str(path), contents)


@cache  # a commit does not change, and a run asks for the fingerprint often
def _open_dataset(source: str, repository: str, commit: str, config: str | None, split: str, parameter: str) -> Rows:
    if Path(repository).exists():  # load_dataset would take it instead of the hub's
        what = f"A file or folder here has the dataset's name, {repository}"
        raise DataError(what, where=parameter, do="start in another folder, or give the path of a file")
    import datasets
    from datasets.exceptions import DatasetsError
    from huggingface_hub.errors import HfHubHTTPError

    try:
        found = datasets.load_dataset(repository, config, split=split, revision=commit, keep_in_memory=False)
    # A wrong config or split is a ValueError, a dataset made by code of its own a RuntimeError.
    except (DatasetsError, HfHubHTTPError, OSError, ValueError, RuntimeError) as error:
        raise DataError(
            f"{source} cannot be loaded ({type(error).__name__}: {_first_line(error)})",
            where=parameter,
            allowed=PINNED,
            do="check the name, config and split and the network (HF_HUB_OFFLINE, HF_TOKEN), or give a local file",
        ) from error
    # Without the hub, load_dataset takes whatever commit the cache holds; the cache's folders are named by commit.
    if any(commit not in Path(file["filename"]).parts for file in found.cache_files):
        what = f"{repository} is in the local cache at another commit than {commit}, and the hub was not reached"
        raise DataError(what, where=parameter, do="check the network (HF_HUB_OFFLINE), or give a local file")
    return _table(source, source, found.to_list())


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [""])[0]


def _table(name: str, where: str, contents: list[dict[str, Any]]) -> Rows:
    rows = [Row(number, f"{where}, row {number}", content) for number, content in enumerate(contents, start=1)]
    return Rows(name, where, "row", rows)
