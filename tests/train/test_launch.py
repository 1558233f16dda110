"""Starting processes: whether they can be, the command, what is seen of them, and that none is left; no training here."""

import json
import os
import signal
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest
import torch

from isheep_lib.errors import EngineError, RecordError, TrainingError
from isheep_lib.iterate.run_params import TrainParams
from isheep_lib.record.manifests import write_manifest
from isheep_lib.train import launch
from isheep_lib.train.job import Job


def params(**changed):
    return TrainParams(run="r", **{"num_processes": 2, **changed})


@pytest.mark.parametrize("name", ["ddp", "fsdp2", "zero3"])
def test_a_shipped_config_is_found_by_name(name):
    assert launch.config_file(name) == launch.FOLDER / f"{name}.yaml"
    assert name in launch.SHIPPED


def test_a_config_of_ones_own_is_found_by_path(tmp_path, monkeypatch):
    (tmp_path / "mine.yaml").write_text("distributed_type: MULTI_GPU\n")
    monkeypatch.chdir(tmp_path)
    assert launch.config_file("mine.yaml") == launch.config_file(str(tmp_path / "mine.yaml")) == tmp_path / "mine.yaml"


def test_a_config_that_is_not_there_names_those_that_are():
    with pytest.raises(TrainingError, match=r"'fdsp2'(.|\n)*train\.parallel(.|\n)*ddp, fsdp2, zero3"):
        launch.config_file("fdsp2")


def as_accelerate_has_it(name, **more):
    """Return what accelerate makes of our command: the config, and what the command line says."""
    from accelerate.commands.launch import _validate_launch_command, launch_command_parser

    started = launch.command(Path("/job.json"), params(parallel=name, **more))
    assert started[:3] == [sys.executable, "-m", "accelerate.commands.launch"]
    return _validate_launch_command(launch_command_parser().parse_args(started[3:]))[0]


@pytest.mark.parametrize(
    ("name", "distributed", "kept"),
    [
        ("ddp", "MULTI_GPU", {}),
        (
            "fsdp2",
            "FSDP",
            {
                "fsdp_version": 2,
                "fsdp_state_dict_type": "SHARDED_STATE_DICT",
                "fsdp_auto_wrap_policy": "TRANSFORMER_BASED_WRAP",
            },
        ),
        ("zero3", "DEEPSPEED", {"zero_stage": 3, "zero3_save_16bit_model": True, "deepspeed_multinode_launcher": "standard"}),
    ],
)
def test_accelerate_reads_a_shipped_config_as_what_it_says(name, distributed, kept):
    from accelerate.commands.config.config_args import load_config_from_file

    found = load_config_from_file(str(launch.config_file(name)))
    assert found.distributed_type.value == distributed
    assert kept.items() <= {**found.fsdp_config, **found.deepspeed_config}.items()
    merged = as_accelerate_has_it(name, num_processes=4)
    assert [merged.multi_gpu, merged.use_fsdp, merged.use_deepspeed] == [
        distributed == kind for kind in ("MULTI_GPU", "FSDP", "DEEPSPEED")
    ]
    assert (merged.num_processes, merged.num_machines, merged.mixed_precision) == (4, 1, "no")
    assert (merged.module, merged.training_script, merged.training_script_args) == (
        True,
        "isheep_lib.train.trainer",
        ["/job.json"],
    )
    assert kept.items() <= vars(merged).items()


def test_processes_of_one_machine_meet_at_a_free_port_of_it():
    merged = as_accelerate_has_it("ddp")
    assert merged.main_process_ip == "127.0.0.1"
    assert merged.main_process_port == 0, "for which accelerate takes a free one"
    assert merged.machine_rank == 0


def test_processes_of_several_machines_meet_at_the_first_one():
    wanted = params(num_processes=8, num_machines=2, main_address="gpu-1.cluster:29400")
    started = launch.command(Path("/job.json"), wanted, 1)
    said = dict(zip(started[3:-3:2], started[4:-3:2], strict=True))
    assert said["--main_process_ip"] == "gpu-1.cluster"
    assert said["--main_process_port"] == "29400"
    assert (said["--machine_rank"], said["--num_machines"], said["--num_processes"]) == ("1", "2", "8")


