"""What the stages of a run will cost, told by stages that were recorded: seconds, tokens, memory, disk.

    known = records(run_dir)                              # of this run, and of whatever lies beside it
    expect(known, params, 1, "assess").seconds            # None where no record of this model says anything

Covers which record tells most about a stage, and its extrapolation in proportion to rows, loading the model included in
the rate. Does not cover tables (`iterate.dry`, `ablate.estimate`).
"""

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from isheep_lib.benchmarks.catalogue import BENCHMARKS, parse_entry
from isheep_lib.errors import IsheepError
from isheep_lib.iterate.run_params import STAGE_PARAMS, RunParams, StageParams
from isheep_lib.params import old_names
from isheep_lib.record import manifests, provenance, stages
from isheep_lib.record.progress import State

UNITS = {
    "synthesize": "instructions",
    "assess": "pairs",
    "filter": "pairs",
    "train": "pairs x epochs",
    "evaluate": "items",
    "judge": "items",
}
MODEL = ("base_model", "engine", "judge_model", "judge_engine")  # a record of other ones says nothing
# What a unit's cost also follows, by stage; sizes are counted as units.
TRAITS = {
    "synthesize": (
        *("inference_dtype", "numerics", "tensor_parallel", "method", "instruction_tokens", "response_tokens"),
        *("answers", "teacher"),
    ),
    "assess": (
        *("inference_dtype", "numerics", "tensor_parallel", "scorers", "checked_scorers", "corruptions", "level", "vectors"),
        "written_tokens",
    ),
    "filter": ("steps", "decontaminate", "decontaminate_against"),
    "train": ("dtype", "method", "objective", "lora_rank", "max_length", "numerics", "gradient_checkpointing", "num_processes"),
    "evaluate": ("inference_dtype", "numerics", "tensor_parallel", "tasks", "few_shot", "answer_tokens"),
    "judge": ("judged", "verdicts", "verdict_tokens"),
}
MACHINE = ("system", "cores", "processor")


@dataclass(frozen=True)
class Record:
    """What a recorded stage took.

    Attributes:
        name: the run and its iteration.
        own: it is of the run, or sweep, that is estimated.
        here: it was made on a machine like this one.
        machine: that machine.
        traits: what the cost of a unit follows.
        units: how many there were.
        start: seconds of a kernel's start, once.
        seconds: of a unit, and so are tokens.
        size: bytes of its files, all together.
        memory: largest resident memory of its kernel, in MiB; 0 where other processes did the work.
        kept: share of its rows.
        answers: to each task, where it synthesizes.
        writing: share of its tokens that wrote the tasks themselves, where it synthesizes.
        asked: benchmarks with their numbers of items, where it evaluates; some may not have been at hand.
    """

    name: str
    own: bool
    here: bool
    machine: str
    stage: str
    traits: dict[str, Any]
    units: float
    start: float
    seconds: float
    tokens: float
    size: int
    memory: int
    kept: float
    answers: int
    writing: float
    asked: list[str]


@dataclass(frozen=True)
class Cost:
    """What a stage with so many units will cost by a record, and in which traits it differs from that."""

    units: float
    record: Record
    differs: tuple[str, ...]

    @property
    def seconds(self) -> float:
        """Its time, the kernel's start included."""
        return self.record.start + self.record.seconds * self.units

    @property
    def tokens(self) -> float:
        """Tokens generated, or trained on."""
        return self.record.tokens * self.units

    @property
    def size(self) -> float:
        """Bytes of its files; an adapter is as large as the model wants, whatever it learned from."""
        return self.record.size * (1.0 if self.record.stage == "train" else self.units / self.record.units)


def records(own: Path) -> list[Record]:
    """Read the stages that are recorded in a run's or a sweep's folder, in runs beside it, and under results."""
    mine, found = provenance.environment(), dict[Path, Record | None]()
    folders = {own.parent, provenance.project_root() / "results"}
    here = [*own.glob("iter-*/*/"), *own.glob("*/iter-*/*/")]
    beside = [path for folder in folders for form in ("*/iter-*/*/", "*/*/iter-*/*/") for path in folder.glob(form)]
    for folder in dict.fromkeys((*here, *beside)):
        with contextlib.suppress(IsheepError, KeyError, TypeError, AttributeError):  # damaged: the concern of isheep verify
            found[folder] = _record(folder, folder.is_relative_to(own), mine)
    return [record for record in found.values() if record]


def _record(folder: Path, own: bool, mine: dict[str, Any]) -> Record | None:
    """Read what a finished stage took, None where it is not done or had nothing to do."""
    manifest = manifests.read_manifest(folder)
    if manifest is None:
        return None
    stage, counts, facts = manifest["stage"], manifest["counts"], manifest["environment"]
    answers = manifest["parameters"].get("answers", 1)
    units = (counts["kept"] + counts["dropped"].get("same_answer", 0)) / answers if stage == "synthesize" else counts["in"]
    units *= manifest["parameters"]["epochs"] if stage == "train" else 1
    if not units:
        return None
    seconds, renewed = manifest["seconds"], old_names.renew(old_names.settled(manifest), "model", stage)
    same = all(mine.get(name) == facts.get(name) for name in MACHINE)
    return Record(
        name=manifests.short(folder.parent),
        own=own,
        here=same and ("device" not in mine or mine["device"] == facts.get("device", mine["device"])),
        machine=", ".join(
            str(facts[name]) + (" cores" if name == "cores" else "") for name in (*MACHINE, "device") if facts.get(name)
        ),
        stage=stage,
        traits=_traits(stage, STAGE_PARAMS[stage].model_construct(**renewed.values)),
        units=units,
        start=max(0.0, manifest.get("notebook_seconds", seconds) - seconds),
        seconds=seconds / units,
        tokens=sum(manifest["tokens"].values()) / units,
        size=sum(output["bytes"] for output in manifest["outputs"].values()),
        memory=facts["peak_memory_mb"] if renewed.values.get("num_processes", 1) == 1 else 0,
        kept=counts["kept"] / counts["in"],
        answers=answers,
        writing=manifest["tokens"].get("instructions", 0) / (sum(manifest["tokens"].values()) or 1),
        asked=renewed.values.get("tasks", []),
    )


