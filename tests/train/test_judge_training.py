"""Rows that a judge learns from: one word after the question, whole tasks on one side of the split."""

from collections import Counter

import pytest
from transformers import AutoTokenizer

from isheep_lib.errors import YieldError
from isheep_lib.prompting.chat import get_frame
from isheep_lib.record.rows import Pair
from isheep_lib.scorers.verdict import Question
from isheep_lib.train.judge import DEVELOPMENT, Graded, prepare, recipe, row_of

SHARED = {"run": "r", "iteration": 2, "seed": 1, "base_model": "m", "aligned_frame": "chatml", "system_prompt": "Be brief."}
SHARED |= {"template_date": "2024-07-26", "dtype": "float32", "numerics": "plain", "engine": "transformers"}


@pytest.fixture
def tokenizer(tiny_model):
    return AutoTokenizer.from_pretrained(tiny_model)


def graded(number, words="red"):
    return [
        Graded(Pair(f"p{n}/{right}", f"Count {n}.", "", words if right else "old"), f"t{n}", right)
        for n in range(number)
        for right in (True, False)
    ]


def test_all_that_is_learned_is_the_answer_after_the_question(tokenizer):
    frame = get_frame("chatml", "Be brief.", tokenizer)
    for each in graded(1):
        row = row_of(each, Question(frame), tokenizer)
        assert row.input_ids[: row.read] == tokenizer(Question(frame).about(each.pair), add_special_tokens=False)["input_ids"]
        assert row.learned == 1


def test_the_recipe_takes_its_place_and_arithmetic_from_the_run():
    found = recipe(SHARED | {"numerics": "exact"}, 3, 1e-3, 24)
    assert (found.run, found.iteration, found.numerics, found.epochs, found.learning_rate) == ("r", 2, "exact", 3, 1e-3)
    assert found.method == "lora" and found.conflicts() == []


@pytest.mark.parametrize("number", [4, 10, 31])
def test_a_task_is_learned_held_out_or_left_over_as_a_whole(number, tokenizer):
    frame, rows = get_frame("chatml", "", tokenizer), graded(number)
    data = prepare(rows, Question(frame), tokenizer, recipe(SHARED, 1, 1e-3, 20), 7)
    by_task = {}
    for row in data.fates:
        by_task.setdefault(row["id"].split("/")[0], set()).add(row["fate"])
    assert all(len(fates) == 1 for fates in by_task.values())
    used = min(number, 20)
    held = max(1, round(DEVELOPMENT * used))
    assert Counter(row["fate"] for row in data.fates) == Counter(
        {"learned": 2 * (used - held), "held_out": 2 * held, "beyond_max_rows": 2 * (number - used)}
    )
    assert data.counts["in"] == 2 * number == data.counts["kept"] + sum(data.counts["dropped"].values())
    assert (len(data.train), len(data.held_out)) == (2 * (used - held), 2 * held)


def test_a_task_with_one_row_too_long_is_left_out_whole_and_named(tokenizer):
    frame, rows = get_frame("chatml", "", tokenizer), graded(5)
    rows[0] = Graded(Pair("p0/True", "Count 0.", "", "red " * 1200), "t0", True)
    data = prepare(rows, Question(frame), tokenizer, recipe(SHARED, 1, 1e-3, 20), 7)
    assert [row["id"] for row in data.fates if row["fate"] == "beyond_max_length"] == ["p0/True", "p0/False"]
    assert data.counts["dropped"] == {"beyond_max_length": 2}


def test_too_few_tasks_that_fit_stop_with_what_to_do(tokenizer):
    frame = get_frame("chatml", "", tokenizer)
    with pytest.raises(YieldError) as caught:
        prepare(graded(3, "red " * 1200), Question(frame), tokenizer, recipe(SHARED, 1, 1e-3, 20), 7)
    assert "A judge can learn from 0 task(s); 3 are too long" in str(caught.value)
    assert "lower synthesize.response_tokens" in str(caught.value)
