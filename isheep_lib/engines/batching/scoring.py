"""Reading texts that are given: how likely they are, what could follow them, and their vectors.

Covers rows of tokens in batches of bounded size, with what rows share read once. Does not cover text, or which number format a
score needs (the engine).
"""

import copy
from collections.abc import Callable, Iterator
from typing import Any

import torch
from transformers.modeling_outputs import BaseModelOutputWithPast, CausalLMOutputWithPast

from isheep_lib.engines.batching.prefix_cache import Reader, clusters

LOGIT_POSITIONS = 512  # positions whose vocabulary logits are held at once
Found = tuple[list[torch.Tensor], list[list[int]]]  # the vectors that predict each row's last tokens, and these tokens


class Scoring:
    """Scores rows of tokens with one model."""

    def __init__(self, model: Any, pad: int, batch_tokens: int, sharing: bool) -> None:
        """Keep a causal language model.

        Args:
            pad: the token of empty places.
            batch_tokens: most tokens of a pass, padding included.
            sharing: whether rows may be read together with others that begin alike; else each is read by itself.
        """
        self.model, self.pad, self.batch_tokens, self.sharing = model, pad, batch_tokens, sharing
        self.reader = Reader(model, pad, batch_tokens)
        self._vectors = Reader(_Vectors(model), pad, batch_tokens)
        self._output: dict[str, torch.nn.Module] | None = None

    @torch.inference_mode()
    def sums(self, rows: list[list[int]], starts: list[int]) -> list[float]:
        """Return log p of each row's tokens from its start on, given those before, in nats."""
        same: dict[tuple[int, ...], list[int]] = {}
        for i in sorted(range(len(rows)), key=lambda i: (len(rows[i]), i)):
            same.setdefault(tuple(rows[i][: starts[i]]), []).append(i)
        units = same.values() if self.sharing else [[i] for unit in same.values() for i in unit]
        alone = [unit for unit in units if len(unit) == 1]
        shared = [unit for unit in units if len(unit) > 1]  # the choices of one question
        results = [0.0] * len(rows)
        for units, find in ((alone, self._vectors_of), (shared, self._shared_vectors_of)):
            for group in within(units, lambda i: len(rows[i]), self.batch_tokens):
                values = self._score(*find([rows[i] for i in group], [starts[i] for i in group]))
                for i, value in zip(group, values, strict=True):
                    results[i] = value
        return results

    @torch.inference_mode()
    def forced(self, rows: list[list[int]], starts: list[int]) -> Iterator[tuple[int, int, torch.Tensor]]:
        """Read rows of tokens and yield the logits that predict each from its start on, in parts of bounded memory.

        Yields:
            Number of the row, place after its start of the first token predicted, logits of shape places x vocabulary.
        """
        units = clusters(rows) if self.sharing else [[i] for i in range(len(rows))]
        find = self._shared_vectors_of if self.sharing else self._vectors_of
        for group in within(units, lambda i: len(rows[i]), self.batch_tokens):
            vectors, _ = find([rows[i] for i in group], [starts[i] for i in group])
            for i, own in zip(group, vectors, strict=True):
                for first in range(0, len(own), LOGIT_POSITIONS):
                    yield i, first, self._head(own[first : first + LOGIT_POSITIONS])

    @torch.inference_mode()
    def last_logs(self, rows: list[list[int]], keep: int) -> Iterator[tuple[list[int], torch.Tensor]]:
        """Yield groups of rows with log p of what could follow their last `keep` tokens, rows x keep x vocabulary."""
        for group in within(clusters(rows), lambda i: len(rows[i]), self.batch_tokens if self.sharing else 0):
            logits, _ = self.reader.read([rows[i] for i in group], [keep] * len(group), keep, use_cache=False)
            yield group, torch.log_softmax(logits.float(), dim=-1)

    @torch.inference_mode()
    def means(self, rows: list[list[int]]) -> torch.Tensor:
        """Return the final layer's vectors, the mean over each row's tokens, on the CPU: rows x size."""
        order = sorted(range(len(rows)), key=lambda i: (len(rows[i]), i))
        vectors = torch.zeros(len(rows), self.model.config.get_text_config().hidden_size, dtype=torch.float64)
        for group in within([[i] for i in order], lambda i: len(rows[i]), self.batch_tokens):
            hidden, mask = self._hidden([rows[i] for i in group])
            vectors[group] = ((hidden.float() * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)).to(vectors)
        return vectors

    def _vectors_of(self, rows: list[list[int]], starts: list[int]) -> Found:
        """Return the vectors that predict each row's tokens from its start, and these tokens."""
        hidden, _ = self._hidden(rows)
        ends = [row[start:] for row, start in zip(rows, starts, strict=True)]
        return [
            hidden[i, start - 1 : start - 1 + len(end)] for i, (start, end) in enumerate(zip(starts, ends, strict=True))
        ], ends

    def _shared_vectors_of(self, rows: list[list[int]], starts: list[int]) -> Found:
        """Do the same for rows that begin alike, reading what they share once."""
        ends = [row[start:] for row, start in zip(rows, starts, strict=True)]
        hidden, _ = self._vectors.read(rows, [len(end) + 1 for end in ends], max(map(len, ends)) + 1, use_cache=False)
        return [hidden[i, hidden.shape[1] - 1 - len(end) : -1] for i, end in enumerate(ends)], ends

    def _score(self, vectors: list[torch.Tensor], ends: list[list[int]]) -> list[float]:
        """Add up log p of tokens given the vectors that predict them, with logits of few positions at a time."""
        owners = [i for i, end in enumerate(ends) for _ in end]
        if not owners:
            return [0.0] * len(ends)
        every, targets = torch.cat(vectors), torch.tensor([token for end in ends for token in end], device=vectors[0].device)
        sums = [0.0] * len(ends)
        for first in range(0, len(owners), LOGIT_POSITIONS):
            part = slice(first, first + LOGIT_POSITIONS)
            logits = self._head(every[part])
            chosen = logits.gather(1, targets[part, None])[:, 0] - logits.logsumexp(-1)
            for owner, value in zip(owners[part], chosen.tolist(), strict=True):
                sums[owner] += value
        return sums

    def _hidden(self, rows: list[list[int]]) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the final layer's vectors, rows x width x size, and a mask of the same rows and width.

        Padding stands on the right, where no token of the text can see it; so no mask slows attention down.
        """
        width = max(len(row) for row in rows)
        tokens = torch.tensor([row + [self.pad] * (width - len(row)) for row in rows], device=self.model.device)
        mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows], device=self.model.device)
        return self.model.base_model(input_ids=tokens, use_cache=False).last_hidden_state, mask

    def _head(self, hidden: torch.Tensor) -> torch.Tensor:
        """Turn vectors, places x size, into logits of float32 or more by the model's own code, which may scale or cap them.

        In bfloat16 two logits near 20 differ by an eighth or not at all, which is most of what tells "A" from "B".
        """
        if self._output is None:
            last, short = self.model.get_output_embeddings(), hidden.dtype.itemsize < torch.float32.itemsize
            names = [name for name, module in self.model._modules.items() if module is last and short]
            self._output = {name: copy.deepcopy(last).float() for name in names}
        given = hidden.float() if self._output else hidden
        head = copy.copy(self.model)
        head._modules = {**self.model._modules, **self._output, self.model.base_model_prefix: _Given(given[None])}
        return head(input_ids=None, use_cache=False).logits[0].float()


class _Given(torch.nn.Module):
    """Stands where a model's layers stand and returns vectors that they have made."""

    def __init__(self, hidden: torch.Tensor) -> None:
        super().__init__()
        self.hidden = hidden

    @property
    def decoder(self) -> "_Given":
        """Itself: OPT's head asks the part of its layers that writes."""
        return self

    def forward(self, *_: Any, **__: Any) -> BaseModelOutputWithPast:
        """Return the vectors."""
        return _Hidden(last_hidden_state=self.hidden)  # ty: ignore[invalid-argument-type] - any tensor will do


