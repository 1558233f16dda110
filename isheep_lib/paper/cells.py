"""The cells of the paper's tables: what is published, what was measured for it, and why something is not there.

    grid = build("7", measured)
    grid.cell(grid.places[0], "boolq")    # Cell(published=89.45, value=None, why="not run", ...)

Covers which run stands where, and whether two numbers may be subtracted. Does not cover showing them (`paper.reproduction`).
"""

import re
from dataclasses import dataclass
from typing import Any

from isheep_lib.benchmarks.catalogue import BENCHMARKS
from isheep_lib.display.evaluation_tables import in_another, with_error
from isheep_lib.paper import published as paper_published
from isheep_lib.paper.published import COLUMNS, DATASETS, GRADE, Column, Published
from isheep_lib.paper.runs import Group, Measured, Run

NOT_RUN, LEFT_OUT, NOTHING = "not run", "left out", "not reported"
OTHER_MODEL, OTHER_JUDGE = "another model", "another judge"
ABBREVIATED = {
    "IFEval prompt-level ": "IFEval p-",
    "IFEval instruction-level ": "IFEval i-",
    "MT-Bench, both turns": "both turns",
}
STUDIED = "Qwen1.5-72B"  # the model of all tables but 1 and 5
PER_MODEL = ("1", "5")  # tables whose rows name models
OF_DATASETS = ("7", "8", "9", "10")  # tables whose rows are benchmarks and whose columns are models
# Names of the tables that stand for a role of another name. Table 4's "both" repeats Table 3's simple prompt.
SAME_AS = {"dromedary": "one_base", "combined_prompt": "one_base", "both": "simple_prompt"}


@dataclass(frozen=True, eq=False)
class Place:
    """One evaluated model in a table."""

    labels: tuple[tuple[str, str], ...]  # what names it there, by key column
    model: str  # its base model: a published one, or that of a run
    role: str  # what it stands for
    iteration: int  # which model, 0 is the base model
    run: Run | None  # that measured it, None where none was given
    values: dict[str, float | None]  # what is published of it, by column
    turn: int = 1  # of MT-Bench, in Table 12

    @property
    def name(self) -> str:
        """Name the place within its table."""
        return " ".join(_said(key, label) for key, label in self.labels)

    @property
    def step(self) -> str:
        """Name the place within the rows of its model."""
        return " ".join(_said(key, label) for key, label in self.labels if key != "model")

    @property
    def block(self) -> str:
        """Name the rows of one model in a table of several, "" elsewhere."""
        return dict(self.labels).get("model", "")


def _said(key: str, label: str) -> str:
    return f"turn {label}" if key == "turn" else label


@dataclass(frozen=True)
class Cell:
    """One number twice: `value` is empty where `why` says that it is not run or left out, for the `problem` named."""

    published: float | None
    digits: int
    value: dict[str, Any] | None = None
    subset: str = ""
    why: str = ""
    problem: str = ""
    apart: str = ""
    asked: str = ""  # in which language, where that is not the run's

    @property
    def text(self) -> str:
        """Write what was measured."""
        if self.value is None:
            return self.why
        shown = with_error(self.value) if self.digits == 1 else _grade(self.value, f"{self.value['value']:.2f}")
        return shown + self.asked

    @property
    def difference(self) -> str:
        """Write measured minus published, or why there is no such number."""
        if self.value is None or self.apart or self.published is None:
            return self.why or self.apart or NOTHING
        exact = round(self.value["value"] - self.published, 4)  # the difference of two decimals is none
        shown = f"{exact:+.{self.digits}f}"
        error = self.value["standard_error"]
        return shown if error is None else f"{shown} ± {error:.{self.digits}f}"


def _grade(value: dict[str, Any], shown: str) -> str:
    error = value["standard_error"]
    return f"{shown} ± not defined" if error is None else f"{shown} ± {error:.2f}"


