"""Families of constraints, read from `families.yaml`: texts, ranges, checks, and what benchmarks ask that is like them.

    family = FAMILIES["sentences_exactly"]
    family.text({"number": 3}, 0)                     # "Answer in exactly 3 sentences."
    family.is_kept("One. Two. Three.", {"number": 3}) # True

Covers single families and choosing some by name. Does not cover drawing for a task (`constraints.draw`).
"""

import difflib
import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from isheep_lib.constraints.checks.table import CHECKS
from isheep_lib.record.rows import digest_file

Arguments = Mapping[str, int | str]
FILE = Path(__file__).with_name("families.yaml")


@dataclass(frozen=True)
class Family:
    """One family.

    Attributes:
        values: every value that each argument may have, in order.
        texts: what asks for it, in several phrasings.
        ifeval: IFEval's types that are like it, none for a family unlike all of them.
        ifbench: IFBench's, likewise.
        rarity: how often free answers meet it, in words.
        conflicts: families that are not asked together with it.
    """

    name: str
    checker: str
    values: Mapping[str, tuple[int | str, ...]]
    texts: tuple[str, ...]
    ifeval: tuple[str, ...]
    ifbench: tuple[str, ...]
    rarity: str
    conflicts: frozenset[str]

    def is_kept(self, answer: str, arguments: Arguments) -> bool:
        """Tell whether an answer meets it."""
        return CHECKS[self.checker](answer, **arguments)

    def text(self, arguments: Arguments, phrasing: int) -> str:
        """Ask for it in one of the phrasings."""
        return self.texts[phrasing].format(**arguments)

    def choices(self) -> list[dict[str, int | str]]:
        """List every combination of arguments."""
        return [dict(zip(self.values, found, strict=True)) for found in itertools.product(*self.values.values())]


GROUPS: dict[str, tuple[str, Callable[[Family], object]]] = {
    "all": ("every family", lambda family: True),
    "disjoint_from_ifeval": ("unlike every type of IFEval", lambda family: not family.ifeval),
    "disjoint_from_ifbench": ("unlike every type of IFBench", lambda family: not family.ifbench),
    "disjoint_from_both": ("unlike every type of either", lambda family: not family.ifeval and not family.ifbench),
    "like_ifeval": ("like a type of IFEval", lambda family: family.ifeval),
    "like_ifbench": ("like a type of IFBench", lambda family: family.ifbench),
}


def _read() -> dict[str, Family]:
    known = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    apart: dict[str, set[str]] = {}
    for group in known["conflicts"]:
        for name in group:
            apart.setdefault(name, set()).update(other for other in group if other != name)
    return {row["name"]: _family(row, frozenset(apart.get(row["name"], ()))) for row in known["families"]}


def _family(row: dict[str, Any], conflicts: frozenset[str]) -> Family:
    values = {name: _values(given) for name, given in row["arguments"].items()}
    lists = {name: tuple(row[name]) for name in ("texts", "ifeval", "ifbench")}
    return Family(row["name"], row["checker"], values, **lists, rarity=row["rarity"], conflicts=conflicts)


def _values(given: dict[str, int] | list[str]) -> tuple[int | str, ...]:
    """List the values of an argument: those named, or those from, to and in steps of."""
    return tuple(given) if isinstance(given, list) else tuple(range(given["from"], given["to"] + 1, given["step"]))


FAMILIES: dict[str, Family] = _read()


def digest() -> str:
    """Hash the table of families."""
    return digest_file(FILE)


def selected(names: Iterable[str]) -> list[Family]:
    """Return the families that names of families and groups choose, each once, in the order of the table."""
    wanted = list(names)
    return [f for f in FAMILIES.values() if f.name in wanted or any(GROUPS[n][1](f) for n in wanted if n in GROUPS)]


def name_problem(name: str) -> str:
    """Say why a name chooses no family, "" where it chooses some; the nearest one is named."""
    if name in FAMILIES or name in GROUPS:
        return ""
    near = difflib.get_close_matches(name, [*GROUPS, *FAMILIES], n=1, cutoff=0.5)
    said = f"did you mean {near[0]}?" if near else f"groups are {', '.join(GROUPS)}"
    return f"{name!r} is no family of constraints and no group of them; {said}"


def named_in(instruction: str) -> set[str]:
    """Name the families whose texts stand in an instruction, in any phrasing and with any arguments."""
    return {name for text, name in _texts().items() if text in instruction}


@cache
def _texts() -> dict[str, str]:
    """Return every text that can ask for a family, with the family's name."""
    return {
        family.text(arguments, phrasing): family.name
        for family in FAMILIES.values()
        for arguments in family.choices()
        for phrasing in range(len(family.texts))
    }


def types_like(names: Iterable[str], benchmark: str) -> set[str]:
    """Name the types of a benchmark, ifeval or ifbench, that families are like; a family of an older table is like none."""
    found = [FAMILIES[name] for name in names if name in FAMILIES]
    return {kind for family in found for kind in (family.ifeval if benchmark == "ifeval" else family.ifbench)}


def compatible(families: Sequence[Family], chosen: Iterable[str]) -> list[Family]:
    """Return the families that may be asked together with those chosen."""
    names = set(chosen)
    return [family for family in families if family.name not in names and not family.conflicts & names]
