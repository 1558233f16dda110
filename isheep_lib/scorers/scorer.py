"""What a scorer is: its name and columns, what they mean, what it asks of the model, and the score that follows.

A `Likelihood` reads losses of texts, a `Choice` the probabilities of the numbers 1 to 10 after a question, a `Written` score
is what the model writes after the question, and `Odds` are those of the answers Yes and No. Covers one scorer. Does not cover
which there are (`scorers.table`), or scoring many pairs (`assess.scoring`).
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal, Protocol

from isheep_lib.record.rows import Pair

Level = Literal["both", "quality", "following", "none"]
TOP = 9.5  # a score of 1 to 10 that rounds to the top one


def criteria(level: str) -> tuple[str, ...]:
    """Name the criteria that a level of assessment asks about (paper, Section 3.3)."""
    return {"both": ("quality", "following"), "none": ()}.get(level, (level,))


@dataclass(frozen=True)
class Scorer(ABC):
    """A scorer under the name that its columns have."""

    name: str
    unit: ClassVar[str] = "1 to 10"
    lower_is_better: ClassVar[bool] = False
    asks: ClassVar[bool] = False  # asks the model a question, for a score that can pile up at its top

    def columns(self, level: str) -> list[str]:
        """Name the score columns that it fills."""
        return [self.name]


class Likelihood(Scorer):
    """Only reads: no question is asked. `needs` names the losses of `scorers.likelihoods` that it reads."""

    needs: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def score(self, losses: Mapping[str, float], pair: Pair) -> dict[str, float | None]:
        """Return its columns from mean losses in nats per token; None where there is nothing to score."""


class Question(Scorer):
    """Asks the model about each criterion; a column for each, from 1 to 10."""

    asks: ClassVar[bool] = True

    def columns(self, level: str) -> list[str]:
        """Name the score columns that it fills."""
        return [f"{self.name}_{criterion}" for criterion in criteria(level)]


class Choice(Question):
    """Reads the log-probabilities of the numbers 1 to 10 as the answer."""

    @abstractmethod
    def score(self, logs: list[float]) -> tuple[float, float]:
        """Return the score, and the probability that is on the numbers at all."""


class Odds(Scorer):
    """Asks one question of its own, whatever the level, and reads log p(Yes) - log p(No); it has no top to pile up at."""

    unit: ClassVar[str] = "log odds"
    learns: ClassVar[bool] = False  # asks an adapter that is trained for it

    def score(self, logs: list[float]) -> float:
        """Return the difference of two log-probabilities, in nats."""
        return round(logs[0] - logs[1], 4)


class Sampling(Protocol):
    """The parameters of `assess` that say how a written score is sampled."""

    @property
    def sampled_temperature(self) -> float:
        """Above 0."""

    @property
    def sampled_top_p(self) -> float:
        """Above 0, at most 1."""


class Written(Question):
    """Reads what the model writes as the answer."""

    tries_again: ClassVar[bool] = False  # an unreadable reply is asked for again

    def sampling(self, params: Sampling) -> tuple[float, float]:
        """Return temperature and nucleus mass."""
        return 0.0, 1.0

    @abstractmethod
    def score(self, reply: str) -> tuple[float | None, str]:
        """Return the score, or None and the reason why there is none."""
