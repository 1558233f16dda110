"""Self-assessment: reading scores, scorers, and the check of how far they can be trusted."""

import json
import math
import random

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from isheep_lib import assess
from isheep_lib.assess import (
    Scores,
    auroc,
    checked_sample,
    columns,
    expectation,
    judge_prompt,
    mutual_information,
    parse_score,
    reliability,
    run_check,
    score_pairs,
    shuffled,
)
from isheep_lib.engines.scripted import ScriptedEngine
from isheep_lib.journal import Journal
from isheep_lib.params import AssessParams
from isheep_lib.prompts import Frame

few = settings(max_examples=50, deadline=None)
FRAME = Frame("f", "<", ">", "END")
pieces = st.sampled_from(["8", "||", "10", " ", "score", ":", "/10", ".", "-", "<", ">", "**", "good", "\n", "11", "٣", "²"])
replies = st.text() | st.lists(pieces).map("".join)
score_lists = st.lists(st.integers(1, 10) | st.just(math.nan) | st.floats(-3, 3), max_size=8)


def pairs(number, outputs=None):
    return [
        {"id": f"p{n}", "instruction": f"Task {n}.", "input": "", "output": (outputs or [f"answer {n}"] * number)[n]}
        for n in range(number)
    ]


@pytest.mark.parametrize(
    ("reply", "value"),
    [
        ("8||good", 8),
        (" 8 || good", 8),
        ("<8>||", 8),
        ("<8>||<good>", 8),
        ("[8]||", 8),
        ("**9**||x", 9),
        ('"9"||x', 9),
        ("10||perfect", 10),
        ("1||bad", 1),
        ("8/10||x", 8),
        ("8 / 10 || x", 8),
        ("8.5||x", 8.5),
        ("I'd give it 7.5||", 7.5),
        ("I count 3 mistakes, so 6||x", 6),
        ("Score: 9/10", 9),
        ("score is 9", 9),
        ("The score is: 9", 9),
        ("Rating: **7**", 7),
        ("Quality: 4.", 4),
        ("<6> because", 6),
        ("10", 10),
        ("1 0", 1),
        ("7", 7),
        ("7\n", 7),
        ("7 points", 7),
        ("7||a\n7||b", 7),
        ("7||a 8 of 9", 7),
    ],
)
def test_a_written_score_is_read(reply, value):
    assert parse_score(reply) == (value, "")


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        ("", "no_number"),
        ("   \n", "no_number"),
        ("eleven||", "no_number"),
        ("||good", "no_number"),
        ("<score>||<explanation>", "no_number"),
        ("The response is good and has 3 parts", "no_number"),
        ("Good. 8", "no_number"),
        ("11||", "out_of_range"),
        ("0||", "out_of_range"),
        ("0.5||", "out_of_range"),
        ("100||", "out_of_range"),
        ("10.5||", "out_of_range"),
        ("95/100||x", "out_of_range"),
        ("2024", "out_of_range"),
        ("9" * 400 + "||", "out_of_range"),
        ("-3||", "out_of_range"),
        ("7||a 3||b", "ambiguous"),
        ("1||2||3||", "ambiguous"),
    ],
)
def test_a_reply_without_a_readable_score_has_a_reason(reply, reason):
    assert parse_score(reply) == (None, reason)


@few
@given(replies)
@example("٣||")
@example("²||")
@example("1" * 5000 + "||")
def test_reading_a_score_never_fails_and_stays_within_the_scale(reply):
    value, reason = parse_score(reply)
    assert (value is None and reason in ("no_number", "out_of_range", "ambiguous")) or (1 <= value <= 10 and reason == "")


@few
@given(st.lists(st.floats(-69.0, 0.0), min_size=10, max_size=10))
def test_an_expectation_lies_within_the_scale(logs):
    value, mass = expectation(logs)
    assert 1 - 1e-9 <= value <= 10 + 1e-9
    assert mass > 0


@pytest.mark.parametrize(
    ("shares", "expected"),
    [({7: 1.0}, 7), ({1: 0.5, 10: 0.5}, 5.5), ({2: 0.1, 4: 0.3}, 3.5), (dict.fromkeys(range(1, 11), 0.1), 5.5)],
)
def test_an_expectation_weighs_each_number_by_its_share(shares, expected):
    value, mass = expectation([math.log(shares.get(n, 1e-30)) for n in range(1, 11)])
    assert value == pytest.approx(expected)
    assert mass == pytest.approx(sum(shares.values()))


def test_prompted_scorers_have_a_column_an_axis():
    assert columns("mutual_information") == ["mutual_information"]
    assert columns("text") == ["text_quality", "text_following"]
    assert columns("expected") == ["expected_quality", "expected_following"]


