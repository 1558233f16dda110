"""Real processes: two train what one trains, on one machine or two, and none outlives whoever started it."""

import json
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import nbformat
import psutil
import pytest

from isheep_lib.errors import TrainingError
from isheep_lib.train import launch
from isheep_lib.train.job import Job, save_rows
from isheep_lib.train.run import Trained, fine_tune
from tests.runs import BIN, PARAMS, alone, call, claimed
from tests.trainings import DATA, SEED, assert_the_same, fine_tuned, laid_out

LONG = {"epochs": 30}  # 60 steps: enough for a kill to find it at work
TWO = {"num_processes": 2}


@pytest.fixture(scope="module")
def alone_(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Trained]:
    """Return what one process trains."""
    folder = tmp_path_factory.mktemp("alone")
    return folder, fine_tuned(tiny_model, folder)


@pytest.fixture(scope="module")
def alone_long(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Trained]:
    folder = tmp_path_factory.mktemp("long")
    return folder, fine_tuned(tiny_model, folder, **LONG)


def trainers() -> list[psutil.Process]:
    """List the training processes below this one."""
    found = []
    for process in psutil.Process().children(recursive=True):
        try:
            if "isheep_lib.train.trainer" in process.cmdline():
                found.append(process)
        except psutil.Error:
            continue
    return found


def wait_until(reached, process: subprocess.Popen | None = None, seconds: float = 240.0) -> None:
    deadline = time.monotonic() + seconds
    while not reached():
        assert process is None or process.poll() is None, f"it ended early: {process.args}"
        assert time.monotonic() < deadline, "it was not reached in time"
        time.sleep(0.02)


def is_saved(work: Path, step: int) -> bool:
    return (work / f"checkpoints/checkpoint-{step}/whole.json").exists()


@pytest.mark.long
def test_two_processes_train_what_one_does(alone_, tiny_model: Path, tmp_path: Path, capfd) -> None:
    found = fine_tuned(tiny_model, tmp_path, **TWO)
    assert_the_same(alone_, (tmp_path, found))
    assert found.speed["began_after_step"] == 0
    assert "4/4" in capfd.readouterr().err, "the processes' progress did not reach the terminal"
    assert not trainers()


@pytest.mark.long
def test_two_processes_learn_from_pairs_what_one_does(tiny_model: Path, tmp_path: Path) -> None:
    dpo = {"objective": "dpo", "objective_options": {"sft_weight": 0.5}}
    alone = fine_tuned(tiny_model, tmp_path / "alone", **dpo)
    found = fine_tuned(tiny_model, tmp_path / "two", **dpo, **TWO)
    assert_the_same((tmp_path / "alone", alone), (tmp_path / "two", found))
    assert len(found.start) == len(alone.start) == 10
    for one, other in zip(alone.start, found.start, strict=True):
        assert other == pytest.approx(one, abs=1e-5)


STARTER = """
import sys
from pathlib import Path
from isheep_lib.train import launch
from isheep_lib.train.job import Job

launch.start(Path(sys.argv[1]), Job.load(Path(sys.argv[1])).params)
"""


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_no_process_outlives_a_notebook_that_is_killed_and_one_alone_can_go_on(
    alone_long, tiny_model: Path, root: Path, tmp_path: Path, how: signal.Signals
) -> None:
    work, layout = tmp_path / "work", laid_out(tiny_model, **LONG, **TWO)
    save_rows(DATA, work)
    file = Job(tiny_model, layout.params, SEED, work).save()
    starter = subprocess.Popen([sys.executable, "-c", STARTER, str(file)], cwd=root, stdin=subprocess.DEVNULL)
    wait_until(lambda: is_saved(work, 4), starter)
    family = psutil.Process(starter.pid).children(recursive=True)
    assert len(family) == 3, "accelerate and two processes"
    starter.send_signal(how)
    starter.wait()
    assert not psutil.wait_procs(family, timeout=60)[1]
    assert not (work / "result.json").exists()
    found = fine_tuned(tiny_model, tmp_path, **LONG)
    assert found.speed["began_after_step"] >= 4
    assert_the_same(alone_long, (tmp_path, found))


