"""A stage assess whose judges learn: recorded, the same bytes when repeated or interrupted, and usable by the filter."""

import json
from pathlib import Path

import pytest

from isheep_lib.engines.exact.verdict import EXPLAINED
from isheep_lib.iterate import judge_training
from isheep_lib.record.rows import read_jsonl
from isheep_lib.rerun.check import check
from tests.runs import alone, claimed, digests

LEARNING = (
    "assess.scorers:[pmi,learned] assess.checked_scorers:[verdict,learned] assess.vectors:false assess.learned_epochs:1 "
    "assess.learned_kinds:[shuffled,truncated,looped] filter.steps:[rules,threshold] filter.scorer:learned filter.threshold:-99"
)
JUDGES = ["judge-0", "judge-1", "judge-0-without-shuffled", "judge-0-without-truncated", "judge-0-without-looped"]


@pytest.fixture(scope="module")
def assessed(root: Path, tiny_model: Path, tmp_path_factory) -> Path:
    """Return a run with an assessed iteration."""
    run = claimed(root, tmp_path_factory.mktemp("learned") / "run", tiny_model, LEARNING, "model.numerics:exact")
    for stage in ("synthesize", "assess"):
        alone(root, run, stage)
    return run


@pytest.mark.long
def test_scores_judges_and_their_worth_are_on_record(assessed, root):
    folder = assessed / "iter-1/assess"
    outputs = json.loads((folder / "manifest.json").read_text())["outputs"]
    weights = [name for name in outputs if name.endswith(".safetensors")]
    assert weights == [f"judge-{fold}/adapter/adapter_model.safetensors" for fold in (0, 1)]
    examples, scores = (read_jsonl(assessed / f"iter-1/{name}.jsonl") for name in ("synthesize/examples", "assess/scores"))
    assert [row["id"] for row in scores] == [row["id"] for row in examples]
    assert all("learned" in row["scores"] for row in scores)
    learned = json.loads((folder / "learned.json").read_text())
    assert list(learned["judges"]) == JUDGES
    assert {kind: list(sides) for kind, sides in learned["auroc"].items()} == {
        kind: ["verdict", "learned_without", "learned"] for kind in ("shuffled", "truncated", "looped")
    }
    lessons = read_jsonl(folder / "lessons.jsonl")
    assert {row["judge"] for row in lessons} == {"", *JUDGES}
    fates = {row["id"]: row["fate"] for row in lessons if row["judge"] == ""}
    whole = {row["id"].partition("/")[0] for row in lessons if row["judge"] in JUDGES[:2]}
    assert whole | set(fates) == {row["id"] for row in examples}  # every pair is learned from, or has a reason
    alone(root, assessed, "filter")
    assert (assessed / "iter-1/filter/manifest.json").is_file()


@pytest.mark.long
def test_a_repetition_trains_and_asks_anew_and_finds_the_same_bytes(assessed, root):
    manifest = assessed / "iter-1/assess/manifest.json"
    before = manifest.read_bytes()
    alone(root, assessed, "assess")  # other bytes would be an error
    assert manifest.read_bytes() == before


@pytest.mark.long
def test_a_record_is_checked_by_training_the_judges_anew(assessed):
    (found,) = check(assessed, stages=["assess"])
    assert found.verdict == EXPLAINED, found.line()


@pytest.mark.long
def test_a_stage_that_was_stopped_between_its_trainings_ends_with_the_same_bytes(root, tiny_model, tmp_path, monkeypatch):
    runs = [claimed(root, tmp_path / name, tiny_model, LEARNING) for name in ("whole", "stopped")]
    for run in runs:
        alone(root, run, "synthesize")
    alone(root, runs[0], "assess")
    real, trained = judge_training._trained, []

    def stopping(stage, name, *given):
        if len(trained) == 2:
            raise KeyboardInterrupt
        trained.append(name)
        return real(stage, name, *given)

    monkeypatch.setattr(judge_training, "_trained", stopping)
    with pytest.raises(KeyboardInterrupt):
        alone(root, runs[1], "assess")
    monkeypatch.setattr(judge_training, "_trained", real)
    alone(root, runs[1], "assess")
    assert digests(runs[0]) == digests(runs[1])
