"""What a run needs beside its parameters, looked for before anything of it is made: models, engines, packages, data.

    check(run_params, run_dir, iterations)      # one error with all that is not in order, or nothing

A model that was never checked has its weights read once, for numbers that are none; what was found in order is remembered
by its digest. Only what stages that are still to be made need is asked for.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from isheep_lib.benchmarks import ifbench, ifeval
from isheep_lib.benchmarks.catalogue import BENCHMARKS
from isheep_lib.benchmarks.data import ABSENT, data_digest, read_docs, why_absent
from isheep_lib.engines.open import check_installed
from isheep_lib.errors import DataError, EngineError, IsheepError
from isheep_lib.iterate.run_params import RunParams
from isheep_lib.models import hub
from isheep_lib.models.base import ModelRef, find_model, foresee, local_folder
from isheep_lib.models.contents import content_faults, weight_faults
from isheep_lib.models.folder import refuse_faults
from isheep_lib.models.memory import GIB, weight_bytes
from isheep_lib.record import manifests, provenance, stages
from isheep_lib.record.folders import cache_folder
from isheep_lib.record.rows import canonical_json, digest_text, write_atomic
from isheep_lib.synthesize.extras import writers
from isheep_lib.train import launch
from isheep_lib.train.judge import recipe
from isheep_lib.train.params import Train

RULES = 1  # of these checks: what older rules found in order is looked at again
LARGE = 4 * GIB  # weights that take long enough to be announced


@dataclass(frozen=True)
class Asked:
    """A model that stages ask: where the params file names it, and what it must be able to do."""

    field: str
    name: str
    frames: tuple[str, ...]
    system: str
    context: int
    teaches: bool = False  # writes for the run's model, in its own chat template
    converses: bool = False  # is asked a second question after its answer, as by MT-Bench, or a task after answered ones


def check(params: RunParams, run_dir: Path, iterations: int, models: bool = True) -> None:
    """Look for everything that the stages which are still to be made need.

    Args:
        models: read them, too, which fetches one of the hub and unpacks an embedded one at its first use; else only what
            their folders show from outside is looked at.

    Raises:
        IsheepError: of the class of what is not in order, with all of it.
    """
    steps = stages.steps(iterations, bool(params.judge.judged))
    lacking = {s for k, s in steps if manifests.read_manifest(manifests.stage_folder(run_dir, k, s)) is None}
    looks: list[Callable[[], object]] = [lambda engine=engine: check_installed(engine) for engine in _engines(params, lacking)]
    if "train" in lacking:
        looks += [lambda: launch.check_devices(params.train)]
    if "evaluate" in lacking:
        looks += [lambda: _check_benchmarks(params), *_own_data(params.evaluate.benchmarks())]
    if "filter" in lacking:
        looks += _own_data(params.filter.benchmarks())
    looks += [lambda stage=stage: _check_packages(stage, params.stage(stage, 1).packages()) for stage in sorted(lacking)]
    problems = _problems(looks)
    asked = [each for each in _models(params, lacking) if not (problems and _is_far(each.name))]
    problems += _problems([lambda each=each: _check_model(each, models) for each in asked])
    if models and not problems:
        problems += _problems(
            [lambda trained=trained: _check_layers(params, trained) for trained in _trainings(params, lacking)]
        )
    _raise(problems)


def _problems(looks: Sequence[Callable[[], object]]) -> list[IsheepError]:
    found = []
    for look in looks:
        try:
            look()
        except IsheepError as error:
            found.append(error)
    return found


def _is_far(name: str) -> bool:
    """Tell whether a model is the hub's: it is not fetched for a run that lacks something else."""
    return not local_folder(name) and bool(hub.MODEL_ID.fullmatch(name))


def _raise(problems: Sequence[IsheepError]) -> None:
    """Raise the only problem as it is, or one error that holds all of them, each once."""
    several = {str(problem): problem for problem in problems}
    if len(several) == 1:
        raise next(iter(several.values()))
    kinds = {type(problem) for problem in problems}
    if several:
        kind = kinds.pop() if len(kinds) == 1 else IsheepError
        text = "\n\n".join(several).replace("\n", "\n  ")
        raise kind(f"{len(several)} things that this run needs are not in order:\n\n  {text}\n")


def _models(params: RunParams, lacking: set[str]) -> list[Asked]:
    found, model, judge = [], params.model, params.judge
    if lacking - {"filter", "judge"}:
        frames, shared = (model.base_frame, model.aligned_frame), (model.system_prompt, model.context_tokens)
        converses = "evaluate" in lacking and "mt_bench" in params.evaluate.benchmarks()
        found.append(Asked("model.base_model", model.base_model, frames, *shared, converses=converses))
        if "synthesize" in lacking and params.synthesize.response_demonstrations:
            found.append(Asked("model.base_model", model.base_model, frames[:1], *shared, converses=True))
        if "synthesize" in lacking and params.synthesize.teacher:
            found.append(Asked(writers.FIELD, params.synthesize.teacher, (), *shared, teaches=True))
    if "judge" in lacking and judge.judged and judge.judge_engine != "chat":
        name, where = (judge.judge_model, "judge.judge_model") if judge.judge_model else (model.base_model, "model.base_model")
        found.append(Asked(where, name, (judge.judge_frame,), model.system_prompt, model.context_tokens))
    return found


