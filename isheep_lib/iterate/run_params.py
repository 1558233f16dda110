"""Every parameter of a run: its name, type, range, default and meaning, in one place.

A params file is one complete run; its sections are the classes of the rooms' `params.py`. A stage notebook's parameters
are the flat union of `Place`, `Model` and the stage's section.

Covers what there is, and reading a params file. Does not cover where a run's own parameters are kept (`claims`).
"""

import re
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import Field

from isheep_lib.assess.params import Assess
from isheep_lib.benchmarks.catalogue import parse_entry
from isheep_lib.engines.params import Model, PromptedModel
from isheep_lib.evaluate.params import Evaluate, EvaluateParams
from isheep_lib.filter.params import Filter
from isheep_lib.judge.params import Judge, JudgeParams
from isheep_lib.params import old_names
from isheep_lib.params.check import check, refusal
from isheep_lib.params.kinds import MOST_ITERATIONS, Place, Section, Shard, Spoken
from isheep_lib.params.names import FolderName
from isheep_lib.params.overrides import FORM, read_overrides
from isheep_lib.params.yaml_file import read_yaml
from isheep_lib.prompting.chat import FRAMES
from isheep_lib.prompting.prompt_files import Prompts, english, open_prompts
from isheep_lib.synthesize.extras import writers
from isheep_lib.synthesize.params import Synthesize
from isheep_lib.train.params import Train, TrainParams


class SynthesizeParams(Synthesize, Shard, PromptedModel, Place):
    """Parameters of `synthesize.ipynb`."""

    def more_parts(self) -> dict[str, Any]:
        """Name the teacher by its weights, where there is one."""
        return writers.fingerprint_parts(self.teacher, self)

    def conflicts(self) -> list[str]:
        """Name values that contradict one another."""
        problems = [*super().conflicts(), *teacher_conflicts(self, self)]
        if self.num_shards > 1 and not self.shares_answers:
            problems.append(
                f"num_shards: the method {self.method} has its answers as soon as its tasks are written, so one worker does it "
                "all and others would only wait; give 1, or leave num_shards out"
            )
        return problems


class AssessParams(Assess, Spoken, Shard, PromptedModel, Place):
    """Parameters of `assess.ipynb`."""

    def conflicts(self) -> list[str]:
        """Name values that contradict one another."""
        problems = [*super().conflicts(), *learning_conflicts(self, self)]
        if self.learns and self.num_shards > 1:
            problems.append("num_shards: one worker trains the judges of the scorer learned; give 1, or take it out")
        return problems


class FilterParams(Filter, Spoken, Place):
    """Parameters of `filter.ipynb`; no model is loaded."""


class IterateParams(Section):
    """Parameters of `iterate.ipynb`."""

    iteration: int = Field(1, description="bring the run to this iteration", ge=1, le=MOST_ITERATIONS)
    params: str = Field("params/smollm2-135m.yaml", description="params file, one complete run", min_length=1)
    run: FolderName = Field("", description="name under results or a path, empty takes the params file's")
    override: str = Field("", description="changes to the params file, like train.epochs:1 evaluate.answer_tokens:512")
    stale: Literal["stop", "redo", "keep"] = Field("stop", description="what to do with stages made by other code")
    share: bool = Field(True, description="take stages from runs beside this one that made the same of the same inputs")


STAGE_PARAMS: dict[str, type["StageParams"]] = {
    "synthesize": SynthesizeParams,
    "assess": AssessParams,
    "filter": FilterParams,
    "train": TrainParams,
    "evaluate": EvaluateParams,
    "judge": JudgeParams,
}
StageParams = SynthesizeParams | AssessParams | FilterParams | TrainParams | EvaluateParams | JudgeParams
P = TypeVar("P", bound=StageParams)
Asking = TypeVar("Asking", SynthesizeParams, AssessParams, EvaluateParams, JudgeParams)  # stages that open an engine
WithModel = TypeVar("WithModel", SynthesizeParams, AssessParams, TrainParams, EvaluateParams, JudgeParams)
SECTIONS: dict[str, type[Section]] = {
    "model": PromptedModel,
    "synthesize": Synthesize,
    "assess": Assess,
    "filter": Filter,
    "train": Train,
    "evaluate": Evaluate,
    "judge": Judge,
}


