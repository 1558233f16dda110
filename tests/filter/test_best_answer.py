"""The best of several answers: the alpha that makes the chosen as long as all, ties, what cannot be compared, the control."""

import json
from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isheep_lib.filter.answers import choice_table
from isheep_lib.filter.params import Filter
from isheep_lib.filter.run import filter_pairs
from isheep_lib.filter.steps.best_answer import Answer, best, matching_alpha, mean_length, shortest_between
from isheep_lib.filter.steps.step import ScoredPair
from isheep_lib.filter.steps.table import STEPS
from isheep_lib.record.rows import Pair

few = settings(max_examples=80, deadline=None)


def task(*answers):
    """Make a task's answers of (score, length)."""
    return [Answer(str(k), Fraction(str(score)), Fraction(str(score)), length) for k, (score, length) in enumerate(answers)]


def rows(*tasks, column="pmi"):
    """Make scored pairs of tasks, each a list of (score or None, tokens); a task with one answer is its own row."""
    made = []
    for n, answers in enumerate(tasks):
        for k, (score, length) in enumerate(answers):
            several = {"task": f"t{n}"} if len(answers) > 1 else {}
            pair = Pair(f"t{n}-a{k}" if several else f"t{n}", "Name a river.", "", f"River {k}.", "end", length, several)
            made.append(ScoredPair(pair, {} if score is None else {column: score}))
    return made


def chosen(came, **values):
    result = filter_pairs(came, Filter(decontaminate="ignore", steps=["best_answer"], **values), len)
    return [row["id"] for row in result.kept], {row["id"]: row for row in result.dropped}


def test_of_each_tasks_answers_the_best_by_score_is_kept_and_a_single_answer_stays():
    kept, dropped = chosen(rows([(0.1, 5), (0.7, 5), (0.3, 5)], [(-1.0, 9)]), length_correction="none")
    assert kept == ["t0-a1", "t1"]
    assert {row["reason"] for row in dropped.values()} == {"not_best"}
    assert dropped["t0-a2"]["scores"] == {"pmi": 0.3}, "what was not chosen stays a candidate with its score"


def test_an_alpha_worked_out_by_hand():
    # By score alone both take the answer of 30 tokens; all are 20 long in the mean. The first task turns over where 20 tokens
    # cost 0.5 - 0.3, at alpha 1/100, the second at 1/50: between them the mean is 20, and 1/51 is the simplest fraction there.
    tasks = [task((0.5, 30), (0.3, 10)), task((0.7, 30), (0.3, 10))]
    assert mean_length(tasks) == 20
    alpha = matching_alpha(tasks)
    assert alpha == Fraction(1, 51)
    assert [best(each, alpha).length for each in tasks] == [10, 30]


def test_alpha_is_0_where_the_best_by_score_are_as_long_as_all():
    assert matching_alpha([task((0.9, 10), (0.1, 30)), task((0.1, 10), (0.9, 30))]) == 0
    assert matching_alpha([task((0.9, 20), (0.1, 10), (0.3, 30))]) == 0
    assert matching_alpha([]) == 0


def test_alpha_is_below_0_where_the_score_prefers_short_answers():
    tasks = [task((0.9, 10), (0.4, 30)), task((0.9, 10), (0.7, 30))]
    assert -Fraction(25, 1000) < matching_alpha(tasks) < -Fraction(1, 100)


def test_a_task_with_many_answers_counts_as_one_with_few():
    many, pair = task(*[(0.0, 100)] * 7, (1.0, 100)), task((0.9, 10), (0.1, 30))
    assert mean_length([many, pair]) == Fraction(100 + 20, 2)


def test_of_two_lengths_equally_near_that_with_the_smaller_correction_is_taken():
    assert matching_alpha([task((0.9, 30), (0.1, 10))]) == 0


scores = st.integers(-6, 6).map(lambda n: n / 4)
some_tasks = st.lists(st.lists(st.tuples(scores, st.integers(0, 8)), min_size=1, max_size=5), min_size=1, max_size=6)


def meets(tasks):
    """Return 0 and every alpha at which a choice may change."""
    found = {(a.good - b.good) / (a.length - b.length) for each in tasks for a in each for b in each if a.length != b.length}
    return sorted({*found, Fraction(0)})


def places(tasks):
    """Return those, and one alpha on either side of each."""
    ends = meets(tasks)
    between = [(low + high) / 2 for low, high in pairwise(ends)]
    return [ends[0] - 1, *ends, *between, ends[-1] + 1]


