"""Params files: YAML in, checked parameters of a run out, every complaint with its line.

Covers reading files and `override`. Does not cover the parameters themselves (`params`).
"""

from pathlib import Path
from typing import Any

import yaml

from isheep_lib.errors import ParameterError
from isheep_lib.params import RunParams
from isheep_lib.params_check import check, refusal


def load_run(path: Path, override: str = "", run: str = "") -> RunParams:
    """Read a params file, with changes given as `section.name:value` separated by spaces.

    Raises:
        ParameterError: the file is absent, no YAML mapping, or a value is unknown, missing, mistyped or out of range.
    """
    values, lines = read_yaml(path)
    problems = []
    for change in override.split():
        name, colon, text = change.partition(":")
        section, _, field = name.rpartition(".")
        if not colon or (section and not isinstance(values.get(section, {}), dict)):
            problems.append(f"{change}: write section.name:value")
            continue
        try:
            (values.setdefault(section, {}) if section else values)[field] = yaml.safe_load(text)
        except (yaml.YAMLError, ValueError) as error:
            problems.append(f"{change}: {text!r} is not a YAML value ({str(error).splitlines()[0]})")
        lines.pop(name, None)
    if problems:
        raise refusal(problems, "override")
    if run:
        values["run"] = run
    return check(RunParams, values, f"{path}{' with override' if override else ''}", lines)


def read_yaml(path: Path) -> tuple[dict[str, Any], dict[str, int]]:
    """Read a YAML mapping and the line on which each dotted name stands."""
    try:
        text = path.read_text(encoding="utf-8")
        node = yaml.compose(text)
        values = yaml.safe_load(text)
    except FileNotFoundError as error:
        known = ", ".join(sorted(str(p) for p in path.parent.glob("*.yaml"))) or "none in this folder"
        raise ParameterError("The params file does not exist", where=str(path), allowed=known) from error
    except (yaml.YAMLError, ValueError, OSError) as error:
        raise ParameterError(f"The params file cannot be read, or is not YAML: {error}", where=str(path)) from error
    if not isinstance(values, dict):
        raise ParameterError("The params file is not a mapping of names to values", where=str(path))
    lines, twice = _line_numbers(node)
    if twice:
        raise ParameterError("Given twice in the params file: " + ", ".join(twice), where=str(path), do="keep one of each")
    return values, lines


def _line_numbers(node: yaml.MappingNode, prefix: str = "") -> tuple[dict[str, int], list[str]]:
    lines: dict[str, int] = {}
    twice = []
    for key, value in node.value:
        name = f"{prefix}{key.value}"
        if name in lines:
            twice.append(f"{name} (lines {lines[name]} and {key.start_mark.line + 1})")
        lines[name] = key.start_mark.line + 1
        if isinstance(value, yaml.MappingNode):
            inner, again = _line_numbers(value, f"{name}.")
            lines |= inner
            twice += again
    return lines, twice
