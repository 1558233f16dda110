"""The whole chain through real papermill and real kernels, with a tiny model: it runs, reuses, resumes, refuses."""

import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import psutil
import pytest

absent = importlib.util.find_spec("eval_framework") is None
pytestmark = pytest.mark.skipif(absent, reason="the IFEval prompts are not installed (make setup)")
BIN = Path(sys.executable).parent
PARAMS = "tests/smoke/tiny.yaml"


def command(run: Path, model: Path, iteration: int, *more: str) -> list[str]:
    override = f"model.base_model:{model}"
    return [
        str(BIN / "isheep"),
        "iterate",
        str(iteration),
        "--params",
        PARAMS,
        "--run",
        str(run),
        "--override",
        override,
        *more,
    ]


def call(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(arguments, cwd=root, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=600)


def digests(run: Path) -> dict[str, str]:
    """Collect what must be the same bytes: every output but the notebooks, which hold timings."""
    found = {}
    for path in run.glob("iter-*/*/manifest.json"):
        for name, kept in json.loads(path.read_text())["outputs"].items():
            if not name.endswith(".ipynb"):
                found[f"{path.parent.relative_to(run)}/{name}"] = kept["sha256"]
    return found


def parts(run: Path, stage: str) -> dict:
    return json.loads((run / stage / "manifest.json").read_text())["parts"]


@pytest.fixture(scope="module")
def finished(root: Path, tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run two iterations with papermill's own command, as a user would."""
    run = tmp_path_factory.mktemp("runs") / "whole"
    output = run.parent / "iterate.ipynb"
    parameters = {"iteration": 2, "params": PARAMS, "run": run, "override": f"model.base_model:{tiny_model}"}
    flags = [text for name, value in parameters.items() for text in ("-p", name, str(value))]
    result = call(root, str(BIN / "papermill"), "notebooks/iterate.ipynb", str(output), *flags)
    assert result.returncode == 0, result.stderr[-3000:]
    assert "iteration 2 train" in result.stderr, "progress did not reach the terminal through two levels of kernels"
    return run


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


def journalled(run: Path, stage: str, lines: int) -> bool:
    return any(p.read_bytes().count(b"\n") >= lines for p in (run / "iter-1" / stage).glob(".work-*/*.jsonl"))


POINTS = {
    "in the first round of instructions": lambda run: journalled(run, "synthesize", 4),
    "in the check of the assessment": lambda run: journalled(run, "assess", 2),
    "after the first checkpoint": lambda run: any(
        (run / "iter-1/train").glob(".work-*/checkpoints/checkpoint-*/trainer_state.json")
    ),
}


def kill_at(process: subprocess.Popen, reached, seconds: float = 180.0) -> None:
    """Kill the command and every kernel below it as soon as a point is reached."""
    deadline = time.monotonic() + seconds
    while not reached():
        assert process.poll() is None, "the run ended before the point was reached"
        assert time.monotonic() < deadline, "the point was not reached in time"
        time.sleep(0.005)
    family = psutil.Process(process.pid).children(recursive=True)
    os.kill(process.pid, signal.SIGKILL)
    for member in family:
        member.kill()
    psutil.wait_procs(family, timeout=20)
    process.wait()


def test_killed_at_several_points_and_resumed_the_files_are_the_same_bytes(
    root: Path, finished: Path, tiny_model: Path, tmp_path: Path
) -> None:
    run = tmp_path / "killed"
    shutil.copytree(finished / "iter-0", run / "iter-0")  # the base model's evaluation is not what is killed
    for point, reached in POINTS.items():
        started = subprocess.Popen(
            command(run, tiny_model, 1),
            cwd=root,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        kill_at(started, lambda reached=reached: reached(run))
        done = {p.parent.name for p in run.glob("iter-1/*/manifest.json")}
        assert len(done) < 4, f"killed {point}, but the stage was over: {done}"
    resumed = call(root, *command(run, tiny_model, 1))
    assert resumed.returncode == 0, resumed.stderr[-3000:]
    whole = {name: digest for name, digest in digests(finished).items() if not name.startswith("iter-2")}
    assert digests(run) == whole
