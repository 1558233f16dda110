"""Checking parameters: every problem at once, with the nearest allowed name and the line it stands on.

Covers single values and values that contradict one another. Does not cover reading files (`params.yaml_file`).
"""

import difflib
import re
from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

from pydantic import ValidationError

from isheep_lib.errors import ParameterError
from isheep_lib.params.kinds import Section

T = TypeVar("T", bound=Section)
DEEPEST, LONGEST_SHOWN = 30, 300
UNUSABLE = re.compile("[\x00\ud800-\udfff]")
HINTS = dict.fromkeys(("int_type", "float_type"), "; it is text: write a decimal number, without quotes, like 16 or 1.0e-4")
HINTS |= {"bool_type": "; it is text: write true or false, without quotes"}


def check(
    kind: type[T], values: dict[str, Any], where: str, lines: dict[str, int] | None = None, known: Sequence[str] = ()
) -> T:
    """Validate values, reporting every problem at once with the nearest allowed name and, if known, its line in the file.

    Problems that are `known` already are told with the others.
    """
    if odd := [f"{_placed(name, lines or {})}: {what}" for name, what in _odd_values(values)]:
        raise refusal([*known, *odd], where)
    try:
        checked = kind.model_validate(values)
    except ValidationError as error:
        problems = [*known, *(_explain(kind, item, lines or {}) for item in error.errors())]
        raise refusal(problems, where) from None
    problems = list(
        dict.fromkeys([*known, *checked.conflicts()])
    )  # two steps, or two lists of scorers, can have the same problem
    if problems:
        raise refusal(problems, where)
    return checked


def refusal(problems: list[str], where: str) -> ParameterError:
    """Put all problems with parameters into one error."""
    return ParameterError(
        f"{len(problems)} problem(s) with the parameters:\n  " + "\n  ".join(problems),
        where=where,
        do="mend these and run the command again; docs/parameters.md lists every parameter",
    )


def _explain(kind: type[Section], item: Any, lines: dict[str, int]) -> str:
    path = ".".join(str(part) for part in item["loc"])
    placed = _placed(path, lines)
    given = item["input"]
    if item["type"] == "extra_forbidden":
        by_last = {name.split(".")[-1]: name for name in _dotted(kind)}
        near = difflib.get_close_matches(path.split(".")[-1], by_last, n=1, cutoff=0.6)
        return f"{placed}: no such parameter" + (f"; did you mean {by_last[near[0]]}?" if near else "")
    if item["type"] == "missing":
        return f"{placed}: missing"
    message = item["msg"].removeprefix("Input ").removeprefix("Value error, ")
    hint = HINTS.get(item["type"], "") if isinstance(given, str) else ""
    return f"{placed}: {_shown(given)} {message}{hint}"


def _placed(path: str, lines: dict[str, int]) -> str:
    """Name a parameter with its line in the file, if that is known; an element stands on its list's line."""
    head, _, last = path.rpartition(".")
    name = head if last.isdecimal() else path
    return f"{path[:200]} (line {lines[name]})" if name in lines else path[:200]


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}…"


def _odd_values(value: Any, name: str = "", outer: tuple[int, ...] = ()) -> Iterator[tuple[str, str]]:
    """Name values that no parameter can have, whatever its kind: later they would break files, hashes or commands."""
    if id(value) in outer:
        yield name, "a list or mapping that holds itself"
    elif len(outer) > DEEPEST:
        yield name, f"more than {DEEPEST} lists and mappings inside one another"
    elif isinstance(value, str) and (found := UNUSABLE.search(value)):
        shown = found[0].encode("unicode_escape").decode("ascii")
        yield name, f"{_shown(value)} holds the character {shown}, which no parameter may hold"
    elif isinstance(value, int) and abs(value) >= 2**63:
        yield name, f"{_shown(hex(value))} (written in hexadecimal) is beyond all numbers that are counted in"
    elif isinstance(value, dict | list | tuple):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for key, inner in items:
            yield from _odd_values(key, f"{name}.{key!r:.60}".lstrip("."), (*outer, id(value)))
            yield from _odd_values(inner, f"{name}.{key}".lstrip("."), (*outer, id(value)))


def _dotted(kind: type[Section]) -> list[str]:
    names = []
    for name, field in kind.model_fields.items():
        nested = field.annotation
        is_section = isinstance(nested, type) and issubclass(nested, Section)
        names += [f"{name}.{inner}" for inner in nested.known_names()] if is_section else [name]
    return names
