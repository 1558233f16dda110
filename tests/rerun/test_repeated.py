"""Repeating a record: what is chosen, what it reads, what is refused before anything runs, and what is said of the result."""

import json
import shutil
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output

from isheep_lib.errors import ParameterError, RecordError, StageFailed
from isheep_lib.iterate import claims, runner
from isheep_lib.iterate.run_params import STAGE_PARAMS
from isheep_lib.params import run_file
from isheep_lib.record import locks, manifests
from isheep_lib.record.rows import write_jsonl
from isheep_lib.rerun.run import differences_table, rerun, summary

ADAPTER = "adapter/adapter_model.safetensors"
ENVIRONMENT = {"python": "3.11.7", "cores": 2, "peak_memory_mb": 100, "packages": {"torch": "2.13.0", "peft": "0.21.2"}}
WHOLE = [(0, "evaluate"), *((k, stage) for k in (1, 2) for stage in ("synthesize", "assess", "filter", "train", "evaluate"))]
# What each stage of iteration 2 read, in the places where real manifests say so.
INPUTS = {
    "synthesize": ["iter-1/synthesize/examples.jsonl", "seeds"],
    "assess": ["iter-{k}/synthesize/examples.jsonl"],
    "filter": ["iter-{k}/synthesize/examples.jsonl", "iter-{k}/assess/scores.jsonl", "benchmarks/boolq"],
    "train": ["iter-{k}/filter/kept.jsonl"],
    "evaluate": ["iter-{k}/filter/kept.jsonl", "benchmarks/boolq"],
}
MODELS = {"synthesize": -1, "assess": -1, "evaluate": 0}


def parts_of(k, stage):
    inputs = {name.format(k=k): "d" for name in INPUTS[stage] if k > 1 or not name.startswith("iter-1/")} if k else {}
    parts = {"stage": stage, "inputs": inputs, "code": {stage: "c"}}
    if stage in MODELS:
        trained = k + MODELS[stage]
        parts["model"] = {"base": "b", **({f"iter-{trained}/adapter": "a"} if trained > 0 else {})}
    return parts


def write_stage(folder, k, stage, seconds=4.0, **more):
    """Record what lies in a stage's folder."""
    names = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    manifest = {
        "stage": stage,
        "iteration": k,
        "parts": parts_of(k, stage),
        "parameters": {**STAGE_PARAMS[stage]().model_dump(exclude={"run"}), "iteration": k},
        "outputs": {name: manifests.describe_file(folder / name) for name in names if name != "manifest.json"},
        "environment": ENVIRONMENT,
        "seconds": seconds - 1,
        "notebook_seconds": seconds,
        **more,
    }
    manifests.write_manifest(folder, manifest)
    return manifest


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    """Make a record of two iterations with a cell and a file of rows in each stage."""
    run = tmp_path_factory.mktemp("original") / "recorded"
    for k, stage in WHOLE:
        folder = manifests.stage_folder(run, k, stage)
        write_jsonl(folder / "rows.jsonl", [{"id": f"{stage}-{n}", "score": n / 7} for n in range(3)])
        if stage == "train":
            (folder / ADAPTER).parent.mkdir()
            (folder / ADAPTER).write_text(f"weights {k}")
        cell = new_code_cell("show()", id="scores", outputs=[new_output("execute_result", {"text/plain": "mean 0.5721"})])
        nbformat.write(new_notebook(cells=[cell]), folder / f"{stage}.ipynb")
        write_stage(folder, k, stage)
    claims.claim_params(run, {"seed": 2408, "evaluate": {"answer_tokens": 8}})
    return run


@pytest.fixture
def record(original, tmp_path):
    """Return a copy that a test may spoil."""
    return shutil.copytree(original, tmp_path / "reference" / "recorded")


class Kernel:
    """Stands in for the runner: writes what the record has, changed by `spoil`, and remembers what it was given."""

    def __init__(self, original):
        self.source = original
        self.ran, self.given, self.there, self.params = [], {}, {}, {}
        self.spoil, self.fails_at, self.more = lambda folder: None, None, {}

    def __call__(self, stage, iteration, run_dir, params, notebooks):
        at = (iteration, stage)
        assert (notebooks / f"{stage}.ipynb").is_file()
        assert locks.is_held(run_dir), "another process could write here"
        self.ran.append(at)
        self.given[at], self.params[at] = params, run_file.run_params(run_dir)
        self.there[at] = {(int(folder.parent.name[5:]), folder.name) for folder, _ in manifests.all_manifests(run_dir)}
        folder = manifests.stage_folder(run_dir, *at)
        if at == self.fails_at:
            raise StageFailed("a cell raised")
        shutil.copytree(manifests.stage_folder(self.source, *at), folder, ignore=shutil.ignore_patterns("manifest.json"))
        self.spoil(folder)
        return write_stage(folder, iteration, stage, 5.0, **self.more)