@dataclass(frozen=True)
class Grid:
    """A table of the paper with everything that may stand in it."""

    number: str
    columns: tuple[str, ...]
    places: tuple[Place, ...]
    group: Group

    def column(self, name: str) -> Column:
        """Say what a column measures."""
        return DATASETS[name] if self.number in OF_DATASETS else COLUMNS[name]

    def title(self, name: str) -> str:
        """Name a column so that several fit a page."""
        title = self.column(name).title
        for long, short in ABBREVIATED.items():
            title = title.replace(long, short)
        return title

    def cell(self, place: Place, name: str) -> Cell:
        """Return one cell."""
        column, run, k = self.column(name), place.run, place.iteration
        known = place.values.get(name), 2 if column.unit == GRADE else 1
        facts = run.facts(k, column.benchmark) if run else None
        value = value_of(facts, column, place.turn) if facts else None
        if run is None or facts is None or value is None:
            return Cell(*known, why=NOT_RUN)
        if problem := self.problem(place, column.benchmark):
            return Cell(*known, subset=facts["subset"], why=LEFT_OUT, problem=problem)
        asked = in_another(column.benchmark, run.language)
        return Cell(*known, value, facts["subset"], apart=apart(place, column, facts), asked=asked)

    def problem(self, place: Place, benchmark: str) -> str:
        """Say why a measured place may not stand in this table."""
        run = place.run
        if run is None:
            return ""
        rivals = [p.run for p in self.places if p.model == place.model and p.role == "one_base" and p.run]
        if self.number in PER_MODEL and rivals and run.base != rivals[0].base:
            return f"base model {run.model} ({run.base[:8]}), not that of {rivals[0].title} ({rivals[0].base[:8]})"
        return self.group.problem(run, place.iteration, benchmark)


def value_of(facts: dict[str, Any], column: Column, turn: int = 1) -> dict[str, Any] | None:
    """Read one number with its standard error and items from a benchmark's metrics, None where it could not be read."""
    if BENCHMARKS[column.benchmark].kind != "judged":
        return facts["values"].get(column.metric)
    if column.metric == "win_rate":
        rate = facts["win_rate"]
        found = {"value": rate["win_rate"], "standard_error": rate["se"], "items": rate["items"]}
        percent = {name: None if found[name] is None else 100 * found[name] for name in ("value", "standard_error")}
        return None if found["value"] is None else found | percent
    metric = "average" if column.metric == "score" else column.metric
    mean, error, number = (facts[name][turn - 1][metric] for name in ("means", "ses", "ns"))
    return None if mean is None else {"value": mean, "standard_error": error, "items": number}


def apart(place: Place, column: Column, facts: dict[str, Any]) -> str:
    """Say why a measured number may not be subtracted from the published one, "" where it may."""
    if published_name(place.run.model if place.run else "") != place.model:
        return OTHER_MODEL
    known = BENCHMARKS[column.benchmark]
    if facts["subset"] != f"all {known.items}":
        asked, _, _ = facts["subset"].partition(" (")
        return f"{asked.removeprefix('all ')} {'items' if ' of ' in asked else f'of {known.items} items'}"
    if unanswered := facts.get("unanswered"):
        return f"{known.items - unanswered} of {known.items} items"
    judge = (place.run.judged[place.iteration]["judge"]["name"] if place.run else "") if known.kind == "judged" else "gpt-4"
    return "" if judge.lower().startswith("gpt-4") else OTHER_JUDGE


def published_name(model: str) -> str:
    """Return the published model that a base model is, "" where it is none of them."""
    plain = model.lower().removeprefix("meta-")
    return next((name for name in models() if name.lower() == plain), "")


def models() -> list[str]:
    """List the models of the paper."""
    return list(dict.fromkeys(str(row["model"]) for number in PER_MODEL for row in paper_published.table(number).rows))


def is_llama(model: str) -> bool:
    """Tell whether a model belongs into Table 5 instead of Table 1."""
    return "llama" in model.lower()


