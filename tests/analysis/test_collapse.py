"""Signs of a collapse by hand and on made-up answers, the rules, and that chance alone rarely warns."""

import importlib.util
import math
from collections import Counter
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isheep_lib.analysis.collapse import (
    DISTINCT_OF,
    ENOUGH,
    RULES,
    SIGNS,
    DriftWarning,
    answer_signs,
    distinct_share,
    rule_rows,
    warning_rows,
    warnings,
)
from isheep_lib.display.table import Table

spec = importlib.util.spec_from_file_location("released_drift", Path(__file__).parents[2] / "benchmarks" / "released_drift.py")
released_drift = importlib.util.module_from_spec(spec)
spec.loader.exec_module(released_drift)
few = settings(max_examples=50, deadline=None)
HEALTHY = {
    "answers": 541,
    "mean_words": 80.0,
    "median_words": 60.0,
    "distinct_1": 0.6,
    "distinct_2": 0.96,
    "repeated_ngrams": 0.03,
    "refusal_rate": 0.01,
    "cut_off_rate": 0.05,
    "empty_rate": 0.0,
    "duplicate_rate": 0.0,
}


def prose(rng, number=100, middle=40.0, vocabulary=5000):
    """Answers of lognormal length whose words follow Zipf's law."""
    ranks = np.arange(1, vocabulary + 1)
    weights = 1 / ranks / (1 / ranks).sum()
    lengths = np.maximum(1, rng.lognormal(math.log(middle), 0.9, size=number)).astype(int)
    return [" ".join(f"w{i}" for i in rng.choice(vocabulary, size=n, p=weights)) for n in lengths]


def struck(found):
    return {(w.iteration, w.against, w.sign) for w in found}


# --- signs -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("texts", "finishes", "expected"),
    [
        (["a b c", "d"], ["end", "length"], {"answers": 2, "mean_words": 2.0, "median_words": 2.0, "cut_off_rate": 0.5}),
        (["a b", "", " \n", "?!"], None, {"empty_rate": 0.5, "mean_words": 0.5, "median_words": 0.0, "cut_off_rate": None}),
        (["I'm sorry, no.", "Yes.", "Yes.", "Yes."], ["end"] * 4, {"refusal_rate": 0.25, "cut_off_rate": 0.0}),
        (["a b c d a b c d", "a b c"], None, {"repeated_ngrams": 0.1}),  # one of the five runs of the first answer
        (["x x x x x x x"], None, {"repeated_ngrams": 0.75}),
        (["a b c d", "a b c d"], None, {"repeated_ngrams": 0.0}),  # between answers nothing counts as repeated
        (["word " * DISTINCT_OF], None, {"distinct_1": 1 / DISTINCT_OF, "distinct_2": None}),
        (["Yes."] * (ENOUGH - 1) + [""] * 9, None, {"duplicate_rate": None}),
        (["Yes."] * (ENOUGH - 1) + [" yes.\n"] + [""] * 9, None, {"duplicate_rate": round(1 - 1 / ENOUGH, 6)}),
        ([str(n) for n in range(99)], None, {"duplicate_rate": 0.0}),
        ([], [], {"answers": 0, **dict.fromkeys(list(SIGNS)[1:])}),
    ],
)
def test_signs_of_known_answers(texts, finishes, expected):
    found = answer_signs(texts, finishes)
    assert list(found) == list(SIGNS)
    assert {name: found[name] for name in expected} == pytest.approx(expected, nan_ok=False)


def test_every_answer_needs_its_finish():
    with pytest.raises(ValueError, match="2 texts but 1 finishes"):
        answer_signs(["a", "b"], ["end"])


@few
@given(st.lists(st.integers(1, 4), min_size=1, max_size=6), st.integers(1, 8))
def test_the_expected_share_of_distinct_things_is_that_of_all_draws(counts, number):
    things = [name for name, count in enumerate(counts) for _ in range(count)][:12]
    found = distinct_share(Counter(things), number)
    if len(things) < number:
        assert found is None
    else:
        draws = [len(set(draw)) / number for draw in combinations(things, number)]
        assert found == pytest.approx(sum(draws) / len(draws), abs=1e-6)


def test_diversity_and_equal_answers_do_not_depend_on_the_number_of_answers():
    rng = np.random.default_rng(1)
    texts = [f"{text} end" for text in prose(rng, 2000)] + ["the same answer"] * 200
    texts = [texts[i] for i in rng.permutation(len(texts))]
    whole, part = answer_signs(texts), answer_signs(texts[:300])
    for name in ("distinct_1", "distinct_2", "duplicate_rate"):
        assert part[name] == pytest.approx(whole[name], abs=0.02)
    assert 0.03 < whole["duplicate_rate"] < 0.1