@pytest.fixture
def kernel(original, monkeypatch):
    made = Kernel(original)
    monkeypatch.setattr(runner, "run_stage", made)
    return made


def test_without_a_choice_the_whole_record_is_repeated_in_order_on_its_own_files(record, kernel, tmp_path):
    shutil.rmtree(record / "iter-1/train/adapter")  # as in a committed record
    found = rerun(record, into=tmp_path / "new")
    assert kernel.ran == WHOLE
    assert [(one.iteration, one.stage) for one in found] == WHOLE
    assert not any(one.differs for one in found)
    assert all("shared_from" not in manifest for _, manifest in manifests.all_manifests(tmp_path / "new"))
    assert not locks.is_held(tmp_path / "new")


@pytest.mark.parametrize(
    ("stage", "iteration", "expected"),
    [
        ("filter", 2, [(2, "synthesize"), (2, "assess")]),
        ("synthesize", 1, []),
        ("synthesize", 2, [(1, "synthesize"), (1, "train")]),
        ("assess", 2, [(1, "train"), (2, "synthesize")]),
        ("train", 2, [(2, "filter")]),
        ("evaluate", 0, []),
        ("evaluate", 2, [(0, "evaluate"), (1, "evaluate"), (2, "filter"), (2, "train")]),
    ],
)
def test_a_chosen_stage_finds_what_it_read_as_the_record_has_it(record, kernel, tmp_path, stage, iteration, expected):
    rerun(record, [stage], [iteration], tmp_path / "new")
    assert kernel.ran == [(iteration, stage)]
    assert sorted(kernel.there[iteration, stage]) == sorted(expected)
    for at in expected:
        manifest = manifests.require_intact(manifests.stage_folder(tmp_path / "new", *at))
        assert manifest.pop("shared_from") == "recorded"
        assert manifest == manifests.read_manifest(manifests.stage_folder(record, *at))


def test_stages_that_are_chosen_together_read_what_was_repeated(record, kernel, tmp_path):
    rerun(record, ["train", "filter"], [2], tmp_path / "new")
    assert kernel.ran == [(2, "filter"), (2, "train")]
    assert "shared_from" not in manifests.read_manifest(tmp_path / "new/iter-2/filter")


def test_a_stage_gets_its_recorded_parameters_in_the_new_place_and_asks_anew(record, kernel, tmp_path):
    folder = manifests.stage_folder(record, 2, "evaluate")
    manifest = manifests.read_manifest(folder)
    manifest["parameters"] |= {"answer_tokens": 99, "inference_dtype": "bfloat16"}
    manifests.write_manifest(folder, manifest)
    rerun(record, ["evaluate", "assess"], [2], tmp_path / "new")
    given = kernel.given[2, "evaluate"]
    assert given == {**manifest["parameters"], "run": str(tmp_path / "new"), "reuse_answers": False}
    assert list(given)[:3] == ["run", "iteration", "seed"]
    assert kernel.params[2, "evaluate"]["evaluate"]["answer_tokens"] == 99  # the record's own params.yaml says 8
    assert {"shard", "num_shards", "reuse_answers"}.isdisjoint(kernel.given[2, "assess"])


def test_the_new_place_lies_beside_other_runs_unless_another_is_given(record, kernel, tmp_path, monkeypatch):
    monkeypatch.setattr(manifests, "project_root", lambda: tmp_path)
    shutil.copytree(record, tmp_path / "results/recorded")
    rerun(tmp_path / "results/recorded", ["filter"], [1])
    assert (tmp_path / "results/rerun-recorded/iter-1/filter/manifest.json").is_file()
    assert kernel.given[1, "filter"]["run"] == "results/rerun-recorded"  # names no machine


def test_records_of_one_name_are_repeated_in_places_of_their_own(record, kernel, tmp_path, monkeypatch):
    monkeypatch.setattr(manifests, "project_root", lambda: tmp_path)
    copies = [tmp_path / name for name in ("results/recorded", "results/reference/recorded", "a/recorded", "b/recorded")]
    for copy in copies:
        shutil.copytree(record, copy)
        rerun(copy, ["filter"], [1])
    places = {path.parents[2].relative_to(tmp_path / "results") for path in tmp_path.glob("results/rerun-*/**/manifest.json")}
    assert len(places) == len(copies)
    assert {Path("rerun-recorded"), Path("rerun-reference/recorded")} < places


