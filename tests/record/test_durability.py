"""Bad luck while a record is written: a full disk, a power loss between any two steps."""

import errno
import os
from pathlib import Path

import pytest

from isheep_lib.errors import RecordError
from isheep_lib.iterate.claims import claim_params
from isheep_lib.record import manifests, reuse, rows
from isheep_lib.record.fixity import inventory
from isheep_lib.record.locks import RunLock
from isheep_lib.record.rows import write_atomic
from tests.record.test_verification import FILES, failures, make_run, stage

FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def write_manifest(run):
    manifest = manifests.read_manifest(run / "iter-1/train")
    manifests.write_manifest(run / "iter-1/train", {**manifest, "seconds": 9.5})


def renew_inventory(run):
    if not (run / "iter-2").exists():
        with pytest.MonkeyPatch.context() as patch:  # the stage itself is on the disk
            for owner, name in CALLS:
                patch.setattr(owner, name, REAL[name])
            stage(run, 2, "train", FILES[1, "train"])
    inventory.renew(run, "iter-2/train")


def claim(run):
    claim_params(run, {"seed": 1, "model": {"dtype": "float32"}})


def copy(run):
    reuse.copy_stage(run / "iter-1/train", run.parent / "other/iter-1/train")


WRITERS = {"a manifest": write_manifest, "the inventory": renew_inventory, "the parameters": claim, "a shared stage": copy}
CALLS = [(Path, "write_bytes"), (os, "fsync"), (os, "replace")]
REAL = {name: getattr(owner, name) for owner, name in CALLS}


@pytest.fixture
def run(tmp_path):
    """Return a finished run."""
    return make_run(tmp_path / "run")


def contents(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("call", range(len(CALLS)), ids=[name for _, name in CALLS])
@pytest.mark.parametrize("after", [0, 1, 2])
def test_a_disk_that_is_full_at_any_step_is_said_and_leaves_old_files_or_new_ones(run, monkeypatch, writer, call, after):
    before, left = contents(run.parent), [after]
    owner, name = CALLS[call]
    real = getattr(owner, name)

    def fail(*given, **named):
        left[0] -= 1
        if left[0] < 0:
            raise FULL
        return real(*given, **named)

    with monkeypatch.context() as patch:
        patch.setattr(owner, name, fail)
        try:
            WRITERS[writer](run)
        except RecordError as error:
            assert "The disk is full" in str(error) and "free some space" in str(error)
        else:
            assert left[0] >= 0, "the error was lost"
    now = contents(run.parent)
    assert not [path for path in now if path.name.endswith(".partial")]
    WRITERS[writer](run)  # space was made
    after_all = contents(run.parent)
    assert all(content in (before.get(path), after_all[path]) for path, content in now.items())


def test_a_full_disk_at_the_start_of_a_run_is_said(tmp_path, monkeypatch):
    def fail(*_, **__):
        raise FULL

    monkeypatch.setattr(Path, "mkdir", fail)
    with pytest.raises(RecordError, match="The disk is full"):
        RunLock(tmp_path / "run")


def in_order(monkeypatch):
    """Note what is made durable and what is moved, in order; a file by its inode."""
    steps = []
    sync, replace = os.fsync, os.replace

    def synced(descriptor):
        steps.append(("sync", os.fstat(descriptor).st_ino))
        sync(descriptor)

    def replaced(old, new):
        steps.append(("move", os.stat(old).st_ino))
        replace(old, new)

    monkeypatch.setattr(rows.os, "fsync", synced)
    monkeypatch.setattr(rows.os, "replace", replaced)
    return steps


def test_bytes_are_on_the_disk_before_their_name_and_the_name_before_anybody_goes_on(tmp_path, monkeypatch):
    steps = in_order(monkeypatch)
    write_atomic(tmp_path / "new" / "below" / "file", "text")
    file, folder = ((tmp_path / name).stat().st_ino for name in ("new/below/file", "new/below"))
    assert steps[-3:] == [("sync", file), ("move", file), ("sync", folder)]
    above = {(tmp_path / name).stat().st_ino for name in (".", "new")}
    assert {inode for what, inode in steps[:-3]} == above


def test_a_shared_stage_is_on_the_disk_before_it_has_its_name(run, monkeypatch):
    steps = in_order(monkeypatch)
    copy(run)
    folder = run.parent / "other/iter-1/train"
    moved = steps.index(("move", folder.stat().st_ino))
    synced = {inode for what, inode in steps[:moved] if what == "sync"}
    assert {path.stat().st_ino for path in folder.rglob("*") if path.is_file()} <= synced
    assert ("sync", folder.parent.stat().st_ino) in steps[moved:]
    assert manifests.require_intact(folder)["shared_from"] == "run"


def test_a_kill_between_the_inventory_and_the_parameters_that_it_announces_is_mended_by_the_same_command(run, monkeypatch):
    class Killed(BaseException):
        pass

    def dies(*_):
        raise Killed

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr("isheep_lib.iterate.claims.write_atomic", dies)
        claim(run)
    assert "changed" in failures(run)["params.yaml"]
    claim(run)
    assert failures(run) == {}
    assert inventory.renew(run) == ""


def test_parameters_that_were_changed_by_hand_do_not_become_the_record_with_the_next_claim(run):
    (run / "params.yaml").write_text("seed: 1\nfilter:\n  threshold: 0.4\n")
    claim(run)
    assert "changed" in failures(run)["params.yaml"]
