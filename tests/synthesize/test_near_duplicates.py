"""Near-duplicates: every decision and measure is that of rouge_score, and the index loses nothing."""

import json
import os
import random
import re
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from rouge_score import rouge_scorer, scoring

from isheep_lib.errors import ParameterError
from isheep_lib.languages.words import rouge_words
from isheep_lib.synthesize.near_duplicates import NearDuplicates, f_measure

many = settings(max_examples=150, deadline=None)
limits = st.sampled_from([0.0, 0.1, 0.2, 1 / 3, 0.4, 0.5, 0.6, 2 / 3, 0.7, 0.75, 0.8, 0.9, 0.95, 1.0])
# U+212A, the Kelvin sign, becomes k in lower case, U+0130 an i and a dot above; "ß" and "é" end a word.
pieces = st.sampled_from(
    ["a", "b", "c", "A", "the", "The", "7", "x7", "é", "cafe\u0301", "caf\u00e9s", "stra\u00dfe", "\u212a", "k", "\u0130", "µ"]
)
others = st.sampled_from(
    ["文", "字", "写", "タワー", "시를", "Python을", "слово", "हिन्दी", "كلمة", "น้ำ", "a", "the", "Python", "2020"]
)
gaps = st.sampled_from([" ", " ", " ", ", ", "_", "-", "\n", "\u2028", "...", ""])


def joined(words):
    return st.lists(st.tuples(words, gaps), max_size=14).map(lambda parts: "".join(word + gap for word, gap in parts))


texts, mixed = joined(pieces), joined(st.one_of(others, pieces))
scorer = rouge_scorer.RougeScorer(["rougeL"], use_stemmer=False)


class OurWords:
    tokenize = staticmethod(rouge_words)


of_any_script = rouge_scorer.RougeScorer(["rougeL"], tokenizer=OurWords())
RELEASED = Path(os.environ.get("ISHEEP_RELEASED", Path(__file__).parents[3] / "shared" / "data"))


def score(earlier, new, scorer=scorer):
    if not rouge_words(earlier) and not rouge_words(new):  # which rouge_score takes for unlike, even where they are equal
        return float(" ".join(earlier.lower().split()) == " ".join(new.lower().split()))
    return scorer.score(earlier, new)["rougeL"].fmeasure


def filled(limit, pool):
    near = NearDuplicates(limit)
    for text in pool:
        near.add(text)
    return near


def nearest(limit, pool, text, scorer=scorer):
    """Find what `find` should, by scoring every pair."""
    found = None
    for earlier in pool:
        measure = score(earlier, text, scorer)
        if measure > (found[1] if found else limit):
            found = (earlier, measure)
    return found


def pair(lcs, earlier, new):
    """Make two texts of given lengths with a common subsequence of a given length."""
    common = [f"c{i}" for i in range(lcs)]
    return " ".join(common + ["e"] * (earlier - lcs)), " ".join(["n"] * (new - lcs) + common)


@many
@given(texts, texts, limits)
@example("", "", 0.0)
@example("?!", "a", 0.0)
@example("é", "\u00c9 ", 0.9)
@example("caf\u00e9s", "CAF\u00c9S", 0.9)
@example("\u212a", "k", 0.5)
def test_the_decision_and_the_measure_on_a_pair_are_those_of_rouge_score(earlier, new, limit):
    measure = score(earlier, new)
    assert filled(limit, [earlier]).find(new) == ((earlier, measure) if measure > limit else None)


@many
@given(st.lists(texts, max_size=12), texts, limits)
@example(["b a", "a b", "a b"], "a b", 0.0)
@example(["a b c the", "a b c 7"], "a b c x7", 0.5)
def test_the_index_finds_the_nearest_and_of_equals_the_first_as_a_loop_over_all_pairs_does(pool, text, limit):
    assert filled(limit, pool).find(text) == nearest(limit, pool, text)


