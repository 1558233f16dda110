r"""Rows of comma-, semicolon- or tab-separated text, with a first line of column names; cells may hold line breaks.

    read_delimited("question;answer\nWhat is salt?;A mineral.\n", ".csv")    # rows, problems

Covers one text. Does not cover opening files (`reading.files`) or what columns mean.
"""

import csv
import io

ENDINGS = (".csv", ".tsv")
SEPARATORS = ",;\t"  # spreadsheets of many countries write semicolons
ALLOWED = 'a line of column names, then rows of as many cells, quoted with " where a cell holds a separator or a line break'


def read_delimited(text: str, ending: str) -> tuple[list[tuple[int, dict[str, str]]], list[tuple[int, str]]]:
    """Read rows with the lines that they begin on, and what is wrong with others, also with their lines."""
    csv.field_size_limit(max(csv.field_size_limit(), len(text)))  # the module's own limit is 128 KiB a cell
    lines = csv.reader(io.StringIO(text, newline=""), delimiter=_separator(text, ending), strict=True)
    rows: list[tuple[int, dict[str, str]]] = []
    problems: list[tuple[int, str]] = []
    header: list[str] = []
    begins = 1
    try:
        for cells in lines:
            if not header and cells:
                header = [cell.strip() for cell in cells]
                problems += [(begins, problem) for problem in _header_problems(header)]
            elif cells and len(cells) != len(header):
                problems.append((begins, f"{len(cells)} cell(s), the first line names {len(header)} column(s)"))
            elif cells:
                rows.append((begins, dict(zip(header, cells, strict=True))))
            begins = lines.line_num + 1
    except csv.Error as error:
        problems.append((begins, f"no row of cells ({error}); what follows was not read"))
    return rows, problems


def _separator(text: str, ending: str) -> str:
    first = text.lstrip("\r\n").partition("\n")[0]
    return "\t" if ending == ".tsv" else max(SEPARATORS, key=first.count)


def _header_problems(header: list[str]) -> list[str]:
    twice = sorted({name for name in header if header.count(name) > 1})
    return [f"the column {name[:60]!r} is named twice" for name in twice]