@few
@given(st.lists(st.text(alphabet="ab .I'msory", max_size=40), min_size=1, max_size=40), st.randoms())
def test_the_order_of_answers_changes_nothing_and_shares_are_shares(texts, random):
    found = answer_signs(texts)
    assert answer_signs(random.sample(texts, len(texts))) == found
    lengths = ("answers", "mean_words", "median_words")
    assert all(0 <= value <= 1 for name, value in found.items() if name not in lengths and value is not None)


# --- rules -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sign", "strikes", "spares"),
    [
        ("median_words", 30.0, 31.0),
        ("distinct_2", 0.72, 0.73),
        ("repeated_ngrams", 0.13, 0.12),
        ("refusal_rate", 0.06, 0.05),
        ("cut_off_rate", 0.20, 0.19),
        ("empty_rate", 0.05, 0.04),
        ("duplicate_rate", 0.10, 0.09),
    ],
)
def test_each_rule_strikes_at_its_threshold_and_not_before(sign, strikes, spares):
    assert struck(warnings({1: HEALTHY, 2: {**HEALTHY, sign: strikes}})) == {(2, 1, sign)}
    assert warnings({1: HEALTHY, 2: {**HEALTHY, sign: spares}}) == []


def test_every_rule_is_tested_above_and_explained_in_the_table():
    assert len(RULES) == len({rule.sign for rule in RULES}) == 7
    assert [row["sign"] for row in rule_rows()] == [SIGNS[rule.sign] for rule in RULES]
    assert rule_rows()[0]["warns when it"].startswith("falls to 50 % or less of what it was, unless the token limit ended half")
    assert rule_rows()[3] == {
        "sign": "answers that open by declining (share)",
        "warns when it": "rises by 5 points or more",
        "because": "the model declines",
    }


def test_answers_that_only_the_limit_ended_were_not_long():
    endless = {**HEALTHY, "cut_off_rate": 0.5, "median_words": 95.0}
    assert warnings({0: endless, 1: {**HEALTHY, "median_words": 45.0}}) == []
    assert struck(warnings({0: {**endless, "cut_off_rate": 0.49}, 1: {**HEALTHY, "median_words": 45.0}})) == {
        (1, 0, "median_words")
    }


def test_a_slow_decline_is_seen_against_the_first_iteration_a_jump_against_the_one_before():
    slow = {k: {**HEALTHY, "median_words": words} for k, words in enumerate([60.0, 48.0, 38.0, 30.0, 24.0])}
    assert struck(warnings(slow)) == {(3, 0, "median_words"), (4, 0, "median_words")}
    jump = {k: {**HEALTHY, "median_words": words} for k, words in enumerate([60.0, 140.0, 60.0])}
    assert struck(warnings(jump)) == {(2, 1, "median_words")}
    both = {k: {**HEALTHY, "median_words": words} for k, words in enumerate([60.0, 60.0, 20.0])}
    assert struck(warnings(both)) == {(2, 0, "median_words"), (2, 1, "median_words")}


def test_iterations_are_compared_in_their_order_whatever_the_order_of_the_series():
    series = {3: {**HEALTHY, "median_words": 20.0}, 1: HEALTHY}
    assert struck(warnings(series)) == {(3, 1, "median_words")}


def test_growing_answers_and_recovery_do_not_warn():
    worse = {**HEALTHY, "refusal_rate": 0.3, "distinct_2": 0.5, "median_words": 10.0}
    assert warnings({1: worse, 2: HEALTHY}) == []
    assert warnings({1: {**HEALTHY, "median_words": 0.0}, 2: {**HEALTHY, "median_words": 0.0}}) == []


def test_a_sign_that_is_not_known_is_not_judged():
    assert warnings({1: {**HEALTHY, "cut_off_rate": None}, 2: {**HEALTHY, "cut_off_rate": 0.9}}) == []
    assert warnings({1: HEALTHY, 2: {**HEALTHY, "distinct_2": None, "duplicate_rate": None}}) == []


def test_too_few_answers_are_only_named_and_not_compared_with():
    broken = {**HEALTHY, "answers": ENOUGH - 1, "median_words": 1.0, "refusal_rate": 1.0}
    said = DriftWarning(2, "answers", None, ENOUGH - 1, "too few answers: 30 are needed")
    assert warnings({1: HEALTHY, 2: broken, 3: HEALTHY}) == [said]
    assert warnings({1: HEALTHY, 2: {**broken, "answers": ENOUGH}})[0].sign == "median_words"
    late = warnings({0: {**broken, "answers": 0}, 1: HEALTHY, 2: {**HEALTHY, "median_words": 9.0}})
    assert struck(late) == {(0, None, "answers"), (2, 1, "median_words")}


