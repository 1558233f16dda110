"""How far a recorded token lies from the one that this machine would have taken at the same place with the same number.

Token-DiFR (arXiv 2511.20621) measures a margin of perturbed logits; here sampling inverts a cumulative distribution, so the
distance is the probability mass by which the row's number misses the token's share, plus the mass by which the token lies
outside the nucleus. Greedy: the gap to the best logit.
"""

import torch


def miss(logits: torch.Tensor, token: int, uniform: float, temperature: float, top_p: float) -> float:
    """Return the distance of one token: 0 where it is the choice; probability mass, or logits where it is greedy.

    Args:
        logits: of one place, size of the vocabulary.
        uniform: the row's number there, in [0, 1).
        temperature: 0 is greedy.
        top_p: nucleus mass.
    """
    logits = logits.double()
    if temperature == 0:
        return float(logits.max() - logits[token])
    shares = (logits / temperature).softmax(-1)
    own, ids = shares[token], torch.arange(len(shares), device=shares.device)
    likelier = (shares > own) | ((shares == own) & (ids < token))
    outside = 0.0
    inside = torch.ones_like(likelier)
    if top_p < 1:
        outside = max(0.0, float(shares[likelier].sum()) - top_p)
        values, order = shares.sort(descending=True, stable=True)
        inside = torch.zeros_like(likelier)
        inside[order[values.cumsum(-1) - values < top_p]] = True
        inside[token] = True
    kept = shares * inside
    low, point = float(kept[:token].sum()), uniform * float(kept.sum())
    return outside + max(0.0, low - point, point - low - float(own))
