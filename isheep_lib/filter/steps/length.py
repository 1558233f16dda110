"""A limit of a response's length in words."""

from typing import ClassVar

from pydantic import Field

from isheep_lib.analysis.words import words
from isheep_lib.filter.steps.step import PairStep, Reason, ScoredPair
from isheep_lib.params.kinds import Positive, Section


class LengthOptions(Section):
    """The options of `length`."""

    max_response_words: Positive = Field(300, description="length: words of a response, more is dropped")


class Length(PairStep):
    """Drops pairs with a long response."""

    name: ClassVar[str] = "length"
    options: ClassVar[type[Section]] = LengthOptions
    meanings: ClassVar[dict[str, str]] = {"long_response": "the response has more words than max_response_words"}

    def problem(self, row: ScoredPair, options: LengthOptions) -> Reason:
        """Return the number of words where it is over the limit."""
        number = len(words(row.pair.output))
        return (
            ("long_response", f"{number} words > {options.max_response_words}")
            if number > options.max_response_words
            else ("", "")
        )
