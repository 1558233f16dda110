"""The stages as a table: what each reads, what it writes, which model it uses.

Covers the graph of Algorithm 1. Does not cover how a stage works (the module of its name) or runs (`runner`).
"""

from dataclasses import dataclass

ORDER = ("synthesize", "assess", "filter", "train", "evaluate")


@dataclass(frozen=True)
class Stage:
    """One row of the table.

    Attributes:
        name: module, notebook and manifest name.
        inputs: files of other stages, as iteration offset, stage and file.
        model: "previous" is M_{k-1}, "base" is M_0, "current" is M_k, "" is none.
        prompts: prompt files used.
    """

    name: str
    inputs: tuple[tuple[int, str, str], ...] = ()
    model: str = ""
    prompts: tuple[str, ...] = ()


STAGES = {
    stage.name: stage
    for stage in (
        Stage("synthesize", model="previous", prompts=("synthesize.txt", "frames.yaml")),
        Stage(
            "assess",
            inputs=((0, "synthesize", "examples.jsonl"),),
            model="previous",
            prompts=("quality.txt", "following.txt", "frames.yaml"),
        ),
        Stage("filter", inputs=((0, "synthesize", "examples.jsonl"), (0, "assess", "scores.jsonl"))),
        Stage("train", inputs=((0, "filter", "kept.jsonl"),), model="base", prompts=("frames.yaml",)),
        Stage("evaluate", model="current", prompts=("frames.yaml",)),
    )
}


def steps(iterations: int) -> list[tuple[int, str]]:
    """List (iteration, stage) in the order of work, the evaluation of the base model first."""
    return [(0, "evaluate"), *((k, stage) for k in range(1, iterations + 1) for stage in ORDER)]


def inputs_of(stage: str, iteration: int) -> list[tuple[int, str, str]]:
    """Name the files that a stage reads, as (iteration, stage, file)."""
    found = [(iteration - offset, name, file) for offset, name, file in STAGES[stage].inputs]
    if stage == "synthesize":  # accepted tasks of all earlier iterations count for deduplication
        found += [(k, "synthesize", "examples.jsonl") for k in range(1, iteration)]
    return found


def trained_in(stage: str, iteration: int) -> int:
    """Return the iteration whose adapter a stage uses on top of the base model; 0 is none."""
    return {"previous": iteration - 1, "current": iteration}.get(STAGES[stage].model, 0)
