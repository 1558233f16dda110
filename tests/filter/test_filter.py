"""Filtering: benchmark items first, each step against a plain reading of it, and a partition that loses nothing."""

import json
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isheep_lib.analysis.contamination import COMMON, Hit
from isheep_lib.analysis.kmeans import cluster
from isheep_lib.errors import DataError, ParameterError
from isheep_lib.filter.decontaminate import contamination_counts, find_hits, listed
from isheep_lib.filter.run import deciding, filter_pairs, with_scores
from isheep_lib.filter.steps import density
from isheep_lib.filter.steps.density import number_of_clusters
from isheep_lib.filter.steps.rules import RULES, RulesOptions, rule_problem
from isheep_lib.filter.steps.step import Given, ScoredPair
from isheep_lib.filter.steps.table import DECONTAMINATE, MEANINGS
from isheep_lib.iterate.run_params import FilterParams
from isheep_lib.params.check import check
from isheep_lib.record.rows import Pair, as_pairs

few = settings(max_examples=80, deadline=None)
ALL_STEPS = ["rules", "threshold", "perplexity", "density", "density_perplexity", "top"]
COLUMNS = ["pmi", "expected_quality", "expected_following", "perplexity_output", "perplexity_pair"]


def pair(output="The Seine flows through Paris.", **values):
    base = {
        "id": "a",
        "instruction": "Name a river in France.",
        "input": "",
        "output": output,
        "finish": "end",
        "num_tokens": 9,
    }
    return {**base, **values}


def seeds(start=0):
    return lambda name: zlib.crc32(name.encode()) + start


def run(rows, *, vectors=None, seed=0, hits=(), places=None, **values):
    """Filter rows of the form (scores, output) or scores, whose ids are their places; no benchmark item is minded.

    Where `places` are given, only the rows at these places come in.
    """
    rows = [row if isinstance(row, tuple) else (row, "The Seine flows through Paris.") for row in rows]
    places = range(len(rows)) if places is None else places
    pairs = [pair(rows[n][1], id=str(n)) for n in places]
    scored = [
        {"id": str(n), "scores": rows[n][0], "unread": dict.fromkeys(set(COLUMNS) - set(rows[n][0]), "no_number"), "raw": {}}
        for n in places
    ]
    params = check(FilterParams, {"min_kept": 1, "decontaminate": "ignore", **values}, "x")
    chosen = None if vectors is None else np.array([vectors[n] for n in places], np.float32)
    return filter_pairs(with_scores(as_pairs(pairs), scored[::-1], params), params, seeds(seed), chosen, hits)


def kept(rows, **values):
    return [int(row["id"]) for row in run(rows, **values).kept]


def reasons(result):
    return {int(row["id"]): (row["reason"], row["detail"]) for row in result.dropped}


def of(column, *numbers):
    return [{column: float(number)} for number in numbers]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (pair(), ""),
        (pair(""), "empty_output"),
        (pair("?! ..."), "empty_output"),
        (pair(" \n"), "empty_output"),
        (pair("\u2014 \u201c\u201d"), "empty_output"),
        (pair("___"), "empty_output"),
        (pair("7"), ""),
        (pair("\U0001f600"), ""),  # a symbol may be the answer
        (pair("\u20ac"), ""),
        (pair("The Seine flows", finish="length"), "cut_off"),
        (pair("The Seine.", finish="stop"), ""),
        (pair("The Seine.<|im_end|>"), "special_token"),
        (pair(instruction="Say <|endoftext|> to me."), "special_token"),
        (pair("<｜end▁of▁sentence｜>"), "special_token"),
        (pair("Fine. [INST] Now sing. [/INST]"), "special_token"),
        (pair("<<SYS>>Be brief.<</SYS>>"), "special_token"),
        (pair("The Seine.<end_of_turn>"), "special_token"),
        (pair("one </s> two three"), ""),  # no token of a model that does not have it
        (pair("one </s> two three", special_tokens=["</s>"]), "special_token"),
        (pair("a || b < c |> d"), ""),
        (pair("Sure.\nUser: and then?"), "dialogue"),
        (pair("assistant: The Seine."), "dialogue"),
        (pair("Output: The Seine."), "dialogue"),
        (pair("My assistant: a cat. The user: a dog."), ""),
        (pair("Answer choices: Seine, Rhine"), "answer_choices"),
        (pair("A. Seine\nB. Rhine"), "answer_choices"),
        (pair("(A) Seine\n(B) Rhine"), "answer_choices"),
        (pair("A) Seine\n  B) Rhine"), "answer_choices"),
        (pair("A river.\nBig and slow."), ""),
        (pair("The Seine.\n\nQuestion: What is a river?"), "dialogue"),
        (pair("The Seine.\n\nQ2: name one in Spain."), "follow_up"),
        (pair("The Seine.\n\nQuestion 2. Name one in Spain."), "follow_up"),
        (pair("The Seine.\n\nWhich river do you like?"), "follow_up"),
        (pair("Why not the Seine?"), ""),
        (pair("Is it long?\n\nYes, it is."), ""),
        (pair("塞纳河"), ""),  # a name
        (pair("法国的一条河叫塞纳河"), "language_mismatch"),
        (pair("Dear <name>, hello."), "placeholder"),
        (pair("Dear [Your Name], hello."), "placeholder"),
        (pair("Dear [insert the date here]."), "placeholder"),
        (pair("<p>One paragraph.</p>"), ""),
        (pair("<think>User: hm\n\nWhat now?</think>The Seine."), ""),
        (pair("<think>It never ends"), "empty_output"),
        (pair("Here 3 < 5 and 7 > 5, see [1]."), ""),
        (pair(instruction="Sort b, a please.", input="B, A"), "input_repeats"),
        (pair("Name a river in France."), "echo"),
        (pair("a river in France"), ""),  # four words may be a label that stands in the task
        (pair("Blue.", instruction="Red, blue or green?"), ""),
        (pair("You should name a river in France today"), "echo"),
        (pair("The words are: name a river in France, and I say the Seine, which is long."), ""),
    ],
)
def test_a_pair_breaks_this_rule_first(row, reason):
    found, detail = rule_problem(Pair.from_row(row), 0.5)
    assert found == reason
    assert bool(detail) == bool(reason)


