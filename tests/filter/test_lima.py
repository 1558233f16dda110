"""LIMA: a budget of pairs by quality, diversity and style, against hand-worked examples and a plain loop."""

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isheep_lib.errors import ParameterError
from isheep_lib.filter.params import Filter
from isheep_lib.filter.steps.lima import Lima, choose, likeness, ranks, styles
from isheep_lib.filter.steps.step import Given, ScoredPair
from isheep_lib.iterate.grade import grade_of
from isheep_lib.params.check import check
from isheep_lib.record.rows import Pair

GOOD = "A river begins as a spring and ends in the sea."


def row(id_, instruction, score, output=GOOD, **more):
    return ScoredPair(Pair(id_, instruction, "", output, **more), {} if score is None else {"pmi": score})


def dropped(rows, budget, **values):
    return Lima().apply(rows, Filter(steps=["lima"], lima_budget=budget, **values), Given())


def test_the_best_comes_first_and_what_resembles_it_waits_for_what_does_not():
    rows = [
        row("near", "Describe a calm river.", 0.9),
        row("best", "Describe a calm old river.", 1.0),
        row("other", "Add both numbers.", 0.4),
    ]
    found = dropped(rows, 2)
    # quality 2/3, nearest 4/5: 2/15; the other one has 1/3 and shares nothing.
    assert found == {"near": ("beyond_budget", "quality 0.67, diversity 0.20, style 1.00; 2 were kept")}


@pytest.mark.parametrize(("budget", "kept"), [(1, {"b"}), (2, {"b", "a"}), (3, {"a", "b", "c"}), (9, {"a", "b", "c"})])
def test_so_many_pairs_stay_as_the_budget_says(budget, kept):
    rows = [row("a", "Name a bird.", 0.5), row("b", "Add some sums.", 0.7), row("c", "Tell a joke.", 0.1)]
    assert {"a", "b", "c"} - set(dropped(rows, budget)) == kept


def test_equal_pairs_stay_in_their_order():
    rows = [row(id_, "Name a bird.", 0.5) for id_ in "abc"]
    assert list(dropped(rows, 2)) == ["c"]


def test_a_pair_without_a_score_is_never_chosen():
    found = dropped([row("a", "Name a bird.", None), row("b", "Add some sums.", 0.7)], 9)
    assert found == {"a": ("unread_score", "pmi could not be read")}


def test_of_a_score_whose_low_end_is_good_the_low_end_is_good():
    rows = [ScoredPair(Pair(i, f"Task {i}.", "", GOOD), {"perplexity_output": v}) for i, v in (("a", 9.0), ("b", 2.0))]
    rows = [ScoredPair(r.pair, r.scores | {"perplexity_pair": r.scores["perplexity_output"]}) for r in rows]
    assert list(dropped(rows, 1, lima_scorer="perplexity")) == ["a"]


@pytest.mark.parametrize(
    ("output", "finish", "traits"),
    [
        (GOOD, "end", 5),
        (GOOD, "length", 4),
        ("A river begins as a spring and ends in the sea", "end", 4),
        ("I'm sorry, a river is not what I know of at all.", "end", 4),
        ("Describe a calm river in plain words, describe a calm river.", "end", 4),
        ("A river.", "end", 4),
        (GOOD * 3, "end", 4),
        ("", "length", 2),
    ],
)
def test_the_style_is_the_share_of_five_traits(output, finish, traits):
    task = "Describe a calm river in plain words."
    pairs = [Pair("x", task, "", output, finish), *(Pair(str(n), task, "", GOOD) for n in range(4))]
    assert styles(pairs)[0] == Fraction(traits, 5)


def test_ranks_are_shares_that_are_not_above_and_equal_ones_are_alike():
    values = [Fraction(3), Fraction(1), Fraction(3), Fraction(2)]
    assert ranks(values) == [1, Fraction(1, 4), 1, Fraction(1, 2)]
    assert ranks([]) == []


def test_likeness_is_what_two_share_over_what_either_has():
    assert likeness(frozenset("abc"), frozenset("bcd")) == Fraction(1, 2)
    assert likeness(frozenset(), frozenset()) == 0


texts = st.lists(st.frozensets(st.sampled_from("abcdef"), max_size=4), max_size=8)


@settings(max_examples=60)
@given(texts, st.data(), st.integers(1, 9))
def test_a_choice_is_that_of_a_plain_loop(grams, data, budget):
    worth = [Fraction(data.draw(st.integers(0, 5)), 5) for _ in grams]
    chosen: list[int] = []
    while len(chosen) < min(budget, len(grams)):
        left = [n for n in range(len(grams)) if n not in chosen]
        value = {n: worth[n] * (1 - max((likeness(grams[n], grams[c]) for c in chosen), default=Fraction(0))) for n in left}
        chosen.append(next(n for n in left if value[n] == max(value.values())))
    assert [n for n, near in enumerate(choose(worth, grams, budget)) if near is None] == sorted(chosen)


def test_without_the_step_its_options_count_for_nothing_and_may_not_be_set():
    assert not {"lima_scorer", "lima_budget"} & set(Filter().deciding())
    assert Filter(steps=["lima"]).deciding()["lima_budget"] == 1000
    with pytest.raises(ParameterError, match="lima_budget: no step reads it; add lima to steps"):
        check(Filter, {"lima_budget": 5}, "x")


def test_a_run_that_chooses_by_style_is_of_grade_b():
    sections = {
        "synthesize": {"method": "magpie", "instruction_rules": False, "constraints": "none", "constraint_families": []}
    }
    sections |= {"assess": {"scorers": ["pmi"]}, "evaluate": {"tasks": []}}
    assert grade_of(sections | {"filter": {"steps": ["threshold"]}}).name == "A"
    assert grade_of(sections | {"filter": {"steps": ["lima"]}}).name == "B"