@few
@given(score_lists, score_lists)
def test_auroc_is_the_share_of_pairs_in_order(positive, negative):
    wins = [
        1.0 if p > n else 0.5 if p == n else 0.0 for p in positive for n in negative if not (math.isnan(p) or math.isnan(n))
    ]
    found = auroc(np.array(positive, dtype=float), np.array(negative, dtype=float))
    if wins:
        assert found == pytest.approx(sum(wins) / len(wins))
    else:
        assert math.isnan(found)


@few
@given(st.integers(2, 40), st.integers(0, 2**31))
def test_shuffled_pairs_are_a_derangement(number, seed):
    rows = pairs(number, [f"o{n}" for n in range(number)])
    found = shuffled(rows, seed)
    assert [row["instruction"] for row in found] == [row["instruction"] for row in rows]
    assert sorted(row["output"] for row in found) == sorted(row["output"] for row in rows)
    assert all(new["output"] != old["output"] for new, old in zip(found, rows, strict=True))
    assert not {row["id"] for row in found} & {row["id"] for row in rows}
    assert found == shuffled(rows, seed)


@few
@given(st.lists(st.sampled_from(["", "a", "b"]), max_size=20), st.integers(1, 25), st.integers(0, 99))
def test_the_checked_sample_is_a_part_without_empty_outputs_in_order(outputs, number, seed):
    rows = pairs(len(outputs), outputs)
    found = checked_sample(rows, number, seed)
    ids = [int(row["id"][1:]) for row in found]
    assert ids == sorted(set(ids))
    assert len(found) == min(number, sum(map(bool, outputs)))
    assert all(row["output"] and row in rows for row in found)


def scored(values, column="x"):
    return [Scores(str(n), {} if value is None else {column: value}) for n, value in enumerate(values)]


def test_a_perfect_score_is_told_from_chance_with_certainty():
    found = reliability(scored([8, 9, 10, 9]), scored([1, 2, 3, 1]), "x", 200, seed=1)
    assert (found.auroc, found.low, found.high) == (1.0, 1.0, 1.0)
    assert (found.true_pairs, found.shuffled_pairs, found.unread) == (4, 4, 0)


def test_the_interval_encloses_the_auroc_and_widens_for_fewer_pairs():
    rng = random.Random(0)
    values = [rng.gauss(0.5, 1) for _ in range(200)], [rng.gauss(0, 1) for _ in range(200)]
    many = reliability(scored(values[0]), scored(values[1]), "x", 300, seed=1)
    fewer = reliability(scored(values[0][:20]), scored(values[1][:20]), "x", 300, seed=1)
    for found in (many, fewer):
        assert found.low <= found.auroc <= found.high
    assert many.high - many.low < fewer.high - fewer.low
    assert many == reliability(scored(values[0]), scored(values[1]), "x", 300, seed=1)


def test_scores_that_could_not_be_read_are_counted_and_left_out():
    found = reliability(scored([9, None, 8]), scored([None, None, 1]), "x", 100, seed=1)
    assert (found.auroc, found.true_pairs, found.shuffled_pairs, found.unread) == (1.0, 2, 1, 3)


@pytest.mark.parametrize(("true", "false"), [([None, None], [1, 2]), ([1, 2], [None, None]), ([], [])])
def test_a_side_without_a_score_gives_no_number(true, false):
    found = reliability(scored(true), scored(false), "x", 100, seed=1)
    assert all(math.isnan(value) for value in (found.auroc, found.low, found.high))
    document = assess.summary([found])
    assert document["x"]["auroc"] is document["x"]["low"] is document["x"]["high"] is None
    json.dumps(document, allow_nan=False)


def test_a_summary_is_rounded_and_keyed_by_column():
    found = assess.Reliability("x", 2 / 3, 0.5, 1.0, 3, 3, 0)
    assert assess.summary([found]) == {
        "x": {"auroc": 0.6667, "low": 0.5, "high": 1.0, "true_pairs": 3, "shuffled_pairs": 3, "unread": 0}
    }


def fits(text):
    """Know the right answer of every pair."""
    return any(f"Task {n}." in text and f"answer {n}" in text for n in range(60))


def judge(written=()):
    return ScriptedEngine(written, batch=3, fits=fits)


def score(engine, rows, scorers, path):
    with Journal(path / "j.jsonl", "f") as journal:
        return score_pairs(engine, FRAME, rows, scorers, AssessParams(), len, journal)


def numbered(number):
    return pairs(number, [f"answer {n}" for n in range(number)])