@pytest.mark.slow
def test_what_one_process_began_two_can_end(alone_long, tiny_model: Path, tmp_path: Path, monkeypatch, capsys) -> None:
    from isheep_lib.train import checkpoints, trainer

    class Killed(BaseException):
        pass

    def dies(path: Path, job: str) -> None:
        if checkpoints.step_of(path) == 10:
            raise Killed
        plain(path, job)

    plain = checkpoints.mark_whole
    monkeypatch.setattr(trainer.checkpoints, "mark_whole", dies)
    with pytest.raises(Killed):
        fine_tuned(tiny_model, tmp_path, **LONG)
    monkeypatch.undo()
    found = fine_tuned(tiny_model, tmp_path, **LONG, **TWO)
    assert found.speed["began_after_step"] == 8
    assert_the_same(alone_long, (tmp_path, found))
    said = "checkpoint-10 is torn (it was not finished) and was skipped: training goes on after step 8"
    assert said in capsys.readouterr().out.splitlines()


@pytest.mark.slow
def test_a_process_that_is_killed_takes_the_others_with_it_and_is_reported(tiny_model: Path, tmp_path: Path) -> None:
    def kill_one() -> None:
        wait_until(lambda: is_saved(tmp_path / "work", 2))
        trainers()[-1].kill()

    killer = threading.Thread(target=kill_one, daemon=True)
    killer.start()
    with pytest.raises(TrainingError, match=r"ended with code 1(.|\n)*SIGKILL(.|\n)*training\.log(.|\n)*whole checkpoint"):
        fine_tuned(tiny_model, tmp_path, **LONG, **TWO)
    killer.join()
    assert not trainers()
    assert not (tmp_path / "work/job.json").exists(), "a machine could still join it"


