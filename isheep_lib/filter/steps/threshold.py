"""The threshold: every score that decides must compare with C (paper, Section 3.4)."""

import operator
from collections.abc import Callable
from typing import ClassVar, Literal

from pydantic import Field

from isheep_lib.filter.steps.step import UNREAD, By, PairStep, Reason, ScoredPair, first_unread
from isheep_lib.params.kinds import Section
from isheep_lib.scorers.scorer import Level
from isheep_lib.scorers.table import ScorerName, columns

COMPARISONS: dict[str, tuple[Callable[[float, float], bool], str]] = {
    "above": (operator.gt, "above"),
    "at_least": (operator.ge, "at least"),
    "below": (operator.lt, "below"),
    "at_most": (operator.le, "at most"),
}


class ThresholdOptions(Section):
    """The options of `threshold`; `top` shares the criteria."""

    scorer: ScorerName = Field("pmi", description="threshold: whose scores decide")
    criteria: Level = Field("both", description="threshold and top: criteria of a prompted scorer that decide")
    threshold: float = Field(0.25, description="threshold: C of the paper")
    comparison: Literal["above", "at_least", "below", "at_most"] = Field(
        "above", description="threshold: what a kept score is; the paper's is strictly above"
    )


class Threshold(PairStep[ThresholdOptions]):
    """Drops pairs with a score that does not compare with C, strictly above in the paper."""

    name: ClassVar[str] = "threshold"
    options: ClassVar[type[Section]] = ThresholdOptions
    meanings: ClassVar[dict[str, str]] = UNREAD | {
        "fails_threshold": "a score that decides does not compare with the threshold as `comparison` says"
    }

    def by(self, options: ThresholdOptions) -> By:
        """Return the scorer's columns of the criteria."""
        return By("scorer", options.scorer, columns(options.scorer, options.criteria))

    def problem(self, row: ScoredPair, options: ThresholdOptions) -> Reason:
        """Return the first column that does not pass."""
        names = self.by(options).columns
        if (unread := first_unread(row, names))[0]:
            return unread
        passes, said = COMPARISONS[options.comparison]
        for name in names:
            if not passes(row.scores[name], options.threshold):
                return "fails_threshold", f"{name} {row.scores[name]:.3g} is not {said} {options.threshold:g}"
        return "", ""