def machine(monkeypatch, gpus=0, cores=4, packages=()):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    monkeypatch.setattr(os, "cpu_count", lambda: cores)
    monkeypatch.setattr(launch.importlib.util, "find_spec", lambda name: name if name in packages else None)


@pytest.mark.parametrize(
    ("wanted", "here"),
    [
        ({"num_processes": 1}, {"cores": 1}),
        ({"num_processes": 1, "parallel": "fsdp2"}, {}),  # one process needs no config
        ({"num_processes": 4}, {"cores": 4}),
        ({"num_processes": 8, "num_machines": 2}, {"cores": 4}),
        ({"num_processes": 8}, {"gpus": 8, "cores": 4}),
        ({"num_processes": 4, "parallel": "fsdp2"}, {"gpus": 4}),
        ({"num_processes": 16, "num_machines": 4, "parallel": "fsdp2"}, {"gpus": 4}),
        ({"num_processes": 4, "parallel": "zero3"}, {"gpus": 4, "packages": ["deepspeed"]}),
        ({"num_processes": 4, "method": "qlora"}, {"gpus": 4, "packages": ["bitsandbytes"]}),
    ],
)
def test_what_a_machine_can_do_is_not_refused(monkeypatch, wanted, here):
    machine(monkeypatch, **here)
    launch.check_devices(params(train_batch=16, **wanted))


@pytest.mark.parametrize(
    ("wanted", "here", "said"),
    [
        ({"num_processes": 5}, {"cores": 4}, r"5 processes on a machine with 4 CPU core\(s\)(.|\n)*at most 4 on each"),
        ({"num_processes": 16, "num_machines": 2}, {"gpus": 4}, r"8 processes on a machine with 4 GPU\(s\)"),
        ({"num_processes": 2, "parallel": "fsdp2"}, {}, r"fsdp2 needs GPUs(.|\n)*train\.parallel to ddp"),
        ({"num_processes": 2, "parallel": "zero3"}, {"packages": ["deepspeed"]}, "zero3 needs GPUs"),
        ({"num_processes": 2, "parallel": "zero3"}, {"gpus": 2}, r"deepspeed is not installed(.|\n)*-e '.\[deepspeed\]'"),
        ({"num_processes": 1, "method": "qlora"}, {"gpus": 1}, r"bitsandbytes is not installed(.|\n)*-e '.\[qlora\]'"),
        ({"num_processes": 1, "method": "qlora"}, {"packages": ["bitsandbytes"]}, "in 4 bits needs a GPU(.|\n)*no gradient"),
        ({"num_processes": 2, "parallel": "none.yaml"}, {}, r"No accelerate config 'none\.yaml'"),
    ],
)
def test_what_a_machine_cannot_do_is_refused_before_any_weights_are_read(monkeypatch, wanted, here, said):
    machine(monkeypatch, **here)
    with pytest.raises(TrainingError, match=said):
        launch.check_devices(params(**wanted))


@pytest.mark.parametrize("text", ["", "- a\n- b\n", "a: [1\n", "num_processes: 2\n", "\x00\x01"])
def test_a_file_that_is_no_accelerate_config_is_refused(tmp_path, monkeypatch, text):
    machine(monkeypatch)
    (tmp_path / "mine.yaml").write_text(text)
    with pytest.raises(TrainingError, match=r"This is no accelerate config(.|\n)*mine\.yaml"):
        launch.check_devices(params(parallel=str(tmp_path / "mine.yaml")))


def test_a_sharding_config_of_ones_own_needs_gpus_too(tmp_path, monkeypatch):
    machine(monkeypatch)
    (tmp_path / "mine.yaml").write_text("distributed_type: FSDP\n")
    with pytest.raises(TrainingError, match="needs GPUs"):
        launch.check_devices(params(parallel=str(tmp_path / "mine.yaml")))


