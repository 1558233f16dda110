"""IFEval and IFBench in a sweep, by whether training rows practised a type: what was learned, and what it carries over to.

    practice_table(sweep)      # rows: points x benchmarks x practised or not, each against base, control and reference

All sides of a row are asked the same types: those that the point itself practised. Covers the last iteration of each point.
Does not cover which types are practised (`benchmarks.followed`) or whole benchmarks (`ablate.table`).
"""

import statistics
from collections.abc import Collection, Sequence

from isheep_lib.ablate.sweep import Sweep
from isheep_lib.ablate.table import Side, control_of, iterations_of, reference_of, side_of, tested, unfair
from isheep_lib.analysis.significance import Comparison, mean_with_error
from isheep_lib.benchmarks.comparison import Evaluated, Values, answered, compare_shared, recorded
from isheep_lib.benchmarks.followed import GROUPS, values_by_practice
from isheep_lib.display.evaluation_tables import PRACTISED, with_error
from isheep_lib.display.table import Table
from isheep_lib.record import manifests
from isheep_lib.record.rows import canonical_json

BASE, CONTROL = "against the base model", "against as many pairs by chance"


def practice_table(sweep: Sweep) -> Table:
    """Show instruction-level strict accuracies on practised types and on the others, with paired tests by prompt.

    Several seeds of a point are one model to the tests; each column of tests is one family for Holm.
    """
    rows, tests = [], list[dict[str, Comparison | str]]()
    for label in dict.fromkeys(point.label for point in sweep.points):
        side = side_of(sweep, label, iterations_of(sweep, label))
        for name in side.models[0].tasks if side.models else ():
            types = _types(side.models, name)
            for group in GROUPS if types is not None else ():
                values = _pooled(side.models, name, types or (), group)
                found = [own for own in values.values() if own]
                shown = with_error(mean_with_error(found)) if found else "none"
                rows.append({"run": label, "benchmark": side.named(name), "types": PRACTISED[group], "percent": shown})
                tests.append({title: _against(side, other, name, group) for title, other in _others(sweep, label).items()})
    columns = list(dict.fromkeys(title for each in tests for title in each))
    for column in columns:
        for row, said in zip(rows, tested([each.get(column, "") for each in tests]), strict=True):
            row[column] = said
    said = (
        "instruction-level strict; a type counts as practised where a family in training rows is like it (docs/constraints.md)"
    )
    return Table(rows or [{"practised types": "no model of the sweep learned from instructions with constraints"}], said)


def _types(models: Sequence[Evaluated], name: str) -> set[str] | None:
    """Name the types that models of a point practised, None where none learned from constraints."""
    found = [model.tasks[name]["practised"]["types"] for model in models if "practised" in model.tasks.get(name, {})]
    return {kind for types in found for kind in types} if found else None


def _others(sweep: Sweep, label: str) -> dict[str, Side]:
    """Return what a point's last model is compared with."""
    last = iterations_of(sweep, label)
    reference = sweep.reference.label if sweep.reference else ""
    found = {BASE: base_of(sweep, label), CONTROL: control_of(sweep, label, last)}
    found |= {f"against {reference}": reference_of(sweep, label, last, last)} if reference else {}
    return {title: side for title, side in found.items() if side}


def base_of(sweep: Sweep, label: str) -> Side:
    """Read the base model as every seed of a point evaluated it."""
    side = Side("M_0", [], set(), set(), [], [])
    for point in sweep.points:
        run_dir = manifests.run_folder(point.run)
        model = recorded(run_dir, 0)
        evaluation = manifests.read_manifest(manifests.stage_folder(run_dir, 0, "evaluate"))
        if point.label == label and not point.control and model and evaluation:
            side.models.append(model)
            side.bases.add(evaluation["parts"]["model"]["base"])
            side.frames.add(evaluation["metrics"]["frame"])
            side.weights.append(canonical_json(sorted(evaluation["parts"]["model"].values())))
    return side


def _against(side: Side, other: Side, name: str, group: str) -> Comparison | str:
    if why := unfair(side, other, name):
        return why
    types = _types(side.models, name) or set()
    before, after = (_pooled(each.models, name, types, group) for each in (other, side))
    return compare_shared(before, after) if any(after.values()) else "no instruction is of these types"


def _pooled(models: Sequence[Evaluated], name: str, types: Collection[str], group: str) -> Values:
    """Return the values of each prompt's instructions, averaged over seeds; none where a seed did not answer."""
    by_seed = [values_by_practice(answered(model.rows(name)), types)[group] for model in models]
    ids = dict.fromkeys(row["id"] for model in models for row in model.rows(name))
    return {
        id_: [statistics.fmean(each) for each in zip(*(values[id_] for values in by_seed), strict=True)]
        if all(id_ in values for values in by_seed)
        else []
        for id_ in ids
    }