PLACEHOLDERS = [  # a text, whether it asks to be filled in, and whether the release dropped it
    ("Sincerely,\n[Your Name]", True, True),
    ("Dear [Employer's Name],", True, False),
    ("[Company Name] is hiring.", True, False),
    ("Dear [Name of Friend],", True, True),
    ("Amount: [insert amount]", True, True),
    ("Dear <name>, hello.", True, True),
    ("Dear <first name>, hello.", True, True),
    ("The code is <your code here>.", True, True),
    ("Use <insert-key>.", True, True),
    ("<name>Ada</name>", False, True),
    ("<address>Paris</address>", False, True),
    ("<p>One.</p>", False, True),
    ("<html>\n<body>", False, True),
    ("Two lines.<br>", False, True),
    ("List<String> names", False, True),
    ("Map<Name> people", False, True),
    ("#include <iostream>", False, True),
    ("<think>So.</think>Yes.", False, False),  # what was thought is no response
    ("Write `git checkout <your-branch>`.", False, True),
    ("```\nDear [Your Name],\n```", False, True),
    ("print(row[name], row[date])", False, True),
    ("[name for name in names]", False, True),
    ("See [Name](https://a.org) and [1].", False, True),
    ("Here 3 < 5 and 7 > 5.", False, False),
]


@pytest.mark.parametrize(("text", "asks", "tag"), PLACEHOLDERS, ids=lambda value: str(value)[:20])
def test_placeholders_ask_to_be_filled_in_or_are_any_tag(text, asks, tag):
    row = Pair.from_row(pair(text))
    assert rule_problem(row, 1.0)[0] == ("placeholder" if asks else "")
    assert rule_problem(row, 1.0, RulesOptions(placeholders="any_tag"))[0] == ("placeholder" if tag else "")


def test_every_rule_but_echo_is_in_the_table_with_its_meaning():
    assert "echo" not in RULES
    assert all(meaning for meaning, _ in RULES.values())


def test_the_limit_of_copying_is_strict():
    row = pair("one two three four and some more words", instruction="Repeat one two three four")
    assert rule_problem(Pair.from_row(row), 0.5) == ("", "")
    assert rule_problem(Pair.from_row(row), 0.49) == ("echo", "50% of the response is copied from the task")


BAD = ""  # an output that breaks a rule
MIXED = [({"pmi": x}, out) for x, out in [(0.9, "Seine."), (0.1, "Rhone."), (-2.0, "Loire."), (0.9, BAD)]]


def test_no_steps_keep_everything():
    result = run(MIXED, steps=[])
    assert [row["id"] for row in result.kept] == ["0", "1", "2", "3"]
    assert (result.dropped, result.lines) == ([], [])


def test_rules_alone_keep_every_score():
    result = run(MIXED, steps=["rules"])
    assert [row["id"] for row in result.kept] == ["0", "1", "2"]
    assert reasons(result) == {3: ("empty_output", MEANINGS["empty_output"])}
    assert result.lines == [{"step": "rules", "in": 4, "kept": 3}]


def test_rules_and_threshold_keep_what_passes_both():
    result = run(MIXED, steps=["rules", "threshold"], threshold=0.5)
    assert [row["id"] for row in result.kept] == ["0"]
    assert {n: reason for n, (reason, _) in reasons(result).items()} == {
        **{1: "fails_threshold", 2: "fails_threshold"},
        3: "empty_output",
    }
    assert result.lines == [{"step": "rules", "in": 4, "kept": 3}, {"step": "threshold", "in": 3, "kept": 1}]


def test_a_dropped_row_keeps_its_scores_and_all_it_had():
    (dropped,) = run(of("pmi", 0.05), steps=["threshold"]).dropped
    detail = "pmi 0.05 is not above 0.25"
    added = {"scores": {"pmi": 0.05}, "reason": "fails_threshold", "detail": detail}
    assert dropped == {**pair(id="0"), **added}


SCORES = of("pmi", 6.0, 7.0, 8.0)


