"""Reading scores: what a reply or the probabilities of the numbers say."""

import math

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from isheep_lib.prompting.score_parsing import LABELS, expectation, parse_score

few = settings(max_examples=50, deadline=None)
pieces = st.sampled_from(["8", "||", "10", " ", "score", ":", "/10", ".", "-", "<", ">", "**", "good", "\n", "11", "٣", "²"])
replies = st.text() | st.lists(pieces).map("".join)


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
        ("1 0", "no_number"),
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


def test_the_labels_are_the_numbers_of_the_scale():
    assert [int(label) for label in LABELS] == list(range(1, 11))
