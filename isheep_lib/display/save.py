r"""Tables and figures as files for a paper: Markdown, LaTeX and CSV; PNG and PDF.

    save_table(Table(rows, "Accuracy in percent"), Path("results/paper"), "table-1")    # table-1.md, .tex, .csv
    save_figure(figure, Path("results/paper"), "figure-3")                              # figure-3.png, .pdf

Cells are written as they are shown: no number is read or rounded again. The same table gives the same bytes, and so does
the same figure. A spreadsheet would run a cell such as =A1, so in CSV a cell that begins with = + - @ and is no number has
an apostrophe before it, and so has one that begins with an apostrophe: to read a cell, drop one apostrophe from its
beginning. A table of LaTeX says in its first lines which preamble a document needs for it, and whether XeLaTeX.

Covers writing. Does not cover what tables say (`tables`, `report`), text in LaTeX (`latex`) or drawing (`figures`).
"""

import csv
import io
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from isheep_lib.display.latex import LINE_BREAK, escaped, needed, needs_xelatex
from isheep_lib.display.table import Table, printable
from isheep_lib.errors import ParameterError
from isheep_lib.record.rows import write_atomic

NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?(?:\s*±\s*\d+(?:\.\d+)?)?\s*%?")
COUNTED = re.compile(r"[-+−]?\.?\d.*")  # a column of such cells is set flush right
RUN_BY_SPREADSHEETS = ("=", "+", "-", "@", "\t", "\r", "'")
# What means something in Markdown; an underscore between two letters means nothing.
MARKDOWN = re.compile(r"[\\`*\[\]<>|~$]|&(?=#?\w+;)|(?<![^\W_])_|_(?![^\W_])")
PARAGRAPH = 40  # letters; a longer cell is set over several lines in LaTeX
CONTINUED = r"% Continues the table before it: \usepackage{caption} has \ContinuedFloat."


def save_table(table: Table, folder: Path, name: str, subject: str = "", continued: bool = False) -> Table:
    """Write a table as `name`.md, `name`.tex and `name`.csv, and return it.

    LaTeX numbers tables itself: there the subject stands in the place of the caption's heading, and a continued table has the
    number of the one before it.

    Raises:
        ParameterError: the name holds more than small letters, digits and hyphens.
    """
    _check_name(name)
    headers, cells = _texts(table)
    for ending, text in (
        ("md", _markdown(headers, cells, table.caption)),
        ("tex", _latex(headers, cells, _titled(table.title, subject), name, continued)),
        ("csv", _csv(headers, cells)),
    ):
        write_atomic(folder / f"{name}.{ending}", text)
    return table


def save_figure(figure: Any, folder: Path, name: str) -> Any:
    """Write a figure as `name`.png and `name`.pdf, its fonts embedded, and return it.

    Raises:
        ParameterError: the name holds more than small letters, digits and hyphens.
    """
    from matplotlib import rc_context

    _check_name(name)
    nameless: dict[str, dict[str, Any]] = {
        "png": {"Software": None},
        "pdf": {"CreationDate": None, "Producer": None, "Creator": None},
    }
    for ending, metadata in nameless.items():
        buffer = io.BytesIO()
        # Type 42 is TrueType: journals refuse matplotlib's own Type 3, whose text cannot be edited either.
        with rc_context({"pdf.fonttype": 42}):
            figure.savefig(buffer, format=ending, metadata=metadata, dpi=200)
        write_atomic(folder / f"{name}.{ending}", buffer.getvalue())
    return figure


def _titled(title: str, subject: str) -> str:
    whole = title if not subject or subject in title else f"{subject}: {title}"
    return whole[:1].upper() + whole[1:]


def _check_name(name: str) -> None:
    if not re.fullmatch("[a-z0-9-]+", name):
        allowed = "small letters, digits and hyphens, such as table-1"
        raise ParameterError(f"{name!r} is no name for a table or figure", allowed=allowed, do="choose another name")


