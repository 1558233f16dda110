"""Sharing: a stage of another run is taken over when its fingerprint is the same and its files are whole."""

import pytest

from isheep_lib.errors import RecordError
from isheep_lib.record import manifests
from isheep_lib.record.reuse import copy_stage, find_same, taken


def finished(run, fingerprint="f", text="row\n", **more):
    """Write a finished stage with two outputs, one in a folder."""
    folder = run / "iter-1" / "train"
    for name in ("log.jsonl", "adapter/weights.safetensors"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    outputs = {name: manifests.describe_file(folder / name) for name in ("log.jsonl", "adapter/weights.safetensors")}
    manifests.write_manifest(folder, {"fingerprint": fingerprint, "outputs": outputs, "stage": "train", **more})
    return folder


def test_the_same_fingerprint_in_a_run_beside_this_one_is_found(tmp_path):
    folder = finished(tmp_path / "one")
    assert find_same(tmp_path / "two", 1, "train", "f") == folder


@pytest.mark.parametrize(
    ("iteration", "stage", "fingerprint"), [(2, "train", "f"), (1, "filter", "f"), (1, "train", "g")], ids=str
)
def test_another_iteration_stage_or_fingerprint_is_not(tmp_path, iteration, stage, fingerprint):
    finished(tmp_path / "one")
    assert find_same(tmp_path / "two", iteration, stage, fingerprint) is None


def test_a_run_does_not_share_with_itself(tmp_path):
    finished(tmp_path / "one")
    assert find_same(tmp_path / "one", 1, "train", "f") is None


@pytest.mark.parametrize("name", ["log.jsonl", "adapter/weights.safetensors"])
def test_a_record_without_all_its_files_is_passed_over(tmp_path, name):
    folder = finished(tmp_path / "one")
    (folder / name).unlink()
    assert find_same(tmp_path / "two", 1, "train", "f") is None
    whole = finished(tmp_path / "three")
    assert find_same(tmp_path / "two", 1, "train", "f") == whole


def test_what_is_taken_over_is_whole_and_says_where_it_came_from(tmp_path):
    source, target = finished(tmp_path / "one"), tmp_path / "two" / "iter-1" / "train"
    target.mkdir(parents=True)
    (target / ".work-old").mkdir()
    copy_stage(source, target)
    manifest = manifests.require_intact(target)
    assert manifest == {**manifests.read_manifest(source), "shared_from": "one"}
    assert sorted(p.name for p in target.iterdir()) == ["adapter", "log.jsonl", "manifest.json"]
    assert not list(target.parent.glob(".*"))


def test_whoever_shares_names_the_run_that_computed_it(tmp_path):
    source, second, third = finished(tmp_path / "one"), tmp_path / "two/iter-1/train", tmp_path / "three/iter-1/train"
    copy_stage(source, second)
    copy_stage(second, third)
    assert manifests.read_manifest(third)["shared_from"] == "one"


def test_editing_one_record_does_not_change_the_other(tmp_path):
    source, target = finished(tmp_path / "one"), tmp_path / "two/iter-1/train"
    copy_stage(source, target)
    with open(target / "log.jsonl", "a") as file:
        file.write("more\n")
    manifests.require_intact(source)


def test_a_changed_file_is_not_taken_over(tmp_path):
    source = finished(tmp_path / "one")
    (source / "log.jsonl").write_text("ROW\n")
    with pytest.raises(RecordError, match=r"log\.jsonl: changed"):
        copy_stage(source, tmp_path / "two/iter-1/train")
    assert not (tmp_path / "two/iter-1/train").exists()


def test_stages_of_other_runs_are_told_by_run():
    made = [{"iteration": k, "stage": stage} for k, stage in ((0, "evaluate"), (1, "synthesize"), (1, "assess"))]
    assert taken(made) == ""
    found = [made[0] | {"shared_from": "one"}, made[1] | {"shared_from": "two"}, made[2] | {"shared_from": "one"}]
    assert (
        taken(found) == "2 taken from the run one: iter-0/evaluate, iter-1/assess; 1 taken from the run two: iter-1/synthesize"
    )


def test_facts_of_the_run_that_takes_over_replace_those_of_the_other(tmp_path):
    source = finished(tmp_path / "one", grade={"name": "A", "reasons": []})
    copy_stage(source, tmp_path / "two/iter-1/train", grade={"name": "C", "reasons": ["why"]})
    assert manifests.read_manifest(tmp_path / "two/iter-1/train")["grade"] == {"name": "C", "reasons": ["why"]}
    assert manifests.read_manifest(source)["grade"]["name"] == "A"
