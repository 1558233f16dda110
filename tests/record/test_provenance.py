"""Where a result comes from: seeds, versions, machine."""

import getpass
import json
import os
import platform
import shutil
import subprocess
import sys
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


def test_the_environment_says_which_instructions_threads_and_libraries_compute(monkeypatch):
    import torch

    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")
    found = provenance.environment()
    assert found["instruction_sets"]["torch"] == torch.backends.cpu.get_cpu_capability()
    assert found["instruction_settings"]["ONEDNN_MAX_CPU_ISA"] == "AVX2"
    assert found["threads"] == torch.get_num_threads()
    for name, version in found["math_libraries"].items():
        assert version[:1].isdigit() or name == "numpy BLAS"
    assert {"torch oneDNN", "numpy BLAS"} <= set(found["math_libraries"])


def test_another_instruction_set_is_another_machine_and_what_is_not_loaded_is_not_asked():
    code = "{}import json; from isheep_lib.record.provenance import environment; print(json.dumps(environment()))"

    def asked(loaded="", **settings):
        run = [sys.executable, "-c", code.format(loaded)]
        env = {name: value for name, value in os.environ.items() if name not in provenance.SETTINGS} | settings
        return json.loads(subprocess.run(run, check=True, capture_output=True, text=True, env=env).stdout)

    plain, held = asked(), asked("import torch; ", ATEN_CPU_CAPABILITY="default", OMP_NUM_THREADS="1")
    assert "torch" not in plain["instruction_sets"] and "threads" not in plain and not plain["math_libraries"]
    assert held["instruction_sets"]["torch"] in ("DEFAULT", "NO AVX")
    assert held["threads"] == 1
    assert provenance.environment_changes(plain, held) == ("this machine differs: ATEN_CPU_CAPABILITY absent → default")


HERE = {
    "cores": 2,
    "processor": "A",
    "instruction_sets": {"processor": "avx2 avx512f", "torch": "AVX512"},
    "instruction_settings": {},
    "math_libraries": {"torch MKL": "2024.2"},
    "threads": 2,
    "peak_memory_mb": 5,
    "packages": {"numpy": "2.3", "torch": "2.9"},
}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({}, ""),
        ({"peak_memory_mb": 6}, ""),
        ({"threads": 1, "processor": "B"}, "this machine differs: processor A → B, threads 2 → 1"),
        (
            {"instruction_sets": {"processor": "avx2", "torch": "AVX2"}},
            "this machine differs: instruction sets (processor) avx2 avx512f → avx2, instruction sets (torch) AVX512 → AVX2",
        ),
        ({"instruction_sets": {"processor": "avx2 avx512f"}}, ""),
        ({"instruction_settings": {"MKL_CBWR": "AVX2"}}, "this machine differs: MKL_CBWR absent → AVX2"),
        ({"math_libraries": {"torch MKL": "2025.0"}}, "this machine differs: torch MKL 2024.2 → 2025.0"),
        ({"packages": {"torch": "2.9", "peft": "1"}}, "packages differ: numpy 2.3 → absent, peft absent → 1"),
        (
            {"threads": 1, "packages": {"numpy": "2.3", "torch": "3"}},
            "this machine differs: threads 2 → 1; packages differ: torch 2.9 → 3",
        ),
    ],
)
def test_two_environments_differ_in_what_both_name(change, said):
    assert provenance.environment_changes(HERE, {**HERE, **change}) == said


def test_what_an_older_record_does_not_name_is_said_and_not_taken_for_a_difference():
    old = {"cores": 2, "packages": HERE["packages"]}
    assert provenance.environment_changes(old, HERE) == provenance.unnamed_facts(HERE, old) == ""
    assert provenance.unnamed_facts(old, {**old, "threads": 2, "math_libraries": {}}) == (
        "the record does not name its threads, math libraries"
    )