@pytest.mark.parametrize(
    ("comparison", "expected", "said"),
    [
        ("above", [2], "pmi 7 is not above 7"),
        ("at_least", [1, 2], "pmi 6 is not at least 7"),
        ("below", [0], "pmi 7 is not below 7"),
        ("at_most", [0, 1], "pmi 8 is not at most 7"),
    ],
)
def test_the_four_comparisons_with_an_equal_score(comparison, expected, said):
    values = {"steps": ["threshold"], "threshold": 7.0, "comparison": comparison}
    assert kept(SCORES, **values) == expected
    assert ("fails_threshold", said) in reasons(run(SCORES, **values)).values()


GRID = [{"expected_quality": float(q), "expected_following": float(f)} for q in (6, 7, 8) for f in (6, 7, 8)]
READINGS = {
    "above": lambda score: score > 7.0,
    "at_least": lambda score: score >= 7.0,
    "below": lambda score: score < 7.0,
    "at_most": lambda score: score <= 7.0,
}


@pytest.mark.parametrize("comparison", READINGS)
@pytest.mark.parametrize(
    ("criteria", "names"),
    [
        ("both", ["expected_quality", "expected_following"]),
        ("quality", ["expected_quality"]),
        ("following", ["expected_following"]),
    ],
)
def test_every_criterion_that_decides_must_pass(criteria, names, comparison):
    expected = [n for n, scores in enumerate(GRID) if all(READINGS[comparison](scores[name]) for name in names)]
    values = {"steps": ["threshold"], "scorer": "expected", "threshold": 7.0}
    assert kept(GRID, criteria=criteria, comparison=comparison, **values) == expected


def test_a_score_that_could_not_be_read_does_not_pass():
    rows = [{"expected_quality": 9.0}, {"expected_following": 9.0}, {}]
    result = run(rows, steps=["threshold"], scorer="expected", threshold=0.0)
    assert reasons(result) == {
        0: ("unread_score", "expected_following could not be read"),
        1: ("unread_score", "expected_quality could not be read"),
        2: ("unread_score", "expected_quality could not be read"),
    }
    assert kept(rows, steps=["threshold"], scorer="expected", criteria="quality", threshold=0.0) == [0]


@pytest.mark.parametrize(
    ("output", "both", "reason", "detail"),
    [
        (50.0, 20.0, "", ""),
        (10.0, 20.0, "", ""),
        (50.1, 1.0, "high_perplexity", "perplexity_output 50.1 > 50"),
        (1.0, 20.1, "high_perplexity", "perplexity_pair 20.1 > 20"),
        (90.0, 90.0, "high_perplexity", "perplexity_output 90.0 > 50"),
        (None, 1.0, "unread_score", "perplexity_output could not be read"),
        (1.0, None, "unread_score", "perplexity_pair could not be read"),
    ],
)
def test_a_perplexity_may_be_at_its_limit_and_not_over_it(output, both, reason, detail):
    found = {"perplexity_output": output, "perplexity_pair": both}
    rows = [{name: value for name, value in found.items() if value is not None}]
    result = run(rows, steps=["perplexity"], max_output_perplexity=50.0, max_pair_perplexity=20.0)
    assert reasons(result) == ({0: (reason, detail)} if reason else {})


GROUPS = [[0, 3, 6, 9], [1, 4, 7], [2, 5, 8]]
PLACES = [[100.0 * (n % 3), n / 100] for n in range(10)]
FLAT = [{"perplexity_pair": 5.0}] * 10


@pytest.mark.parametrize("wanted", [1, 2, 3, 4, 9])
def test_density_keeps_so_many_of_every_cluster_at_random(wanted):
    values = {"steps": ["density"], "clusters": 3, "rows_per_cluster": wanted, "vectors": PLACES}
    draws = [kept(FLAT, seed=seed, **values) for seed in range(8)]
    for drawn in draws:
        assert [len(set(drawn) & set(group)) for group in GROUPS] == [min(wanted, len(group)) for group in GROUPS]
    assert draws[0] == kept(FLAT, seed=0, **values)
    assert (len({tuple(drawn) for drawn in draws}) > 1) == (wanted < 4)


def test_a_row_left_out_of_its_cluster_says_how_large_that_is():
    result = run(FLAT, steps=["density"], clusters=3, vectors=PLACES)
    assert all(reason == "same_cluster" for reason, _ in reasons(result).values())
    assert sorted(detail.split(" has ")[1] for _, detail in reasons(result).values()) == ["3 pairs"] * 4 + ["4 pairs"] * 3
    assert result.lines == [{"step": "density", "in": 10, "kept": 3}]


@pytest.mark.parametrize(
    ("rows", "wanted", "expected"),
    [(10000, 0, 3000), (10, 0, 3), (1, 0, 1), (2, 0, 1), (0, 0, 1), (10000, 7, 7), (5, 3000, 3000)],
)
def test_no_number_of_clusters_means_three_tenths_of_the_rows(rows, wanted, expected):
    assert number_of_clusters(rows, wanted) == expected


def test_the_clusters_are_counted_by_the_rows_that_earlier_steps_left(monkeypatch):
    asked = []
    monkeypatch.setattr(density, "cluster", lambda vectors, number, _: asked.append((len(vectors), number)) or [])
    rows = of("pmi", *[0] * 20, *[1] * 40)
    run(rows, steps=["density", "threshold", "density_perplexity"], threshold=0.5, vectors=[[0.0, 0.0]] * 60)
    assert asked == [(60, 18), (40, 12)]


