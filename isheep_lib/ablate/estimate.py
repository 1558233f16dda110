"""What a sweep will cost: tokens and hours, extrapolated from stages that were run, or from a small probe.

    probe(sweep, "stop")           # 50 instructions through all stages, unless records of the sweep are there already
    estimate_table(sweep)

Covers rates and their extrapolation in proportion to rows. Does not cover running the sweep (`ablate.runs`).
"""

import math
from dataclasses import dataclass
from typing import Any

from isheep_lib.ablate import runs
from isheep_lib.ablate.sweep import PROBE, Point, Sweep
from isheep_lib.benchmarks.catalogue import BENCHMARKS, parse_entry
from isheep_lib.display.table import Table
from isheep_lib.iterate.run_params import RunParams, load_run
from isheep_lib.params.overrides import layered
from isheep_lib.record import manifests, stages

UNITS = {
    "synthesize": "instructions kept",
    "assess": "pairs",
    "filter": "pairs",
    "train": "pairs x epochs",
    "evaluate": "items",
    "judge": "items",
}
LEAST = 4  # pairs that training needs, whatever the probe's size


@dataclass(frozen=True)
class Rate:
    """What one unit of a stage took: seconds and tokens, over a fixed start of the kernel."""

    start: float
    seconds: float
    tokens: float
    units: float


def probe(found: Sweep, stale: str) -> str:
    """Run a small run through every stage where nothing of the sweep is there to estimate from; say what was done."""
    size = found.file.probe
    lacking = [stage for stage in _stages(found) if stage not in rates(found)]
    if not lacking:
        return "no probe: records of this sweep are there to estimate from"
    if not size:
        return f"no probe (probe: 0), so nothing is known of {', '.join(lacking)}"
    first = found.points[0]
    if first.params.synthesize.instructions <= size:
        runs.run_point(found, first, stale, f"{first.name} as probe", 1)
        return f"the first iteration of {first.name} is no larger than a probe of {size} instructions, so it was the probe"
    override = layered([first.override, probe_override(first.params, size)])
    run = f"{found.file.name}/{PROBE}"
    params = load_run(manifests.find_file(found.file.params, "params"), override, run)
    runs.run_point(found, Point(run, {}, 1, override, params), stale, PROBE, 1)
    return f"{size} instructions were taken through every stage in {manifests.short(manifests.run_folder(run))}"


def probe_override(params: RunParams, size: int) -> str:
    """Write the changes that make a small run: each benchmark in proportion, and nothing that stops for want of rows."""
    asked = items(params)
    share = min(1.0, size / sum(asked.values()))
    tasks = ",".join(f'"{name}:{max(1, math.ceil(share * number))}"' for name, number in asked.items())
    return (
        f"synthesize.instructions:{size} synthesize.min_instructions:1 assess.max_unread:1.0 filter.min_kept:{LEAST} "
        f"evaluate.tasks:[{tasks}] evaluate.reuse_answers:false"
    )


def items(params: RunParams) -> dict[str, int]:
    """Return how many items of each benchmark a run asks."""
    return {name: number or BENCHMARKS[name].items for name, number in map(parse_entry, params.evaluate.tasks)}


def rates(found: Sweep) -> dict[str, Rate]:
    """Return the slowest rate of each stage among the records of a sweep; answers known before make others too fast."""
    best: dict[str, Rate] = {}
    for manifest in _recorded(found):
        rate, known = rate_of(manifest), best.get(manifest["stage"])
        if rate and (known is None or rate.seconds > known.seconds):
            best[manifest["stage"]] = rate
    return best


def _recorded(found: Sweep) -> list[dict[str, Any]]:
    return [manifest for folder in sorted(found.folder.glob("*/")) for _, manifest in manifests.all_manifests(folder)]


def rate_of(manifest: dict[str, Any]) -> Rate | None:
    """Return what a unit of a recorded stage took, None where it had nothing to do."""
    stage, counts = manifest["stage"], manifest["counts"]
    units = counts["kept"] if stage == "synthesize" else counts["in"]
    units *= manifest["parameters"]["epochs"] if stage == "train" else 1
    if not units:
        return None
    seconds, tokens = manifest["seconds"], sum(manifest["tokens"].values())
    start = max(0.0, manifest.get("notebook_seconds", seconds) - seconds)
    return Rate(start, seconds / units, tokens / units, units)


def units_of(item: runs.Work, kept: float) -> float:
    """Return the units that a planned stage will have, given the share of the instructions that a filter keeps."""
    params = item.point.params
    if item.stage == "evaluate":
        return sum(items(params).values())
    if item.stage == "judge":
        return sum(items(params)[name] for name in params.judge.judged)
    instructions = params.synthesize.instructions
    if item.stage != "train":
        return instructions
    filtered = instructions * (kept if params.filter.steps else 1.0)
    rounds = item.iteration if params.train.setting == "total_base" else 1
    return min(filtered * rounds, params.train.max_rows) * params.train.epochs


def kept_share(found: Sweep) -> float:
    """Return the largest share of pairs that a recorded filter of the sweep kept, 1 where there is none."""
    counts = [manifest["counts"] for manifest in _recorded(found) if manifest["stage"] == "filter"]
    return max((count["kept"] / count["in"] for count in counts if count["in"]), default=1.0)


def _stages(found: Sweep) -> list[str]:
    judged = any(point.params.judge.judged for point in found.points)
    return [stage for stage in stages.ORDER if judged or stage != "judge"]


def estimate_table(found: Sweep) -> Table:
    """Show what is still to run: distinct stages, units, tokens and hours, with a total; and hours from the start."""
    known, kept = rates(found), kept_share(found)
    items = runs.work(found)
    rows = [
        _estimated(stage, [item for item in items if item.stage == stage], known.get(stage), kept) for stage in _stages(found)
    ]
    total: dict[str, Any] = {"stage": "all", "to run": sum(row["to run"] for row in rows)}
    for name, form in (("tokens", ",.0f"), ("hours", ".2f"), ("hours from the start", ".2f")):
        total[name] = format(sum(row[name] for row in rows if isinstance(row[name], float)), form)
        for row in rows:
            row[name] = format(row[name], form) if isinstance(row[name], float) else row[name]
    whole = all(stage in known for stage in _stages(found))
    note = "" if whole else "; stages without a record are not in the total"
    return Table(
        [*rows, total], f"In proportion to rows, by each stage's slowest record, loading the model included in its rate{note}"
    )


def _estimated(stage: str, items: list[runs.Work], rate: Rate | None, kept: float) -> dict[str, Any]:
    """Return a stage's row, tokens and hours as numbers where there is a rate."""
    left = [units_of(item, kept) for item in items if not item.done]
    row: dict[str, Any] = {"stage": stage, "to run": len(left), "units": f"{sum(left):,.0f} {UNITS[stage]}"}
    if rate is None:
        return row | {"measured on": "nothing yet", **dict.fromkeys(("tokens", "hours", "hours from the start"), "unknown")}
    every = [units_of(item, kept) for item in items]
    row |= {"measured on": f"{rate.units:,.0f}", "seconds a unit": f"{rate.seconds:.2f}", "tokens": rate.tokens * sum(left)}
    hours = [(rate.start * len(units) + rate.seconds * sum(units)) / 3600 for units in (left, every)]
    return row | dict(zip(("hours", "hours from the start"), hours, strict=True))
