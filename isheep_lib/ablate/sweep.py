"""A sweep: one YAML file with axes, values and seeds, which becomes runs that share what they have in common.

    sweep = open_sweep("params/ablations/small-threshold.yaml")
    sweep.points        # one run each: axes x values x seeds, and a random control of equal size for every filter

Covers reading and checking a sweep. Does not cover its plan and running it (`ablate.runs`).
"""

import itertools
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from isheep_lib.errors import IsheepError
from isheep_lib.iterate.run_params import RunParams, load_run
from isheep_lib.params.check import check, refusal
from isheep_lib.params.kinds import Positive, Section, distinct
from isheep_lib.params.names import name_problem
from isheep_lib.params.overrides import layered, write_change
from isheep_lib.params.yaml_file import read_yaml
from isheep_lib.record import manifests
from isheep_lib.record.rows import canonical_json

CONTROL, PROBE = "control", "probe"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*")
FOLDER = re.compile(rf"{NAME.pattern}(/{NAME.pattern})*")


def _name(text: str) -> str:
    if not NAME.fullmatch(text):
        raise ValueError(f"{text!r} names a folder: letters, digits, dot, dash, underscore, plus, a letter or digit first")
    return text


def _filled(axes: dict[str, Any]) -> dict[str, Any]:
    for name, values in axes.items():
        if not values:
            raise ValueError(f"the axis {name} has no value")
        if isinstance(values, list) and "." not in name:
            raise ValueError(f"{name} has a list of values, so it must be a parameter: section.name")
        if isinstance(values, list):
            distinct([str(value) for value in values])
        else:
            for value in values:
                _name(value)
    return axes


def _folder_name(text: str) -> str:
    if problem := name_problem(text):
        raise ValueError(f"{problem}; it should be a folder under results, like thresholds or mine/thresholds, or a path")
    if not FOLDER.fullmatch(text.rstrip("/")) and not text.startswith(("/", "./", "~/")):
        raise ValueError(f"{text!r} should be a folder under results, like thresholds or mine/thresholds, or a path")
    return text.rstrip("/")


class Value(Section):
    """One named value of an axis that is more than one parameter, or has a params file or a number of iterations of its own."""

    params: str | None = Field(
        None, description="params file of these runs, where it is another; the sweep's changes apply to it", min_length=1
    )
    override: str = Field("", description="changes to the params file")
    iterations: Positive | None = Field(None, description="iterations of these runs, where they differ")


Values = dict[str, str | Value]


class SweepFile(Section):
    """A sweep file."""

    name: Annotated[str, AfterValidator(_folder_name)] = Field(
        description="folder under results, or a path, that the runs go to"
    )
    params: str = Field(description="params file of all runs whose values name no other", min_length=1)
    iterations: Positive = Field(description="iterations of every run")
    override: str = Field("", description="changes to the params file for all runs")
    axes: Annotated[dict[str, list[Any] | Values], AfterValidator(_filled)] = Field(
        description="a parameter and its values, or an axis of named overrides", min_length=1
    )
    reference: list[str] = Field([], description="values, one an axis, of the run that all others are compared with")
    seeds: Annotated[list[Annotated[int, Field(ge=0, lt=2**31)]], AfterValidator(distinct)] = Field(
        [], description="seeds of the run, each repeats the sweep; none takes that of the params file"
    )
    control: bool = Field(
        True, description="a twin of every filtered run that keeps as many pairs, and orders answers, by chance"
    )
    probe: int = Field(50, description="instructions of the probe that times and tokens are estimated from, 0 for none", ge=0)


@dataclass(frozen=True)
class Point:
    """One run of a sweep: `values` by axis, and its seed; a control has the values of its twin."""

    run: str
    values: dict[str, str]
    iterations: int
    file: str  # its params file, as given
    override: str
    params: RunParams
    control: bool = False

    @property
    def name(self) -> str:
        """The run's own folder."""
        return self.run.rsplit("/", 1)[-1]

    @property
    def label(self) -> str:
        """The values alone, the same for all seeds."""
        return ", ".join(self.values.values())


@dataclass(frozen=True)
class Sweep:
    """A checked sweep."""

    path: str
    file: SweepFile
    points: list[Point]

    @property
    def folder(self) -> Path:
        """Where the runs go."""
        return manifests.run_folder(self.file.name)

    @property
    def reference(self) -> Point | None:
        """The run that others are compared with, of the first seed."""
        wanted = ", ".join(self.file.reference)
        return next((point for point in self.points if wanted and point.label == wanted and not point.control), None)


