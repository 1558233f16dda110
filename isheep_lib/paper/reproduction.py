"""The paper's tables beside what given runs measured: as published, as measured, the difference, the changes.

    measured = gather(["one_base=reference/smollm2-135m"])
    table_set("7", measured, Path("results/paper"))    # shows all parts of Table 7 and writes each as .md, .tex and .csv

Only changes can be compared across models, and only by a paired test over items; a number is subtracted from a published
one where the same model was asked the whole benchmark. What a comparison would make unfair is left out by name.
Covers tables. Does not cover which run stands where (`paper.cells`), figures (`paper.figures`) or the audit (`paper.audit`).
"""

import html
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from isheep_lib.benchmarks.catalogue import BENCHMARKS
from isheep_lib.display.evaluation_tables import ERRORS
from isheep_lib.display.folded import Folded
from isheep_lib.display.save import save_table
from isheep_lib.display.table import Table
from isheep_lib.paper import published
from isheep_lib.paper.cells import LEFT_OUT, NOT_RUN, OF_DATASETS, Grid, Place, build, published_name
from isheep_lib.paper.changes import change_table, claims_table
from isheep_lib.paper.commands import LAST, again, command_for, sweep_command
from isheep_lib.paper.examples import corners_table
from isheep_lib.paper.published import NUMBERS
from isheep_lib.paper.runs import NOBODY, ROLES, Measured, gather
from isheep_lib.scorers.table import scorer

__all__ = ["Measured", "change_table", "claims_table", "gather"]  # and what is defined here
WIDEST = 7  # value columns on a page
UNREPORTED = "–"
OF_ASSESSMENT = ("3", "4", "11")  # tables that compare assessment prompts
MEASURED, SUBTRACTED, ANY = re.compile(r"±|\([<>]"), re.compile(r"^[+-]\d"), re.compile("")
Text = Callable[[Place, str], str]
Named = Callable[[Grid, str], str] | None


def published_tables(number: str) -> list[Table]:
    """Show a table as the paper has it, in parts that fit a page."""
    grid, table = build(number, NOBODY), published.table(number)
    caption = f"as published: {table.title}"

    def text(place: Place, column: str) -> str:
        value = place.values.get(column)
        return UNREPORTED if value is None else f"{value:.2f}"

    if number not in OF_DATASETS:
        return _by_place(grid, text, caption, lambda place: False)
    facts = {str(row["dataset"]): {key: row[key] or UNREPORTED for key in table.keys[1:]} for row in table.rows}
    short = {"opencompass_version": "version"}
    return _by_dataset(grid, text, caption, lambda name: {short.get(key, key): v for key, v in facts[name].items()}, Grid.title)


def measured_tables(number: str, measured: Measured) -> list[Table]:
    """Show what the runs measured in the same layout."""
    grid = build(number, measured)
    caption = f"as measured; {ERRORS}{_decided(grid)}"

    def text(place: Place, column: str) -> str:
        return grid.cell(place, column).text

    if number in OF_DATASETS:
        return _by_dataset(grid, text, caption, lambda name: {"items": _items(grid, name)})
    return [_with_items(grid, table) for table in _by_place(grid, text, caption)]


def difference_tables(number: str, measured: Measured) -> list[Table]:
    """Show measured minus published, or why there is no such number."""
    grid = build(number, measured)
    caption = "measured minus published; ± is the standard error of the measured number"
    letters, told = _notes(grid)

    def text(place: Place, column: str) -> str:
        return grid.cell(place, column).difference

    if number in OF_DATASETS:
        return _by_dataset(grid, text, f"{caption}{told}", lambda name: {"note": letters[name]})
    return _by_place(grid, text, f"{caption}{told}", lambda place: not published_name(place.model) or _unmeasured(grid)(place))