class RunParams(Section):
    """A params file: every parameter of a run."""

    run: FolderName = Field(description="name under results", min_length=1)
    seed: int = Field(description="all randomness of the run derives from it", ge=0, lt=2**31)
    model: PromptedModel
    synthesize: Synthesize
    assess: Assess
    filter: Filter
    train: Train
    evaluate: Evaluate
    judge: Judge = Judge()

    def stage(self, stage: str, iteration: int) -> "StageParams":
        """Return the parameters of one stage notebook, which are those of the run and so are not checked again."""
        kind = STAGE_PARAMS[stage]
        flat: dict[str, Any] = {**dict(self.model), **dict(getattr(self, stage))}
        flat |= {"run": self.run, "iteration": iteration, "seed": self.seed, "language": self.synthesize.language}
        return kind.model_construct(**{name: value for name, value in flat.items() if name in kind.model_fields})

    def conflicts(self) -> list[str]:
        """Name values that contradict one another, within a section and between sections."""
        problems = [f"{name}.{problem}" for name in SECTIONS for problem in getattr(self, name).conflicts()]
        problems += [f"train.{problem}" for problem in self.train.format_conflicts(self.model.dtype)]
        answered = {parse_entry(entry)[0] for entry in self.evaluate.tasks}
        lacking = [name for name in self.judge.judged if name not in answered]
        problems += [f"judge.judged: evaluate.tasks do not hold {name}, so there are no answers to judge" for name in lacking]
        problems += [f"filter.{problem}" for problem in _unmet_needs(self.filter, self.assess)]
        problems += [*_method_conflicts(self), *_pair_conflicts(self)]
        problems += [f"synthesize.{problem}" for problem in teacher_conflicts(self.synthesize, self.model)]
        problems += [f"assess.{problem}" for problem in learning_conflicts(self.assess, self.model)]
        return problems


def prompts_of(params: StageParams) -> Prompts:
    """Open the prompts that a stage asks with, the English ones for a stage that asks none."""
    asking = isinstance(params, SynthesizeParams | AssessParams | JudgeParams)
    return open_prompts(params.prompts, params.language) if asking else english()


def require_prompts(run: RunParams) -> None:
    """Look at every prompt that the run will ask with.

    Raises:
        DataError: there is no such folder, or files in it are missing or cannot be filled, all of them named.
    """
    files = [file for stage in (run.synthesize, run.assess, run.judge) for file in stage.prompt_files() if file not in FRAMES]
    open_prompts(run.model.prompts, run.synthesize.language).require(*files)


def _method_conflicts(run: RunParams) -> list[str]:
    """Name what the method of synthesis needs and the model is not; a teacher has a frame, but does not answer last."""
    way = run.synthesize.chosen
    taught = bool(run.synthesize.teacher) and not way.answers_last
    if "an aligned model" not in way.needs or run.model.base_frame != "plain" or taught:
        return []
    return [
        f"synthesize.method: {run.synthesize.method} needs a model that answers in a chat frame, but model.base_frame is "
        "plain; set its frame, or a method that a base model can continue, such as list"
    ]


def _pair_conflicts(run: RunParams) -> list[str]:
    """Name what keeps pairs of answers from being made, or from being learned."""
    problems, wanted = [], run.filter.preferences
    compared = [kind for kind in ("score", "constraint") if kind in wanted]
    if compared and run.synthesize.answers == 1:
        problems.append(
            f"filter.preferences: pairs by {' and '.join(compared)} need several answers to a task; synthesize.answers is 1, "
            "so set it to 2 or more, or leave cut alone"
        )
    if "constraint" in wanted and run.synthesize.constraints == "none":
        problems.append(
            "filter.preferences: constraint compares answers that keep and that break one, and synthesize.constraints is none; "
            "set it to asked or hindsight, or leave constraint out"
        )
    if run.train.minimised.of_pairs and not wanted:
        problems.append(
            f"train.objective: {run.train.objective} learns from pairs of answers, and filter.preferences names none; "
            "name score, constraint or cut there, or set train.objective to sft"
        )
    return problems


def teacher_conflicts(synthesize: Synthesize, model: Model) -> list[str]:
    """Name what keeps a foreign model from being opened beside the run's own."""
    problems = []
    if synthesize.teacher and model.engine == "server":
        problems.append(
            "teacher: a server has the run's model alone; set model.engine to transformers or vllm, which open the teacher "
            "first and then the model, or leave it empty"
        )
    if synthesize.teacher and synthesize.teacher == model.base_model:
        problems.append(f"teacher: {model.base_model} is model.base_model, no foreign model; leave it empty")
    return problems


