"""The top: a share of the pairs, or a number of them, by a scorer's mean."""

from collections.abc import Sequence
from typing import ClassVar

from pydantic import Field

from isheep_lib.filter.steps.step import UNREAD, By, Given, Reasons, ScoredPair, Step
from isheep_lib.filter.steps.threshold import ThresholdOptions
from isheep_lib.params.kinds import Section
from isheep_lib.scorers.table import ScorerName, columns


class TopOptions(ThresholdOptions):
    """The options of `top`, which shares the criteria of `threshold`."""

    top_scorer: ScorerName = Field("pmi", description="top: whose scores rank, the mean of its columns")
    top_share: float = Field(0.5, description="top: share of the pairs kept", gt=0.0, le=1.0)
    top_pairs: int = Field(0, description="top: pairs kept, the same number whatever comes; 0 keeps the share", ge=0)


class Top(Step[TopOptions]):
    """Keeps the share, or the number, with the highest mean of a scorer's columns; equal ones in their order."""

    name: ClassVar[str] = "top"
    options: ClassVar[type[Section]] = TopOptions
    meanings: ClassVar[dict[str, str]] = UNREAD | {"not_in_top": "its rank is outside the share or the number that is kept"}

    def by(self, options: TopOptions) -> By:
        """Return the scorer's columns of the criteria."""
        return By("top_scorer", options.top_scorer, columns(options.top_scorer, options.criteria))

    def apply(self, rows: Sequence[ScoredPair], options: TopOptions, given: Given) -> Reasons:
        """Return the pairs below the share, and those that cannot be ranked."""
        names = self.by(options).columns
        means = {
            row.id: sum(row.scores[name] for name in names) / len(names)
            for row in rows
            if all(name in row.scores for name in names)
        }
        said = options.top_scorer
        out: Reasons = {row.id: ("unread_score", f"{said} could not be read") for row in rows if row.id not in means}
        ranked = sorted(means, key=lambda id_: -means[id_])
        keep = options.top_pairs or max(1, round(options.top_share * len(rows)))
        for rank, id_ in enumerate(ranked[keep:], start=keep + 1):
            out[id_] = ("not_in_top", f"{said} {means[id_]:.3g} is number {rank} of {len(rows)}")
        return out