@few
@given(some_tasks)
def test_no_alpha_chooses_answers_whose_mean_length_is_nearer_to_that_of_all(given_tasks):
    tasks = [task(*answers) for answers in given_tasks]

    def distance(alpha):
        return abs(sum(best(each, alpha).length for each in tasks) - mean_length(tasks) * len(tasks))

    found = matching_alpha(tasks)
    assert distance(found) == min(map(distance, places(tasks)))
    assert distance(found) < distance(Fraction(0)) or found == 0, "a score is corrected for nothing"
    nearer_to_0 = sorted((alpha for alpha in meets(tasks) if abs(alpha) < abs(found) and alpha * found >= 0), key=abs)
    assert all(distance(alpha) > distance(found) for alpha in nearer_to_0[:-1]), "a smaller alpha would do"
    tied = any(a.corrected(found) == b.corrected(found) for each in tasks for a in each for b in each if a.length != b.length)
    if tied and found:
        between = [alpha for alpha in places(tasks) if alpha not in meets(tasks)]
        assert all(distance(alpha) > distance(found) for alpha in between), "an alpha without ties would do"


@few
@given(some_tasks, st.randoms(use_true_random=False))
def test_the_order_of_tasks_changes_neither_alpha_nor_choice(given_tasks, draw):
    tasks = [task(*answers) for answers in given_tasks]
    alpha, turned = matching_alpha(tasks), draw.sample(tasks, len(tasks))
    assert matching_alpha(turned) == alpha


@few
@given(st.fractions(0, 3, max_denominator=60), st.none() | st.fractions(0, 3, max_denominator=60))
def test_the_shortest_fraction_lies_between_and_none_with_a_smaller_denominator_does(low, high):
    if high is not None and high <= low:
        low, high = high, low + 1
    found = shortest_between(low, high)
    assert low < found and (high is None or found < high)
    for denominator in range(1, min(found.denominator, 80)):
        first = low.numerator * denominator // low.denominator + 1
        assert high is not None and Fraction(first, denominator) >= high


def test_equal_answers_go_by_their_order_and_scores_are_compared_as_they_are_written():
    assert chosen(rows([(0.5, 9), (0.5, 9), (0.1, 9)]))[0] == ["t0-a0"]
    # 0.3 - 0.1 is less than 0.2 in binary: written numbers meet at 1/100 exactly, and there the first one wins.
    assert best(task((0.3, 30), (0.1, 10)), Fraction(1, 100)).length == 30
    assert best(task((0.1, 10), (0.3, 30)), Fraction(1, 100)).length == 10


def test_where_low_is_good_the_lowest_is_kept():
    came = rows([(9.0, 5), (3.0, 5), (7.0, 5)], column="ifd_loss")
    kept, dropped = chosen(came, best_scorer="ifd_loss")
    assert kept == ["t0-a1"]
    assert dropped["t0-a0"]["detail"] == "ifd_loss 9, corrected for 5 tokens at alpha 0 9; t0-a1 has 3"


def test_a_dropped_answer_says_its_score_the_corrected_one_its_length_and_whose_is_better():
    came = rows([(0.5, 30), (0.3, 10)], [(0.7, 30), (0.3, 10)])
    kept, dropped = chosen(came)
    assert kept == ["t0-a1", "t1-a0"]
    assert dropped["t0-a0"]["detail"] == "pmi 0.5, corrected for 30 tokens at alpha 0.01961 -0.08824; t0-a1 has 0.1039"


def test_the_mean_of_a_scorers_columns_decides_and_an_answer_that_lacks_one_cannot_be_compared():
    came = rows([(1.0, 5), (4.0, 5), (9.0, 5)], column="expected_quality")
    for row, value in zip(came, (8.0, 4.0, None), strict=True):
        row.scores.update({} if value is None else {"expected_following": value})
    kept, dropped = chosen(came, best_scorer="expected")
    assert kept == ["t0-a0"]
    assert dropped["t0-a2"]["reason"] == "unread_score"
    assert chosen(came, best_scorer="expected", criteria="quality")[0] == ["t0-a2"]