def _notes(grid: Grid) -> tuple[dict[str, str], str]:
    """Give each way in which we measure otherwise than the paper a letter: by column, and all in words."""
    notes = {grid.column(name).note for name in grid.columns} - {""}
    # A note that goes on from another one shares its letter.
    heads = {note: next((head for head in notes if note.startswith(f"{head}; ")), "") for note in notes}
    parts = {name: _split(note, heads[note]) if (note := grid.column(name).note) else [] for name in grid.columns}
    distinct = list(dict.fromkeys(part for each in parts.values() for part in each))
    letters = dict(zip(distinct, "abcdefghijklmnopqrstuvwxyz", strict=False))
    by_column = {name: ", ".join(letters[part] for part in each) for name, each in parts.items()}
    words = []
    for part, letter in letters.items():
        titles = ", ".join(_ours(grid, name) for name, each in parts.items() if part in each)
        words.append(f"{letter}: {part}" if grid.number in OF_DATASETS else f"{titles}: {part}")
    return by_column, f". Where we measure otherwise: {'; '.join(words)}." if words else "."


def _split(note: str, head: str) -> list[str]:
    return [head, note.removeprefix(f"{head}; ")] if head else [note]


def missing_table(number: str, measured: Measured) -> Table:
    """Show the cells that are not run, and the command that would run them."""
    grid = build(number, measured)
    lacking: dict[tuple[str, str], tuple[dict[str, None], dict[str, None], list[int]]] = {}
    for place in grid.places:
        names = [name for name in grid.columns if grid.cell(place, name).why == NOT_RUN]
        if names:
            places, columns, last = lacking.setdefault((place.block, command_for(grid, place, names, measured)), ({}, {}, []))
            places[place.step] = None
            columns |= dict.fromkeys(_ours(grid, name) for name in names)
            last.append(place.iteration)
    rows = [
        {
            **({"model": model} if model else {}),
            "not run": _listed(list(places)),
            "columns": "all" if len(columns) == len(grid.columns) else ", ".join(columns),
            "command": command.replace(LAST, str(max(1, *last))),
        }
        for (model, command), (places, columns, last) in lacking.items()
    ]
    return Table(rows or [{"not run": "nothing: every cell was measured or left out"}], "not run", f"Table {number}, ")


def left_out_table(measured: Measured, numbers: Sequence[str] = NUMBERS) -> Table:
    """Show every measured number that would make an unfair comparison, and why."""
    found: dict[tuple[str, str, str], tuple[dict[str, None], dict[str, None]]] = {}
    for number in numbers:
        grid = build(number, measured)
        for place, name in _all(grid):
            cell = grid.cell(place, name)
            if cell.why == LEFT_OUT and place.run:
                places, columns = found.setdefault((number, place.run.title, cell.problem), ({}, {}))
                places[place.step], columns[_ours(grid, name)] = None, None
    rows = [
        {"table": number, "run": run, "rows": _listed(list(places)), "columns": _listed(list(columns)), "why": why}
        for (number, run, why), (places, columns) in found.items()
    ]
    return Table(rows, "Measured, but not comparable with the first run of the table" if rows else "Nothing was left out.")


def summary_table(measured: Measured) -> Table:
    """Count the numbers of every table."""
    rows: list[dict[str, Any]] = []
    for number in NUMBERS:
        grid = build(number, measured)
        cells = [grid.cell(place, name) for place, name in _all(grid)]
        row = {
            "table": number,
            "published": sum(cell.published is not None for cell in cells),
            "measured": sum(cell.value is not None for cell in cells),
            "compared": sum(cell.difference[0] in "+-" for cell in cells),
            "left out": sum(cell.why == LEFT_OUT for cell in cells),
            "not run": sum(cell.why == NOT_RUN and cell.published is not None for cell in cells),
        }
        rows.append(row)
    total = {name: sum(row[name] for row in rows) for name in rows[0] if name != "table"}
    caption = "Numbers by table: compared ones are subtracted from published ones; not run are published and neither measured"
    return Table([*rows, {"table": "all", **total}], f"{caption} nor left out")


