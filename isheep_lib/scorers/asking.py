"""Scorers that ask the model for a score from 1 to 10 (paper, Section 3.3)."""

from typing import ClassVar

from isheep_lib.prompting.score_parsing import expectation, parse_score
from isheep_lib.scorers.scorer import Choice, Sampling, Written


class Expected(Choice):
    """The expectation over 1 to 10 under the model's probabilities, in one forward pass."""

    def score(self, logs: list[float]) -> tuple[float, float]:
        """Return the expectation, and the probability that is on the numbers at all."""
        return expectation(logs)


class Greedy(Written):
    """The score that the model writes, `<score>||<explanation>`, decoded greedily."""

    def score(self, reply: str) -> tuple[float | None, str]:
        """Read the score tolerantly."""
        return parse_score(reply)


class Sampled(Greedy):
    """The same, sampled with a temperature of its own."""

    tries_again: ClassVar[bool] = True

    def sampling(self, params: Sampling) -> tuple[float, float]:
        """Return temperature and nucleus mass."""
        return params.sampled_temperature, params.sampled_top_p
