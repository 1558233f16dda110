"""Where a result comes from: seeds, versions, machine."""

import getpass
import json
import platform
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isheep_lib.errors import RecordError
from isheep_lib.record import provenance
from isheep_lib.record.provenance import PACKAGES, seed_for
from isheep_lib.record.stages import ORDER

few = settings(max_examples=50, deadline=None)
keys = st.tuples(st.integers(0, 2**31), st.integers(0, 20), st.sampled_from(ORDER), st.text(min_size=1, max_size=8))


@few
@given(st.sets(keys, max_size=8))
def test_every_record_of_every_stage_has_a_seed_of_its_own(records):
    seeds = {seed_for(*record) for record in records}
    assert len(seeds) == len(records)
    assert all(0 <= seed < 2**31 for seed in seeds)


def test_a_seed_never_changes_between_versions():
    assert seed_for(2408, 1, "synthesize", "i1-r0-p003") == 1185431837


def test_the_root_is_the_clone_that_holds_the_notebooks(monkeypatch):
    monkeypatch.delenv("ISHEEP_ROOT", raising=False)
    assert provenance.project_root.__wrapped__() == Path(__file__).parents[2]


def test_the_root_may_be_pointed_at(tmp_path, monkeypatch):
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "notebooks" / "iterate.ipynb").write_text("{}")
    monkeypatch.setenv("ISHEEP_ROOT", str(tmp_path))
    assert provenance.project_root.__wrapped__() == tmp_path.resolve()


def test_a_root_without_notebooks_is_refused_with_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("ISHEEP_ROOT", str(tmp_path))
    with pytest.raises(RecordError) as caught:
        provenance.project_root.__wrapped__()
    assert "The notebooks are not here" in str(caught.value)
    assert str(tmp_path) in str(caught.value)
    assert "ISHEEP_ROOT" in str(caught.value)


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
def test_git_state_names_the_commit_and_marks_changed_files(tmp_path, monkeypatch):
    def git(*arguments):
        command = ["git", "-C", tmp_path, "-c", "user.name=a", "-c", "user.email=a@b.example", *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    monkeypatch.setattr(provenance, "project_root", lambda: tmp_path)
    git("init")
    assert provenance.git_state() == {}  # no commit yet
    (tmp_path / "a").write_text("1")
    git("add", "a")
    git("commit", "-m", "one")
    commit = git("rev-parse", "HEAD")
    (tmp_path / "untracked").write_text("1")
    assert provenance.git_state() == {"commit": commit}
    (tmp_path / "a").write_text("2")
    assert provenance.git_state() == {"commit": f"{commit}-dirty"}


def test_versions_leave_out_what_is_not_installed(monkeypatch):
    monkeypatch.setattr(provenance, "PACKAGES", ("numpy", "no-such-package-here"))
    assert list(provenance.versions()) == ["numpy"]


def test_the_engine_that_a_fingerprint_needs_is_among_the_versions():
    assert {"torch", "transformers", "peft"} <= set(PACKAGES)


def test_the_environment_names_neither_host_nor_person():
    shown = json.dumps(provenance.environment())
    assert platform.python_version() in shown
    for name in {platform.node(), str(Path.home()), getpass.getuser()} - {"", "/"}:
        assert f'"{name}"' not in shown
        assert f"{name}/" not in shown
