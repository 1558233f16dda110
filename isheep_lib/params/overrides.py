"""Changes to a params file in one line: `section.name:value`, parted by blanks, each value as YAML.

    read_overrides('train.epochs:1 model.system_prompt:"You are brief." evaluate.tasks:[ifeval, arc_easy]')

Blanks within quotes or brackets part nothing, and a whole change may be quoted, as in a shell:
'model.system_prompt:You are brief.' Covers reading, joining and writing changes. Does not cover applying them
(`iterate.run_params`).
"""

import json
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from isheep_lib.params.check import refusal
from isheep_lib.params.old_names import new_name
from isheep_lib.params.yaml_file import read_value

FORM = 'write section.name:value, and a value with blanks in quotes: model.system_prompt:"You are brief."'
SIMPLE = re.compile(r"[\w./@+-][\w./@+:=-]*")
OPEN, CLOSE, BLANKS = "[{", "]}", set(" \t\r\n")


@dataclass(frozen=True)
class Change:
    """One change: the parameter as it was named, its value, and the words that it was written in."""

    name: str
    value: Any
    written: str


def read_overrides(text: str) -> list[Change]:
    """Read all changes, or raise a ParameterError that names every one that is none, or is given twice."""
    changes: list[Change] = []
    problems: list[str] = []
    for part in _parts(text):
        change, problem = _change(part)
        problems += [problem] if problem else []
        changes += [change] if change else []
    problems += _twice(changes)
    if problems:
        raise refusal(problems, "override")
    return changes


def layered(texts: Sequence[str]) -> str:
    """Join several overrides to one; what a later one changes, too, replaces the change before it."""
    kept: dict[str, str] = {}
    for text in texts:
        for change in read_overrides(text):
            for name in [name for name in kept if _overlap(name, new_name(change.name))]:
                del kept[name]
            kept[new_name(change.name)] = change.written
    return " ".join(kept.values())


def write_change(name: str, value: Any) -> str:
    """Write a change that `read_overrides` reads as this value."""
    if isinstance(value, str) and SIMPLE.fullmatch(value) and read_value(value) == value:
        return f"{name}:{value}"
    return f"{name}:{json.dumps(value, ensure_ascii=False, separators=(',', ':'))}"


def _change(part: str) -> tuple[Change | None, str]:
    whole = part
    if part[0] in "'\"":
        try:
            whole = "".join(shlex.split(part))
        except ValueError:
            return None, f"{part:.200}: a quote that is not closed; {FORM}"
    name, colon, text = whole.partition(":")
    if not colon or not re.fullmatch(r"\w+(?:\.\w+)*", name):
        return None, f"{part:.200}: {FORM}"
    if text.startswith("#"):
        return None, f"{part:.200}: YAML takes what begins with # as a comment; write the value in quotes"
    spoken = whole is not part and BLANKS & set(text) and text[0] not in f"{OPEN}'\""
    try:
        return Change(name, text if spoken else read_value(text), part), ""
    except ValueError as error:
        return None, f"{part:.200}: {text[:200]!r} {error}"


def _twice(changes: list[Change]) -> list[str]:
    problems = []
    for number, change in enumerate(changes):
        for other in changes[:number]:
            if _overlap(new_name(change.name), new_name(other.name)):
                problems.append(f"{change.name}: given twice, as {other.written:.100} and as {change.written:.100}; keep one")
                break
    return problems


def _overlap(name: str, other: str) -> bool:
    return name == other or name.startswith(f"{other}.") or other.startswith(f"{name}.")


def _parts(text: str) -> list[str]:
    """Part a text at blanks outside of quotes and brackets, which count where a value or an item begins."""
    parts, start, at, depth, begins = [], 0, 0, 0, True
    while at < len(text):
        character = text[at]
        if character in "'\"" and begins:
            at = _closing(text, at)
        elif character in OPEN and (begins or depth):
            depth += 1
        elif character in CLOSE and depth:
            depth -= 1
        elif character in BLANKS and not depth:
            parts.append(text[start:at])
            start = at + 1
        begins = character in BLANKS or character in ":,[{"
        at += 1
    return [part for part in [*parts, text[start:]] if part]


def _closing(text: str, start: int) -> int:
    """Return where the quoted text that begins at `start` ends, the end of all text if it does not."""
    quote, at = text[start], start + 1
    while at < len(text):
        if text[at] == "\\" and quote == '"':
            at += 1
        elif text[at] == quote:
            if quote == "'" and text[at + 1 : at + 2] == "'":  # YAML's own way to write one inside
                at += 1
            else:
                return at
        at += 1
    return len(text)
