"""Models of one run compared item by item, from their records.

    compare_models(recorded(run_dir, 0), recorded(run_dir, 3))    # each benchmark's paired test, and what was left out

Covers pairing the items of two evaluations. Does not cover the tests themselves (`analysis.significance`) or tables
(`display.stage_tables`).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from isheep_lib.analysis.lengths import Change, compare_lengths
from isheep_lib.analysis.significance import Comparison, compare
from isheep_lib.benchmarks import followed, ifeval
from isheep_lib.benchmarks.catalogue import BENCHMARKS
from isheep_lib.languages.rules import Language
from isheep_lib.record import manifests
from isheep_lib.record.rows import read_jsonl

STAGE, METRICS = "evaluate", "metrics.json"
OPEN = ("instructions", "judged")  # kinds of benchmarks whose answers may be as long as the model likes
Values = dict[str, list[float]]  # by item


@dataclass(frozen=True)
class Evaluated:
    """One model's evaluation: its name, what was measured by benchmark, the graded rows of one, and the run's language."""

    name: str
    tasks: dict[str, Any]
    rows: Callable[[str], list[dict[str, Any]]]
    language: Language = "en"


@dataclass(frozen=True)
class Compared:
    """Two models side by side: paired comparisons by benchmark, why others were left out, and the later one's language."""

    before: str
    after: str
    found: dict[str, Comparison]
    left_out: dict[str, str]
    language: Language = "en"


def spoken_in(metrics: Mapping[str, Any]) -> Language:
    """Return the language of the run that metrics are of."""
    return metrics.get("language", "en")


def recorded(run_dir: Path, iteration: int) -> Evaluated | None:
    """Read the evaluation of M_k, None where there is none."""
    folder = manifests.stage_folder(run_dir, iteration, STAGE)
    metrics = manifests.read_manifest(folder, METRICS) if manifests.read_manifest(folder) else None
    if metrics is None:
        return None
    rows = partial(_samples, folder)
    return Evaluated(f"M_{iteration}", metrics["tasks"], rows, spoken_in(metrics))


def _samples(folder: Path, name: str) -> list[dict[str, Any]]:
    return read_jsonl(folder / f"samples-{name}.jsonl")


def against_earlier(run_dir: Path, iteration: int, metrics: dict[str, Any], rows: dict[str, Any]) -> list[Compared]:
    """Compare a model that is just being evaluated with the one before it and with the base model."""
    now = Evaluated(f"M_{iteration}", metrics["tasks"], rows.__getitem__, spoken_in(metrics))
    others = [recorded(run_dir, k) for k in dict.fromkeys((iteration - 1, 0)) if k >= 0 and k != iteration]
    return [compare_models(other, now) for other in others if other]


def along(run_dir: Path, iterations: list[int]) -> list[Compared]:
    """Compare each model of a run with the one before it, and the last with the base model."""
    sides = {k: side for k in sorted(iterations) if (side := recorded(run_dir, k))}
    pairs = [(k - 1, k) for k in sides if k - 1 in sides]
    last = max(sides, default=0)
    pairs += [(0, last)] if last > 1 and 0 in sides else []
    return [compare_models(sides[before], sides[after]) for before, after in pairs]


def against_base(run_dir: Path, iterations: list[int]) -> list[Compared]:
    """Compare each trained model of a run with the base model, in order; [] where the base model is not evaluated."""
    sides = {k: side for k in sorted(iterations) if (side := recorded(run_dir, k))}
    return [compare_models(sides[0], side) for k, side in sides.items() if k] if 0 in sides else []


def lengths_since(run_dir: Path, iterations: list[int]) -> Change | None:
    """Compare the lengths of the last model's open answers with those of the base model, in characters, item by item."""
    sides = {k: side for k in sorted(iterations) if (side := recorded(run_dir, k))}
    last = max(sides, default=0)
    return compare_lengths(lengths_of(sides[0]), lengths_of(sides[last])) if last and 0 in sides else None


def lengths_of(model: Evaluated) -> dict[str, int]:
    """Return the characters of a model's open answers by benchmark and item."""
    names = [name for name in model.tasks if BENCHMARKS[name].kind in OPEN]
    return {f"{name}/{row['id']}": len(row["answer"]) for name in names for row in model.rows(name) if "answer" in row}


def by_practice(run_dir: Path, metrics: dict[str, Any], rows: dict[str, Any]) -> dict[str, dict[str, Comparison]]:
    """Compare a model that is just being evaluated with the base model on types that it practised, and on the others.

    Instruction-level strict, for IFEval and IFBench; {} where no constraints were learned or there is nothing to compare with.
    """
    base, found = recorded(run_dir, 0), dict[str, dict[str, Comparison]]()
    now = Evaluated("", metrics["tasks"], rows.__getitem__)
    for name, task in metrics["tasks"].items():
        if base and "practised" in task and not _unfair(name, base, now):
            sides = [followed.values_by_practice(answered(side.rows(name)), task["practised"]["types"]) for side in (base, now)]
            groups = {
                group: compare_shared(*(_on_all(side[group], sides, group) for side in sides)) for group in followed.GROUPS
            }
            found[name] = {group: each for group, each in groups.items() if isinstance(each, Comparison)}
    return found


def _on_all(values: Values, sides: Sequence[dict[str, Values]], group: str) -> Values:
    """Return the values of one side, and none for what only the other side answered."""
    return {id_: values.get(id_, []) for side in sides for id_ in side[group]}


def compare_models(before: Evaluated, after: Evaluated) -> Compared:
    """Compare two models on each benchmark's first metric, over the items that both answered.

    Only the same subset of the same data is compared; anything else is left out by name.
    """
    found, left_out = {}, {}
    for name in dict.fromkeys((*before.tasks, *after.tasks)):
        if problem := _unfair(name, before, after):
            left_out[name] = problem
        else:
            compared = compare_shared(values_of(name, before.rows(name)), values_of(name, after.rows(name)))
            if isinstance(compared, str):
                left_out[name] = compared
            else:
                found[name] = compared
    return Compared(before.name, after.name, found, left_out, after.language)


def answered(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the rows of items that a model was asked; others left no room for an answer in its context."""
    return [row for row in rows if "unanswered" not in row]


def compare_shared(before: Values, after: Values) -> Comparison | str:
    """Compare two models on the items that both answered, or say that there is none; items that differ are a DataError."""
    unanswered = {id_ for side in (before, after) for id_, values in side.items() if not values}
    first, second = ({id_: side[id_] for id_ in side if id_ not in unanswered} for side in (before, after))
    return compare(first, second) if first or second else "no item was answered by both"


def values_of(name: str, rows: list[dict[str, Any]], metric: str = "") -> Values:
    """Return the values of a benchmark's metric, by default its first, by item: none for an item that was not answered."""
    metric, graded = metric or BENCHMARKS[name].metric, answered(rows)
    followed = BENCHMARKS[name].kind == "instructions"
    found = ifeval.values_of(graded, metric) if followed else {row["id"]: [row["scores"][metric]] for row in graded}
    return {row["id"]: found.get(row["id"], []) for row in rows}


def _unfair(name: str, before: Evaluated, after: Evaluated) -> str:
    lacking = [side.name for side in (before, after) if name not in side.tasks]
    if lacking:
        return f"{' and '.join(lacking)} was not evaluated on it"
    pairs = {field: [side.tasks[name][field] for side in (before, after)] for field in ("subset", "digest", "metric")}
    return "; ".join(f"other {field}: {one} and {two}" for field, (one, two) in pairs.items() if one != two)
