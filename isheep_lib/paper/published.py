"""The number tables and headline claims of the I-SHEEP paper, as published.

`table("1").rows[1]["alpaca_eval"]` is 1.51 (Qwen1.5-1.8B, iter1); `claims()[0].recomputed` is 78.16.

Covers reading the files of `published` and computing headline claims again. Does not cover judging the numbers
(`paper.audit`). Table 6 shows texts, no numbers.
"""

import csv
import functools
import io
import re
from dataclasses import dataclass
from pathlib import Path

from isheep_lib.errors import DataError
from isheep_lib.reading.files import read_text
from isheep_lib.record.rows import bad_rows

FOLDER = Path(__file__).parent / "published"
PERCENT, GRADE = "%", "1 to 10"
CATEGORIES = ("role_play", "coding", "extraction", "humanities", "math", "reasoning", "stem", "writing")
HALF = 0.5 + 1e-6  # of a stated number's last digit; the sum of decimals is not exact
Cell = str | float | None


@dataclass(frozen=True)
class Published:
    """One table of the paper; `rows` hold its key columns as text and its values as numbers, None where not reported."""

    number: str
    title: str
    keys: tuple[str, ...]
    values: tuple[str, ...]
    rows: tuple[dict[str, Cell], ...]
    file: str


@dataclass(frozen=True)
class Column:
    """What a number measures, a line of columns.csv."""

    title: str
    unit: str = PERCENT  # "%" or "1 to 10"
    benchmark: str = ""  # name in our catalogue, "" where it has none
    metric: str = ""  # our metric for it
    number_of_items: int | None = None  # what a percentage is a share of, where it is known; None else
    note: str = ""  # where our measure differs from the paper's


def read_rows(path: Path, keys: tuple[str, ...], values: tuple[str, ...] = ()) -> list[dict[str, Cell]]:
    """Read some columns of a CSV file: keys as text, values as numbers, None where a value is empty.

    Raises:
        DataError: a column is absent, a row is longer or shorter than the header, repeats its keys or holds no number
            where one belongs. All such rows are named.
    """
    reader = csv.reader(io.StringIO(read_text(path), newline=""))
    header = next(reader, [])
    if absent := [name for name in (*keys, *values) if name not in header]:
        raise DataError(f"{path.name} lacks the column(s) {', '.join(absent)}", where=str(path), do="take the committed file")
    rows: list[dict[str, Cell]] = []
    problems, seen = [], {}
    for fields in reader:
        place = f"{path}:{reader.line_num}"
        if len(fields) != len(header):
            problems.append(f"{place}: {len(fields)} field(s), the header has {len(header)}")
            continue
        texts = dict(zip(header, fields, strict=True))
        wrong = [f"{name} {texts[name]!r} is no number" for name in values if not _is_number(texts[name])]
        name = " ".join(texts[key] for key in keys)
        if name in seen:
            wrong.append(f"{name!r} stands on line {seen[name]} already")
        seen[name] = reader.line_num
        problems += [f"{place}: {text}" for text in wrong]
        if not wrong:
            numbers: dict[str, Cell] = {key: float(texts[key]) if texts[key] else None for key in values}
            rows.append({key: texts[key] for key in keys} | numbers)
    if problems:
        raise bad_rows(path.name, problems, "numbers with a decimal point, empty where not reported", "take the committed file")
    return rows


def _is_number(text: str) -> bool:
    return re.fullmatch(r"(-?[0-9]+(\.[0-9]+)?)?", text) is not None


def _texts(file: str, *keys: str) -> list[dict[str, str]]:
    return [{key: str(value) for key, value in row.items()} for row in read_rows(FOLDER / file, keys)]


def _columns(of: str) -> dict[str, Column]:
    """Return what the columns of Table 1 ("main"), of Table 12 ("turn") or the rows of Tables 7 to 10 ("dataset") measure."""
    rows = _texts("columns.csv", "name", "of", "title", "unit", "benchmark", "metric", "number_of_items", "note")
    return {
        row["name"]: Column(
            *(row[key] for key in ("title", "unit", "benchmark", "metric")),
            int(row["number_of_items"]) if row["number_of_items"] else None,
            row["note"],
        )
        for row in rows
        if of in row["of"].split()
    }


MAIN, DATASETS = _columns("main"), _columns("dataset")
COLUMNS = MAIN | _columns("turn")
IFEVAL = tuple(name for name in MAIN if name.startswith("ifeval"))
_TABLES = {row["number"]: row for row in _texts("tables.csv", "number", "title", "file", "keys", "values")}
NUMBERS = tuple(_TABLES)
PROMPTS, INSTRUCTIONS = 541, 834  # of IFEval; one to three instructions per prompt


