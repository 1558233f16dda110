"""A run whose tasks hold constraints, through real kernels: what it records, shows, drops and reports."""

import importlib.util
import json
from pathlib import Path

import pytest

from tests.runs import alone, call, claimed, command

needed = ("eval_framework", "if_verifiable", "llama_index")
absent = any(importlib.util.find_spec(name) is None for name in needed)
pytestmark = pytest.mark.skipif(absent, reason="IFBench's prompts or checkers are not installed (make setup)")

ASKED = (
    "synthesize.constraints:asked synthesize.constraints_per_task:1 "
    "synthesize.constraint_families:[no_questions,no_dashes,no_commas,semicolons_at_least] "
    "filter.steps:[rules,constraints_kept,threshold] filter.min_kept:1 evaluate.tasks:[ifeval:4,ifbench:4]"
)


def rows(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.long
def test_constraints_are_asked_checked_dropped_learned_and_told_apart_in_the_evaluation(
    root: Path, tiny_model: Path, tmp_path: Path
) -> None:
    run = tmp_path / "r"
    result = call(root, *command(run, tiny_model, 1), "--override", ASKED)
    assert result.returncode == 0, result.stderr[-3000:]
    made = rows(run / "iter-1/synthesize/examples.jsonl")
    assert all(row["instruction"].startswith(row["free_instruction"]) and len(row["constraints"]) == 1 for row in made)
    kept, dropped = (rows(run / f"iter-1/filter/{name}.jsonl") for name in ("kept", "dropped"))
    assert all(row["constraints"][0]["kept"] for row in kept)
    broken = [row for row in dropped if row["reason"] == "breaks_constraint"]
    assert broken and not any(row["constraints"][0]["kept"] for row in broken)
    shown = (run / "iter-1/synthesize/synthesize.ipynb").read_text()
    assert "WARNING: no answer meets semicolons_at_least" in shown
    metrics = json.loads((run / "iter-1/evaluate/metrics.json").read_text())["tasks"]
    assert metrics["ifbench"]["subset"] == "4 of 294 (seed 0)"
    assert "punctuation:no_comma" in metrics["ifeval"]["practised"]["types"]
    assert "practised" not in json.loads((run / "iter-0/evaluate/metrics.json").read_text())["tasks"]["ifeval"]
    for name in ("iter-0/evaluate", "iter-1/synthesize", "iter-1/evaluate"):
        assert json.loads((run / name / "manifest.json").read_text())["grade"]["name"] == "C"


@pytest.mark.long
def test_what_free_answers_meet_is_put_into_instructions_and_the_stage_repeats_to_the_same_bytes(
    root: Path, tiny_model: Path, tmp_path: Path
) -> None:
    overrides = ("synthesize.constraints:hindsight", "synthesize.constraint_families:[all]", "synthesize.response_tokens:200")
    run = claimed(root, tmp_path / "r", tiny_model, *overrides)
    alone(root, run, "synthesize")
    made = rows(run / "iter-1/synthesize/examples.jsonl")
    found = [row for row in made if "constraints" in row]
    assert found, "no answer of the tiny model ended with a rare fact"
    assert all(each["kept"] and each["share"] <= 0.2 for row in found for each in row["constraints"])
    assert all(row["finish"] != "length" and row["contrast"] == [] for row in found)
    alone(root, run, "synthesize")  # a repetition is compared with the record, and raises where a byte differs