def test_a_step_after_others_clusters_the_vectors_of_the_rows_left():
    rows = of("pmi", *[0.0, 1.0] * 5)  # the odd ones are left: 1 and 7, 3 and 9, 5
    values = {"steps": ["threshold", "density"], "threshold": 0.5, "clusters": 3, "vectors": PLACES}
    drawn = kept(rows, **values)
    assert [len(set(drawn) & set(group)) for group in ([1, 7], [3, 9], [5])] == [1, 1, 1]


def test_density_by_perplexity_keeps_the_lowest_of_each_cluster_and_the_first_of_equals():
    numbers = [9, 4, 1, 2, 4, 3, 2, 8, 2, 7]
    rows = of("perplexity_pair", *numbers)
    for wanted in (1, 2, 9):
        lowest = [sorted(group, key=lambda n: (numbers[n], n))[:wanted] for group in GROUPS]
        values = {"steps": ["density_perplexity"], "clusters": 3, "rows_per_cluster": wanted, "vectors": PLACES}
        assert [kept(rows, seed=seed, **values) for seed in range(3)] == [sorted(n for group in lowest for n in group)] * 3


def test_a_perplexity_that_could_not_be_read_comes_last_in_its_cluster():
    rows = [{}, *of("perplexity_pair", 1e9), {}]
    assert kept(rows, steps=["density_perplexity"], clusters=1, vectors=[[0.0, 0.0]] * 3) == [1]


@pytest.mark.parametrize(("share", "number"), [(0.01, 1), (0.25, 2), (0.5, 4), (0.75, 6), (1.0, 8)])
def test_the_top_is_a_share_by_the_mean_of_the_columns_and_equals_stay_in_their_order(share, number):
    scores = [(5, 5), (9, 1), (8, 8), (2, 8), (9, 9), (1, 1), (8, 2), (9, 7)]
    rows = [{"expected_quality": float(q), "expected_following": float(f)} for q, f in scores]
    means = [(q + f) / 2 for q, f in scores]
    ahead = [sum(other > one or (other == one and m < n) for m, other in enumerate(means)) for n, one in enumerate(means)]
    expected = [n for n, rank in enumerate(ahead) if rank < number]
    assert kept(rows, steps=["top"], top_scorer="expected", top_share=share) == expected


@pytest.mark.parametrize(("number", "whole"), [(1, [4]), (3, [2, 4, 7]), (7, list(range(7))), (99, list(range(8)))])
def test_the_top_may_be_a_number_of_pairs_whatever_comes_and_fewer_are_all_kept(number, whole):
    rows = [{"pmi": x} for x in (0.2, 0.3, 0.8, 0.4, 0.9, 0.5, 0.6, 0.7)]
    rows[7]["pmi"] = 0.7 if number < 7 else 0.1
    assert kept(rows, steps=["top"], top_pairs=number) == whole
    assert kept([*rows, {}, {}], steps=["top"], top_pairs=number) == whole  # unread ones take no place


def test_a_number_of_pairs_needs_the_step_and_leaves_no_share_to_be_set():
    with pytest.raises(ParameterError, match="top_pairs: no step reads it; add top to steps"):
        check(FilterParams, {"steps": ["rules"], "top_pairs": 8}, "x")
    with pytest.raises(ParameterError, match="top_share: top_pairs says how many are kept"):
        check(FilterParams, {"steps": ["top"], "top_pairs": 8, "top_share": 0.25}, "x")
    assert "top_pairs" not in FilterParams(steps=["top"]).deciding()  # as it was before there was a number
    assert FilterParams(steps=["top"], top_pairs=8).deciding()["top_pairs"] == 8


def test_the_top_by_one_criterion_looks_at_no_other():
    rows = [{"expected_quality": 1.0, "expected_following": 9.0}, {"expected_quality": 2.0, "expected_following": 1.0}]
    assert kept(rows, steps=["top"], top_scorer="expected", criteria="quality") == [1]
    assert kept(rows, steps=["top"], top_scorer="expected", criteria="following") == [0]


def test_a_pair_below_the_top_says_its_rank_and_an_unread_one_is_never_in_it():
    rows = [{"expected_quality": 9.0}, *({"expected_quality": x, "expected_following": x} for x in (3.0, 4.0, 2.0))]
    result = run(rows, steps=["top"], top_scorer="expected", top_share=0.25)
    assert [row["id"] for row in result.kept] == ["2"]
    assert reasons(result) == {
        0: ("unread_score", "expected could not be read"),
        1: ("not_in_top", "expected 3 is number 2 of 4"),
        3: ("not_in_top", "expected 2 is number 3 of 4"),
    }


def test_the_order_of_steps_counts():
    rows = [({"pmi": x}, out) for x, out in [(0.1, "Seine."), (0.2, "Rhone."), (0.8, BAD), (0.9, BAD)]]
    assert kept(rows, steps=["top", "rules"], top_share=0.5) == []
    assert kept(rows, steps=["rules", "top"], top_share=0.5) == [1]