def open_sweep(path: str, name: str = "", override: str = "") -> Sweep:
    """Read a sweep file, from here or from the clone's root, and check the parameters of every run of it.

    A name given goes before the file's own; `override` holds further changes to the params file for all runs.

    Raises:
        ParameterError: anything wrong with the file or with one of its runs; all problems at once.
    """
    found = manifests.require_file(path, "sweep")
    values, lines = read_yaml(found)
    file = check(SweepFile, values | ({"name": name} if name else {}), path, lines)
    file = file.model_copy(update={"override": layered([file.override, override])})
    problems: list[str] = []
    points: list[Point] = []
    for combination in _combinations(file):
        _add(points, problems, file, combination)
    names = [point.run for point in points]
    problems += [f"two runs would be named {name}" for name in sorted({n for n in names if names.count(n) > 1})]
    problems += _same(points)
    labels = {point.label for point in points}
    if file.reference and ", ".join(file.reference) not in labels:
        problems.append(f"reference: no run has the values {file.reference}; there are {sorted(labels)}")
    if problems:
        raise refusal(list(dict.fromkeys(problems)), path)
    return Sweep(path, file, points)


@dataclass(frozen=True)
class _Combination:
    """One value of each axis, and a seed where the sweep has any: its params file or files, and what changes it."""

    values: dict[str, str]
    files: list[str]  # those that its values name; more than one is a problem
    override: str
    iterations: int
    seed: int | None


def _combinations(file: SweepFile) -> list[_Combination]:
    """List every combination, those of one seed together."""
    axes = [[(axis, *choice) for choice in choices(axis, values)] for axis, values in file.axes.items()]
    found = []
    for seed, chosen in itertools.product(file.seeds or [None], itertools.product(*axes)):
        named = {axis: name for axis, name, _ in chosen}
        override = layered([file.override, " ".join(value.override for _, _, value in chosen)])
        own = [value.iterations for _, _, value in chosen if value.iterations]
        files = [value.params for _, _, value in chosen if value.params]
        found.append(_Combination(named, files, override, min(own, default=file.iterations), seed))
    return found


def choices(axis: str, values: list[Any] | Values) -> list[tuple[str, Value]]:
    """List an axis's values with their names."""
    if isinstance(values, list):
        short = axis.rsplit(".", 1)[-1]
        return [(f"{short}-{_folder(_plain(value))}", Value(override=write_change(axis, value))) for value in values]
    return [(name, Value(override=value) if isinstance(value, str) else value) for name, value in values.items()]


def _plain(value: Any) -> str:
    """Write a value as one word of a run's name."""
    return value if isinstance(value, str) else canonical_json(value)


def _folder(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9._+-]+", "-", text).strip("-")


def _add(points: list[Point], problems: list[str], file: SweepFile, one: _Combination) -> None:
    """Check one combination and add its run, and its random control where a filter does more than rules or orders answers."""
    name = "-".join(one.values.values())
    name += f"-seed-{one.seed}" if one.seed is not None and len(file.seeds) > 1 else ""
    override = layered([one.override, f"seed:{one.seed}"]) if one.seed is not None else one.override
    if len(one.files) > 1:
        problems.append(f"{file.name}/{name}: two of its values name a params file, {' and '.join(one.files)}; keep one")
        return
    source = one.files[0] if one.files else file.params
    for control in (False, True):
        if control and not (file.control and _chooses(points[-1].params)):
            return
        run = f"{file.name}/{name}{f'-{CONTROL}' if control else ''}"
        text = layered([override, "filter.random_control:true"]) if control else override
        try:
            params = load_run(manifests.require_file(source, "params"), text, run)
        except IsheepError as error:
            who = run if source == file.params else f"{run} ({source})"
            problems += [f"{who}: {line.strip()}" for line in error.what.split("\n")[1:] or [error.what]]
            return
        points.append(Point(run, one.values, one.iterations, source, text, params, control))


def _chooses(params: RunParams) -> bool:
    """Tell whether a filter decides what chance could decide in its place."""
    return bool(set(params.filter.steps) - {"rules"} or params.filter.preferences)


def _same(points: list[Point]) -> list[str]:
    """Name runs that would be the same run twice."""
    seen: dict[str, str] = {}
    problems = []
    for point in points:
        key = canonical_json([point.iterations, point.params.model_dump(exclude={"run"})])
        if key in seen:
            problems.append(f"{point.run} and {seen[key]} are the same run: their values set nothing that differs")
        seen.setdefault(key, point.run)
    return problems
