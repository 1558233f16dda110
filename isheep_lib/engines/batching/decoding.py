"""Decoding: one batch of prompts to tokens, rows leaving the batch as they end.

Covers the loop and seeded sampling. Does not cover text (the engine).
Why not `model.generate`: it draws all rows from one generator, so a row would depend on its batch; and it computes
ended rows until the last one ends.
"""

from collections.abc import Callable
from typing import Any

import torch

from isheep_lib.engines.batching.prefix_cache import Past, forward

TOP = 1024  # candidates sorted first; a nucleus that needs more is found by sorting the whole vocabulary
PREFILL = 0.3  # cost of reading a prompt token, in new tokens; only the estimate of progress depends on it
COMPACT = 0.125  # share of ended rows at which the batch is made smaller: the cache is copied then


def pick(scores: torch.Tensor, uniform: torch.Tensor, temperature: float, top_p: float) -> torch.Tensor:
    """Choose one token a row: the best one, or by inverting the nucleus's cumulative distribution at `uniform`.

    Exact temperature and top-p sampling with one number a row, so that no other row can disturb it.

    Args:
        scores: logits, rows x vocabulary.
        uniform: numbers in [0, 1), one per row.
        temperature: 0 is greedy.
        top_p: nucleus mass; the token that crosses it belongs to the nucleus.
    """
    if temperature == 0:
        return scores.argmax(-1)
    logs = torch.log_softmax(scores.float() / temperature, dim=-1)
    values, tokens = logs.topk(min(TOP, logs.shape[-1]), dim=-1)
    if values.shape[-1] < logs.shape[-1] and bool((values.exp().sum(-1) < top_p).any()):
        values, tokens = logs.sort(dim=-1, descending=True)
    if values.device.type == "mps":  # which has no float64
        values, tokens = values.cpu(), tokens.cpu()
    shares = values.double().exp()
    mass = shares.cumsum(-1)
    inside = mass - shares < top_p
    total = (shares * inside).sum(-1)
    position = (mass <= (uniform.to(mass) * total)[:, None]).sum(-1)
    return tokens.gather(-1, position.clamp(max=inside.sum(-1) - 1)[:, None])[:, 0]


@torch.inference_mode()
def decode(
    model: Any,
    scores: torch.Tensor,
    past: Past,
    choose: Callable[[torch.Tensor, list[int], int], torch.Tensor],
    ended: Callable[[int, list[int]], bool],
    max_new_tokens: int,
    tick: Callable[[float], None],
) -> list[list[int]]:
    """Continue prompts that were read.

    Args:
        scores: logits of the first new token, rows x vocabulary.
        past: what was read; it is extended.
        choose: scores, row numbers, step to the next tokens.
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
        chosen = choose(scores, rows, step)
        for line, token in enumerate(chosen.tolist()):
            if live[line]:
                new[rows[line]].append(token)
                live[line] = not ended(rows[line], new[rows[line]])
        left = [line for line in range(len(rows)) if live[line]]
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
