"""Checking parameters: every problem at once, with the nearest allowed name and the line it stands on.

Covers single values and values that contradict one another. Does not cover reading files (`params_file`).
"""

import difflib
from typing import Any, TypeVar

from pydantic import ValidationError

from isheep_lib.catalogue import parse_entry
from isheep_lib.errors import ParameterError
from isheep_lib.params import Section
from isheep_lib.scorers import PROMPTED, axes

T = TypeVar("T", bound=Section)


def check(kind: type[T], values: dict[str, Any], where: str, lines: dict[str, int] | None = None) -> T:
    """Validate values, reporting every problem at once with the nearest allowed name.

    Args:
        kind: the parameter class.
        values: what was given.
        where: the file or notebook, for the message.
        lines: line number by dotted name, when a file was read.
    """
    try:
        checked = kind.model_validate(values)
    except ValidationError as error:
        problems = [_explain(kind, item, lines or {}) for item in error.errors()]
        raise refusal(problems, where) from None
    problems = _conflicts(checked.model_dump())
    if problems:
        raise refusal(problems, where)
    return checked


def refusal(problems: list[str], where: str) -> ParameterError:
    """Put all problems with parameters into one error."""
    return ParameterError(
        f"{len(problems)} problem(s) with the parameters:\n  " + "\n  ".join(problems),
        where=where,
        do="mend these and run the command again; docs/parameters.md lists every parameter",
    )


def _conflicts(values: dict[str, Any]) -> list[str]:
    """Check what no single field can: values that contradict one another."""
    problems = []
    synthesize, assess, wanted, train, model = (
        values.get(name, values) for name in ("synthesize", "assess", "filter", "train", "model")
    )
    if model.get("engine") == "server" and not model["base_urls"]:
        problems.append("base_urls: the engine server needs at least one address, like http://127.0.0.1:8000/v1")
    if "num_shards" in values and values["shard"] >= values["num_shards"]:
        problems.append(f"shard: {values['shard']} is not below num_shards, {values['num_shards']}; shards count from 0")
    if "tasks_per_prompt" in synthesize:
        problems += _synthesis_conflicts(synthesize)
    if "micro_batch" in train:
        problems += _training_conflicts(train)
    if "checked_scorers" in assess and assess["level"] == "none":
        asking = [name for name in PROMPTED if name in (*assess["scorers"], *assess["checked_scorers"])]
        problems += [f"level: none asks nothing, but {name} must ask; take it out, or choose a level" for name in asking]
    judge = values if "judged" in values else values.get("judge")
    # Assess has a parameter of this name; and a preset that judges nothing may leave the judge to be named.
    if isinstance(judge, dict) and judge["judged"]:
        problems += [f"{'judge.' if 'judge' in values else ''}{problem}" for problem in _judge_conflicts(judge)]
    if isinstance(judge, dict) and "evaluate" in values:
        answered = {parse_entry(entry)[0] for entry in values["evaluate"]["tasks"]}
        lacking = [name for name in judge["judged"] if name not in answered]
        problems += [f"judge.judged: evaluate.tasks do not hold {name}, so there are no answers to judge" for name in lacking]
    if "random_control" in wanted:
        problems += [f"{'filter.' if 'filter' in values else ''}{problem}" for problem in _filter_conflicts(wanted)]
    if "filter" in values:
        problems += [f"filter.{problem}" for problem in _unmet_needs(wanted, assess)]
    if model.get("vllm_adapters") == "lora" and train.get("setting") == "one_last":
        problems.append("model.vllm_adapters: lora applies one adapter, but one_last stacks them; set merged")
    return list(dict.fromkeys(problems))  # two steps, or two lists of scorers, can have the same problem


def _synthesis_conflicts(synthesize: dict[str, Any]) -> list[str]:
    problems = []
    if synthesize["tasks_per_prompt"] <= synthesize["demonstrations"]:
        problems.append("tasks_per_prompt: must be more than demonstrations, or no new task is asked for")
    if synthesize["generated_demonstrations"] >= synthesize["demonstrations"]:
        problems.append("generated_demonstrations: must be fewer than demonstrations, or no seed is shown")
    if synthesize["min_instructions"] > synthesize["instructions"]:
        problems.append("min_instructions: must be at most instructions")
    return problems


