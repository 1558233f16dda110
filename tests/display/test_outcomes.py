"""What a stage came to, in words, from its rows and counts; nothing at all included."""

import pytest

from isheep_lib.analysis.significance import compare
from isheep_lib.benchmarks.comparison import Compared
from isheep_lib.display import outcomes

FUNNEL = {"in": 64, "kept": 56, "dropped": {"beyond_target": 6, "cut_off": 2}}
EMPTY = {"in": 0, "kept": 0, "dropped": {}}
NONE_KEPT = {"in": 3, "kept": 0, "dropped": {"echo": 3}}


def answers(*finishes):
    return [{"num_tokens": 10 * n, "finish": finish} for n, finish in enumerate(finishes, 1)]


@pytest.mark.parametrize(
    ("iteration", "name"), [(0, "M_0 (the base model)"), (1, "M_1"), (12, "M_12")], ids=["base", "first", "later"]
)
def test_models_are_named_as_everywhere(iteration, name):
    assert outcomes.model_name(iteration) == name


@pytest.mark.parametrize(
    ("names", "said"), [([], ""), (["a"], "a"), (["a", "b"], "a and b"), (["a", "b", "c"], "a, b and c")], ids=len
)
def test_names_are_listed_as_a_sentence_does(names, said):
    assert outcomes.listed(names) == said


@pytest.mark.parametrize(
    ("counts", "rows", "said"),
    [
        (
            FUNNEL,
            answers("length", "stop", "stop"),
            "M_0 wrote tasks by the method list and answered them: of 64 written 56 (88 %) are kept; dropped: beyond target 6, "
            "cut off 2.\nAn answer has 20 tokens in the median; the token limit ended 1 of 3.",
        ),
        (
            NONE_KEPT,
            [],
            "M_0 wrote tasks by the method list and answered them: of 3 written 0 (0 %) are kept; dropped: echo 3.",
        ),
        (EMPTY, [], "M_0 wrote tasks by the method list and answered them: of 0 written 0 are kept; nothing came in."),
    ],
    ids=["some", "none kept", "nothing"],
)
def test_a_synthesis_says_what_it_kept_and_why_the_rest_left(counts, rows, said):
    told = outcomes.of_synthesis("M_0", "list", counts, rows)
    assert told.said == said
    assert [row["rows"] for row in told.parts[0].rows] == [counts["in"], *counts["dropped"].values(), counts["kept"]]


def test_a_synthesis_by_a_teacher_says_who_wrote_and_who_answered():
    said = outcomes.of_synthesis("M_0", "list", EMPTY, [], "org/large").said
    assert said.startswith("org/large, a foreign model, wrote tasks by the method list; M_0 answered those without an answer: ")


def auroc(low, high, pairs=12):
    return {"value": (low + high) / 2, "low": low, "high": high, "true_pairs": pairs, "wrong_pairs": pairs, "unread": 0}


def checked(**kinds):
    return {"pmi": {"scored": 5, "mean": 0.25, "saturation": None, "auroc": kinds}}


@pytest.mark.parametrize(
    ("calibration", "said"),
    [
        ({}, "How far it can be trusted was not checked of pmi."),
        (
            checked(shuffled=auroc(0.8, 1.0)),
            "Against wrong answers to the same tasks, pmi prefers true answers to shuffled ones.",
        ),
        (
            checked(shuffled=auroc(0.8, 1.0), wrong_task=auroc(0.7, 0.9), truncated=auroc(0.4, 0.6)),
            "Against wrong answers to the same tasks, pmi prefers true answers to shuffled and wrong task; "
            "it does not tell them from truncated ones.",
        ),
        (
            checked(truncated=auroc(0.1, 0.4)),
            "Against wrong answers to the same tasks, pmi prefers, worse than chance, truncated ones.",
        ),
        (
            checked(shuffled=auroc(0.8, 1.0, pairs=2)),
            "Against wrong answers to the same tasks, pmi has too few readable scores for shuffled ones.",
        ),
    ],
    ids=["no check", "better", "by kind", "worse", "too few"],
)
def test_an_assessment_says_how_far_its_scores_can_be_trusted(calibration, said):
    first, second = outcomes.of_assessment("M_1", FUNNEL | {"dropped": {"unread": 8}}, calibration, ["pmi"]).said.split("\n")
    assert first == "M_1 scored its pairs by pmi: 56 of 64 pairs have every score that was asked for; not read: unread 8."
    assert second == said