def test_mutual_information_is_the_gain_a_token_over_the_same_frame_without_words():
    engine = judge()
    assert mutual_information(engine, FRAME, numbered(2)) == [0.5, 0.5]
    assert engine.calls == [
        [("<Task 0.>", "answer 0END"), ("<Task 1.>", "answer 1END"), ("<>", "answer 0END"), ("<>", "answer 1END")]
    ]


def test_a_judge_is_shown_the_task_with_its_input_and_the_response():
    text = judge_prompt(FRAME, "quality", {"id": "a", "instruction": "Add.", "input": "{1}", "output": "{x}"})
    assert "Add.\n\n{1}" in text
    assert "{x}" in text
    assert (text[0], text[-1]) == ("<", ">")


@pytest.mark.parametrize("number", [1, 15, 16, 17, 40])
def test_every_pair_gets_its_own_scores_across_chunks(tmp_path, number):
    rows = numbered(number)
    rows[number // 2]["output"] = "wrong"
    found = score(judge(), rows, ["mutual_information", "expected"], tmp_path)
    assert [row.id for row in found] == [row["id"] for row in rows]
    for n, row in enumerate(found):
        right = n != number // 2
        assert row.scores["mutual_information"] == (0.5 if right else 0.0)
        assert row.scores["expected_quality"] == pytest.approx(8 if right else 1)
        assert row.scores["expected_following"] == pytest.approx(9 if right else 2)


def test_scoring_goes_on_where_it_stopped(tmp_path):
    rows, first = numbered(20), judge()
    whole = score(first, rows, ["mutual_information", "expected"], tmp_path)
    again = judge()
    assert score(again, rows, ["mutual_information", "expected"], tmp_path) == whole
    assert again.calls == []
    path = tmp_path / "j.jsonl"
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:2]))  # the first chunk only
    assert score(again, rows, ["mutual_information", "expected"], tmp_path) == whole
    assert len(again.calls) == len(first.calls) - 1


def test_written_scores_keep_the_raw_text_and_why_it_could_not_be_read(tmp_path):
    found = score(judge(["8||fine", "eleven||", "12||", "3||so so"]), numbered(2), ["text"], tmp_path)
    assert [row.scores for row in found] == [{"text_quality": 8.0}, {"text_following": 3.0}]
    assert [row.unread for row in found] == [{"text_following": "no_number"}, {"text_quality": "out_of_range"}]
    assert found[1].raw == {"text_quality": "12||", "text_following": "3||so so"}
    counts = assess.counts(found, columns("text"))
    assert counts == {"in": 2, "kept": 0, "dropped": {"no_number": 1, "out_of_range": 1}}
    assert assess.counts(found, ["text_quality"]) == {"in": 2, "kept": 1, "dropped": {"out_of_range": 1}}
    assert assess.as_rows(found)[0]["id"] == "p0"


def test_the_check_finds_scorers_that_know_the_right_pairs(tmp_path):
    params = AssessParams(checked_pairs=6, checked_scorers=["mutual_information", "expected"], bootstrap=100)
    with Journal(tmp_path / "j.jsonl", "f") as journal:
        engine, all_pairs = judge(), numbered(10)
        known = score_pairs(engine, FRAME, all_pairs, params.scorers, params, len, journal)
        check = run_check(engine, FRAME, all_pairs, known, params, len, journal)
    assert len(check.true) == len(check.shuffled) == 6
    assert [r.column for r in check.found] == ["mutual_information", "expected_quality", "expected_following"]
    assert [r.auroc for r in check.found] == [1.0, 1.0, 1.0]


def test_the_ranked_table_shows_each_pair_once_with_its_copy_share():
    rows = pairs(3, ["answer one", "Task 1.", "<b>"])
    table = assess.ranked_table(rows, scored([0.5, 2.0, 1.0], "mutual_information"), "mutual_information", 2)
    assert [(row["side"], row["mutual_information"], row["copied"]) for row in table.rows] == [
        ("highest", "2.00", "100%"),
        ("highest", "1.00", "0%"),
        ("lowest", "0.50", "0%"),
    ]
    assert "<b>" not in table._repr_html_()


def test_unread_scores_are_shown_with_their_raw_text():
    rows = [Scores("a", {}, {"text_quality": "no_number"}, {"text_quality": "<script>"})]
    table = assess.unread_table(rows)
    assert table.rows == [{"id": "a", "score": "text_quality", "reason": "no_number", "raw text": "<script>"}]
    assert "1 written score(s) could not be read" in table.caption
    assert "all could be read" in repr(assess.unread_table([]))
