"""Constraints for one task: drawn, asked for, and held against an answer.

    found = draw(selected(["disjoint_from_ifeval"]), 2, random.Random(7))
    asked("Name three uses of salt.", found, random.Random(7))     # "Name three uses of salt. Write without digits. …"
    rows_of(found, answer)                                         # [{"family": "no_digits", …, "kept": True}, …]

Covers one task. Does not cover which tasks (`synthesize.constrained`).
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from isheep_lib.constraints.family import FAMILIES, Arguments, Family, compatible
from isheep_lib.constraints.parts import STOP, WIDE_STOP


@dataclass(frozen=True)
class Constraint:
    """A family with arguments and the text that asks for it."""

    family: str
    arguments: Arguments
    text: str

    def is_kept(self, answer: str) -> bool:
        """Tell whether an answer meets it."""
        return FAMILIES[self.family].is_kept(answer, self.arguments)

    def as_row(self) -> dict[str, Any]:
        """Return what a row keeps of it before there is an answer."""
        return {"family": self.family, "arguments": dict(self.arguments), "text": self.text}


def draw(families: Sequence[Family], number: int, randomness: random.Random) -> list[Constraint]:
    """Draw up to `number` constraints of families that may be asked together, fewer where no more are left."""
    found: list[Constraint] = []
    while len(found) < number and (left := compatible(families, [constraint.family for constraint in found])):
        family = randomness.choice(left)
        arguments = {name: randomness.choice(values) for name, values in family.values.items()}
        found.append(phrased(family, arguments, randomness))
    return found


def phrased(family: Family, arguments: Arguments, randomness: random.Random) -> Constraint:
    """Ask for a family in a phrasing drawn at random."""
    return Constraint(family.name, arguments, family.text(arguments, randomness.randrange(len(family.texts))))


def asked(instruction: str, constraints: Sequence[Constraint], randomness: random.Random) -> str:
    """Append the texts of constraints to an instruction: on the same line, or on a line of their own."""
    texts = " ".join(constraint.text for constraint in constraints)
    ended = instruction.rstrip()[-1:] in tuple(STOP + WIDE_STOP) and "\n" not in instruction.strip()
    joint = randomness.choice([" ", "\n"]) if ended else "\n"
    return f"{instruction.rstrip()}{joint}{texts}" if texts else instruction


def rows_of(constraints: Sequence[Constraint], answer: str) -> list[dict[str, Any]]:
    """Return what a row keeps of its constraints, with whether its answer meets each."""
    return [{**constraint.as_row(), "kept": constraint.is_kept(answer)} for constraint in constraints]


def read_rows(rows: Sequence[Mapping[str, Any]]) -> list[Constraint]:
    """Read constraints as rows keep them."""
    return [Constraint(row["family"], row["arguments"], row["text"]) for row in rows]


def is_met(row: Mapping[str, Any]) -> bool:
    """Tell whether a row's answer meets all constraints of its instruction; it does where there are none."""
    return all(constraint["kept"] for constraint in row.get("constraints", ()))
