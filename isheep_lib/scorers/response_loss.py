"""The loss of a response after its task."""

from collections.abc import Mapping
from typing import ClassVar

from isheep_lib.record.rows import Pair
from isheep_lib.scorers.scorer import Likelihood


class ResponseLoss(Likelihood):
    """Mean loss of the response's tokens after its task: how unlikely the model finds its own words."""

    unit: ClassVar[str] = "nats per token"
    lower_is_better: ClassVar[bool] = True
    needs: ClassVar[tuple[str, ...]] = ("task",)

    def score(self, losses: Mapping[str, float], pair: Pair) -> dict[str, float | None]:
        """Return the loss with the task."""
        return {self.name: round(losses["task"], 5)}
