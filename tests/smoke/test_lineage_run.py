"""A pair of each of four families, made by the tiny model, is followed to what it was made from."""

from contextlib import nullcontext
from pathlib import Path

import pytest

from isheep_lib.explore import pair_history, pairs
from tests import formed
from tests.runs import alone
from tests.smoke import test_backtranslation as backtranslation
from tests.smoke import test_evolution as evolution
from tests.smoke import test_feedback as feedback


def grounded(root: Path, run: Path, model: Path, method: str) -> Path:
    return backtranslation.prepared(root, model, run.parent, run.name, method)


@pytest.mark.parametrize(
    ("made", "method", "form", "says", "back_to_seeds"),
    [
        (evolution.made, "evol_instruct", nullcontext, {"operator", "generation"}, True),
        (evolution.made, "iteralign", formed.bad_answers, {"operator", "constitution version", "first output"}, True),
        (feedback.made, "rainbow", nullcontext, {"operator", "cell", "round", "fitness"}, True),
        (grounded, "longform", nullcontext, {"document", "style"}, False),
    ],
)
def test_what_a_pair_was_made_from_is_shown(root, tiny_model, tmp_path, made, method, form, says, back_to_seeds) -> None:
    run = made(root, tmp_path / "r", tiny_model, method)
    with form():
        alone(root, run, "synthesize")
    found = pairs.pairs(run, 1)
    for row in found.rows:
        story = pair_history.follow(run, 1, row["id"])
        told = {line["what"]: line for line in story.origin.rows}
        if row["fate"] != pairs.NO_PAIR:
            assert says <= set(told), row
            assert all(line.get("in the record") != "" for line in told.values()), told
        if back_to_seeds:
            last = story.ancestors.rows[-1]
            assert last["id"].startswith("r-") or "seed" in last["id"] or ":" in last["id"], last
            assert all(line["instruction"] for line in story.ancestors.rows), story.ancestors.rows
    assert set(found.origins) & {"operator", "document"}
