"""A kill at any moment, with real kernels: resumed, the run is the same bytes as one that nobody killed."""

import importlib.util
import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from isheep_lib.train.dataset import Data
from isheep_lib.train.job import Job, save_rows
from tests.runs import call, command, digests, journalled, kill_at
from tests.trainings import SEED, drawn, train_params

absent = importlib.util.find_spec("eval_framework") is None
whole_runs = pytest.mark.skipif(absent, reason="the IFEval prompts are not installed (make setup)")


POINTS = {
    "in the first round of instructions": lambda run: journalled(run, "synthesize", 4),
    "in the check of the assessment": lambda run: journalled(run, "assess", 2),
    "after the first checkpoint": lambda run: any(
        (run / "iter-1/train").glob(".work-*/checkpoints/checkpoint-*/trainer_state.json")
    ),
}


def started(root: Path, run: Path, model: Path) -> subprocess.Popen:
    with open(log_of(run), "w") as log:
        return subprocess.Popen(command(run, model, 1), cwd=root, stdin=subprocess.DEVNULL, stdout=log, stderr=log)


def log_of(run: Path) -> Path:
    return run.with_suffix(".log")


def killed_and_resumed(root: Path, finished: Path, model: Path, run: Path, *points: str) -> None:
    for point in points:
        kill_at(started(root, run, model), log_of(run), lambda point=point: POINTS[point](run))
        assert not (run / "iter-1/train/manifest.json").exists(), f"killed {point}, but the stage was over"
    resumed = call(root, *command(run, model, 1))
    assert resumed.returncode == 0, resumed.stderr[-3000:]
    whole = {name: digest for name, digest in digests(finished).items() if not name.startswith("iter-2")}
    assert digests(run) == whole


@whole_runs
@pytest.mark.long
def test_killed_after_a_checkpoint_and_resumed_the_files_are_the_same_bytes(
    root: Path, finished: Path, tiny_model: Path, tmp_path: Path
) -> None:
    run = tmp_path / "killed"
    # With the evaluation at hand, too: another adapter would make it stale, and that stops the resumed run.
    for done in ("iter-0/evaluate", *(f"iter-1/{stage}" for stage in ("synthesize", "assess", "filter", "evaluate"))):
        shutil.copytree(finished / done, run / done)
    killed_and_resumed(root, finished, tiny_model, run, "after the first checkpoint")


@whole_runs
@pytest.mark.slow
def test_killed_at_several_points_and_resumed_the_files_are_the_same_bytes(
    root: Path, finished: Path, tiny_model: Path, tmp_path: Path
) -> None:
    run = tmp_path / "killed"
    shutil.copytree(finished / "iter-0", run / "iter-0")  # the base model's evaluation is not what is killed
    killed_and_resumed(root, finished, tiny_model, run, *POINTS)


@whole_runs
@pytest.mark.long
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_to_the_command_alone_ends_every_kernel_in_seconds_and_says_how_to_go_on(
    root: Path, tiny_model: Path, tmp_path: Path, number: int
) -> None:
    process = started(root, tmp_path / "run", tiny_model)
    deadline = time.monotonic() + 180
    while not any((tmp_path / "run").glob("iter-1/synthesize/.work-*")):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    family = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(number)
    assert process.wait(timeout=15) == 128 + number
    _, alive = psutil.wait_procs(family, timeout=5)
    assert not alive
    said = log_of(tmp_path / "run").read_text().splitlines()
    assert said[-1].startswith("Stopped: 1 finished stage(s) are kept")
    assert f"--run {tmp_path / 'run'}" in said[-1]
    assert not any("Error" in line or "IPKernelApp" in line for line in said)


def training(model: Path, work: Path) -> Path:
    """Write a training of 40 steps, with dropout, and return its job."""
    save_rows(Data(drawn("learned", 8), drawn("held", 2), {}, []), work)
    return Job(model, train_params(epochs=20), SEED, work).save()


def trainer_process(root: Path, job_file: Path) -> subprocess.Popen:
    with open(log_of(job_file.parent), "a") as log:
        command = [sys.executable, "-m", "isheep_lib.train.trainer", str(job_file)]
        return subprocess.Popen(command, cwd=root, stdin=subprocess.DEVNULL, stdout=log, stderr=log)


def began(checkpoints: Path, step: int) -> bool:
    """Tell whether a checkpoint is being written; files of it may be absent or cut."""
    return (checkpoints / f"checkpoint-{step}").exists()


@pytest.mark.slow
def test_a_training_killed_three_times_as_it_writes_leaves_the_weights_and_the_log_of_one_that_was_not(
    root: Path, tiny_model: Path, tmp_path: Path
) -> None:
    jobs = {name: training(tiny_model, tmp_path / name) for name in ("whole", "killed")}
    assert trainer_process(root, jobs["whole"]).wait() == 0
    work = jobs["killed"].parent
    for step in (2, 14, 30):
        process = trainer_process(root, jobs["killed"])
        kill_at(process, log_of(work), lambda step=step: began(work / "checkpoints", step))
        assert not (work / "result.json").exists()
    assert trainer_process(root, jobs["killed"]).wait() == 0
    whole, killed = (json.loads((tmp_path / name / "result.json").read_text()) for name in jobs)
    assert killed["began_after_step"] >= 28
    assert killed["log"] == whole["log"]
    for path in (tmp_path / "whole/checkpoints").rglob("adapter_model.safetensors"):
        assert (work / path.relative_to(tmp_path / "whole")).read_bytes() == path.read_bytes(), path.parent.name
