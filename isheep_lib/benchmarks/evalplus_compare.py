"""Comparing an answer with the canonical solution, as the plus variants of HumanEval and MBPP do.

    compare(reference="def one(): return 1", candidate=lambda: 1.0, entry="one", inputs=[[]], atol=0, kind="")

`code_programs` puts the text of this file into the tests of an answer, so it imports the standard library alone.
Covers equality with a tolerance, and the tasks that accept more than one answer. Does not cover where inputs come from.
"""

from collections.abc import Callable
from copy import deepcopy
from math import inf, nan, sqrt  # noqa: F401  # inputs written as Python may hold inf and nan
from typing import Any

RELATIVE = 1e-7
FLOATS = 1e-6  # where a record names no tolerance, but the result is made of floats
# Tasks of MBPP: where order and repetition are free, and where any match object will do.
SETS = {
    "similar_elements", "find_char_long", "common_in_nested_lists", "extract_singly", "larg_nnum",
    "intersection_array", "find_dissimilar", "Diff",
}  # fmt: skip
MATCHES = {"check_str", "text_match_three", "text_starta_endb"}


def compare(reference: str, candidate: Callable[..., Any], entry: str, inputs: list[list[Any]], atol: float, kind: str) -> None:
    """Check that an answer agrees with the canonical solution on every input.

    Raises:
        AssertionError: it does not.
        RuntimeError: the canonical solution itself fails.
    """
    try:
        solution = _function(reference, entry)
        expected = [solution(*deepcopy(given)) for given in inputs]
    except Exception as error:
        raise RuntimeError(f"the canonical solution fails: {error!r}") from error
    for given, wanted in zip(inputs, expected, strict=True):
        out = candidate(*deepcopy(given))
        if not accepted(kind, entry, given, out, wanted, atol):
            raise AssertionError(f"{entry}({_short(given)}) gives {_short(out)} instead of {_short(wanted)}")


def _function(code: str, name: str) -> Callable[..., Any]:
    names: dict[str, Any] = {"__name__": "program"}
    exec(compile(code, "<answer>", "exec"), names)  # noqa: S102
    return names[name]


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:60] + "..."


def accepted(kind: str, entry: str, given: list[Any], out: Any, wanted: Any, atol: float) -> bool:
    """Tell whether a result will do; some tasks take any zero, any order or any match."""
    if (kind, entry) == ("humaneval", "find_zero"):
        return abs(sum(factor * out**power for power, factor in enumerate(given[0]))) <= atol
    if kind == "mbpp":
        if entry == "are_equivalent" or (entry == "sum_div" and out == 0):
            return True
        if entry in SETS:
            return set(out) == set(wanted)
        if entry in MATCHES:
            return (out if isinstance(out, bool) else out is not None) == (wanted is not None)
        if entry == "surface_Area" and abs(out - _pyramid(*given)) <= atol:
            return True
        if entry == "digit_distance_nums" and out == _digit_distance(*given):
            return True
    return equal(out, wanted, atol)


def _pyramid(base: float, height: float) -> int:
    """Return the surface, where the task's height is that of the pyramid and not of its sides."""
    return round(base**2 + 2 * base * sqrt((base / 2) ** 2 + height**2))


def _digit_distance(one: int, other: int) -> int:
    """Return the sum of the differences digit by digit, where the task's may be that of the difference."""
    size = max(len(str(one)), len(str(other)))
    return sum(abs(int(a) - int(b)) for a, b in zip(str(one).zfill(size), str(other).zfill(size), strict=True))


def equal(out: Any, wanted: Any, atol: float) -> bool:
    """Compare exactly, and with the tolerance where there is one."""
    if out == wanted:
        return True
    several = isinstance(wanted, list | tuple) and bool(wanted)
    floats = isinstance(wanted, float) or (several and all(isinstance(value, float) for value in wanted))
    tolerance = atol or (FLOATS if floats else 0)
    return tolerance > 0 and type(out) is type(wanted) and _close(out, wanted, tolerance)


def _close(out: Any, wanted: Any, tolerance: float) -> bool:
    if isinstance(wanted, list | tuple):
        pairs = zip(out, wanted, strict=True) if isinstance(out, list | tuple) and len(out) == len(wanted) else None
        return pairs is not None and all(_close(one, other, tolerance) for one, other in pairs)
    numbers = isinstance(out, int | float | complex) and isinstance(wanted, int | float | complex)
    return bool(out == wanted or (numbers and abs(out - wanted) <= tolerance + RELATIVE * abs(wanted)))
