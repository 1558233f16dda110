"""What a training minimises, as one object: its name and parameters, what a row weighs, and what a forward pass says.

A `PairObjective` learns from two answers to one task, of which one is preferred. Covers one objective. Does not cover which
there are (`train.objectives.table`), or the steps of a training (`train.learner`).
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Generic, Protocol, TypeVar

from isheep_lib.params.kinds import Section

if TYPE_CHECKING:
    from torch import Tensor

Own = TypeVar("Own", bound=Section)


class Answer(Protocol):
    """Tokens with their labels."""

    @property
    def learned(self) -> int:
        """Number of tokens with loss."""


class Row(Protocol):
    """A row to learn from: one answer, or a chosen and a rejected one."""

    @property
    def id(self) -> str:
        """Its own."""

    @property
    def answers(self) -> Sequence[Answer]:
        """Whatever of it stands in a forward pass, in order."""


@dataclass(frozen=True)
class Computed:
    """What a forward pass says of its rows.

    Attributes:
        losses: of each token in nats, rows x places, 0 where nothing is learned.
        learned: where something is, of the same shape.
        rows: in their order; none where a process only keeps others company.
        start: log-probabilities of the rows' answers under the starting model, in nats, by id; empty where none is needed.
    """

    losses: "Tensor"
    learned: "Tensor"
    rows: Sequence[Row]
    start: dict[str, list[float]]


class Objective(ABC, Generic[Own]):
    """What is minimised; its parameters are checked, and they and its code count, only where it is chosen.

    Attributes:
        name: in `train.objective`.
        source: publication and equation.
        unit: of its loss.
        Options: class of `train.objective_options`.
        of_pairs: it learns from pairs of answers (`pairs.jsonl`), not from kept ones.
        has_reference: it compares with the model that training starts from.
        figures: what it says of rows, the loss first; each is a sum over rows by the sum of their weights.
    """

    name: ClassVar[str]
    source: ClassVar[str]
    unit: ClassVar[str]
    Options: ClassVar[type[Section]] = Section
    of_pairs: ClassVar[bool] = False
    has_reference: ClassVar[bool] = False
    figures: ClassVar[tuple[str, ...]] = ("loss",)

    @abstractmethod
    def weight(self, row: Row) -> int:
        """Return what a row counts for in a step."""

    @abstractmethod
    def sums(self, computed: Computed, options: Own) -> "Tensor":
        """Return the sum of each figure over the rows of a forward pass; the first is what is learned from."""


class PairObjective(Objective[Own]):
    """Prefers chosen answers to rejected ones.

    Its figures, means over pairs: the loss; the accuracy, the share of pairs with a margin above 0, those at 0 counted half;
    the margin; the mean log-probabilities of a token of chosen and of rejected answers, in nats.
    """

    of_pairs: ClassVar[bool] = True
    figures: ClassVar[tuple[str, ...]] = ("loss", "accuracy", "margin", "chosen", "rejected")

    @abstractmethod
    def compare(self, logs: "Tensor", tokens: "Tensor", start: "Tensor", options: Own) -> tuple["Tensor", "Tensor"]:
        """Return loss and margin of each pair.

        Args:
            logs: log-probabilities of whole answers in nats, pairs x 2, the chosen one first.
            tokens: their numbers of learned tokens, of the same shape.
            start: as `logs`, of the model that training starts from; empty where the objective has no reference.
            options: the objective's own.
        """

    def weight(self, row: Row) -> int:
        """Count a pair for one, however long it is."""
        return 1

    def sums(self, computed: Computed, options: Own) -> "Tensor":
        """Return the sum of each figure over the pairs of a forward pass."""
        import torch

        if not computed.rows:
            return computed.losses.sum().repeat(len(self.figures))  # zeros that have a gradient
        logs = answer_logs(computed)
        tokens = logs.new_tensor([[answer.learned for answer in row.answers] for row in computed.rows])
        start = logs.new_tensor([computed.start[row.id] for row in computed.rows] if self.has_reference else [])
        losses, margins = self.compare(logs, tokens, start, options)
        right = ((margins.detach().sign() + 1) / 2).sum()
        return torch.stack([losses.sum(), right, margins.sum(), *(logs / tokens).sum(0)])


def answer_logs(computed: Computed) -> "Tensor":
    """Return the log-probabilities of whole answers in nats, pairs x 2, however the rows are put side by side."""
    import torch

    counts = [answer.learned for row in computed.rows for answer in row.answers]
    parts = computed.losses[computed.learned].split(counts)
    return -torch.stack([part.sum() for part in parts]).view(-1, 2)