def step_reading(step, left, rows, values):
    """Read a step plainly; `left` are places of rows, the result those it keeps. Not for the random step density."""
    if step == "rules":
        return [n for n in left if rows[n][1] != BAD]
    if step == "threshold":
        return [n for n in left if rows[n][0].get("pmi", -np.inf) >= values["threshold"]]
    if step == "perplexity":
        limits = [("perplexity_output", values["max_output_perplexity"]), ("perplexity_pair", 50.0)]
        return [n for n in left if all(rows[n][0].get(name, np.inf) <= limit for name, limit in limits)]
    if step == "top":
        names = ("expected_quality", "expected_following")
        whole = [n for n in left if all(name in rows[n][0] for name in names)]
        best = sorted(whole, key=lambda n: -sum(rows[n][0][name] for name in names))
        return sorted(best[: max(1, round(values["top_share"] * len(left)))])
    groups = cluster(
        np.array([values["vectors"][n] for n in left], np.float32).reshape(-1, 2), values["clusters"], seeds()(step)
    )
    inside = [[left[i] for i in group] for group in groups]
    ranked = [sorted(group, key=lambda n: (rows[n][0].get("perplexity_pair", np.inf), n)) for group in inside]
    return sorted(n for group in ranked for n in group[: values["rows_per_cluster"]])


outputs = st.sampled_from(["The Seine flows through Paris.", "It is long.", BAD])
some_scores = st.dictionaries(st.sampled_from(COLUMNS), st.integers(0, 6).map(float))
chosen_steps = st.permutations(ALL_STEPS).flatmap(lambda all_: st.integers(0, len(all_)).map(lambda n: list(all_[:n])))
choices = st.fixed_dictionaries(
    {
        "threshold": st.integers(0, 6).map(float),
        "max_output_perplexity": st.integers(1, 6).map(float),
        "top_share": st.sampled_from([0.1, 0.5, 0.9, 1.0]),
        "clusters": st.integers(1, 6),
        "rows_per_cluster": st.integers(1, 3),
    }
)
everything_ran = ({}, BAD)  # its unread scores tell that every scorer was run


@few
@given(st.lists(st.tuples(some_scores, outputs), max_size=14), chosen_steps, choices, st.booleans(), st.randoms())
def test_any_steps_on_any_scores_divide_the_rows_and_each_does_what_its_plain_reading_does(rows, steps, values, control, rng):
    rows = [*rows, everything_ran]
    values = {**values, "vectors": [[float(rng.randrange(4)), float(rng.randrange(4))] for _ in rows]}
    settings_ = {**values, "comparison": "at_least", "top_scorer": "expected"}
    control = control and bool(set(steps) - {"rules"})
    result = run(rows, steps=steps, random_control=control, **settings_)
    kept_ids, dropped_ids = ([int(row["id"]) for row in part] for part in (result.kept, result.dropped))
    assert sorted(kept_ids + dropped_ids) == list(range(len(rows)))
    assert kept_ids == sorted(kept_ids)
    assert dropped_ids == sorted(dropped_ids)
    assert all(reason in MEANINGS and detail for reason, detail in reasons(result).values())
    assert all(row["scores"] == rows[int(row["id"])][0] for row in result.kept + result.dropped)
    lines = result.lines
    ends = [len(rows), *(line["kept"] for line in lines)]
    assert [line["in"] for line in lines] == ends[:-1]
    assert ends[-1] == len(kept_ids)
    if control:
        return
    assert [line["step"] for line in lines] == steps
    left = list(range(len(rows)))
    for number, step in enumerate(steps, start=1):
        after = kept(rows, steps=steps[:number], **settings_)
        if step == "density":
            vectors = np.array([values["vectors"][n] for n in left], np.float32).reshape(-1, 2)
            groups = [{left[i] for i in group} for group in cluster(vectors, values["clusters"], seeds()(step))]
            assert [len(group & set(after)) for group in groups] == [min(values["rows_per_cluster"], len(g)) for g in groups]
            assert set(after) <= set(left)
        else:
            assert after == step_reading(step, left, rows, values)
        left = after


CONTROLLED = [({"pmi": float(n)}, BAD if n % 4 == 3 else f"River {n}.") for n in range(40)]


@pytest.mark.parametrize("steps", [["rules", "threshold"], ["threshold", "rules"], ["rules", "top", "threshold"]])
def test_a_random_control_has_the_size_that_the_steps_leave_and_only_rows_that_pass_the_rules(steps):
    values = {"steps": steps, "threshold": 24.5, "top_share": 0.4}
    chosen = kept(CONTROLLED, **values)
    passing = {n for n, (_, output) in enumerate(CONTROLLED) if output != BAD}
    draws = [kept(CONTROLLED, random_control=True, seed=seed, **values) for seed in range(6)]
    for drawn in draws:
        assert len(drawn) == len(chosen) == 11
        assert set(drawn) <= passing
        assert drawn != chosen
    assert draws[0] == kept(CONTROLLED, random_control=True, seed=0, **values)
    assert len({tuple(drawn) for drawn in draws}) == 6


def test_a_random_control_says_what_it_did_not_draw():
    result = run(CONTROLLED, steps=["rules", "threshold"], threshold=24.5, random_control=True)
    assert result.lines == [{"step": "rules", "in": 40, "kept": 30}, {"step": "random_control", "in": 30, "kept": 11}]
    found = list(reasons(result).values())
    assert found.count(("not_drawn", "11 of 30 were drawn")) == 19
    assert found.count(("empty_output", MEANINGS["empty_output"])) == 10


