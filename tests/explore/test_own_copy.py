"""Exploring works on a copy: whose run is meant, where the copy lies, and that the tracked notebook stays as it is."""

import os

import nbformat
import pytest

from isheep_lib.errors import IsheepError
from isheep_lib.explore import own_copy
from isheep_lib.iterate.claims import claim_params
from isheep_lib.record import manifests

COMMITTED = "reference/smollm2-135m"


@pytest.fixture
def results(root, tmp_path, monkeypatch):
    """Return the folder results of a clone that has the notebook alone."""
    for module in (own_copy, manifests):
        monkeypatch.setattr(module, "project_root", lambda: tmp_path)
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "notebooks/explore.ipynb").write_bytes((root / "notebooks/explore.ipynb").read_bytes())
    return tmp_path / "results"


def ran(results, name, time, *stages):
    claim_params(results / name, {"seed": 1})
    for stage in stages:
        folder = manifests.stage_folder(results / name, 1, stage)
        folder.mkdir(parents=True)
        path = manifests.write_manifest(folder, {"stage": stage, "iteration": 1, "outputs": {}})
        os.utime(path, (time, time))


@pytest.mark.parametrize(
    ("runs", "chosen"),
    [
        ([], COMMITTED),
        ([(COMMITTED, 9, "synthesize")], COMMITTED),
        ([(COMMITTED, 9, "synthesize"), ("mine", 5, "synthesize")], "mine"),
        ([("mine", 5, "synthesize"), ("sweep/low", 6, "synthesize", "assess"), ("old", 1, "synthesize")], "sweep/low"),
        ([("mine", 5, "synthesize"), ("base alone", 7, "evaluate"), ("nothing yet", 8)], "mine"),
    ],
)
def test_the_newest_run_of_one_s_own_is_meant_else_the_reference(results, runs, chosen):
    for name, time, *stages in runs:
        ran(results, name, time, *stages)
    assert own_copy.usual_run() == chosen


def test_a_copy_is_prepared_with_its_parameters_and_the_tracked_notebook_stays_as_it_is(results):
    tracked = results.parent / "notebooks/explore.ipynb"
    before = tracked.read_bytes()
    copy = own_copy.prepare(results / "reference/a", {"iteration": 2, "pair": "i2-r0-p001-t1"})
    assert copy == results / "explore/reference/a.ipynb"
    cells = nbformat.read(copy, as_version=4).cells
    given = next(cell.source for cell in cells if "injected-parameters" in cell.metadata.get("tags", []))
    assert 'run = "reference/a"' in given and "iteration = 2" in given and 'pair = "i2-r0-p001-t1"' in given
    assert tracked.read_bytes() == before


def test_an_earlier_copy_which_may_hold_notes_is_kept(results):
    copy = own_copy.prepare(results / "mine", {})
    copy.write_text("my notes")
    assert own_copy.prepare(results / "mine", {}) == copy
    assert (results / "explore/mine.earlier.ipynb").read_text() == "my notes"
    assert "my notes" not in copy.read_text()


def test_the_copy_for_a_run_elsewhere_lies_under_results_too(results, tmp_path):
    assert own_copy.copy_of(tmp_path / "elsewhere/run") == results / "explore/run.ipynb"


def test_without_jupyterlab_open_is_refused_before_anything_is_written(monkeypatch):
    monkeypatch.setattr(own_copy, "find_spec", lambda name: None)
    with pytest.raises(IsheepError, match=r"JupyterLab is not installed(?s:.*)pip install jupyterlab"):
        own_copy.require_jupyter()
