"""A run before it is started: its stages, what each will cost and which record says so, and what still stands in its way.

    forecast, problems = look_ahead(given)
    forecast.table()               # one row per stage
    forecast.lines()               # memory, disk

Nothing is loaded, asked or written. Whether a recorded stage still fits code, inputs and files is seen when the run starts.
"""

import shutil
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from isheep_lib.display.table import Table
from isheep_lib.errors import IsheepError, ParameterError
from isheep_lib.iterate import needs
from isheep_lib.iterate.chain import prepare
from isheep_lib.iterate.estimate import UNITS, Cost, Record, expect, kept_share, records, units_of
from isheep_lib.iterate.run_params import IterateParams, RunParams, load_run
from isheep_lib.models.base import local_folder
from isheep_lib.models.memory import GIB, weight_bytes
from isheep_lib.params.check import check
from isheep_lib.record import manifests, stages
from isheep_lib.record.folders import cache_folder
from isheep_lib.record.progress import duration

MIB = 2**20


@dataclass(frozen=True)
class Forecast:
    """What a run up to an iteration will take."""

    iterations: int
    params: RunParams
    run_dir: Path
    known: list[Record]

    @cached_property
    def steps(self) -> list[tuple[int, str, bool, Cost | None]]:
        """Every stage as (iteration, stage, whether it is recorded, cost)."""
        return [
            (k, stage, self._is_recorded(k, stage), expect(self.known, self.params, k, stage))
            for k, stage in stages.steps(self.iterations, bool(self.params.judge.judged))
        ]

    @property
    def missing(self) -> list[Cost | None]:
        """The costs of the stages that are still to run."""
        return [cost for *_, recorded, cost in self.steps if not recorded]

    def _is_recorded(self, iteration: int, stage: str) -> bool:
        return manifests.read_manifest(manifests.stage_folder(self.run_dir, iteration, stage)) is not None

    def table(self) -> Table:
        """Show every stage with its cost, and the total of those that are still to run."""
        sources = self.sources()
        rows = [self._row(*step, sources) for step in self.steps]
        whole = [cost for cost in self.missing if cost]
        unknown = len(self.missing) - len(whole)
        total = {
            "stage": "all to run",
            "units": f"{len(self.missing)} stages",
            **_figures(sum(c.seconds for c in whole), sum(c.tokens for c in whole), sum(c.size for c in whole), _most(whole)),
        }
        if unknown:
            total |= {"from": f"{unknown} unknown"}
        if not whole and unknown:
            total |= _figures()
        return Table([*rows, total], caption(self.known))

    def sources(self) -> list[str]:
        """Name the records that the figures come from, in the order of their numbers in the table."""
        return list(dict.fromkeys(source(cost) for cost in self.missing if cost))

    def _row(self, iteration: int, stage: str, recorded: bool, cost: Cost | None, sources: list[str]) -> dict[str, Any]:
        units = units_of(self.params, iteration, stage, kept_share(self.known))
        row = {"stage": f"iter-{iteration}/{stage}", "units": f"{units:,.0f} {UNITS[stage]}"}
        if recorded:
            return row | dict.fromkeys(_figures(), "") | {"from": "done"}
        if cost is None:
            return row | _figures() | {"from": "-"}
        figures = _figures(cost.seconds, cost.tokens, cost.size, cost.record.memory)
        return row | figures | {"from": str(sources.index(source(cost)) + 1)}

    def lines(self) -> list[str]:
        """Say which records the table's figures come from, and what the run needs of memory and disk."""
        model, costs = self.params.model, [cost for cost in self.missing if cost]
        found = [f"{number}: {name}" for number, name in enumerate(self.sources(), 1)]
        found += ["-: there is no record of this model"] * (len(costs) < len(self.missing))
        found.append(f"memory: {self._memory(costs)}")
        if model.engine == "vllm":
            found.append(f"GPU: {model.gpu_memory:.0%} of {model.tensor_parallel} for inference, as model.gpu_memory says")
        found += [f"weights: {self._weights()}", f"disk: {self._disk(costs)}"]
        if len(costs) < len(self.missing):
            found.append("Estimates on paper for the files in params/: docs/gpu.md, docs/scaling.md")
        return found

    def _memory(self, costs: list[Cost]) -> str:
        if len(costs) < len(self.missing):
            return "unknown"
        if not costs:
            return "none, all is recorded"
        most = max(costs, key=lambda cost: cost.record.memory)
        others = "" if all(cost.record.memory for cost in costs) else "; that of the training's processes is unknown"
        return f"{most.record.memory / 1024:.1f} GiB at most, by {most.record.stage}{others}"

    def _weights(self) -> str:
        model = self.params.model
        folder = _folder(model.base_model)
        if folder is None:
            return f"unknown, as {model.base_model} is not unpacked here"
        return f"{weight_bytes(folder, model.inference_dtype) / GIB:.1f} GiB in {model.inference_dtype}, by their headers"

    def _disk(self, costs: list[Cost]) -> str:
        place = next(folder for folder in (self.run_dir, *self.run_dir.parents) if folder.is_dir())
        free = f"{shutil.disk_usage(place).free / GIB:,.0f} GiB are free there"
        if len(costs) < len(self.missing):
            return f"unknown; {free}"
        return f"{sum(cost.size for cost in costs) / MIB:,.0f} MiB for the run's files; {free}"


