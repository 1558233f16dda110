"""Several workers with papermill and real kernels fill a stage at once; the record is that of one worker."""

import json
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from isheep_lib.record import manifests
from tests.runs import alone, claimed

pytestmark = pytest.mark.long

WORKERS = {"synthesize": 3, "assess": 2}


def together(root: Path, run: Path, stage: str, shards: range) -> list[list]:
    """Start workers at the same moment; return the cells of their executed notebooks."""
    papermill = str(Path(sys.executable).parent / "papermill")
    started = []
    for shard in shards:
        flags = ["-p", "run", str(run), "-p", "shard", str(shard), "-p", "num_shards", str(WORKERS[stage])]
        output = run.parent / f"{stage}-{shard}.ipynb"
        command = [papermill, "--engine", "isheep", f"notebooks/{stage}.ipynb", str(output), *flags]
        started.append(subprocess.Popen(command, cwd=root, stderr=subprocess.PIPE, text=True, stdin=subprocess.DEVNULL))
    cells = []
    for shard, process in zip(shards, started, strict=True):
        _, errors = process.communicate(timeout=300)
        assert process.returncode == 0, errors[-3000:]
        cells.append(nbformat.read(run.parent / f"{stage}-{shard}.ipynb", as_version=4).cells)
    return cells


@pytest.fixture(scope="module")
def runs(root: Path, tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Return a run of one worker and an empty one for several."""
    folder = tmp_path_factory.mktemp("shards")
    one, many = (claimed(root, folder / name, tiny_model) for name in ("one", "many"))
    for stage in WORKERS:
        alone(root, one, stage)
    return one, many


@pytest.mark.parametrize("stage", ["synthesize", "assess"])
def test_workers_started_together_leave_the_bytes_of_one_worker(root: Path, runs: tuple[Path, Path], stage: str) -> None:
    one, many = (run / "iter-1" / stage for run in runs)
    cells = together(root, runs[1], stage, range(WORKERS[stage]))
    said = [found[-1].outputs[-1]["data"]["text/plain"] for found in cells]
    assert sum("is recorded in" in line for line in said) == 1, said
    assert all("is recorded in" in line or "is done" in line for line in said), said
    outputs = json.loads((one / "manifest.json").read_text())["outputs"]
    assert manifests.read_manifest(many)["outputs"] == outputs
    assert sorted(path.name for path in many.iterdir()) == sorted([*outputs, "manifest.json"]), "work was left behind"
    manifests.require_intact(many)


def test_a_worker_that_comes_when_the_stage_is_recorded_ends_well(root: Path, runs: tuple[Path, Path]) -> None:
    (cells,) = together(root, runs[0], "synthesize", range(2, 3))
    assert "iter-1/synthesize is done and recorded" in str(cells)
