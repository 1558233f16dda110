"""Whole runs of the tiny model, as a user starts them; imported by the tests that need one."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import nbformat
import psutil

from isheep_lib.iterate import claims
from isheep_lib.iterate.run_params import load_run
from tests import formed as forms

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


def claimed(root: Path, run: Path, model: Path, *overrides: str) -> Path:
    """Make the parameters the run's own, so that a stage by hand needs its name only."""
    params = load_run(root / PARAMS, " ".join([f"model.base_model:{model}", *overrides]), str(run))
    claims.claim_params(run, params.model_dump(exclude={"run"}))
    return run


def alone(root: Path, run: Path, stage: str) -> None:
    """Run a stage's cells in this process, as one worker without shards."""
    cells = nbformat.read(root / f"notebooks/{stage}.ipynb", as_version=4).cells
    names: dict = {}
    for cell in cells:
        if cell.cell_type == "code":
            exec(cell.source, names)
            if cell.id == "parameters":
                names["run"] = str(run)


def written(run: Path) -> dict[Path, int]:
    """Collect when each file of each stage was written, in nanoseconds."""
    return {path: path.stat().st_mtime_ns for path in run.glob("iter-*/**/*") if path.is_file()}


def digests(run: Path) -> dict[str, str]:
    """Collect what must be the same bytes: every output but the notebooks, which hold timings."""
    found = {}
    for path in run.glob("iter-*/*/manifest.json"):
        for name, kept in json.loads(path.read_text())["outputs"].items():
            if not name.endswith(".ipynb"):
                found[f"{path.parent.relative_to(run)}/{name}"] = kept["sha256"]
    return found


def journalled(run: Path, stage: str, lines: int) -> bool:
    return any(p.read_bytes().count(b"\n") >= lines for p in (run / "iter-1" / stage).glob(".work-*/*.jsonl"))


def kill_at(process: subprocess.Popen, said: Path, reached, seconds: float = 180.0) -> None:
    """Kill the command and every kernel below it as soon as a point is reached."""
    deadline = time.monotonic() + seconds
    while not reached():
        assert process.poll() is None, f"the run ended before the point was reached: {said.read_text()[-3000:]}"
        assert time.monotonic() < deadline, "the point was not reached in time"
        time.sleep(0.005)
    family = psutil.Process(process.pid).children(recursive=True)
    os.kill(process.pid, signal.SIGKILL)
    for member in family:
        member.kill()
    psutil.wait_procs(family, timeout=20)
    process.wait()


def killed_and_resumed(root: Path, run: Path, reached: Callable[[], bool], formed: str = "as_it_is") -> None:
    """Run stage synthesize in a process of its own, kill it when a point is reached, and run it to its end in this one.

    Args:
        formed: function of `tests.formed` that gives the tiny model's words a form, in both processes.
    """
    code = (
        f"from pathlib import Path; from tests import formed, runs\n"
        f"with formed.{formed}(): runs.alone(Path({str(root)!r}), Path({str(run)!r}), 'synthesize')"
    )
    with open(run.with_suffix(".log"), "w") as log:
        process = subprocess.Popen([sys.executable, "-c", code], cwd=root, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    kill_at(process, run.with_suffix(".log"), reached, 400)
    assert not (run / "iter-1/synthesize/manifest.json").exists()
    with getattr(forms, formed)():
        alone(root, run, "synthesize")
