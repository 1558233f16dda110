"""Odds ratio preference optimisation: the loss of chosen answers, and their odds against rejected ones; without a reference."""

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from isheep_lib.params.kinds import Section
from isheep_lib.train.objectives.objective import PairObjective

if TYPE_CHECKING:
    from torch import Tensor

CERTAIN = -1e-6  # nats per token: a likelier answer has no finite odds in float32


class OrpoOptions(Section):
    """The options of `orpo`."""

    odds_weight: float = Field(
        0.1, description="weight of the odds ratio beside the chosen answer's loss, lambda of its paper", gt=0.0, le=100.0
    )


class Orpo(PairObjective[OrpoOptions]):
    """The chosen answer's loss in nats per token, and the logistic loss of the log odds ratio of the two answers."""

    name: ClassVar[str] = "orpo"
    source: ClassVar[str] = "Hong et al. 2024, arXiv 2403.07691, Equations 5 to 7"
    unit: ClassVar[str] = "nats per pair"
    Options: ClassVar[type[Section]] = OrpoOptions

    def compare(self, logs: "Tensor", tokens: "Tensor", start: "Tensor", options: OrpoOptions) -> tuple["Tensor", "Tensor"]:
        """Return loss and margin, the log odds ratio, of each pair."""
        from torch.nn import functional

        means = (logs / tokens).clamp(max=CERTAIN)
        odds = means - (-means.expm1()).log()  # log p / (1 - p) of a token's geometric mean
        margins = odds[:, 0] - odds[:, 1]
        return -logs[:, 0] / tokens[:, 0] - options.odds_weight * functional.logsigmoid(margins), margins
