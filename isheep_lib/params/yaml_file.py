"""Params files: YAML in, values and the lines they stand on out."""

from pathlib import Path
from typing import Any

import yaml

from isheep_lib.errors import ParameterError


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
