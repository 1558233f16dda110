"""The committed reference record: intact and complete (that its filters come out the same again: `test_rerun`)."""

import json
import subprocess
from pathlib import Path

import pytest

from isheep_lib.record import manifests, verification

REFERENCE = Path(__file__).resolve().parents[2] / "results" / "reference" / "smollm2-135m"


RUNS = sorted(path.parent for path in REFERENCE.parent.rglob("params.yaml"))


@pytest.mark.parametrize("run", RUNS, ids=lambda p: str(p.relative_to(REFERENCE.parent)))
def test_a_committed_run_is_as_it_was_recorded_but_for_its_weights(run):
    verdicts = verification.verify(run)
    assert [v for v in verdicts if not v.holds] == []
    absent = [v.item for v in verdicts if v.word == "absent"]
    assert all(item.endswith("adapter_model.safetensors") for item in absent)


def test_the_reference_holds_three_iterations_and_no_weights():
    found = [(m["iteration"], m["stage"]) for _, m in manifests.all_manifests(REFERENCE)]
    assert found == [
        (0, "evaluate"),
        *((k, s) for k in (1, 2, 3) for s in ("synthesize", "assess", "filter", "train", "evaluate")),
    ]
    tracked = subprocess.run(["git", "ls-files", REFERENCE], cwd=REFERENCE, capture_output=True, text=True, check=True).stdout
    assert "manifest.json" in tracked
    assert ".safetensors" not in tracked


def test_the_reference_was_made_from_clean_commits_one_for_all_but_trainings():
    commits = {(m["stage"] == "train", m["git"]["commit"]) for _, m in manifests.all_manifests(REFERENCE)}
    assert len(commits) == 2
    assert not any(commit.endswith("-dirty") for _, commit in commits)


@pytest.mark.parametrize("path", sorted(REFERENCE.parent.rglob("*.ipynb")), ids=lambda p: str(p.relative_to(REFERENCE.parent)))
def test_every_reference_notebook_ran_whole_and_in_order_and_names_no_machine(path):
    assert verification.verify_notebook(path) == []
    text = path.read_text()
    assert f"{Path.home()}/" not in text
    assert str(Path(__file__).resolve().parents[2]) not in text
    assert "site-packages" not in text  # a warning with its place, made elsewhere
    assert json.loads(text)["metadata"]["papermill"]["environment_variables"] == {}
