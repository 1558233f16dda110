"""What is read first, and what is folded below it: sentences, tables, and tables that open at a click.

    Told("Of 64 tasks 56 are kept.", funnel_table(counts), Folded("32 parameters at their defaults", table))

As text, for a terminal or a page without HTML, nothing is folded. Covers showing. Does not cover what is said
(`display.outcomes`, `display.verdicts`) or where it stands (`display.first_screen`).
"""

import html
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from isheep_lib.display.table import Table


@dataclass(frozen=True)
class Folded:
    """A table below one line that opens it."""

    line: str
    table: Table

    def _repr_html_(self) -> str:
        return f"<details><summary>{html.escape(self.line)}</summary>{self.table._repr_html_()}</details>"

    def __repr__(self) -> str:
        """Return the line and the table below it."""
        return f"{self.line}\n{self.table!r}"


class Told:
    """Sentences, one per line, the first of them in bold; then what they rest on."""

    def __init__(self, said: str, *parts: Table | Folded) -> None:
        """Hold sentences and parts in the order in which they are read."""
        self.said, self.parts = said, parts

    def _repr_html_(self) -> str:
        first, *rest = html.escape(self.said).split("\n")
        lines = "".join(f"<p>{line}</p>" for line in rest)
        bold = f"<p><strong>{first}</strong></p>" if first else ""
        return f"<div class='tex2jax_ignore'>{bold}{lines}</div>" + "".join(part._repr_html_() for part in self.parts)

    def __repr__(self) -> str:
        """Return the sentences and the parts as text."""
        return "\n\n".join([*([self.said] if self.said else []), *map(repr, self.parts)])


def parameters(facts: Mapping[str, Any], values: Mapping[str, Any], defaults: Mapping[str, Any]) -> Told:
    """Show facts, then the parameters that differ from their defaults; those that do not are folded.

    Args:
        values: every parameter by name.
        defaults: by name; a parameter without a default differs from it.
    """
    differ = {name: value for name, value in values.items() if name not in defaults or value != defaults[name]}
    rest = {name: value for name, value in values.items() if name not in differ}
    shown = Table([{"fact": name, "value": str(value)} for name, value in {**facts, **differ}.items()])
    if not rest:
        return Told("", shown)
    line = f"{len(rest)} more parameter(s), each as its default is"
    return Told("", shown, Folded(line, Table([{"parameter": name, "value": str(value)} for name, value in rest.items()])))
