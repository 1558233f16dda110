"""Attention that copies no keys for grouped heads, known to transformers by the name `ATTENTION`."""

from typing import Any

import torch
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import AttentionMaskInterface, sdpa_mask

ATTENTION = "isheep_grouped_sdpa"


def grouped_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    **options: Any,
) -> tuple[torch.Tensor, None]:
    """Attend with one query position a row by treating the heads that share a key as positions.

    transformers copies keys and values for every query head when there is a mask; here nothing is copied.
    Shapes: query rows x heads x 1 x size, key and value rows x groups x length x size.
    """
    share = getattr(module, "num_key_value_groups", 1)
    masked_alike = attention_mask is None or attention_mask.shape[1] == 1
    if query.shape[2] != 1 or share == 1 or not masked_alike or options.get("position_bias") is not None:
        return sdpa_attention_forward(module, query, key, value, attention_mask, dropout, scaling, **options)
    rows, heads, _, size = query.shape
    output = torch.nn.functional.scaled_dot_product_attention(
        query.reshape(rows, heads // share, share, size), key, value, attn_mask=attention_mask, scale=scaling
    )
    return output.reshape(rows, 1, heads, size), None


AttentionInterface.register(ATTENTION, grouped_attention)
AttentionMaskInterface.register(ATTENTION, sdpa_mask)
