"""The work of a sweep: which distinct stages it has, who shares them, what is done, and running what is missing.

    plan_table(sweep)      # one row per run: its own stages, and those that a run above makes for it
    run_all(sweep, "stop")

Covers planning and running. Does not cover the file (`ablate.sweep`), what it will cost (`ablate.estimate`) or found
(`ablate.table`).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from isheep_lib.ablate.stops import find_stop, yielded_too_little
from isheep_lib.ablate.sweep import Point, Sweep, choices
from isheep_lib.display.table import Table
from isheep_lib.errors import IsheepError, StageFailed
from isheep_lib.iterate import hub_ids, needs, runner
from isheep_lib.iterate.chain import prepare
from isheep_lib.iterate.run_params import RunParams, prompts_of
from isheep_lib.params import run_file
from isheep_lib.params.check import refusal
from isheep_lib.record import manifests, provenance, stages
from isheep_lib.record.provenance import project_root
from isheep_lib.record.rows import canonical_json, digest_text


@dataclass(frozen=True)
class Work:
    """One distinct stage, and who makes it."""

    point: Point
    iteration: int
    stage: str
    done: bool


def check_runs(sweep: Sweep, stale: str, models: bool = True) -> None:
    """Check against the machine what would stop a run later: model, seeds, data, and whether its folder holds another run.

    Args:
        models: look for them, too, which unpacks an embedded one at its first use.

    Raises:
        ParameterError: all problems of all runs at once.
    """
    problems: dict[str, list[str]] = {}
    for point in sweep.points:
        try:
            params, run_params, run_dir = prepare(given(sweep, point, stale))
            needs.check(run_params, run_dir, params.iteration, models)
        except IsheepError as error:
            told = f"{error.what} ({error.where})" if error.where else error.what
            problems.setdefault(f"{told}; {error.do}" if error.do else told, []).append(point.run)
    if problems:
        told_by = {told: "every run" if len(who) == len(sweep.points) > 1 else ", ".join(who) for told, who in problems.items()}
        raise refusal([f"{who}: {told}" for told, who in told_by.items()], sweep.path)


def given(sweep: Sweep, point: Point, stale: str, iterations: int | None = None) -> dict[str, Any]:
    """Return the parameters of `iterate.ipynb` for one run."""
    return {
        "iteration": iterations or point.iterations,
        "params": point.file,
        "run": point.run,
        "override": f"{point.override} {_commit(sweep, point)}".strip(),
        "stale": stale,
        "share": True,
    }


def _commit(sweep: Sweep, point: Point) -> str:
    """Give all runs of a sweep the commit of a hub's model with which the first of them began, as a change of parameters."""
    name = point.params.model.base_model
    begun = [str(run_file.run_params(manifests.run_folder(p.run)).get("model", {}).get("base_model")) for p in sweep.points]
    known = next((earlier for earlier in begun if earlier.startswith(f"{name}@")), None)
    settled = hub_ids.settle(point.params.model, {"base_model": known}).base_model
    return "" if settled == name else f"model.base_model:{settled}"


def stage_keys(params: RunParams, iterations: int) -> dict[tuple[int, str], str]:
    """Return what decides each stage before anything is run: equal keys are one stage, made once and shared.

    The fingerprint of a stage holds digests of its inputs; here the keys of the stages that make these stand for them.
    """
    keys: dict[tuple[int, str], str] = {}

    def lineage(k: int) -> list[int]:
        built_on = params.train.model_iteration(k) if k else 0
        return [*lineage(built_on), k] if k else []

    for k, stage in stages.steps(iterations, bool(params.judge.judged)):
        own = params.stage(stage, k)
        model = own.model_iteration(k) if own.asks_model else 0
        inputs = [(name, file, keys[i, name]) for i, name, file in own.inputs(k)]
        asked = prompts_of(own).digests(*own.prompt_files())
        trained = [keys[i, "train"] for i in lineage(model)]
        keys[k, stage] = digest_text(canonical_json([stage, own.deciding(), asked, inputs, trained]))
    return keys


def work(sweep: Sweep) -> list[Work]:
    """List the distinct stages of a sweep in the order of the work; each is made by the first run that needs it."""
    order: dict[str, tuple[Point, int, str]] = {}
    done: set[str] = set()
    for point in sweep.points:
        for (iteration, stage), key in stage_keys(point.params, point.iterations).items():
            order.setdefault(key, (point, iteration, stage))
            if manifests.read_manifest(manifests.stage_folder(manifests.run_folder(point.run), iteration, stage)):
                done.add(key)
    return [Work(*place, key in done) for key, place in order.items()]


