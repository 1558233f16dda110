"""A model computed in float64 from its first token to its logits.

`model.double()` is not enough: models compute norms, rotary tables and softmax in float32 by name. Here what names float32
means float64 while a pass runs, so that two machines differ by some 1e-13 in a logit.
Covers the model and one row's logits. Does not cover scores of many rows, which it computes as well (`batching.scoring`).
"""

from collections.abc import Callable
from typing import Any, Self

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from transformers import DynamicCache

from isheep_lib.engines.batching.prefix_cache import forward, is_recurrent
from isheep_lib.errors import IsheepError, ModelError
from isheep_lib.models.base import ModelRef
from isheep_lib.models.load import device, load_model

SAME_BYTES = (torch.frombuffer, torch.Tensor.view)  # they name the format that bytes in a file have, not one to compute in


REMEMBERED = 8192  # tokens of rows whose keys and values are kept in float64


class NothingShorter(TorchFunctionMode):
    """Inside it, whatever asks for float32, or for no format at all, gets float64."""

    def __enter__(self) -> Self:
        """Begin."""
        self._before = torch.get_default_dtype()
        torch.set_default_dtype(torch.float64)
        return super().__enter__()

    def __exit__(self, exc_type: Any, exc_val: Any, exc_tb: Any) -> None:
        """End."""
        super().__exit__(exc_type, exc_val, exc_tb)
        torch.set_default_dtype(self._before)

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run a function of torch with float64 for float32."""
        if func in SAME_BYTES:
            return func(*args, **(kwargs or {}))
        named = {name: _longer(value) for name, value in (kwargs or {}).items()}
        if func is torch.Tensor.float:
            return args[0].double()
        return func(*map(_longer, args), **named)


class Watch(TorchDispatchMode):
    """Raises at the first operation, of a forward or backward pass, whose result is floats but not float64."""

    def __init__(self, error: Callable[[str], IsheepError]) -> None:
        """Keep what makes an error of the words that say which operation it was."""
        super().__init__()
        self._error = error

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operation and look at what it returns."""
        found = func(*args, **(kwargs or {}))
        for value in tree_leaves(found):
            if isinstance(value, torch.Tensor) and value.is_floating_point() and value.dtype is not torch.float64:
                raise self._error(f"A pass in float64 computes {func} in {str(value.dtype).removeprefix('torch.')}")
        return found


def _longer(value: Any) -> Any:
    return torch.float64 if value is torch.float32 else value


class DoubleModel:
    """A causal language model in float64, with its adapters merged in float64, on the best device here that has float64."""

    def __init__(self, model: ModelRef) -> None:
        """Load it; what it computes at loading, such as rotary tables, is float64 as well.

        Raises:
            ModelError: the architecture leaves float64 on the way.
        """
        with NothingShorter():
            self.model, _ = load_model(model, "float64", "cpu" if device() == "mps" else "")
        self._read: dict[str, tuple[list[int], DynamicCache]] = {}  # rows that came before, the latest last
        self._remembers = not is_recurrent(self.model.config)

        with Watch(self._left):
            self.logits([0, 0])

    def _left(self, what: str) -> ModelError:
        return ModelError(
            what,
            where=type(self.model).__name__,
            do="set model.numerics to plain: this architecture computes in a format of its own",
        )

    @torch.inference_mode()
    def logits(self, tokens: list[int], keep: int = 1) -> torch.Tensor:
        """Return the logits after the last tokens of a row, keep x vocabulary, float64."""
        given = torch.tensor([tokens], device=self.model.device)
        with NothingShorter():
            return self.model(input_ids=given, use_cache=False, logits_to_keep=keep).logits[0]

    @torch.inference_mode()
    def after(self, row: str, tokens: list[int]) -> torch.Tensor:
        """Return the logits after a row, 1 x vocabulary; what was read of the same row before is not read again.

        Args:
            row: its id; another text under the same id is another row.
            tokens: all of it so far.
        """
        known, cache = self._read.pop(row, ([], None))
        if cache is None or len(known) >= len(tokens) or tokens[: len(known)] != known:
            known, cache = [], DynamicCache(config=self.model.config) if self._remembers else None
        new = torch.tensor([tokens[len(known) :]], device=self.model.device)
        places = torch.arange(len(known), len(tokens), device=self.model.device)[None]
        mask = torch.ones(1, len(tokens), dtype=torch.long, device=self.model.device)
        with NothingShorter():
            logits = forward(self.model, new, mask, places, cache, 1)[0]
        if cache is not None:
            self._read[row] = (list(tokens), cache)
            while len(self._read) > 1 and sum(len(read) for read, _ in self._read.values()) > REMEMBERED:
                del self._read[next(iter(self._read))]
        return logits
