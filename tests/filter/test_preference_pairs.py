"""Pairs of answers: who stands against whom and why, ties, and a reason for every answer that is in no pair."""

from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isheep_lib.analysis.sentences import shortened
from isheep_lib.errors import DataError, ParameterError, YieldError
from isheep_lib.filter.pair_kinds import KINDS, MEANINGS
from isheep_lib.filter.params import Filter, PairKindName
from isheep_lib.filter.preference_pairs import make_pairs
from isheep_lib.filter.run import Filtered
from isheep_lib.filter.steps.step import ScoredPair
from isheep_lib.iterate.run_params import FilterParams
from isheep_lib.params.check import check
from isheep_lib.record.code import code_digests
from isheep_lib.record.fingerprints import fingerprint
from isheep_lib.record.rows import Pair
from isheep_lib.train.dataset import Preference

WHOLE = "The Seine is long. It flows through Paris. It ends in the sea."


def answer(task, number, pmi=None, text=None, finish="end", asked="Name a river.", **more):
    """Make a scored answer of a task; `constraints` are marks such as "+-", one kept and one broken."""
    marks = more.pop("constraints", "")
    listed = [{"family": "f", "arguments": {}, "text": f"Rule {n}.", "kept": mark == "+"} for n, mark in enumerate(marks)]
    lineage = {"task": task, **({"constraints": listed} if listed else {})}
    pair = Pair(f"{task}-a{number}", asked, "", text or f"Answer {number}. It is short.", finish, 9, lineage)
    return ScoredPair(pair, {"pmi": pmi} if pmi is not None else {})


def made(rows, *kinds, dropped=None, **values):
    """Make pairs of rows, of which `dropped` are dropped by the filter, by id with the reason."""
    dropped = dropped or {}
    filtered = Filtered(
        [{"id": row.id} for row in rows if row.id not in dropped],
        [{"id": row.id, "reason": dropped[row.id], "detail": "why"} for row in rows if row.id in dropped],
        [],
        {},
    )
    return make_pairs(rows, filtered, check(FilterParams, {"preferences": list(kinds), **values}, "x"))


def sides(found):
    return [(row["chosen_id"], row["rejected_id"]) for row in found.pairs]


def reasons(found):
    return {row["id"]: row["reason"] for row in found.unpaired}


SCORED = [answer("t", n, pmi) for n, pmi in enumerate((0.3, 0.9, 0.1, 0.5))]


def test_the_kinds_that_parameters_allow_are_those_of_the_table():
    assert list(KINDS) == list(get_args(PairKindName))


def test_the_best_kept_answer_stands_against_the_worst_of_its_task():
    found = made([*SCORED, answer("u", 0, 5.0), answer("u", 1, 4.0)], "score")
    assert sides(found) == [("t-a1", "t-a2"), ("u-a0", "u-a1")]
    assert reasons(found) == {"t-a0": "between", "t-a3": "between"}
    assert found.pairs[0] == {
        "id": "t-a1-score",
        "task": "t",
        "instruction": "Name a river.",
        "input": "",
        "chosen": "Answer 1. It is short.",
        "rejected": "Answer 2. It is short.",
        "chosen_id": "t-a1",
        "rejected_id": "t-a2",
        "rejected_finish": "end",
        "kind": "score",
        "why": "pmi 0.9 against 0.1",
    }


def test_what_is_chosen_is_kept_and_what_is_rejected_may_be_dropped():
    found = made(SCORED, "score", dropped={"t-a1": "echo", "t-a2": "fails_threshold"})
    assert sides(found) == [("t-a3", "t-a2")]
    none = made(SCORED, "score", dropped=dict.fromkeys([row.id for row in SCORED], "echo"))
    assert (sides(none), set(reasons(none).values())) == ([], {"none_kept"})


def test_an_answer_that_repeats_a_benchmark_item_is_in_no_pair():
    found = made(SCORED, "score", dropped={"t-a2": "benchmark_item"})
    assert sides(found) == [("t-a1", "t-a0")]
    assert reasons(found) == {"t-a2": "benchmark_item", "t-a3": "between"}


def test_a_scorer_whose_good_end_is_low_is_read_from_there():
    rows = [ScoredPair(row.pair, {"perplexity_output": 9.0, "perplexity_pair": row.scores["pmi"]}) for row in SCORED]
    (pair,) = made(rows, "score", pair_scorer="perplexity").pairs
    assert (pair["chosen_id"], pair["rejected_id"], pair["why"]) == ("t-a2", "t-a1", "perplexity 4.55 against 4.95")