def _training_conflicts(train: dict[str, Any]) -> list[str]:
    problems, batch, processes = [], train["train_batch"], train["num_processes"]
    if batch % (train["micro_batch"] * processes):
        fitting = [n for n in range(1, batch + 1) if batch % (n * processes) == 0]
        allowed = f"{', '.join(map(str, fitting))} would do" if fitting else f"num_processes itself does not divide {batch}"
        problems.append(
            f"micro_batch: {train['micro_batch']} x {processes} process(es) does not divide train_batch {batch}; {allowed}"
        )
    if processes % train["num_machines"]:
        problems.append(f"num_machines: {train['num_machines']} does not divide num_processes, {processes}")
    if "all-linear" in train["target_modules"] and len(train["target_modules"]) > 1:
        problems.append("target_modules: all-linear stands alone, it is every layer already")
    if train["method"] == "full" and (train["dora"] or train["rslora"]):
        problems.append("method: full trains all weights; dora and rslora are for adapters")
    if train["method"] == "qlora" and train["parallel"] != "ddp" and processes > 1:
        problems.append("parallel: a base in 4 bits is whole on every process; set ddp")
    return problems


def _judge_conflicts(judge: dict[str, Any]) -> list[str]:
    problems, engine = [], judge["judge_engine"]
    if engine in ("server", "chat") and not judge["judge_urls"]:
        problems.append(f"judge_urls: the judge's engine {engine} needs at least one address, like http://127.0.0.1:8000/v1")
    if engine == "chat" and not judge["judge_model"]:
        problems.append("judge_model: a chat server needs the judge's name as it lists it")
    if engine == "chat" and judge["verdicts"] == "probabilities":
        problems.append("verdicts: a chat server gives no probabilities of labels; set written")
    return problems


def _filter_conflicts(wanted: dict[str, Any]) -> list[str]:
    problems = []
    for step, scorer in (("threshold", wanted["scorer"]), ("top", wanted["top_scorer"])):
        if step in wanted["steps"] and scorer in PROMPTED and not axes(wanted["axes"]):
            problems.append(f"axes: none leaves the step {step} nothing to decide by")
    if wanted["random_control"] and not set(wanted["steps"]) - {"rules"}:
        problems.append("random_control: there is no step after the rules whose size could be matched")
    return problems


def _unmet_needs(wanted: dict[str, Any], assess: dict[str, Any]) -> list[str]:
    """Name what the filter's steps need and assess would not make."""
    needs = {"threshold": ("scorer", wanted["scorer"]), "top": ("top_scorer", wanted["top_scorer"])}
    needs |= dict.fromkeys(("perplexity", "density_perplexity"), ("steps", "perplexity"))
    problems = []
    for step in wanted["steps"]:
        field, scorer = needs.get(step, ("", ""))
        if scorer and scorer not in assess["scorers"]:
            problems.append(
                f"{field}: the step {step} needs {scorer!r}, not run on all pairs; assess.scorers are {assess['scorers']}"
            )
        elif scorer in PROMPTED and not set(axes(wanted["axes"])) <= set(axes(assess["level"])):
            problems.append(f"axes: {wanted['axes']!r} are not all assessed; assess.level is {assess['level']!r}")
        if step.startswith("density") and not assess["vectors"]:
            problems.append(f"steps: {step} needs the pairs' vectors; set assess.vectors to true")
    return problems


def _explain(kind: type[Section], item: Any, lines: dict[str, int]) -> str:
    path = ".".join(str(part) for part in item["loc"])
    name = path.rpartition(".")[0] if isinstance(item["loc"][-1], int) else path  # an element stands on its list's line
    line = f" (line {lines[name]})" if name in lines else ""
    given = item["input"]
    if item["type"] == "extra_forbidden":
        near = [name for name in _dotted(kind) if name.split(".")[-1] == path.split(".")[-1]]
        near = near or difflib.get_close_matches(path, _dotted(kind), n=1, cutoff=0.5)
        return f"{path}{line}: no such parameter" + (f"; did you mean {near[0]}?" if near else "")
    if item["type"] == "missing":
        return f"{path}{line}: missing"
    if item["type"] == "float_type" and isinstance(given, str) and _is_number(given):
        return (
            f"{path}{line}: YAML reads {given} as text; write it without quotes, with a dot and a signed exponent, like 1.0e-4"
        )
    message = item["msg"].removeprefix("Input ").removeprefix("Value error, ")
    return f"{path}{line}: {given!r} {message}"


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _dotted(kind: type[Section]) -> list[str]:
    names = []
    for name, field in kind.model_fields.items():
        nested = field.annotation
        is_section = isinstance(nested, type) and issubclass(nested, Section)
        names += [f"{name}.{inner}" for inner in nested.model_fields] if is_section else [name]
    return names
