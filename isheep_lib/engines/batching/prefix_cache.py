"""Reading prompts: what prompts share is computed once, and never more tokens at a time than a limit.

Three levels, each extending the cache of the one before: the beginning that all prompts share, the longer beginnings
that some share (two questions about one pair), and the rest of each.
Covers attention caches and sharing. Does not cover what follows a prompt (`decoding`) or text (the engine).
"""

import copy
import inspect
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from transformers import DynamicCache
from transformers.cache_utils import LinearAttentionCacheLayerMixin

LEAST_ROOT = 16  # tokens that all prompts must share before a pass of their own pays
LEAST_SHARE = 0.5  # of a prompt, shared with its neighbour, for the two to be read together
LEAST_SAVED = 0.2  # of a batch's tokens, for a pass over shared beginnings to pay


@dataclass
class Past:
    """What a batch has read: attention cache and mask (rows x positions, 0 at padding)."""

    cache: DynamicCache
    mask: torch.Tensor

    def select(self, rows: list[int]) -> "Past":
        """Return a copy with the named rows, in that order; a row may occur often."""
        index = torch.tensor(rows, device=self.mask.device)
        cache = copy.copy(self.cache)
        cache.layers = [copy.copy(layer) for layer in self.cache.layers]
        cache.batch_select_indices(index)
        return Past(cache, self.mask[index])


def is_recurrent(config: Any) -> bool:
    """Tell whether a model keeps states instead of keys, as Mamba does: they can be neither padded nor cut nor shared."""
    return any(isinstance(layer, LinearAttentionCacheLayerMixin) for layer in DynamicCache(config=config).layers)


def forward(
    model: Any, tokens: torch.Tensor, mask: torch.Tensor, positions: torch.Tensor, cache: DynamicCache | None, keep: int
) -> torch.Tensor:
    """Compute logits, rows x `keep` x vocabulary, of tokens that follow what a cache holds; the cache is extended.

    A model is given what it takes: those with ALiBi count positions themselves, recurrent ones call their cache otherwise.
    """
    taken = inspect.signature(model.forward).parameters
    named = "cache_params" if "cache_params" in taken else "past_key_values"
    asked: dict[str, Any] = {"input_ids": tokens, "attention_mask": mask, named: cache, "use_cache": cache is not None}
    more = {"position_ids": positions, "logits_to_keep": keep}
    takes_all = any(parameter.kind is parameter.VAR_KEYWORD for parameter in taken.values())
    asked |= {name: value for name, value in more.items() if takes_all or name in taken}
    return model(**asked).logits[:, -keep:]


def common_prefix(rows: list[list[int]]) -> int:
    """Count the tokens with which all rows begin."""
    low, high = min(rows), max(rows)
    return next((i for i, (a, b) in enumerate(zip(low, high, strict=False)) if a != b), min(len(low), len(high)))


def clusters(rows: list[list[int]]) -> list[list[int]]:
    """Group rows that share at least half of their tokens beyond what all share; shortest group first."""
    root = common_prefix(rows) if rows else 0
    order = sorted(range(len(rows)), key=lambda i: (rows[i], i))
    groups = [order[:1]] if order else []
    for before, here in pairwise(order):
        near = common_prefix([rows[before], rows[here]]) - root
        if near and near >= LEAST_SHARE * (min(len(rows[before]), len(rows[here])) - root):
            groups[-1].append(here)
        else:
            groups.append([here])
    return sorted(groups, key=lambda group: (max(len(rows[i]) for i in group), group))


