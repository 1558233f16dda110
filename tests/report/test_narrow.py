"""Wide tables on a phone: every cell carries its column's name."""

import re

import pytest

from isheep_lib.display.table import Table
from isheep_lib.report.narrow import labelled
from isheep_lib.report.notebook_html import clean


def rows(columns, number=2):
    return [{column: f"{column}{n}" for column in columns} for n in range(number)]


def test_every_cell_of_a_wide_table_names_its_column_and_a_narrow_one_is_left_alone():
    wide, small = (str(clean(Table(rows(columns))._repr_html_(), {})) for columns in ("abcd", "abc"))
    assert re.findall('<td data-label="(.)"', wide) == [*"abcd", *"abcd"]
    assert "data-label" not in small


def test_names_of_columns_are_escaped_again():
    html = str(clean(Table(rows(['"><script>', "b & c", "c", "d"]))._repr_html_(), {}))
    assert 'data-label="&quot;&gt;&lt;script&gt;"' in html and 'data-label="b &amp; c"' in html
    assert "<script" not in html


@pytest.mark.parametrize(
    "text",
    [
        "",
        "<p>no table</p>",
        "<table></table>",
        '<table><tr><th>a</th><th>b</th><th>c</th><th>d</th></tr><tr><td colspan="4">x</td></tr></table>',
        "<table><tr><th>a</th><th>b</th><th>c</th><th>d</th></tr></table>",
    ],
    ids=["nothing", "prose", "empty", "spans", "no row"],
)
def test_what_has_no_cells_to_name_stays_as_it_is(text):
    assert labelled(text) == text


def test_more_cells_than_columns_get_an_empty_name():
    table = "<table><tr><th>a</th><th>b</th><th>c</th><th>d</th></tr><tr>" + "<td>1</td>" * 5 + "</tr></table>"
    assert re.findall('data-label="(.?)"', labelled(table)) == ["a", "b", "c", "d", ""]
