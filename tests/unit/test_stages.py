"""The table of stages: order, inputs, models."""

import pytest

from isheep_lib import prompts
from isheep_lib.stages import ORDER, STAGES, inputs_of, steps, trained_in


def test_the_base_model_is_evaluated_before_everything():
    assert steps(0) == [(0, "evaluate")]
    assert steps(2)[:3] == [(0, "evaluate"), (1, "synthesize"), (1, "assess")]
    assert steps(2)[-1] == (2, "evaluate")
    assert len(steps(3)) == len(set(steps(3))) == 16


def test_the_table_and_the_order_name_the_same_stages():
    assert set(STAGES) == set(ORDER)
    assert all(name == stage.name for name, stage in STAGES.items())


def test_every_input_comes_from_a_step_done_before():
    order = steps(4)
    for position, (iteration, stage) in enumerate(order):
        for k, name, _ in inputs_of(stage, iteration):
            assert order.index((k, name)) < position


@pytest.mark.parametrize(
    ("stage", "iteration", "expected"),
    [
        ("synthesize", 1, []),
        ("synthesize", 3, [(1, "synthesize", "examples.jsonl"), (2, "synthesize", "examples.jsonl")]),
        ("assess", 2, [(2, "synthesize", "examples.jsonl")]),
        ("filter", 2, [(2, "synthesize", "examples.jsonl"), (2, "assess", "scores.jsonl")]),
        ("train", 2, [(2, "filter", "kept.jsonl")]),
        ("evaluate", 2, []),
    ],
)
def test_a_stage_reads_these_files(stage, iteration, expected):
    assert inputs_of(stage, iteration) == expected


@pytest.mark.parametrize(
    ("stage", "adapters"),
    [
        ("synthesize", {1: 0, 2: 1, 5: 4}),  # M_{t-1} writes
        ("assess", {1: 0, 2: 1, 5: 4}),  # and judges
        ("filter", {1: 0, 5: 0}),
        ("train", {1: 0, 2: 0, 5: 0}),  # always from the base model
        ("evaluate", {0: 0, 1: 1, 5: 5}),
    ],
)
def test_a_stage_uses_the_adapter_of_this_iteration(stage, adapters):
    assert {k: trained_in(stage, k) for k in adapters} == adapters


def test_the_adapter_that_a_stage_uses_was_trained_before():
    order = steps(3)
    for position, (iteration, stage) in enumerate(order):
        if trained := trained_in(stage, iteration):
            assert order.index((trained, "train")) < position


def test_the_prompts_of_every_stage_exist():
    named = [name for stage in STAGES.values() for name in stage.prompts]
    assert named
    assert all(len(prompts.digest(name)) == 64 for name in named)
