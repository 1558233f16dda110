"""Tables that show in a notebook and in a terminal; everything in them is escaped.

Covers showing rows. Does not cover where rows come from.
"""

import html
import random
from collections.abc import Sequence
from typing import Any

from isheep_lib.display.scripts import columns, direction, is_right_to_left

STYLE = "text-align:left;vertical-align:top;white-space:pre-wrap;"
# Marks without width that keep text of one direction apart from what stands beside it.
ISOLATE, LEFT_TO_RIGHT, END_OF_ISOLATE = "\u2068", "\u2066", "\u2069"
SENTENCE = 60  # letters; among many columns a longer text is not squeezed into one word a line
LONG_WORD = 32  # letters; a longer one is broken anywhere, so that no cell widens the page


class Table:
    """Rows that show as an escaped HTML table in a notebook and as aligned text in a terminal."""

    def __init__(self, rows: Sequence[dict[str, Any]], caption: str = "", heading: str = "") -> None:
        """Hold rows; columns are the keys in order of appearance; a heading numbers a table where nothing else does."""
        self.rows, self.title, self.heading = list(rows), caption, heading
        self.caption = f"{heading}{caption}"
        self.columns = list(dict.fromkeys(key for row in self.rows for key in row))

    def _cells(self) -> list[list[str]]:
        return [[_text(row.get(column, "")) for column in self.columns] for row in self.rows]

    def _repr_html_(self) -> str:
        head = "".join(f"<th {_style(column)}>{html.escape(column)}</th>" for column in self.columns)
        body = "".join(
            "<tr>" + "".join(f"<td {_style(cell, self._width(cell))}>{self._shown(cell)}</td>" for cell in row) + "</tr>"
            for row in self._cells()
        )
        caption = f"<p>{html.escape(self.caption)}</p>" if self.caption else ""
        return f"<div class='tex2jax_ignore'>{caption}<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"

    def _shown(self, cell: str) -> str:
        """Write a cell as HTML, escaped; a relative path to a notebook of the record becomes a link."""
        safe = html.escape(cell)
        is_record = cell.endswith(".ipynb") and cell.startswith("iter-") and " " not in cell
        return f"<a href='{safe}'>{safe}</a>" if is_record else safe

    def _line(self, cell: str) -> str:
        """Write a cell as text on one line."""
        return printable(cell)

    def _width(self, cell: str) -> int:
        """Return how wide a cell is at least, in letters m."""
        return 3

    def __repr__(self) -> str:
        """Return aligned text."""
        lines = [self.columns, *([self._line(cell) for cell in row] for row in self._cells())]
        widths = [max(columns(line[i]) for line in lines) for i in range(len(self.columns))]
        text = "\n".join(
            "  ".join(_padded(cell, width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
        )
        return f"{self.caption}\n{text}" if self.caption else text


class FoldedTable(Table):
    """A table whose long texts show how they begin, and open at a click; as text they are shortened."""

    def __init__(self, rows: Sequence[dict[str, Any]], caption: str = "", short: int = 180, longest: int = 20_000) -> None:
        """Hold rows; texts beyond `short` letters are folded, what lies beyond `longest` is left out."""
        super().__init__(rows, caption)
        self.short, self.longest = short, longest

    def _shown(self, cell: str) -> str:
        if len(cell) <= self.short:
            return super()._shown(cell)
        begins, whole = html.escape(clip(cell, self.short)), html.escape(clip(cell, self.longest))
        return f"<details><summary>{begins}</summary>{whole}</details>"

    def _line(self, cell: str) -> str:
        return printable(clip(cell, self.short))

    def _width(self, cell: str) -> int:
        return 16 if len(cell) > SENTENCE else 3


def _style(cell: str, width: int = 3) -> str:
    longest = max((len(word) for word in cell.split()), default=0)
    # Only where it says anything: a cell of another direction begins at its own side.
    side, style = (f"dir='{direction(cell)}' ", STYLE.replace("left", "start", 1)) if is_right_to_left(cell) else ("", STYLE)
    return f"{side}style='{style}min-width:{width}em;overflow-wrap:{'anywhere' if longest > LONG_WORD else 'break-word'}'"


def _padded(cell: str, width: int) -> str:
    """Fill a cell up to a width in columns; one written from right to left is ordered apart from its neighbours."""
    apart = f"{ISOLATE}{cell}{END_OF_ISOLATE}" if is_right_to_left(cell) else cell
    return apart + " " * (width - columns(cell))


def _text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) < 1 else f"{value:.2f}"
    return str(value)


def printable(text: str) -> str:
    """Write a space for each line break and control character, which a terminal or a page would obey."""
    return "".join(letter if letter.isprintable() else " " for letter in text)


def verbatim(text: str) -> "Table":
    """Show one text as it is, escaped."""
    return Table([{"text": text}])


def samples(rows: Sequence[dict[str, Any]], columns: Sequence[str], number: int, seed: int, caption: str = "") -> Table:
    """Show some rows, drawn by seed, with long texts shortened."""
    chosen = random.Random(seed).sample(range(len(rows)), min(number, len(rows)))  # noqa: S311
    return Table([{c: clip(rows[i].get(c, "")) for c in columns} for i in sorted(chosen)], caption)


def clip(value: Any, limit: int = 260) -> Any:
    """Shorten a long text and say by how much."""
    if not isinstance(value, str) or len(value) <= limit:
        return value
    note = f" … (+{len(value) - limit} characters)"
    return value[:limit] + (f"{LEFT_TO_RIGHT}{note}{END_OF_ISOLATE}" if is_right_to_left(value) else note)
