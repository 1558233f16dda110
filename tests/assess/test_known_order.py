"""Pairs of known order: what is wrong with them, that no half of the tasks sees the other, and what gives no lesson."""

import zlib
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isheep_lib.assess.known_order import (
    ANOTHER,
    CUT,
    EMPTY,
    LEAST,
    NONE,
    constraint_broken,
    courses,
    folds,
    judge_name,
    lessons,
    looped,
    whole,
    wrong_responses,
)
from isheep_lib.errors import YieldError
from isheep_lib.prompting.chat import user_words
from isheep_lib.record.rows import Pair

KINDS = ["shuffled", "truncated", "wrong_task", "looped"]


def seed_of(name):
    return zlib.crc32(name.encode())


def made(number, first=0):
    words = "river stone bread lamp cloud garden window letter song bridge".split()
    return [
        Pair(f"p{n}", f"Tell of the {words[n % 10]} number {n}.", "", f"Once a {words[n % 10]} {n} stood here. It was old.")
        for n in range(first, first + number)
    ]


def constrained(id_, task, output, *kept):
    rows = [{"family": "words", "arguments": {}, "text": "short", "kept": each} for each in kept]
    return Pair(id_, task, "", output, lineage={"constraints": rows})


def test_a_looped_response_says_its_first_half_twice():
    assert looped([Pair("p", "Do.", "", "one two three four")]) == ["one two one two"]


def test_a_broken_constraint_is_another_answer_to_the_same_task():
    pairs = [
        constrained("a-a0", "A", "kept", True, True),
        constrained("a-a1", "A", "broken", True, False),
        constrained("b-a0", "B", "never kept", False),
        constrained("c-a0", "C", "alone", True),
        Pair("d", "D", "", "no constraint"),
    ]
    assert constraint_broken(pairs, pairs) == ["broken", "", "", "", ""]


def test_one_whole_response_stands_for_a_task_and_the_others_have_reasons():
    pairs = [
        Pair("a", "A", "", "cut off in the", "length"),
        Pair("b", "B", "", "  "),
        constrained("c-a0", "C", "breaks one", False),
        constrained("c-a1", "C", "keeps it", True),
        Pair("d-a0", "D", "", "first"),
        Pair("d-a1", "D", "", "second"),
    ]
    chosen, reasons = whole(pairs)
    assert [pair.id for pair in chosen] == ["c-a1", "d-a0"]
    assert reasons == {"a": CUT, "b": EMPTY, "c-a0": ANOTHER, "d-a1": ANOTHER}


@settings(max_examples=40)
@given(st.integers(0, 30), st.integers(0, 5))
def test_halves_differ_by_a_task_at_most_and_answers_to_a_task_go_together(number, seed):
    pairs = made(number) + [Pair(f"{pair.id}-again", pair.instruction, "", "another") for pair in made(number)]
    found = folds(pairs, seed)
    assert set(found) == {user_words(pair.task) for pair in pairs}
    halves = Counter(found.values())
    assert abs(halves[0] - halves[1]) <= 1


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_wrong_and_none_takes_a_response_from_outside(kind):
    pairs = made(7)
    found = wrong_responses(kind, pairs, pairs, 3)
    assert all(text and text != pair.output for text, pair in zip(found, pairs, strict=True))
    if kind in ("shuffled", "wrong_task"):
        assert set(found) <= {pair.output for pair in pairs}


def test_a_response_of_which_a_kind_makes_the_same_gets_the_next_kind_and_one_that_none_can_change_has_a_reason():
    pairs = [Pair("a", "Say it.", "", "one two three"), Pair("b", "Say no.", "", "word")]  # half of one word is that word
    found, reasons = lessons(pairs, ["truncated", "shuffled"], pairs, 0)
    assert [(lesson.pair.id, lesson.kind) for lesson in found] == [
        ("a", ""),
        ("a/truncated", "truncated"),
        ("b", ""),
        ("b/shuffled", "shuffled"),
    ]
    assert lessons(pairs[1:], ["truncated"], pairs, 0) == ([], {"b": NONE})
    assert not reasons


def test_right_and_wrong_come_in_equal_numbers_and_kinds_in_turn():
    found, _ = lessons(made(12), KINDS, made(12), 1)
    assert Counter(lesson.kind for lesson in found) == {"": 12, **dict.fromkeys(KINDS, 3)}


@settings(max_examples=25)
@given(st.integers(2 * LEAST, 40), st.integers(0, 9))
def test_no_judge_learns_a_task_that_it_scores_or_a_kind_that_it_is_tested_by(number, seed):
    pairs = made(number)
    plan = courses(pairs, KINDS, lambda name: seed + seed_of(name))
    texts = [{user_words(lesson.pair.task) for lesson in plan.lessons[judge_name(fold)]} for fold in (0, 1)]
    outputs = [{lesson.pair.output for lesson in plan.lessons[judge_name(fold)]} for fold in (0, 1)]
    assert not texts[0] & texts[1] and not outputs[0] & outputs[1]
    assert all(plan.folds[task] == fold for fold in (0, 1) for task in texts[fold])
    for tested in plan.tested:
        learned = plan.lessons[judge_name(0, tested.kind)]
        assert tested.kind not in {lesson.kind for lesson in learned}
        assert {lesson.kind for lesson in learned} <= {"", *KINDS}
        assert {user_words(lesson.pair.task) for lesson in (*tested.right, *tested.wrong)} <= texts[1]
        assert [lesson.of for lesson in tested.right] == [lesson.of for lesson in tested.wrong]
        assert all(lesson.right for lesson in tested.right) and not any(lesson.right for lesson in tested.wrong)
    assert set(plan.folds) == {user_words(pair.task) for pair in pairs}


def test_a_pair_that_gives_no_lesson_has_a_reason_and_a_half_all_the_same():
    pairs = [*made(10), Pair("cut", "Tell all.", "", "and then", "length")]
    plan = courses(pairs, KINDS, seed_of)
    assert plan.fates == {"cut": CUT}
    assert plan.folds["Tell all."] in (0, 1)


def test_a_kind_of_which_there_is_too_little_is_left_out_and_named():
    plan = courses(made(10), [*KINDS, "constraint_broken"], seed_of)
    assert plan.absent == ["constraint_broken"]
    assert [tested.kind for tested in plan.tested] == KINDS


def test_too_few_whole_responses_stop_with_what_to_do():
    pairs = [*made(5), *(Pair(f"c{n}", f"Cut {n}.", "", "and then", "length") for n in range(9))]
    with pytest.raises(YieldError) as caught:
        courses(pairs, KINDS, seed_of)
    assert "9 cut_off" in str(caught.value)
    assert "raise synthesize.response_tokens" in str(caught.value)


def test_too_few_kinds_stop_with_their_counts():
    pairs = [Pair(f"p{n}", f"Say word {n}.", "", f"word{n}") for n in range(10)]
    with pytest.raises(YieldError) as caught:
        courses(pairs, ["truncated", "shuffled"], seed_of)
    assert "truncated 0 and 0, shuffled 5 and 5" in str(caught.value)