@dataclass(frozen=True)
class TableSet:
    """Tables that show one below the other, each under its heading; with a `line` all of them are folded below it."""

    parts: tuple[tuple[str, Table | Folded], ...]
    line: str = ""

    def _repr_html_(self) -> str:
        shown = "".join((f"<h4>{html.escape(title)}</h4>" if title else "") + one._repr_html_() for title, one in self.parts)
        return f"<details><summary>{html.escape(self.line)}</summary>{shown}</details>" if self.line else shown

    def __repr__(self) -> str:
        """Return aligned text."""
        return "\n\n".join([*([self.line] if self.line else []), *(f"{title}\n{one!r}".lstrip() for title, one in self.parts)])


def table_set(number: str, measured: Measured, folder: Path) -> TableSet:
    """Show all parts of a table that have something to say, and write every part to files such as table-1-measured-1.tex."""
    grid = build(number, measured)
    something = any(grid.cell(place, name).why != NOT_RUN for place, name in _all(grid))
    left_out = left_out_table(measured, [number])
    several = {
        "As published": published_tables(number),
        "As measured": measured_tables(number, measured),
        "Difference": difference_tables(number, measured),
        "Changes": [change_table(number, measured)],
        "Left out": [left_out],
        "Not run": [missing_table(number, measured)],
    }
    shown = {"As published", "Not run", *(several if something else ())} - (set() if left_out.rows else {"Left out"})
    parts = []
    for title, tables in several.items():
        name = title.lower().removeprefix("as ").replace(" ", "-")
        for i, table in enumerate(tables, start=1):
            file = f"table-{number}-{name}" + (f"-{i}" if len(tables) > 1 else "")
            save_table(table, folder, file, published.table(number).title, continued=i > 1)
        parts += [(title if i == 0 else "", _part(title, table)) for i, table in enumerate(tables) if title in shown]
    published_numbers = sum(grid.cell(place, name).published is not None for place, name in _all(grid))
    what = f"{published_numbers} published numbers, and the commands that would measure them"
    line = f"Table {number}: nothing of it is measured; {what}"
    return TableSet(tuple(parts), "" if something else line)


def _part(title: str, table: Table) -> Table | Folded:
    """Fold a part of a table that holds no number of ours, and the commands for what is not run."""
    said = {"As measured": (MEASURED, "nothing here is measured"), "Difference": (SUBTRACTED, "no two numbers are comparable")}
    if title == "Not run":
        return Folded(f"{len(table.rows)} row(s) of cells that are not run, with the commands that would measure them", table)
    number, why = said.get(title, (ANY, ""))
    holds = any(number.search(str(cell)) for row in table.rows for cell in row.values())
    return table if holds else Folded(why, table)


def examples_table(measured: Measured) -> Table:
    """Show pairs of the first run as Table 6 does, or the command that would score them."""
    run = measured.runs[0]
    command = again(run, "-scored", "1")
    return corners_table(run.folder, f'{command} --override "assess.scorers:[pmi,expected]"')


def figure_table(role: str, measured: Measured, left_out: Sequence[dict[str, str]] = ()) -> Table:
    """Show which runs a sweep's figure rests on and what it leaves out, or the command that would run them."""
    rows = [{"run": run.name, "evaluated": ", ".join(f"M_{k}" for k in run.metrics)} for run in measured.of(role)]
    rows = rows or [{"not run": ROLES[role].title, "command": sweep_command(role, measured)}]
    return Table([*rows, *left_out], f"Runs of {ROLES[role].tables}")


def all_accounted(measured: Measured) -> bool:
    """Tell whether every published number is measured, left out for a reason, or not run with a command that would run it."""
    for number in NUMBERS:
        grid = build(number, measured)
        commands = {row.get("command", "") for row in missing_table(number, measured).rows}
        for cell in (grid.cell(place, name) for place, name in _all(grid)):
            if cell.value is None and not cell.problem and not (cell.why == NOT_RUN and all(commands)):
                return False
    return True


