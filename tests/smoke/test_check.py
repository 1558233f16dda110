"""`isheep check` on a whole run of the tiny model: what is honest is explained, what was changed is found and named."""

import importlib.util
import json
import shutil
from pathlib import Path

import pytest

from isheep_lib.engines.exact.verdict import EXPLAINED, NOT_CHECKED, NOT_EXPLAINED
from isheep_lib.engines.transcript import tokens_of
from isheep_lib.errors import ModelError, ParameterError, RecordError
from isheep_lib.record import manifests
from isheep_lib.record.rows import read_jsonl, write_jsonl
from isheep_lib.record.verification import CHECKED, verify
from isheep_lib.rerun import check as rerun_check
from tests.runs import BIN, call

absent = importlib.util.find_spec("eval_framework") is None
pytestmark = pytest.mark.skipif(absent, reason="the IFEval prompts are not installed (make setup)")
STAGES = ("synthesize", "assess", "filter", "train", "evaluate")


@pytest.fixture
def copied(finished: Path, tmp_path: Path) -> Path:
    run = tmp_path / "run"
    shutil.copytree(finished, run)
    return run


def stage(run: Path, name: str) -> Path:
    return manifests.stage_folder(run, 1, name)


def recorded_anew(folder: Path, *names: str) -> None:
    """Describe edited outputs in the manifest, as somebody would who wants no digest to tell."""
    manifest = manifests.read_manifest(folder)
    assert manifest
    manifest["outputs"] |= {name: manifests.describe_file(folder / name) for name in names}
    manifests.write_manifest(folder, manifest)


@pytest.mark.long
def test_every_stage_of_an_honest_run_is_explained_and_the_result_stays_with_it(root: Path, copied: Path) -> None:
    ended = call(root, str(BIN / "isheep"), "check", str(copied), "--iteration", "0", "--iteration", "1")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    kept = json.loads((copied / CHECKED).read_text())
    assert {one["verdict"] for one in kept["stages"]} == {EXPLAINED}
    assert [one["stage"] for one in kept["stages"]] == ["evaluate", *STAGES]
    asked = [one["tokens"] for one in kept["stages"] if one["stage"] in ("synthesize", "evaluate")]
    assert all(one["same"] == one["tokens"] > 0 for one in asked)
    assert ended.stdout.splitlines()[-1] == kept["summary"]
    assert kept["summary"].startswith("Explained: 6 of 6 stages")
    assert all(verdict.holds for verdict in verify(copied))


@pytest.mark.long
def test_a_sample_is_shared_out_among_the_stages_and_repeats_only_a_training_that_is_named(copied: Path) -> None:
    found = {one.stage: one for one in rerun_check.check(copied, iterations=[1], sample=9)}
    assert {name: one.verdict for name, one in found.items()} == dict.fromkeys(STAGES, EXPLAINED) | {"train": NOT_CHECKED}
    assert found["synthesize"].tokens["answers_checked"] == found["synthesize"].tokens["scores"]["checked"] == 3
    (stage(copied, "train") / "adapter/adapter_model.safetensors").unlink()
    found = {one.stage: one for one in rerun_check.check(copied, iterations=[1], sample=9)}
    assert found["evaluate"].verdict == NOT_CHECKED
    assert "weights of iter-1/train are not at hand" in found["evaluate"].why
    found = {one.stage: one for one in rerun_check.check(copied, ["train", "evaluate"], [1], 9)}
    assert [one.verdict for one in found.values()] == [EXPLAINED] * 2


@pytest.mark.long
def test_an_edited_word_is_found_though_every_digest_was_made_anew(copied: Path) -> None:
    folder = stage(copied, "synthesize")
    rows = read_jsonl(folder / "examples.jsonl")
    rows[0]["output"] += " indeed"
    write_jsonl(folder / "examples.jsonl", rows)
    recorded_anew(folder, "examples.jsonl")
    (found,) = rerun_check.check(copied, ["synthesize"], [1])
    assert found.verdict == NOT_EXPLAINED
    assert f"1 row(s) differ: {rows[0]['id']}" in found.why


@pytest.mark.long
def test_a_token_that_was_edited_in_every_file_is_found_at_its_place(copied: Path) -> None:
    folder = stage(copied, "assess")
    rows = read_jsonl(folder / "transcript.jsonl")
    edited = next(row for row in rows if len(tokens_of(row)) > 1)
    first, *others = tokens_of(edited)
    edited["tokens"] = " ".join(map(str, [(first + 5) % 60, *others]))
    write_jsonl(folder / "transcript.jsonl", rows)
    recorded_anew(folder, "transcript.jsonl")
    (found,) = rerun_check.check(copied, ["assess"], [1])
    assert found.verdict == NOT_EXPLAINED
    assert (found.tokens["first"][0]["id"], found.tokens["first"][0]["token"]) == (edited["of"], 1)


@pytest.mark.long
def test_a_stage_that_asks_otherwise_than_its_record_says_so(copied: Path) -> None:
    folder = stage(copied, "synthesize")
    rows = read_jsonl(folder / "transcript.jsonl")
    write_jsonl(folder / "transcript.jsonl", [row for row in rows if "of" not in row])
    recorded_anew(folder, "transcript.jsonl")
    (found,) = rerun_check.check(copied, ["synthesize"], [1])
    assert found.verdict == NOT_EXPLAINED
    assert "asks what its record does not hold" in found.why


def test_a_record_without_a_transcript_is_refused_before_anything_is_computed(copied: Path) -> None:
    folder = stage(copied, "assess")
    manifest = manifests.read_manifest(folder)
    assert manifest
    del manifest["outputs"]["transcript.jsonl"]
    manifests.write_manifest(folder, manifest)
    with pytest.raises(RecordError, match=r"without their tokens and seeds: iter-1/assess[\s\S]*isheep rerun"):
        rerun_check.check(copied, ["assess"])
    assert not (copied / CHECKED).exists()


def test_a_file_that_is_not_as_recorded_and_a_stage_that_is_not_there_are_refused(copied: Path) -> None:
    with pytest.raises(ParameterError, match="iteration 9 is not recorded"):
        rerun_check.check(copied, iterations=[9])
    (stage(copied, "filter") / "kept.jsonl").write_text("{}\n")
    with pytest.raises(RecordError, match=r"kept\.jsonl"):
        rerun_check.check(copied, ["filter"])


def test_weights_that_are_not_at_hand_or_others_are_said_before_anything_is_computed(copied: Path, tmp_path: Path) -> None:
    (stage(copied, "train") / "adapter/adapter_model.safetensors").unlink()
    with pytest.raises(RecordError, match="adapter of iteration 1 is not at hand"):
        rerun_check.check(copied, ["evaluate"], [1])
    manifest = manifests.read_manifest(stage(copied, "synthesize"))
    assert manifest
    others = {
        "is another model": {"parts": {**manifest["parts"], "model": {"base": "0" * 64}}},
        "gone": {"parameters": {**manifest["parameters"], "base_model": str(tmp_path / "gone")}},
    }
    for said, change in others.items():
        manifests.write_manifest(stage(copied, "synthesize"), {**manifest, **change})
        with pytest.raises(ModelError, match=said):
            rerun_check.check(copied, ["synthesize"], [1])
