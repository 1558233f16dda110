"""The record on disk: paths, manifests, the run's parameters, its lock, verification."""

import os
import subprocess
import sys

import pytest
import yaml

from isheep_lib.errors import ParameterError, RecordError
from isheep_lib.iterate.claims import claim_params
from isheep_lib.params import run_file
from isheep_lib.params.run_file import run_params
from isheep_lib.record import manifests
from isheep_lib.record.locks import RunLock
from isheep_lib.record.manifests import differences, require_intact
from isheep_lib.record.provenance import project_root

SECTIONS = {
    "seed": 2408,
    "model": {"base_model": "embedded:a", "dtype": "float32", "cache_tokens": 32},
    "filter": {"threshold": 0.25, "scorer": "text"},
}


def changed(section, **values):
    return {**SECTIONS, section: {**SECTIONS[section], **values}}


@pytest.fixture
def stage(tmp_path):
    """Return the folder of a finished stage with a row file and weights."""
    folder = manifests.stage_folder(tmp_path / "run", 1, "train")
    (folder / "adapter").mkdir(parents=True)
    (folder / "log.jsonl").write_text('{"loss":1}\n')
    (folder / "adapter" / "adapter_model.safetensors").write_bytes(b"weights")
    names = ["log.jsonl", "adapter/adapter_model.safetensors"]
    manifest = {"stage": "train", "iteration": 1, "outputs": {name: manifests.describe_file(folder / name) for name in names}}
    manifests.write_manifest(folder, manifest)
    return folder


@pytest.mark.parametrize("name", ["mine", "results/mine"])
def test_a_run_by_name_lies_under_results(name):
    assert manifests.run_folder(name) == project_root() / "results" / "mine"


