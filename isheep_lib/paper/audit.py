"""What the paper's numbers say of each other: what cannot be, what contradicts, what was copied, what is unlikely.

`run()` gives the findings, such as ("order", ("3",), "icl_prompt iter3", "… loose 36.12 is below … strict 53.72",
"impossible"); `checks_table()` shows how many comparisons each check made.

Covers checks between runs and tables, and the list of all checks. Does not cover those of one number or one row
(`paper.consistency`), reading numbers (`paper.published`) or what was measured here. A finding says that numbers disagree,
never why.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise, product
from typing import Any, get_args

from isheep_lib.display.table import Table
from isheep_lib.paper.consistency import (
    TURNS,
    Finding,
    Outcome,
    Run,
    Severity,
    averages,
    every_run,
    in_order,
    in_range,
    levels_agree,
    on_grid,
    runs_of,
    ten_grades,
)
from isheep_lib.paper.published import COLUMNS, DATASETS, GRADE, MAIN, PERCENT, Paper, read_paper

# Tables whose rows, or columns, are settings of one model.
SETTINGS = (("2",), ("3",), ("4",), ("11",), ("7", "8", "9", "10"))
OPENCOMPASS = SETTINGS[-1]
MAIN_TABLE = "1"
ALIASES = {"mt_bench_average": "mt_bench"}
STEPS = {"20k": "iter2", "30k": "iter3"}  # as many rows as two or three iterations of 10k
# How far off the others a value must lie: in ranges of theirs, and as a share of the scale. At 3 ranges the rule would
# also name SQuAD2.0 of ppl in iter3 (3.7), which ends a fall that the other columns of ppl share.
FAR_RANGES, FAR_SHARE, OTHERS = 5, 0.05, 3
COPIED = 3  # equal values at least, and more than half


def same_everywhere(paper: Paper) -> Outcome:
    """A run that stands in several tables has the same numbers in each."""
    by_name = {(run.table, run.name): run for run in every_run(paper)}
    first: dict[tuple[str, str], tuple[Run, float]] = {}
    for name, table, row in paper.same_runs:
        for column, value in by_name[table, row].values.items():
            column = ALIASES.get(column, column)
            earlier, other = first.setdefault((name, column), (by_name[table, row], value))
            if earlier.table != table:  # else it is the first, or the other turn in Table 12
                what = f"{other:.2f} in Table {earlier.table} ({earlier.name}), {value:.2f} in Table {table} ({row})"
                tables = earlier.table, table
                yield value == other or Finding("same", tables, f"{name} {column}", what, "contradiction")


def not_copied(paper: Paper) -> Outcome:
    """Different runs of one table, or of Tables 7 to 10, do not share more than half of the values of one kind."""
    for numbers in ((MAIN_TABLE,), *SETTINGS):
        for part in _parts(paper, numbers):
            classes: list[list[Run]] = []
            for whole in runs_of(paper, numbers):
                one = Run(whole.table, whole.name, {c: v for c, v in whole.values.items() if c in part})
                same = next((group for group in classes if _is_copy(group[0], one)), None)
                yield from (True for group in classes if group is not same and len(_shared(group[0], one)) >= COPIED)
                if same:
                    same.append(one)
                else:
                    classes.append([one])
            for group in (group for group in classes if len(group) > 1):
                yield _copied(group)
                yield from (True for _ in group[2:])  # the further comparisons that the finding rests on


def _parts(paper: Paper, numbers: Sequence[str]) -> list[set[str]]:
    """Return the columns that are compared together: all, or in Tables 7 to 10 the datasets asked in one mode."""
    parts = defaultdict(set)
    for table in (paper.tables[number] for number in numbers if number in paper.tables):
        for row in table.rows:
            parts[row.get("mode")] |= {str(row["dataset"])} if "dataset" in row else set(table.values)
    return list(parts.values())


def _shared(one: Run, other: Run) -> set[str]:
    return one.values.keys() & other.values.keys()


def _is_copy(one: Run, other: Run) -> bool:
    same = sum(one.values[column] == other.values[column] for column in _shared(one, other))
    return same >= COPIED and 2 * same > len(_shared(one, other))


def _copied(group: list[Run]) -> Finding:
    first, *others = group
    same = [c for c, v in first.values.items() if all(run.values.get(c) == v for run in others)]
    what = f"{len(same)} of {len(first.values)} are equal: " + ", ".join(f"{c} {first.values[c]:.2f}" for c in same)
    tables = tuple(dict.fromkeys(run.table for run in group))
    return Finding("copied", tables, " = ".join(run.name for run in group), what, "copied")


def models_differ(paper: Paper) -> Outcome:
    """Two models hardly share a finely divided percentage of the same step; chance allows it, so this is a hint alone."""
    rows = paper.tables[MAIN_TABLE].rows if MAIN_TABLE in paper.tables else ()
    fine = [c for c in MAIN if COLUMNS[c].unit == PERCENT and COLUMNS[c].number_of_items is None]
    for (one, other), column in product(combinations(rows, 2), fine):
        if one["setting"] == other["setting"] and None not in (one.get(column), other.get(column)):
            where = f"{one['model']} and {other['model']} {one['setting']} {column}"
            what = f"both {one[column]:.2f}, to the last digit"
            yield one[column] != other[column] or Finding("models", (MAIN_TABLE,), where, what, "suspicious")


def near_the_others(paper: Paper) -> Outcome:
    """No setting lies further from all others of its step than five times the range of these and 5 % of the scale."""
    for numbers in SETTINGS:
        for (step, group), column in product(_by_step(paper, numbers).items(), COLUMNS | DATASETS):
            own = [one for one in group if column in one.values]
            for one in own if len(own) > OTHERS else ():
                others = [other.values[column] for other in own if other is not one]
                value, low, high = one.values[column], min(others), max(others)
                what = f"{value:.2f}, the {len(others)} others of {step} are {low:.2f} to {high:.2f}"
                near = not _is_far(value, others, column)
                yield near or Finding("far", (one.table,), f"{one.name} {column}", what, "suspicious")


def _by_step(paper: Paper, numbers: Sequence[str]) -> dict[str, list[Run]]:
    steps: dict[str, list[Run]] = defaultdict(list)
    for one in runs_of(paper, numbers):
        step = one.name.rpartition("_" if numbers == OPENCOMPASS else " ")[2]
        steps[STEPS.get(step, step)].append(one)
    return steps


def _is_far(value: float, others: Sequence[float], column: str) -> bool:
    gap = min(abs(value - other) for other in others)
    scale = 9 if (COLUMNS | DATASETS)[column].unit == GRADE else 100
    return gap > FAR_RANGES * (max(others) - min(others)) and gap > FAR_SHARE * scale


def drop_is_where_stated(paper: Paper) -> Outcome:
    """The second turn of MT-Bench falls most after the step that the text names."""
    rows = paper.tables[TURNS].rows if TURNS in paper.tables else ()
    seconds: list[dict[str, Any]] = [row for row in rows if row["turn"] == "2"]
    if len(seconds) < 2:
        return
    before, after = max(pairwise(seconds), key=lambda pair: pair[0]["single_turn_score"] - pair[1]["single_turn_score"])
    table = ", ".join(f"{row['step']} {row['single_turn_score']:.2f}" for row in (before, after))
    what = f"the table has its largest fall after {before['step']}: {table}"
    for statement, last in paper.drops:
        yield last == before["step"] or Finding("drop", (TURNS,), statement, what, "contradiction")


def claims_hold(paper: Paper) -> Outcome:
    """Each headline claim follows from Table 1 within its last digit."""
    for claim in paper.claims:
        what = f"{claim.stated} stated, {claim.formula}"
        yield claim.holds or Finding("claims", (MAIN_TABLE,), claim.title, what, "contradiction")


@dataclass(frozen=True)
class Check:
    """One check; `claim` says what any table must pass."""

    name: str
    function: Callable[[Paper], Outcome]

    @property
    def claim(self) -> str:
        """The first line of the function's documentation."""
        return (self.function.__doc__ or self.name).splitlines()[0]

    def run(self, paper: Paper) -> tuple[list[Finding], int]:
        """Return the findings, and how many comparisons were made."""
        made = list(self.function(paper))
        return [one for one in made if isinstance(one, Finding)], len(made)