@pytest.mark.parametrize(
    ("rows", "values", "reason", "detail"),
    [
        ([answer("t", 0, 0.5)], {}, "only_answer", "score: no other answer"),
        ([answer("t", 0, 0.5), answer("t", 1, 0.5)], {}, "too_close", "pmi 0.5 against 0.5, not more than 0 better"),
        ([answer("t", 0, 0.5), answer("t", 1, 0.25)], {"min_margin": 0.25}, "too_close", "not more than 0.25 better"),
        ([answer("t", 0, 0.5), answer("t", 1, -0.25)], {"min_margin": 1.0}, "too_close", "pmi 0.5 against -0.25"),
        ([answer("t", n, n, "One and the same. ") for n in range(8)], {}, "all_alike", "all 8 answers have the same words"),
        ([answer("t", 0, 0.5), answer("t", 1, 0.1, asked="Name a lake.")], {}, "only_answer", "to the same words"),
    ],
)
def test_ties_and_answers_without_another_are_in_no_pair_and_that_stops_the_run_in_words(rows, values, reason, detail):
    found = made(rows, "score", **values)
    assert found.pairs == []
    assert set(reasons(found).values()) == {reason}
    assert all(detail in row["detail"] for row in found.unpaired)
    with pytest.raises(YieldError) as caught:
        found.require(1)
    said = str(caught.value)
    assert "Only 0 pairs of answers, 1 are needed" in said and f"{len(rows)} {reason}" in said
    assert "more answers a task" in said and "filter.min_margin" in said


def test_a_margin_just_above_the_limit_makes_a_pair():
    rows = [answer("t", 0, 0.5), answer("t", 1, 0.25)]
    assert sides(made(rows, "score", min_margin=0.24)) == [("t-a0", "t-a1")]


def test_an_answer_without_a_readable_score_is_named_and_the_others_are_paired():
    found = made([*SCORED, answer("t", 4)], "score")
    assert sides(found) == [("t-a1", "t-a2")]
    assert reasons(found)["t-a4"] == "unread_score"


def test_scores_that_no_answer_has_are_an_error_that_names_those_there_are():
    with pytest.raises(DataError, match=r"need expected_quality, expected_following, which no answer has(.|\n)*pmi"):
        made(SCORED, "score", pair_scorer="expected")


def test_answers_that_keep_all_constraints_stand_against_those_that_break_one():
    marks = ("++", "+-", "--", "++", "++", "+-", "")
    rows = [answer("t", n, constraints=each) for n, each in enumerate(marks)]
    found = made(rows, "constraint", dropped={"t-a0": "echo", "t-a1": "constraint_broken"})
    assert sides(found) == [("t-a3", "t-a1"), ("t-a4", "t-a2")]
    assert [row["why"] for row in found.pairs] == [
        "keeps 2 of 2 constraints; the other breaks 1: Rule 1.",
        "keeps 2 of 2 constraints; the other breaks 2: Rule 0.",
    ]
    assert reasons(found) == {"t-a0": "not_kept", "t-a5": "no_counterpart", "t-a6": "no_constraints"}


@pytest.mark.parametrize(
    ("marks", "reason"),
    [(("+", "+"), "none_breaks"), (("-", "-"), "none_keeps"), (("+",), "only_answer"), (("", ""), "no_constraints")],
)
def test_constraints_that_all_answers_keep_or_break_make_no_pair(marks, reason):
    found = made([answer("t", n, constraints=each) for n, each in enumerate(marks)], "constraint")
    assert (found.pairs, set(reasons(found).values())) == ([], {reason})


def test_answers_to_instructions_that_got_constraints_of_their_own_are_not_compared():
    rows = [answer("t", 0, constraints="+", asked="Say it in French."), answer("t", 1, constraints="-", asked="Say it loudly.")]
    assert made(rows, "constraint").pairs == []


