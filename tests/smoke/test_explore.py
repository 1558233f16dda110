"""The exploration notebook on a finished run, as papermill runs it: plain tables, with the optional packages and without."""

import os
from pathlib import Path

import nbformat
import pytest

from isheep_lib.iterate import runner
from isheep_lib.record import verification

LARGEST = 400_000  # bytes of an executed notebook that may be committed
BLOCKED = "import sys\nsys.modules.update(dict.fromkeys(('itables', 'ipywidgets')))\n"


def outputs(path: Path) -> dict[str, dict[str, str]]:
    """Return what each cell shows last, by kind."""
    cells = [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
    return {cell.id: dict(cell.outputs[-1].get("data", {})) if cell.outputs else {} for cell in cells}


def explored(root: Path, run: Path, output: Path, **more: object) -> dict[str, dict[str, str]]:
    given = {"run": str(run), "iteration": 2, "sort": "-pmi", **more}
    runner.execute(root / "notebooks/explore.ipynb", output, given)
    assert verification.verify_notebook(output) == []
    assert output.stat().st_size < LARGEST
    shown = outputs(output)
    for name in ("kept", "dropped", "no-pair", "pair", "verdicts", "training", "afterwards", "neighbours", "trend", "next"):
        assert "<table>" in shown[name]["text/html"], name
    for name in ("scores", "map", "trend-figure"):
        assert "image/png" in shown[name], name
    for cell in shown.values():
        assert "<script" not in cell.get("text/html", "")
        assert not any("widget" in kind for kind in cell)
    return shown


def test_a_finished_run_is_explored_in_plain_tables_and_a_map_of_its_recorded_vectors(root, finished, tmp_path):
    shown = explored(root, finished, tmp_path / "explore.ipynb")
    assert "the vectors that assess recorded, of M_1" in shown["place"]["text/html"]
    assert "density" in shown["verdicts"]["text/html"]
    assert "answer of M_2" in shown["afterwards"]["text/html"]
    assert {"iteration 1", "iteration 2"} <= set(shown["trend"]["text/plain"].replace("  ", "\n").split("\n"))


@pytest.mark.slow
def test_without_itables_and_ipywidgets_the_same_tables_are_shown_and_both_models_are_asked_again(
    root, finished, tmp_path, monkeypatch
):
    (tmp_path / "sitecustomize.py").write_text(BLOCKED)
    before = os.environ.get("PYTHONPATH")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), *([before] if before else [])]))
    shown = explored(root, finished, tmp_path / "explore.ipynb", ask_models=True)
    for name in ("sortable", "menus"):
        assert ".[explore]" in shown[name]["text/html"]
    for said in ("M_1, as recorded", "M_1, asked now, greedy", "M_2, asked now, greedy"):
        assert said in shown["afterwards"]["text/plain"]
