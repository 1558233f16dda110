"""The families of evolution and revision with the tiny model: what methods record, and a writing killed and resumed."""

import json
from pathlib import Path

import pytest

from isheep_lib.errors import YieldError
from isheep_lib.sandbox.run import find_sandbox
from tests import formed
from tests.runs import alone, claimed, digests, journalled, killed_and_resumed

OPTIONS = {
    "evol_instruct": {"rounds": 2, "parents": 6, "operators": ["add_constraint", "in_breadth"], "weights": [3.0, 1.0]},
    "wizard_coder": {"rounds": 2, "parents": 4},
    "wizard_math": {"rounds": 2, "parents": 6, "votes": 3, "min_votes": 1, "checked_seeds": 4},
    "selective_reflection": {"parents": 12},
    "iteralign": {"batch": 6, "rounds": 2},
    "dromedary": {"topics": 3, "prompts_per_batch": 8, "max_batches": 1},
    "auto_evol": {"parents": 8, "steps": 2, "candidates": 2, "batch": 2, "stages": 2, "development": 4, "method_tokens": 64},
}


def made(root: Path, run: Path, model: Path, method: str) -> Path:
    """Claim a run that writes by a method; of what the tiny model says, little is a task by the heuristic rules."""
    seeds = run.with_suffix(".jsonl")
    tasks = [{"instruction": f"Add {n} and {n + 1}.", "output": str(2 * n + 1), "kind": "number"} for n in range(1, 21)]
    tasks += [{"instruction": f"Write a function that adds {n}.", "output": "None", "kind": "code"} for n in range(1, 21)]
    seeds.write_text("".join(json.dumps(task) + "\n" for task in tasks))
    values = {
        "synthesize.seeds": str(seeds),
        "model.base_frame": "chatml",
        "synthesize.method": method,
        "synthesize.options": json.dumps(OPTIONS[method], separators=(",", ":")),
        "synthesize.instruction_rules": "false",
        "synthesize.max_rouge": "1.0",
        "synthesize.min_instructions": "1",
    }
    return claimed(root, run, model, *(f"{name}:{value}" for name, value in values.items()))


def rows(run: Path, name: str) -> list[dict]:
    return [json.loads(line) for line in (run / f"iter-1/synthesize/{name}.jsonl").read_text().splitlines()]


LONG = [pytest.param(method, marks=pytest.mark.long) for method in ("wizard_math", "auto_evol")]


@pytest.mark.parametrize("method", ["evol_instruct", *LONG])
def test_a_method_writes_records_and_repeats_to_the_same_bytes(
    root: Path, tiny_model: Path, tmp_path: Path, method: str
) -> None:
    run = made(root, tmp_path / "r", tiny_model, method)
    alone(root, run, "synthesize")
    kept, dropped = rows(run, "examples"), rows(run, "dropped")
    assert kept
    assert all(row["parents"] and row["operator"] and row["generation"] in (1, 2) for row in [*kept, *dropped])
    assert all(row["reason"] for row in dropped)
    if method == "wizard_math":
        assert all(row["voted"] and row["votes"][row["voted"]] >= 1 for row in kept)
        assert len(rows(run, "checked_seeds")) == 4
    if method == "auto_evol":
        versions = rows(run, "methods")
        (chosen,) = [row["version"] for row in versions if row["chosen"]]
        assert {row["method_version"] for row in [*kept, *dropped]} == {chosen}
    alone(root, run, "synthesize")  # a repetition is compared with the record, and raises where a byte differs


@pytest.mark.skipif(not find_sandbox(), reason="bubblewrap does not work here")
def test_a_model_that_writes_no_programs_stops_wizard_coder_with_reasons_and_examples(
    root: Path, tiny_model: Path, tmp_path: Path
) -> None:
    run = made(root, tmp_path / "r", tiny_model, "wizard_coder")
    with pytest.raises(YieldError, match=r"(?s)Only 0 new instructions.*no_function\s+such as '"):
        alone(root, run, "synthesize")
    assert not (run / "iter-1/synthesize/manifest.json").exists()


def test_a_model_that_lists_no_topics_stops_dromedary_with_reasons_and_examples(
    root: Path, tiny_model: Path, tmp_path: Path
) -> None:
    run = made(root, tmp_path / "r", tiny_model, "dromedary")
    with pytest.raises(YieldError, match=r"No kind of questions got a topic; dropped: \d+ "):
        alone(root, run, "synthesize")


def test_a_model_that_finds_nothing_wrong_with_its_answers_stops_iteralign(
    root: Path, tiny_model: Path, tmp_path: Path
) -> None:
    run = made(root, tmp_path / "r", tiny_model, "iteralign")
    with pytest.raises(YieldError, match=r"6 no_violation\s+such as '"):
        alone(root, run, "synthesize")


def test_a_constitution_is_recorded_with_the_answers_that_were_revised_by_it(
    root: Path, tiny_model: Path, tmp_path: Path
) -> None:
    run = made(root, tmp_path / "r", tiny_model, "iteralign")
    with formed.bad_answers():
        alone(root, run, "synthesize")
    kept, rules = rows(run, "examples"), rows(run, "constitution")
    assert kept and any(not rule["reason"] for rule in rules)
    assert {row["constitution_version"] for row in kept} <= {rule["version"] for rule in rules}
    assert all(row["output"] != row["first_output"] for row in kept)


def test_revised_pairs_are_recorded_with_the_ratios_that_decided(root: Path, tiny_model: Path, tmp_path: Path) -> None:
    run = made(root, tmp_path / "r", tiny_model, "selective_reflection")
    alone(root, run, "synthesize")
    for row in (kept := rows(run, "examples")):
        assert "instruction" not in row["operator"] or row["ifd_revised"] > row["ifd_before"]
        assert "response" not in row["operator"] or row["rifd_revised"] < row["rifd_before"]
    assert kept and len(kept) + len(rows(run, "dropped")) == 12


@pytest.mark.long
def test_a_writing_that_was_killed_is_resumed_to_the_same_bytes(root: Path, tiny_model: Path, tmp_path: Path) -> None:
    whole, killed = (made(root, tmp_path / name, tiny_model, "wizard_math") for name in ("whole", "killed"))
    alone(root, whole, "synthesize")
    killed_and_resumed(root, killed, lambda: journalled(killed, "synthesize", 5))
    assert digests(killed) == digests(whole)


@pytest.mark.long
@pytest.mark.parametrize(
    ("method", "journal", "form"),
    [
        ("selective_reflection", "revisions", "as_it_is"),
        ("iteralign", "rounds", "bad_answers"),
        ("dromedary", "topics", "topics_in_lines"),
        ("dromedary", "instructions", "topics_in_lines"),
    ],
)
def test_a_revision_that_was_killed_is_resumed_to_the_same_bytes(
    root: Path, tiny_model: Path, tmp_path: Path, method: str, journal: str, form: str
) -> None:
    whole, killed = (made(root, tmp_path / name, tiny_model, method) for name in ("whole", "killed"))
    with getattr(formed, form)():
        alone(root, whole, "synthesize")
    path = f"iter-1/synthesize/.work-*/{journal}.jsonl"
    killed_and_resumed(root, killed, lambda: any(p.read_bytes().count(b"\n") >= 3 for p in killed.glob(path)), form)
    assert digests(killed) == digests(whole)
    assert rows(whole, "examples")
