"""One run, any machine: a whole iteration under other instruction sets, threads and batches writes the same bytes."""

import importlib.util
import subprocess
from pathlib import Path

import pytest

from isheep_lib.record.manifests import all_manifests
from tests.machines import MACHINES, OWN, Machine
from tests.runs import command

absent = importlib.util.find_spec("eval_framework") is None
pytestmark = pytest.mark.skipif(absent, reason="the IFEval prompts are not installed (make setup)")
EXACT = ("model.numerics:exact", "train.numerics:exact")
OTHERS = [machine for machine in MACHINES if machine.batches and machine.environment.get("ATEN_CPU_CAPABILITY")]


def outputs(run: Path) -> dict[str, str]:
    """Return the digest of everything that stages wrote, notebooks apart, which show times."""
    return {
        f"{folder.relative_to(run)}/{name}": kept["sha256"]
        for folder, manifest in all_manifests(run)
        for name, kept in manifest["outputs"].items()
        if not name.endswith(".ipynb")
    }


def run_on(machine: Machine, run: Path, arguments: list[str], root: Path) -> dict[str, str]:
    ended = subprocess.run(
        arguments,
        cwd=root,
        env={**machine.told(), "ISHEEP_CACHE": str(run.with_suffix(".cache"))},  # nobody else's answers or vectors
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=3000,
    )
    assert ended.returncode == 0, ended.stderr[-3000:]
    return outputs(run)


@pytest.fixture(scope="module")
def here(root: Path, tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    run = tmp_path_factory.mktemp("here") / "run"
    return run_on(OWN, run, tiny(run, tiny_model, OWN), root)


def tiny(run: Path, model: Path, machine: Machine) -> list[str]:
    *start, override = command(run, model, 1)
    return [*start, " ".join([override, *EXACT, *machine.overrides()])]


@pytest.mark.long
@pytest.mark.parametrize("machine", OTHERS, ids=lambda machine: machine.title)
def test_a_whole_iteration_of_the_tiny_model_is_the_same_bytes(
    root: Path, tiny_model: Path, here: dict[str, str], tmp_path: Path, machine: Machine
) -> None:
    found = run_on(machine, tmp_path / "run", tiny(tmp_path / "run", tiny_model, machine), root)
    assert "iter-1/train/adapter/adapter_model.safetensors" in found
    assert {name for name in {*here, *found} if here.get(name) != found.get(name)} == set()


@pytest.mark.slow
def test_the_default_iteration_of_the_embedded_model_is_the_same_bytes(root: Path, tmp_path: Path) -> None:
    made = {}
    for machine in (OWN, OTHERS[0]):
        run = tmp_path / str(len(made))
        arguments = [str(root / ".venv/bin/isheep"), "iterate", "1", "--run", str(run), "--no-share"]
        made[machine.title] = run_on(machine, run, [*arguments, "--override", " ".join(machine.overrides())], root)
    first, second = made.values()
    assert {name for name in {*first, *second} if first.get(name) != second.get(name)} == set()
