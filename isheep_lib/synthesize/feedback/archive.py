r"""An archive: a grid of cells, each with the best text found for it, and the draw of a cell that is badly filled.

    read_grid("kind of task: a list | a letter\ndifficulty: easy | hard")
    # {"kind of task": ["a list", "a letter"], "difficulty": ["easy", "hard"]}

A row of `archive.jsonl`:
    {"cell": ["a list", "hard"], "id": "i1-c0012", "iteration": 1, "instruction": "…", "output": "…", "fitness": 0.42,
     "parents": ["seed-003"], …}

Covers cells and draws (Rainbow Teaming, arXiv 2402.16822, Section 3). Does not cover what a text is worth or how one is made
(`methods.feedback.rainbow`).
"""

import itertools
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Context, Decimal
from typing import Any

from isheep_lib.errors import DataError

Cell = tuple[str, ...]
EXACT = Context(prec=28)  # `Decimal.exp` is rounded correctly, so no machine's library decides a draw


def read_grid(text: str, where: str = "") -> dict[str, list[str]]:
    """Read a grid: a line for each dimension, its name, a colon, and its values between upright strokes.

    Raises:
        DataError: a line is not of this form, or a dimension has fewer than two values, or one twice.
    """
    grid = dict[str, list[str]]()
    for line in filter(str.strip, text.split("\n")):
        name, mark, rest = line.replace("：", ":", 1).partition(":")
        values = [value.strip() for value in rest.split("|")]
        if not mark or not name.strip() or len(values) < 2 or "" in values or len(set(values)) < len(values):
            raise DataError(
                f"A line of the grid cannot be read: {line[:80]!r}",
                where=where,
                allowed="name: one value | another value",
                do="mend the line in your folder of prompts",
            )
        grid[name.strip()] = values
    return grid


def cells_of(grid: Mapping[str, Sequence[str]]) -> list[Cell]:
    """Return every cell of a grid, in order."""
    return list(itertools.product(*grid.values()))


def bias(fitness: Sequence[float], temperature: float) -> list[Decimal]:
    """Return how likely each cell is drawn, by a softmax of its fitness turned round: badly filled cells come first."""
    powers = [EXACT.exp(EXACT.divide(Decimal(str(-value)), Decimal(str(temperature)))) for value in fitness]
    total = sum(powers, start=Decimal(0))
    return [EXACT.divide(power, total) for power in powers]


def draw_cell(draw: random.Random, cells: Sequence[Cell], shares: Sequence[Decimal]) -> Cell:
    """Draw a cell by the shares of all."""
    point, reached = Decimal(draw.random()), Decimal(0)
    for cell, share in zip(cells, shares, strict=True):
        reached += share
        if point < reached:
            return cell
    return cells[-1]  # the shares are rounded: their sum may stay below 1 by their last digits


@dataclass
class Archive:
    """The best text of each cell so far."""

    cells: Sequence[Cell]
    elites: dict[Cell, dict[str, Any]] = field(default_factory=dict)

    @property
    def fitness(self) -> list[float]:
        """The fitness of every cell, 0 where it is empty."""
        return [self.elites[cell]["fitness"] if cell in self.elites else 0.0 for cell in self.cells]

    def put(self, child: dict[str, Any]) -> dict[str, Any] | None:
        """Put a text into its cell, and return the one that was there, None where it was empty."""
        cell = tuple(child["cell"])
        before = self.elites.get(cell)
        self.elites[cell] = child
        return before

    def in_order(self) -> list[dict[str, Any]]:
        """Return the texts in the order of cells."""
        return [self.elites[cell] for cell in self.cells if cell in self.elites]


def waves(children: Iterable[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """Divide children so that each wave has at most one for a cell, those for one cell in their order."""
    found: list[list[dict[str, Any]]] = []
    times: dict[Cell, int] = {}
    for child in children:
        cell = tuple(child["cell"])
        place = times.get(cell, 0)
        times[cell] = place + 1
        found += [[]] if place == len(found) else []
        found[place].append(child)
    return found