def test_an_assessment_without_a_scorer_says_so():
    told = outcomes.of_assessment("M_1", {"in": 5, "kept": 5, "dropped": {}}, {}, [])
    assert told.said == "No scorer was asked for: none of 5 pairs is assessed."


@pytest.mark.parametrize(
    ("counts", "pairs", "chance", "said"),
    [
        (
            FUNNEL,
            [],
            False,
            "Of 64 pairs 56 (88 %) are kept to be learned from; dropped: beyond target 6, cut off 2.",
        ),
        ({"in": 1, "kept": 1, "dropped": {}}, [], False, "Of 1 pairs 1 (100 %) is kept to be learned from."),
        (
            {"in": 4, "kept": 3, "dropped": {"not_drawn": 1}},
            [],
            True,
            "Of 4 pairs 3 (75 %) are kept to be learned from, drawn by chance as a control; dropped: not drawn 1.",
        ),
        (
            {"in": 4, "kept": 4, "dropped": {}},
            [{"kind": "score"}, {"kind": "cut"}, {"kind": "score"}],
            False,
            "Of 4 pairs 4 (100 %) are kept to be learned from.\n"
            "Of the answers 3 pairs were made of which one is preferred: 1 by cut, 2 by score.",
        ),
        (EMPTY, [], False, "Of 0 pairs 0 are kept to be learned from; nothing came in."),
    ],
    ids=["reasons", "one", "by chance", "preferences", "nothing"],
)
def test_a_filter_says_what_is_learned_from(counts, pairs, chance, said):
    assert outcomes.of_filter(counts, pairs, chance).said == said


def fate(name, learned):
    return {"fate": name, "learned": learned}


@pytest.mark.parametrize(
    ("fates", "log", "said", "rows"),
    [
        (
            [fate("learned", 10), fate("held_out", 5), fate("learned", 7), fate("empty_response", 0)],
            [{"step": 0.0}, {"step": 6.0}, {"step": 3.0}],
            "A new model, trained from M_0, learned from 2 of 4 rows in 6 optimizer steps; 1 were held out to measure it.",
            [("learned", 2, 17), ("held out", 1, 5), ("empty response", 1, 0)],
        ),
        (
            [],
            [],
            "A new model, trained from M_0, learned from 0 of 0 rows in 0 optimizer steps; 0 were held out to measure it.",
            [],
        ),
    ],
    ids=["rows", "nothing"],
)
def test_a_training_says_what_it_learned_from_and_what_the_held_out_loss_says(fates, log, said, rows):
    told = outcomes.of_training("M_0", fates, log, "The held-out loss fell.")
    assert told.said == f"{said}\nThe held-out loss fell."
    assert [tuple(row.values()) for row in told.parts[0].rows if "number" in row] == rows


def task(value, items=40):
    return {"metric": "acc_norm", "values": {"acc_norm": {"value": value, "standard_error": 1.0, "items": items}}}


def side(right, items=40):
    return {str(i): [float(i in right)] for i in range(items)}


def against(before, right_before, right_after):
    return Compared(before, "M_1", {"arc_easy": compare(side(right_before), side(right_after))}, {})