# Short programs stand for accelerate from here on.


@pytest.fixture
def job_file(tmp_path):
    return Job(tmp_path / "model", params(), 1, tmp_path).save()


def instead(monkeypatch, program):
    monkeypatch.setattr(launch, "command", lambda *_: [sys.executable, "-c", program])


def test_processes_that_end_well_leave_no_trace_but_their_log(job_file, monkeypatch, capfd):
    state = {"label": "training", "count": 3, "total": 4, "unit": "step"}
    write = f"import os, json; open(os.environ['ISHEEP_PROGRESS'], 'w').write(json.dumps({state}))"
    instead(monkeypatch, f"print('said'); {write}")
    (job_file.parent / "failure.json").write_text("of an earlier attempt")
    launch.start(job_file, params())
    assert sorted(path.name for path in job_file.parent.iterdir()) == ["job.json", "training.log"]
    assert launch.tail(job_file.parent / "training.log") == ["said"]
    assert "3/4" in capfd.readouterr().err


def test_a_process_that_dies_gives_an_error_with_the_end_of_its_log(job_file, monkeypatch):
    instead(monkeypatch, "import os\nfor i in range(40): print('line', i, flush=True)\nos.kill(os.getpid(), 9)")
    with pytest.raises(TrainingError) as caught:
        launch.start(job_file, params())
    assert caught.value.what.splitlines() == [
        "The training processes ended with code -9:",
        *(f"  line {i}" for i in range(28, 40)),
    ]
    assert "training.log" in caught.value.where
    assert "whole checkpoint" in caught.value.do


def test_a_process_that_says_what_is_wrong_is_believed(job_file, monkeypatch):
    values = {"error": "EngineError", "what": "too small", "where": "here", "allowed": "more", "do": "grow"}
    file = str(job_file.parent / "failure.json")
    instead(monkeypatch, f"import sys; open({file!r}, 'w').write({json.dumps(values)!r}); sys.exit(1)")
    with pytest.raises(EngineError) as caught:
        launch.start(job_file, params())
    assert str(caught.value) == "too small\n  where: here\n  allowed: more\n  do: grow"


def test_the_tail_of_a_log_is_its_last_lines_whatever_bytes_it_holds(tmp_path):
    log = tmp_path / "training.log"
    log.write_bytes(b"".join(b"%d  \n" % i for i in range(20)) + b"\xff broken")
    assert launch.tail(log) == [*map(str, range(9, 20)), "� broken"]
    log.write_bytes(b"")
    assert launch.tail(log) == []


ENDLESS = "import os, time; open({!r}, 'w').write(str(os.getpid())); time.sleep(600)"


def started_pid(path, seconds=20.0):
    deadline = time.monotonic() + seconds
    while not (path.is_file() and path.read_text()):
        assert time.monotonic() < deadline, "the process did not start"
        time.sleep(0.02)
    return int(path.read_text())


@pytest.fixture
def interruptible():
    """Answer an interrupt as a notebook's kernel does, also where a shell started the tests in the background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_an_interrupted_notebook_leaves_no_process(job_file, monkeypatch, interruptible):
    path = job_file.parent / "pid"
    instead(monkeypatch, ENDLESS.format(str(path)))

    def interrupt():
        started_pid(path)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt, daemon=True).start()
    with pytest.raises(KeyboardInterrupt):
        launch.start(job_file, params())
    assert not psutil.pid_exists(started_pid(path))
    assert not (job_file.parent / ".progress.json").exists()


def test_a_process_knows_when_its_notebook_is_gone(job_file, monkeypatch):
    """It reads a pipe that nobody writes to and that closes with the notebook's process, however that ends."""
    seen = job_file.parent / "seen"
    instead(
        monkeypatch,
        "import os, select; ready = select.select([0], [], [], 0.3)[0]; "
        f"open({str(seen)!r}, 'w').write(f\"{{os.environ['ISHEEP_WATCHED']}} {{bool(ready)}}\")",
    )
    launch.start(job_file, params())
    assert seen.read_text() == "1 False"


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.setattr(launch, "LOOK_SECONDS", 0.02)
    monkeypatch.setattr(launch, "check_devices", lambda _: None)
    return tmp_path / "run"