def test_a_random_control_without_rules_draws_from_all_rows():
    values = {"steps": ["threshold"], "threshold": 9.5, "random_control": True}
    result = run(CONTROLLED, **values)
    assert result.lines == [{"step": "random_control", "in": 40, "kept": 30}]
    assert any(output == BAD for n, (_, output) in enumerate(CONTROLLED) if n in kept(CONTROLLED, **values))


def test_the_columns_that_decide_are_named_by_step():
    params = FilterParams(steps=ALL_STEPS, scorer="expected", criteria="quality", top_scorer="ifd_loss")
    assert deciding(params) == {
        "threshold": ["expected_quality"],
        "perplexity": ["perplexity_output", "perplexity_pair"],
        "density_perplexity": ["perplexity_pair"],
        "top": ["ifd_loss"],
    }
    assert deciding(FilterParams(steps=["rules", "density"])) == {}


@pytest.mark.parametrize("scores", [[], ["b"], ["a", "b"]])
def test_pairs_and_scores_about_other_ids_are_refused(scores):
    rows = [{"id": id_, "scores": {"pmi": 1.0}, "unread": {}} for id_ in scores]
    with pytest.raises(DataError) as caught:
        with_scores(as_pairs([pair()]), rows, FilterParams())
    assert "do not have the same ids" in str(caught.value)
    assert "run assess.ipynb again" in str(caught.value)


@pytest.mark.parametrize(
    ("scores", "values", "said"),
    [
        (
            {"pmi": 1.0},
            {"steps": ["threshold"], "scorer": "expected"},
            "The step threshold decides by expected_quality, expected_following, which no pair has",
        ),
        (
            {"expected_quality": 1.0},
            {"steps": ["threshold"], "scorer": "expected"},
            "The step threshold decides by expected_following, which",
        ),
        ({"expected_quality": 1.0}, {"steps": ["top"]}, "The step top decides by pmi, which"),
        ({"perplexity_pair": 1.0}, {"steps": ["perplexity"]}, "The step perplexity decides by perplexity_output, which"),
        ({"ifd_loss": 1.0}, {"steps": ["density_perplexity"]}, "The step density_perplexity decides by perplexity_pair, which"),
        (
            {"greedy_quality": 1.0},
            {"steps": ["top"], "top_scorer": "greedy", "criteria": "none"},
            "The step top decides by no criterion",
        ),
        ({}, {"steps": ["threshold"]}, "no scores at all: assess.scorers is empty"),
    ],
)
def test_a_step_without_its_scores_is_refused_with_those_there_are(scores, values, said):
    scored = [{"id": "a", "scores": scores, "unread": {}, "raw": {}}]
    with pytest.raises(DataError) as caught:
        with_scores(as_pairs([pair()]), scored, FilterParams(**values))
    message = str(caught.value)
    assert said in message
    assert "where: filter.steps" in message
    assert all(f"allowed: {name}" in message for name in scores)
    assert "do: choose a scorer that assess ran on all pairs (assess.scorers, assess.level)" in message


@pytest.mark.parametrize("step", ["density", "density_perplexity"])
def test_density_without_vectors_is_refused_with_what_to_set(step):
    with pytest.raises(DataError) as caught:
        run(FLAT, steps=["rules", step])
    assert "pairs have no vectors" in str(caught.value)
    assert "where: filter.steps" in str(caught.value)
    assert "do: set assess.vectors to true" in str(caught.value)


def test_a_scorer_whose_every_reply_was_unreadable_drops_all_pairs():
    result = run([{}, {}], steps=["threshold"], scorer="expected")
    assert (result.kept, [row["reason"] for row in result.dropped]) == ([], ["unread_score"] * 2)


@pytest.mark.parametrize("steps", [[], *([step] for step in ALL_STEPS), ALL_STEPS])
def test_no_pairs_are_filtered_to_none(steps):
    result = run([], steps=steps, vectors=np.zeros((0, 2)))
    assert (result.kept, result.dropped) == ([], [])
    assert result.lines == [{"step": step, "in": 0, "kept": 0} for step in steps]


def test_every_reason_a_rule_gives_has_a_meaning():
    assert set(RULES) < set(MEANINGS)
    assert all(MEANINGS.values())


def hit(row, benchmark="arc_easy", item="7", field="instruction", kind="exact"):
    return Hit(str(row), field, benchmark, item, kind, "name a river in france")


