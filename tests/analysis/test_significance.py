"""Errors of means, paired comparisons, their table; what chance alone and what a real effect make of them."""

import gc
import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isheep_lib.analysis.significance import (
    Comparison,
    compare,
    comparison_rows,
    holm,
    mean_with_error,
    smallest_detectable,
    verdict,
)
from isheep_lib.display.table import Table
from isheep_lib.errors import DataError

few = settings(max_examples=40, deadline=None)
shares = st.sampled_from([0.0, 0.25, 1 / 3, 0.5, 2 / 3, 1.0])
pairs = st.lists(st.integers(1, 3).flatmap(lambda n: st.tuples(*[st.lists(shares, min_size=n, max_size=n)] * 2)), min_size=1)


def items(values):
    return {f"q{i}": value if isinstance(value, list) else [value] for i, value in enumerate(values)}


def outcome(only_before, only_after, both=0, neither=0):
    """Two models with so many items of each kind."""
    before = [1] * only_before + [0] * only_after + [1] * both + [0] * neither
    after = [0] * only_before + [1] * only_after + [1] * both + [0] * neither
    return compare(items(before), items(after))


# --- means -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([True, False], {"value": 50.0, "standard_error": 50.0, "items": 2}),
        ([[1], [0]], {"value": 50.0, "standard_error": 50.0, "items": 2}),
        ([0.5, 0.5, 0.5], {"value": 50.0, "standard_error": 0.0, "items": 3}),
        ([[True, True, False]], {"value": 66.6667, "standard_error": None, "items": 3}),
        # the rows' residuals are 2 - 3 * 0.75 and 1 - 0.75, so the error is sqrt(2 * 2 * 0.25**2) / 4
        ([[1, 1, 0], [1]], {"value": 75.0, "standard_error": 12.5, "items": 4}),
        ([[1, 0], []], {"value": 50.0, "standard_error": None, "items": 2}),
    ],
)
def test_a_mean_comes_with_the_error_between_rows(rows, expected):
    assert mean_with_error(rows) == expected


@few
@given(st.lists(shares, min_size=2, max_size=30))
def test_the_error_of_single_values_is_that_of_a_mean(values):
    expected = 100 * np.std(values, ddof=1) / math.sqrt(len(values))
    assert mean_with_error(values)["standard_error"] == pytest.approx(expected, abs=1e-3)


@few
@given(st.lists(shares, min_size=2, max_size=12), st.integers(2, 4))
def test_repeating_the_values_of_a_row_adds_no_certainty(values, times):
    assert mean_with_error([[v] * times for v in values])["standard_error"] == mean_with_error(values)["standard_error"]


@pytest.mark.parametrize("rows", [[], [[]], [1.5], [[0.5, -0.1]], [float("nan")]])
def test_no_values_or_values_that_are_no_shares_are_refused(rows):
    with pytest.raises(DataError, match="the values"):
        mean_with_error(rows)


# --- one comparison --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("only_before", "only_after", "p"),
    [
        (0, 0, 1.0),
        (1, 0, 1.0),
        (0, 5, 2 / 32),
        (6, 0, 2 / 64),
        (1, 9, 2 * (1 + 10) / 1024),
        (2, 8, 2 * (1 + 10 + 45) / 1024),
        (4, 4, 1.0),
    ],
)
def test_p_of_right_and_wrong_answers_is_that_of_mcnemars_table(only_before, only_after, p):
    found = outcome(only_before, only_after, both=7, neither=6)
    assert found.p == pytest.approx(p)
    assert (found.test, found.only_before, found.only_after) == ("exact McNemar", only_before, only_after)
    assert found.difference == pytest.approx(100 * (only_after - only_before) / found.items)


@pytest.mark.parametrize(
    ("deltas", "p"),
    [
        ([0.5, 0.5, 0.5], 2 / 8),
        ([0.5, -0.5], 1.0),
        ([0.25, 0.5, 0.0], 2 / 4),  # an item without a difference has no sign to flip
        ([0.5, 0.25, -0.25], 6 / 8),  # |sum| is 1 twice, 0.5 four times, 0 twice
        ([0.1, 0.2, -0.3], 1.0),
    ],
)
def test_p_of_shares_is_the_share_of_sign_patterns_that_reach_as_far(deltas, p):
    found = compare(items([max(0.0, -d) for d in deltas]), items([max(0.0, d) for d in deltas]))
    assert found.p == pytest.approx(p)
    assert found.test == "sign flips"


