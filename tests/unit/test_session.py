"""A stage being opened and committed: parameters of a notebook, the run's own values, damaged inputs, repetition."""

import json

import pytest

from isheep_lib import cell, session, store
from isheep_lib.errors import ParameterError, RecordError
from isheep_lib.params import FilterParams

PAIR = {"id": "a", "instruction": "Name three rivers.", "input": "", "output": "Rhine, Elbe, Oder", "finish": "end"}


def notebook(run, *cells, **values):
    """Imitate a notebook's globals after its parameter cells have run."""
    injected = "# Parameters\n" + "\n".join(f"{name} = {value!r}" for name, value in {"run": str(run), **values}.items())
    names = {"In": ["", 'run: str = "smollm2-135m"', injected, *cells], "pairs": [1, 2], "counts": {}}
    return names | {"run": str(run), **values}


@pytest.fixture
def run(tmp_path):
    """Return a run whose pairs and scores are recorded, so that the filter can be opened."""
    from isheep_lib.records import write_jsonl

    for stage, file, rows in (
        ("synthesize", "examples.jsonl", [PAIR]),
        ("assess", "scores.jsonl", [{"id": "a", "scores": {"mutual_information": 1.0}, "unread": {}}]),
    ):
        folder = tmp_path / "run" / "iter-1" / stage
        write_jsonl(folder / file, rows)
        store.write_manifest(folder, {"outputs": {file: store.describe_file(folder / file)}, "parts": {}})
    return tmp_path / "run"


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (["threshold: float = 1.5  # kept above", "x = 3"], []),
        (["# Parameters\nthresold = 1.5"], ["thresold"]),
        (["%load_ext autoreload", "threshold = 2.0\nsed = 4"], ["sed"]),
        (["threshold = compute()", "import os", "threshold += 1", "a, b = 1, 2", "d['threshold'] = 3", "", "# words"], []),
        (["x = 1", "rows = [1, 2]"], []),
    ],
)
def test_unknown_names_are_parameters_only_where_a_parameters_cell_assigned_them(cells, expected):
    names = {"In": cells, "x": 3, "rows": [1, 2], "thresold": 1.5, "threshold": 1.5, "sed": 4}
    found = cell.cell_values(names, FilterParams)
    assert found["threshold"] == 1.5
    assert [name for name in found if name != "threshold"] == expected


def test_a_front_end_without_history_still_passes_its_parameters():
    assert cell.cell_values({"threshold": 1.5, "run": "x", "kept": 3}, FilterParams) == {"run": "x", "threshold": 1.5}


def test_a_misspelt_parameter_of_a_stage_is_refused_with_the_nearest_name(run):
    with pytest.raises(ParameterError, match="thresold: no such parameter; did you mean threshold"):
        session.open_stage("filter", notebook(run, thresold=1.0))


def test_variables_of_later_cells_are_no_parameters(run):
    stage = session.open_stage("filter", notebook(run, "kept = 3", "rows = [1]"))
    assert stage.params.threshold == 0.25
    stage.lock.release()


def test_values_left_at_their_defaults_are_taken_from_the_run_and_others_are_refused(run):
    store.claim_params(run, {"seed": 5, "filter": {"threshold": 0.9, "min_kept": 2}})
    stage = session.open_stage("filter", notebook(run))
    assert (stage.params.threshold, stage.params.min_kept, stage.params.seed) == (0.9, 2, 5)
    stage.lock.release()
    with pytest.raises(ParameterError, match=r"filter.threshold: the run has 0.9, now 0.7"):
        session.open_stage("filter", notebook(run, threshold=0.7))
    session.open_stage("filter", notebook(run)).lock.release()  # a refusal holds no lock


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda path: path.write_text(path.read_text().replace("Rhine", "Rhone")), "examples.jsonl: changed"),
        (lambda path: path.write_text(path.read_text()[:20]), "examples.jsonl: changed"),
        (lambda path: path.unlink(), "examples.jsonl: missing"),
        (lambda path: (path.parent / "manifest.json").unlink(), "iter-1/synthesize is not done"),
        (lambda path: (path.parent / "manifest.json").write_text("{"), "The manifest is not JSON"),
    ],
)
def test_a_damaged_input_stops_the_stage_before_it_begins(run, damage, said):
    damage(run / "iter-1" / "synthesize" / "examples.jsonl")
    with pytest.raises(RecordError, match=said):
        session.open_stage("filter", notebook(run))


def test_counts_that_do_not_add_up_are_never_recorded(run):
    stage = session.open_stage("filter", notebook(run))
    with pytest.raises(RecordError, match="do not add up"):
        stage.commit({"kept.jsonl": [PAIR]}, counts={"in": 2, "kept": 1, "dropped": {}})
    stage.lock.release()
    assert store.read_manifest(stage.folder) is None


def commit(run, rows):
    stage = session.open_stage("filter", notebook(run))
    return stage.commit({"kept.jsonl": rows}, counts={"in": 1, "kept": 1, "dropped": {}})


def test_a_finished_stage_is_repeated_aside_and_compared_with_its_record(run):
    assert "is recorded in" in commit(run, [PAIR])
    record = (run / "iter-1/filter/manifest.json").read_bytes()
    assert "same bytes as the record" in commit(run, [PAIR])
    with pytest.raises(RecordError, match=r"kept\.jsonl"):
        commit(run, [{**PAIR, "output": "Main"}])
    assert (run / "iter-1/filter/manifest.json").read_bytes() == record
    assert json.loads((run / "iter-1/filter/kept.jsonl").read_text())["output"] == PAIR["output"]
    assert sorted(p.name for p in (run / "iter-1/filter").iterdir()) == ["kept.jsonl", "manifest.json"]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ({"a": 1}, {"a": 1}, ""),
        ({"code": {"x": 1, "y": 2}}, {"code": {"x": 1, "y": 3, "z": 4}}, "differs in code (y, z)"),
        ({"stage": "a", "model": {"base": 1}}, {"stage": "b"}, "differs in model; stage"),
    ],
)
def test_a_stale_stage_names_what_differs(old, new, said):
    assert session.stale_reason(old, new) == said


def test_only_an_evaluation_may_be_made_anew_with_other_settings(run):
    store.claim_params(run, {"seed": 5, "filter": {"threshold": 0.9}, "evaluate": {"ifeval_prompts": 64}})
    store.claim_params(run, {"evaluate": {"ifeval_prompts": 0}}, free=("evaluate",))
    assert store.run_params(run)["evaluate"] == {"ifeval_prompts": 0}
    with pytest.raises(ParameterError, match=r"filter\.threshold"):
        store.claim_params(run, {"filter": {"threshold": 0.1}}, free=("evaluate",))
