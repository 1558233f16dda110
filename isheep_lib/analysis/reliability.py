"""How well a score tells true pairs from wrong ones: the AUROC, and what a check of it says of a column.

Covers the numbers, and what is shown of a check. Does not cover making wrong pairs or the bootstrap (`assess`).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np


@dataclass(frozen=True)
class Reliability:
    """How well one score column tells true pairs from one kind of wrong ones.

    Attributes:
        column: the score column.
        corruption: how the wrong pairs were made.
        auroc: area under the ROC curve; 0.5 is chance. NaN when a side has no readable score.
        low: lower end of the 95 % bootstrap interval over pairs.
        high: upper end.
        true_pairs: readable scores of true pairs.
        wrong_pairs: readable scores of wrong pairs.
        unread: scores that could not be read, both sides.
    """

    column: str
    corruption: str
    auroc: float
    low: float
    high: float
    true_pairs: int
    wrong_pairs: int
    unread: int


class HasScores(Protocol):
    """A pair's scores by column, those that could be read."""

    @property
    def scores(self) -> Mapping[str, float]:
        """By column."""


class Checked(Protocol):
    """A check of scores, as far as it is drawn."""

    @property
    def columns(self) -> Sequence[str]:
        """Those that were checked."""

    @property
    def true(self) -> Sequence[HasScores]:
        """Of true pairs."""

    @property
    def wrong(self) -> Mapping[str, Sequence[HasScores]]:
        """Of wrong pairs, by kind."""

    @property
    def found(self) -> Sequence[Reliability]:
        """Each column's reliability for each kind."""


def auroc(positive: np.ndarray, negative: np.ndarray) -> float:
    """Return P(positive > negative) + P(equal) / 2 over all pairs, NaN values left out."""
    positive, negative = positive[~np.isnan(positive)], negative[~np.isnan(negative)]
    if not len(positive) or not len(negative):
        return math.nan
    above = (positive[:, None] > negative[None, :]).mean()
    equal = (positive[:, None] == negative[None, :]).mean()
    return float(above + equal / 2)