def test_drawn_sign_patterns_agree_with_the_exact_test():
    before, after = [0] * 14 + [1] * 6 + [1] * 5, [1] * 14 + [0] * 6 + [1] * 5
    exact = compare(items(before), items(after))
    doubled = compare(items([[v, v] for v in before]), items([[v, v] for v in after]))
    assert (exact.test, doubled.test) == ("exact McNemar", "sign flips")
    assert doubled.p == pytest.approx(exact.p, abs=0.015)
    assert doubled.p != exact.p


def test_drawn_sign_patterns_never_make_p_zero():
    assert compare(items([[0, 0]] * 40), items([[1, 1]] * 40)).p == pytest.approx(1 / 10_001)


def test_items_with_several_values_count_once():
    single = compare(items([1, 0, 0, 1]), items([1, 1, 1, 0]))
    triple = compare(items([[v] * 3 for v in [1, 0, 0, 1]]), items([[v] * 3 for v in [1, 1, 1, 0]]))
    assert (triple.items, triple.values, single.values) == (4, 12, 4)
    assert (triple.low, triple.high, triple.step) == pytest.approx((single.low, single.high, single.step))
    assert triple.difference == pytest.approx(25.0)


def test_large_items_weigh_more():
    found = compare({"a": [0, 0, 0], "b": [1]}, {"a": [1, 1, 1], "b": [0]})
    assert found.difference == pytest.approx(50.0)
    assert (found.before, found.after) == (25.0, 75.0)
    assert (found.low, found.high) == (-100.0, 100.0)  # both draws may hit the same item


@few
@given(pairs)
def test_the_interval_contains_the_difference_and_p_is_a_probability(found):
    before, after = (items(list(side)) for side in zip(*found, strict=True))
    result = compare(before, after)
    assert result.low - 1e-9 <= result.difference <= result.high + 1e-9
    assert 0 < result.p <= 1
    assert result.difference == pytest.approx(result.after - result.before)


@few
@given(pairs)
def test_swapping_the_models_turns_everything_round(found):
    before, after = (items(list(side)) for side in zip(*found, strict=True))
    one, other = compare(before, after), compare(after, before)
    assert other.difference == pytest.approx(-one.difference)
    assert (other.low, other.high) == pytest.approx((-one.high, -one.low))
    assert other.p == one.p
    assert (other.only_before, other.only_after) == (one.only_after, one.only_before)
    swapped = {"improved": "worse", "worse": "improved", "no difference shown": "no difference shown"}
    assert verdict(other, other.p) == swapped[verdict(one, one.p)]


@few
@given(pairs, st.randoms())
def test_the_order_of_items_changes_nothing(found, random):
    before, after = (items(list(side)) for side in zip(*found, strict=True))
    shuffled = dict(random.sample(list(before.items()), len(before)))
    assert compare(shuffled, after) == compare(before, after)


@few
@given(pairs)
def test_identical_answers_never_give_a_verdict(found):
    answers = items([old for old, _ in found])
    result = compare(answers, answers)
    assert (result.difference, result.p, result.only_before, result.only_after) == (0.0, 1.0, 0, 0)
    assert verdict(result, result.p) == "no difference shown"
    assert verdict(result, 0.0) == "no difference shown"


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ({"a": [1], "b": [1]}, {"a": [1]}, "1 item(s) only before: b"),
        ({"a": [1]}, {"a": [1], "c": [0], "b": [0]}, "2 item(s) only after: b, c"),
        ({"a": [1, 0]}, {"a": [1]}, "1 item(s) with another number of values: a"),
        ({f"q{i}": [1] for i in range(9)}, {"z": [1]}, "9 item(s) only before: q0, q1, q2, q3, q4, …; 1 item(s) only after: z"),
    ],
)
def test_other_items_are_not_comparable_and_named(before, after, said):
    with pytest.raises(DataError) as caught:
        compare(before, after)
    assert str(caught.value).startswith(f"Not comparable: {said}")


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ({}, {}, "No items"),
        ({"a": []}, {"a": []}, "1 bad item(s) in the results before: a"),
        ({"a": [0.5], "b": [1]}, {"a": [0.5], "b": [7]}, "1 bad item(s) in the results after: b"),
    ],
)
def test_values_that_are_no_shares_are_refused(before, after, said):
    with pytest.raises(DataError) as caught:
        compare(before, after)
    assert said in str(caught.value)