@many
@given(st.lists(texts, max_size=12), limits)
def test_texts_are_compared_with_all_that_came_before_while_the_pool_grows(stream, limit):
    near, kept = NearDuplicates(limit), []
    for text in stream:
        found = near.find(text)
        assert found == nearest(limit, kept, text)
        if not found:
            near.add(text)
            kept.append(text)
    assert len(near) == len(kept)


@many
@given(st.integers(1, 300), st.integers(1, 300), st.data())
def test_the_arithmetic_is_rouge_scores_to_the_last_bit_for_numbers_and_arrays_either_way_round(earlier, new, data):
    lcs = data.draw(st.integers(1, min(earlier, new)))
    expected = scoring.fmeasure(lcs / new, lcs / earlier)
    assert f_measure(lcs, earlier, new) == expected == f_measure(lcs, new, earlier)
    assert f_measure(np.array([lcs]), np.array([earlier]), new)[0] == expected


def test_a_longer_subsequence_and_a_shorter_text_raise_the_measure_for_all_lengths_so_bounds_lose_nothing():
    lcs, earlier, new = np.meshgrid(*[np.arange(1, 121)] * 3, indexing="ij")
    measures = f_measure(lcs, earlier, new)
    assert (np.diff(measures, axis=0) > 0).all()
    assert (np.diff(measures, axis=1) < 0).all()


@pytest.mark.parametrize(
    ("lcs", "earlier", "new", "limit", "duplicate"),
    [
        (7, 10, 10, 0.7, False),
        (8, 10, 10, 0.7, True),
        (7, 8, 12, 0.7, True),  # 2 * 7 / 20 is 0.7, but rouge_score's arithmetic ends one bit above
        (7, 12, 8, 0.7, True),
        (21, 23, 37, 0.7, False),
        (2, 5, 5, 0.4, True),  # the same
        (4, 5, 5, 0.8, True),
        (3, 4, 4, 0.75, False),
        (9, 11, 13, 0.75, True),
        (1, 2, 2, 0.5, False),
        (9, 10, 10, 0.9, False),
        (13, 19, 21, 0.65, True),
        (10, 10, 10, 0.99, True),
        (10, 10, 10, 1.0, False),
        (1, 150, 150, 0.0, True),
        (0, 3, 3, 0.0, False),
    ],
)
def test_a_pair_at_the_limit_is_decided_as_rouge_score_rounds_it(lcs, earlier, new, limit, duplicate):
    first, second = pair(lcs, earlier, new)
    assert (score(first, second) > limit) == duplicate
    assert bool(filled(limit, [first]).find(second)) == duplicate
    assert bool(filled(limit, [second]).find(first)) == duplicate


@pytest.mark.parametrize("tenths", range(1, 10))
def test_all_pairs_whose_exact_measure_is_the_limit_decide_alike(tenths):
    limit, at_the_limit = tenths / 10, 0
    for earlier in range(1, 31):
        for new in range(1, 31):
            lcs, rest = divmod(tenths * (earlier + new), 20)
            if rest == 0 and lcs <= min(earlier, new):
                first, second = pair(lcs, earlier, new)
                assert bool(filled(limit, [first]).find(second)) == (score(first, second) > limit), (lcs, earlier, new)
                at_the_limit += 1
    assert at_the_limit > 2


@pytest.mark.parametrize(
    ("earlier", "new", "expected"),
    [
        ("the cat sat", "The cat, sat!", 1.0),
        ("the cat", "a dog", None),
        ("a b c d", "a c b d", 0.75),
        ("a b c d", "a b", 2 / 3),
        ("a a a a", "a", 0.4),
        ("a a b", "b a a", 2 / 3),
        ("", "", 1.0),
        ("... !?", "...  !?", 1.0),
        ("... !?", "... !", None),
        ("👍", "👎", None),
        ("今日は", "今日は", 1.0),
        ("今日は", "明日は", 2 / 3),
        ("用Python写一首诗", "解释Python的循环", 1 / 6),
        ("Python 2020", "用Python写2020年的总结", 0.4),
        ("Напишите рассказ о зиме", "Напишите рассказ о весне", 0.75),
        ("시를 써 주세요", "시를 써 주십시오", 2 / 3),
        ("हिन्दी में लिखिए", "हिन्दी में", 0.8),
        ("snake_case", "snake case", 1.0),
    ],
)
def test_measures_of_known_pairs(earlier, new, expected):
    found = filled(0.0, [earlier]).find(new)
    assert found == (expected and (earlier, pytest.approx(expected)))