class Reader:
    """Reads batches of prompts with one model."""

    def __init__(self, model: Any, pad: int, batch_tokens: int) -> None:
        """Keep a causal language model, the token of empty places, and the most tokens of a pass, padding included."""
        self.model, self.pad, self.batch_tokens = model, pad, batch_tokens
        self._root: tuple[tuple[int, ...], Past] | None = None  # the beginning that the last batch shared

    @torch.inference_mode()
    def read(self, rows: list[list[int]], reserve: list[int], keep: int, use_cache: bool = True) -> tuple[torch.Tensor, Any]:
        """Read a batch.

        Args:
            reserve: last tokens of each row that no other row may stand for, at least 1.
            keep: last positions whose logits are wanted.

        Returns:
            Logits, rows x keep x vocabulary, and what was read, a `Past` (None unless wanted or shared).
        """
        free = [len(row) - least for row, least in zip(rows, reserve, strict=True)]
        root = min(common_prefix(rows), *free) if len(rows) > 1 else 0
        past, start = None, [0] * len(rows)
        if root >= LEAST_ROOT:
            past, start = self._read_root(tuple(rows[0][:root])), [root] * len(rows)
        heads = self._heads(rows, free, start[0])
        if heads:
            tokens = [rows[group[0]][start[0] : end] for end, group in heads]
            past = past.select([0] * len(heads)) if past else None
            _, past = self._extend(past, tokens, 1, True)
            owner = {i: number for number, (_, group) in enumerate(heads) for i in group}
            past = past.select([owner[i] for i in range(len(rows))])
            start = [heads[owner[i]][0] for i in range(len(rows))]
        elif past:
            past = past.select([0] * len(rows))
        rest = [row[first:] for row, first in zip(rows, start, strict=True)]
        return self._extend(past, rest, keep, use_cache or past is not None)

    def _read_root(self, tokens: tuple[int, ...]) -> Past:
        if self._root is None or self._root[0] != tokens:
            self._root = (tokens, self._extend(None, [list(tokens)], 1, True)[1])
        return self._root[1]

    def _heads(self, rows: list[list[int]], free: list[int], root: int) -> list[tuple[int, list[int]]]:
        """Return shared beginnings as their end and the rows that have them, [] where they do not pay."""
        heads, saved = [], 0
        for group in clusters(rows):
            shared = common_prefix([rows[i] for i in group])
            end = min([shared, *(free[i] for i in group)])
            if end <= root:
                return []
            heads.append((end, group))
            saved += (end - root) * (len(group) - 1)
        return heads if saved >= LEAST_SAVED * sum(len(row) - root for row in rows) else []

    def _extend(self, past: Past | None, rows: list[list[int]], keep: int, use_cache: bool) -> tuple[torch.Tensor, Any]:
        """Read the next tokens of every row, in slices of at most `batch_tokens`."""
        size = max(1, self.batch_tokens // max(len(row) for row in rows))
        if size >= len(rows):
            return self._forward(past, rows, keep, use_cache)
        width = max(len(row) for row in rows)
        logits, pasts = [], []
        for first in range(0, len(rows), size):
            part = range(first, min(first + size, len(rows)))
            values, read = self._forward(
                past.select(list(part)) if past else None, [rows[i] for i in part], keep, use_cache, width
            )
            logits.append(values)
            pasts.append(read)
        return torch.cat(logits), _joined(pasts) if use_cache else None

    def _forward(
        self, past: Past | None, rows: list[list[int]], keep: int, use_cache: bool, width: int = 0
    ) -> tuple[torch.Tensor, Any]:
        width = width or max(len(row) for row in rows)
        tokens = torch.tensor([[self.pad] * (width - len(row)) + row for row in rows], device=self.model.device)
        mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in rows], device=self.model.device)
        if past:
            mask = torch.cat([past.mask, mask], dim=1)
        cache: Any = (past.cache if past else DynamicCache(config=self.model.config)) if use_cache else None
        positions = (mask.cumsum(-1) - 1).clamp(min=0)[:, -width:]
        return forward(self.model, tokens, mask, positions, cache, keep), Past(cache, mask) if use_cache else None


def _joined(pasts: list[Past]) -> Past:
    """Put slices of one batch together again; the slices' own caches are given back layer by layer."""
    cache: Any = pasts[0].cache
    for number, layer in enumerate(cache.layers):
        others: list[Any] = [past.cache.layers[number] for past in pasts]
        layer.keys = torch.cat([other.keys for other in others])
        layer.values = torch.cat([other.values for other in others])
        for other in others[1:]:
            other.keys = other.values = None
    return Past(cache, torch.cat([past.mask for past in pasts]))
