"""A second tiny model writes the tasks and the first one answers them: record, repetition, and what `isheep check` says."""

import gc
import json
import shutil
from pathlib import Path

import pytest

from isheep_lib.engines.exact.verdict import EXPLAINED, NOT_EXPLAINED
from isheep_lib.engines.transcript import TRANSCRIPT
from isheep_lib.errors import EngineError, ModelError
from isheep_lib.record.manifests import describe_file, write_manifest
from isheep_lib.record.rows import read_jsonl, write_jsonl
from isheep_lib.record.verification import verify
from isheep_lib.rerun import check as rerun_check
from isheep_lib.synthesize.extras import writers
from tests.runs import alone, claimed
from tests.teachers import teacher_beside

SETTINGS = ("synthesize.instructions:8", "synthesize.min_instructions:2", "synthesize.instruction_rules:false")


@pytest.fixture(scope="module")
def teacher(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return teacher_beside(tiny_model, tmp_path_factory.mktemp("teacher") / "model")


@pytest.fixture(scope="module")
def written(root: Path, tiny_model: Path, teacher: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a run whose tasks a teacher wrote."""
    run = claimed(root, tmp_path_factory.mktemp("taught") / "run", tiny_model, *SETTINGS, f"synthesize.teacher:{teacher}")
    alone(root, run, "synthesize")
    return run


def record(run: Path) -> dict:
    return json.loads((run / "iter-1/synthesize/manifest.json").read_text())


def rows(run: Path, name: str) -> list[dict]:
    return read_jsonl(run / f"iter-1/synthesize/{name}")


def asked(run: Path, file: str) -> set[str]:
    return {row["of"] for row in rows(run, file) if "of" in row}


def test_the_teacher_writes_the_model_answers_and_the_manifest_says_so(written, root, tiny_model, teacher, tmp_path):
    manifest = record(written)
    assert manifest["grade"]["not_self_contained"] == f"{teacher} writes its tasks"
    assert manifest["teacher"]["name"] == str(teacher)
    assert manifest["teacher"]["digest"] == manifest["parts"]["teacher"]["model"] != manifest["parts"]["model"]["base"]
    assert (manifest["teacher"]["frame"], manifest["teacher"]["engine"]) == ("tokenizer", "transformers")
    examples = rows(written, "examples.jsonl")
    assert asked(written, TRANSCRIPT) == {row["id"] for row in examples}, "the model answers, and does nothing else"
    assert asked(written, writers.TRANSCRIPT) and not asked(written, writers.TRANSCRIPT) & asked(written, TRANSCRIPT)
    own = claimed(root, tmp_path / "own", tiny_model, *SETTINGS)
    alone(root, own, "synthesize")
    assert "teacher" not in record(own) and "not_self_contained" not in record(own)["grade"]
    assert {row["instruction"] for row in rows(own, "examples.jsonl")} != {row["instruction"] for row in examples}


def test_a_teacher_that_answers_as_it_writes_leaves_nothing_to_the_model(root, tiny_model, teacher, tmp_path):
    options = ["synthesize.instruction_tokens:256", 'synthesize.options:{"rounds":1,"parents":10,"operators":["in_breadth"]}']
    values = ["synthesize.instruction_rules:false", "synthesize.max_rouge:1.0", "synthesize.min_instructions:1", *options]
    method = ["model.base_frame:chatml", "synthesize.method:evol_instruct", f"synthesize.teacher:{teacher}"]
    run = claimed(root, tmp_path / "run", tiny_model, *values, *method)
    alone(root, run, "synthesize")
    assert rows(run, "examples.jsonl") and asked(run, writers.TRANSCRIPT) and not asked(run, TRANSCRIPT)


def test_one_model_is_open_at_a_time(written, root, tiny_model, teacher, tmp_path, monkeypatch):
    opened = []
    really = writers.open_engine

    def watched(model, settings):
        assert not [engine for engine in opened if engine.model is not None], "two models are in memory"
        opened.append(really(model, settings))
        return opened[-1]

    monkeypatch.setattr(writers, "open_engine", watched)
    monkeypatch.setattr("isheep_lib.iterate.session.open_engine", watched)
    run = claimed(root, tmp_path / "run", tiny_model, *SETTINGS, f"synthesize.teacher:{teacher}")
    alone(root, run, "synthesize")
    assert len(opened) == 2
    assert record(run)["outputs"] == record(written)["outputs"]


def test_a_repetition_finds_the_same_bytes_and_a_check_holds_each_answer_against_who_gave_it(written, root):
    before = record(written)
    alone(root, written, "synthesize")  # other bytes would be an error
    assert record(written) == before
    assert all(verdict.holds for verdict in verify(written))
    (found,) = rerun_check.check(written, ["synthesize"])
    assert (found.verdict, found.tokens["same"]) == (EXPLAINED, found.tokens["tokens"])
    each = [model["answers"] for model in found.tokens["models"]]
    assert each == [len(asked(written, writers.TRANSCRIPT)), len(asked(written, TRANSCRIPT))]


def test_a_check_finds_a_task_that_the_teacher_did_not_write(written, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(written, run)
    manifest, path = record(run), run / f"iter-1/synthesize/{writers.TRANSCRIPT}"
    told = rows(run, writers.TRANSCRIPT)
    answer = next(row for row in told if len(row.get("tokens", "").split()) > 3)
    first, second, third, *rest = answer["tokens"].split()
    answer["tokens"] = " ".join([first, second, str(int(third) + 1), *rest])
    write_jsonl(path, told)
    manifest["outputs"][writers.TRANSCRIPT] = describe_file(path)
    write_manifest(path.parent, manifest)
    (found,) = rerun_check.check(run, ["synthesize"])
    assert found.verdict == NOT_EXPLAINED


def test_a_check_with_another_teacher_is_refused(written, teacher, tiny_model, tmp_path):
    other = teacher_beside(tiny_model, tmp_path / "other", seed=2)
    weights = teacher / "model.safetensors"
    before = weights.read_bytes()
    shutil.copyfile(other / "model.safetensors", weights)
    try:
        with pytest.raises(ModelError, match=r"The teacher .* here is another model"):
            rerun_check.check(written, ["synthesize"])
    finally:
        weights.write_bytes(before)


def test_a_stage_that_ends_before_the_answers_goes_on_to_the_same_bytes(
    written, root, tiny_model, teacher, tmp_path, monkeypatch
):
    run = claimed(root, tmp_path / "run", tiny_model, *SETTINGS, f"synthesize.teacher:{teacher}")

    def ends(self, writing):
        raise EngineError("ended here", where="the test")

    with monkeypatch.context() as patched:
        patched.setattr(writers.Writer, "answering", ends)
        with pytest.raises(EngineError, match="ended here"):
            alone(root, run, "synthesize")
    gc.collect()  # the notebook's names are gone, and with them lock and journals
    (journal,) = (run / "iter-1/synthesize").glob(f".work-*/{writers.JOURNAL}.jsonl")
    assert journal.stat().st_size
    alone(root, run, "synthesize")
    assert record(run)["outputs"] == record(written)["outputs"]