class _Hidden(BaseModelOutputWithPast):
    """What layers return; whatever else a head may look for, such as a recurrent cache, is None."""

    def __getattr__(self, name: str) -> None:
        if name.startswith("_"):
            raise AttributeError(name)


class _Vectors:
    """A model's layers without its head, in the form that a reader asks."""

    def __init__(self, model: Any) -> None:
        self._layers, self.config, self.device = model.base_model, model.config, model.device
        self.forward = model.base_model.forward  # what it takes

    def __call__(self, *, logits_to_keep: int = 0, **asked: Any) -> CausalLMOutputWithPast:
        """Return the last positions' vectors where logits would stand."""
        return CausalLMOutputWithPast(logits=self._layers(**asked).last_hidden_state[:, -logits_to_keep:])


def within(units: list[list[int]], cost: Callable[[int], int], limit: int) -> list[list[int]]:
    """Pack units into groups whose rows, each at the cost of the dearest, stay within a limit; a unit is cut if it must."""
    groups: list[list[int]] = []
    dearest = 0
    for unit in units:
        for part in _cut(unit, cost, limit):
            here = max(dearest, *(cost(i) for i in part))
            if not groups or here * (len(groups[-1]) + len(part)) > limit:
                groups.append([])
                here = max(cost(i) for i in part)
            groups[-1] += part
            dearest = here
    return groups


def _cut(unit: list[int], cost: Callable[[int], int], limit: int) -> list[list[int]]:
    size = max(1, limit // max(cost(i) for i in unit))
    return [unit[i : i + size] for i in range(0, len(unit), size)]
