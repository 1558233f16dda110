"""Several processes that train together: whether they can, the command that starts them, and watching them from here.

    check_devices(params)               # before any weights are read
    start(job_file, params)             # blocks; the log and the progress show in the notebook

Covers accelerate as a subprocess, on one machine or as the first of several, and joining from the others. Does not
cover what each process does (`train.trainer`).
"""

import contextlib
import importlib.util
import json
import os
import shlex
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

import yaml

from isheep_lib import errors
from isheep_lib.errors import IsheepError, RecordError, TrainingError, install
from isheep_lib.reading.files import FILE, what_lies_at
from isheep_lib.record import manifests
from isheep_lib.record.progress import PROGRESS_FILE, DisplaySink, Relay, watching
from isheep_lib.record.provenance import expanded
from isheep_lib.train.job import FAILURE, JOB, WATCHED, Job
from isheep_lib.train.params import Train, TrainParams

FOLDER = Path(__file__).parent / "parallel"
SHIPPED = sorted(path.stem for path in FOLDER.glob("*.yaml"))
LOG = "training.log"
TAIL = 12  # lines of the log that a notebook or an error shows
LOOK_SECONDS = 1.0  # between looks for a training that is to begin
NEEDS_GPU = ("FSDP", "DEEPSPEED")


def config_file(parallel: str) -> Path:
    """Find the accelerate config, ours by its name or one by its path, or raise a TrainingError."""
    if parallel in SHIPPED:
        return FOLDER / f"{parallel}.yaml"
    path = expanded(parallel).absolute()
    if what_lies_at(path) != FILE:
        allowed = f"{', '.join(SHIPPED)}, or the path of an accelerate config"
        raise TrainingError(f"No accelerate config {parallel!r}", where="train.parallel", allowed=allowed)
    return path


def check_devices(params: Train) -> None:
    """Refuse processes beyond the devices, shards without a GPU, missing packages (TrainingError), before weights are read."""
    if params.method != "qlora" and params.num_processes == 1:
        return
    import torch

    if params.method == "qlora":
        _need("bitsandbytes", "train.method qlora", install("qlora"))
        if not torch.cuda.device_count():
            do = "set train.method to lora; on a CPU the product with 4-bit weights has no gradient"
            raise TrainingError("A base in 4 bits needs a GPU, and this machine has none", where="train.method qlora", do=do)
    if params.num_processes == 1:
        return
    kind = _distributed_type(config_file(params.parallel))
    gpus, here = torch.cuda.device_count(), params.num_processes // params.num_machines
    if kind in NEEDS_GPU and not gpus:
        do = "set train.parallel to ddp; it also runs on CPUs"
        raise TrainingError(f"{params.parallel} needs GPUs, and this machine has none", where="train.parallel", do=do)
    devices, what = (gpus, "GPU(s)") if gpus else (os.cpu_count() or 1, "CPU core(s)")
    if here > devices:
        raise TrainingError(
            f"{here} processes on a machine with {devices} {what}",
            where="train.num_processes, train.num_machines",
            allowed=f"at most {devices} on each machine",
        )
    if kind == "DEEPSPEED":
        _need("deepspeed", f"train.parallel {params.parallel}", f"{install('deepspeed')}; or set train.parallel to fsdp2")


def _distributed_type(path: Path) -> str:
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, ValueError, RecursionError):
        found = None
    if not isinstance(found, dict) or "distributed_type" not in found:
        do = "accelerate config --config_file FILE writes one"
        raise TrainingError("This is no accelerate config", where=f"train.parallel {manifests.short(path)}", do=do)
    return str(found["distributed_type"])


def _need(package: str, where: str, do: str) -> None:
    if importlib.util.find_spec(package) is None:
        raise TrainingError(f"The package {package} is not installed", where=where, do=do)


def command(job_file: Path, params: TrainParams, machine: int = 0) -> list[str]:
    """Return the command that starts one machine's processes."""
    host, _, port = params.main_address.rpartition(":")
    if params.num_machines == 1:
        host, port = "127.0.0.1", "0"  # any free one
    found = [sys.executable, "-m", "accelerate.commands.launch", "--config_file", str(config_file(params.parallel))]
    found += ["--num_processes", str(params.num_processes), "--num_machines", str(params.num_machines)]
    found += ["--machine_rank", str(machine), "--main_process_ip", host, "--main_process_port", port]
    return [*found, "--module", "isheep_lib.train.trainer", str(job_file)]


def start(job_file: Path, params: TrainParams) -> None:
    """Run the first machine's processes to their end, showing how far they are; what a process failed with is raised."""
    work = job_file.parent
    (work / FAILURE).unlink(missing_ok=True)
    log, state = work / LOG, work / ".progress.json"
    with open(log, "w", encoding="utf-8") as file, _shown(state, log) as environment:
        code = _run(command(job_file, params), file, environment)
    if code:
        raise failure(work, code, tail(log))


