"""Words, ROUGE-L, near-duplicates, copies, diversity, refusals."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from isheep_lib.text import NearDuplicates, copy_share, distinct_n, is_refusal, words

few = settings(max_examples=50, deadline=None)
sentences = st.lists(st.sampled_from(["the", "a", "cat", "dog", "sat", "ran", "on", "mat"]), max_size=9).map(" ".join)
phrases = sentences.filter(bool)


def lcs(a, b):
    """Return the length of the longest common subsequence, slowly."""
    if not a or not b:
        return 0
    if a[0] == b[0]:
        return 1 + lcs(a[1:], b[1:])
    return max(lcs(a[1:], b), lcs(a, b[1:]))


def f_measure(first, second):
    a, b = words(first), words(second)
    return 2 * lcs(a[:9], b[:9]) / (len(a) + len(b)) if a or b else 0.0


def measured(first, second):
    near = NearDuplicates(0.0)
    near.add(first)
    found = near.find(second)
    return found[1] if found else 0.0


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
@given(phrases, sentences)
@example("the cat sat on the mat", "the cat ran on a mat")
@example("a", "")
def test_rouge_l_is_the_f_measure_of_the_longest_common_subsequence(first, second):
    assert measured(first, second) == pytest.approx(f_measure(first, second))


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ("the cat sat", "The cat, sat!", 1.0),
        ("the cat", "a dog", 0.0),
        ("a b c d", "a c b d", 0.75),
        ("a b c d", "a b", 2 / 3),
        ("a a a a", "a", 0.4),
    ],
)
def test_rouge_l_of_known_pairs(first, second, expected):
    assert measured(first, second) == pytest.approx(expected)
    assert measured(second, first) == pytest.approx(expected)


@few
@given(st.lists(phrases, max_size=6), phrases, st.sampled_from([0.0, 0.35, 0.5, 0.7, 0.95, 1.0]))
def test_near_duplicates_agrees_with_comparing_every_pair(pool, text, limit):
    near = NearDuplicates(limit)
    for earlier in pool:
        near.add(earlier)
    found = near.find(text)
    best = max((f_measure(earlier, text) for earlier in pool), default=0.0)
    if best > limit:
        assert found is not None
        assert found[1] == pytest.approx(best)
        assert found[0] in pool
        assert f_measure(found[0], text) == pytest.approx(best)
    else:
        assert found is None


@pytest.mark.parametrize("tenths", range(1, 10))
def test_a_measure_exactly_at_the_limit_is_no_duplicate(tenths):
    ten = list("abcdefghij")
    near = NearDuplicates(tenths / 10)
    near.add(" ".join(ten))
    assert near.find(" ".join(ten[:tenths] + ["x"] * (10 - tenths))) is None
    found = near.find(" ".join(ten[: tenths + 1] + ["x"] * (9 - tenths)))
    assert found == (" ".join(ten), pytest.approx((tenths + 1) / 10))


def test_more_words_than_the_characters_below_the_surrogates_stay_apart():
    near = NearDuplicates(0.9)
    texts = [" ".join(f"w{n}" for n in range(start, start + 1000)) for start in range(0, 60_000, 1000)]
    for text in texts:
        assert near.find(text) is None
        near.add(text)
    assert near.find(texts[57]) == (texts[57], 1.0)


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
