"""Checking parameters: every problem at once, with the nearest allowed name and the line it stands on.

Covers single values and values that contradict one another. Does not cover reading files (`params.yaml_file`).
"""

import difflib
from collections.abc import Sequence
from typing import Any, TypeVar

from pydantic import ValidationError

from isheep_lib.errors import ParameterError
from isheep_lib.params.kinds import Section

T = TypeVar("T", bound=Section)


def check(
    kind: type[T], values: dict[str, Any], where: str, lines: dict[str, int] | None = None, known: Sequence[str] = ()
) -> T:
    """Validate values, reporting every problem at once with the nearest allowed name and, if known, its line in the file.

    Problems that are `known` already are told with the others.
    """
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
    name = path.rpartition(".")[0] if isinstance(item["loc"][-1], int) else path  # an element stands on its list's line
    line = f" (line {lines[name]})" if name in lines else ""
    given = item["input"]
    if item["type"] == "extra_forbidden":
        by_last = {name.split(".")[-1]: name for name in _dotted(kind)}
        near = difflib.get_close_matches(path.split(".")[-1], by_last, n=1, cutoff=0.6)
        return f"{path}{line}: no such parameter" + (f"; did you mean {by_last[near[0]]}?" if near else "")
    if item["type"] == "missing":
        return f"{path}{line}: missing"
    if item["type"] == "float_type" and isinstance(given, str) and _is_number(given):
        return (
            f"{path}{line}: YAML reads {given} as text; write it without quotes, with a dot and a signed exponent, like 1.0e-4"
        )
    message = item["msg"].removeprefix("Input ").removeprefix("Value error, ")
    return f"{path}{line}: {given!r} {message}"


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _dotted(kind: type[Section]) -> list[str]:
    names = []
    for name, field in kind.model_fields.items():
        nested = field.annotation
        is_section = isinstance(nested, type) and issubclass(nested, Section)
        names += [f"{name}.{inner}" for inner in nested.known_names()] if is_section else [name]
    return names