@pytest.mark.parametrize(("number", "warned"), [(30, False), (90, False), (150, True), (541, True)])
def test_a_rise_must_exceed_three_times_its_error(number, warned):
    before, now = ({**HEALTHY, "answers": number, "refusal_rate": rate} for rate in (0.0, 0.08))
    assert 3 * math.sqrt(0.08 * 0.92 / 90) > 0.08 > 3 * math.sqrt(0.08 * 0.92 / 150)
    assert bool(warnings({1: before, 2: now})) == warned


def test_warnings_show_as_a_table():
    found = warnings({1: HEALTHY, 2: {**HEALTHY, "median_words": 12.0}, 3: {**HEALTHY, "answers": 4}})
    assert warning_rows(found) == [
        {
            "iteration": "2",
            "against": "1",
            "sign": "median words per answer",
            "before": 60.0,
            "now": 12.0,
            "rule": "falls to 50 % or less of what it was: answers wither",
        },
        {
            "iteration": "3",
            "against": "",
            "sign": "number of answers",
            "before": "",
            "now": 4,
            "rule": "too few answers: 30 are needed",
        },
    ]
    assert "answers wither" in repr(Table(warning_rows(found)))


# --- made-up runs ----------------------------------------------------------------------------------------------------


def test_chance_alone_rarely_warns():
    rng = np.random.default_rng(2)
    warned = 0
    for _ in range(60):
        series = {}
        for iteration in range(4):
            texts = [("I'm sorry, " if rng.random() < 0.05 else "") + text for text in prose(rng, ENOUGH)]
            finishes = ["length" if rng.random() < 0.2 else "end" for _ in texts]
            series[iteration] = answer_signs(texts, finishes)
        warned += bool(warnings(series))
    assert warned <= 4  # of 60 runs, each with five comparisons by seven rules


@pytest.mark.parametrize(
    ("collapse", "sign"),
    [
        (lambda texts: [" ".join(text.split()[:6]) for text in texts], "median_words"),
        (lambda texts: [" ".join(text.split()[:5] * 8) for text in texts], "repeated_ngrams"),
        (lambda texts: ["the answer is that " * 9 + text for text in texts], "distinct_2"),
        (
            lambda texts: ["I'm sorry, I cannot.", *texts[1:]] * 1 if False else ["I cannot say: " + t for t in texts],
            "refusal_rate",
        ),
        (lambda texts: texts[:50] + ["Yes."] * 50, "duplicate_rate"),
        (lambda texts: texts[:80] + [""] * 20, "empty_rate"),
    ],
)
def test_a_collapse_is_named_by_its_sign(collapse, sign):
    texts = prose(np.random.default_rng(3))
    found = warnings({1: answer_signs(texts), 2: answer_signs(collapse(texts))})
    assert (2, 1, sign) in struck(found)


# --- the worked example ----------------------------------------------------------------------------------------------


def test_the_example_reads_models_and_iterations_from_file_names(tmp_path, monkeypatch):
    long, short = prose(np.random.default_rng(4)), prose(np.random.default_rng(5), middle=9.0)
    for name, texts in {"7b_base": long, "7b_iter2": short, "9b_base": long[:9]}.items():
        rows = "".join(f'{{"output": "{text}"}},' for text in texts)
        (tmp_path / f"released_{name}_kept.json").write_text(f"[{rows.rstrip(',')}]")
    monkeypatch.setattr(released_drift, "HERE", tmp_path)
    released_drift.main(tmp_path)
    page = (tmp_path / "released_drift.md").read_text()
    assert "| sign | 7b base | 7b iteration 2 | 9b base |" in page
    assert "| number of answers | 100 | 100 | 9 |" in page
    assert "| 2 | 0 | median words per answer |" in page
    assert "too few answers: 30 are needed" in page


def test_the_example_stops_without_released_sets(tmp_path):
    with pytest.raises(SystemExit, match="no released_"):
        released_drift.main(tmp_path)


def test_the_committed_page_names_the_signs_and_rules_of_the_code():
    page = (Path(released_drift.__file__).parent / "released_drift.md").read_text(encoding="utf-8")
    for line in [*SIGNS.values(), *(row["warns when it"] for row in rule_rows())]:
        assert line in page
