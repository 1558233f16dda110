"""The limit of a response's length."""

import pytest

from isheep_lib.filter.params import Filter
from isheep_lib.filter.run import filter_pairs
from isheep_lib.filter.steps.step import ScoredPair
from isheep_lib.record.rows import Pair


@pytest.mark.parametrize(("words", "kept"), [(2, True), (3, False)])
def test_a_response_may_have_as_many_words_as_the_limit_and_no_more(words, kept):
    row = ScoredPair(Pair("p", "Do.", "", "word " * words), {})
    result = filter_pairs([row], Filter(steps=["length"], max_response_words=2), len)
    assert len(result.kept) == kept
    assert [(one["reason"], one["detail"]) for one in result.dropped] == ([] if kept else [("long_response", "3 words > 2")])
