"""Which token comes next, and whether any other could with logits that are off by a known error.

A token's share of the uniform number's range is [mass of smaller token ids, that plus its own), over the nucleus. Ids order
it, not probabilities: in a flat tail probabilities are too close to be ordered, their sums are not.
Covers greedy choice and sampling with temperature and top-p. Does not cover computing logits or their error (`bounds`).
"""

from dataclasses import dataclass

import torch

TOP = (1024, 8192)  # candidates sorted first; a nucleus that needs more is found by sorting the whole vocabulary


@dataclass(frozen=True)
class Error:
    """How far computed values may lie from exact ones.

    Attributes:
        gap: of the difference of two logits.
        mass: of the probability of any set of tokens, at the temperature of the draw.
    """

    gap: float
    mass: float


NONE = Error(0.0, 0.0)


@dataclass(frozen=True)
class Decision:
    """Token ids, one per row, and whether each is the only one within the error; both of shape rows."""

    tokens: torch.Tensor
    certain: torch.Tensor


def decide(logits: torch.Tensor, uniform: torch.Tensor, temperature: float, top_p: float, error: Error = NONE) -> Decision:
    """Choose a token per row: the best one, or the one whose share of the nucleus holds the row's number.

    Args:
        logits: rows x vocabulary, float32 or float64.
        uniform: numbers in [0, 1), one per row.
        temperature: 0 is greedy; of equal logits the smaller token id wins.
        top_p: nucleus mass; the token that crosses it belongs to the nucleus, as do all tokens if it is 1.
        error: of these logits.
    """
    if logits.device.type == "mps":  # which has no float64
        logits = logits.cpu()
    if temperature == 0:
        return _best(logits, error.gap)
    uniform = uniform.to(logits.device, torch.float64)
    if top_p >= 1:
        shares = torch.softmax(logits.double() / temperature, dim=-1)
        sure = torch.ones_like(shares, dtype=torch.bool)
        return _drawn(shares, sure, torch.zeros_like(sure), uniform, error.mass)
    values, tokens = _candidates(logits, temperature, top_p + error.mass)
    sure, open_ = _nucleus(values, top_p, error, temperature)
    tokens, order = tokens.sort(dim=-1)
    found = _drawn(values.exp().gather(-1, order), sure.gather(-1, order), open_.gather(-1, order), uniform, error.mass)
    return Decision(tokens.gather(-1, found.tokens[:, None])[:, 0], found.certain)


def _best(logits: torch.Tensor, gap: float) -> Decision:
    best = logits.topk(min(2, logits.shape[-1]), dim=-1).values.double()
    return Decision(logits.argmax(-1), best[:, 0] - best[:, -1] > gap)  # argmax takes the first of equal ones


def _candidates(logits: torch.Tensor, temperature: float, needed: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Return log-probabilities from the largest on, with their token ids, until all rows have the needed mass or everything."""
    total = (logits.double() / temperature).logsumexp(-1, keepdim=True)
    for number in TOP:
        if number >= logits.shape[-1]:
            break
        values, tokens = logits.topk(number, dim=-1)
        values = values.double() / temperature - total
        if bool((values[:, :-1].exp().sum(-1) > needed).all()):
            tokens, order = tokens.sort(dim=-1)  # of equal ones the smaller id comes first
            values, order = values.gather(-1, order).sort(dim=-1, descending=True, stable=True)
            return values, tokens.gather(-1, order)
    values, tokens = logits.sort(dim=-1, descending=True, stable=True)
    return values.double() / temperature - total, tokens


def _nucleus(values: torch.Tensor, top_p: float, error: Error, temperature: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Say of sorted log-probabilities which are in the nucleus, and of which an error may change that."""
    shares = values.exp()
    before = shares.cumsum(-1) - shares
    inside = before < top_p
    if error == NONE:
        return inside, torch.zeros_like(inside)
    last = values.shape[-1] - 1
    first_out = (before < top_p - error.mass).sum(-1, keepdim=True)
    last_in = (before < top_p + error.mass).sum(-1, keepdim=True) - 1
    gap = error.gap / temperature
    below = values.gather(-1, first_out.clamp(max=last)) + gap
    open_ = (values <= below) & (values >= values.gather(-1, last_in.clamp(min=0)) - gap)
    return inside, open_ & (first_out <= last)


def _drawn(shares: torch.Tensor, inside: torch.Tensor, open_: torch.Tensor, uniform: torch.Tensor, error: float) -> Decision:
    """Find the entry whose share of what is inside holds the number, and whether no other could.

    Shares, inside and open are rows x entries in the order that divides the range. Of the open entries any part may be inside:
    those before the chosen entry push its share up most when they are in and those after it are out, and the other way round.
    """
    kept = shares * inside
    mass = kept.cumsum(-1)
    point = uniform[:, None] * mass[:, -1:]
    places = torch.arange(shares.shape[-1], device=shares.device)
    chosen = (mass <= point).sum(-1, keepdim=True).clamp(max=(inside * places).max(-1, keepdim=True).values)
    settled, loose = shares * (inside & ~open_), shares * open_
    low, high = (settled * (places < chosen)).sum(-1), settled.sum(-1)
    lower, upper = (loose * (places < chosen)).sum(-1), (loose * (places > chosen)).sum(-1)
    own = settled.gather(-1, chosen)[:, 0]
    reached = uniform * (high + lower) - low - lower >= error
    not_passed = low + own - uniform * (high + upper) > error
    return Decision(chosen[:, 0], reached & not_passed & (own > 0))