def test_a_run_by_path_lies_where_the_path_says(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert manifests.run_folder(str(tmp_path / "r")) == tmp_path / "r"
    assert manifests.run_folder("./r") == tmp_path / "r"
    assert manifests.run_folder("../r") == tmp_path.parent / "r"
    assert manifests.run_folder("~/r") == tmp_path / "home" / "r"


def test_paths_are_shown_from_the_clones_root(tmp_path):
    assert manifests.short(project_root() / "results" / "a") == "results/a"
    assert manifests.short(tmp_path) == str(tmp_path)


def test_a_manifest_comes_back_as_written_and_means_done(tmp_path):
    assert manifests.read_manifest(tmp_path) is None
    manifests.write_manifest(tmp_path, {"b": [1, "é"], "a": {}})
    assert manifests.read_manifest(tmp_path) == {"b": [1, "é"], "a": {}}
    assert "é" in (tmp_path / "manifest.json").read_text(encoding="utf-8")


def test_a_pending_manifest_does_not_mean_done(tmp_path):
    manifests.write_manifest(tmp_path, {"a": 1}, manifests.PENDING)
    assert manifests.read_manifest(tmp_path) is None


def test_a_manifest_changed_by_hand_is_refused_with_what_to_do(tmp_path):
    (tmp_path / "manifest.json").write_text('{"stage": ')
    with pytest.raises(RecordError) as caught:
        manifests.read_manifest(tmp_path)
    assert "The manifest is not JSON" in str(caught.value)
    assert str(tmp_path / "manifest.json") in str(caught.value)
    assert f"delete {tmp_path}" in str(caught.value)


def test_an_untouched_stage_is_intact(stage):
    assert require_intact(stage)["stage"] == "train"
    assert differences(stage, manifests.read_manifest(stage)) == []


def truncate(path):
    path.write_bytes(path.read_bytes()[:-1])


def append(path):
    path.write_text(path.read_text() + "\n")


def edit(path):
    path.write_bytes(path.read_bytes().replace(b"1", b"2"))  # same size


def edit_keeping_time(path):
    times = path.stat()
    edit(path)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def empty(path):
    path.write_bytes(b"")


@pytest.mark.parametrize("spoil", [truncate, append, edit, edit_keeping_time, empty])
def test_a_changed_output_is_found_and_refused(stage, spoil):
    spoil(stage / "log.jsonl")
    (found,) = differences(stage, manifests.read_manifest(stage))
    assert (found.path, found.kind) == (stage / "log.jsonl", "changed")
    with pytest.raises(RecordError) as caught:
        require_intact(stage)
    message = str(caught.value)
    assert "1 file(s) of iter-1/train are not as they were recorded" in message
    assert "log.jsonl: changed" in message
    same_size = spoil in (edit, edit_keeping_time)
    assert ("11 bytes, as the manifest says, but others" if same_size else "the manifest says 11") in message
    assert str(stage) in message
    assert "restore them, or delete this folder" in message


def test_a_deleted_output_is_missing_and_absent_weights_are_not_at_hand(stage):
    (stage / "log.jsonl").unlink()
    (stage / "adapter" / "adapter_model.safetensors").unlink()
    found = differences(stage, manifests.read_manifest(stage))
    assert {d.path.name: d.kind for d in found} == {"adapter_model.safetensors": "absent", "log.jsonl": "missing"}
    with pytest.raises(RecordError, match=r"2 file\(s\) of iter-1/train"):
        require_intact(stage)


def test_changed_weights_are_changed(stage):
    (stage / "adapter" / "adapter_model.safetensors").write_bytes(b"WEIGHTS")
    assert [d.kind for d in differences(stage, manifests.read_manifest(stage))] == ["changed"]


def test_only_the_named_files_are_looked_at(stage):
    (stage / "adapter" / "adapter_model.safetensors").unlink()
    assert require_intact(stage, ["log.jsonl"])["iteration"] == 1
    with pytest.raises(RecordError, match="absent"):
        require_intact(stage, ["adapter/adapter_model.safetensors"])


def test_a_stage_that_is_not_done_is_named_with_its_notebook(tmp_path):
    folder = manifests.stage_folder(tmp_path, 2, "assess")
    with pytest.raises(RecordError) as caught:
        require_intact(folder)
    assert "iter-2/assess is not done" in str(caught.value)
    assert str(folder) in str(caught.value)
    assert "run assess.ipynb" in str(caught.value)


def test_finished_stages_are_listed_in_the_order_of_iterations(tmp_path):
    for iteration, stage in [(10, "filter"), (2, "train"), (2, "assess"), (0, "evaluate")]:
        manifests.write_manifest(manifests.stage_folder(tmp_path, iteration, stage), {"stage": stage, "iteration": iteration})
    manifests.stage_folder(tmp_path, 3, "assess").mkdir(parents=True)  # begun, not done
    manifests.write_manifest(tmp_path / "iter-2" / ".work-abc", {"stage": "assess", "iteration": 2})
    found = [(manifest["iteration"], manifest["stage"]) for _, manifest in manifests.all_manifests(tmp_path)]
    assert found == [(0, "evaluate"), (2, "assess"), (2, "train"), (10, "filter")]


def trained(run_dir, **starts):
    """Record trainings by iteration; each began with the model of another one, or says nothing of it."""
    for name, start in starts.items():
        manifest = {"outputs": {}} if start is None else {"outputs": {}, "starts_from": start}
        manifests.write_manifest(manifests.stage_folder(run_dir, int(name[1:]), "train"), manifest)


@pytest.mark.parametrize(
    ("starts", "expected"),
    [
        ({"k1": 0, "k2": 1, "k3": 2}, {0: [], 1: [1], 2: [1, 2], 3: [1, 2, 3]}),  # one_last
        ({"k1": 0, "k2": 0, "k3": 0}, {0: [], 1: [1], 2: [2], 3: [3]}),  # one_base and total_base
        ({"k1": None, "k2": None}, {1: [1], 2: [2]}),  # a record from before there was a choice
    ],
)
def test_a_model_is_made_of_the_adapters_of_its_ancestors_and_its_own(tmp_path, starts, expected):
    trained(tmp_path, **starts)
    assert {k: manifests.lineage(tmp_path, k) for k in expected} == expected


@pytest.mark.parametrize(("starts", "asked", "absent"), [({}, 1, 1), ({"k1": 0}, 2, 2), ({"k1": 0, "k3": 2}, 3, 2)])
def test_an_adapter_that_is_not_trained_is_named_with_its_notebook(tmp_path, starts, asked, absent):
    trained(tmp_path, **starts)
    with pytest.raises(RecordError) as caught:
        manifests.lineage(tmp_path, asked)
    assert f"iter-{absent}/train is not done" in str(caught.value)
    assert str(manifests.stage_folder(tmp_path, absent, "train")) in str(caught.value)
    assert "run train.ipynb" in str(caught.value)


@pytest.mark.parametrize("name", ["iter-old", "iter-1-backup", "iter-"])
def test_a_copied_folder_beside_the_iterations_is_no_iteration(tmp_path, name):
    manifests.write_manifest(tmp_path / "iter-1" / "assess", {"iteration": 1})
    manifests.write_manifest(tmp_path / name / "assess", {"iteration": 1})
    assert [folder for folder, _ in manifests.all_manifests(tmp_path)] == [tmp_path / "iter-1" / "assess"]


def test_the_first_stage_makes_the_values_the_runs_own(tmp_path):
    assert run_params(tmp_path) == {}
    claim_params(tmp_path, SECTIONS)
    assert run_params(tmp_path) == SECTIONS
    claim_params(tmp_path, SECTIONS)
    assert run_params(tmp_path) == SECTIONS


def test_sections_and_values_not_named_stay_as_they_are(tmp_path):
    claim_params(tmp_path, SECTIONS)
    claim_params(tmp_path, {"seed": 2408, "model": {"dtype": "float32"}, "train": {"epochs": 2}})
    assert run_params(tmp_path) == {**SECTIONS, "train": {"epochs": 2}}


def test_every_changed_value_that_changes_results_is_listed_and_nothing_is_written(tmp_path):
    claim_params(tmp_path, SECTIONS)
    before = run_file.params_path(tmp_path).read_bytes()
    values = {"seed": 7, "model": {"dtype": "bfloat16", "cache_tokens": 1}, "filter": {"threshold": 0.5, "scorer": "text"}}
    with pytest.raises(ParameterError) as caught:
        claim_params(tmp_path, values)
    message = str(caught.value)
    assert "seed: the run has 2408, now 7" in message
    assert "model.dtype: the run has 'float32', now 'bfloat16'" in message
    assert "filter.threshold: the run has 0.25, now 0.5" in message
    assert "cache_tokens" not in message
    assert "scorer" not in message
    assert str(run_file.params_path(tmp_path)) in message
    assert "another name for a new run" in message
    assert run_file.params_path(tmp_path).read_bytes() == before


@pytest.mark.parametrize(("name", "value"), [("cache_tokens", 4), ("batch_tokens", 1024)])
def test_a_value_that_changes_speed_only_is_accepted_and_kept(tmp_path, name, value):
    claim_params(tmp_path, changed("model", batch_tokens=4096))
    claim_params(tmp_path, changed("model", **{name: value}))
    assert run_params(tmp_path)["model"][name] == value
    assert run_params(tmp_path)["model"]["dtype"] == "float32"


def test_the_runs_parameters_are_a_yaml_file_for_people(tmp_path):
    claim_params(tmp_path, SECTIONS)
    text = run_file.params_path(tmp_path).read_text()
    assert text.startswith("#")
    assert list(yaml.safe_load(text)) == ["seed", "model", "filter"]


def test_a_second_holder_of_a_run_is_refused_with_the_first_ones_process(tmp_path):
    lock = RunLock(tmp_path / "run")
    try:
        with pytest.raises(RecordError) as caught:
            RunLock(tmp_path / "run")
        assert f"process {os.getpid()}" in str(caught.value)
        assert str(tmp_path / "run") in str(caught.value)
        assert "wait for it to end" in str(caught.value)
    finally:
        lock.release()
    RunLock(tmp_path / "run").release()


def test_another_process_is_refused_until_the_first_ends(tmp_path):
    code = (
        "import sys; from pathlib import Path; from isheep_lib.record.locks import RunLock; "
        "lock = RunLock(Path(sys.argv[1])); print('held', flush=True); sys.stdin.readline()"
    )
    process = subprocess.Popen([sys.executable, "-c", code, tmp_path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout.readline() == "held\n"
        with pytest.raises(RecordError, match=f"process {process.pid}"):
            RunLock(tmp_path)
    finally:
        process.kill()  # a killed holder leaves no lock
        process.communicate()
    RunLock(tmp_path).release()


def test_locks_of_different_runs_are_apart(tmp_path):
    locks = [RunLock(tmp_path / name) for name in "ab"]
    for lock in locks:
        lock.release()


def fed(run_dir, **rows):
    """Record trainings by name "k2" with their start and the iterations whose pairs they read."""
    for name, (start, read) in rows.items():
        inputs = {f"iter-{k}/filter/kept.jsonl": f"digest-{k}" for k in read} | {"iter-1/assess/vectors.npy": "no rows"}
        manifest = {"outputs": {}, "starts_from": start, "parts": {"inputs": inputs}}
        manifests.write_manifest(manifests.stage_folder(run_dir, int(name[1:]), "train"), manifest)


@pytest.mark.parametrize(
    ("starts", "expected"),
    [
        ({"k1": (0, [1]), "k2": (0, [2]), "k3": (0, [3])}, [[], [1], [2], [3]]),  # one_base
        ({"k1": (0, [1]), "k2": (1, [2]), "k3": (2, [3])}, [[], [1], [1, 2], [1, 2, 3]]),  # one_last
        ({"k1": (0, [1]), "k2": (0, [1, 2]), "k3": (0, [1, 2, 3])}, [[], [1], [1, 2], [1, 2, 3]]),  # total_base
        ({"k1": (0, [1]), "k2": (1, [1, 2])}, [[], [1], [1, 2]]),  # each file once
    ],
)
def test_a_model_was_trained_on_the_rows_of_its_own_training_and_of_its_ancestors(tmp_path, starts, expected):
    fed(tmp_path, **starts)
    for k, iterations in enumerate(expected):
        assert manifests.trained_on(tmp_path, k) == {f"iter-{i}/filter/kept.jsonl": f"digest-{i}" for i in iterations}


# Which folder is a run


@pytest.fixture
def clone(tmp_path, monkeypatch):
    """Return the root of a clone with a run, a sweep of two runs, and a committed record of the run's name."""
    monkeypatch.setattr(manifests, "project_root", lambda: tmp_path)
    for name in ("mine", "thresholds/low", "thresholds/high", "reference/mine"):
        claim_params(tmp_path / "results" / name, SECTIONS)
    (tmp_path / "results/thresholds/ablate.ipynb").write_text("{}")
    return tmp_path


@pytest.mark.parametrize("name", ["mine", "reference/mine", "thresholds/low"])
def test_a_run_s_name_leads_back_to_its_folder(clone, name):
    assert manifests.run_name(clone / "results" / name) == name
    assert manifests.run_folder(manifests.run_name(manifests.run_folder(name))) == clone / "results" / name
    manifests.require_run(manifests.run_folder(name))


def test_a_run_elsewhere_is_named_by_its_path(clone):
    elsewhere = clone / "elsewhere"
    assert manifests.run_folder(manifests.run_name(elsewhere)) == elsewhere


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (
            "thresholds",
            r"(?s)thresholds is a sweep of 2 run\(s\).*allowed: thresholds/high, thresholds/low\n.*isheep status thresh",
        ),
        ("reference", r"(?s)reference is no run, but a folder of runs.*allowed: reference/mine\n"),
        ("mime", r"(?s)There is no such run.*allowed: mine, reference/mine"),
        ("", r"(?s)no run, but a folder of runs.*allowed: mine"),
    ],
)
def test_what_is_no_run_is_called_what_it_is_with_the_runs_at_hand(clone, name, said):
    with pytest.raises(RecordError, match=said):
        manifests.require_run(manifests.run_folder(name))


def test_a_sweep_that_works_for_the_first_time_is_a_sweep(clone):
    (clone / "results/thresholds/ablate.ipynb").rename(clone / "results/thresholds/.ablate.partial.ipynb")
    assert manifests.is_sweep(clone / "results/thresholds")
    assert not manifests.is_sweep(clone / "results/reference")


@pytest.mark.parametrize(("left", "state"), [("all", "here"), ("rows", "absent"), ("none of its own", "")])
def test_weights_are_here_or_absent_or_none_were_made(stage, left, state):
    manifest = manifests.read_manifest(stage)
    if left == "rows":
        (stage / "adapter/adapter_model.safetensors").unlink()
    if left == "none of its own":
        del manifest["outputs"]["adapter/adapter_model.safetensors"]
    assert manifests.weights_state(stage, manifest) == state


def test_the_machines_of_a_record_are_told_once_each_with_what_differs_here(tmp_path, monkeypatch):
    one = {"processor": "A", "cores": 2, "instruction_sets": {"processor": "avx2"}}  # of a stage that loads no torch
    loaded = {**one, "instruction_sets": {"processor": "avx2", "torch": "AVX2"}, "threads": 2}
    other = {"processor": "B", "cores": 8, "device": "a GPU"}
    made = {"synthesize": loaded, "filter": one, "train": other, "evaluate": loaded}
    for stage, environment in made.items():
        manifests.write_manifest(tmp_path / "iter-1" / stage, {"environment": environment})
    manifests.write_manifest(tmp_path / "iter-2" / "filter", {"of": "a time before environments"})
    (tmp_path / "iter-2" / "train").mkdir()
    (tmp_path / "iter-2" / "train" / "manifest.json").write_text("{")  # damaged
    monkeypatch.setattr(manifests.provenance, "environment", lambda: one)
    assert manifests.made_on([tmp_path]) == [
        "1 stage(s) made on B, 8 cores, a GPU; this machine differs: cores 8 → 2, processor B → A",
        "3 stage(s) made on A, 2 cores, AVX2; this machine is like it in all that both name",
    ]
