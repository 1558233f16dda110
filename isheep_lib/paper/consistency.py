"""What a table of the paper can hold at all: ranges, orders, shares of whole items, means of whole grades.

`nearest_share(42.14, 541)` is `(228, "rounded")`: 228 prompts of 541; `nearest_share(41.14, 541)` is `(223, "")`: no number
of prompts gives 41.14.

Covers checks of one row or one number; each yields True or a finding for every comparison that it makes. Does not cover checks
between runs and tables (`paper.audit`). Every check leaves room for two decimals.
"""

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Literal

from isheep_lib.paper.published import (
    CATEGORIES,
    COLUMNS,
    GRADE,
    INSTRUCTIONS,
    PROMPTS,
    Cell,
    Column,
    Paper,
    Published,
    measure,
)

Severity = Literal["impossible", "contradiction", "copied", "suspicious"]
ORDERED = (
    ("ifeval_prompt_strict", "ifeval_prompt_loose"),
    ("ifeval_inst_strict", "ifeval_inst_loose"),
    ("humaneval_plus", "humaneval"),
)
LAST_DIGIT = 0.01
EXACT = 1e-6  # above the error of sums of such decimals
GRADES = 10  # questions of a category of MT-Bench, one grade a turn
TURNS = "12"  # the table of grades by turn


@dataclass(frozen=True)
class Finding:
    """One thing that the numbers contradict; `where` names rows and columns, `what` gives the numbers."""

    check: str
    tables: tuple[str, ...]
    where: str
    what: str
    severity: Severity


@dataclass(frozen=True)
class Run:
    """The values of one model in one table, by column or, in Tables 7 to 10, by dataset."""

    table: str
    name: str
    values: dict[str, float]


Outcome = Iterator[Finding | bool]  # one of each comparison: True, or what is wrong


def runs(table: Published) -> list[Run]:
    """Return the models of a table: its rows, or in Tables 7 to 10 its columns."""
    if "dataset" in table.keys:
        cells = {column: {str(row["dataset"]): row[column] for row in table.rows} for column in table.values}
    else:
        cells = {" ".join(str(row[key]) for key in table.keys): {v: row[v] for v in table.values} for row in table.rows}
    return [
        Run(table.number, name, {column: value for column, value in values.items() if isinstance(value, float)})
        for name, values in cells.items()
    ]


def every_run(paper: Paper) -> list[Run]:
    """Return the models of every table."""
    return [run for table in paper.tables.values() for run in runs(table)]


def runs_of(paper: Paper, numbers: Sequence[str]) -> list[Run]:
    """Return the runs of some tables; one that several of them show comes once."""
    found: dict[str, Run] = {}
    for number in numbers:
        for run in runs(paper.tables[number]) if number in paper.tables else ():
            found.setdefault(run.name, run)
    return list(found.values())


def _cells(paper: Paper) -> Iterator[tuple[str, str, Column, float]]:
    """Yield table, place, what is measured and value; a file's column that several tables show comes once."""
    seen = set()
    for table in paper.tables.values():
        for row, column in product(table.rows, table.values):
            keys = [str(row[key]) for key in table.keys]
            place = f"{keys[0]} {column}" if "dataset" in row else f"{' '.join(keys)} {column}"
            value = row[column]
            if isinstance(value, float) and (table.file, place) not in seen:
                seen.add((table.file, place))
                yield table.number, place, measure(row, column), value


def in_range(paper: Paper) -> Outcome:
    """Percentages lie within 0 and 100, grades within 1 and 10."""
    for table, place, column, value in _cells(paper):
        low, high = (1, 10) if column.unit == GRADE else (0, 100)
        what = f"{value:.2f} is outside {low} to {high}"
        yield low <= value <= high or Finding("range", (table,), place, what, "impossible")


def in_order(paper: Paper) -> Outcome:
    """What passes a strict test passes the loose one, and what passes more tests passes fewer."""
    for run, (lower, higher) in product(every_run(paper), ORDERED):
        if lower in run.values and higher in run.values:
            what = f"{_said(higher, run)} is below {_said(lower, run)}"
            fits = run.values[lower] <= run.values[higher]
            yield fits or Finding("order", (run.table,), run.name, what, "impossible")


def _said(column: str, run: Run) -> str:
    return f"{COLUMNS[column].title} {run.values[column]:.2f}"


