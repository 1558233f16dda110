"""Changes between the models of a table: the published one, and the measured one with its paired test.

    change_table("1", measured)    # base to iter3: TriviaQA, published -18.69 to +3.93 (7 models), measured +0.5 (-2.0 to +3.0)

A change can be compared across models where a number cannot; it says the direction only where the test tells it from 0.
Covers one metric a benchmark, the first in the table's order, and the headline claims. Does not cover judged benchmarks,
which have no test here.
"""

from collections.abc import Sequence

from isheep_lib.analysis.significance import NOTHING_SHOWN, Comparison, comparison_rows
from isheep_lib.benchmarks.catalogue import BENCHMARKS
from isheep_lib.benchmarks.comparison import STAGE, compare_shared, values_of
from isheep_lib.display.evaluation_tables import named
from isheep_lib.display.table import Table
from isheep_lib.paper import published
from isheep_lib.paper.cells import NOT_RUN, NOTHING, PER_MODEL, STUDIED, Grid, Place, build, published_name
from isheep_lib.paper.runs import NOBODY, Group, Measured
from isheep_lib.record.manifests import stage_folder
from isheep_lib.record.rows import read_jsonl

SAME, OTHER, NOT_TOLD = "same direction", "other direction", "not told from 0"
REFERENCE = {"4": "no_prompt"}  # role that others are compared with, elsewhere One_base


def change_table(number: str, measured: Measured) -> Table:
    """Show published and measured changes between models of a table; Holm over the rows."""
    grid = build(number, measured)
    found: dict[str, Comparison] = {}
    facts = []
    for before, after in pairs(grid):
        for name in tested_columns(grid):
            if not _comparable(grid, before, after, name):
                continue
            compared = compare_shared(_values(grid, before, name), _values(grid, after, name))
            if isinstance(compared, Comparison):
                found[str(len(facts))] = compared
                facts.append((before, after, name, published_changes(grid, before, after, name)))
    if not facts:
        return Table([{"changes": "none: no two models of this table were measured on the same items"}])
    rows = []
    for (before, after, name, known), tested in zip(facts, comparison_rows(found), strict=True):
        row = {"model": before.block} if before.block else {}
        row |= {
            "change": f"{before.step}{_frame(before, after)} to {after.step}",
            "benchmark": named(grid.column(name).benchmark, after.run.language if after.run else "en"),
            "items": tested["items"],
        }
        row |= {"published": _range(known), "measured (95 % interval)": tested["difference (95 % interval)"]}
        said = direction(tested["verdict"], found[str(len(rows))].difference, known)
        rows.append(row | {"p (Holm)": tested["p (Holm)"], "direction": said})
    caption = f"changes in percentage points: paired tests over items, Holm over the {len(rows)} row(s)."
    many = " A model that the paper does not have stands beside the lowest and the highest change of the paper's models."
    return Table(rows, caption + (many if any(len(known) > 1 for *_, known in facts) else ""), f"Table {number}, ")


def claims_table(measured: Measured) -> Table:
    """Show the paper's headline claims: as stated, computed again from Table 1, and from what was measured of its model."""
    grid = build("1", measured)
    places = {place.name: place for place in grid.places}
    rows = []
    for claim in published.claims():
        cells = [grid.cell(places[row], column) for row, column, _ in claim.cells]
        lacking = next((cell.why or cell.apart for cell in cells if cell.why or cell.apart), "")
        rows.append(
            {
                "claim": claim.title,
                "kind": "relative, %" if claim.kind == "relative" else "points",
                "stated": f"{claim.stated:+g}",
                "from Table 1": claim.formula,
                "agrees": "yes" if claim.holds else "no",
                "measured": lacking or f"{_claimed(claim.kind, [cell.value['value'] for cell in cells if cell.value]):+.2f}",
            }
        )
    return Table(rows, f"Headline claims, all of {STUDIED}")


def _claimed(kind: str, values: Sequence[float]) -> float:
    """Return the mean change of values that alternate between after and before."""
    changes = [published.change(kind, after, before) for after, before in zip(values[::2], values[1::2], strict=True)]
    return sum(changes) / len(changes)


