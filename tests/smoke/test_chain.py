"""The whole chain through real papermill and real kernels, with a tiny model: it runs, reuses, resumes, refuses."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from tests.runs import BIN, call, command

absent = importlib.util.find_spec("eval_framework") is None
pytestmark = pytest.mark.skipif(absent, reason="the IFEval prompts are not installed (make setup)")


def parts(run: Path, stage: str) -> dict:
    return json.loads((run / stage / "manifest.json").read_text())["parts"]


def test_two_iterations_leave_a_manifest_and_an_executed_notebook_for_every_stage(finished: Path) -> None:
    stages = ["synthesize", "assess", "filter", "train", "evaluate"]
    expected = {"iter-0/evaluate"} | {f"iter-{k}/{stage}" for k in (1, 2) for stage in stages}
    assert {str(p.parent.relative_to(finished)) for p in finished.glob("*/*/manifest.json")} == expected
    for name in expected:
        stage = name.split("/")[1]
        manifest = json.loads((finished / name / "manifest.json").read_text())
        assert f"{stage}.ipynb" in manifest["outputs"], "the notebook is not part of the record"
        counts = manifest["counts"]
        assert counts["in"] == counts["kept"] + sum(counts["dropped"].values())
        assert not list((finished / name).glob(".*")), "unfinished work was left behind"


def test_the_second_iteration_starts_from_the_adapter_of_the_first(finished: Path) -> None:
    trained = json.loads((finished / "iter-1/train/manifest.json").read_text())["outputs"]
    used = json.loads((finished / "iter-2/synthesize/manifest.json").read_text())["parts"]["model"]
    assert used["iter-1/adapter"] == trained["adapter/adapter_model.safetensors"]["sha256"]
    assert [*parts(finished, "iter-2/train")["model"]] == ["base"]


def test_the_trained_model_is_held_against_its_training_before_it_is_asked(finished: Path) -> None:
    parity = json.loads((finished / "iter-1/train/parity.json").read_text())
    assert parity["largest difference, adapter and merged"] < 0.002
    for name in ("iter-1/evaluate", "iter-2/synthesize", "iter-2/assess"):
        engine = json.loads((finished / name / "manifest.json").read_text())["engine"]
        assert (engine["engine"], engine["dtype"]) == ("transformers", "float32")
        assert engine["parity"]["largest_difference"] <= engine["parity"]["tolerance"]


def test_an_engine_that_cannot_work_is_named_in_seconds_and_nothing_is_lost(
    root: Path, tiny_model: Path, tmp_path: Path
) -> None:
    override = f"model.base_model:{tiny_model} model.engine:server model.base_urls:[http://127.0.0.1:9/v1]"
    result = call(root, *command(tmp_path / "r", tiny_model, 1), "--override", override)
    assert result.returncode == 1
    assert "No server is reachable" in result.stderr
    assert "vllm serve" in result.stderr
    assert "Traceback" not in result.stderr


def test_no_instruction_is_accepted_twice_in_a_run(finished: Path) -> None:
    rows = [json.loads(line) for k in (1, 2) for line in (finished / f"iter-{k}/synthesize/examples.jsonl").open()]
    assert len({row["instruction"].lower() for row in rows}) == len(rows)
    assert len({row["id"] for row in rows}) == len(rows)


def test_progress_does_not_flood_the_executed_notebook(finished: Path) -> None:
    for path in finished.glob("*/*/*.ipynb"):
        for cell in nbformat.read(path, as_version=4).cells:
            assert len(cell.get("outputs", [])) <= 5, f"{path.name} {cell.id}"


def test_a_finished_run_is_reused_verified_and_shown(root: Path, finished: Path, tiny_model: Path) -> None:
    before = {p: p.stat().st_mtime_ns for p in finished.glob("iter-*/**/*") if p.is_file()}
    again = call(root, *command(finished, tiny_model, 2))
    assert again.returncode == 0, again.stderr[-3000:]
    assert {p: p.stat().st_mtime_ns for p in finished.glob("iter-*/**/*") if p.is_file()} == before
    verified = call(root, str(BIN / "isheep"), "verify", str(finished))
    assert verified.returncode == 0, verified.stdout
    shown = call(root, str(BIN / "isheep"), "status", str(finished))
    assert shown.returncode == 0
    assert "M_2" in shown.stdout


def test_a_stage_notebook_run_by_hand_on_a_finished_stage_gives_the_same_bytes(
    root: Path, finished: Path, tmp_path: Path
) -> None:
    output = tmp_path / "filter.ipynb"
    result = call(
        root, str(BIN / "papermill"), "notebooks/filter.ipynb", str(output), "-p", "run", str(finished), "-p", "iteration", "2"
    )
    assert result.returncode == 0, result.stderr[-3000:]
    assert "same bytes as the record" in output.read_text()


def test_other_parameters_are_refused_with_the_difference_shown(root: Path, finished: Path, tiny_model: Path) -> None:
    changed = command(finished, tiny_model, 2)
    changed[changed.index("--override") + 1] += " train.epochs:5 filter.threshold:0.5"
    result = call(root, *changed)
    assert result.returncode == 1
    assert "train.epochs: the run has 3, now 5" in result.stderr
    assert "filter.threshold: the run has -9.0, now 0.5" in result.stderr


def test_a_second_start_on_the_same_results_is_refused(root: Path, finished: Path, tiny_model: Path) -> None:
    from isheep_lib.store import RunLock

    lock = RunLock(finished)
    try:
        result = call(root, *command(finished, tiny_model, 2))
    finally:
        lock.release()
    assert result.returncode == 1
    assert f"process {os.getpid()}" in result.stderr


def test_an_edited_output_of_an_earlier_stage_stops_the_run_and_fails_verification(
    root: Path, finished: Path, tiny_model: Path
) -> None:
    path = finished / "iter-1/filter/kept.jsonl"
    original = path.read_bytes()
    try:
        path.write_bytes(original.replace(b"the", b"teh", 1))
        result = call(root, *command(finished, tiny_model, 2))
        verified = call(root, str(BIN / "isheep"), "verify", str(finished))
    finally:
        path.write_bytes(original)
    assert result.returncode == 1
    assert "kept.jsonl: changed" in result.stderr
    assert verified.returncode == 1
    assert "FAIL  iter-1/filter/kept.jsonl: changed" in verified.stdout


def shared(run: Path) -> set[str]:
    manifests = {str(p.parent.relative_to(run)): json.loads(p.read_text()) for p in run.glob("iter-*/*/manifest.json")}
    return {name for name, manifest in manifests.items() if manifest.get("shared_from") == "whole"}


def variant(root: Path, finished: Path, model: Path, name: str, iteration: int, *overrides: str) -> Path:
    """Run the same with other settings, beside the finished run."""
    run = finished.parent / name
    arguments = command(run, model, iteration)
    arguments[arguments.index("--override") + 1] += " " + " ".join(overrides)
    result = call(root, *arguments)
    assert result.returncode == 0, result.stderr[-3000:]
    assert call(root, str(BIN / "isheep"), "verify", str(run)).returncode == 0
    return run


EVERYTHING = {"iter-0/evaluate"} | {
    f"iter-{k}/{stage}" for k in (1, 2) for stage in ("synthesize", "assess", "filter", "train", "evaluate")
}


def test_one_last_shares_all_but_its_own_training_and_stacks_its_adapters(root: Path, finished: Path, tiny_model: Path) -> None:
    run = variant(root, finished, tiny_model, "one-last", 2, "train.setting:one_last")
    assert shared(run) == EVERYTHING - {"iter-2/train", "iter-2/evaluate"}
    assert [*parts(run, "iter-2/train")["model"]] == ["base", "iter-1/adapter"]
    assert [*parts(run, "iter-2/evaluate")["model"]] == ["base", "iter-1/adapter", "iter-2/adapter"]


@pytest.mark.slow
def test_total_base_shares_all_but_its_own_training_and_learns_from_both_iterations(
    root: Path, finished: Path, tiny_model: Path
) -> None:
    run = variant(root, finished, tiny_model, "total-base", 2, "train.setting:total_base")
    assert shared(run) == EVERYTHING - {"iter-2/train", "iter-2/evaluate"}
    assert [*parts(run, "iter-2/train")["inputs"]] == ["iter-1/filter/kept.jsonl", "iter-2/filter/kept.jsonl"]


@pytest.mark.slow
def test_self_instruct_shares_the_synthesis_assesses_nothing_and_keeps_everything(
    root: Path, finished: Path, tiny_model: Path
) -> None:
    nothing = ("assess.scorers:[]", "assess.checked_scorers:[]", "assess.vectors:false", "assess.level:none", "filter.steps:[]")
    run = variant(root, finished, tiny_model, "self-instruct", 1, *nothing)
    assert shared(run) == {"iter-0/evaluate", "iter-1/synthesize"}
    counts = json.loads((run / "iter-1/filter/manifest.json").read_text())["counts"]
    assert counts["in"] == counts["kept"]


@pytest.mark.slow
def test_a_base_judge_shares_the_first_iteration_and_judges_the_second_itself(
    root: Path, finished: Path, tiny_model: Path
) -> None:
    run = variant(root, finished, tiny_model, "base-judge", 2, "assess.judge:base")
    assert shared(run) >= {"iter-1/assess", "iter-2/synthesize"}
    assert [*parts(run, "iter-2/assess")["model"]] == ["base"]


# Here and not in a file of its own: its kernels and those of plain papermill listen on ports that Jupyter only hopes are
# still free, and the tests of one file never start kernels at the same time.
def test_the_filter_notebooks_of_the_reference_give_the_same_outputs_again(root: Path) -> None:
    reference = root / "results" / "reference" / "smollm2-135m"
    notebooks = sorted(str(path) for path in reference.glob("iter-*/filter/filter.ipynb"))
    assert len(notebooks) == 3
    nbval = [
        "--nbval",
        "--nbval-current-env",
        "--nbval-cell-timeout",
        "120",
        "--nbval-sanitize-with",
        str(root / "tests" / "golden" / "sanitize.cfg"),
    ]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-o", "addopts=", *nbval, *notebooks]
    result = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stdout[-4000:]
    assert "passed" in result.stdout
