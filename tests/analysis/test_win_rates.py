"""Win rates, biases of a judge, and MT-Bench's grades, on rows whose truth is known."""

import math
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isheep_lib.analysis import win_rates
from isheep_lib.analysis.win_rates import (
    COLUMNS,
    LC_NAME,
    length_bias,
    length_controlled,
    mt_bench_summary,
    position_bias,
    self_preference,
    win_rate,
)
from isheep_lib.errors import DataError

few = settings(max_examples=50, deadline=None)
shares = st.floats(0, 1)
reads = st.lists(st.tuples(shares | st.none(), shares | st.none()), max_size=30)


def judged(pairs):
    """Make rows of (model first, baseline first) preferences; None is unread."""
    rows = []
    for i, pair in enumerate(pairs):
        for order, value in zip(("model_first", "baseline_first"), pair, strict=True):
            rows.append(
                {"id": f"q{i:04d}", "order": order, "preference": value, "unread": "no_verdict" if value is None else ""}
            )
    return rows


def by_id(values):
    return {f"q{i:04d}": value for i, value in enumerate(values)}


def logistic(value):
    return 1 / (1 + math.exp(-value))


def simulated(intercept, slope, number, seed, shift=0):
    """Draw win-or-lose verdicts whose odds are those of our model; both orders agree."""
    rng = np.random.default_rng(seed)
    gaps = rng.normal(shift, 400, number).round()
    terms = np.tanh(gaps / gaps.std(ddof=1))
    chances = 1 / (1 + np.exp(-(intercept + slope * terms)))
    wins = (rng.random(number) < chances).astype(float)
    lengths = by_id([(int(2000 + gap), 2000) for gap in gaps])
    return judged([(win, win) for win in wins]), lengths


# Win rate


def test_a_win_rate_is_the_mean_over_items_of_both_orders_with_its_error_over_items():
    found = win_rate(judged([(1.0, 0.5), (0.0, 0.0), (1.0, 1.0)]))
    values = [0.75, 0.0, 1.0]
    assert found["win_rate"] == pytest.approx(np.mean(values))
    assert found["se"] == pytest.approx(np.std(values, ddof=1) / math.sqrt(3))
    assert (found["items"], found["half_read"], found["unread"], found["why"]) == (3, 0, {}, "")


def test_an_item_that_was_read_in_one_order_counts_as_half_read_and_in_no_rate():
    found = win_rate(judged([(1.0, None), (0.0, 0.0), (None, None), (0.5, 0.5)]))
    assert (found["win_rate"], found["items"], found["half_read"]) == (0.25, 2, 1)
    assert found["unread"] == {"no_verdict": 3}


@pytest.mark.parametrize("rows", [[], judged([(None, None)] * 3), judged([(1.0, None), (None, 0.0)])])
def test_without_an_item_read_in_both_orders_there_is_a_statement_and_no_number(rows):
    assert (win_rate(rows)["win_rate"], win_rate(rows)["se"]) == (None, None)
    assert win_rate(rows)["why"] == position_bias(rows)["why"] == "no item was read in both orders"
    assert (position_bias(rows)["bias"], position_bias(rows)["flipped"]) == (None, None)
    assert "0 items are too few" in length_controlled(rows, {})["why"]
    assert length_controlled(rows, {})["win_rate"] is None
    assert length_bias(rows, {})["longer_preferred"] is None


def test_one_item_has_a_mean_and_no_error():
    found = win_rate(judged([(1.0, 0.0)]))
    assert (found["win_rate"], found["se"]) == (0.5, None)


@few
@given(reads)
def test_rates_and_biases_stay_in_their_bounds_and_judging_the_baseline_mirrors_them(pairs):
    rows = judged(pairs)
    mirrored = [{**row, "preference": None if row["preference"] is None else 1 - row["preference"]} for row in rows]
    found, other = win_rate(rows), win_rate(mirrored)
    assert found["items"] + found["half_read"] <= len(pairs)
    assert sum(found["unread"].values()) == sum(value is None for pair in pairs for value in pair)
    if found["items"]:
        assert 0 <= found["win_rate"] <= 1
        assert found["win_rate"] + other["win_rate"] == pytest.approx(1)
        assert abs(position_bias(rows)["bias"]) <= 0.5
        assert position_bias(rows)["bias"] == pytest.approx(-position_bias(mirrored)["bias"])
        assert 0 <= position_bias(rows)["flipped"] <= 1


