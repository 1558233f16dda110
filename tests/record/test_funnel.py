"""Counts that add up, and the stop when too little stays."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isheep_lib.errors import YieldError
from isheep_lib.record.funnel import funnel, require

few = settings(max_examples=50, deadline=None)
reasons = st.lists(st.sampled_from(["echo", "cut_off", "empty", "url"]))


@few
@given(reasons, st.integers(0, 50))
def test_a_funnel_adds_up_and_lists_the_most_frequent_reason_first(names, kept):
    counts = funnel(len(names) + kept, [{"reason": name} for name in names])
    assert counts["in"] == counts["kept"] + sum(counts["dropped"].values())
    assert counts["kept"] == kept
    assert {name: names.count(name) for name in names} == counts["dropped"]
    assert list(counts["dropped"].values()) == sorted(counts["dropped"].values(), reverse=True)


@few
@given(st.permutations(["a", "b", "c", "c", "d"]))
def test_a_funnel_does_not_depend_on_the_order_of_rows(names):
    found = funnel(5, [{"reason": name} for name in names])
    assert list(found["dropped"]) == ["c", "a", "b", "d"]


def test_enough_is_enough():
    require(3, 3, "pairs", [], "nothing")


def test_too_few_are_explained_by_reasons_with_examples_and_what_to_do():
    dropped = [
        {"reason": "too_short", "instruction": "Do."},
        {"reason": "echo", "instruction": "Repeat <after> me " + "x" * 200},
        {"reason": "too_short", "instruction": "Go."},
        *({"reason": name, "instruction": "i"} for name in ("a", "b", "c")),
    ]
    with pytest.raises(YieldError) as caught:
        require(2, 24, "tasks were accepted", dropped, "raise max_rounds")
    message = str(caught.value)
    assert "Only 2 tasks were accepted, 24 are needed; dropped 6" in message
    assert "2 too_short" in message
    assert "such as 'Do.'" in message
    assert "do: raise max_rounds" in message
    assert max(map(len, message.splitlines())) < 140
    assert len([line for line in message.splitlines() if "such as" in line]) == 4


def test_nothing_at_all_is_said_as_such():
    with pytest.raises(YieldError, match="nothing at all"):
        require(0, 1, "pairs kept", [], "change the seeds")
