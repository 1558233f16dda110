"""Decoding: one batch of prompts to tokens, rows leaving the batch as they end.

Covers the loop. Does not cover which token is chosen (`engines.exact`) or text (the engine).
Why not `model.generate`: it draws all rows from one generator, so a row would depend on its batch; and it computes
ended rows until the last one ends.
"""

from collections.abc import Callable
from typing import Any

import torch

from isheep_lib.engines.batching.prefix_cache import Past, forward

PREFILL = 0.3  # cost of reading a prompt token, in new tokens; only the estimate of progress depends on it
COMPACT = 0.125  # share of ended rows at which the batch is made smaller: the cache is copied then


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