def _texts(table: Table) -> tuple[list[str], list[list[str]]]:
    """Return headers and cells as text that every file can hold; a table without columns says so in one cell."""
    headers, cells = (table.columns, table._cells()) if table.columns else (["rows"], [["none"]])
    # Half a character, which JSON can hold, is no UTF-8.
    headers, *cells = [[text.encode("utf-8", "replace").decode() for text in row] for row in (headers, *cells)]
    return headers, cells


def _is_right(cells: list[list[str]], column: int) -> bool:
    """Tell whether a column holds numbers, perhaps with errors or units."""
    filled = [row[column] for row in cells if row[column]]
    return bool(filled) and all(len(text) <= PARAGRAPH and COUNTED.fullmatch(text) for text in filled)


def _frame(headers: list[str], cells: list[list[str]], escape: Callable[[str], str]) -> tuple[list[str], Any]:
    """Return escaped headers, and escaped cells as a data frame whose columns are numbers."""
    import pandas

    head, *body = [[escape(text) for text in row] for row in (headers, *cells)]
    return head, pandas.DataFrame(body, columns=range(len(head)), dtype=object)


def _markdown(headers: list[str], cells: list[list[str]], caption: str) -> str:
    head, frame = _frame(headers, cells, _in_markdown)
    sides = ["right" if _is_right(cells, i) else "left" for i in range(len(head))] if cells else None
    table = frame.to_markdown(index=False, headers=head, disable_numparse=True, colalign=sides)
    return f"{_in_markdown(caption)}\n\n{table}\n" if caption else f"{table}\n"


def _in_markdown(text: str) -> str:
    escaped = MARKDOWN.sub(lambda found: f"\\{found[0]}", text)
    return printable(LINE_BREAK.sub("<br>", escaped))


def _latex(headers: list[str], cells: list[list[str]], caption: str, name: str, continued: bool) -> str:
    r"""Write a floating table that shrinks to the line's width where it is wider."""
    every = "\n".join([*headers, *(text for row in cells for text in row), caption])
    write = partial(escaped, xelatex=needs_xelatex(every))
    head, frame = _frame(headers, cells, write)
    layout = "".join(_layout(cells, i) for i in range(len(head)))
    # The names of columns are a look-up: pandas would read braces in a name as a format.
    style = frame.style.hide(axis="index").format_index(head.__getitem__, axis="columns")
    tabular = style.to_latex(column_format=layout, hrules=True)
    said = write(LINE_BREAK.sub(" ", caption))
    said = " ".join(filter(None, [said, "(continued)"])) if continued else said
    lines = [
        needed(every),
        *([CONTINUED] if continued else []),
        r"\begin{table}[htbp]",
        *([r"\ContinuedFloat"] if continued else []),
        r"\centering",
        # Without a text in brackets a continued table would stand in the list of tables once more.
        *([f"\\caption{'[]' if continued else ''}{{{said}}}"] if said else []),
        f"\\label{{tab:{name}}}",
        r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%",
        tabular.rstrip("\n") + "}",
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def _layout(cells: list[list[str]], column: int) -> str:
    texts = [row[column] for row in cells]
    if any(len(text) > PARAGRAPH or LINE_BREAK.search(text) for text in texts):
        return r">{\raggedright\arraybackslash}p{18em}"
    return "r" if _is_right(cells, column) else "l"


def _csv(headers: list[str], cells: list[list[str]]) -> str:
    """Write every cell in quotes: a lone carriage return would stand bare otherwise, and could not be read back."""
    head, frame = _frame(headers, cells, _in_csv)
    return frame.to_csv(index=False, header=head, quoting=csv.QUOTE_ALL, lineterminator="\n")


def _in_csv(text: str) -> str:
    return f"'{text}" if text.startswith(RUN_BY_SPREADSHEETS) and not NUMBER.fullmatch(text) else text
