"""Words, copies, diversity, refusals."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isheep_lib.analysis.words import copy_share, distinct_n, is_refusal, words

few = settings(max_examples=50, deadline=None)
sentences = st.lists(st.sampled_from(["the", "a", "cat", "dog", "sat", "ran", "on", "mat"]), max_size=9).map(" ".join)
phrases = sentences.filter(bool)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Don't STOP!", ["don", "t", "stop"]),
        ("  one,two\nthree ", ["one", "two", "three"]),
        ("Überraschung: 3.5 km", ["überraschung", "3", "5", "km"]),
        ("... !?", []),
        ("", []),
    ],
)
def test_words_are_lower_case_runs_of_letters_and_digits(text, expected):
    assert words(text) == expected


@few
@given(sentences, sentences, st.integers(1, 5))
def test_a_copy_share_is_a_share(response, task, size):
    assert 0.0 <= copy_share(response, task, size) <= 1.0


@few
@given(phrases, sentences, sentences)
def test_a_response_that_stands_in_the_task_is_all_copied(response, before, after):
    assert copy_share(response, f"{before} {response} {after}") == 1.0


@pytest.mark.parametrize(
    ("response", "task", "expected"),
    [
        ("", "anything", 0.0),
        ("?!", "?!", 0.0),
        ("Paris", "What is the capital of France?", 0.0),
        ("Blue.", "Red, blue or green?", 1.0),
        ("one two three four x y z w", "one two three four five", 0.5),
        ("one two three x", "one two three four", 0.0),
        ("one two three four five", "ONE two, three four five six", 1.0),
        ("a b c d q a b c d", "a b c d", 8 / 9),
        ("some words here now", "", 0.0),
    ],
)
def test_copied_runs_of_four_words_count_once(response, task, expected):
    assert copy_share(response, task) == pytest.approx(expected)


@few
@given(st.lists(sentences, max_size=5), st.integers(1, 3))
def test_distinct_n_is_a_share_that_repetition_lowers(texts, n):
    once = distinct_n(texts, n)
    assert 0.0 <= once <= 1.0
    assert distinct_n(texts * 2, n) == pytest.approx(once / 2)


@pytest.mark.parametrize(
    ("texts", "n", "expected"),
    [
        ([], 2, 0.0),
        (["word"], 2, 0.0),
        (["a b c"], 2, 1.0),
        (["a b", "b a"], 2, 1.0),
        (["a b", "c d"], 2, 1.0),  # no bigram spans two texts
        (["a b a b a"], 2, 0.5),
        (["A a"], 1, 0.5),
    ],
)
def test_distinct_n_of_known_texts(texts, n, expected):
    assert distinct_n(texts, n) == pytest.approx(expected)


@pytest.mark.parametrize(
    "text",
    [
        "I'm sorry, but I can't help with that.",
        "I\u2019m sorry, I can\u2019t do that.",
        "  I am unable to open links.",
        "Sorry, no.",
        '"I cannot answer this."',
        "I don't have access to the internet.",
        "I do not have the ability to see.",
        "As an AI language model, I",
        "Unfortunately, I do not know.",
        "im afraid not",
    ],
)
def test_an_answer_that_opens_by_declining_is_a_refusal(text):
    assert is_refusal(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "I candidly agree.",
        "The clerk said: I'm sorry.",
        "As an aid to memory, write it down.",
        "I have access to a garden.",
        "Unfortunately the war went on.",
        "I'm glad to help.",
    ],
)
def test_other_answers_are_no_refusals(text):
    assert not is_refusal(text)