@few
@given(reads, st.randoms(use_true_random=False))
def test_the_order_of_rows_decides_nothing(pairs, rng):
    rows = judged(pairs)
    mixed = rng.sample(rows, len(rows))
    assert win_rate(mixed)["win_rate"] == pytest.approx(win_rate(rows)["win_rate"])
    assert position_bias(mixed)["flipped"] == pytest.approx(position_bias(rows)["flipped"])


# Position


@pytest.mark.parametrize(
    ("pairs", "bias", "flipped"),
    [
        ([(1.0, 0.0)] * 4, 0.5, 1.0),  # always the first
        ([(0.0, 1.0)] * 4, -0.5, 1.0),  # always the second
        ([(1.0, 1.0), (0.0, 0.0)], 0.0, 0.0),
        ([(0.5, 0.5), (0.5, 1.0)], -0.125, 0.0),  # a tie is no winner that could change
        ([(0.9, 0.6), (0.6, 0.3)], 0.15, 0.5),
    ],
)
def test_a_position_bias_is_what_the_first_place_adds(pairs, bias, flipped):
    found = position_bias(judged(pairs))
    assert found["bias"] == pytest.approx(bias)
    assert found["flipped"] == pytest.approx(flipped)


# Length


@pytest.mark.parametrize(("intercept", "slope", "shift"), [(0.0, 2.0, 400), (-0.8, 1.0, -300), (1.0, 0.0, 0), (0.3, -1.5, 200)])
def test_the_fit_recovers_the_known_preference_at_equal_lengths(intercept, slope, shift):
    rows, lengths = simulated(intercept, slope, 4000, seed=7, shift=shift)
    found, bias = length_controlled(rows, lengths), length_bias(rows, lengths)
    assert found["name"] == LC_NAME == "length-controlled win rate (our fit)"
    assert found["win_rate"] == pytest.approx(logistic(intercept), abs=3 * found["se"])
    assert bias["coefficient"] == pytest.approx(slope, abs=3 * bias["coefficient_se"])
    assert found["se"] < 0.03
    assert (found["items"], found["extrapolated"], found["why"]) == (4000, False, "")


def test_the_standard_error_is_the_spread_of_the_fit_over_drawn_data():
    runs = [simulated(0.4, 1.0, 300, seed=seed, shift=200) for seed in range(150)]
    fits = [length_controlled(rows, lengths) for rows, lengths in runs]
    spread = np.std([fit["win_rate"] for fit in fits], ddof=1)
    assert np.mean([fit["se"] for fit in fits]) == pytest.approx(spread, rel=0.2)


def test_a_judge_that_looks_at_length_alone_has_a_raw_rate_far_from_the_controlled_one():
    rows, lengths = simulated(0.0, 3.0, 2000, seed=1, shift=500)
    assert win_rate(rows)["win_rate"] > 0.75
    assert length_controlled(rows, lengths)["win_rate"] == pytest.approx(0.5, abs=0.06)
    found = length_bias(rows, lengths)
    assert found["longer_preferred"] > 0.8
    assert found["coefficient"] > 5 * found["coefficient_se"]


def test_lengths_may_be_counted_in_any_unit():
    rows, lengths = simulated(0.4, 1.0, 200, seed=3)
    halved = {id_: (own / 2, other / 2) for id_, (own, other) in lengths.items()}
    assert length_controlled(rows, lengths)["win_rate"] == pytest.approx(length_controlled(rows, halved)["win_rate"])


def test_exchanging_the_two_sides_mirrors_the_controlled_rate():
    rows, lengths = simulated(0.4, 1.0, 200, seed=3)
    rows_back = [{**row, "preference": 1 - row["preference"]} for row in rows]
    back = length_controlled(rows_back, {id_: pair[::-1] for id_, pair in lengths.items()})
    found = length_controlled(rows, lengths)
    assert found["win_rate"] == pytest.approx(1 - back["win_rate"])
    assert found["se"] == pytest.approx(back["se"])


def test_one_preference_everywhere_is_the_controlled_rate_whatever_the_lengths():
    lengths = by_id([(100 + 7 * i, 130) for i in range(20)])
    found = length_controlled(judged([(0.7, 0.7)] * 20), lengths)
    assert found["win_rate"] == pytest.approx(0.7)
    assert found["se"] == pytest.approx(0, abs=1e-6)


