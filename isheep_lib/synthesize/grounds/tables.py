"""Tables: small data sets, each a file of rows with a description of its columns and its licence beside it.

    load_tables("seeds/tables", "synthesize.options.tables")[0].columns["tone"].type      # "category"

`name.jsonl` holds the rows, one object a line; `name.yaml` describes them:
    name, summary, source, licence (text), and columns: a mapping of each column to its type, its meaning and, of a category,
    its values.
Covers reading and checking that rows are as described. Does not cover what is written from a table (the methods).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from isheep_lib.errors import DataError
from isheep_lib.params.check import check
from isheep_lib.params.kinds import Section
from isheep_lib.params.yaml_file import read_yaml
from isheep_lib.reading.files import FOLDER, what_lies_at
from isheep_lib.record.provenance import expanded, project_root
from isheep_lib.record.rows import bad_rows, canonical_json, digest_text
from isheep_lib.record.sources import Row, read_rows

Type = Literal["text", "category", "integer", "number", "boolean"]
PYTHON: dict[str, tuple[type, ...]] = {
    "text": (str,),
    "category": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
}


class Column(Section):
    """One column: what its values are, and what they mean."""

    type: Type = Field(description="what the values are")
    meaning: str = Field(description="what a value says, in a few words", min_length=1)
    values: list[str] = Field([], description="of a category: all values")


class Description(Section):
    """What is said of a table."""

    name: str = Field(description="the file's name without its ending", min_length=1)
    summary: str = Field(description="what the rows are, in a sentence", min_length=1)
    source: str = Field(description="where they come from", min_length=1)
    licence: str = Field(description="under which they may be used", min_length=1)
    columns: dict[str, Column] = Field(description="each column by its name", min_length=1)

    def conflicts(self) -> list[str]:
        """Name categories without values, and values of what is none."""
        problems = super().conflicts()
        for name, column in self.columns.items():
            if (column.type == "category") != bool(column.values):
                problems.append(f"columns.{name}.values: a category names its values, any other column none")
        return problems


@dataclass(frozen=True)
class DataSet:
    """One table: its description, and its rows with a value for every column."""

    description: Description
    rows: list[dict[str, Any]]

    @property
    def columns(self) -> Mapping[str, Column]:
        """The columns by name."""
        return self.description.columns


def load_tables(folder: str, parameter: str) -> list[DataSet]:
    """Read all tables of a folder, in the order of their names.

    Args:
        folder: from the current folder or the clone's root.
        parameter: that names it, for errors.

    Raises:
        DataError, ParameterError: there is no table, rows or a description are missing, or a row is not as described; all
            such rows of a table are listed.
    """
    root = next((p for p in (expanded(folder), project_root() / folder) if what_lies_at(p) == FOLDER), None)
    described = sorted(root.glob("*.yaml")) if root else []
    if not described:
        what = f"{folder} holds no table" if root else f"{folder} is no folder"
        raise DataError(what, where=parameter, allowed="a folder of pairs name.yaml and name.jsonl", do="check the path")
    return [_load(path, parameter) for path in described]


def digest_tables(folder: str, parameter: str) -> str:
    """Hash the tables of a folder, descriptions and rows."""
    found = load_tables(folder, parameter)
    return digest_text(canonical_json([[table.description.model_dump(), table.rows] for table in found]))


def texts_of(table: DataSet) -> dict[str, str]:
    """Return every row as one text, by the table's name and the row's number: what decontamination looks at."""
    name = table.description.name
    return {f"{name}-{n:03d}": "; ".join(f"{k}: {v}" for k, v in row.items()) for n, row in enumerate(table.rows, start=1)}


def _load(path: Path, parameter: str) -> DataSet:
    values, lines = read_yaml(path)
    description = check(Description, values, str(path), lines)
    if description.name != path.stem:
        what = f"The table in {path.name} is named {description.name!r}"
        raise DataError(what, where=f"{path}, name", allowed=path.stem, do="name it like its file")
    found = read_rows(str(path.with_suffix(".jsonl")), parameter)
    problems = [*found.problems, *((row.number, said) for row in found.rows if (said := _wrong(row, description)))]
    if problems or not found.rows:
        told = [problem for _, problem in sorted(problems)] or ["no rows"]
        raise bad_rows(found.name, told, f"the columns that {path.name} describes: {', '.join(description.columns)}")
    return DataSet(description, [{name: row.content[name] for name in description.columns} for row in found.rows])


def _wrong(row: Row, description: Description) -> str:
    """Say how a row is not as its columns are described, "" if it is."""
    lacking = [name for name in description.columns if name not in row.content]
    unknown = [name for name in row.content if name not in description.columns]
    said = [f"no {', '.join(lacking)}"] if lacking else []
    said += [f"unknown: {', '.join(unknown)}"] if unknown else []
    for name, column in description.columns.items():
        value = row.content.get(name)
        if name in row.content and not _fits(value, column):
            wanted = f"one of {', '.join(column.values)}" if column.values else f"of the type {column.type}"
            said.append(f"{name}: {value!r:.60} should be {wanted}")
    return f"{row.place}: {'; '.join(said)}" if said else ""


def _fits(value: object, column: Column) -> bool:
    right = isinstance(value, PYTHON[column.type]) and (column.type == "boolean") == isinstance(value, bool)
    return right and (not column.values or value in column.values)
