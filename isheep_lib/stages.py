"""The stages as a table: what each reads, what it writes, which model it uses.

Covers the graph of Algorithm 1. Does not cover how a stage works (the module of its name) or runs (`runner`).
"""

from dataclasses import dataclass
from typing import Any

from isheep_lib.scorers import axes

ORDER = ("synthesize", "assess", "filter", "train", "evaluate")


@dataclass(frozen=True)
class Stage:
    """One row of the table.

    Attributes:
        name: module, notebook and manifest name.
        inputs: files of other stages, as iteration offset, stage and file.
        model: "previous" is M_{k-1}, "base" is M_0, "current" is M_k, "" is none; see `trained_in`.
    """

    name: str
    inputs: tuple[tuple[int, str, str], ...] = ()
    model: str = ""


STAGES = {
    stage.name: stage
    for stage in (
        Stage("synthesize", model="previous"),
        Stage("assess", inputs=((0, "synthesize", "examples.jsonl"),), model="previous"),
        Stage("filter", inputs=((0, "synthesize", "examples.jsonl"), (0, "assess", "scores.jsonl"))),
        Stage("train", inputs=((0, "filter", "kept.jsonl"),), model="base"),
        Stage("evaluate", model="current"),
    )
}


def steps(iterations: int) -> list[tuple[int, str]]:
    """List (iteration, stage) in the order of work, the evaluation of the base model first."""
    return [(0, "evaluate"), *((k, stage) for k in range(1, iterations + 1) for stage in ORDER)]


def inputs_of(stage: str, iteration: int, params: dict[str, Any]) -> list[tuple[int, str, str]]:
    """Name the files that a stage with these parameters reads, as (iteration, stage, file)."""
    found = [(iteration - offset, name, file) for offset, name, file in STAGES[stage].inputs]
    earlier = range(1, iteration)
    if stage == "synthesize" and (params["dedup_scope"] == "run" or params["generated_demonstrations"]):
        found += [(k, "synthesize", "examples.jsonl") for k in earlier]
    if stage == "filter" and clusters(stage, params):
        found.append((iteration, "assess", "vectors.npy"))
    if stage == "train" and params["setting"] == "total_base":
        found = [(k, "filter", "kept.jsonl") for k in earlier] + found
    return found


def prompts_of(stage: str, params: dict[str, Any]) -> list[str]:
    """Name the prompt files that a stage with these parameters uses."""
    own = {
        "synthesize": ["synthesize.txt"],
        "assess": [f"{axis}-{params.get('assessment_prompt')}.txt" for axis in axes(params.get("level", "none"))],
    }
    return [*own.get(stage, []), *(["frames.yaml"] if STAGES[stage].model else [])]


def clusters(stage: str, params: dict[str, Any]) -> bool:
    """Tell whether a stage with these parameters makes clusters."""
    if stage == "synthesize":
        return params["demonstration_choice"] == "one_a_cluster"
    return stage == "filter" and any(step.startswith("density") for step in params["steps"])


def trained_in(stage: str, iteration: int, params: dict[str, Any]) -> int:
    """Return the iteration whose model a stage with these parameters uses; 0 is the base model."""
    if params.get("judge") == "base":
        return 0
    if params.get("setting") == "one_last":
        return iteration - 1
    return {"previous": iteration - 1, "current": iteration}.get(STAGES[stage].model, 0)
