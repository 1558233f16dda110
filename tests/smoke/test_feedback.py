"""The family of feedback with the tiny model: what methods record, and a writing killed and resumed."""

import json
from pathlib import Path

import pytest

from isheep_lib.errors import YieldError
from isheep_lib.synthesize.feedback import skills
from tests.runs import alone, claimed, digests, journalled, killed_and_resumed

OPTIONS = {
    "llm2llm": {"rounds": 1, "per_seed": 2},
    "llms_as_instructors": {"rounds": 1, "learning": "error"},
    "autodetect": {"skills": 3, "first_cases": 4, "cases": 6, "references": 2, "weak_score": 9, "added_skills": 1},
    "rainbow": {"children": 24, "batch": 8},
}


def made(root: Path, run: Path, model: Path, method: str) -> Path:
    """Claim a run that writes by a method; of what the tiny model says, little is a task by the heuristic rules."""
    values = {
        "model.base_frame": "chatml",
        "synthesize.method": method,
        "synthesize.options": json.dumps(OPTIONS[method], separators=(",", ":")),
        "synthesize.instruction_rules": "false",
        "synthesize.max_rouge": "1.0",
        "synthesize.min_instructions": "1",
    }
    if method != "autodetect":
        seeds = run.with_suffix(".jsonl")
        tasks = [{"instruction": f"Add {n} and {n + 1}.", "output": str(2 * n + 1), "kind": "number"} for n in range(1, 17)]
        seeds.write_text("".join(json.dumps(task) + "\n" for task in tasks))
        values["synthesize.seeds"] = str(seeds)
    return claimed(root, run, model, *(f"{name}:{value}" for name, value in values.items()))


def rows(run: Path, name: str) -> list[dict]:
    return [json.loads(line) for line in (run / f"iter-1/synthesize/{name}.jsonl").read_text().splitlines()]


@pytest.mark.long
def test_an_archive_is_recorded_and_repeats_to_the_same_bytes(root: Path, tiny_model: Path, tmp_path: Path) -> None:
    run = made(root, tmp_path / "r", tiny_model, "rainbow")
    alone(root, run, "synthesize")
    kept, dropped = rows(run, "examples"), rows(run, "dropped")
    assert kept and len(kept) + len(dropped) == 24
    assert all(len(row["cell"]) == 3 and row["parents"] and row["round"] in (1, 2, 3) for row in [*kept, *dropped])
    assert {row["id"] for row in kept} <= {row["id"] for row in rows(run, "archive")}
    alone(root, run, "synthesize")  # a repetition is compared with the record, and raises where a byte differs


@pytest.mark.long
def test_skills_are_recorded_with_what_became_of_them(
    root: Path, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fives(said: str) -> list[str]:  # the tiny model writes no lists, so its words are taken five at a time
        return [" ".join(said.split()[place : place + 5]) for place in range(0, len(said.split()), 5)]

    monkeypatch.setattr(skills, "read_rules", fives)
    run = made(root, tmp_path / "r", tiny_model, "autodetect")
    alone(root, run, "synthesize")
    tested = [row for row in rows(run, "skills") if not row["reason"]]
    kept, dropped = rows(run, "examples"), rows(run, "dropped")
    assert kept and sum(row["cases"] for row in tested) == len(kept) + len(dropped)
    assert all(row["score"] <= 9 and row["skill"] in {skill["skill"] for skill in tested} for row in kept)
    assert len(tested) >= 3 and sum(row["scored"] for row in tested) >= len(kept)
    alone(root, run, "synthesize")  # a repetition is compared with the record, and raises where a byte differs


@pytest.mark.parametrize("method", ["llm2llm", "llms_as_instructors"])
def test_a_model_that_writes_no_answers_stops_with_reasons_and_examples(
    root: Path, tiny_model: Path, tmp_path: Path, method: str
) -> None:
    run = made(root, tmp_path / "r", tiny_model, method)
    with pytest.raises(YieldError, match=r"(?s)Only 0 .*no_answer\s+such as '"):
        alone(root, run, "synthesize")
    assert not (run / "iter-1/synthesize/manifest.json").exists()


@pytest.mark.long
def test_a_writing_that_was_killed_is_resumed_to_the_same_bytes(root: Path, tiny_model: Path, tmp_path: Path) -> None:
    whole, killed = (made(root, tmp_path / name, tiny_model, "rainbow") for name in ("whole", "killed"))
    alone(root, whole, "synthesize")
    killed_and_resumed(root, killed, lambda: journalled(killed, "synthesize", 5))
    assert digests(killed) == digests(whole)