# --- what could not be seen ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("number", "differing", "points"),
    [
        (400, 0.25, 100 * 2.8016 * 0.5 / 20),  # z: 1.9600 + 0.8416
        (10_000, 0.1, 100 * 2.8016 * math.sqrt(0.1) / 100),
        (6, 0.0, 100 * 0.8 ** (1 / 6)),  # all six must change
        (5, 0.5, None),
        (1, 0.0, None),
    ],
)
def test_the_smallest_detectable_difference_by_hand(number, differing, points):
    assert smallest_detectable(number, differing) == (points if points is None else pytest.approx(points, rel=1e-4))


@few
@given(st.integers(6, 5000), st.floats(0, 1), st.floats(0.01, 1))
def test_more_items_show_smaller_differences_and_none_is_zero(number, differing, step):
    found = smallest_detectable(number, differing, step)
    assert 0 < found <= 100
    assert smallest_detectable(4 * number, differing, step) < found or found == 100
    assert smallest_detectable(number, differing, step, power=0.9) >= found
    wider = smallest_detectable(number, differing, step, alpha=0.005)
    assert wider is None or wider >= found


@pytest.mark.parametrize(("number", "differing"), [(200, 0.2), (100, 0.0)])
def test_a_difference_of_that_size_is_shown_about_as_often_as_said(number, differing):
    effect = smallest_detectable(number, differing) / 100
    differing = max(differing, effect)
    rng = np.random.default_rng(5)
    shown = 0
    for _ in range(600):
        draw = rng.choice(3, size=number, p=[(differing - effect) / 2, (differing + effect) / 2, 1 - differing])
        shown += _exact_p(int((draw == 0).sum()), int((draw == 1).sum())) <= 0.05
    assert 0.74 < shown / 600 < 0.92  # the exact test is a little cautious, the bound of the spread too


def _exact_p(worse, better):
    number, small = worse + better, min(worse, better)
    return min(1.0, 2 * sum(math.comb(number, k) for k in range(small + 1)) / 2**number)


# --- families of comparisons -----------------------------------------------------------------------------------------


def test_holm_by_hand():
    assert holm({"a": 0.04, "b": 0.01, "c": 0.03}) == pytest.approx({"a": 0.06, "b": 0.03, "c": 0.06})
    assert holm({}) == {}


@settings(max_examples=8, deadline=None)
@given(st.dictionaries(st.sampled_from("abcdefgh"), st.floats(0, 1)))
def test_holm_keeps_the_order_and_never_lowers_p(raw):
    adjusted = holm(raw)
    assert list(adjusted) == list(raw)
    assert all(raw[name] <= p + 1e-12 and p <= 1 for name, p in adjusted.items())
    ranked = [adjusted[name] for name in sorted(raw, key=raw.get)]
    assert ranked == sorted(ranked)


@pytest.mark.parametrize(
    ("only_before", "only_after", "adjusted", "expected"),
    [
        (0, 9, 0.05, "improved"),
        (0, 9, 0.0501, "no difference shown"),
        (9, 0, 0.01, "worse"),
        (4, 4, 0.001, "no difference shown"),
    ],
)
def test_a_verdict_needs_the_adjusted_p_and_the_sign(only_before, only_after, adjusted, expected):
    assert verdict(outcome(only_before, only_after), adjusted) == expected


