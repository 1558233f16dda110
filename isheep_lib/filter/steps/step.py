"""What a step of the filter is: its name and options, what it needs, whom it drops, and what its reasons mean.

Covers one step. Does not cover which there are (`filter.steps.table`) or their order (`filter.run`).
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Generic, NamedTuple, TypeVar

import numpy as np

from isheep_lib.analysis.contamination import Hit
from isheep_lib.params.kinds import Section
from isheep_lib.record.rows import Pair

Reason = tuple[str, str]  # why a pair goes, and the detail
Reasons = dict[str, Reason]  # by id
UNREAD = {"unread_score": "a score that decides could not be read"}


@dataclass(frozen=True)
class ScoredPair:
    """A pair with its scores by column."""

    pair: Pair
    scores: Mapping[str, float]

    @property
    def id(self) -> str:
        """The pair's own."""
        return self.pair.id


@dataclass(frozen=True)
class Given:
    """What a step may look at beside the pairs.

    Attributes:
        seed: of its draws.
        vectors: of the pairs, shape pairs x size, where the step needs them.
        hits: where pairs repeat benchmark items.
        number: of pairs that the steps keep, for a random control.
        one_a_task: whether it draws one answer of a task at most, as the steps do.
    """

    seed: int = 0
    vectors: np.ndarray | None = None
    hits: Sequence[Hit] = ()
    number: int = 0
    one_a_task: bool = False


class By(NamedTuple):
    """The scores that a step decides by: the parameter that names the scorer, the scorer, and its columns."""

    parameter: str
    scorer: str
    columns: list[str]


Own = TypeVar("Own", bound=Section)


class Step(ABC, Generic[Own]):
    """A step that looks at all pairs together; a new one also has a line in `filter.steps.table`."""

    name: ClassVar[str]
    meanings: ClassVar[dict[str, str]]  # of every reason that it gives
    options: ClassVar[type[Section]] = Section  # its own parameters, which stand in the section `filter`
    needs_vectors: ClassVar[bool] = False
    packages: ClassVar[tuple[str, ...]] = ()  # whose version decides

    def by(self, options: Own) -> By | None:
        """Return the scores that it decides by."""
        return None

    @abstractmethod
    def apply(self, rows: Sequence[ScoredPair], options: Own, given: Given) -> Reasons:
        """Return the pairs that go, each with a reason and the detail."""


class PairStep(Step[Own]):
    """A step that looks at one pair at a time."""

    @abstractmethod
    def problem(self, row: ScoredPair, options: Own) -> Reason:
        """Return why it drops a pair and the detail, ("", "") if it does not."""

    def apply(self, rows: Sequence[ScoredPair], options: Own, given: Given) -> Reasons:
        """Return the pairs that go, each with a reason and the detail."""
        return {row.id: found for row in rows if (found := self.problem(row, options))[0]}


def first_unread(row: ScoredPair, names: Sequence[str]) -> Reason:
    """Return that the first score without a value could not be read, ("", "") where all have one."""
    missing = [name for name in names if name not in row.scores]
    return ("unread_score", f"{missing[0]} could not be read") if missing else ("", "")