@pytest.mark.parametrize(
    ("compared", "said"),
    [
        ([], "M_1 was evaluated on 1 benchmark(s), 40 values; there is no earlier evaluation to compare it with."),
        (
            [against("M_0", range(10), range(11))],
            "M_1 was evaluated on 1 benchmark(s), 40 values; against M_0: no difference shown on 1 of 1.",
        ),
        (
            [against("M_0", range(10), range(30))],
            "M_1 was evaluated on 1 benchmark(s), 40 values; against M_0: better on ARC easy.",
        ),
        (
            [against("M_2", range(10), range(11)), against("M_0", range(30), range(10))],
            "M_1 was evaluated on 1 benchmark(s), 40 values; against M_2: no difference shown on 1 of 1; "
            "against M_0: worse on ARC easy.",
        ),
    ],
    ids=["alone", "not told", "better", "two others"],
)
def test_an_evaluation_says_how_the_model_stands_beside_earlier_ones(compared, said):
    told = outcomes.of_evaluation("M_1", {"tasks": {"arc_easy": task(50.0)}, "absent": {}}, compared)
    assert told.said == said
    assert len(told.parts[0].rows) == 1


def test_an_evaluation_names_what_was_left_out_and_can_be_of_nothing():
    told = outcomes.of_evaluation("M_0", {"tasks": {}, "absent": {"ifeval": "no package"}}, [])
    assert told.said.startswith("M_0 was evaluated on 0 benchmark(s), 0 values")
    assert told.said.endswith("Left out for want of data: IFEval.")


JUDGE = {"name": "j", "local": False, "verdicts": "written"}
BIASES = {
    "position_bias": {"bias": 0.125, "se": 0.02},
    "length_bias": {"longer_preferred": 0.625, "se": 0.05},
}
OWN = {"difference": None, "se": None, "why": "these answers are the judge's own"}


def won(rate: float) -> dict:
    return {"alpaca_eval": {"win_rate": {"win_rate": rate, "se": 0.05}, "baseline": "text-davinci-003", **BIASES}}


def graded(mean: float) -> dict:
    return {"mt_bench": {"means": [{"average": 1.0}, {"average": mean}], "ses": [{"average": 0.1}, {"average": 0.25}]}}


@pytest.mark.parametrize(
    ("metrics", "result", "favours", "cells"),
    [
        (
            won(0.25),
            "the answers win 25.0 ± 5.0 % against text-davinci-003.",
            "position +0.125 ± 0.020",
            {"win rate against text-davinci-003": "25.0 ± 5.0 %"},
        ),
        (
            graded(3.5),
            "the answers have a mean grade of 3.50 ± 0.25 of 10.",
            "position, length and self-preference not measured",
            {"mean grade of 10": "3.50 ± 0.25"},
        ),
        (
            won(0.25) | graded(3.5),
            "the answers win 25.0 ± 5.0 % against text-davinci-003 and have a mean grade of 3.50 ± 0.25 of 10.",
            "position +0.125 ± 0.020",
            {"win rate against text-davinci-003": "25.0 ± 5.0 %", "mean grade of 10": "3.50 ± 0.25"},
        ),
    ],
    ids=["pairs", "grades", "both"],
)
def test_a_judgement_names_the_judge_before_what_it_said_and_then_what_it_favours(metrics, result, favours, cells):
    told = outcomes.of_judgement("M_1", {1: {"judge": JUDGE, "self_preference": OWN, **metrics}}, FUNNEL)
    read = "J (a chat server; verdicts written) read the answers of M_1: 56 of 64 verdicts could be read"
    first, second = told.said.split("\n")
    assert first == f"{read}; not read: beyond target 6, cut off 2; {result}"
    assert second.startswith(f"What the judge itself favours: {favours}")
    assert told.parts[0].rows == [{"model": "M_1", **cells}]


def test_a_judgement_stands_beside_those_of_earlier_models_by_the_same_judge_alone():
    other = JUDGE | {"name": "another"}
    found = {k: {"judge": judge, "self_preference": OWN, **won(0.1 * k)} for k, judge in ((0, JUDGE), (1, other), (2, JUDGE))}
    rows = outcomes.of_judgement("M_2", found, FUNNEL).parts[0].rows
    assert [row["model"] for row in rows] == ["M_0 (the base model)", "M_2"]


def test_a_judgement_of_nothing_says_so():
    found = {1: {"judge": JUDGE, "self_preference": OWN}}
    told = outcomes.of_judgement("M_1", found, FUNNEL)
    assert "the answers win" not in told.said and told.parts[0].rows == [{"judged": "nothing"}]
