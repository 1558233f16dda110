"""Names of scorers, their columns and what these mean."""

from typing import get_args

import pytest

from isheep_lib.record.score_columns import (
    LOWER_IS_BETTER,
    PROMPTED,
    RELATIVE,
    WRITTEN,
    Level,
    ScorerName,
    columns,
    criteria,
    saturates,
    scorer_of,
    unit,
)

SCORERS = get_args(ScorerName)
LEVELS = get_args(Level)


@pytest.mark.parametrize(
    ("level", "expected"),
    [("both", ("quality", "following")), ("quality", ("quality",)), ("following", ("following",)), ("none", ())],
)
def test_a_level_asks_about_these_axes(level, expected):
    assert criteria(level) == expected


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("scorer", SCORERS)
def test_a_scorer_that_asks_has_a_column_an_axis_and_the_others_do_not_mind_the_level(scorer, level):
    found = columns(scorer, level)
    if scorer in PROMPTED:
        assert found == [f"{scorer}_{criterion}" for criterion in criteria(level)]
    elif scorer == "perplexity":
        assert found == ["perplexity_output", "perplexity_pair"]
    else:
        assert found == [scorer]


def test_no_two_scorers_share_a_column():
    every = [column for scorer in SCORERS for column in columns(scorer, "both")]
    assert len(set(every)) == len(every)


@pytest.mark.parametrize("scorer", SCORERS)
def test_a_column_knows_its_scorer_its_unit_and_whether_it_has_a_top(scorer):
    for column in columns(scorer, "both"):
        assert scorer_of(column) == scorer
        assert saturates(column) == (scorer in PROMPTED)
        assert (unit(column) == "1 to 10") == (scorer in PROMPTED)


def test_every_scorer_is_of_a_known_kind():
    assert set(WRITTEN) < set(PROMPTED) < set(SCORERS)
    assert set(SCORERS) == {*PROMPTED, *RELATIVE, "perplexity"}
    assert set(LOWER_IS_BETTER) == {"ifd_loss", "ifd_perplexity", "perplexity"}
