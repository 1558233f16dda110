"""What is read first and what is folded: as HTML it opens at a click, as text all of it is there."""

import pytest

from isheep_lib.display import first_screen
from isheep_lib.display.folded import Folded, Told, parameters
from isheep_lib.display.table import Table


def test_the_first_sentence_is_bold_the_others_are_not_and_all_are_escaped():
    html = Told("One <b>.\nTwo.", Table([{"a": 1}]))._repr_html_()
    assert "<p><strong>One &lt;b&gt;.</strong></p><p>Two.</p>" in html
    assert html.index("Two.") < html.index("<table>")


def test_a_folded_table_opens_below_its_line_and_is_whole_as_text():
    folded = Folded("3 <more>", Table([{"a": "x"}]))
    assert folded._repr_html_().startswith("<details><summary>3 &lt;more&gt;</summary>")
    assert repr(Told("Said.", folded)) == "Said.\n\n3 <more>\na\nx"


@pytest.mark.parametrize(
    ("values", "defaults", "open_", "folded"),
    [
        ({"a": 1, "b": 2}, {"a": 1, "b": 3}, ["run", "b"], ["a"]),
        ({"a": 1}, {"a": 1}, ["run"], ["a"]),
        ({"a": 1}, {}, ["run", "a"], []),
        ({}, {}, ["run"], []),
    ],
    ids=["one differs", "none differs", "no default", "no parameter"],
)
def test_parameters_stand_once_those_that_differ_from_their_defaults_first(values, defaults, open_, folded):
    first, *rest = parameters({"run": "r"}, values, defaults).parts
    assert [row["fact"] for row in first.rows] == open_
    assert [row["parameter"] for one in rest for row in one.table.rows] == folded
    assert all(one.line.startswith(f"{len(folded)} more") for one in rest)


def test_outside_a_kernel_the_first_screen_shows_nothing(capsys):
    first_screen.place("filter.ipynb", figure=True)
    first_screen.fill(Told("Said."))
    assert capsys.readouterr().out == ""
