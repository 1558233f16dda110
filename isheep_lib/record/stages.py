"""The stages: their order, and which of them may read what another writes."""

ORDER = ("synthesize", "assess", "filter", "train", "evaluate", "judge")
LEAVES = ("evaluate", "judge")  # no later iteration reads what these write


def steps(iterations: int, judged: bool = False) -> list[tuple[int, str]]:
    """List (iteration, stage) in the order of work, the evaluation of the base model first."""
    found = [(0, "evaluate"), (0, "judge"), *((k, stage) for k in range(1, iterations + 1) for stage in ORDER)]
    return [(k, stage) for k, stage in found if judged or stage != "judge"]


def feeds(stage: str, iteration: int, later: str, later_iteration: int) -> bool:
    """Tell whether a later stage may read what an earlier one writes."""
    return stage not in LEAVES or (later == "judge" and stage == "evaluate" and iteration == later_iteration)
