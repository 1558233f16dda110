"""Scorers that only read: how likely the model finds a response, with its task and without it."""

import math
from collections.abc import Mapping
from typing import ClassVar

from isheep_lib.record.rows import Pair
from isheep_lib.scorers.scorer import Likelihood


class Pmi(Likelihood):
    """Pointwise mutual information of task and response: log p(response | task) - log p(response), per token."""

    unit: ClassVar[str] = "nats per token"
    needs: ClassVar[tuple[str, ...]] = ("task", "alone")

    def score(self, losses: Mapping[str, float], pair: Pair) -> dict[str, float | None]:
        """Return the loss alone minus that with the task."""
        return {self.name: round(losses["alone"] - losses["task"], 5)}


class IfdLoss(Likelihood):
    """Instruction-following difficulty as the ratio of losses (Li et al. 2023); below 1 the task helps."""

    unit: ClassVar[str] = "ratio of losses"
    lower_is_better: ClassVar[bool] = True
    needs: ClassVar[tuple[str, ...]] = ("task", "alone")

    def score(self, losses: Mapping[str, float], pair: Pair) -> dict[str, float | None]:
        """Return the ratio, None where the loss alone is 0."""
        alone = losses["alone"]
        return {self.name: round(losses["task"] / alone, 5) if alone else None}


class IfdPerplexity(Likelihood):
    """Instruction-following difficulty as the ratio of perplexities (Li et al. 2024); below 1 the task helps."""

    unit: ClassVar[str] = "ratio of perplexities"
    lower_is_better: ClassVar[bool] = True
    needs: ClassVar[tuple[str, ...]] = ("task", "alone")

    def score(self, losses: Mapping[str, float], pair: Pair) -> dict[str, float | None]:
        """Return the exponential of the difference of the losses."""
        return {self.name: round(math.exp(losses["task"] - losses["alone"]), 5)}


class Perplexity(Likelihood):
    """Perplexity of the bare texts: of the response, and of task and response together (paper, Appendix C)."""

    unit: ClassVar[str] = "perplexity"
    lower_is_better: ClassVar[bool] = True
    needs: ClassVar[tuple[str, ...]] = ("output", "pair")

    def columns(self, level: str) -> list[str]:
        """Name the columns of the response and of the whole pair."""
        return [f"{self.name}_output", f"{self.name}_pair"]

    def score(self, losses: Mapping[str, float], pair: Pair) -> dict[str, float | None]:
        """Return both; an empty response has none of its own."""
        output, whole = self.columns("both")
        return {
            output: round(math.exp(losses["output"]), 3) if pair.output else None,
            whole: round(math.exp(losses["pair"]), 3),
        }
