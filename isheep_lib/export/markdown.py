"""Text for a Markdown page: whatever is put into it stands there as it is, neither as Markdown nor as HTML.

    table([{"step": "rules", "kept": 22}])      # a table of GitHub's Markdown
    code("a|b")                                 # `a|b`, also where the text has backticks
    render("data_card.md.j2", record=record)    # a template whose filters are these pieces

Covers pieces of a page. Does not cover tables as files for a paper (`display.save`) or what a page says (`templates`).
"""

import json
import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from isheep_lib.display.save import MARKDOWN
from isheep_lib.display.table import Table, printable


def escape(text: str) -> str:
    """Return text that shows as it is, in one line."""
    return MARKDOWN.sub(lambda found: f"\\{found[0]}", printable(text))


def code(text: str) -> str:
    """Return text as code within a line."""
    fence = "`" * (_longest_run(text) + 1)
    space = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{fence}{space}{printable(text)}{space}{fence}"


def block(text: str, language: str = "") -> str:
    """Return text as a block of code."""
    fence = "`" * max(3, _longest_run(text) + 1)
    return f"{fence}{language}\n{text}\n{fence}"


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Return rows as a table; columns are the keys in order of appearance."""
    shown = Table(rows or [{"rows": "none"}])
    cells = [[_cell(row.get(column, "")) for column in shown.columns] for row in shown.rows]
    lines = [[escape(column) for column in shown.columns], ["---"] * len(shown.columns), *cells]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def front_matter(values: dict[str, Any]) -> str:
    """Return the lines of YAML that the Hub reads at the top of a card."""
    return f"---\n{yaml.safe_dump(values, sort_keys=False, allow_unicode=True)}---"


def counts(numbers: Mapping[str, Any]) -> str:
    """Return names with their numbers in one line."""
    return ", ".join(f"{name} {number}" for name, number in numbers.items())


def plain(value: Any) -> str:
    """Return a parameter's value as words; a list's are apart."""
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def render(template: str, **values: Any) -> str:
    """Fill a page of `templates`; what is put into it goes through the filters `escape`, `code`, `block` or `table`."""
    pages = Environment(  # noqa: S701 - Markdown; an escape for HTML would show
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    pages.filters |= {"escape": escape, "code": code, "block": block, "table": table, "counts": counts}
    pages.filters |= {"json": json.dumps, "quote": shlex.quote}
    return pages.get_template(template).render(**values)


def _cell(value: Any) -> str:
    return escape(f"{value:.4g}" if isinstance(value, float) else str(value))


def _longest_run(text: str) -> int:
    return max((len(run) for run in re.findall("`+", text)), default=0)
