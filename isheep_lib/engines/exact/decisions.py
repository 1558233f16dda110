"""Which token comes next, and whether any other could with logits that are off by a known error.

A token's share of the uniform number's range is [mass of smaller token ids, that plus its own), over the nucleus. Ids order
it, not probabilities: in a flat tail probabilities are too close to be ordered, their sums are not.

How far the mass of a set S of tokens may be off follows from how far logits are. Errors d of the logits change it by
p(i) (1 - P(S)) d(i) for each token in S and by -p(i) P(S) d(i) for each one outside. These d are sums over hundreds of
products, as good as independent, so squares add up: the error is a multiple, the scatter, of
    scale(S) = sqrt((1 - P)^2 sum of p^2 in S + P^2 sum of p^2 outside).
Where one token has nearly all mass, and where thousands share it, this is far less than an error that holds for all sets. The
scatter is not assumed: it is the largest ratio measured over sets and places of a text, times a factor of safety (`arbiter`).
Covers greedy choice and sampling with temperature and top-p. Does not cover computing logits or measuring their error.
"""

from dataclasses import dataclass

import torch

ROUNDING = 1e-11  # more than that of sums of probabilities in float64
TOP = (1024, 8192)  # candidates sorted first; a nucleus that needs more is found by sorting the whole vocabulary


@dataclass(frozen=True)
class Error:
    """How far computed values may lie from exact ones.

    Attributes:
        gap: of the difference of two logits.
        scatter: of the mass of any set of tokens over its scale, at the temperature of the draw.
    """

    gap: float
    scatter: float


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
        return _drawn(shares, None, uniform, error)
    values, tokens = _candidates(logits, temperature, top_p + error.scatter)
    sure, open_ = _nucleus(values, top_p, error, temperature)
    tokens, order = tokens.sort(dim=-1)
    found = _drawn(values.exp().gather(-1, order), (sure.gather(-1, order), open_.gather(-1, order)), uniform, error)
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
    squares = shares.square()
    ahead = squares.cumsum(-1) - squares
    off = error.scatter * scale(top_p, ahead, squares.sum(-1, keepdim=True) - ahead) + ROUNDING
    first_out = (before < top_p - off).sum(-1, keepdim=True)
    last_in = (before < top_p + off).sum(-1, keepdim=True) - 1
    gap = error.gap / temperature
    below = values.gather(-1, first_out.clamp(max=last)) + gap
    open_ = (values <= below) & (values >= values.gather(-1, last_in.clamp(min=0)) - gap)
    return inside, open_ & (first_out <= last)


def scale(mass: float | torch.Tensor, inside: torch.Tensor, outside: torch.Tensor) -> torch.Tensor:
    """Return what the error of a set's mass is a multiple of, given the sums of squared probabilities inside and outside."""
    return ((1 - mass) ** 2 * inside.clamp(min=0) + mass**2 * outside.clamp(min=0)).sqrt()  # a difference may be just below 0


def _drawn(
    shares: torch.Tensor, nucleus: tuple[torch.Tensor, torch.Tensor] | None, uniform: torch.Tensor, error: Error
) -> Decision:
    """Find the entry whose share of the nucleus holds the number, and whether no other could.

    Shares are rows x entries in the order that divides the range, and so are the two masks of a nucleus: what is inside, and
    what is open; without one every entry is inside. Of the open entries any part may be inside: those before the chosen entry
    push its share up most when they are in and those after it are out, and the other way round. A set that ends at the number
    has that mass, so the number stands for P in its scale.
    """
    if nucleus is None:
        kept = settled = every = shares
        loose, last = torch.zeros_like(shares[:, :1]), shares.shape[-1] - 1
    else:
        inside, open_ = nucleus
        kept, settled, loose = shares * inside, shares * (inside & ~open_), shares * open_
        every, last = settled + loose, _last_true(inside)
    mass = kept.cumsum(-1)
    chosen = (mass <= uniform[:, None] * mass[:, -1:]).sum(-1, keepdim=True).clamp(max=last)
    if error == NONE:
        return Decision(chosen[:, 0], torch.ones_like(uniform, dtype=torch.bool))
    own = settled.gather(-1, chosen)[:, 0]
    (here, after), (lower, upper), (first, rest) = (_cut(values, chosen) for values in (settled, loose, every.square()))
    high, own_square = here + after, own.square()
    below = error.scatter * scale(uniform, first - own_square, rest + own_square) + ROUNDING
    above = error.scatter * scale(uniform, first, rest) + ROUNDING
    reached = uniform * (high + lower) - (here - own) - lower >= below
    not_passed = here - uniform * (high + upper) > above
    return Decision(chosen[:, 0], reached & not_passed & (own > 0))


def _cut(values: torch.Tensor, places: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the sums of each row's values up to its place, and of those after it."""
    sums = values.cumsum(-1)
    here = sums.gather(-1, places.clamp(max=values.shape[-1] - 1))[:, 0]
    return here, sums[:, -1] - here


def _last_true(mask: torch.Tensor) -> torch.Tensor:
    """Return the place of each row's last true entry, rows x 1."""
    return mask.shape[-1] - 1 - mask.flip(-1).to(torch.uint8).argmax(-1, keepdim=True)