def _run(started: list[str], log: TextIO, environment: dict[str, str]) -> int:
    """Run a command to its end; its processes end with this one, however it ends: they read a pipe that closes then."""
    environment = {**environment, WATCHED: "1"}
    with subprocess.Popen(  # noqa: S603 - our own module
        started, stdin=subprocess.PIPE, stdout=log, stderr=subprocess.STDOUT, env=environment
    ) as process:
        try:
            return process.wait()
        finally:
            if process.poll() is None:
                process.terminate()  # accelerate ends the processes it started
                process.wait()


def tail(log: Path) -> list[str]:
    """Return the last lines of a log."""
    with open(log, encoding="utf-8", errors="replace") as file:
        return list(deque((line.rstrip() for line in file), TAIL))


def failure(work: Path, code: int, lines: list[str]) -> IsheepError:
    """Return the error that a process left behind, else one with the end of the log."""
    with contextlib.suppress(FileNotFoundError):
        values = json.loads((work / FAILURE).read_text(encoding="utf-8"))
        return getattr(errors, values.pop("error"))(values.pop("what"), **values)
    said = "\n  ".join(lines)
    return TrainingError(
        f"The training processes ended with code {code}:\n  {said}",
        where=manifests.short(work / LOG),
        do="mend the cause and run again; training goes on from the last whole checkpoint",
    )


@contextlib.contextmanager
def _shown(state: Path, log: Path) -> Iterator[dict[str, str]]:
    """Show the processes' progress and the end of their log; give the environment in which they write it."""
    relay, view = Relay(state, onward=os.environ.get(PROGRESS_FILE)), DisplaySink()

    def look() -> None:
        relay.poll()
        if lines := tail(log):
            view.write("\n".join(lines))

    try:
        with watching(look):
            yield {**os.environ, PROGRESS_FILE: str(state), "TOKENIZERS_PARALLELISM": "false"}
    finally:
        state.unlink(missing_ok=True)


def join(run_dir: Path, iteration: int, machine: int, timeout: float) -> str:
    """Give this machine's processes to a training that the first machine starts; return once it is over.

    Raises:
        RecordError: the first machine did not come to it.
        TrainingError: there is no such machine in it, or a process here failed.
    """
    job_file = _await_job(run_dir, iteration, timeout)
    if job_file is None:
        return f"iteration {iteration} is trained"
    params = _params_for(job_file, machine)
    check_devices(params)
    log = job_file.with_name(f"training-{machine}.log")
    with open(log, "w", encoding="utf-8") as file:
        code = _run(command(job_file, params, machine), file, {**os.environ})
    if code:
        raise failure(job_file.parent, code, tail(log))
    return f"this machine's part of iteration {iteration} is done"


def commands(run_dir: Path, iteration: int, machine: int, timeout: float) -> str:
    """Return what `join` would run, and torchrun's way to the same; see `join`."""
    job_file = _await_job(run_dir, iteration, timeout)
    if job_file is None:
        return f"iteration {iteration} is trained"
    params = _params_for(job_file, machine)
    host, _, port = params.main_address.rpartition(":")
    each = params.num_processes // params.num_machines
    torchrun = ["torchrun", "--nnodes", str(params.num_machines), "--nproc-per-node", str(each), "--node-rank", str(machine)]
    torchrun += ["--master-addr", host, "--master-port", port, "-m", "isheep_lib.train.trainer", str(job_file)]
    return f"{shlex.join(command(job_file, params, machine))}\n{shlex.join(torchrun)}"


def _await_job(run_dir: Path, iteration: int, timeout: float) -> Path | None:
    """Wait until a training has begun and return its file, None where it is over already."""
    folder, deadline = manifests.stage_folder(run_dir, iteration, "train"), time.monotonic() + timeout
    while manifests.read_manifest(folder) is None:
        if begun := sorted(folder.glob(f".work-*/{JOB}"), key=lambda path: path.stat().st_mtime):
            return begun[-1]
        if time.monotonic() > deadline:
            do = "start isheep iterate on the first machine; both must see this folder"
            raise RecordError(
                f"No training of iteration {iteration} began in {timeout:.0f} s", where=manifests.short(folder), do=do
            )
        time.sleep(LOOK_SECONDS)
    return None


def _params_for(job_file: Path, machine: int) -> TrainParams:
    params = Job.load(job_file).params
    if not 0 < machine < params.num_machines:
        allowed = f"1 to {params.num_machines - 1}; the first machine is 0 and runs isheep iterate"
        raise TrainingError(f"No machine {machine} in this training", where=manifests.short(job_file), allowed=allowed)
    return params