@few
@given(
    st.lists(st.tuples(some_scores, outputs), max_size=14),
    st.sets(st.integers(0, 13)),
    chosen_steps,
    choices,
    st.booleans(),
    st.randoms(),
)
def test_a_pair_that_repeats_a_benchmark_item_goes_before_all_steps_and_the_rest_is_as_if_it_had_never_come(
    rows, struck, steps, values, control, rng
):
    rows = [*rows, everything_ran]
    struck &= set(range(len(rows) - 1))
    values = {**values, "vectors": [[float(rng.randrange(4)), float(rng.randrange(4))] for _ in rows]}
    values |= {"comparison": "at_least", "top_scorer": "expected", "steps": steps}
    values["random_control"] = control and bool(set(steps) - {"rules"})
    result = run(rows, hits=[hit(n) for n in sorted(struck)], decontaminate="drop", **values)
    clean = run(rows, places=[n for n in range(len(rows)) if n not in struck], **values)
    assert result.kept == clean.kept
    assert result.lines == [{"step": "decontaminate", "in": len(rows), "kept": len(rows) - len(struck)}, *clean.lines]
    assert {int(row["id"]) for row in result.dropped if row["reason"] == "benchmark_item"} == struck
    assert [row for row in result.dropped if row["reason"] != "benchmark_item"] == clean.dropped
    assert [int(row["id"]) for row in result.dropped] == sorted(int(row["id"]) for row in result.dropped)


def test_a_pair_dropped_for_a_benchmark_item_names_the_first_and_breaks_no_other_rule():
    rows = [({"pmi": 0.0}, BAD), {"pmi": 0.9}]
    hits = [hit(0, kind="8-gram", field="output"), hit(0, "nq_open", "00003"), hit(1, "gpqa_diamond", "rec-x")]
    result = run(rows, hits=hits, decontaminate="drop")
    assert result.kept == []
    assert reasons(result) == {
        0: ("benchmark_item", "8-gram in the output: ARC easy, item 7"),
        1: ("benchmark_item", "exact in the instruction: GPQA diamond, item rec-x"),
    }
    assert result.lines == [
        {"step": "decontaminate", "in": 2, "kept": 0},
        {"step": "rules", "in": 0, "kept": 0},
        {"step": "threshold", "in": 0, "kept": 0},
    ]


@pytest.mark.parametrize(
    ("decontaminate", "left", "lines"),
    [
        ("drop", [1], [{"step": "decontaminate", "in": 2, "kept": 1}]),
        ("list", [0, 1], [{"step": "decontaminate", "in": 2, "kept": 2}]),
        ("ignore", [0, 1], []),
    ],
)
def test_a_pair_that_repeats_an_item_is_dropped_only_where_that_is_wanted_and_the_funnel_says_what_was_done(
    decontaminate, left, lines
):
    result = run(of("pmi", 0.9, 0.9), steps=[], hits=[hit(0)], decontaminate=decontaminate)
    assert [int(row["id"]) for row in result.kept] == left
    assert result.lines == lines


def test_hits_in_tasks_that_were_only_shown_drop_nothing():
    shown = [hit("seed-1"), hit("i0-r0-p000-t0")]
    result = run(of("pmi", 0.9, 0.9), steps=[], hits=shown, decontaminate="drop")
    assert len(result.kept) == 2
    rows = [ScoredPair(pair, {}) for pair in as_pairs(result.kept)]
    assert DECONTAMINATE.apply(rows, FilterParams(), Given(hits=shown)) == {}


def test_a_random_control_never_draws_a_pair_that_repeats_an_item_and_still_has_the_size_of_the_steps():
    struck = [39, 38, 37, 2, 1, 0]  # of the eleven that the steps would keep and of the others
    values = {"steps": ["rules", "threshold"], "threshold": 24.5, "decontaminate": "drop", "hits": [hit(n) for n in struck]}
    wanted = len(kept(CONTROLLED, **values))
    draws = [run(CONTROLLED, random_control=True, seed=seed, **values) for seed in range(30)]
    for drawn in draws:
        ids = {int(row["id"]) for row in drawn.kept}
        assert len(ids) == wanted == 9
        assert not ids & set(struck)
        assert [n for n, (reason, _) in reasons(drawn).items() if reason == "benchmark_item"] == sorted(struck)
        assert [(line["step"], line["in"], line["kept"]) for line in drawn.lines] == [
            ("decontaminate", 40, 34),
            ("rules", 34, 25),
            ("random_control", 25, 9),
        ]
    assert len({tuple(row["id"] for row in drawn.kept) for drawn in draws}) == 30


QUESTION = "Which of these rivers flows through the city of Paris?"
OTHER = "Why does the moon change its shape during a month?"


@pytest.fixture
def items(tmp_path):
    """Return a function that writes questions in the columns of ARC or OpenBookQA and returns the parameter's entry."""
    choices = {"text": ["the Seine", "the Rhine"], "label": ["A", "B"]}

    def written(*questions, benchmark="arc_easy", column="question"):
        own = {"choices": choices, "answerKey": "A"}
        rows = [{"id": f"{benchmark}-{n}", column: text, **own} for n, text in enumerate(questions)]
        path = tmp_path / f"{benchmark}.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        return f"{benchmark}={path}"

    return written


def found(pairs, shown, *against, decontaminate="drop"):
    return find_hits(FilterParams(decontaminate=decontaminate, decontaminate_against=list(against)), as_pairs(pairs), shown)


@pytest.mark.parametrize("decontaminate", ["drop", "list"])
@pytest.mark.parametrize(
    ("where", "field"),
    [
        ({"instruction": QUESTION}, "instruction"),
        ({"instruction": "Answer: which of THESE rivers flows through the city of Paris"}, "instruction"),
        ({"instruction": "Which of these rivers", "input": "flows through the city of Paris"}, "instruction"),
        ({"input": QUESTION}, "input"),
        ({"output": f"I wonder. {QUESTION}"}, "output"),
    ],
)
def test_what_repeats_an_item_is_found_in_every_field_of_a_pair(items, where, field, decontaminate):
    (only,), absent = found([{**pair("Yes."), **where}, pair(id="b")], [], items(OTHER, QUESTION), decontaminate=decontaminate)
    assert (only.row_id, only.field, only.benchmark, only.item_id) == ("a", field, "arc_easy", "arc_easy-1")
    assert absent == {}