@pytest.mark.slow
def test_what_stops_a_process_is_in_the_error(tiny_model: Path, tmp_path: Path) -> None:
    layout = laid_out(tiny_model, **TWO)
    (tmp_path / "model").mkdir()
    for path in tiny_model.iterdir():
        cut = path.read_bytes()[:100] if path.suffix == ".safetensors" else path.read_bytes()
        (tmp_path / "model" / path.name).write_bytes(cut)
    save_rows(DATA, tmp_path / "work")
    file = Job(tmp_path / "model", layout.params, SEED, tmp_path / "work").save()
    with pytest.raises(TrainingError, match="SafetensorError"):
        launch.start(file, layout.params)
    assert not trainers()


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def joining(root: Path, run: Path) -> subprocess.Popen:
    parts = [str(BIN / "isheep"), "join", str(run), "1", "--machine", "1", "--timeout", "300"]
    return subprocess.Popen(
        parts, cwd=root, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


@pytest.mark.slow
def test_two_machines_train_what_one_process_does(alone_, root: Path, tiny_model: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run/iter-1/train"
    joined = joining(root, tmp_path / "run")  # before there is anything to join
    where = {**TWO, "num_machines": 2, "main_address": f"127.0.0.1:{free_port()}"}
    found = fine_tune(laid_out(tiny_model, **where), folder / ".work-a", tmp_path / "out")
    assert joined.wait(60) == 0, joined.stdout.read()
    assert joined.stdout.read() == "this machine's part of iteration 1 is done\n"
    assert_the_same(alone_, (tmp_path, found))
    assert (folder / ".work-a/training-1.log").exists()


@pytest.mark.slow
def test_a_machine_that_brings_another_training_is_refused(root: Path, tiny_model: Path, tmp_path: Path) -> None:
    """An attempt with another learning rate was killed and has left its job; the other machine finds that one."""
    folder, where = tmp_path / "run/iter-1/train", {**TWO, "num_machines": 2, "main_address": f"127.0.0.1:{free_port()}"}
    old = laid_out(tiny_model, **where, learning_rate=0.5)
    save_rows(DATA, folder / ".work-old")
    Job(tiny_model, old.params, SEED, folder / ".work-old").save()
    joined = joining(root, tmp_path / "run")
    wait_until((folder / ".work-old/training-1.log").exists, joined)
    with pytest.raises(TrainingError):
        fine_tune(laid_out(tiny_model, **where), folder / ".work-new", tmp_path / "out")
    assert joined.wait(60) == 1
    assert "This process was started for another training than the first one" in joined.stdout.read()
    assert not list(folder.glob(".work-*/checkpoints/*"))


def prepared(finished: Path, run: Path) -> Path:
    """Return a run whose next stage is the first training."""
    for done in ("iter-0/evaluate", *(f"iter-1/{stage}" for stage in ("synthesize", "assess", "filter"))):
        shutil.copytree(finished / done, run / done)
    return run


@pytest.mark.slow
def test_a_stage_of_two_processes_is_recorded_as_that_of_one(
    root: Path, finished: Path, tiny_model: Path, tmp_path: Path
) -> None:
    one = claimed(root, prepared(finished, tmp_path / "one"), tiny_model, "train.micro_batch:1")
    alone(root, one, "train")
    two = prepared(finished, tmp_path / "two")
    override = f"model.base_model:{tiny_model} train.micro_batch:1 train.num_processes:2"
    more = ("--params", PARAMS, "--run", str(two), "--override", override, "--no-share")  # else it takes what the other made
    done = call(root, str(BIN / "isheep"), "iterate", "1", *more)
    assert done.returncode == 0, done.stderr[-3000:]
    lines = [line for line in done.stderr.replace("\r", "\n").splitlines() if "training:" in line]
    shown = any("train, stage 4 of 5 of iteration 1: training" in line for line in lines)
    assert shown, "the processes' progress did not reach the terminal"
    first, second = (json.loads((run / "iter-1/train/manifest.json").read_text()) for run in (one, two))
    assert second["fingerprint"] == first["fingerprint"]
    assert second["parameters"]["num_processes"] == 2
    for name in ("adapter/adapter_model.safetensors", "adapter/adapter_config.json", "log.jsonl", "rows.jsonl"):
        assert second["outputs"][name]["sha256"] == first["outputs"][name]["sha256"], name
    book = nbformat.read(two / "iter-1/train/train.ipynb", as_version=4)
    (said,) = (json.dumps(cell.outputs) for cell in book.cells if cell.id == "train")
    assert not [place for place in (root, tmp_path, tiny_model, BIN, Path.home()) if f"{place}/" in said]
    assert not list((two / "iter-1/train").glob(".work-*"))


def by_hand(root: Path, run: Path, stage: str, iteration: int) -> None:
    names: dict = {}
    for cell in nbformat.read(root / f"notebooks/{stage}.ipynb", as_version=4).cells:
        if cell.cell_type == "code":
            exec(cell.source, names)
            if cell.id == "parameters":
                names |= {"run": str(run), "iteration": iteration}


@pytest.mark.slow
def test_a_model_whose_weights_were_all_trained_is_evaluated_and_synthesizes(
    root: Path, finished: Path, tiny_model: Path, tmp_path: Path
) -> None:
    more = ("train.method:full", "train.learning_rate:0.0001", "evaluate.tasks:[arc_easy:2]")
    run = claimed(root, prepared(finished, tmp_path / "full"), tiny_model, *more)
    for stage, iteration in (("train", 1), ("evaluate", 1), ("synthesize", 2)):
        by_hand(root, run, stage, iteration)
    found = {
        name: json.loads((run / name / "manifest.json").read_text())
        for name in ("iter-1/train", "iter-1/evaluate", "iter-2/synthesize")
    }
    weights = found["iter-1/train"]["outputs"]["model/model.safetensors"]["sha256"]
    assert found["iter-1/evaluate"]["parts"]["model"]["iter-1/model"] == weights
    assert found["iter-2/synthesize"]["parts"]["model"]["iter-1/model"] == weights
    parity = json.loads((run / "iter-1/train/parity.json").read_text())
    assert parity["largest change by the adapter"] > 0
    assert parity["largest difference, adapter and merged"] == 0
    assert found["iter-2/synthesize"]["engine"]["parity"]["largest_difference"] < 0.002
