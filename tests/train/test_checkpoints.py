"""Checkpoints: which are whole, which one training goes on from, which are kept, which was the best."""

import json
import shutil

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isheep_lib.train import checkpoints


def saved(folder, step, best=None, marked=True):
    """Write a checkpoint as the Trainer leaves it, with a file in a folder below, as sharded ones have."""
    found = folder / f"checkpoint-{step}"
    (found / "shards").mkdir(parents=True)
    (found / "trainer_state.json").write_text(json.dumps({"global_step": step, "best_global_step": best or step}))
    (found / "optimizer.pt").write_bytes(bytes(64))
    (found / "shards" / "0.distcp").write_bytes(bytes(16))
    if marked:
        checkpoints.mark_whole(found)
    return found


def cut(path, size):
    path.write_bytes(path.read_bytes()[:size])


def test_a_checkpoint_is_whole_once_it_is_marked(tmp_path):
    found = saved(tmp_path, 4, marked=False)
    assert checkpoints.problem(found) == "it was not finished"
    checkpoints.mark_whole(found)
    assert checkpoints.problem(found) == ""
    assert json.loads((found / "whole.json").read_text()) == {
        "optimizer.pt": 64,
        "shards/0.distcp": 16,
        "trainer_state.json": (found / "trainer_state.json").stat().st_size,
    }


def test_marking_again_changes_nothing(tmp_path):
    found = saved(tmp_path, 4)
    before = (found / "whole.json").read_bytes()
    checkpoints.mark_whole(found)
    assert (found / "whole.json").read_bytes() == before


TEARS = {
    "the mark is missing": (lambda found: (found / "whole.json").unlink(), "it was not finished"),
    "the mark is empty": (lambda found: cut(found / "whole.json", 0), "whole.json cannot be read"),
    "the mark is cut": (lambda found: cut(found / "whole.json", 9), "whole.json cannot be read"),
    "the mark is no text": (lambda found: (found / "whole.json").write_bytes(b"\xff\xfe\x00"), "whole.json cannot be read"),
    "a file is missing": (lambda found: (found / "optimizer.pt").unlink(), "optimizer.pt is missing"),
    "a file below is missing": (lambda found: (found / "shards/0.distcp").unlink(), "shards/0.distcp is missing"),
    "a file is shorter": (lambda found: cut(found / "optimizer.pt", 63), "optimizer.pt has 63 of 64 bytes"),
    "a file is empty": (lambda found: cut(found / "shards/0.distcp", 0), "shards/0.distcp has 0 of 16 bytes"),
    "a file is longer": (lambda found: (found / "optimizer.pt").write_bytes(bytes(65)), "optimizer.pt has 65 of 64 bytes"),
    "a file is a folder": (
        lambda found: [(found / "optimizer.pt").unlink(), (found / "optimizer.pt").mkdir()],
        "optimizer.pt is missing",
    ),
}


@pytest.mark.parametrize("tear", TEARS)
def test_a_torn_checkpoint_says_what_is_wrong_with_it_and_gives_way_to_the_one_before(tmp_path, tear):
    whole, torn = saved(tmp_path, 2), saved(tmp_path, 10)
    do, why = TEARS[tear]
    do(torn)
    assert checkpoints.problem(torn) == why
    found, said = checkpoints.last_whole(tmp_path)
    assert found == whole
    assert said == [f"checkpoint-10 is torn ({why}) and was skipped: training goes on after step 2"]
    assert not torn.exists()
    assert checkpoints.last_whole(tmp_path) == (whole, [])


def test_without_a_checkpoint_training_starts_anew_and_nothing_is_said(tmp_path):
    assert checkpoints.last_whole(tmp_path / "absent") == (None, [])
    assert checkpoints.last_whole(tmp_path) == (None, [])


def test_the_newest_is_the_one_of_the_highest_step_not_of_the_last_name(tmp_path):
    for step in (100, 9, 20):
        saved(tmp_path, step)
    assert checkpoints.last_whole(tmp_path)[0].name == "checkpoint-100"


def test_each_torn_checkpoint_is_removed_with_a_sentence(tmp_path):
    for step in (2, 4, 6):
        saved(tmp_path, step, marked=step == 2)
    (tmp_path / "checkpoint-2" / "optimizer.pt").unlink()
    found, said = checkpoints.last_whole(tmp_path)
    assert found is None
    assert said == [
        "checkpoint-2 is torn (optimizer.pt is missing) and was skipped: training starts anew",
        "checkpoint-4 is torn (it was not finished) and was skipped: training starts anew",
        "checkpoint-6 is torn (it was not finished) and was skipped: training starts anew",
    ]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("gone", [True, False])
def test_a_checkpoint_whose_best_one_is_lost_is_not_gone_on_from(tmp_path, gone):
    """Its log would name a best step whose weights are nowhere."""
    saved(tmp_path, 2)
    best = saved(tmp_path, 4)
    saved(tmp_path, 8, best=4)
    if gone:
        shutil.rmtree(best)
    else:
        cut(best / "optimizer.pt", 1)
    found, said = checkpoints.last_whole(tmp_path)
    assert found.name == "checkpoint-2"
    assert any("checkpoint-4, the best until then, is torn or gone" in line for line in said)


@pytest.mark.parametrize(
    ("bests", "kept"),
    [
        ({2: 2}, {2}),
        ({2: 2, 4: 4}, {2, 4}),
        ({2: 2, 4: 4, 6: 6}, {4, 6}),
        ({2: 2, 4: 2, 6: 2}, {2, 4, 6}),
        ({2: 2, 4: 2, 6: 6}, {2, 4, 6}),  # were 6 torn, training would go on from 4, whose best is 2
        ({2: 2, 4: 2, 6: 6, 8: 6}, {6, 8}),
        ({2: 2, 4: 2, 6: 2, 8: 2}, {2, 6, 8}),
        ({8: 8, 10: 10, 100: 100}, {10, 100}),
    ],
)
def test_the_two_newest_are_kept_and_the_best_as_of_each(tmp_path, bests, kept):
    for step, best in bests.items():
        saved(tmp_path, step, best)
    checkpoints.drop_old(tmp_path)
    assert {checkpoints.step_of(path) for path in tmp_path.iterdir()} == kept
    assert checkpoints.last_whole(tmp_path)[0].name == f"checkpoint-{max(bests)}"


@pytest.mark.parametrize(
    ("losses", "best"),
    [
        ({0: 1.0, 2: 3.0, 4: 2.0, 5: 2.5}, 4),  # the first model is no checkpoint
        ({0: 1.0, 2: 2.0, 4: 2.0, 5: 2.0}, 2),
        ({0: 9.0, 3: 1.5}, 3),
        ({0: 9.0, 2: 3.0, 4: 2.0, 5: 1.0}, 5),
    ],
)
def test_the_best_step_has_the_lowest_held_out_loss_and_of_equal_ones_is_the_earliest(losses, best):
    log = [{"step": float(step), "eval_loss": loss} for step, loss in losses.items()]
    assert checkpoints.best_step([*log, {"step": 1.0, "loss": 0.0}]) == best


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(0.1, 9.0).map(lambda value: round(value, 1)), min_size=1, max_size=9))
def test_the_best_step_is_the_one_that_a_running_best_ends_at(losses):
    """The Trainer keeps the best checkpoint as it goes; the one that is taken in the end must be that one."""
    running = (float("inf"), 0)
    for step, loss in enumerate(losses, start=1):
        running = (loss, step) if loss < running[0] else running
    assert checkpoints.best_step([{"step": i, "eval_loss": loss} for i, loss in enumerate(losses, start=1)]) == running[1]