@pytest.mark.parametrize(
    ("stages", "iterations", "said"),
    [
        (["filtre", "filter"], [], "filtre is no stage"),
        ([], [7], "iteration 7 is not recorded"),
        (["train"], [0], "no train is recorded of iteration 0"),
        (["judge"], [], "no judge is recorded"),
        (["filtre"], [7], "filtre is no stage; iteration 7 is not recorded"),
    ],
)
def test_a_choice_that_is_not_recorded_is_refused_with_what_is(record, kernel, tmp_path, stages, iterations, said):
    with pytest.raises(ParameterError) as error:
        rerun(record, stages, iterations, tmp_path / "new")
    assert said in error.value.what
    assert error.value.allowed == "stages synthesize, assess, filter, train, evaluate; iterations 0, 1, 2"
    assert not (tmp_path / "new").exists()


def test_a_folder_without_a_record_is_refused(tmp_path):
    with pytest.raises(RecordError, match="There is no such run"):
        rerun(tmp_path / "nothing", into=tmp_path / "new")


@pytest.mark.parametrize("place", ["recorded", "recorded/again", "recorded/iter-1/x/.."])
def test_a_record_is_not_repeated_inside_itself(record, kernel, place):
    with pytest.raises(RecordError, match="inside itself"):
        rerun(record, into=record.parent / place)
    assert kernel.ran == []


def test_a_place_that_is_taken_is_refused_and_left_as_it_is(record, kernel, tmp_path):
    (tmp_path / "new").mkdir()
    with pytest.raises(RecordError, match="taken"):
        rerun(record, into=tmp_path / "new")
    assert kernel.ran == [] and not any((tmp_path / "new").iterdir())


@pytest.mark.parametrize("stage", ["synthesize", "filter"])
def test_a_record_whose_chosen_stage_or_its_input_was_edited_is_refused_with_every_file(record, kernel, tmp_path, stage):
    for name in ("rows.jsonl", f"{stage}.ipynb"):
        with open(record / "iter-2" / stage / name, "a") as file:
            file.write(" ")
    with pytest.raises(RecordError) as error:
        rerun(record, ["filter"], [2], tmp_path / "new")
    assert f"iter-2/{stage}/rows.jsonl: changed" in error.value.what
    assert f"iter-2/{stage}/{stage}.ipynb: changed" in error.value.what
    assert not (tmp_path / "new").exists()


def test_what_a_chosen_stage_does_not_read_may_be_damaged(record, kernel, tmp_path):
    (record / "iter-1/train/rows.jsonl").unlink()
    rerun(record, ["filter"], (), tmp_path / "new")
    assert kernel.ran == [(1, "filter"), (2, "filter")]


def test_stages_whose_weights_are_not_at_hand_are_all_named_before_anything_runs(record, kernel, tmp_path):
    for k in (1, 2):
        (record / f"iter-{k}/train" / ADAPTER).unlink()
    with pytest.raises(RecordError) as error:
        rerun(record, ["assess", "train", "evaluate"], [2], tmp_path / "new")
    assert error.value.what == "iter-2/assess cannot be repeated: the adapter of iteration 1 is not at hand"
    with pytest.raises(RecordError) as error:
        rerun(record, ["assess", "evaluate"], (), tmp_path / "new")
    assert [line.strip().split()[0] for line in error.value.what.split("\n")] == [
        "iter-1/evaluate",
        "iter-2/assess",
        "iter-2/evaluate",
    ]
    assert "whole record" in error.value.do
    assert kernel.ran == [] and not (tmp_path / "new").exists()


def test_an_input_that_the_record_does_not_have_is_named(record, kernel, tmp_path):
    shutil.rmtree(record / "iter-2/assess")
    with pytest.raises(RecordError, match="iter-2/filter cannot be repeated: iter-2/assess is not recorded"):
        rerun(record, ["filter"], [2], tmp_path / "new")


def test_a_parameter_that_is_no_more_is_named_before_anything_runs(record, kernel, tmp_path):
    folder = manifests.stage_folder(record, 2, "filter")
    manifest = manifests.read_manifest(folder)
    manifest["parameters"]["threshhold"] = 0.5
    manifests.write_manifest(folder, manifest)
    with pytest.raises(ParameterError, match="did you mean threshold") as error:
        rerun(record, ["filter"], (), tmp_path / "new")
    assert error.value.where == "iter-2/filter/manifest.json"
    assert kernel.ran == [] and not (tmp_path / "new").exists()


