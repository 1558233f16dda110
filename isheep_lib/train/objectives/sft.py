"""Supervised fine-tuning: the loss of the kept answers (paper, Algorithm 1)."""

from typing import TYPE_CHECKING, ClassVar

from isheep_lib.params.kinds import Section
from isheep_lib.train.objectives.objective import Computed, Objective, Row

if TYPE_CHECKING:
    from torch import Tensor


class Sft(Objective[Section]):
    """The mean loss of the learned tokens of kept answers."""

    name: ClassVar[str] = "sft"
    source: ClassVar[str] = "I-SHEEP, arXiv 2408.08072, Algorithm 1"
    unit: ClassVar[str] = "nats per token"

    def weight(self, row: Row) -> int:
        """Count every learned token."""
        return sum(answer.learned for answer in row.answers)

    def sums(self, computed: Computed, options: Section) -> "Tensor":
        """Return the sum of the losses of all tokens."""
        return computed.losses.sum()[None]
