"""Wide tables on a narrow screen: each cell carries its column's name, by which a page writes rows as lists.

    labelled("<table><thead><tr><th>a</th>…")     # every td of a table of four or more columns has data-label="a"

Covers the names. Does not cover the looks (`templates/page.css`) or what may stand on a page (`report.notebook_html`).
"""

import html
import re

TABLE = re.compile(r"<table>(?:(?!<table\b).)*?</table>", re.DOTALL)  # an inmost one, as nh3 writes it
ROW, HEAD, CELL = (re.compile(rf"<{name}\b[^>]*>.*?</{name}>", re.DOTALL) for name in ("tr", "th", "td"))
TAG = re.compile(r"<[^>]*>")
WIDE = 4  # columns that a phone does not show side by side


def labelled(text: str) -> str:
    """Name the column of every cell of wide tables; one that spans columns or rows is left as it is."""
    return TABLE.sub(lambda found: _labelled(found[0]), text)


def _labelled(table: str) -> str:
    heads = [html.unescape(TAG.sub("", head)) for head in HEAD.findall(table)]
    if len(heads) < WIDE or "colspan" in table or "rowspan" in table:
        return table
    return ROW.sub(lambda row: _row(row[0], heads), table)


def _row(row: str, heads: list[str]) -> str:
    names = iter(heads)
    return CELL.sub(lambda cell: f'<td data-label="{html.escape(next(names, ""))}"{cell[0].removeprefix("<td")}', row)