@many
@given(st.lists(mixed, max_size=12), mixed, limits)
@example(["用Python写诗", "解释Python"], "Python", 0.5)
def test_mixed_scripts_are_found_as_by_a_loop_with_the_same_words(pool, text, limit):
    assert filled(limit, pool).find(text) == nearest(limit, pool, text, of_any_script)


@many
@given(mixed, mixed, limits)
def test_of_two_texts_it_does_not_matter_which_came_first(one, other, limit):
    there, back = filled(limit, [one]).find(other), filled(limit, [other]).find(one)
    assert (there and there[1]) == (back and back[1])


@many
@given(st.one_of(mixed, st.text(max_size=20)), st.sampled_from([0.0, 0.7, 0.99]))
@example("👍", 0.99)
@example("é", 0.7)
def test_equal_texts_are_duplicates_whatever_they_are_of(text, limit):
    assert filled(limit, ["something else", text]).find(text) == (text, 1.0)
    assert filled(limit, [text]).find(text, apart=[text]) is None
    assert filled(1.0, [text]).find(text) is None


@many
@given(mixed)
def test_letters_of_other_scripts_are_compared_however_they_were_typed(text):
    other = " ".join(re.findall(r"[^\W\da-zA-Z\u00c0-\u024f\u212a]+", text))
    found = filled(0.7, [unicodedata.normalize("NFD", other)]).find(unicodedata.normalize("NFC", other))
    assert found and found[1] == 1.0


def test_a_pair_that_shares_enough_words_but_in_another_order_is_at_the_limit_and_no_duplicate():
    near = filled(0.75, ["a b c d"])
    assert near.find("a c b d") is None
    assert near.compared == 1


def test_asking_remembers_nothing():
    near = filled(0.5, ["a b c"])
    assert near.find("x y z") is None
    assert near.find("x y z") is None
    assert len(near) == 1


def test_only_pairs_that_share_enough_words_are_compared_in_full():
    near = filled(0.7, ["a b c d", "d c b a", "a b x y", "a b c d e f g h i j", "a a a a"])
    assert near.find("a b c d") == ("a b c d", 1.0)
    assert near.compared == 2
    assert near.find("a a a x") == ("a a a a", 0.75)
    assert near.compared == 3


@pytest.mark.slow  # a million words
def test_more_words_than_there_are_characters_stay_apart():
    near = filled(0.5, [" ".join(map(str, range(1_200_000))), "p q r", "s t u"])
    assert near.find("s t u v") == ("s t u", pytest.approx(6 / 7))
    assert near.find("p t r") == ("p q r", pytest.approx(2 / 3))


@pytest.mark.parametrize("limit", [-0.1, 1.01, 70, float("nan")])
def test_a_limit_that_is_no_share_is_refused(limit):
    with pytest.raises(ParameterError, match="0 \\(any shared word\\) to 1"):
        NearDuplicates(limit)


@pytest.mark.parametrize("name", ["released_72b_base_kept.json", "released_72b_iter3_kept.json", "released_7b_base_kept.json"])
def test_released_instructions_are_decided_as_by_rouge_score(name):
    path = RELEASED / name
    if not path.exists():
        pytest.skip(f"{name} is not there; name its folder in ISHEEP_RELEASED")
    rows = json.loads(path.read_text(encoding="utf-8"))
    sample = random.Random(0).sample([row["instruction"] for row in rows], 120)
    near = NearDuplicates(0.7)
    for place, text in enumerate(sample):
        assert near.find(text) == nearest(0.7, sample[:place], text)
        near.add(text)
