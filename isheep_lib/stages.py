"""The stages as a table: what each reads, what it writes, which model it uses.

Covers the graph of Algorithm 1. Does not cover how a stage works (the module of its name) or runs (`runner`).
"""

from dataclasses import dataclass
from typing import Any

from isheep_lib.catalogue import ALL, BENCHMARKS, parse_entry, parse_source
from isheep_lib.scorers import axes

ORDER = ("synthesize", "assess", "filter", "train", "evaluate", "judge")
LEAVES = ("evaluate", "judge")  # no later iteration reads what these write
# Prompts of a judge by benchmark.
READ_BY = {"alpaca_eval": ("pair",), "mt_bench": ("turn1", "turn1-reference", "turn2", "turn2-reference")}


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
        Stage(
            "filter",
            inputs=(
                (0, "synthesize", "examples.jsonl"),
                (0, "synthesize", "demonstrations.jsonl"),
                (0, "assess", "scores.jsonl"),
            ),
        ),
        Stage("train", inputs=((0, "filter", "kept.jsonl"),), model="base"),
        Stage("evaluate", model="current"),
        Stage("judge"),
    )
}


def steps(iterations: int, judged: bool = False) -> list[tuple[int, str]]:
    """List (iteration, stage) in the order of work, the evaluation of the base model first.

    Args:
        iterations: T.
        judged: a judge reads answers after each evaluation.
    """
    found = [(0, "evaluate"), (0, "judge"), *((k, stage) for k in range(1, iterations + 1) for stage in ORDER)]
    return [(k, stage) for k, stage in found if judged or stage != "judge"]


def feeds(stage: str, iteration: int, later: str, later_iteration: int) -> bool:
    """Tell whether a later stage may read what an earlier one writes."""
    return stage not in LEAVES or (later == "judge" and stage == "evaluate" and iteration == later_iteration)


def inputs_of(stage: str, iteration: int, params: dict[str, Any]) -> list[tuple[int, str, str]]:
    """Name the files that a stage with these parameters reads, as (iteration, stage, file)."""
    found = [(iteration - offset, name, file) for offset, name, file in STAGES[stage].inputs]
    earlier = range(1, iteration)
    if stage == "synthesize" and (params["dedup_scope"] == "run" or params["generated_demonstrations"]):
        found += [(k, "synthesize", "examples.jsonl") for k in earlier]
    if stage == "filter" and clusters(stage, params):
        found.append((iteration, "assess", "vectors.npy"))
    if stage == "judge":
        found += [(iteration, "evaluate", f"samples-{name}.jsonl") for name in params["judged"]]
    if stage == "train" and params["setting"] == "total_base":
        found = [(k, "filter", "kept.jsonl") for k in earlier] + found
    return found


def data_of(stage: str, params: dict[str, Any]) -> dict[str, str]:
    """Name the benchmarks whose items a stage with these parameters reads, each with its own source or ""."""
    if stage == "filter" and params["decontaminate"] != "ignore":
        entries = params["decontaminate_against"]
        named = dict(parse_source(entry) if "=" in entry else (entry, "") for entry in entries if entry != ALL)
        return (dict.fromkeys(BENCHMARKS, "") if ALL in entries else {}) | named
    if stage == "evaluate":
        own = dict(map(parse_source, params["data"]))
        return {name: own.get(name, "") for name, _ in map(parse_entry, params["tasks"])}
    return dict.fromkeys(params["judged"], "") if stage == "judge" else {}


def runs_programs(stage: str, params: dict[str, Any]) -> bool:
    """Tell whether a stage with these parameters runs programs that a model wrote."""
    return any(BENCHMARKS[name].kind == "code" for name in data_of(stage, params)) if stage == "evaluate" else False


def packages_of(stage: str, params: dict[str, Any]) -> list[str]:
    """Name the packages, engines apart, whose version decides what a stage with these parameters makes."""
    return [*(["scikit-learn"] if clusters(stage, params) else []), *(["lm_eval"] if stage == "evaluate" else [])]


def prompts_of(stage: str, params: dict[str, Any]) -> list[str]:
    """Name the prompt files that a stage with these parameters uses."""
    own = {
        "synthesize": ["synthesize.txt"],
        "assess": [f"{axis}-{params.get('assessment_prompt')}.txt" for axis in axes(params.get("level", "none"))],
        "judge": [f"judge-{kind}-{params.get('verdicts')}.txt" for name in params.get("judged", []) for kind in READ_BY[name]],
    }
    framed = STAGES[stage].model or params.get("judge_engine", "chat") != "chat"  # a chat server has its own frame
    return [*own.get(stage, []), *(["frames.yaml"] if framed else [])]


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
