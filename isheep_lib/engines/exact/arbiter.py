"""Who decides where a fast pass cannot: the error measured, close cases computed in float64, and all of it counted.

Ziv's strategy for correctly rounded functions: compute fast with an error bound, and only where the bound leaves two
outcomes again with more digits. What results depends on weights and request alone, not on the machine or the batch.
Covers next tokens, and naming scores whose last digit stays open. Does not cover the decision itself (`decisions`), the pass in
float64 (`double`) or what is rounded how (`rounding`).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from isheep_lib.engines.exact.decisions import ROUNDING, Error, decide, scale
from isheep_lib.engines.exact.double import DoubleModel
from isheep_lib.engines.exact.rounding import coarse, rounds_either_way

SAFETY = 4  # the error allowed for, over the largest one measured
DOUBLE = Error(gap=1e-9, scatter=1e-9)  # thousands of times what two machines differ by in float64
NAMED = 60  # characters of a text that name it
PROSE = (
    "The harbour opens at six. Boats that came in during the night are unloaded first, then those that wait outside. "
    "1. Weigh the crates; 2. note 17.5 kg, 203 kg and 8,400 kg apart; 3. ask who signed.\n"
    "def total(crates: list[float]) -> float:\n    return sum(crate for crate in crates if crate > 0)\n"
    "Wer zuletzt kommt, wartet. Les portes ferment à midi. 港口六点开放。 Порт закрыт. "
    "Question: how many boats are there if 12 leave and twice as many return? Answer: 24 more than before."
)


@dataclass
class Counts:
    """What happened to the decisions of a stage."""

    decided: int = 0
    again: int = 0  # computed in float64
    changed: int = 0  # of those, decided otherwise than the fast pass would have
    scores: int = 0  # computed in float64 from the beginning, and rounded
    undecided: list[str] = field(default_factory=list)  # rows, scores and vectors that float64 left with two outcomes


class Arbiter:
    """Decides next tokens as exact arithmetic would, and keeps count of all that is to be exact."""

    def __init__(
        self, double: DoubleModel, fast: Callable[[list[int]], torch.Tensor], encode: Callable[[str], list[int]]
    ) -> None:
        """Measure the error of the fast pass.

        Args:
            double: the same model in float64.
            fast: tokens to the logits after each of them, tokens x vocabulary.
            encode: text to tokens.
        """
        self.double, self.counts = double, Counts()
        tokens = encode(PROSE)
        self._exact = double.logits(tokens, len(tokens))
        self._fast = fast(tokens).to(self._exact)
        self.gap = spread(self._fast - self._exact)
        self.scatters: dict[float, float] = {}

    def error(self, temperature: float) -> Error:
        """Return the error allowed for at a temperature."""
        if temperature and temperature not in self.scatters:
            places = zip(self._fast, self._exact, strict=True)
            self.scatters[temperature] = max(scatter(fast, exact, temperature) for fast, exact in places)
        return Error(SAFETY * self.gap, SAFETY * self.scatters.get(temperature, 0.0))

    def choose(
        self,
        logits: torch.Tensor,
        uniform: torch.Tensor,
        temperature: float,
        top_p: float,
        row: Callable[[int], tuple[str, list[int]]],
    ) -> torch.Tensor:
        """Return the next token per row; see `decide`.

        Args:
            row: line of the logits to the row's id and all its tokens so far.
        """
        found = decide(logits, uniform, temperature, top_p, self.error(temperature))
        self.counts.decided += len(logits)
        tokens = found.tokens.clone()
        for line in (~found.certain).nonzero()[:, 0].tolist():
            tokens[line] = self._again(logits[line], uniform[line : line + 1], temperature, top_p, *row(line))
        return tokens

    def _again(
        self, fast: torch.Tensor, uniform: torch.Tensor, temperature: float, top_p: float, id_: str, tokens: list[int]
    ) -> int:
        exact = self.double.after(id_, tokens)
        found = decide(exact, uniform, temperature, top_p, DOUBLE)
        self.counts.again += 1
        self.gap = max(self.gap, spread(fast.to(exact)[None] - exact))
        if temperature:
            self.scatters[temperature] = max(self.scatters[temperature], scatter(fast.to(exact), exact[0], temperature))
        self.counts.changed += int(decide(fast[None], uniform, temperature, top_p).tokens[0] != found.tokens[0])
        if not bool(found.certain[0]):
            self.counts.undecided.append(f"{id_}, after {len(tokens)} tokens")
        return int(found.tokens[0])

    def note(self, value: float, digits: int, error: float, id_: str) -> None:
        """Count a score that is about to be rounded, and name it, by its row in the transcript, if its last digit is open."""
        self.counts.scores += 1
        if rounds_either_way(value, digits, error):
            self.counts.undecided.append(f"score {id_}: {value!r} to {digits} digits")

    def coarse(self, vectors: np.ndarray, texts: Sequence[str]) -> np.ndarray:
        """Round vectors of texts to their grid, float32, and name those with a number that may be either of two."""
        found, open_ = coarse(vectors)
        self.counts.scores += len(texts)
        self.counts.undecided += [f"vector of {texts[i][:NAMED]!r}: {open_[i]} number(s)" for i in open_.nonzero()[0]]
        return found

    def facts(self) -> dict[str, Any]:
        """Say what a manifest keeps: errors measured on this machine, and counts."""
        scatters = {str(temperature): value for temperature, value in sorted(self.scatters.items())}
        return {"safety": SAFETY, "gap": self.gap, "scatter_by_temperature": scatters, **vars(self.counts)}


def spread(difference: torch.Tensor) -> float:
    """Return the largest error of a difference of two logits, given logits' errors, positions x vocabulary."""
    return float((difference.max(-1).values - difference.min(-1).values).max())


def scatter(fast: torch.Tensor, exact: torch.Tensor, temperature: float) -> float:
    """Return the largest error of a set's mass over the set's scale (`decisions`), given both logits of one place in float64.

    Looked at are the sets that decisions ask about: the first tokens by number, and the likeliest ones.
    """
    shares, others = (fast / temperature).softmax(-1), (exact / temperature).softmax(-1)
    found = []
    for order in (torch.arange(len(shares), device=shares.device), shares.argsort(descending=True)):
        ordered = shares[order]
        squares = ordered.square()
        outside = squares.new_zeros(len(squares))
        outside[:-1] = squares[1:].flip(0).cumsum(-1).flip(0)  # added up from the other end: a difference would leave nothing
        error = ((ordered - others[order]).cumsum(-1).abs() - ROUNDING).clamp(min=0)
        found.append(error / scale(ordered.cumsum(-1), squares.cumsum(-1), outside).clamp(min=ROUNDING))
    return float(torch.stack(found).max())
