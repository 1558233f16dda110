"""JSON that others wrote, read strictly: what a lenient reader would decide silently is an error that says where.

    parse_json('{"a": 1}')            # {"a": 1}
    parse_json('{"a": 1, "a": 2}')    # NotJsonError: the key 'a' comes twice

Covers one text. Does not cover lines and lists of rows (`record.rows`, `record.sources`).
"""

import json
import re
from collections import Counter
from typing import Any

DEEPEST = 100  # lists and objects inside one another; Python's own limit depends on who calls
LONGEST_NUMBER = 400  # digits; a double holds 309 of them before the point
BRACKETS = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{}]', re.DOTALL)


class NotJsonError(ValueError):
    """A text that is no JSON, or whose meaning is left open.

    `position` is where, in characters, and `end` where a value ends that is bad within; None where that is unknown.
    """

    def __init__(self, reason: str, position: int | None = None, end: int | None = None) -> None:
        super().__init__(reason)
        self.reason, self.position, self.end = reason, position, end


def parse_json(text: str) -> Any:
    """Read a whole text as one JSON value, or raise a NotJsonError."""
    value, end = parse_next(text, len(text) - len(text.lstrip()))
    if rest := text[end:].strip():
        raise NotJsonError("Extra data", text.index(rest, end))
    return value


def parse_next(text: str, start: int) -> tuple[Any, int]:
    """Read the JSON value that begins at `start`; return it and where it ends."""
    try:
        value, end = _DECODER.raw_decode(text, start)
    except json.JSONDecodeError as error:
        raise NotJsonError(error.msg, error.pos) from error
    except NotJsonError as error:
        error.end = _lenient_end(text, start)
        raise
    except RecursionError as error:
        raise NotJsonError(_too_deep()) from error
    if text.count("[", start, end) + text.count("{", start, end) > DEEPEST and _depth(text, start, end) > DEEPEST:
        raise NotJsonError(_too_deep(), end=end)
    return value, end


def _lenient_end(text: str, start: int) -> int | None:
    try:
        return json.JSONDecoder(parse_int=str, parse_float=str).raw_decode(text, start)[1]
    except (json.JSONDecodeError, RecursionError):
        return None


def _too_deep() -> str:
    return f"more than {DEEPEST} lists and objects inside one another"


def _depth(text: str, start: int, end: int) -> int:
    depth = deepest = 0
    for found in BRACKETS.finditer(text, start, end):
        depth += (found[0] in ("[", "{")) - (found[0] in ("]", "}"))
        deepest = max(deepest, depth)
    return deepest


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = [f"{name[:60]!r}" for name, number in Counter(name for name, _ in pairs).items() if number > 1]
        raise NotJsonError(f"the key {', '.join(twice[:3])} comes twice")
    return found


def _integer(digits: str) -> int:
    if len(digits) > LONGEST_NUMBER:
        raise NotJsonError(f"a number of {len(digits)} digits: {digits[:20]}…")
    return int(digits)


def _float(text: str) -> float:
    number = float(text)
    if number in (float("inf"), float("-inf")):
        raise NotJsonError(f"the number {text[:20]} is too large")
    return number


def _constant(name: str) -> Any:
    raise NotJsonError(f"{name} is no JSON; write null")


_DECODER = json.JSONDecoder(
    object_pairs_hook=_object, parse_int=_integer, parse_float=_float, parse_constant=_constant, strict=True
)
