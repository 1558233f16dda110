"""Rows as tensors, and the loss of each learned token.

Covers padding, packing and the loss. Does not cover which rows stand side by side (`train.batch_plan`).
"""

from typing import Any

import torch
from torch.nn import functional

from isheep_lib.train.dataset import MASKED, TrainRow


def tensors(rows: list[TrainRow], packed: bool) -> dict[str, torch.Tensor]:
    """Put rows side by side: padded, or one after the other with positions that start anew in each.

    Attention keeps packed rows apart by these positions, and only without a cache of keys, which `use_cache` turns off.
    Without a row it is two tokens that nothing is learned from.
    """
    rows = rows or [TrainRow("", [0, 0], 2)]
    if packed:
        ids = [[token for row in rows for token in row.input_ids]]
        labels = [[label for row in rows for label in row.labels]]
        more = {"position_ids": [[i for row in rows for i in range(len(row.input_ids))]]}
    else:
        width = max(len(row.input_ids) for row in rows)
        ids = [row.input_ids + [0] * (width - len(row.input_ids)) for row in rows]
        labels = [row.labels + [MASKED] * (width - len(row.input_ids)) for row in rows]
        more = {"attention_mask": [[1] * len(row.input_ids) + [0] * (width - len(row.input_ids)) for row in rows]}
    return {name: torch.tensor(values) for name, values in {"input_ids": ids, "labels": labels, **more}.items()}


def token_losses(model: Any, inputs: dict[str, torch.Tensor], whole_logits: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the loss of each token in nats, rows x places, 0 where nothing is learned; and where something is.

    Logits are computed only where some row has a token to learn, unless the model can only compute all of them.
    """
    labels = inputs.pop("labels")[:, 1:]
    places = (labels != MASKED).any(0).nonzero().flatten()
    if not len(places):
        places = labels.new_zeros(1)
    kept = {} if whole_logits else {"logits_to_keep": places}
    logits = model(**inputs, **kept, use_cache=False).logits
    logits, targets = logits[:, places] if whole_logits else logits, labels[:, places]
    losses = functional.cross_entropy(logits.float().flatten(0, 1), targets.flatten(), ignore_index=MASKED, reduction="none")
    return losses.view(targets.shape), targets != MASKED