def test_a_stage_that_fails_passes_its_error_on_and_what_was_repeated_is_kept_and_told(record, kernel, tmp_path):
    kernel.fails_at, told = (1, "filter"), []
    with pytest.raises(StageFailed, match="a cell raised") as error:
        rerun(record, [], [1], tmp_path / "new", told.append)
    assert [one.name for one in told] == ["iter-1/synthesize", "iter-1/assess"]
    assert (tmp_path / "new/iter-1/assess/manifest.json").is_file()
    assert error.tb is not None  # keeps the lock from being dropped with the call
    assert not locks.is_held(tmp_path / "new")


def other_number(folder):
    path = folder / f"{folder.name}.ipynb"
    path.write_text(path.read_text().replace("0.5721", "0.5799"))


def other_row(folder):
    path = folder / "rows.jsonl"
    path.write_text(path.read_text().replace('"score":0.0', '"score":9.5'))


def last_bits(folder):
    path = folder / "rows.jsonl"
    path.write_text(path.read_text().replace("0.14285714285714285", "0.14285714285714288"))


def other_source(folder):
    path = folder / f"{folder.name}.ipynb"
    path.write_text(path.read_text().replace("show()", "show() # better"))


@pytest.mark.parametrize(
    ("spoil", "differs", "line", "row"),
    [
        (lambda folder: None, False, "1 of 1 cells the same, 1 of 1 files the same bytes", None),
        (other_number, True, "0 of 1 cells the same, 1 of 1 files the same bytes", ("scores", "text/plain")),
        (other_row, True, "1 of 1 cells the same, 0 of 1 files the same bytes", ("rows.jsonl", "rows")),
        (
            last_bits,
            False,
            "1 of 1 cells the same, 0 of 1 files the same bytes and 1 within the tolerance",
            ("rows.jsonl", "within the tolerance"),
        ),
        (other_source, False, "1 of 1 cells the same, 1 of 1 files the same bytes", ("scores", "source")),
    ],
    ids=["nothing", "a number in the notebook", "a row", "last bits", "a source"],
)
def test_what_differs_is_named_by_cell_and_by_row(record, kernel, tmp_path, spoil, differs, line, row):
    kernel.spoil = spoil
    (found,) = rerun(record, ["filter"], [1], tmp_path / "new")
    assert found.differs == differs
    assert found.lines()[0] == f"iter-1/filter: {line}, 5.0 s (recorded 4.0 s)"
    same = "  inputs, code, settings, machine and packages are those of the record"
    others = {other_number: [same], other_row: [same], last_bits: [same], other_source: ["  rewritten since: scores"]}
    assert found.lines()[1:] == others.get(spoil, [])
    shown = differences_table([found]).rows
    assert [(r["stage"], r["cell or file"], r["what"]) for r in shown if "stage" in r] == (
        [("iter-1/filter", *row)] if row else []
    )
    last = "Different: iter-1/filter" if differs else "Everything repeated came out as it was recorded."
    assert summary([found])[-1] == last


def test_what_else_is_not_as_it_was_is_said_beside_a_stage(record, kernel, tmp_path):
    kernel.more = {
        "environment": {**ENVIRONMENT, "cores": 8, "peak_memory_mb": 7, "threads": 4, "packages": {"torch": "2.14.0"}},
        "parts": {**parts_of(1, "filter"), "code": {"filter": "d"}},
    }
    (found,) = rerun(record, ["filter"], [1], tmp_path / "new")
    said = [
        "  this time it differs in code (filter)",
        "  this machine differs: cores 2 → 8; packages differ: peft 0.21.2 → absent, torch 2.13.0 → 2.14.0",
    ]
    assert not found.differs
    assert found.lines()[1:] == said
    kernel.spoil = other_row
    (found,) = rerun(record, ["filter"], [1], tmp_path / "other")
    assert found.lines()[1:] == [*said, "  the record does not name its threads"]


def test_a_stage_that_was_run_by_hand_is_compared_by_its_files(record, kernel, tmp_path):
    folder = manifests.stage_folder(record, 1, "filter")
    (folder / "filter.ipynb").unlink()
    write_stage(folder, 1, "filter")
    (found,) = rerun(record, ["filter"], [1], tmp_path / "new")
    assert found.lines()[0].startswith("iter-1/filter: no notebook to compare (run by hand), 1 of 1 files the same bytes")


def test_the_record_stays_as_it_is(record, kernel, tmp_path):
    before = {path: path.read_bytes() for path in record.rglob("*") if path.is_file()}
    kernel.spoil = other_row
    rerun(record, into=tmp_path / "new")
    assert {path: path.read_bytes() for path in record.rglob("*") if path.is_file()} == before
    assert json.loads((tmp_path / "new/iter-1/filter/manifest.json").read_text())["outputs"]