def test_a_whole_answer_stands_against_one_that_the_limit_cut_else_against_itself_cut():
    rows = [
        answer("t", 0, text=WHOLE),
        answer("t", 1, text="It never ends and", finish="length"),
        answer("t", 2, text="Long. " * 4),
        answer("t", 3, text="Yes."),
        answer("u", 0, text="On and on", finish="length"),
        answer("v", 0, text=WHOLE),
    ]
    found = made(rows, "cut", dropped={"t-a1": "cut_off", "v-a0": "echo"})
    assert sides(found) == [("t-a0", "t-a1"), ("t-a2", "t-a2")]
    assert [row["rejected_finish"] for row in found.pairs] == ["length", "end"]
    assert found.pairs[1]["rejected"] == "Long. Long."
    assert found.pairs[1]["why"] == "whole; the other is itself, ended after 2 of 4 words"
    assert reasons(found) == {"t-a3": "too_short", "u-a0": "none_whole", "v-a0": "not_kept"}


@pytest.mark.parametrize(
    ("text", "left"),
    [
        (WHOLE, "The Seine is long."),  # of two as near the earlier one
        ("The Seine is long. It flows. It ends.", "The Seine is long."),
        ("It is. It was. The Seine flows through.", "It is. It was."),
        ("First line\nsecond line\nthird one", "First line"),
        ("塞纳河很长。它流过巴黎。它很美。", "塞纳河很长。"),
        ("他问：“河长吗？！”她说：“很长。”然后走了。", "他问：“河长吗？！”"),
        ("圆周率约为３．１４。记住它。", "圆周率约为３．１４。"),
        ("सीन नदी लंबी है।वह पेरिस से बहती है।", "सीन नदी लंबी है।"),
        ("ما أطول النهر؟ يجري في باريس.", "ما أطول النهر؟"),
        ("ገንዘቡ አለ። ውሃው ይፈስሳል።", "ገንዘቡ አለ።"),
        ("Il dit « non ». Puis il partit.", "Il dit « non »."),
        ("„Nein!“ Er ging dann fort, ohne ein Wort.", "„Nein!“ Er ging dann"),
        ("แม่น้ำสายนี้ยาวมาก", "แม่น้ำสาย"),
        ("塞纳河流过巴黎", ""),
        ("塞纳河缓缓流过巴黎", "塞纳河缓"),
        ('He said "no." Then he left at once.', 'He said "no."'),
        ("one two three four five six seven eight", "one two three four"),
        ("one two three four five six seven", ""),
        ("It is 3.5 metres", ""),
        ("Yes.", ""),
        ("", ""),
    ],
)
def test_a_text_is_cut_at_the_sentence_end_nearest_to_its_middle(text, left):
    assert shortened(text) == left


@given(st.text(st.sampled_from("ab .!?\n\"'。"), max_size=60))
def test_what_is_cut_is_a_shorter_beginning(text):
    left = shortened(text)
    assert text.strip().startswith(left)
    assert len(left) < len(text.strip()) or not text.strip()


def test_several_kinds_stand_side_by_side_and_an_answer_in_none_says_why_of_each():
    rows = [answer("t", 0, 0.9, WHOLE), answer("t", 1, 0.1), answer("t", 2, 0.5, "Yes.")]
    found = made(rows, "score", "constraint", "cut", dropped={"t-a1": "echo"})
    assert [row["id"] for row in found.pairs] == ["t-a0-score", "t-a0-cut"]
    (last,) = found.unpaired
    assert (last["id"], last["reason"]) == ("t-a2", "between")
    assert last["detail"] == "score: pmi 0.9 against 0.1; constraint: the instruction has none; cut: nothing can be cut of it"
    assert found.facts() == {"preferences": {"pairs": {"score": 1, "constraint": 0, "cut": 1}, "unpaired": {"between": 1}}}


scores = st.none() | st.integers(-2, 2).map(float)
answers = st.lists(
    st.tuples(st.sampled_from("tu"), scores, st.sampled_from([WHOLE, "Yes.", "No way. Never."]), st.booleans(), st.booleans()),
    max_size=7,
)


