"""Limits of perplexity (paper, Appendix C)."""

from typing import ClassVar

from pydantic import Field

from isheep_lib.filter.steps.step import UNREAD, By, PairStep, Reason, ScoredPair, first_unread
from isheep_lib.params.kinds import Section
from isheep_lib.scorers.table import columns


class PerplexityOptions(Section):
    """The options of `perplexity`."""

    max_output_perplexity: float = Field(50.0, description="perplexity: limit of the response, more is dropped", gt=0.0)
    max_pair_perplexity: float = Field(50.0, description="perplexity: limit of task and response together", gt=0.0)


class PerplexityLimit(PairStep[PerplexityOptions]):
    """Drops pairs with a perplexity over its limit."""

    name: ClassVar[str] = "perplexity"
    options: ClassVar[type[Section]] = PerplexityOptions
    meanings: ClassVar[dict[str, str]] = UNREAD | {
        "high_perplexity": "the perplexity of the response, or of task and response, is over its limit"
    }

    def by(self, options: PerplexityOptions) -> By:
        """Return both perplexities."""
        return By("steps", "perplexity", columns("perplexity", "both"))

    def problem(self, row: ScoredPair, options: PerplexityOptions) -> Reason:
        """Return the first perplexity that is unread or over its limit."""
        limits = (options.max_output_perplexity, options.max_pair_perplexity)
        for name, limit in zip(self.by(options).columns, limits, strict=True):
            if (unread := first_unread(row, [name]))[0]:
                return unread
            if row.scores[name] > limit:
                return "high_perplexity", f"{name} {row.scores[name]:.1f} > {limit:g}"
        return "", ""