def begun(run, name="work", **changed):
    work = run / "iter-1/train" / f".{name}"
    work.mkdir(parents=True, exist_ok=True)
    wanted = params(**{"num_processes": 4, "num_machines": 2, "main_address": "10.0.0.1:29500", **changed})
    return Job(run / "model", wanted, 1, work).save()


def test_joining_a_training_that_is_over_returns_at_once(run):
    write_manifest(run / "iter-1/train", {})
    assert launch.join(run, 1, 1, 600.0) == "iteration 1 is trained"
    assert launch.commands(run, 1, 1, 600.0) == "iteration 1 is trained"


def test_joining_waits_for_the_first_machine(run, monkeypatch):
    said = "print({}, {!r})"
    monkeypatch.setattr(launch, "command", lambda file, _, number: [sys.executable, "-c", said.format(number, str(file))])
    threading.Timer(0.2, begun, [run, "work-a"]).start()
    assert launch.join(run, 1, 1, 60.0) == "this machine's part of iteration 1 is done"
    work = run / "iter-1/train/.work-a"
    assert (work / "training-1.log").read_text() == f"1 {work / 'job.json'}\n"


def test_joining_waits_no_longer_than_it_is_told(run):
    with pytest.raises(RecordError, match=r"No training of iteration 1 began in 0 s(.|\n)*isheep iterate"):
        launch.join(run, 1, 1, 0.1)


@pytest.mark.parametrize("number", [-1, 0, 2])
def test_a_machine_that_is_none_of_the_training_is_refused(run, number):
    begun(run, "work-a")
    for do in (launch.join, launch.commands):
        with pytest.raises(TrainingError, match=f"No machine {number} in this training(.|\n)*1 to 1"):
            do(run, 1, number, 1.0)


def test_joining_takes_the_newest_of_several_attempts(run, monkeypatch):
    for age, name in ((300, "work-b"), (0, "work-a"), (600, "work-c")):
        file = begun(run, name)
        os.utime(file, (file.stat().st_mtime - age,) * 2)
    monkeypatch.setattr(launch, "command", lambda file, *_: [sys.executable, "-c", "pass"])
    launch.join(run, 1, 1, 1.0)
    assert [path.parent.name for path in run.glob("iter-1/train/*/training-1.log")] == [".work-a"]


def test_a_process_that_dies_on_a_machine_that_joined_is_reported_there(run, monkeypatch):
    begun(run, "work-a")
    instead(monkeypatch, "import sys; sys.exit('no such device')")
    with pytest.raises(TrainingError, match=r"ended with code 1:\n  no such device"):
        launch.join(run, 1, 1, 1.0)


def test_joining_that_is_interrupted_leaves_no_process(run, monkeypatch, interruptible):
    begun(run, "work-a")
    path = run / "pid"
    instead(monkeypatch, ENDLESS.format(str(path)))
    threading.Thread(target=lambda: (started_pid(path), os.kill(os.getpid(), signal.SIGINT)), daemon=True).start()
    with pytest.raises(KeyboardInterrupt):
        launch.join(run, 1, 1, 1.0)
    assert not psutil.pid_exists(started_pid(path))


def test_the_commands_to_join_by_hand_start_the_same_job(run):
    file = begun(run, "work-a", num_processes=8)
    accelerate, torchrun = launch.commands(run, 1, 1, 1.0).splitlines()
    assert accelerate.endswith(f"--module isheep_lib.train.trainer {file}")
    assert "--machine_rank 1 --main_process_ip 10.0.0.1 --main_process_port 29500" in accelerate
    assert torchrun == (
        "torchrun --nnodes 2 --nproc-per-node 4 --node-rank 1 --master-addr 10.0.0.1 --master-port 29500 "
        f"-m isheep_lib.train.trainer {file}"
    )