def measure(row: dict[str, Cell], column: str) -> Column:
    """Say what a cell measures: in Tables 7 to 10 its row decides, elsewhere its column."""
    return DATASETS[str(row["dataset"])] if "dataset" in row else COLUMNS[column]


@functools.cache
def table(number: str) -> Published:
    """Return a table of the paper.

    Raises:
        DataError: its file is absent or damaged; bad lines are all named.
    """
    if number not in _TABLES:
        raise DataError(f"Table {number!r} holds no numbers", allowed=", ".join(NUMBERS), do="name one of these tables")
    facts = _TABLES[number]
    keys, values = (tuple(facts[part].split()) for part in ("keys", "values"))
    rows = read_rows(FOLDER / facts["file"], keys, values)
    return Published(number, facts["title"], keys, values, tuple(rows), facts["file"])


@dataclass(frozen=True)
class Claim:
    """A headline claim beside what Table 1 gives for it."""

    name: str  # of the claim in claims.csv
    title: str
    kind: str  # "relative" (percent of the earlier value) or "absolute" (percentage points)
    stated: float  # the paper's number
    recomputed: float  # ours, from the cells
    cells: tuple[tuple[str, str, float], ...]  # row, column and value, two for each part
    formula: str  # the computation as text
    parts: dict[str, float]  # the change in each column; the claim is their mean
    holds: bool  # both agree within the rounding of the stated digits


def claims() -> list[Claim]:
    """Return every headline claim, computed again from Table 1.

    Raises:
        DataError: claims.csv is damaged, or names a cell that Table 1 has not.
    """
    keys = ("name", "title", "kind", "stated", "model", "after", "before", "columns")
    return [recompute(claim, table("1")) for claim in _texts("claims.csv", *keys)]


def change(kind: str, after: float, before: float) -> float:
    """Return a change in percent of the earlier value where the claim is relative, else in points."""
    return 100 * (after / before - 1) if kind == "relative" else after - before


def recompute(claim: dict[str, str], main: Published) -> Claim:
    """Compute one row of claims.csv from Table 1."""
    kinds = {"relative": "{after:.2f} / {before:.2f} − 1", "absolute": "{after:.2f} − {before:.2f}"}
    if claim["kind"] not in kinds:
        raise DataError(f"{claim['kind']!r} is no kind of claim", where="claims.csv", allowed=", ".join(kinds))
    cells, parts, texts = [], {}, []
    for column in claim["columns"].split():
        rows = {step: f"{claim['model']} {claim[step]}" for step in ("after", "before")}
        found = {step: _value(main, row, column) for step, row in rows.items()}
        cells += [(rows[step], column, found[step]) for step in rows]
        parts[column] = change(claim["kind"], **found)
        texts.append(
            f"{kinds[claim['kind']].format(**found)} = {parts[column]:.2f}{' %' if claim['kind'] == 'relative' else ''}"
        )
    mean = sum(parts.values()) / len(parts)
    formula = texts[0] if len(texts) == 1 else f"mean of {', '.join(texts)} = {mean:.2f}"
    stated, digits = float(claim["stated"]), len(claim["stated"].partition(".")[2])
    holds = abs(mean - stated) <= HALF * 10**-digits
    return Claim(claim["name"], claim["title"], claim["kind"], stated, mean, tuple(cells), formula, parts, holds)


def _value(main: Published, name: str, column: str) -> float:
    for row in main.rows:
        if " ".join(str(row[key]) for key in main.keys) == name and isinstance(value := row.get(column), float):
            return value
    raise DataError(f"Table {main.number} has no {column} of {name}", where=main.file, do="mend claims.csv")


@dataclass(frozen=True)
class Paper:
    """What the paper states."""

    tables: dict[str, Published]  # by number
    # a run, a table and a row of it, or a column of Tables 7 to 10, that shows this run
    same_runs: tuple[tuple[str, ...], ...] = ()
    claims: tuple[Claim, ...] = ()  # the headline claims
    # where the text puts the drop of MT-Bench's second turn: the statement, and the last step before it
    drops: tuple[tuple[str, ...], ...] = ()


def read_paper() -> Paper:
    """Read everything that the paper states."""
    return Paper(
        {number: table(number) for number in NUMBERS},
        tuple(tuple(row.values()) for row in _texts("same_runs.csv", "run", "table", "row")),
        tuple(claims()),
        tuple(tuple(row.values()) for row in _texts("second_turn.csv", "statement", "last_before_drop")),
    )
