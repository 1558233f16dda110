"""Seed tasks in the forms people have them: JSON lines, a JSON list, the Self-Instruct schema, parquet, a hub dataset.

    load_seeds("seeds/tasks.jsonl", [])
    load_seeds("mine/questions.parquet", ["instruction=question", "output=meta.answer"])
    load_seeds("org/name@<40-hex commit>#config/split", [])

Covers finding, reading, mapping and checking them. Does not cover whether they suffice (`session`).
"""

import difflib
import json
import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from isheep_lib import records
from isheep_lib.errors import DataError
from isheep_lib.provenance import project_root
from isheep_lib.records import TASK_FIELDS, Task

PARAMETER, MAPPING = "synthesize.seeds", "synthesize.seed_fields"
FORMS = "JSON lines, a JSON list of objects, or parquet"
FIELDS = "instruction (text), and optionally id, kind, input, output (text), or the Self-Instruct schema"
MEND = f"mend or remove these rows; fields of other names are told by {MAPPING}, such as instruction=question"
PINNED = "org/name@<40-hex commit>, with #config/split if need be"
DATASET = re.compile(r"(?P<repository>[\w.-]+/[\w.-]+)(?P<at>@(?P<commit>[^#]*))?(?:#(?P<config>[^/]*)(?:/(?P<split>.+))?)?")
FILE_NAMES = (".jsonl", ".json", ".parquet")
# Said by the Self-Instruct data of an instruction that needs none; an input of mere punctuation is one.
NO_INPUT = re.compile(r"\W*(?:no\s*input|none|n/?a)\W*", re.IGNORECASE)
SURROGATE = re.compile("[\ud800-\udfff]")
ABSENT = object()


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


def load_seeds(source: str, fields: list[str]) -> list[Task]:
    """Read seed tasks: an instruction is required; `id`, `kind`, `input` and `output` are optional text.

    A Self-Instruct row gives one task, with its first instance. A row without an id is named by its number.

    Args:
        source: a file, from the current folder or the clone's root, or a hub dataset pinned to a commit.
        fields: names of the fields in the source, ours=theirs (`records.parse_fields`).

    Raises:
        DataError: the source is absent, unreadable or empty, or a row is not an object, lacks an instruction, has a
            field that is not text, or repeats an id or an instruction with the same input. All such rows are listed.
    """
    mapping, found = records.parse_fields(fields), _open(source)
    if not found.rows:
        raise DataError(f"{found.name} holds no seed task", where=found.where, do="add rows with an instruction")
    _check_mapping(found, mapping)
    tasks, problems, seen = [], [], {}
    for row in found.rows:
        values, wrong = _read_row(row.content, mapping, found.is_table)
        task = Task(**{**values, "id": values["id"] or f"seed-{row.number:03d}"})
        if wrong := wrong or list(_repeats(task, seen, f"{found.unit} {row.number}")):
            problems.append(f"{row.place}: {'; '.join(wrong)}")
        tasks.append(task)
    if problems:
        raise records.bad_rows(found.name, problems, FIELDS, MEND)
    return tasks


def digest_seeds(source: str, fields: list[str]) -> str:
    """Hash what decides the seed tasks: a file's bytes, or the tasks of a dataset.

    Raises:
        DataError: the source is absent, or a dataset that `load_seeds` refuses.
    """
    path = _find(source)
    if path:
        return records.digest_file(path)
    return records.digest_text(records.canonical_json([vars(task) for task in load_seeds(source, fields)]))


def _find(source: str) -> Path | None:
    path = Path(source).expanduser()
    return next((p.resolve() for p in (path, project_root() / path) if p.is_file()), None)


def _open(source: str) -> Rows:
    path, named = _find(source), DATASET.fullmatch(source)
    if path:
        return _open_file(path)
    folder = any(place.is_dir() for place in (Path(source).expanduser(), project_root() / source))
    if folder or not named or (not named["at"] and Path(source).suffix in FILE_NAMES):
        raise DataError(
            f"{source} {'is a folder' if folder else 'does not exist'}",
            where=PARAMETER,
            allowed=f"a file ({FORMS}), or a hub dataset ({PINNED})",
            do=f"give a path from here or from {project_root()}",
        )
    if not re.fullmatch(r"[0-9a-f]{40}", named["commit"] or ""):
        raise DataError(
            f"{source!r} is not pinned to a commit, and no file here has this name",
            where=PARAMETER,
            allowed=PINNED,
            do="take the commit from the dataset's page, or give the path of a local file",
        )
    return _open_dataset(source, named["repository"], named["commit"], named["config"] or None, named["split"] or "train")