def test_only_answers_that_the_steps_before_have_kept_are_compared():
    came = rows([(0.9, 9), (0.4, 9), (0.2, 9)], [(0.9, 9), (0.4, 9)])
    cut = [ScoredPair(Pair(**{**vars(came[0].pair), "finish": "length"}), came[0].scores), *came[1:]]
    params = Filter(decontaminate="ignore", steps=["rules", "best_answer", "threshold"], threshold=0.5)
    result = filter_pairs(cut, params, len)
    assert [row["id"] for row in result.kept] == ["t1-a0"]
    assert [(row["id"], row["reason"]) for row in result.dropped] == [
        ("t0-a0", "cut_off"),
        ("t0-a1", "fails_threshold"),
        ("t0-a2", "not_best"),
        ("t1-a1", "not_best"),
    ]
    assert [(line["step"], line["in"], line["kept"]) for line in result.lines] == [
        ("rules", 5, 4),
        ("best_answer", 4, 2),
        ("threshold", 2, 1),
    ]
    assert [row.id for row in result.came["best_answer"]] == ["t0-a1", "t0-a2", "t1-a0", "t1-a1"]


@few
@given(some_tasks)
def test_every_answer_is_kept_or_dropped_and_each_task_keeps_one(given_tasks):
    came = rows(*given_tasks)
    kept, dropped = chosen(came)
    assert sorted([*kept, *dropped]) == sorted(row.id for row in came)
    assert [id_.split("-")[0] for id_ in kept] == [f"t{n}" for n in range(len(given_tasks))]
    json.dumps(list(dropped.values()), allow_nan=False)


def test_a_random_control_draws_one_answer_of_each_of_as_many_tasks_at_random():
    came = rows(*[[(k / 10, 5 + k) for k in range(4)] for _ in range(12)])
    values = {"decontaminate": "ignore", "steps": ["rules", "best_answer", "top"], "top_share": 0.5}
    seen = set()
    for seed in range(30):
        result = filter_pairs(came, Filter(random_control=True, **values), lambda _, seed=seed: seed)
        tasks = [row["task"] for row in result.kept]
        assert len(tasks) == len(set(tasks)) == 6
        assert result.lines[-1] == {"step": "random_control", "in": 48, "kept": 6}
        seen |= {row["id"] for row in result.kept}
        assert {row["detail"] for row in result.dropped} == {"an answer to each of 6 of 12 tasks was drawn"}
    assert len(seen) > 40, "some answers are never drawn"


def test_a_control_without_that_step_draws_rows_whatever_their_tasks():
    came = rows(*[[(k / 10, 5) for k in range(4)] for _ in range(5)])
    values = {"decontaminate": "ignore", "steps": ["rules", "top"], "top_share": 0.9, "random_control": True}
    assert len(filter_pairs(came, Filter(**values), len).kept) == 18


def test_the_table_shows_what_the_correction_made_of_the_choice():
    came = rows([(0.5, 30), (0.3, 10)], [(0.7, 30), (0.3, 10)], [(0.4, 20)])
    table = choice_table(came, Filter(steps=["best_answer"]))
    assert [(row["answers"], row["number"], row["tokens"]) for row in table.rows] == [
        ("all", 5, 20.0),
        ("best by score alone", 3, pytest.approx(80 / 3)),
        ("chosen", 3, 20.0),
    ]
    assert [row["score"] for row in table.rows] == pytest.approx([1.3 / 3, 1.6 / 3, 1.4 / 3])
    assert [row.get("the longest") for row in table.rows] == [None, "2 of 2", "1 of 2"]
    assert "3 tasks, 2 of them with several answers" in table.caption
    assert "alpha is 1/51" in table.caption and "prefers long answers" in table.caption


@pytest.mark.parametrize(
    ("came", "values", "said"),
    [
        ([], {}, "no step chooses"),
        (rows([(None, 5), (None, 6)]), {}, "none could be read"),
        (rows([(0.5, 20), (0.3, 20)]), {}, "already as long as all"),
        (rows([(0.5, 30), (0.3, 10)]), {"length_correction": "none"}, "no correction for length"),
        (rows([(0.9, 10), (0.4, 30)], [(0.9, 10), (0.7, 30)]), {}, "prefers short answers"),
    ],
)
def test_the_table_says_in_words_what_was_done(came, values, said):
    assert said in repr(choice_table(came, Filter(steps=["best_answer"], **values)))


def test_the_step_decides_by_the_scorer_that_is_named():
    assert STEPS["best_answer"].by(Filter(best_scorer="expected")).columns == ["expected_quality", "expected_following"]
