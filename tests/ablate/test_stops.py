"""A run that brings too few pairs is a line of its sweep, no fault of it; any other failure stays one."""

import nbformat
import pytest
import yaml

from isheep_lib.ablate import runs, stops, sweep, verdict, yields
from isheep_lib.ablate.table import unfinished_table
from isheep_lib.errors import ModelError, StageFailed
from isheep_lib.record import manifests

TOO_FEW = "Only 8 kept pairs, 12 are needed; dropped 16:\n    16 echo            such as 'Name a river.'\n  do: lower min_kept"


def opened(folder, **changes):
    axes = {"method": {"magpie": "", "udit": {"params": "params/methods/udit.yaml"}}}
    values = {"name": str(folder / "s"), "params": "params/smollm2-135m.yaml", "iterations": 1, "axes": axes, "control": False}
    path = folder / "sweep.yaml"
    path.write_text(yaml.safe_dump({**values, **changes}, sort_keys=False))
    return sweep.open_sweep(str(path))


def ended(run_dir, stage, name, text):
    """Leave the notebook of a stage that ended with an error."""
    folder = manifests.stage_folder(run_dir, 1, stage)
    folder.mkdir(parents=True, exist_ok=True)
    error = nbformat.v4.new_output("error", ename=name, evalue=text, traceback=[])
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("x", outputs=[error])])
    nbformat.write(book, folder / f"{stage}.failed.ipynb")
    return folder


def wrote(run_dir):
    folder = manifests.stage_folder(run_dir, 1, "synthesize")
    folder.mkdir(parents=True, exist_ok=True)
    counts = {"in": 40, "kept": 20, "dropped": {"cut_off": 12, "beyond_target": 8}}
    manifests.write_manifest(folder, {"stage": "synthesize", "parameters": {"instructions": 24}, "counts": counts})


@pytest.mark.parametrize(
    ("stage", "name", "text", "said"),
    [
        ("filter", "YieldError", TOO_FEW, "filter of iteration 1: only 8 kept pairs, 12 are needed"),
        ("synthesize", "YieldError", "No document is left.\n  where: x", "synthesize of iteration 1: no document is left."),
        ("filter", "ModelError", "no memory", ""),
    ],
)
def test_only_too_few_pairs_is_a_stop(tmp_path, stage, name, text, said):
    ended(tmp_path, stage, name, text)
    assert stops.stop_of(tmp_path, 1) == said


def test_a_stage_that_was_finished_later_has_not_stopped(tmp_path):
    manifests.write_manifest(ended(tmp_path, "filter", "YieldError", TOO_FEW), {"stage": "filter"})
    assert stops.stop_of(tmp_path, 1) == ""


def test_a_sweep_goes_on_after_a_stop_and_fails_for_anything_else(tmp_path, monkeypatch):
    found, said = opened(tmp_path), []

    def run(notebook, output, params, title):
        ended(output.parent, "filter", *(("YieldError", TOO_FEW) if "udit" in params["run"] else ("ModelError", "no memory")))
        raise StageFailed(f"YieldError: {TOO_FEW}") if "udit" in params["run"] else ModelError("no memory")

    monkeypatch.setattr(runs.runner, "execute_watched", run)
    with pytest.raises(StageFailed, match=r"1 of 2 run.*\n\n.*magpie: no memory"):
        runs.run_all(found, "stop", said.append)
    assert said == ["magpie (1 of 2) failed", "udit (2 of 2) stopped: filter of iteration 1: only 8 kept pairs, 12 are needed"]


def test_what_an_earlier_try_left_does_not_hide_another_failure(tmp_path, monkeypatch):
    found = opened(tmp_path, axes={"method": {"udit": {"params": "params/methods/udit.yaml"}}})
    ended(found.folder / "udit", "filter", "YieldError", TOO_FEW)

    def run(notebook, output, params, title):
        raise ModelError("no memory")

    monkeypatch.setattr(runs.runner, "execute_watched", run)
    with pytest.raises(StageFailed, match="udit: no memory"):
        runs.run_all(found, "stop", [].append)


def test_its_line_says_what_was_written_and_where_it_stopped_and_no_command_is_left(tmp_path):
    found = opened(tmp_path)
    run_dir = found.folder / "udit"
    wrote(run_dir)
    ended(run_dir, "filter", "YieldError", TOO_FEW)
    stopped = "filter of iteration 1: only 8 kept pairs, 12 are needed"
    line = {"run": "udit", "asked for": "24", "written": "32", "accepted": "20", "stopped": stopped}
    assert yields.yield_table(found, yields.yields_of(found), []).rows == [line]
    left = {row["run"]: row for row in unfinished_table(found).rows}
    assert (left["udit"]["stopped"], "command" in left["udit"], "command" in left["magpie"]) == (stopped, False, True)
    assert verdict.of_sweep(found, []).said.endswith("\nToo few pairs to learn from: udit.")


def test_a_control_that_would_stop_where_its_run_did_is_not_begun_and_says_so(tmp_path, monkeypatch):
    found, begun, said = opened(tmp_path, control=True), [], []

    def run(notebook, output, params, title):
        begun.append(output.parent.name)
        if "udit" in params["run"]:
            ended(output.parent, "synthesize", "YieldError", TOO_FEW)
            raise StageFailed(f"YieldError: {TOO_FEW}")

    monkeypatch.setattr(runs.runner, "execute_watched", run)
    runs.run_all(found, "stop", said.append)
    assert begun == ["magpie", "magpie-control", "udit"]
    stopped = "synthesize of iteration 1: only 8 kept pairs, 12 are needed"
    assert said == [f"udit (3 of 4) stopped: {stopped}", f"udit-control (4 of 4) is left out: as udit, {stopped}"]
    assert runs.stops(found) == {"udit": stopped, "udit-control": f"as udit, {stopped}"}
    left = {row["run"]: row for row in unfinished_table(found).rows}
    assert left["udit-control"]["stopped"] == f"as udit, {stopped}" and "command" in left["magpie-control"]


def test_a_control_has_a_filter_of_its_own_and_is_begun_after_a_run_that_stopped_in_its_filter(tmp_path):
    found = opened(tmp_path, control=True)
    ended(found.folder / "udit", "filter", "YieldError", TOO_FEW)
    assert list(runs.stops(found)) == ["udit"]
