"""Pieces of a page: what is put in comes out as it is."""

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from isheep_lib.export import markdown

mistune = pytest.importorskip("mistune")
few = settings(max_examples=80, deadline=None)
HOSTILE = [
    "<script>go()</script>",
    "a|b",
    "`x`",
    "``",
    "*b* _i_ [l](http://a.example)",
    "&lt;",
    "~~s~~",
    "__b__",
    "a__b__ _c_",
    "\\",
    "$x$",
    "x\ny\u2028z",
]
texts = st.one_of(st.sampled_from(HOSTILE), st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=12))


def shown(text):
    """Return the words that a reader sees, without tags."""
    import html
    import re

    page = mistune.create_markdown(escape=False, plugins=["table", "strikethrough"])(text)
    return page, html.unescape(re.sub("<[^>]*>", "", page))


@few
@given(texts)
def test_cells_show_what_was_put_in_and_nothing_of_it_is_a_tag(text):
    page, words = shown(markdown.table([{"name": text}]))
    assert page.count("<") == 14  # seven tags, opened and closed
    assert "".join(words.split()) == "name" + "".join(text.split())


@pytest.mark.parametrize("text", HOSTILE)
def test_code_in_a_line_shows_what_was_put_in(text):
    page, words = shown(f"a {markdown.code(text)} b")
    assert page.count("<code>") == 1
    assert words.split() == ["a", *text.split(), "b"]


@pytest.mark.parametrize("text", [*HOSTILE, "```\n# x\n```", "````"])
def test_a_block_holds_its_text_to_the_last_letter(text):
    page, words = shown(f"{markdown.block(text)}\n\nafter")
    assert "<p>after</p>" in page
    assert words.rstrip() == f"{text}\n\nafter" or words.rstrip() == f"{text}\nafter"


@pytest.mark.parametrize(
    ("value", "cell"), [(0.123456, "0.1235"), (25, "25"), (True, "True"), ("", ""), (1234567.0, "1.235e+06"), (None, "None")]
)
def test_numbers_are_short(value, cell):
    assert markdown.table([{"x": value}]).split("\n")[2] == f"| {cell} |"


def test_columns_come_in_the_order_in_which_they_appear_and_gaps_are_empty():
    assert markdown.table([{"a": "1"}, {"b": "2"}]) == "| a | b |\n| --- | --- |\n| 1 |  |\n|  | 2 |"


def test_a_table_without_rows_says_so():
    assert markdown.table([]) == "| rows |\n| --- |\n| none |"


def test_front_matter_is_yaml_between_dashes_in_the_order_given():
    text = markdown.front_matter({"z": "a: b", "a": ["é"]})
    assert text.startswith("---\nz:")
    assert text.endswith("\n---")
    assert yaml.safe_load(text.strip("-")) == {"z": "a: b", "a": ["é"]}
