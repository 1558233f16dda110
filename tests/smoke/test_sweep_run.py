"""A sweep as a user starts it: planned by the command, run by the notebook, reused when it is started again."""

import csv
import json
from pathlib import Path

import pytest
import yaml

from isheep_lib.iterate import runner
from isheep_lib.record import verification
from tests.runs import BIN, PARAMS, call


def sweep_file(folder: Path, **changes: object) -> Path:
    axes = {"threshold": {"low": "filter.threshold:-9.0", "high": "filter.threshold:-3.0"}}
    values = {"name": str(folder / "s"), "params": PARAMS, "iterations": 1, "axes": axes, "reference": ["low"], **changes}
    path = folder / "sweep.yaml"
    path.write_text(yaml.safe_dump(values, sort_keys=False))
    return path


def ablate(root: Path, path: Path, model: Path, *more: str) -> str:
    result = call(root, str(BIN / "isheep"), "ablate", str(path), "--override", f"model.base_model:{model}", *more)
    assert result.returncode == 0, result.stderr[-3000:]
    return result.stdout + result.stderr


def test_a_dry_sweep_is_planned_in_an_executed_notebook_and_runs_nothing(root, tiny_model, tmp_path):
    given = {"sweep": str(sweep_file(tmp_path)), "override": f"model.base_model:{tiny_model}", "dry": True}
    runner.execute(root / "notebooks/ablate.ipynb", tmp_path / "ablate.ipynb", given)
    assert verification.verify_notebook(tmp_path / "ablate.ipynb") == []
    text = (tmp_path / "ablate.ipynb").read_text()
    assert "4 runs of 24 stages, of which" in text
    assert "No record says what these cost: synthesize, assess, train, evaluate" in text
    assert "dry: planned only" in text
    assert list((tmp_path / "s").glob("*/iter-*")) == []


@pytest.mark.long
def test_a_method_that_brings_too_few_pairs_is_a_result_of_a_sweep_that_ends_well(root, tiny_model, tmp_path):
    path = sweep_file(tmp_path, axes={"kept": {"many": "filter.min_kept:999"}}, reference=[], control=False)
    said = ablate(root, path, tiny_model)
    stopped = "filter of iteration 1: only"
    assert stopped in said, "the terminal does not tell"
    (row,) = list(csv.DictReader((tmp_path / "s/tables/yields.csv").open(encoding="utf-8")))
    assert row["run"] == "many" and row["stopped"].startswith(stopped)


@pytest.mark.slow
def test_a_sweep_shares_stages_shows_progress_and_is_reused_when_started_again(root, tiny_model, tmp_path):
    path = sweep_file(tmp_path)
    said = ablate(root, path, tiny_model)
    shown = "low-control (2 of 4): train, stage 4 of 5 of iteration 1: training"
    assert shown in said, "progress did not reach the terminal through three kernels"
    shared = json.loads((tmp_path / "s/high/iter-1/assess/manifest.json").read_text())["shared_from"]
    assert shared == "low"
    counts = {
        name: json.loads((tmp_path / f"s/{name}/iter-1/train/manifest.json").read_text())["counts"]["kept"]
        for name in ("low", "low-control", "high", "high-control")
    }
    assert counts["low"] == counts["low-control"]
    assert counts["high"] == counts["high-control"]
    for name in counts:
        assert all(verdict.holds for verdict in verification.verify(tmp_path / "s" / name))
    table = (tmp_path / "s/tables/ablation.md").read_text()
    assert table.count("IFEval") == 2
    assert "it is the reference" in table
    again = ablate(root, path, tiny_model)
    assert "of which 15 are distinct and 0 still to run" in again
    assert "Nothing was to do: all 15 stages of the sweep were done before." in again