@given(answers, st.lists(st.sampled_from(["score", "constraint", "cut"]), unique=True, min_size=1))
def test_every_answer_is_in_a_pair_or_has_a_reason_with_a_meaning(drawn, kinds):
    rows = [
        answer(task, n, pmi, text, "length" if cut else "end", constraints="+" if pmi and pmi > 0 else "-")
        for n, (task, pmi, text, cut, _) in enumerate(drawn)
    ]
    rows.append(answer("w", 99, 1.0))
    dropped = {row.id: "echo" for row, (*_, gone) in zip(rows, drawn, strict=False) if gone}
    found = made(rows, *kinds, dropped=dropped)
    in_pairs = {id_ for pair in sides(found) for id_ in pair}
    assert in_pairs.isdisjoint(reasons(found)) and in_pairs | set(reasons(found)) == {row.id for row in rows}
    assert set(reasons(found).values()) <= set(MEANINGS)
    assert not {chosen for chosen, _ in sides(found)} & set(dropped)
    assert len({row["id"] for row in found.pairs}) == len(found.pairs)
    assert all(row["chosen"].strip() != row["rejected"].strip() for row in found.pairs if row["kind"] != "constraint")
    assert made(rows, *kinds, dropped=dropped) == found


def test_a_row_is_read_by_the_training_as_it_was_written():
    (row,) = made([answer("t", 0, text=WHOLE), answer("t", 1, text="On and", finish="length")], "cut").pairs
    read = Preference.from_row(row)
    assert (read.id, read.task_id, read.chosen.output, read.rejected.output) == ("t-a0-cut", "t", WHOLE, "On and")
    assert (read.chosen.finish, read.rejected.finish) == ("end", "length")


def test_rows_of_one_answer_a_task_are_paired_by_their_own_ids():
    rows = [ScoredPair(Pair("i1", "Name a river.", "", WHOLE), {"pmi": 1.0})]
    (row,) = made(rows, "cut").pairs
    assert (row["id"], row["task"], row["chosen_id"], row["rejected_id"]) == ("i1-cut", "i1", "i1", "i1")


def test_without_kinds_nothing_is_written_required_or_hashed():
    found = made(SCORED)
    assert (found.outputs(), found.facts(), found.unpaired) == ({}, {}, [])
    found.require(99)
    of_pairs, of_lima = {"preferences", "pair_scorer", "min_margin", "min_pairs"}, {"lima_scorer", "lima_budget"}
    assert set(Filter.model_fields) - set(Filter().deciding()) == of_pairs | of_lima | {"top_pairs"}
    asked = Filter(preferences=["cut"])
    assert asked.deciding() == asked.model_dump(exclude=of_lima | {"top_pairs"})
    one, other = (code_digests(params.code()) for params in (Filter(), asked))
    assert "make_pairs" in other and "make_pairs" not in one
    assert fingerprint(one) != fingerprint(other)


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        (
            {"preferences": ["cut"], "pair_scorer": "expected"},
            "pair_scorer: no pairs are made by score; add score to preferences",
        ),
        ({"min_margin": 0.5}, "min_margin: no pairs are made by score; add score to preferences"),
        ({"min_pairs": 4}, "min_pairs: no pairs of answers are made; name their kinds in preferences"),
        ({"preferences": ["cut", "cut"]}, "none twice"),
        ({"preferences": ["best"]}, "'score', 'constraint' or 'cut'"),
        ({"preferences": ["score"], "min_margin": -1.0}, "greater than or equal to 0"),
        (
            {"preferences": ["score"], "pair_scorer": "expected", "criteria": "none", "steps": ["rules"]},
            "criteria: none leaves pairs by score nothing to decide by",
        ),
    ],
)
def test_what_contradicts_itself_is_refused(values, complaint):
    with pytest.raises(ParameterError) as caught:
        check(FilterParams, values, "x")
    assert complaint in str(caught.value)


def test_a_random_control_has_the_same_pairs_in_an_order_by_chance():
    rows = [answer(f"t{n}", k, text=f"{n} {k}. So.", constraints="+-"[k], finish="end" if k == 0 else "length")
            for n in range(40) for k in (0, 1)]  # fmt: skip
    ordered, chance = made(rows, "constraint"), made(rows, "constraint", random_control=True)
    assert chance.pairs == made(rows, "constraint", random_control=True).pairs
    assert [set(each) for each in sides(chance)] == [set(each) for each in sides(ordered)]
    exchanged = [new for new, old in zip(chance.pairs, ordered.pairs, strict=True) if new["chosen"] != old["chosen"]]
    assert 10 < len(exchanged) < 30
    for row in chance.pairs:
        swapped = row in exchanged
        assert row["why"].startswith("exchanged by chance; keeps" if swapped else "by chance; keeps")
        read = Preference.from_row(row)
        assert (read.chosen.finish, read.rejected.finish) == (("length", "end") if swapped else ("end", "length"))