CHECKS = (
    Check("range", in_range),
    Check("order", in_order),
    Check("grid", on_grid),
    Check("levels", levels_agree),
    Check("grades", ten_grades),
    Check("averages", averages),
    Check("same", same_everywhere),
    Check("drop", drop_is_where_stated),
    Check("claims", claims_hold),
    Check("copied", not_copied),
    Check("models", models_differ),
    Check("far", near_the_others),
)


def run(paper: Paper | None = None) -> list[Finding]:
    """Make every check of the paper, or of what is given instead."""
    paper = paper or read_paper()
    return [finding for check in CHECKS for finding in check.run(paper)[0]]


def findings_table(findings: Sequence[Finding]) -> Table:
    """Show findings, those of one check and severity in one row."""
    groups: dict[tuple[str, str], list[Finding]] = defaultdict(list)
    for finding in findings:
        groups[finding.severity, finding.check].append(finding)
    order = list(get_args(Severity))
    rows = [
        {
            "kind": severity,
            "check": check,
            "tables": ", ".join(sorted({table for finding in group for table in finding.tables}, key=int)),
            "found": "\n".join(f"{finding.where}: {finding.what}" for finding in group),
        }
        for (severity, check), group in sorted(groups.items(), key=lambda item: order.index(item[0][0]))
    ]
    return Table(rows or [{"found": "nothing"}], f"{len(findings)} findings in the published numbers")


def checks_table(paper: Paper | None = None) -> Table:
    """Show what each check demands, how many comparisons it made and what it found."""
    paper = paper or read_paper()
    rows = []
    for check in CHECKS:
        found, count = check.run(paper)
        rows.append({"check": check.name, "demands": check.claim, "comparisons": count, "findings": len(found)})
    return Table(rows, "Checks of the published numbers")