def _traits(stage: str, params: StageParams) -> dict[str, Any]:
    found = {name: getattr(params, name) for name in (*MODEL, *TRAITS[stage]) if name in type(params).model_fields}
    if "tasks" in found:  # their numbers of items are units
        found["tasks"] = [parse_entry(entry)[0] for entry in found["tasks"]]
    if stage == "judge":  # the judge answers, whoever is judged
        found |= {"base_model": "", "engine": ""} if found["judge_model"] else {}
    return found


def items(params: RunParams) -> dict[str, int]:
    """Return how many items of each benchmark a run asks."""
    return {name: number or BENCHMARKS[name].items for name, number in map(parse_entry, params.evaluate.tasks)}


def units_of(params: RunParams, iteration: int, stage: str, kept: float) -> float:
    """Return the units that a stage will have, given the share of the pairs that the filter keeps."""
    if stage == "evaluate":
        return sum(items(params).values())
    if stage == "judge":
        return sum(items(params)[name] for name in params.judge.judged)
    instructions = params.synthesize.instructions
    if stage == "synthesize":
        return instructions
    pairs = instructions * params.synthesize.answers
    if stage != "train":
        return pairs
    filtered = pairs * (kept if params.filter.steps else 1.0)
    filtered = min(filtered, instructions) if "best_answer" in params.filter.steps else filtered
    rounds = iteration if params.train.setting == "total_base" else 1
    return min(filtered * rounds, params.train.max_rows) * params.train.epochs


def kept_share(known: list[Record]) -> float:
    """Return the largest share of pairs that a filter of this run or sweep kept, 1 where none is recorded."""
    return max((record.kept for record in known if record.own and record.stage == "filter"), default=1.0)


def expect(known: list[Record], params: RunParams, iteration: int, stage: str) -> Cost | None:
    """Return what a stage will cost by the record that tells most, None where none is of this model.

    That is one with the same traits before any other, then one of the run itself, then of this machine; of several the
    slowest, because answers that were known before make others too fast.
    """
    wanted = _traits(stage, params.stage(stage, iteration))
    units = units_of(params, iteration, stage, kept_share(known))
    found = [
        Cost(record.units if record.asked == params.evaluate.tasks else units * _more(record, params), record, differing)
        for record in known
        if record.stage == stage and (differing := _differing(wanted, record.traits)) is not None
    ]
    return min(found, key=lambda c: (len(c.differs), not c.record.own, not c.record.here, -c.record.seconds), default=None)


def _more(record: Record, params: RunParams) -> float:
    """Return how much more a task costs here than on record, where it is answered oftener: writing it costs the same."""
    if record.stage != "synthesize":
        return 1.0
    return record.writing + (1 - record.writing) * params.synthesize.answers / record.answers


def _differing(wanted: dict[str, Any], recorded: dict[str, Any]) -> tuple[str, ...] | None:
    """Name the traits in which two stages differ, None where the model does."""
    names = [name for name, value in wanted.items() if recorded.get(name) != value]
    return None if set(names) & set(MODEL) else tuple(names)


def countdown(run_dir: Path, params: RunParams, steps: list[tuple[int, str]]) -> Callable[[State], float | None]:
    """Return what estimates, from how far the first of these steps is, the seconds until all that are not recorded are done.

    It says None where a step has no record of the same kind on this machine: no estimate rather than a wrong one.
    """
    known = [record for record in records(run_dir) if record.here]
    found = [expect(known, params, *step) for step in _missing(run_dir, steps)]
    costs = [cost.seconds for cost in found if cost and not cost.differs]
    started = time.monotonic()

    def left(state: State) -> float | None:
        if len(costs) < len(found) or not costs:
            return None
        present = costs[0] - (time.monotonic() - started)
        return max(present, state.remaining(), 0.0) + sum(costs[1:])

    return left


def _missing(run_dir: Path, steps: list[tuple[int, str]]) -> list[tuple[int, str]]:
    """Leave out what is recorded; the first step is at work, whatever is recorded."""
    first, *later = steps
    return [first, *(step for step in later if manifests.read_manifest(manifests.stage_folder(run_dir, *step)) is None)]


def place_of(iteration: int, stage: str, last: int, judged: bool) -> str:
    """Say which stage of which iteration this is."""
    names = [name for k, name in stages.steps(iteration, judged) if k == iteration]
    whole = f" of {last}" if last > 1 else ""
    return f"{stage}, stage {names.index(stage) + 1} of {len(names)} of iteration {iteration}{whole}"
