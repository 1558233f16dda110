"""What rows of IFEval and IFBench say beside their accuracies: by type, by whether a type was practised, without chance.

    by_practice(rows, {"punctuation:no_comma"})     # {"seen": {"value": 41.2, …}, "unseen": {"value": 20.3, …}}

A type was practised by a model whose training rows held constraints of a family that is like it (`constraints.family`).
Covers rows as `benchmarks.ifeval` checks them. Does not cover checking.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from isheep_lib.analysis.significance import mean_with_error
from isheep_lib.benchmarks import ifeval
from isheep_lib.constraints.family import named_in, types_like

Row = Mapping[str, Any]
GROUPS = ("seen", "unseen")


def practised_types(training: Iterable[Row]) -> dict[str, list[str]]:
    """Name by benchmark the types that are like families whose constraints stand in training rows, none where none stand.

    A row that was made of a pair of answers does not list its constraints; their texts stand in its instruction.
    """
    families = {
        name
        for row in training
        for name in [*(each["family"] for each in row.get("constraints", ())), *named_in(row["instruction"])]
    }
    return {name: sorted(types_like(families, name)) for name in ("ifeval", "ifbench")} if families else {}


def without_chance(rows: Sequence[Row]) -> list[Row]:
    """Return the rows of IFEval whose check draws nothing."""
    return [row for row in rows if row["id"] not in ifeval.UNSTABLE]


def by_type(rows: Sequence[Row]) -> dict[str, dict[str, float | int]]:
    """Return for each type how many instructions are of it, and which percentage is followed, strictly and loosely."""
    found: dict[str, list[tuple[bool, bool]]] = {}
    for row in rows:
        for kind, *followed in zip(row["instructions"], row["strict"], row["loose"], strict=True):
            found.setdefault(kind, []).append((followed[0], followed[1]))
    return {
        kind: {
            "items": len(group),
            **{mode: round(100 * sum(each[i] for each in group) / len(group), 4) for i, mode in enumerate(("strict", "loose"))},
        }
        for kind, group in sorted(found.items())
    }


def values_by_practice(rows: Sequence[Row], types: Collection[str], mode: str = "strict") -> dict[str, dict[str, list[float]]]:
    """Return by group and prompt the values of instructions whose type was practised, and of the others."""
    return {
        group: {
            row["id"]: [
                float(value)
                for kind, value in zip(row["instructions"], row[mode], strict=True)
                if (kind in types) == (group == "seen")
            ]
            for row in rows
        }
        for group in GROUPS
    }


def by_practice(rows: Sequence[Row], types: Collection[str], mode: str = "strict") -> dict[str, dict[str, Any]]:
    """Return the instruction-level accuracy of practised types and of the others, in percent, clustered by prompt."""
    found = {group: [own for own in values.values() if own] for group, values in values_by_practice(rows, types, mode).items()}
    return {group: mean_with_error(values) for group, values in found.items() if values}


def more_of(name: str, rows: Sequence[Row], practised: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """Return what metrics hold of a benchmark beside its accuracies.

    Args:
        name: ifeval or ifbench.
        rows: checked.
        practised: types by benchmark, as `practised_types` names them.
    """
    found: dict[str, Any] = {"types": by_type(rows)}
    settled = without_chance(rows) if name == "ifeval" else rows
    if settled and len(settled) < len(rows):
        found["without_chance"] = ifeval.accuracies([dict(row) for row in settled])
    if name in practised:
        types = practised[name]
        groups = {mode: by_practice(rows, types, mode) for mode in ("strict", "loose")}
        found["practised"] = {"types": list(types), **groups}
    return found
