"""Checks of layout: lists, headings, tables, titles, bold parts, JSON."""

import re

from isheep_lib.constraints.parts import FENCE, composed, lines
from isheep_lib.reading.strict_json import NotJsonError, parse_json

BULLET = re.compile(r"^\s*[-*•]\s+\S")
NUMBERED = re.compile(r"^\s*(\d{1,3})[.)]\s+\S")
HEADING = re.compile(r"^#{1,6}\s+\S")
BOLD = re.compile(r"\*\*(?=\S)[^*\n]*[^*\s\n]\*\*")
RULE = re.compile(r"^\s*\|?(?:\s*:?-{3,}:?\s*\|)+(?:\s*:?-{3,}:?\s*)?\|?\s*$")
TITLE = re.compile(r"^\s*<<[^<>\n]*\w[^<>\n]*>>\s*$")


def bullets_exactly(text: str, number: int) -> bool:
    """Tell whether so many lines are points after a hyphen, an asterisk or a dot."""
    return sum(bool(BULLET.match(line)) for line in lines(text)) == number


def numbered_exactly(text: str, number: int) -> bool:
    """Tell whether the numbered lines count from 1 to the number."""
    found = [int(match[1]) for line in lines(text) if (match := NUMBERED.match(line))]
    return found == list(range(1, number + 1))


def headings_exactly(text: str, number: int) -> bool:
    """Tell whether so many lines, those of code apart, are Markdown headings."""
    return sum(bool(HEADING.match(line)) for line in _outside_code(text)) == number


def bold_at_least(text: str, number: int) -> bool:
    """Tell whether enough parts stand between double asterisks."""
    return len(BOLD.findall(composed(text))) >= number


def table_columns(text: str, number: int) -> bool:
    """Tell whether there is a Markdown table: a head, a rule and a row below it, each of so many cells."""
    found = lines(text)
    return any(
        RULE.match(rule) and all(_cells(row) == number for row in (head, rule, below))
        for head, rule, below in zip(found, found[1:], found[2:], strict=False)
    )


def _cells(line: str) -> int:
    """Count the cells of a row, 0 where it has no bar."""
    return len(line.strip().strip("|").split("|")) if "|" in line else 0


def title_line(text: str) -> bool:
    """Tell whether the first line is a title in double angle brackets."""
    return bool(lines(text)) and bool(TITLE.match(lines(text)[0]))


def json_object(text: str) -> bool:
    """Tell whether the text, a fence of code around it apart, is one JSON object that holds something."""
    inner = composed(text).strip()
    found = inner.split("\n")
    if len(found) > 2 and FENCE.match(found[0]) and FENCE.match(found[-1]):
        inner = "\n".join(found[1:-1])
    try:
        value = parse_json(inner)
    except NotJsonError:
        return False
    return isinstance(value, dict) and bool(value)


def postscript(text: str, mark: str) -> bool:
    """Tell whether the last of several lines begins with the mark and says something."""
    found = lines(text)
    last = found[-1].strip() if len(found) > 1 else ""
    return last.startswith(mark) and any(letter.isalnum() for letter in last[len(mark) :])


def _outside_code(text: str) -> list[str]:
    """Return the lines that stand in no fence of code."""
    found, inside = [], False
    for line in lines(text):
        if FENCE.match(line):
            inside = not inside
        elif not inside:
            found.append(line)
    return found
