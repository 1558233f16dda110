"""Density: some pairs of every K-means cluster (paper, Appendix C)."""

import random
from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from pydantic import Field

from isheep_lib.analysis.kmeans import cluster
from isheep_lib.filter.steps.step import By, Given, Reasons, ScoredPair, Step
from isheep_lib.params.kinds import Positive, Section

CLUSTER_SHARE = 0.3  # clusters per pair when K is 0: the paper's 3000 of 10000


class DensityOptions(Section):
    """The options of `density` and `density_perplexity`."""

    clusters: int = Field(0, description="density: K of K-means, 0 is three tenths of the pairs (3000 of 10000)", ge=0)
    rows_per_cluster: Positive = Field(1, description="density: pairs kept of a cluster, at random or the lowest perplexity")


def number_of_clusters(rows: int, wanted: int) -> int:
    """Return K, scaled to the data where it is 0."""
    return wanted or max(1, round(CLUSTER_SHARE * rows))


class Density(Step[DensityOptions]):
    """Keeps pairs of every cluster at random."""

    name: ClassVar[str] = "density"
    options: ClassVar[type[Section]] = DensityOptions
    meanings: ClassVar[dict[str, str]] = {"same_cluster": "other pairs of its cluster were chosen"}
    needs_vectors: ClassVar[bool] = True
    packages: ClassVar[tuple[str, ...]] = ("numpy",)

    def chosen(self, group: list[int], rows: Sequence[ScoredPair], number: int, draw: random.Random) -> set[int]:
        """Choose places of a cluster's pairs."""
        return set(draw.sample(group, min(number, len(group))))

    def apply(self, rows: Sequence[ScoredPair], options: DensityOptions, given: Given) -> Reasons:
        """Return the pairs of each cluster that are not chosen."""
        out: Reasons = {}
        draw = random.Random(given.seed)  # noqa: S311 - reproducible, not secret
        wanted = number_of_clusters(len(rows), options.clusters)
        for number, group in enumerate(cluster(np.asarray(given.vectors), wanted, given.seed)):
            kept = self.chosen(group, rows, options.rows_per_cluster, draw)
            out |= {rows[i].id: ("same_cluster", f"cluster {number} has {len(group)} pairs") for i in group if i not in kept}
        return out


class DensityPerplexity(Density):
    """Keeps the pairs of every cluster with the lowest perplexity of task and response."""

    name: ClassVar[str] = "density_perplexity"
    column: ClassVar[str] = "perplexity_pair"

    def by(self, options: DensityOptions) -> By:
        """Return the perplexity of task and response together."""
        return By("steps", "perplexity", [self.column])

    def chosen(self, group: list[int], rows: Sequence[ScoredPair], number: int, draw: random.Random) -> set[int]:
        """Choose the places of the lowest; an unread one comes last, equal ones in their order."""
        return set(sorted(group, key=lambda i: (rows[i].scores.get(self.column, np.inf), i))[:number])
