"""Tables: escaped in a notebook, aligned in a terminal."""

import html

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isheep_lib.display.scripts import columns, direction, wrapped
from isheep_lib.display.table import STYLE, FoldedTable, Table, clip, samples, verbatim

few = settings(max_examples=50, deadline=None)
HOSTILE = "<script>alert('x & y')</script><img src=x onerror=\"go()\">"


@pytest.mark.parametrize(
    "table",
    [
        verbatim(HOSTILE),
        Table([{"a": HOSTILE}]),
        Table([{HOSTILE: 1}]),
        Table([{"a": 1}], HOSTILE),
        Table([{"a": [HOSTILE]}]),
        samples([{"a": HOSTILE}], ["a"], 1, 0),
    ],
)
def test_what_a_model_wrote_is_escaped_wherever_it_stands(table):
    shown = table._repr_html_()
    assert "<script>" not in shown
    assert "<img" not in shown
    assert "&lt;script&gt;" in shown
    assert "x &amp; y" in shown


@pytest.mark.parametrize("cell", ["iter-1/x.ipynb'onmouseover='go()", "iter-'><script>.ipynb", "iter-1/<b>.ipynb"])
def test_a_link_cannot_be_broken_out_of(cell):
    shown = Table([{"a": cell}])._repr_html_()
    assert html.escape(cell) in shown
    assert cell not in shown


@pytest.mark.parametrize(
    ("cell", "linked"),
    [
        ("iter-1/assess/assess.ipynb", True),
        ("see iter-1/assess/assess.ipynb", False),
        ("iter-1/a b.ipynb", False),
        ("javascript:go().ipynb", False),
        ("http://a.example/x.ipynb", False),
        ("iter-1/assess/scores.jsonl", False),
    ],
)
def test_only_notebooks_of_the_record_become_links(cell, linked):
    assert ("<a href=" in Table([{"a": cell}])._repr_html_()) is linked


@few
@given(st.lists(st.dictionaries(st.sampled_from("abc"), st.text() | st.integers() | st.none()), max_size=4))
def test_any_rows_can_be_shown(rows):
    table = Table(rows, "caption")
    assert table._repr_html_().count("<tr>") == len(rows) + 1
    assert repr(table).startswith("caption\n")


def test_a_terminal_shows_aligned_columns_with_gaps_for_missing_values():
    shown = repr(Table([{"name": "a", "n": 5}, {"name": "long name"}, {"n": 10, "more": 0.25}], "title"))
    assert shown.splitlines() == ["title", "name       n   more", "a          5", "long name", "           10  0.25"]


@pytest.mark.parametrize(("value", "text"), [(0.123456, "0.1235"), (1.5, "1.50"), (-20.0, "-20.00"), (0.0, "0"), (3, "3")])
def test_numbers_are_written_shortly(value, text):
    assert repr(Table([{"n": value}])).splitlines()[1] == text


@pytest.mark.parametrize(("value", "shown"), [("short", "short"), (7, 7), (None, None), ("x" * 260, "x" * 260)])
def test_short_values_are_not_clipped(value, shown):
    assert clip(value) == shown


def test_a_clipped_text_says_how_much_is_missing():
    assert clip("abcdef", limit=2) == "ab … (+4 characters)"


def test_samples_are_drawn_by_seed_and_keep_the_order():
    rows = [{"id": n, "text": "t", "other": 1} for n in range(50)]
    drawn = [row["id"] for row in samples(rows, ["id", "text"], 5, seed=3).rows]
    assert drawn == sorted(drawn)
    assert len(set(drawn)) == 5
    assert drawn == [row["id"] for row in samples(rows, ["id"], 5, seed=3).rows]
    assert any(drawn != [row["id"] for row in samples(rows, ["id"], 5, seed=s).rows] for s in range(4, 8))
    assert samples(rows, ["id", "text"], 5, seed=3).columns == ["id", "text"]


