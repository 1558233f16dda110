"""Direct preference optimisation: chosen answers grow likelier than rejected ones, both against where training starts from."""

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from isheep_lib.params.kinds import Section
from isheep_lib.train.objectives.objective import PairObjective

if TYPE_CHECKING:
    from torch import Tensor


class DpoOptions(Section):
    """The options of `dpo`."""

    beta: float = Field(0.1, description="how much a difference from the starting model counts, in 1 / nats", gt=0.0, le=100.0)
    sft_weight: float = Field(
        0.0, description="weight of the chosen answer's loss in nats per token beside it, 0 is DPO alone", ge=0.0, le=100.0
    )


class Dpo(PairObjective[DpoOptions]):
    """The logistic loss of how much likelier than at the start the chosen answer is, less the same of the rejected one."""

    name: ClassVar[str] = "dpo"
    source: ClassVar[str] = (
        "Rafailov et al. 2023, arXiv 2305.18290, Equation 7; the term of the chosen answer: Pang et al. 2024, "
        "arXiv 2404.19733, Equation 1"
    )
    unit: ClassVar[str] = "nats per pair"
    Options: ClassVar[type[Section]] = DpoOptions
    has_reference: ClassVar[bool] = True

    def compare(self, logs: "Tensor", tokens: "Tensor", start: "Tensor", options: DpoOptions) -> tuple["Tensor", "Tensor"]:
        """Return loss and margin, the difference of the two implicit rewards, of each pair."""
        from torch.nn import functional

        rewards = options.beta * (logs - start)
        margins = rewards[:, 0] - rewards[:, 1]
        return -functional.logsigmoid(margins) - options.sft_weight * logs[:, 0] / tokens[:, 0], margins