def _open_file(path: Path) -> Rows:
    with open(path, "rb") as file:
        start = file.read(4)
    if start == b"PAR1" or (start and path.suffix == ".parquet"):
        return _open_parquet(path)
    text = records.read_text(path)
    if text.lstrip().startswith("["):
        return _open_list(path, text)
    rows = [Row(number, f"{path}:{number}", row) for number, row in records.read_numbered(path, FORMS)]
    return Rows(path.name, str(path), "line", rows)


def _open_list(path: Path, text: str) -> Rows:
    """Read a JSON list; the line on which each item begins is looked up, as the parser does not tell it."""
    try:
        items = json.loads(text)
    except json.JSONDecodeError as error:
        problem = f"{path}:{error.lineno}: not JSON ({error.msg} at column {error.colno})"
        raise records.bad_rows(path.name, [problem], FORMS) from error
    decoder, between = json.JSONDecoder(), re.compile(r"[\s,]*")
    rows, problems, line, end = [], [], 1, text.index("[") + 1
    line += text.count("\n", 0, end)
    for number, item in enumerate(items, start=1):
        start = between.match(text, end).end()
        line += text.count("\n", end, start)
        place = f"{path}:{line}, item {number}"
        if isinstance(item, dict):
            rows.append(Row(number, place, item))
        else:
            problems.append(f"{place}: expected an object, got {type(item).__name__}")
        _, end = decoder.raw_decode(text, start)
        line += text.count("\n", start, end)
    if problems:
        raise records.bad_rows(path.name, problems, FORMS)
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
def _open_dataset(source: str, repository: str, commit: str, config: str | None, split: str) -> Rows:
    if Path(repository).exists():  # load_dataset would take it instead of the hub's
        what = f"A file or folder here has the dataset's name, {repository}"
        raise DataError(what, where=PARAMETER, do="start in another folder, or give the path of a file")
    import datasets
    from huggingface_hub.errors import HfHubHTTPError

    try:
        found = datasets.load_dataset(repository, config, split=split, revision=commit, keep_in_memory=False)
    # A wrong config or split is a ValueError, a dataset made by code of its own a RuntimeError.
    except (datasets.exceptions.DatasetsError, HfHubHTTPError, OSError, ValueError, RuntimeError) as error:
        raise DataError(
            f"{source} cannot be loaded ({type(error).__name__}: {_first_line(error)})",
            where=PARAMETER,
            allowed=PINNED,
            do="check the name, config and split and the network (HF_HUB_OFFLINE, HF_TOKEN), or give a local file",
        ) from error
    # Without the hub, load_dataset takes whatever commit the cache holds; the cache's folders are named by commit.
    if any(commit not in Path(file["filename"]).parts for file in found.cache_files):
        what = f"{repository} is in the local cache at another commit than {commit}, and the hub was not reached"
        raise DataError(what, where=PARAMETER, do="check the network (HF_HUB_OFFLINE), or give a local file")
    return _table(source, source, found.to_list())


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [""])[0]


def _table(name: str, where: str, contents: list[dict[str, Any]]) -> Rows:
    rows = [Row(number, f"{where}, row {number}", content) for number, content in enumerate(contents, start=1)]
    return Rows(name, where, "row", rows, is_table=True)


def _value_at(content: Any, path: str) -> Any:
    """Follow a dotted path into objects and lists; a field whose own name has dots comes first."""
    if path in content:
        return content[path]
    for step in path.split("."):
        if isinstance(content, dict) and step in content:
            content = content[step]
        elif isinstance(content, list) and step in map(str, range(len(content))):
            content = content[int(step)]
        else:
            return ABSENT
    return content


def _paths(content: Any, prefix: str = "") -> Iterator[str]:
    """Name everything that a mapping can point at; of a list, its first item."""
    inner = content.items() if isinstance(content, dict) else enumerate(content[:1]) if isinstance(content, list) else ()
    for name, value in inner:
        yield f"{prefix}{name}"
        yield from _paths(value, f"{prefix}{name}.")