def step(name: str) -> tuple[str, int]:
    """Return role and iteration of a name in the tables: "one_last_iter3" is ("one_last", 3), "direct_20k" its M_1."""
    match = re.fullmatch(r"(?:(.+)_)?(?:base|iter(\d+))", name)
    role, iteration = (match[1] or "one_base", int(match[2] or 0)) if match else (name, 1)
    return SAME_AS.get(role, role), iteration


def build(number: str, measured: Measured) -> Grid:
    """Put the runs where they belong in a table of the paper."""
    table = paper_published.table(number)
    if number in PER_MODEL:
        return _per_model(table, measured)
    wanted = [run for run in measured.of("one_base") if published_name(run.model) == STUDIED] + measured.of("one_base")
    anchor = wanted[0] if wanted else None
    named = _of_datasets(table) if number in OF_DATASETS else _of_settings(table)
    roles = {step(name)[0] for name, _, _ in named}
    others = [run for run in measured.runs if run.role in roles - {"one_base"}]
    runs = {run.role: run for run in (*others, *([anchor] if anchor else []))}
    places = []
    for name, labels, values in named:
        role, iteration = step(name)
        turn = int(dict(labels).get("turn", 1))
        places.append(Place(labels, STUDIED, role, iteration, runs.get(role), values, turn))
    columns = tuple(str(row["dataset"]) for row in table.rows) if number in OF_DATASETS else table.values
    return Grid(number, columns, tuple(places), measured.group(others, anchor))


Named = list[tuple[str, tuple[tuple[str, str], ...], dict[str, Any]]]


def _of_datasets(table: Published) -> Named:
    turned = {name: {str(row["dataset"]): row[name] for row in table.rows} for name in table.values}
    return [
        (name, (("column", name.replace("one_base_", "").replace("_iter", " iter")),), turned[name]) for name in table.values
    ]


def _of_settings(table: Published) -> Named:
    named = []
    for row in table.rows:
        labels = tuple((key, str(row[key])) for key in table.keys)
        name = "_".join(label for key, label in labels if key != "turn")
        named.append((name, labels, {column: row[column] for column in table.values}))
    return named


def _per_model(table: Published, measured: Measured) -> Grid:
    """Make a block of rows for each run of a model, then one for each published model that has none."""
    setting = table.keys[1]
    blocks = [run for run in measured.of("one_base") if is_llama(run.model) == (table.number == "5")]
    baselines = measured.of("self_instruct") if table.number == "1" else []
    at_home = {run.base for run in blocks}
    # Shown with the first run, where their other base model is given as the reason for leaving them out.
    strays = [run for run in baselines if run.base not in at_home and not published_name(run.model)]
    places: list[Place] = []
    for i, run in enumerate(blocks):
        known = published_name(run.model)
        title = run.model if run.model not in [other.model for other in blocks[:i]] else f"{run.model} ({run.name})"
        first = 0 if table.number == "1" else 1
        steps = {name: values for model, name, values in _rows(table) if model == known}
        steps |= {_step(k): {} for k in range(first, max(run.metrics) + 1) if _step(k) not in steps}
        own = [other for other in baselines if other.base == run.base] or (strays if i == 0 else [])
        steps |= {"self_instruct": {}} if own and "self_instruct" not in steps else {}
        for name, values in steps.items():
            role, k = step(name)
            chosen = run if role == "one_base" else next(iter(own), None)
            places.append(Place((("model", title), (setting, name)), known or title, role, k, chosen, values))
    done = {place.model for place in places}
    for model, name, values in _rows(table):
        if model not in done:
            role, k = step(name)
            own = [other for other in baselines if published_name(other.model) == model]
            chosen = next(iter(own), None) if role == "self_instruct" else None
            places.append(Place((("model", model), (setting, name)), model, role, k, chosen, values))
    return Grid(table.number, table.values, tuple(places), measured.group([*blocks, *baselines], one_model=False))


def _rows(table: Published) -> list[tuple[str, str, dict[str, Any]]]:
    setting = table.keys[1]
    return [(str(row["model"]), str(row[setting]), {name: row[name] for name in table.values}) for row in table.rows]


def _step(iteration: int) -> str:
    return f"iter{iteration}" if iteration else "base"
