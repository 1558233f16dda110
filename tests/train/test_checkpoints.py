"""Checkpoints: which are whole, which one training goes on from, which are kept, which was the best."""

import hashlib
import json
import os
import shutil
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isheep_lib.record.fixity.sealed import write_sealed
from isheep_lib.record.rows import shown
from isheep_lib.train import checkpoints

JOB = "a" * 64


def saved(folder, step, best=None, marked=True):
    """Write a checkpoint as the Trainer leaves it, with a file in a folder below, as sharded ones have."""
    found = folder / f"checkpoint-{step}"
    (found / "shards").mkdir(parents=True)
    (found / "trainer_state.json").write_text(json.dumps({"global_step": step, "best_global_step": best or step}))
    (found / "optimizer.pt").write_bytes(bytes(64))
    (found / "shards" / "0.distcp").write_bytes(bytes(16))
    if marked:
        checkpoints.mark_whole(found, JOB)
    return found


def cut(path, size):
    path.write_bytes(path.read_bytes()[:size])


def test_a_checkpoint_is_whole_once_it_is_marked(tmp_path):
    found = saved(tmp_path, 4, marked=False)
    assert checkpoints.problem(found, JOB) == "it was not finished"
    checkpoints.mark_whole(found, JOB)
    assert checkpoints.problem(found, JOB) == ""
    mark = json.loads((found / "whole.json").read_text())
    assert (mark["step"], mark["job"]) == (4, JOB)
    assert mark["files"]["shards/0.distcp"] == {"bytes": 16, "sha256": hashlib.sha256(bytes(16)).hexdigest()}
    assert list(mark["files"]) == ["optimizer.pt", "shards/0.distcp", "trainer_state.json"]


def test_marking_again_changes_nothing(tmp_path):
    found = saved(tmp_path, 4)
    before = (found / "whole.json").read_bytes()
    checkpoints.mark_whole(found, JOB)
    assert (found / "whole.json").read_bytes() == before


def put(name, content):
    return lambda found: (found / name).write_bytes(content)


def remark(**values):
    """Return an edit that writes other values into the mark, with its digest made anew."""

    def edit(found):
        known = json.loads((found / "whole.json").read_text())
        write_sealed(found / "whole.json", {**known, **values})

    return edit


def marked(old, new):
    return lambda found: (found / "whole.json").write_bytes((found / "whole.json").read_bytes().replace(old, new, 1))


def in_place_of(name, make):
    return lambda found: [(found / name).unlink(), make(found / name)]


def other_step(found):
    """Put an older checkpoint, mark and all, in the place of a newer one."""
    shutil.rmtree(found)
    shutil.copytree(found.with_name("checkpoint-2"), found)


def link(path):
    path.symlink_to(path.parent.parent / "checkpoint-2" / path.name)


def linked_folder(found):
    os.rename(found, found.parent.parent / "elsewhere")
    found.symlink_to(found.parent.parent / "elsewhere")


def file_for_folder(found):
    shutil.rmtree(found)
    found.write_text("")


