"""The transformers engine with one request at a time, for machines with little memory: nothing is ever batched."""

from isheep_lib.engines.params import Model
from isheep_lib.engines.protocol import Request
from isheep_lib.engines.transformers_engine import TransformersEngine, preflight
from isheep_lib.models.base import ModelRef

__all__ = ["AloneEngine", "preflight"]


class AloneEngine(TransformersEngine):
    """One model in memory, asked one thing at a time."""

    def __init__(self, model: ModelRef, settings: Model) -> None:
        """Load the model, whose passes hold no more than one text needs."""
        super().__init__(model, settings.model_copy(update={"batch_tokens": 1}))

    def facts(self) -> dict[str, object]:
        """Name this engine."""
        return {**super().facts(), "engine": "alone"}

    def batches(self, requests: list[Request]) -> list[list[Request]]:
        """Return one request per batch, in the order of ids."""
        return sorted((batch for request in requests for batch in super(AloneEngine, self).batches([request])), key=str)