def test_a_table_of_tasks_adjusts_them_together():
    found = {"arc": outcome(0, 7, both=43), "boolq": outcome(3, 4, both=10), "ifeval": outcome(0, 0, both=5)}
    rows = comparison_rows(found)
    assert [row["task"] for row in rows] == ["arc", "boolq", "ifeval"]
    assert [row["p"] for row in rows] == ["0.016", "1.000", "1.000"]
    assert [row["p (Holm)"] for row in rows] == ["0.047", "1.000", "1.000"]
    assert [row["verdict"] for row in rows] == ["improved", "no difference shown", "no difference shown"]
    assert comparison_rows({**found, "piqa": outcome(1, 1)})[0]["verdict"] == "no difference shown"
    assert (rows[0]["before (%)"], rows[0]["after (%)"]) == ("86.0", "100.0")
    assert rows[0]["difference (95 % interval)"].startswith("+14.0 (+")
    assert rows[1]["only before / only after"] == "3 / 4"
    assert rows[2]["difference (95 % interval)"] == "0 (no item differs)"
    assert rows[2]["smallest detectable"] == "none: too few items"
    assert float(rows[0]["smallest detectable"]) == pytest.approx(smallest_detectable(50, 0.14, alpha=0.05 / 3), abs=0.05)
    assert "smallest detectable" in repr(Table(rows))
    json.dumps(rows, allow_nan=False)


def test_a_table_says_how_many_values_stand_behind_the_items():
    row = comparison_rows({"instructions": compare({"a": [1, 0], "b": [0]}, {"a": [1, 1], "b": [0]})})[0]
    assert row["items"] == "2 (3 values)"
    assert comparison_rows({}) == []


def test_a_tiny_p_is_not_written_as_zero():
    row = comparison_rows({"arc": outcome(0, 30)})[0]
    assert (row["p"], row["verdict"]) == ("< 0.001", "improved")


# --- simulations -----------------------------------------------------------------------------------------------------


def family(rng, effect, tasks=4, number=120):
    """Correlated answers of two models to several tasks; values of one task in rows of two, as instructions are."""
    found = {}
    for task in range(tasks):
        hard = rng.random((number, 1))  # items differ in difficulty, so answers of both models go together
        width = 2 if task == 0 else 1
        before = (rng.random((number, width)) < 0.8 * hard).astype(int)
        after = (rng.random((number, width)) < 0.8 * hard + effect).astype(int)
        found[f"task{task}"] = compare(items(before.tolist()), items(after.tolist()), seed=0)
    return found


@pytest.fixture
def quick(monkeypatch):
    """Few resamples suffice for many rounds; statsmodels collects garbage at every call, slow beside other tests' data."""
    monkeypatch.setattr("isheep_lib.analysis.significance.RESAMPLES", 400)
    monkeypatch.setattr(gc, "collect", lambda: 0)


def verdicts(found: dict[str, Comparison]) -> list[str]:
    return [row["verdict"] for row in comparison_rows(found)]


def test_without_an_effect_a_family_rarely_gets_any_verdict(quick):
    rng = np.random.default_rng(11)
    wrong = sum(set(verdicts(family(rng, effect=0.0))) != {"no difference shown"} for _ in range(200))
    assert wrong <= 0.05 * 200 + 2 * math.sqrt(200 * 0.05 * 0.95)


def test_a_strong_effect_is_shown_on_nine_tasks_of_ten(quick):
    rng = np.random.default_rng(12)
    said = [word for _ in range(40) for word in verdicts(family(rng, effect=0.25))]
    assert said.count("improved") > 0.9 * len(said)
    assert "worse" not in said


@pytest.mark.parametrize("kind", ["right or wrong", "shares in rows"])
def test_the_interval_covers_the_true_difference_about_95_times_of_100(quick, kind):
    rng = np.random.default_rng(13)
    covered, rounds, number = 0, 300, 80
    for _ in range(rounds):
        if kind == "right or wrong":
            draw = rng.choice([-1, 1, 0], size=number, p=[0.1, 0.3, 0.6])
            before, after, truth = items((draw < 0).astype(int)), items((draw > 0).astype(int)), 20.0
        else:
            widths, base = rng.integers(1, 4, size=number), rng.random(number) / 2
            before = items([[b] * w for b, w in zip(base, widths, strict=True)])
            after = items([[b + gain] * w for b, w, gain in zip(base, widths, rng.random(number) / 2, strict=True)])
            truth = 25.0
        found = compare(before, after)
        covered += found.low <= truth <= found.high
    assert 0.91 <= covered / rounds <= 0.98
