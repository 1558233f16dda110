"""A training as files: what its processes read is what was laid out, and its log holds nothing that two runs differ in."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isheep_lib.errors import DataError
from isheep_lib.iterate.run_params import TrainParams
from isheep_lib.train.dataset import Data, TrainRow
from isheep_lib.train.job import Job, clean, load_rows, save_rows
from tests.trainings import PAIRS

few = settings(max_examples=50, deadline=None)
tokens = st.lists(st.integers(0, 10**6), min_size=1, max_size=9)
parts = st.lists(st.tuples(tokens, st.integers(0, 9)), min_size=1, max_size=5)


def as_rows(name, found):
    return [TrainRow(f"{name}{i}", ids, min(read, len(ids))) for i, (ids, read) in enumerate(found)]


def test_a_job_that_was_saved_is_read_as_it_was(tmp_path):
    params = TrainParams(run="r", target_modules=["q_proj", "v_proj"], learning_rate=1.5e-5, dtype="bfloat16")
    job = Job(Path("/models/a b"), params, 7, tmp_path)
    found = Job.load(job.save())
    assert (found.model, found.seed, found.work) == (job.model, 7, tmp_path)
    assert found.params == params
    own = TrainParams(run="r", objective="dpo", objective_options={"beta": 0.3})
    assert Job.load(Job(tmp_path, own, 7, tmp_path).save()).params == own


def test_a_job_is_replaced_as_a_whole(tmp_path):
    for seed in (1, 22):
        file = Job(tmp_path, TrainParams(run="r"), seed, tmp_path).save()
    assert Job.load(file).seed == 22
    assert [path.name for path in tmp_path.iterdir()] == ["job.json"]


@few
@given(parts, parts)
def test_the_rows_that_a_process_reads_are_those_that_were_laid_out(tmp_path_factory, learned, held):
    work = tmp_path_factory.mktemp("job")
    data = Data(as_rows("a", learned), as_rows("b", held), {}, [])
    save_rows(data, work)
    assert load_rows(work, False) == data.train
    assert load_rows(work, True) == data.held_out
    assert [row.labels for row in load_rows(work, False)] == [row.labels for row in data.train]


def test_pairs_of_answers_are_read_as_they_were_laid_out(tmp_path):
    save_rows(PAIRS, tmp_path)
    assert load_rows(tmp_path, False) == PAIRS.train
    assert load_rows(tmp_path, True) == PAIRS.held_out


def test_rows_that_were_cut_on_the_disk_are_named_by_line(tmp_path):
    save_rows(Data([TrainRow("a", [1, 2], 1)], [TrainRow("b", [3, 4], 1)], {}, []), tmp_path)
    path = tmp_path / "rows.jsonl"
    path.write_text(path.read_text()[:-10])
    with pytest.raises(DataError, match=r"rows\.jsonl:2: not JSON"):
        load_rows(tmp_path, False)


HISTORY = [
    {"eval_loss": 2.0, "step": 0},
    {"loss": 1.23456789, "grad_norm": 0.5, "learning_rate": 1e-4, "epoch": 0.07, "step": 1},
    {"loss": 1.0, "grad_norm": 0.25, "learning_rate": 5e-5, "epoch": 0.14, "step": 2},
    {"eval_loss": 1.5, "eval_runtime": 3.2, "epoch": 0.14, "step": 2},
    {"train_runtime": 12.0, "train_loss": 1.1, "total_flos": 3.0, "step": 2},
]


def test_the_log_has_a_row_a_step_and_one_a_held_out_loss_without_timings():
    assert clean(HISTORY, 4) == [
        {"step": 0.0, "epoch": 0.0, "eval_loss": 2.0},
        {"step": 1.0, "epoch": 0.25, "loss": 1.234568, "grad_norm": 0.5, "learning_rate": 1e-4},
        {"step": 2.0, "epoch": 0.5, "loss": 1.0, "grad_norm": 0.25, "learning_rate": 5e-5},
        {"step": 2.0, "epoch": 0.5, "eval_loss": 1.5},
    ]


def test_an_evaluation_that_a_resume_repeats_is_kept_once():
    repeated = [*HISTORY[:4], {"eval_loss": 9.0, "eval_runtime": 9.9, "epoch": 0.14, "step": 2}, *HISTORY[4:]]
    assert clean(repeated, 4) == clean(HISTORY, 4)


@few
@given(st.integers(1, 5), st.integers(1, 4))
def test_the_last_step_ends_the_last_epoch(steps_per_epoch, epochs):
    history = [{"loss": 1.0, "step": step} for step in range(1, steps_per_epoch * epochs + 1)]
    assert clean(history, steps_per_epoch)[-1]["epoch"] == epochs


def test_a_log_of_numbers_from_torch_can_be_written_as_json():
    import numpy as np

    assert json.dumps(clean([{"loss": np.float32(0.5), "grad_norm": np.float64(0.25), "step": 1}], 1))
