"""Decoding: one batch of prompts to tokens, rows leaving the batch as they end.

Covers the loop. Does not cover which token is chosen (`engines.exact`) or text (the engine).
Why not `model.generate`: it draws all rows from one generator, so a row would depend on its batch; and it computes
ended rows until the last one ends.
"""

from collections.abc import Callable
from typing import Any

import torch
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

from isheep_lib.engines.batching.prefix_cache import Past, forward

PREFILL = 0.3  # cost of reading a prompt token, in new tokens; only the estimate of progress depends on it
COMPACT = 0.125  # share of ended rows at which the batch is made smaller: the cache is copied then
ROOM = 64  # tokens that a copied cache has room for


class RoomyLayer(DynamicLayer):
    """Keys and values with room for tokens to come: `DynamicLayer` copies all of them at every token, most of a step's time."""

    keys: Any  # tensors, as it takes over a layer that holds some
    values: Any
    room: list[torch.Tensor]  # what keys and values are the beginnings of; empty before there is any

    def __init__(self, filled: DynamicLayer) -> None:
        """Take over what a layer holds."""
        super().__init__()
        vars(self).update(vars(filled), room=[])

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Add tokens and return all keys and values, of shape rows x heads x tokens x size."""
        length = self.keys.shape[-2]
        end = length + key_states.shape[-2]
        if not self.room or end > self.room[0].shape[-2]:
            self.room = [_roomy(held, end + ROOM) for held in (self.keys, self.values)]
        for room, states in zip(self.room, (key_states, value_states), strict=True):
            room[..., length:end, :] = states
        self.keys, self.values = self.room[0][..., :end, :], self.room[1][..., :end, :]
        return self.keys, self.values

    def batch_select_indices(self, indices: torch.Tensor) -> None:
        """Keep some rows; what is selected is a copy without room."""
        super().batch_select_indices(indices)
        self.room = []


def _roomy(held: torch.Tensor, tokens: int) -> torch.Tensor:
    """Copy keys or values to where so many tokens fit."""
    rows, heads, length, size = held.shape
    found = held.new_empty(rows, heads, tokens, size)
    found[..., :length, :] = held
    return found


def make_room(cache: DynamicCache) -> None:
    """Give the layers of a cache that was filled room for more; layers of other kinds, such as sliding windows, stay."""
    for number, layer in enumerate(cache.layers):
        if type(layer) is DynamicLayer and layer.is_initialized:
            cache.layers[number] = RoomyLayer(layer)


@torch.inference_mode()
def decode(
    model: Any,
    scores: torch.Tensor,
    past: Past,
    choose: Callable[[torch.Tensor, list[int], list[list[int]]], torch.Tensor],
    ended: Callable[[int, list[int]], bool],
    max_new_tokens: int,
    tick: Callable[[float], None],
) -> list[list[int]]:
    """Continue prompts that were read.

    Args:
        scores: logits of the first new token, rows x vocabulary.
        past: what was read; it is extended.
        choose: scores, the rows' numbers and every row's new tokens so far to the next tokens.
        ended: row number and its new tokens to whether it is complete.
        tick: told the share of the work that is done.

    Returns:
        New tokens of each row, the ending token included.
    """
    cache, mask = past.cache, past.mask
    make_room(cache)
    new: list[list[int]] = [[] for _ in range(len(mask))]
    rows = list(range(len(mask)))  # the row that each line of the batch stands for
    live = [True] * len(rows)
    prefill = PREFILL * mask.shape[1]
    for step in range(max_new_tokens):
        asked = [line for line in range(len(rows)) if live[line]]
        chosen = torch.zeros(len(rows), dtype=torch.long)
        chosen[asked] = choose(scores[asked], [rows[line] for line in asked], new).cpu()
        for line in asked:
            new[rows[line]].append(int(chosen[line]))
            live[line] = not ended(rows[line], new[rows[line]])
        left = [line for line in asked if live[line]]
        done = 1 - len(left) / len(new) * (1 - (step + 1) / max_new_tokens)
        tick((prefill + done * max_new_tokens) / (prefill + max_new_tokens))
        if not left or step + 1 == max_new_tokens:
            break
        tokens = chosen[:, None].to(mask.device)
        if len(left) <= len(rows) * (1 - COMPACT):
            index = torch.tensor(left, device=mask.device)
            cache.batch_select_indices(index)
            tokens, mask = tokens[index], mask[index]
            rows, live = [rows[line] for line in left], [True] * len(left)
        mask = torch.cat([mask, mask.new_ones(len(mask), 1)], dim=1)
        scores = forward(model, tokens, mask, mask.sum(-1, keepdim=True) - 1, cache, 1)[:, -1]
    return new