def test_a_rate_read_beyond_all_observed_differences_says_so():
    rows, lengths = simulated(0.2, 1.0, 300, seed=5)
    longer = {id_: (own + 3000, other) for id_, (own, other) in lengths.items()}
    spread = {id_: (other + 1 + abs(own - other), other) for id_, (own, other) in lengths.items()}
    assert length_controlled(rows, spread)["extrapolated"]
    assert not length_controlled(rows, lengths)["extrapolated"]
    assert "nearly so" in length_controlled(rows, longer)["why"], "seven standard deviations: the term is 1 everywhere"


half = [1.0] * 10 + [0.0] * 10


@pytest.mark.parametrize(
    ("values", "gaps", "reason"),
    [
        ([1.0, 0.0] * 4, range(8), "8 items are too few"),
        ([1.0, 0.0] * 10, [50] * 20, "all the same"),
        ([1.0, 0.0] * 10, [0] * 20, "all the same"),
        ([1.0] * 20, range(-10, 10), "same way"),
        ([0.0] * 20, range(-10, 10), "same way"),
        (half, range(20, 0, -1), "alone decides"),
        (half, range(20), "alone decides"),
        (
            [1.0] * 9 + [0.5, 0.5] + [0.0] * 9,
            [9, 8, 7, 6, 5, 4, 3, 2, 1, 0, 0, -1, -2, -3, -4, -5, -6, -7, -8, -9],
            "alone decides",
        ),
    ],
)
def test_data_that_decide_no_fit_give_a_statement_and_no_number(values, gaps, reason):
    rows, lengths = judged([(v, v) for v in values]), by_id([(100 + gap, 100) for gap in gaps])
    controlled, bias = length_controlled(rows, lengths), length_bias(rows, lengths)
    assert reason in controlled["why"]
    assert bias["why"] == controlled["why"]
    assert (controlled["win_rate"], controlled["se"], bias["coefficient"], bias["coefficient_se"]) == (None,) * 4


@few
@given(st.lists(st.tuples(st.sampled_from([0.0, 0.25, 0.5, 1.0]) | shares, st.integers(-3000, 3000)), max_size=40))
def test_every_data_set_gives_a_finite_number_or_a_statement(items):
    rows, lengths = judged([(v, v) for v, _ in items]), by_id([(4000 + gap, 4000) for _, gap in items])
    for found, names in (
        (length_controlled(rows, lengths), ("win_rate", "se")),
        (length_bias(rows, lengths), ("coefficient", "coefficient_se")),
    ):
        assert bool(found["why"]) == (found[names[0]] is None)
        if not found["why"]:
            assert all(math.isfinite(found[name]) for name in names)


def test_ties_and_equal_lengths_decide_nothing_about_length():
    rows = judged([(1.0, 1.0), (0.0, 0.0), (0.5, 0.5), (1.0, 0.0), (1.0, 1.0)])
    found = length_bias(rows, by_id([(9, 5), (9, 5), (9, 5), (9, 5), (5, 5)]))
    assert (found["longer_preferred"], found["decided"], found["items"]) == (0.5, 2, 5)


def test_judged_items_without_lengths_are_refused():
    with pytest.raises(DataError, match="1 judged items have no lengths, such as q0001"):
        length_controlled(judged([(1.0, 1.0), (0.0, 0.0), (None, 0.0)]), by_id([(1, 2)]))


# Self-preference


def test_a_preference_for_ones_own_is_the_paired_difference_on_the_items_of_both():
    own, other = (
        judged([(1.0, 1.0), (0.5, 0.5), (1.0, 0.0), (1.0, 1.0)]),
        judged([(0.0, 0.0), (0.5, 0.5), (0.0, 0.0), (None, 0.0)]),
    )
    lengths = by_id([(2, 1)] * 4)
    found = self_preference(own, other, lengths, lengths)
    gaps = [1.0, 0.0, 0.5]
    assert found["difference"] == pytest.approx(0.5)
    assert found["se"] == pytest.approx(np.std(gaps, ddof=1) / math.sqrt(3))
    assert (found["items"], found["controlled"]) == (3, None)
    assert found["why"].count("3 items are too few") == 2


def test_the_controlled_difference_is_that_of_the_two_controlled_rates_with_a_paired_error():
    own, own_lengths = simulated(0.8, 2.0, 1500, seed=11, shift=400)
    other, other_lengths = simulated(0.8, 2.0, 1500, seed=12, shift=-400)
    found = self_preference(own, other, own_lengths, other_lengths)
    rates = [length_controlled(own, own_lengths), length_controlled(other, other_lengths)]
    assert found["difference"] > 0.2, "the longer answers win more often"
    assert found["controlled"] == pytest.approx(rates[0]["win_rate"] - rates[1]["win_rate"])
    assert abs(found["controlled"]) < 3 * found["controlled_se"]
    apart = math.hypot(rates[0]["se"], rates[1]["se"])
    assert found["controlled_se"] == pytest.approx(apart, rel=0.1), "verdicts drawn apart: pairing changes little"