def _engines(params: RunParams, lacking: set[str]) -> list[str]:
    asking = lacking & {"synthesize", "assess", "evaluate"}
    return [params.model.engine] * bool(asking) + [params.judge.judge_engine] * ("judge" in lacking)


def _check_model(asked: Asked, whole: bool) -> None:
    """Check a model's folder and, if wanted, what its files hold, its context and frames; an error names the parameter."""
    try:
        if not whole:
            foresee(asked.name)
            return
        model = find_model(asked.name)
        _once([model.digest], lambda: _check_contents(model))
        shape = [asked.frames, asked.system, asked.context, asked.converses, *(["teaches"] if asked.teaches else [])]
        _once([model.digest, shape], lambda: _check_frames(model, asked))
    except IsheepError as error:
        where = f"{asked.field}: {error.where}" if error.where and error.where != asked.field else asked.field
        raise type(error)(error.what, where=where, allowed=error.allowed, do=error.do) from error


def _once(key: list[Any], work: Callable[[], object]) -> None:
    """Do what has not ended well before for this key, under these rules and this transformers."""
    known = cache_folder() / "checked" / digest_text(canonical_json([RULES, provenance.versions()["transformers"], key]))[:32]
    if not known.is_file():
        work()
        write_atomic(known, "")


def _check_contents(model: ModelRef) -> None:
    faults = content_faults(model.path)
    if not faults:
        weights = weight_bytes(model.path, "bfloat16")
        if weights >= LARGE:
            print(f"{model.name}: its weights, {weights / GIB:.0f} GiB in bfloat16, are read once to see that they are numbers")
        faults = weight_faults(model.path)
    refuse_faults(model.path, faults, model.name)


def _check_frames(model: ModelRef, asked: Asked) -> None:
    from isheep_lib.engines.tokens import load_vocabulary
    from isheep_lib.prompting.chat import DAY, get_frame

    vocabulary = load_vocabulary(model, asked.context)
    for name in dict.fromkeys(asked.frames):
        frame = get_frame(name, asked.system, vocabulary.tokenizer)
        if asked.converses:
            frame.conversation([("a", "b")], "c")
    if asked.teaches:
        writers.own_frame(vocabulary.tokenizer, asked.system, DAY)


def _trainings(params: RunParams, lacking: set[str]) -> list[Train]:
    """List the trainings that are still to come: the model's, and those of the judges of the scorer learned."""
    found = [params.train] if "train" in lacking else []
    if "assess" in lacking and params.assess.learns:
        shared = {**dict(params.model), "run": params.run, "iteration": 1, "seed": params.seed}
        own = params.assess
        found.append(recipe(shared, own.learned_epochs, own.learned_rate, own.learned_tasks))
    return found


def _check_layers(params: RunParams, train: Train) -> None:
    """Refuse what only a training would meet else: layers that are not there, rows that see one another, float64 left."""
    model = find_model(params.model.base_model)

    def check() -> None:
        from isheep_lib.train.model import check_double, check_packing, check_targets

        if train.method != "full":
            check_targets(model.path, train)
        if train.batching == "packed":
            check_packing(model.path)
        if train.numerics == "exact":
            check_double(model.path, train)

    decided_by = [model.digest, train.method, train.target_modules, train.batching, train.dora, train.numerics]
    _once([*decided_by, provenance.versions()["peft"]], check)


def _check_benchmarks(params: RunParams) -> None:
    """Say which benchmarks are left out for lack of data, and refuse to go on without any, or without one to be judged."""
    own = params.evaluate.benchmarks()
    absent = {name: why_absent(BENCHMARKS[name]) for name, source in own.items() if data_digest(name, source) == ABSENT}
    lines = [f"{name}: {why}" for name, why in absent.items()]
    if set(absent) == set(own):
        raise DataError("There is nothing to evaluate:\n  " + "\n  ".join(lines), where="evaluate.tasks", do="run make setup")
    if judged := [name for name in params.judge.judged if name in absent]:
        do = "; ".join(absent[name] for name in judged)
        raise DataError(f"The data of {', '.join(judged)} are not here", where="judge.judged", do=do)
    for name, checking in (("ifeval", ifeval), ("ifbench", ifbench)):
        if name in own and name not in absent:
            checking.check_installed()
    if lines:
        print("These benchmarks are left out, as their data are not here:\n  " + "\n  ".join(lines))


def _own_data(entries: dict[str, str]) -> list[Callable[[], object]]:
    """Return looks that read the user's own data of benchmarks: bad rows would else end a stage in the middle of a run."""
    return [lambda name=name, own=own: read_docs(BENCHMARKS[name], own) for name, own in entries.items() if own]


def _check_packages(stage: str, names: Sequence[str]) -> None:
    found = provenance.versions(tuple(names))
    if lacking := [name for name in names if name not in found]:
        raise EngineError(f"Not installed: {', '.join(lacking)}", where=f"stage {stage}", do="run make setup")