def facts_table(sweep: Sweep) -> Table:
    """Show what the sweep file says."""
    file = sweep.file
    facts: dict[str, Any] = {"file": sweep.path, "params": file.params, "iterations": file.iterations}
    facts |= {"override": file.override}
    facts |= {axis: ", ".join(name for name, _ in choices(axis, values)) for axis, values in file.axes.items()}
    facts |= {"compared with": ", ".join(file.reference) or "nothing", "seeds": file.seeds or "that of the params file"}
    return Table([{"fact": name, "value": str(value)} for name, value in (facts | provenance.git_state()).items()])


def plan_table(sweep: Sweep) -> Table:
    """Show every run: what it has to make itself, what it shares with runs before it, what is there."""
    found, several = work(sweep), len({point.file for point in sweep.points}) > 1
    rows: list[dict[str, Any]] = []
    for point in sweep.points:
        own = [item for item in found if item.point is point]
        steps = stages.steps(point.iterations, bool(point.params.judge.judged))
        rows.append(
            {
                "run": point.name,
                **{axis.rsplit(".", 1)[-1]: value for axis, value in point.values.items()},
                **({"params file": point.file} if several else {}),
                "iterations": point.iterations,
                "stages": len(steps),
                "its own": len(own),
                "shared with runs above": len(steps) - len(own),
                "of its own still to run": sum(not item.done for item in own),
            }
        )
    left = sum(not item.done for item in found)
    total = sum(row["stages"] for row in rows)
    caption = f"{len(rows)} runs of {total} stages, of which {len(found)} are distinct and {left} still to run"
    return Table(rows, f"{caption}; runs go to {manifests.short(sweep.folder)}")


def run_all(sweep: Sweep, stale: str, say: Callable[[str], None] = print) -> None:
    """Run what is missing, one run after another, each as its own iterate.ipynb; a run that fails does not stop the others.

    A run that shares a stage with one that has just stopped there would stop there as well, so it is not begun.

    Raises:
        StageFailed: with every run that failed, after all others are done; too few pairs to go on with is a result.
    """
    failed: list[str] = []
    stopped: dict[str, str] = {}  # by the key of a stage: which run stopped there, and why
    for number, point in enumerate(sweep.points, 1):
        title = f"{point.name} ({number} of {len(sweep.points)})"
        if shared := _shared_stop(point, stopped):
            say(f"{title} is left out: {shared}")
            continue
        try:
            run_point(sweep, point, stale, title)
        except IsheepError as error:
            if yielded_too_little(error) and (said := _note_stop(point, stopped)):
                say(f"{title} stopped: {said}")
                continue
            failed.append(f"{point.run}: {error}")
            say(f"{title} failed")
    if failed:
        listed = "\n\n".join(failed)
        raise StageFailed(f"{len(failed)} of {len(sweep.points)} run(s) failed; the others are done:\n\n{listed}")


def stops(sweep: Sweep) -> dict[str, str]:
    """Say of each run that stopped for want of pairs, or would in a stage that it shares with one that did, where: by name."""
    stopped: dict[str, str] = {}
    found = {point.name: _note_stop(point, stopped) or _shared_stop(point, stopped) for point in sweep.points}
    return {name: said for name, said in found.items() if said}


def _note_stop(point: Point, stopped: dict[str, str]) -> str:
    """Say where a run stopped, "" where it did not, and keep it by the key of that stage."""
    if not (stop := find_stop(manifests.run_folder(point.run), point.iterations)):
        return ""
    key = stage_keys(point.params, point.iterations)[stop.iteration, stop.stage]
    stopped.setdefault(key, f"as {point.name}, {stop.said}")
    return stop.said


def _shared_stop(point: Point, stopped: dict[str, str]) -> str:
    """Say which run stopped in a stage that is one of this run's, too; "" where none did."""
    keys = stage_keys(point.params, point.iterations).values() if stopped else ()
    return next((stopped[key] for key in keys if key in stopped), "")


def run_point(sweep: Sweep, point: Point, stale: str, title: str, iterations: int | None = None) -> None:
    """Bring one run to its last iteration, or to the one given."""
    source = project_root() / "notebooks" / "iterate.ipynb"
    output = manifests.run_folder(point.run) / "iterate.ipynb"
    runner.execute_watched(source, output, given(sweep, point, stale, iterations), title)
