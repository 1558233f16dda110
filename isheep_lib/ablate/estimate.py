"""What a sweep will cost: tokens and hours, extrapolated from stages that were recorded, or from a small probe.

    estimate_table(sweep)
    probe(sweep, "stop")           # on request: 50 instructions through all stages, where no record says anything

Covers the sum over a sweep's distinct stages. Does not cover a stage's own cost (`iterate.estimate`) or running the sweep
(`ablate.runs`).
"""

import math
from typing import Any

from isheep_lib.ablate import runs
from isheep_lib.ablate.sweep import PROBE, Point, Sweep
from isheep_lib.display.table import Table
from isheep_lib.iterate.dry import caption, source
from isheep_lib.iterate.estimate import UNITS, Cost, Record, expect, items, kept_share, records, units_of
from isheep_lib.iterate.run_params import RunParams, load_run
from isheep_lib.params.overrides import layered
from isheep_lib.record import manifests, stages

LEAST = 4  # pairs that training needs, whatever the probe's size


def costs(sweep: Sweep, known: list[Record]) -> list[tuple[runs.Work, Cost | None]]:
    """Return every distinct stage of a sweep with what it costs, None where no record of its model says anything."""
    return [(item, expect(known, item.point.params, item.iteration, item.stage)) for item in runs.work(sweep)]


def unknown_stages(sweep: Sweep) -> list[str]:
    """Name the stages that are still to run and that no record says anything of."""
    unknown = {item.stage for item, cost in costs(sweep, records(sweep.folder)) if not item.done and cost is None}
    return [stage for stage in stages.ORDER if stage in unknown]


def probe_sentence(sweep: Sweep) -> str:
    """Say what a probe would tell and cost, and how it is asked for."""
    unknown, size = unknown_stages(sweep), sweep.file.probe
    if not unknown:
        return "Records of this model say what every stage costs"
    if not size:
        return f"No record says what these cost: {', '.join(unknown)}; the sweep file allows no probe (probe: 0)"
    asked, first = items(sweep.points[0].params), sweep.points[0].params.synthesize.instructions
    small = sum(_share(asked, size).values())
    return (
        f"No record says what these cost: {', '.join(unknown)}. A probe (--probe) would run one iteration with "
        f"{min(size, first)} of {first:,} instructions and twice {small} of {sum(asked.values()):,} items, and load the model "
        "once for each of its stages; how long that takes nothing says either"
    )


def probe(sweep: Sweep, stale: str) -> str:
    """Run a small run through every stage where no record is there to estimate from; say what was done."""
    size, lacking = sweep.file.probe, unknown_stages(sweep)
    if not lacking:
        return "no probe: records of this model are there to estimate from"
    if not size:
        return f"no probe (probe: 0), so nothing is known of {', '.join(lacking)}"
    first = sweep.points[0]
    if first.params.synthesize.instructions <= size:
        runs.run_point(sweep, first, stale, f"{first.name} as probe", 1)
        return f"the first iteration of {first.name} is no larger than a probe of {size} instructions, so it was the probe"
    override = layered([first.override, probe_override(first.params, size)])
    run = f"{sweep.file.name}/{PROBE}"
    params = load_run(manifests.require_file(first.file, "params"), override, run)
    runs.run_point(sweep, Point(run, {}, 1, first.file, override, params), stale, PROBE, 1)
    return f"{size} instructions were taken through every stage in {manifests.short(manifests.run_folder(run))}"


def probe_override(params: RunParams, size: int) -> str:
    """Write the changes that make a small run: each benchmark in proportion, and nothing that stops for want of rows."""
    tasks = ",".join(f'"{name}:{number}"' for name, number in _share(items(params), size).items())
    return (
        f"synthesize.instructions:{size} synthesize.min_instructions:1 assess.max_unread:1.0 filter.min_kept:{LEAST} "
        f"evaluate.tasks:[{tasks}] evaluate.reuse_answers:false"
    )


def _share(asked: dict[str, int], size: int) -> dict[str, int]:
    """Return about `size` items in all, each benchmark in proportion and with one at least."""
    share = min(1.0, size / sum(asked.values()))
    return {name: max(1, math.ceil(share * number)) for name, number in asked.items()}


def _stages(found: Sweep) -> list[str]:
    judged = any(point.params.judge.judged for point in found.points)
    return [stage for stage in stages.ORDER if judged or stage != "judge"]


def estimate_table(sweep: Sweep) -> Table:
    """Show what is still to run: distinct stages, units, tokens and hours, with a total; and hours from the start."""
    known = records(sweep.folder)
    every, kept = costs(sweep, known), kept_share(known)
    sources = list(dict.fromkeys(source(cost) for _, cost in every if cost))
    rows = [_estimated(stage, [pair for pair in every if pair[0].stage == stage], kept, sources) for stage in _stages(sweep)]
    total: dict[str, Any] = {"stage": "all", "to run": sum(row["to run"] for row in rows)}
    for name, form in (("tokens", ",.0f"), ("hours", ".2f"), ("hours from the start", ".2f")):
        total[name] = format(sum(row[name] for row in rows if isinstance(row[name], float)), form)
        for row in rows:
            row[name] = format(row[name], form) if isinstance(row[name], float) else row[name]
    whole = all(cost for _, cost in every)
    said = caption(known) + ("" if whole else "; what has no record is not in the total")
    return Table([*rows, total], "\n".join([said, *(f"{number}: {name}" for number, name in enumerate(sources, 1))]))


def _estimated(stage: str, every: list[tuple[runs.Work, Cost | None]], kept: float, sources: list[str]) -> dict[str, Any]:
    """Return a stage's row, tokens and hours as numbers where there are records."""
    left = [(item, cost) for item, cost in every if not item.done]
    units = sum(units_of(item.point.params, item.iteration, stage, kept) for item, _ in left)
    row: dict[str, Any] = {"stage": stage, "to run": len(left), "units": f"{units:,.0f} {UNITS[stage]}"}
    known = [cost for _, cost in every if cost]
    if not known:
        figures = dict.fromkeys(("tokens", "hours", "hours from the start"), "unknown")
        return row | figures | {"measured on": "nothing yet"}
    lacking = sum(1 for _, cost in left if cost is None)
    row |= {"tokens": float(sum(cost.tokens for _, cost in left if cost))}
    row |= {"hours": sum(cost.seconds for _, cost in left if cost) / 3600}
    row |= {"hours from the start": sum(cost.seconds for cost in known) / 3600}
    numbers = ", ".join(str(number) for number in sorted({sources.index(source(cost)) + 1 for cost in known}))
    return row | {"measured on": numbers + (f"; {lacking} unknown" if lacking else "")}