def pairs(grid: Grid) -> list[tuple[Place, Place]]:
    """List which models are compared: iteration 1 and the base model with the last of each row, and rows with one another.

    The base model is compared with every iteration where a table has one row for each (Table 1).
    """
    found: dict[tuple[Place, Place], None] = {}
    for block in dict.fromkeys(place.block for place in grid.places):
        places = [p for p in grid.places if p.block == block and p.run and p.iteration in p.run.metrics]
        of_role: dict[str, list[Place]] = {}
        for place in places:
            of_role.setdefault(place.role, []).append(place)
        main = of_role.get("one_base", [])
        base = next((p for p in main if p.iteration == 0), None)
        first = next((p for p in main if p.iteration == 1), None)
        reference = of_role.get(REFERENCE.get(grid.number, "one_base"), [])
        for own in of_role.values():
            last = own[-1]
            starts = [own[0] if own[0].iteration == 1 else first]
            starts += [p for p in reference if p.role != last.role and p.iteration == last.iteration]
            wanted = [(start, last) for start in starts] + [(base, p) for p in (own if grid.number == "1" else [last])]
            found |= {(a, b): None for a, b in wanted if a and a is not b}
    return list(found)


def _comparable(grid: Grid, before: Place, after: Place, name: str) -> bool:
    """Tell whether two places were asked the same; a model of Table 1 need only be like itself for that."""
    cells = grid.cell(before, name), grid.cell(after, name)
    if all(cell.value for cell in cells):
        return True
    if grid.number not in PER_MODEL or any(cell.why == NOT_RUN for cell in cells):
        return False
    two = Group(tuple(dict.fromkeys(place.run for place in (before, after) if place.run)))
    return not any(two.problem(p.run, p.iteration, grid.column(name).benchmark) for p in (before, after) if p.run)


def _frame(before: Place, after: Place) -> str:
    """Name the frame of an earlier model that was asked in another one than the later, as the paper asks base models."""
    one, two = (place.run.metrics[place.iteration].get("frame") if place.run else None for place in (before, after))
    return "" if one == two else f" (frame {one})"


def tested_columns(grid: Grid) -> list[str]:
    """Name the first column of each benchmark that has values by item."""
    named: dict[str, str] = {}
    for name in grid.columns:
        benchmark = grid.column(name).benchmark
        if BENCHMARKS[benchmark].kind != "judged":
            named.setdefault(benchmark, name)
    return list(named.values())


def _values(grid: Grid, place: Place, name: str) -> dict[str, list[float]]:
    """Read the values of one column by item."""
    column, run = grid.column(name), place.run
    assert run is not None  # noqa: S101 - a cell with a value has its run
    rows = read_jsonl(stage_folder(run.folder, place.iteration, STAGE) / f"samples-{column.benchmark}.jsonl")
    return values_of(column.benchmark, rows, column.metric)


def published_changes(grid: Grid, before: Place, after: Place, name: str) -> list[float]:
    """Return the published change, or those of all models of the table where the measured model is none of them."""
    if grid.number not in PER_MODEL or published_name(before.model):
        both = [(before.values.get(name), after.values.get(name))]
    else:
        plain = build(grid.number, NOBODY)
        at = {(p.model, p.role, p.iteration): p.values.get(name) for p in plain.places}
        both = [
            tuple(at.get((model, p.role, p.iteration)) for p in (before, after))
            for model in dict.fromkeys(p.model for p in plain.places)
        ]
    return [round(two - one, 2) for one, two in both if one is not None and two is not None]


def direction(verdict: str, difference: float, known: Sequence[float]) -> str:
    """Say whether a measured change goes the published way, where the test tells it from 0."""
    if verdict == NOTHING_SHOWN:
        return NOT_TOLD
    ways = {change > 0 for change in known if change}
    if len(ways) != 1:
        return f"{verdict}; {'the published models differ' if ways else 'no published change'}"
    return SAME if ways == {difference > 0} else OTHER


def _range(known: Sequence[float]) -> str:
    if not known:
        return NOTHING
    return f"{known[0]:+.2f}" if len(known) == 1 else f"{min(known):+.2f} to {max(known):+.2f} ({len(known)} models)"