MARK = "whole.json"
OWN = f"{MARK} was changed since it was written: its own digest does not fit"
TEARS = {
    "the mark is missing": (lambda found: (found / MARK).unlink(), "it was not finished"),
    "the mark is empty": (put(MARK, b""), f"{MARK} is not JSON (Expecting value)"),
    "the mark is cut": (lambda found: cut(found / MARK, 9), f"{MARK} is not JSON"),
    "the mark is no text": (put(MARK, b"\xff\xfe\x00"), f"{MARK} is not UTF-8 text (byte 0)"),
    "the mark is a list": (put(MARK, b"[]"), f"{MARK} is no JSON object but a list"),
    "the mark is null": (put(MARK, b"null"), f"{MARK} is no JSON object but null"),
    "the mark is a number": (put(MARK, b"7"), f"{MARK} is no JSON object but a number"),
    "the mark is {}": (put(MARK, b"{}"), f"{MARK} does not hold what it should, or is of an older version: files"),
    "the mark is of an older version": (put(MARK, b'{"optimizer.pt":64}'), f"{MARK} does not hold what it should"),
    "the mark is deep": (put(MARK, b"[" * 100_000), f"{MARK} is not JSON that this program writes"),
    "the mark is a folder": (in_place_of(MARK, Path.mkdir), f"{MARK} is no file"),
    "the mark is a pipe": (in_place_of(MARK, os.mkfifo), f"{MARK} is no file"),
    "the mark has a space more": (marked(b": ", b":  "), OWN),
    "the mark has a key twice": (marked(b'"step": 10', b'"step": 10,\n "step": 10'), OWN),
    "the mark has another step": (marked(b'"step": 10', b'"step": 12'), OWN),
    "the mark has another size": (marked(b'"bytes": 64', b'"bytes": 65'), OWN),
    "the mark has another training": (marked(b'"job": "a', b'"job": "b'), OWN),
    "the mark lost its digest": (marked(b'"digest"', b'"digset"'), f"{MARK} lost the digest of itself"),
    "the step is made anew": (remark(step=12), "it was saved after step 12"),
    "the training is made anew": (remark(job="b" * 64), "it belongs to another training"),
    "the files are made anew": (remark(files={}), "optimizer.pt was added"),
    "the files are of another type": (remark(files=[]), f"{MARK} does not hold what it should"),
    "a size is no number": (remark(files={"a": {"sha256": "0", "bytes": "1"}}), f"{MARK} does not hold what it should"),
    "a name is a folder above": (remark(files={"..": {"sha256": "0", "bytes": 1}}), ".. is missing"),
    "a name is nothing for a disk": (remark(files={"a\0b": {"sha256": "0", "bytes": 1}}), "a\\x00b is missing"),
    "a name is too long": (remark(files={"a" * 300: {"sha256": "0", "bytes": 1}}), f"{'a' * 300} is missing"),
    "an older one in its place": (other_step, "it was saved after step 2"),
    "a file is missing": (lambda found: (found / "optimizer.pt").unlink(), "optimizer.pt is missing"),
    "a file below is missing": (lambda found: (found / "shards/0.distcp").unlink(), "shards/0.distcp is missing"),
    "a file is shorter": (lambda found: cut(found / "optimizer.pt", 63), "optimizer.pt has 63 of 64 bytes"),
    "a file is empty": (lambda found: cut(found / "shards/0.distcp", 0), "shards/0.distcp has 0 of 16 bytes"),
    "a file is longer": (put("optimizer.pt", bytes(65)), "optimizer.pt has 65 of 64 bytes"),
    "a file is a folder": (in_place_of("optimizer.pt", Path.mkdir), "optimizer.pt is missing"),
    "a file is a pipe": (in_place_of("optimizer.pt", os.mkfifo), "optimizer.pt is missing"),
    "a file is a link": (in_place_of("optimizer.pt", link), "optimizer.pt is a link"),
    "a bit of a file": (put("optimizer.pt", bytes(63) + b"\x01"), "optimizer.pt has other bytes"),
    "a bit of a file below": (put("shards/0.distcp", b"\x80" + bytes(15)), "shards/0.distcp has other bytes"),
    "the state of the training": (
        lambda found: (found / "trainer_state.json").write_text('{"best_global_step":2,"global_step":10}   '),
        "trainer_state.json has",
    ),
    "two files exchanged": (
        lambda found: [put("optimizer.pt", bytes(16))(found), put("shards/0.distcp", bytes(64))(found)],
        "optimizer.pt has 16 of 64 bytes",
    ),
    "a file more": (put("model.safetensors", b"weights"), "model.safetensors was added"),
    "a hidden file more": (put(".metadata", b"weights"), ".metadata was added"),
    "a file more below": (put("shards/1.distcp", b""), "shards/1.distcp was added"),
    "a file renamed": (lambda found: os.rename(found / "optimizer.pt", found / "o.pt"), "optimizer.pt is missing"),
    "a link instead of the folder": (linked_folder, "it is no checkpoint's folder"),
    "a file instead of the folder": (file_for_folder, "it is no checkpoint's folder"),
}


@pytest.mark.parametrize("name", ["checkpoint-x", "checkpoint-", "checkpoint-1-x", "checkpoint-²", "checkpoint--"])
@pytest.mark.parametrize("make", [Path.mkdir, Path.touch])
def test_what_has_a_checkpoints_name_and_is_none_is_removed_in_words(tmp_path, name, make):
    whole = saved(tmp_path, 2)
    make(tmp_path / name)
    found, said = checkpoints.last_whole(tmp_path, JOB)
    why = "it is no checkpoint's folder"
    assert (found, said) == (whole, [f"{name} is torn ({why}) and was skipped: training goes on after step 2"])
    assert not (tmp_path / name).exists()


@pytest.mark.parametrize("tear", TEARS)
def test_a_torn_checkpoint_says_what_is_wrong_with_it_and_gives_way_to_the_one_before(tmp_path, tear):
    whole, torn = saved(tmp_path, 2), saved(tmp_path, 10)
    do, why = TEARS[tear]
    do(torn)
    said_of_it = checkpoints.problem(torn, JOB)
    assert shown(said_of_it).startswith(why)
    found, said = checkpoints.last_whole(tmp_path, JOB)
    assert found == whole
    assert said == [f"checkpoint-10 is torn ({shown(said_of_it)}) and was skipped: training goes on after step 2"]
    assert not os.path.lexists(torn)
    assert checkpoints.last_whole(tmp_path, JOB) == (whole, [])


def test_without_a_checkpoint_training_starts_anew_and_nothing_is_said(tmp_path):
    assert checkpoints.last_whole(tmp_path / "absent", JOB) == (None, [])
    assert checkpoints.last_whole(tmp_path, JOB) == (None, [])


def test_the_newest_is_the_one_of_the_highest_step_not_of_the_last_name(tmp_path):
    for step in (100, 9, 20):
        saved(tmp_path, step)
    assert checkpoints.last_whole(tmp_path, JOB)[0].name == "checkpoint-100"


def test_each_torn_checkpoint_is_removed_with_a_sentence(tmp_path):
    for step in (2, 4, 6):
        saved(tmp_path, step, marked=step == 2)
    (tmp_path / "checkpoint-2" / "optimizer.pt").unlink()
    found, said = checkpoints.last_whole(tmp_path, JOB)
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
    found, said = checkpoints.last_whole(tmp_path, JOB)
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
    assert checkpoints.last_whole(tmp_path, JOB)[0].name == f"checkpoint-{max(bests)}"


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