def learning_conflicts(assess: Assess, model: Model) -> list[str]:
    """Name what keeps the judges of the scorer learned from being trained and asked."""
    if not assess.learns:
        return []
    problems = []
    if model.engine != "transformers":
        problems.append(f"scorers: learned is trained and asked here, not by {model.engine}; set model.engine to transformers")
    if model.numerics == "exact" and model.dtype != "float32":
        problems.append(f"scorers: learned is trained exactly, so in float32, but model.dtype is {model.dtype}")
    return problems


def _unmet_needs(wanted: Filter, assess: Assess) -> list[str]:
    """Name what the filter's steps need and assess would not make."""
    problems = []
    for step in wanted.chosen():
        by = step.by(wanted)
        if by and by.scorer not in assess.scorers:
            problems.append(
                f"{by.parameter}: the step {step.name} needs {by.scorer!r}, not run on all pairs; "
                f"assess.scorers are {assess.scorers}"
            )
        elif by and not set(by.columns) <= set(assess.columns()):
            problems.append(f"criteria: {wanted.criteria!r} are not all assessed; assess.level is {assess.level!r}")
        if step.needs_vectors and not assess.vectors:
            problems.append(f"steps: {step.name} needs the pairs' vectors; set assess.vectors to true")
    if "score" in wanted.preferences and wanted.pair_scorer not in assess.scorers:
        problems.append(
            f"pair_scorer: pairs by score need {wanted.pair_scorer!r}, not run on all pairs; "
            f"assess.scorers are {assess.scorers}"
        )
    elif not set(wanted.pair_columns()) <= set(assess.columns()):
        problems.append(f"criteria: {wanted.criteria!r} are not all assessed; assess.level is {assess.level!r}")
    return problems


def load_run(path: Path, override: str = "", run: str = "") -> RunParams:
    """Read a params file, with changes given as `section.name:value` separated by spaces (`params.overrides`).

    Raises:
        ParameterError: the file is absent, no YAML mapping, or a value is unknown, missing, mistyped or out of range.
    """
    values, lines = read_yaml(path)
    found = old_names.renew_file(values)
    twice = [_with_lines(problem, lines) for problem in found.problems]
    values, lines = found.values, {old_names.new_name(name): line for name, line in lines.items()}
    problems = []
    for change in read_overrides(override):
        name = old_names.new_name(change.name)
        if name != change.name:
            found.renamed.append(f"{change.name} is now {name}")
        if run and name == "run":
            problems.append(f"run: given twice, as {change.written} and as the run's name, {run}; keep one")
        if not _put(values, name.split("."), change.value):
            problems.append(f"{change.written}: {FORM}")
        lines = {known: line for known, line in lines.items() if known != name and not known.startswith(f"{name}.")}
    if problems:
        raise refusal(problems, "override")
    if run:
        values["run"] = run
    again = old_names.renew_file(values)  # an override may name what is there no more
    old_names.tell([*found.renamed, *again.renamed])
    where = f"{path}{' with override' if override else ''}"
    return check(RunParams, again.values, where, lines, [*twice, *again.problems])


def _put(values: dict[str, Any], path: list[str], value: Any) -> bool:
    """Put a value into nested mappings; False where one of them is none."""
    *sections, field = path
    inner: Any = values
    for section in sections:
        inner = inner.setdefault(section, {}) if isinstance(inner, dict) else None
    if not isinstance(inner, dict):
        return False
    inner[field] = value
    return True


def _with_lines(problem: str, lines: dict[str, int]) -> str:
    """Say on which line stands each parameter that a problem names."""
    return re.sub(r"\w+(?:\.\w+)+", lambda name: f"{name[0]} (line {lines[name[0]]})" if name[0] in lines else name[0], problem)


def recorded_params(manifest: dict[str, Any], where: str, **other: Any) -> "StageParams":
    """Read the parameters that a stage was made with, also under old names.

    Args:
        manifest: of the stage.
        where: the manifest, for the message.
        other: values that replace recorded ones.
    """
    stage = manifest["stage"]
    found = old_names.renew(old_names.settled(manifest) | other, "model", stage, scorers=False)
    return check(STAGE_PARAMS[stage], found.values, where, known=found.problems)