def nearest_share(value: float, items: int) -> tuple[int, str]:
    """Return the number of items nearest to a percentage of 0 to 100, and how it gives the two decimals of the value.

    That is "rounded", "cut" (the third decimal dropped) or "" where no number of items gives them.
    """
    below = math.floor(value * items / 100)
    distances = {count: 100 * count / items - value for count in (below, below + 1)}
    nearest = min(distances, key=lambda count: abs(distances[count]))
    if abs(distances[nearest]) <= LAST_DIGIT / 2 + EXACT:
        return nearest, "rounded"
    above = max(distances)
    return (above, "cut") if distances[above] < LAST_DIGIT - EXACT else (nearest, "")


def on_grid(paper: Paper) -> Outcome:
    """A percentage of n items is k/n, rounded or cut to two decimals; where every value would fit, none is compared."""
    for table, place, column, value in _cells(paper):
        items = column.number_of_items
        # Rounding and cutting together let 1.5 of the last digit's steps pass; `in_range` names what is no percentage.
        if not items or 100 / items <= 1.5 * LAST_DIGIT or not 0 <= value <= 100:
            continue
        nearest, how = nearest_share(value, items)
        above = math.ceil(value * items / 100)
        sides = " and ".join(f"{k}/{items} = {100 * k / items:.3f}" for k in (above - 1, above))
        cut = f"{value:.2f} is {nearest}/{items} = {100 * nearest / items:.3f} cut, not rounded"
        wrong: dict[str, tuple[str, Severity]] = {
            "": (f"{value:.2f} lies between {sides}", "impossible"),
            "cut": (cut, "suspicious"),
        }
        yield how == "rounded" or Finding("grid", (table,), place, *wrong[how])


def levels_agree(paper: Paper) -> Outcome:
    """Each failed prompt of IFEval has a failed instruction, each passed one has all its one to three passed."""
    for run, how in product(every_run(paper), ("strict", "loose")):
        names = [f"ifeval_{level}_{how}" for level in ("prompt", "inst")]
        if not all(name in run.values for name in names):
            continue
        prompts, instructions = (run.values[name] * n / 100 for name, n in zip(names, (PROMPTS, INSTRUCTIONS), strict=True))
        # One instruction a prompt at least; half an item of room for two decimals.
        fits = prompts - 0.5 <= instructions <= INSTRUCTIONS - (PROMPTS - prompts) + 0.5
        what = f"{prompts:.0f} of {PROMPTS} prompts, but {instructions:.0f} of {INSTRUCTIONS} instructions"
        yield fits or Finding("levels", (run.table,), f"{run.name} {how}", what, "impossible")


def grades_given(mean: float) -> int:
    """Return how many of a category's ten grades, whole or half numbers, a mean of two decimals can rest on; 0 is none."""
    for number in range(GRADES, 0, -1):
        if abs(round(mean * 2 * number) / (2 * number) - mean) <= LAST_DIGIT / 2 + EXACT:
            return number
    return 0


def _grades(row: dict[str, Cell]) -> tuple[float, int]:
    """Return the sum and the number of the grades behind a turn's categories."""
    total, number = 0.0, 0
    for mean in (row[category] for category in CATEGORIES):
        if isinstance(mean, float):
            given = grades_given(mean) or GRADES
            total, number = total + round(mean * 2 * given) / 2, number + given
    return total, number


def ten_grades(paper: Paper) -> Outcome:
    """A category's mean in MT-Bench rests on ten whole or half grades."""
    for run, category in product(runs_of(paper, (TURNS,)), CATEGORIES):
        value = run.values[category]
        given = grades_given(value)
        of_fewer = f", but of {given}: {round(value * 2 * given) / 2:g}/{given}" if given else ""
        what = f"{value:.2f} is no mean of {GRADES} grades{of_fewer}"
        severity: Severity = "suspicious" if given else "impossible"
        yield given == GRADES or Finding("grades", (TURNS,), f"{run.name} {category}", what, severity)


def averages(paper: Paper) -> Outcome:
    """A turn's score is the mean of the grades behind its categories, MT-Bench's average that of both turns' grades."""
    stated, steps = [], defaultdict(list)
    for row in paper.tables[TURNS].rows if TURNS in paper.tables else ():
        steps[row["step"]].append(row)
        stated.append((f"{row['step']} {row['turn']}", "single_turn_score", [row]))
    stated += [(str(step), "mt_bench_average", rows) for step, rows in steps.items() if len(rows) == 2]
    for place, column, rows in stated:
        totals, numbers = zip(*map(_grades, rows), strict=True)
        mean, value = sum(totals) / sum(numbers), float(rows[0][column])
        what = f"{value:.2f} stated, its parts give {mean:.3f}"
        agrees = abs(mean - value) <= LAST_DIGIT / 2 + EXACT
        yield agrees or Finding("averages", (TURNS,), f"{place} {column}", what, "contradiction")
