"""Rows in the forms people have them: JSON lines, a JSON list, parquet, a hub dataset pinned to a commit.

    open_rows("mine/questions.parquet", "synthesize.seeds")
    open_rows("org/name@<40-hex commit>#config/split", "evaluate.data")

Covers finding and reading. Does not cover what the rows mean (`synthesize.seeds`, `benchmarks.data`).
"""

import json
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from isheep_lib.errors import DataError
from isheep_lib.record.provenance import find_file, project_root
from isheep_lib.record.rows import bad_rows, read_numbered, read_text

FORMS = "JSON lines, a JSON list of objects, or parquet"
PINNED = "org/name@<40-hex commit>, with #config/split if need be"
DATASET = re.compile(r"(?P<repository>[\w.-]+/[\w.-]+)(?P<at>@(?P<commit>[^#]*))?(?:#(?P<config>[^/]*)(?:/(?P<split>.+))?)?")
FILE_NAMES = (".jsonl", ".json", ".parquet")


@dataclass(frozen=True)
class Row:
    """A row as it was found: its number, where that is in words, and its content."""

    number: int
    place: str
    content: dict[str, Any]


@dataclass(frozen=True)
class Rows:
    """All rows of a source; `unit` is what a row is called there. In a table every row has every column, null or not."""

    name: str
    where: str
    unit: str
    rows: list[Row]
    is_table: bool = False


def open_rows(source: str, parameter: str) -> Rows:
    """Read all rows of a source: a file, from the current folder or the clone's root, or a hub dataset pinned to a commit.

    Raises:
        DataError: it is absent, unreadable, not pinned, or has rows that are no objects; all such rows are listed.
    """
    if path := find_file(source):
        return _open_file(path)
    folder, named = _is_folder(source), dataset_named(source)
    if not named:
        raise DataError(
            f"{source} {'is a folder' if folder else 'does not exist'}",
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
    """Take the name of a hub dataset apart, None where a source is a file or folder here or looks like a file's name."""
    named = DATASET.fullmatch(source)
    if not named or find_file(source) or _is_folder(source) or (not named["at"] and Path(source).suffix in FILE_NAMES):
        return None
    return named


def _is_folder(source: str) -> bool:
    return any(place.is_dir() for place in (Path(source).expanduser(), project_root() / source))


def _open_file(path: Path) -> Rows:
    with open(path, "rb") as file:
        start = file.read(4)
    if start == b"PAR1" or (start and path.suffix == ".parquet"):
        return _open_parquet(path)
    text = read_text(path)
    if text.lstrip().startswith("["):
        return _open_list(path, text)
    rows = [Row(number, f"{path}:{number}", row) for number, row in read_numbered(path, FORMS)]
    return Rows(path.name, str(path), "line", rows)


def _open_list(path: Path, text: str) -> Rows:
    """Read a JSON list; the line on which each item begins is looked up, as the parser does not tell it."""
    try:
        items = json.loads(text)
    except json.JSONDecodeError as error:
        problem = f"{path}:{error.lineno}: not JSON ({error.msg} at column {error.colno})"
        raise bad_rows(path.name, [problem], FORMS) from error
    decoder, between = json.JSONDecoder(), re.compile(r"[\s,]*")
    rows, problems, line, end = [], [], 1, text.index("[") + 1
    line += text.count("\n", 0, end)
    for number, item in enumerate(items, start=1):
        gap = between.match(text, end)
        start = gap.end() if gap else end
        line += text.count("\n", end, start)
        place = f"{path}:{line}, item {number}"
        if isinstance(item, dict):
            rows.append(Row(number, place, item))
        else:
            problems.append(f"{place}: expected an object, got {type(item).__name__}")
        _, end = decoder.raw_decode(text, start)
        line += text.count("\n", start, end)
    if problems:
        raise bad_rows(path.name, problems, FORMS)
    return Rows(path.name, str(path), "item", rows)


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
    return Rows(name, where, "row", rows, is_table=True)