def _folder(name: str) -> Path | None:
    """Return the folder of a base model's weights, where it lies here already."""
    if name.startswith("embedded:"):
        return next((cache_folder() / "models").glob(f"{name.removeprefix('embedded:')}-*/"), None)
    return local_folder(name)


def caption(known: list[Record]) -> str:
    """Say how costs are estimated."""
    taken = "; filters are taken to keep all pairs, best_answer one of each task"
    kept = "" if any(record.own and record.stage == "filter" for record in known) else taken
    return f"In proportion to rows, loading the model included in a stage's rate{kept}"


def source(cost: Cost) -> str:
    """Name the record that a cost comes from, its machine, and how the stage differs from it."""
    place = "this machine" if cost.record.here else cost.record.machine
    other = f"; it differs in {', '.join(cost.differs)}" if cost.differs else ""
    return f"{cost.record.name}, on {place}{other}"


def _figures(seconds: float | None = None, tokens: float = 0, size: float = 0, memory: float = 0) -> dict[str, str]:
    if seconds is None:
        return dict.fromkeys(("time", "tokens", "GiB RAM", "MiB disk"), "unknown")
    return {
        "time": duration(seconds),
        "tokens": f"{tokens:,.0f}",
        "GiB RAM": f"{memory / 1024:.1f}" if memory else "unknown",
        "MiB disk": f"{size / MIB:,.1f}",
    }


def _most(costs: list[Cost]) -> int:
    return max((cost.record.memory for cost in costs), default=0)


def look_ahead(values: dict[str, Any]) -> tuple[Forecast, list[str]]:
    """Read a run's parameters, and say what it will take and what stops it from starting, as far as that is seen unloaded.

    Raises:
        ParameterError, RecordError: as when the run is started.
    """
    problems: list[str] = []
    try:
        params, run_params, run_dir = prepare(values)
    except ParameterError:
        raise
    except IsheepError as error:  # such as data that are not here: what the run would take can be said all the same
        problems.append(str(error))
        params = check(IterateParams, values, "iterate.ipynb")
        run_params = load_run(manifests.require_file(params.params, "params"), params.override, params.run)
        run_dir = manifests.run_folder(run_params.run)
    try:
        needs.check(run_params, run_dir, params.iteration, models=False)
    except IsheepError as error:
        problems.append(str(error))
    return Forecast(params.iteration, run_params, run_dir, records(run_dir)), list(dict.fromkeys(problems))
