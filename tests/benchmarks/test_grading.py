"""Grading of single answers: SQuAD2.0's two scores by hand and by property, and outcomes of programs."""

import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers.data.metrics.squad_metrics import normalize_answer

from isheep_lib.benchmarks.grading import code_scores, squad_scores
from isheep_lib.sandbox.run import Outcome

few = settings(max_examples=80, deadline=None)
words = st.sampled_from(["river", "the", "A", "1830", "U.S.", "an", "Paris,", "river's"])
texts = st.lists(words, max_size=5).map(" ".join)


def scores(said, *golds):
    found = squad_scores({"answers": {"text": list(golds)}}, [said])
    return found["exact_match"], found["f1"]


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("The  River.", "river"),
        ("an apple a day", "apple day"),
        ("theatre", "theatre"),
        ("A.", ""),
        ("U.S. army", "us army"),
        ("don't", "dont"),
        ("  one\n two\t", "one two"),
        ("", ""),
    ],
)
def test_case_punctuation_articles_and_spaces_do_not_count(text, plain):
    assert scores(text, plain) == (1.0, 1.0)


@pytest.mark.parametrize(
    ("said", "golds", "expected"),
    [
        ("1830", ["1830"], (1, 1)),
        ("The 1830.", ["1830"], (1, 1)),
        ("1830", ["in 1830"], (0, 2 / 3)),
        ("in the year 1830", ["1830", "in 1830"], (0, 4 / 5)),
        ("1831", ["1830"], (0, 0)),
        ("a a b", ["b b a"], (0, 2 / 3)),  # both hold one b; the article goes
        ("x x y", ["x y y"], (0, 2 / 3)),  # a word counts as often as both have it
        ("", ["1830"], (0, 0)),
        ("unanswerable", ["1830"], (0, 0)),
        ("", [], (1, 1)),
        ("Unanswerable.", [], (1, 1)),
        ("unanswerable, it says", [], (0, 0)),
        ("1830", [], (0, 0)),
        ("the", ["the", "a band"], (0, 0)),  # an answer that is nothing but an article is none
        ("", ["The"], (1, 1)),
    ],
)
def test_scores_computed_by_hand(said, golds, expected):
    assert scores(said, *golds) == pytest.approx(expected)


@few
@given(texts, st.lists(texts, min_size=1, max_size=3))
def test_the_best_gold_answer_counts_in_any_order(said, golds):
    exact, f1 = scores(said, *golds)
    assert scores(said, *golds[::-1]) == (exact, f1)
    assert exact in (0.0, 1.0)
    assert exact <= f1 <= 1.0
    real = [gold for gold in golds if normalize_answer(gold)]
    assert (exact, f1) == (max(scores(said, g)[0] for g in real or [""]), max(scores(said, g)[1] for g in real or [""]))


@few
@given(texts.filter(normalize_answer))
def test_a_gold_answer_is_right_however_it_is_written(gold):
    loud = f"  the {gold.upper()}{string.punctuation} "
    assert scores(loud, "something else", gold) == (1.0, 1.0)
    assert scores(gold) == (0.0, 0.0)


@pytest.mark.parametrize(("outcome", "score"), [(Outcome(True, "passed"), 1.0), (Outcome(False, "timeout", "10 s"), 0.0)])
def test_a_program_passes_or_does_not(outcome, score):
    assert code_scores({}, [outcome]) == {"pass_at_1": score}