def test_the_same_answers_have_no_difference_and_no_error():
    own, lengths = simulated(0.3, 1.0, 100, seed=2)
    found = self_preference(own, own, lengths, lengths)
    assert (found["difference"], found["se"]) == (0, 0)
    assert found["controlled"] == pytest.approx(0)
    assert found["controlled_se"] == pytest.approx(0, abs=1e-6)


def test_one_side_that_decides_no_fit_is_named():
    own, lengths = simulated(0.3, 1.0, 100, seed=2)
    found = self_preference(own, own, by_id([(5, 5)] * 100), lengths)
    assert found["why"].startswith("own: the length differences are all the same")
    assert "other" not in found["why"]
    assert found["difference"] == 0


# MT-Bench


def graded(number=10, score=lambda category, turn, n: 5.0):
    return [
        {
            "id": f"{category}-{n}",
            "category": category,
            "turn": turn,
            "score": (s := score(category, turn, n)),
            "unread": "" if s is not None else "no_number",
        }
        for category in COLUMNS
        for n in range(number)
        for turn in (1, 2)
    ]


def test_grades_stand_by_turn_and_category_as_in_the_papers_table():
    names = list(COLUMNS)
    found = mt_bench_summary(graded(score=lambda category, turn, n: names.index(category) + turn))
    columns = "turn single_turn_score role_play coding extraction humanities math reasoning stem writing average".split()
    for rows in (found["means"], found["ses"], found["ns"]):
        assert [list(row) for row in rows] == [columns, columns]
    first, second = found["means"]
    assert [first[c] for c in columns[2:-1]] == [1, 2, 3, 4, 5, 6, 7, 8]
    assert (first["single_turn_score"], second["single_turn_score"]) == (4.5, 5.5)
    assert first["average"] == second["average"] == 5
    assert found["ns"][0] == {"turn": 1, **dict.fromkeys(columns[2:-1], 10), "single_turn_score": 80, "average": 160}
    assert found["ses"][0]["math"] == 0


def test_errors_are_over_questions_and_take_two_turns_together():
    rng = random.Random(5)
    grades = {}
    rows = graded(score=lambda category, turn, n: grades.setdefault((category, n, turn), float(rng.randint(1, 10))))
    found = mt_bench_summary(rows)
    firsts = [value for (_, _, turn), value in grades.items() if turn == 1]
    both = [(grades[c, n, 1] + grades[c, n, 2]) / 2 for c in COLUMNS for n in range(10)]
    assert found["ses"][0]["single_turn_score"] == pytest.approx(np.std(firsts, ddof=1) / math.sqrt(80))
    assert found["ses"][1]["average"] == pytest.approx(np.std(both, ddof=1) / math.sqrt(80))


def test_a_grade_that_was_not_read_counts_nowhere_but_among_the_reasons():
    found = mt_bench_summary(graded(score=lambda category, turn, n: None if (category, turn) == ("math", 2) or n else 4.0))
    assert (found["means"][0]["math"], found["ns"][0]["math"], found["ses"][0]["math"]) == (4, 1, None)
    assert (found["means"][1]["math"], found["ns"][1]["math"], found["ses"][1]["math"]) == (None, 0, None)
    assert found["ns"][1]["average"] == 15
    assert found["unread"] == {"no_number": 145}


def test_without_grades_there_is_a_statement():
    found = mt_bench_summary(graded(score=lambda category, turn, n: None))
    assert found["why"] == "no grade was read"
    assert {value for row in found["means"] for value in list(row.values())[1:]} == {None}


def test_an_unknown_category_is_refused():
    with pytest.raises(DataError, match="Unknown categories: cooking"):
        mt_bench_summary([*graded(1), {"id": "x", "category": "cooking", "turn": 1, "score": 3.0, "unread": ""}])


def test_all_numbers_can_be_written_as_json():
    from isheep_lib.record.rows import canonical_json

    rows, lengths = simulated(0.3, 1.0, 50, seed=2)
    found = [win_rate(rows), position_bias(rows), length_controlled(rows, lengths), length_bias(rows, lengths)]
    found += [self_preference(rows, rows, lengths, lengths), mt_bench_summary(graded())]
    assert canonical_json(found).count(win_rates.LC_NAME) == 1