def test_more_samples_than_rows_are_all_rows():
    assert [row["id"] for row in samples([{"id": 1}, {"id": 2}], ["id"], 9, 0).rows] == [1, 2]


def test_a_long_text_is_folded_and_opens_to_all_of_it_escaped():
    long = HOSTILE * 20
    table = FoldedTable([{"a": long, "b": HOSTILE[:30]}], short=40)
    shown = table._repr_html_()
    assert shown.count("<details><summary>") == 1
    assert f"<summary>{html.escape(long[:40])}" in shown
    assert f"</summary>{html.escape(long)}</details>" in shown
    assert "<script>" not in shown
    assert long not in repr(table)
    assert f"(+{len(long) - 40} characters)" in repr(table)


def test_a_text_without_end_is_cut_and_says_by_how_much():
    shown = FoldedTable([{"a": "x" * 5000}], short=10, longest=100)._repr_html_()
    assert "x" * 101 not in shown
    assert "(+4900 characters)" in shown


def test_a_heading_stands_before_the_caption():
    table = Table([], "as measured", "Table 1 ")
    assert (table.caption, table.title) == ("Table 1 as measured", "as measured")


@pytest.mark.parametrize(
    ("text", "width"),
    [("", 0), ("abc", 3), ("中文", 4), ("，", 2), ("ab中", 4), ("e\u0301", 1), ("สวัสดี", 4), ("é±…", 3), ("\x07a", 2)],
)
def test_columns_of_a_terminal_are_counted(text, width):
    assert columns(text) == width


def test_columns_of_text_stand_below_each_other_whatever_the_script():
    lines = repr(Table([{"任务": "写诗", "n": 1}, {"任务": "a", "n": 22}])).split("\n")
    assert lines == ["任务  n", "写诗  1", "a     22"]


@pytest.mark.parametrize(
    ("cell", "side"),
    [("abc", ""), ("中文", ""), ("שלום", "rtl"), ("ab مرحبا", "rtl"), ("12 %", ""), ("هو is Arabic for he", "ltr")],
)
def test_a_cell_begins_at_the_side_of_its_script(cell, side):
    shown = Table([{"text": cell}])._repr_html_()
    assert (f"<td dir='{side}' style='{STYLE.replace('left', 'start')}" in shown) is bool(side)
    assert ("dir=" in shown) is bool(side)


@pytest.mark.parametrize(
    ("text", "side"),
    [
        ("", "ltr"),
        ("42 %", "ltr"),
        ("Write a poem.", "ltr"),
        ("写一首诗。", "ltr"),
        ("اكتب قصيدة قصيرة.", "rtl"),
        ("Python لغة برمجة سهلة.", "rtl"),
        ("1. شرح", "rtl"),
        ("print(x)  # هذا سطر يطبع القيمة", "rtl"),
        ("The word سلام is said at the door.", "ltr"),
        ("שלום is how one greets in Hebrew.", "ltr"),
    ],
)
def test_a_text_is_read_in_the_direction_of_its_letters_whichever_comes_first(text, side):
    assert direction(text) == side


def test_cells_from_right_to_left_are_ordered_apart_from_their_neighbours():
    assert repr(Table([{"a": "שלום", "b": 1}, {"a": "x", "b": 2}])).split("\n")[1:] == ["\u2068שלום\u2069  1", "x     2"]


def test_a_note_on_what_is_left_out_is_read_from_left_to_right_behind_any_text():
    assert clip("שלום" * 2, 4) == "שלום\u2066 … (+4 characters)\u2069"
    assert clip("中文" * 2, 2) == "中文 … (+2 characters)"


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("one two three", ["one two", "three"]),
        ("中文标题很长。是的", ["中文标题", "很长。是", "的"]),
        ("中文 ab 中文", ["中文 ab", "中文"]),
        ("", []),
    ],
)
def test_a_title_is_broken_where_its_script_may_be(text, lines):
    assert wrapped(text, 8) == lines