def _by_place(grid: Grid, text: Text, caption: str, merged: Callable[[Place], bool] | None = None) -> list[Table]:
    """Lay out a table with one evaluated model a row; those of a model that is `merged` share a row."""
    number = -(-len(grid.columns) // WIDEST)
    size = -(-len(grid.columns) // number)
    tables = []
    for part in range(number):
        columns = grid.columns[part * size : (part + 1) * size]
        rows: dict[tuple[Any, ...], dict[str, str]] = {}
        for place in grid.places:
            labels = dict(place.labels)
            if place.block and (merged or _unmeasured(grid))(place):
                labels[place.labels[1][0]] = "all rows"
            row = rows.setdefault(tuple(labels.items()), labels | {grid.title(name): NOT_RUN for name in columns})
            row |= {grid.title(name): text(place, name) for name in columns if row[grid.title(name)] == NOT_RUN}
        which = f", part {part + 1} of {number}" if number > 1 else ""
        tables.append(Table(list(rows.values()), caption, _heading(grid, which, caption)))
    return tables


def _by_dataset(
    grid: Grid, text: Text, caption: str, more: Callable[[str], dict[str, Any]], named: Named = None
) -> list[Table]:
    """Lay out a table with one benchmark a row."""
    rows = [
        {"benchmark": (named or _ours)(grid, name), **more(name), **{place.step: text(place, name) for place in grid.places}}
        for name in grid.columns
    ]
    return [Table(rows, caption, _heading(grid, "", caption))]


def _heading(grid: Grid, part: str, caption: str) -> str:
    """Number a table, as the paper does, for where nothing else does."""
    return f"Table {grid.number}{part}" + (" " if caption.startswith("as ") and not part else ", ")


def _ours(grid: Grid, name: str) -> str:
    """Name a column by what we measure for it."""
    return BENCHMARKS[grid.column(name).benchmark].title if grid.number in OF_DATASETS else grid.title(name)


def _decided(grid: Grid) -> str:
    """Name runs of the tables on assessment whose threshold looks at no score that a prompt asks for."""
    runs = {place.run for place in grid.places if place.run} if grid.number in OF_ASSESSMENT else set()
    found = {run: run.param("filter.scorer") for run in runs if "threshold" in (run.param("filter.steps") or [])}
    said = sorted(f"{run.role} by {name.replace('_', ' ')}" for run, name in found.items() if not scorer(name).asks)
    return f". No prompt decides in these runs: {', '.join(said)}" if said else ""


def _unmeasured(grid: Grid) -> Callable[[Place], bool]:
    """Return what tells whether no run of a place's model was given."""
    measured = {place.block for place in grid.places if place.run}
    return lambda place: place.block not in measured


def _items(grid: Grid, name: str) -> str:
    """Say how many items the measured numbers of a column rest on; all of a table rest on the same."""
    cells = (grid.cell(place, name) for place in grid.places)
    return next((cell.subset.partition(" (")[0] for cell in cells if cell.value), UNREPORTED)


def _with_items(grid: Grid, table: Table) -> Table:
    titles = {grid.title(name): name for name in grid.columns}
    keys = [column for column in table.columns if column not in titles]
    first = {key: "items" if key == keys[0] else "" for key in keys}
    return Table(
        [first | {c: _items(grid, titles[c]) for c in table.columns if c in titles}, *table.rows], table.title, table.heading
    )


def _all(grid: Grid) -> Iterator[tuple[Place, str]]:
    return ((place, name) for place in grid.places for name in grid.columns)


def _listed(names: Sequence[str], limit: int = 12) -> str:
    more = len(names) - limit
    return ", ".join(names[:limit]) + (f" and {more} more" if more > 0 else "")