def _check_mapping(found: Rows, mapping: dict[str, str]) -> None:
    """Refuse a mapping to fields that no row has, once for the whole source."""
    contents = [row.content for row in found.rows]
    absent = {o: t for o, t in mapping.items() if all(_value_at(content, t) is ABSENT for content in contents)}
    if not absent:
        return
    known = list(dict.fromkeys(path for content in contents for path in _paths(content)))
    lines = []
    for ours, theirs in absent.items():
        near = difflib.get_close_matches(theirs, known, n=1)
        lines.append(f"{ours}={theirs}: no row has {theirs!r}" + (f"; did you mean {near[0]!r}?" if near else ""))
    raise DataError(
        f"Fields that {found.name} does not have:\n  " + "\n  ".join(lines),
        where=f"{MAPPING}, {found.where}",
        allowed=_listed(known[:30]),
        do="name a field that the rows have, ours=theirs",
    )


def _read_row(content: dict[str, Any], mapping: dict[str, str], is_table: bool) -> tuple[dict[str, str], list[str]]:
    """Return the text of every field of a task, "" where it is absent, and what is wrong with the row."""
    names = {ours: mapping.get(ours, ours) for ours in TASK_FIELDS}
    problems: list[str] = []
    # A row or a mapping that says where input or output are has its instances for something else.
    by_instances = "instances" in content and not {"input", "output"} & {*content, *mapping}
    if by_instances:
        names |= {"input": "instances.0.input", "output": "instances.0.output"}
        problems += _instances_problems(content)
    values = dict.fromkeys(TASK_FIELDS, "")
    for ours, theirs in names.items():
        label = ours if ours == theirs else f"{ours} ({theirs})"
        value = _value_at(content, theirs)
        if value is ABSENT or (value is None and is_table):
            if ours == "instruction":
                problems.append(f"no {label}; the row has {_listed(content) or 'no fields'}")
            continue
        if ours == "id" and isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
            value = str(value)
        if not isinstance(value, str):
            problems.append(f"{label} must be text, it is {_kind(value)}")
        elif SURROGATE.search(value):
            problems.append(f"{label} must be valid Unicode, it holds half a character: {value[:60]!r}")
        elif ours == "instruction" and not value.strip():
            problems.append(f"no {label}; it is blank")
        else:
            values[ours] = value.strip()
    if by_instances:
        values["input"] = "" if NO_INPUT.fullmatch(values["input"]) else values["input"]
        values["kind"] = values["kind"] or ("classification" if content.get("is_classification") is True else "")
    return values, problems


def _instances_problems(content: dict[str, Any]) -> Iterator[str]:
    instances, flag = content["instances"], content.get("is_classification")
    if not isinstance(instances, list):
        yield f"instances must be a list of objects with input and output, it is {_kind(instances)}"
    elif not instances:
        yield "instances is empty, it must hold an object with input and output"
    elif not isinstance(instances[0], dict):
        yield f"instances.0 must be an object with input and output, it is {_kind(instances[0])}"
    if flag is not None and not isinstance(flag, bool):
        yield f"is_classification must be true or false, it is {_kind(flag)}"


def _repeats(task: Task, seen: dict[tuple[str, str], str], place: str) -> Iterator[str]:
    """Compare a task with earlier ones by id, and by instruction and input in lower case; then remember it."""
    both = f"{task.instruction}\n{task.input}".lower()
    what = "instruction and input" if task.input else "instruction"
    for key, name, shown in (("id", task.id), "id", task.id), (("task", both), what, task.instruction):
        if key in seen:
            yield f"same {name} as {seen[key]}: {shown[:60]!r}"
        seen.setdefault(key, place)


def _kind(value: object) -> str:
    """Name a value's kind as JSON does."""
    names = {bool: "true or false", int: "a number", float: "a number", str: "text", list: "a list", dict: "an object"}
    return "null" if value is None else names.get(type(value), type(value).__name__)


def _listed(names: Iterable[str]) -> str:
    """List names of fields, safe to print."""
    return ", ".join(name if name.isprintable() else repr(name) for name in names)