def test_nothing_is_looked_up_where_benchmark_items_are_ignored(items, tmp_path):
    pairs = [pair(instruction=QUESTION)]
    assert found(pairs, pairs, items(QUESTION), decontaminate="ignore") == ([], {})
    nowhere = f"arc_easy={tmp_path / 'none.jsonl'}"
    assert found(pairs, [], nowhere, "squadv2", decontaminate="ignore") == ([], {})
    with pytest.raises(DataError, match=r"none\.jsonl does not exist"):
        found(pairs, [], nowhere, decontaminate="list")


def test_a_task_shown_in_prompts_is_listed_by_its_own_id_and_counted_apart_from_pairs(items):
    pairs, shown = [pair(), pair(id="b", instruction=OTHER)], [pair(id="seed-1", instruction=QUESTION) | {"shown": 3}]
    hits, absent = found(pairs, shown, items(QUESTION, OTHER))
    assert [(one.row_id, one.item_id) for one in hits] == [("b", "arc_easy-1"), ("seed-1", "arc_easy-0")]
    expected = {"pairs": 1, "demonstrations": 1, "hits": {"arc_easy": 2}, "not_looked_at": {}}
    assert contamination_counts(hits, as_pairs(pairs), absent) == expected


def test_a_pair_that_was_also_shown_is_listed_and_counted_once_as_a_pair(items):
    pairs = [pair(instruction=QUESTION)]
    hits, absent = found(pairs, [{**pairs[0], "output": "", "shown": 2}], items(QUESTION))
    assert [one.row_id for one in hits] == ["a"]
    counts = contamination_counts(hits, as_pairs(pairs), absent)
    assert (counts["pairs"], counts["demonstrations"], counts["hits"]) == (1, 0, {"arc_easy": 1})


def test_a_task_with_several_answers_that_was_also_shown_is_looked_at_as_pairs_alone(items):
    pairs = [pair(instruction=QUESTION, id=f"a-a{k}", task="a") for k in range(2)]
    hits, absent = found(pairs, [{**pair(instruction=QUESTION), "output": "", "shown": 2}], items(QUESTION))
    assert [one.row_id for one in hits] == ["a-a0", "a-a1"]
    assert contamination_counts(hits, as_pairs(pairs), absent)["demonstrations"] == 0


def test_a_benchmark_whose_data_are_absent_is_named_with_what_brings_them_and_the_others_are_looked_at(items):
    pairs = [pair(instruction=QUESTION)]
    hits, absent = found(pairs, [], "gpqa_diamond", items(QUESTION), "humaneval_plus")
    assert [one.benchmark for one in hits] == ["arc_easy"]
    counts = contamination_counts(hits, as_pairs(pairs), absent)
    assert list(counts["not_looked_at"]) == ["gpqa_diamond", "humaneval_plus"]
    assert "filter.decontaminate_against: gpqa_diamond=FILE" in counts["not_looked_at"]["gpqa_diamond"]


def test_hits_are_counted_by_benchmark_and_a_pair_with_several_once(items):
    pairs = [pair(instruction=OTHER, input=QUESTION), pair(id="b", instruction=OTHER)]
    against = [items(OTHER, benchmark="openbookqa", column="question_stem"), items(QUESTION)]
    hits, absent = found(pairs, [], *against)
    counts = contamination_counts(hits, as_pairs(pairs), absent)
    assert (counts["pairs"], counts["hits"]) == (2, {"arc_easy": 1, "openbookqa": 2})
    assert list(counts["hits"]) == ["arc_easy", "openbookqa"]


def test_the_words_of_a_question_that_must_not_be_published_are_not_listed():
    shown, hidden = listed([Hit("a", "instruction", name, "1", "exact", "the very words") for name in ("piqa", "gpqa_diamond")])
    assert (shown["text"], hidden["text"]) == ("the very words", "")
    assert hidden | {"text": ""} == {**shown, "benchmark": "gpqa_diamond", "text": ""}


@pytest.mark.parametrize(("number", "tells"), [(COMMON - 1, True), (COMMON, False)])
def test_a_phrase_is_common_by_the_items_of_all_benchmarks_together(items, number, tells):
    one = items(*["Which of these is a planet?"] * (number // 2))
    other = items(*["Which of these is a planet?"] * (number - number // 2), benchmark="openbookqa", column="question_stem")
    hits, _ = found([pair(instruction="Which of these is a planet?")], [], one, other)
    assert {hit.benchmark for hit in hits} == ({"arc_easy", "openbookqa"} if tells else set())


def test_no_pairs_repeat_nothing(items):
    hits, absent = found([], [], items(QUESTION))
    assert contamination_counts(hits, [], absent) == {
        "pairs": 0,
        "demonstrations": 0,
        "hits": {},
        "not_looked_at": {},
    }
