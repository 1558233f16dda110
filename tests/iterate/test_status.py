"""Looking at a run while it is written: every reader ends well, whatever is swapped under its hands."""

import os
import shutil
import threading

import pytest
from click.testing import CliRunner

from isheep_lib import cli
from isheep_lib.display import evaluation_tables
from isheep_lib.errors import RecordError
from isheep_lib.iterate import chain
from isheep_lib.record import locks, manifests, verification
from isheep_lib.record.fixity import inventory
from tests.record.test_verification import FILES, make_run, stage


@pytest.fixture
def run(tmp_path):
    return make_run(tmp_path / "run")


def swap_for_ever(run, over):
    """Do again and again what a run does: begin a stage, show its progress, fail, record it, make it anew, share one."""
    folder = run / "iter-1" / "train"
    while not over.is_set():
        state = folder / ".progress.json"
        for text in ('{"line": "1/2", "last": false}', '{"li', ""):
            partial = folder / ".progress.partial"
            partial.write_text(text)
            os.replace(partial, state)
        (folder / "train.failed.ipynb").write_text("{}")
        state.unlink()
        (folder / "train.failed.ipynb").unlink()
        aside = run / "iter-1" / ".superseded-train"
        os.replace(folder, aside)
        folder.mkdir()
        (folder / ".progress.json").write_text('{"line": "1/2"}')
        shutil.rmtree(folder)
        os.replace(aside, folder)
        os.replace(run / "iter-0", run / ".away")
        os.replace(run / ".away", run / "iter-0")
        stage(run, 2, "train", FILES[1, "train"])
        inventory.renew(run, "iter-2/train")
        shutil.rmtree(run / "iter-2")
        (run / inventory.INVENTORY).unlink()


def test_status_verify_and_results_never_fail_beside_a_run_that_is_written(run):
    over, lock = threading.Event(), locks.RunLock(run)
    writer = threading.Thread(target=swap_for_ever, args=(run, over))
    writer.start()
    try:
        for _ in range(150):
            assert chain.status(run)
            evaluation_tables.metrics_of(run)
        for _ in range(10):
            assert verification.verify(run)
        for _ in range(10):
            result = CliRunner().invoke(cli.main, ["status", str(run)])
            assert result.exit_code == 0, result.output
        assert writer.is_alive()
    finally:
        over.set()
        writer.join()
        lock.release()


@pytest.mark.parametrize(
    ("content", "state"),
    [
        ('{"label": "responses", "count": 3, "total": 4, "unit": "it"}', "running"),
        ('{"li', "begun"),
        ("[]", "begun"),
        ("{}", "begun"),
    ],
)
def test_a_stage_whose_progress_can_be_read_is_running(run, content, state):
    folder = run / "iter-2" / "assess"
    folder.mkdir(parents=True)
    (folder / ".progress.json").write_text(content)
    lock = locks.RunLock(run)
    try:
        row = chain.status(run)[-1]
    finally:
        lock.release()
    assert (row["state"], "3/4" in row["now"]) == (state, state == "running")
    assert chain.status(run)[-1]["state"] == "begun"


def test_a_damaged_manifest_is_named_by_status(run):
    (manifests.stage_folder(run, 1, "train") / "manifest.json").write_text("{}")
    with pytest.raises(RecordError, match=r"does not hold what manifests do(.|\n)*restore it"):
        chain.status(run)


def test_damaged_metrics_are_named_and_no_other_reader_s_error(run):
    (manifests.stage_folder(run, 0, "evaluate") / "metrics.json").write_text('{"tasks": 3}')
    with pytest.raises(RecordError, match=r"metrics.json holds no tasks(.|\n)*isheep verify"):
        evaluation_tables.metrics_of(run)
