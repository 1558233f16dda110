"""Training rows: what is learned, what is cut, how rows are divided, which checkpoint counts."""

import json
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isheep_lib import train
from isheep_lib.errors import YieldError
from isheep_lib.prompts import Frame

FRAME = Frame("f", "<user> ", " <model>", " <end>")


class Words:
    """A tokenizer whose tokens are words."""

    bos_token = None

    def __init__(self):
        self.known = {}

    def __call__(self, text, add_special_tokens):
        return {"input_ids": [self.known.setdefault(word, len(self.known)) for word in text.split()]}

    def decode(self, tokens):
        names = {number: word for word, number in self.known.items()}
        return " ".join(names[token] for token in tokens)


def row(number, output="three ideas"):
    return {"id": f"r{number}", "instruction": f"Name {number}", "input": "", "output": output}


def test_only_the_response_and_its_end_token_are_learned():
    tokenizer = Words()
    encoded = train.encode_row(row(1), FRAME, tokenizer, 100)
    assert train.masked_text(encoded, tokenizer) == ("<user> Name 1 <model>", "three ideas <end>")
    assert encoded.labels == [train.MASKED] * 4 + encoded.input_ids[4:]
    assert not encoded.cut


def test_the_cutoff_shortens_a_row_and_says_so():
    encoded = train.encode_row(row(1), FRAME, Words(), 5)
    assert len(encoded.input_ids) == len(encoded.labels) == 5
    assert encoded.cut


def test_rows_without_a_token_to_learn_are_dropped_and_counted():
    params = SimpleNamespace(cutoff=4, max_rows=10, held_out=0.3)
    rows = [row(i) for i in range(3)]
    with pytest.raises(YieldError, match="cannot be split"):
        train.prepare(rows, FRAME, Words(), params, 0)
    params.cutoff = 5
    rows.append({**row(9), "instruction": "Name five words here"})
    data = train.prepare(rows, FRAME, Words(), params, 0)
    assert data.counts == {"in": 4, "kept": 3, "dropped": {"beyond_cutoff": 1}}


@settings(max_examples=60, deadline=None)
@given(st.integers(2, 60), st.integers(2, 60), st.floats(0.01, 0.99), st.integers(0, 5))
def test_every_row_goes_to_exactly_one_part_and_both_parts_get_some(number, most, share, seed):
    rows = [row(i) for i in range(number)]
    learned, held, left = train.split_rows(rows, most, share, seed)
    ids = [r["id"] for part in (learned, held, left) for r in part]
    assert sorted(ids) == sorted(r["id"] for r in rows)
    assert learned
    assert held
    assert len(left) == max(0, number - most)
    assert train.split_rows(rows, most, share, seed) == (learned, held, left)


def test_a_torn_checkpoint_is_removed_and_the_whole_one_before_it_is_used(tmp_path):
    assert train.last_checkpoint(tmp_path) is None
    for step, text in ((2, json.dumps({"global_step": 2})), (10, '{"global_st')):
        folder = tmp_path / "checkpoints" / f"checkpoint-{step}"
        folder.mkdir(parents=True)
        (folder / "trainer_state.json").write_text(text)
    assert train.last_checkpoint(tmp_path).name == "checkpoint-2"
    assert not (tmp_path / "checkpoints" / "checkpoint-10").exists()


def test_the_held_out_change_compares_the_best_step_with_the_base_model():
    log = [
        {"step": 0, "eval_loss": 2.0},
        {"step": 1, "loss": 1.9},
        {"step": 4, "eval_loss": 1.5},
        {"step": 8, "eval_loss": 1.7},
    ]
    assert train.held_out_change(log) == {"before": 2.0, "best": 1.5, "at step": 4}


def test_an_evaluation_that_a_resume_repeats_is_kept_once():
    history = [
        {"step": 4, "eval_loss": 1.5, "eval_runtime": 3.2, "epoch": 1.0},
        {"step": 4, "eval_loss": 1.5, "eval_runtime": 9.9, "epoch": 1.0},
        {"step": 5, "loss": 1.0, "learning_rate": 1e-4, "grad_norm": 0.5},
        {"step": 5, "train_runtime": 12.0},
    ]
    assert train._clean(history) == [
        {"step": 4.0, "eval_loss": 1.5, "epoch": 1.0},
        {"step": 5.0, "loss": 1.0, "learning_rate": 1e-4, "grad_norm": 0.5},
    ]
