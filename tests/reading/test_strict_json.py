"""JSON read strictly: the same values as Python's reader where JSON is plain, an error that says where for all else."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isheep_lib.reading.strict_json import DEEPEST, NotJsonError, parse_json, parse_next

text = st.text(st.characters(exclude_categories=["Cs"]))
leaves = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | text
values = st.recursive(leaves, lambda inner: st.lists(inner) | st.dictionaries(text, inner), max_leaves=12)


@settings(max_examples=60, deadline=None)
@given(values, st.sampled_from([None, 1]))
def test_plain_json_is_read_as_python_reads_it(value, indent):
    assert parse_json(json.dumps(value, indent=indent)) == value


def deep(levels, inner=""):
    return "[" * levels + inner + "]" * levels


@pytest.mark.parametrize(
    ("given_text", "said"),
    [
        ('{"a": 1, "b": 2, "a": 3}', "the key 'a' comes twice"),
        ('[{"x": {"a": 1, "\\u0061": 1}}]', "the key 'a' comes twice"),
        ('{"盐": 1, "盐": 1}', "the key '盐' comes twice"),
        ("9" * 5000, "a number of 5000 digits: 99999999999999999999…"),
        ('{"a": -' + "9" * 5000 + "}", "a number of 5001 digits"),
        ("1e999", "the number 1e999 is too large"),
        ("-1e999", "the number -1e999 is too large"),
        ('{"a": NaN}', "NaN is no JSON; write null"),
        ("Infinity", "Infinity is no JSON"),
        ("[-Infinity]", "-Infinity is no JSON"),
        (deep(100_000), "more than 100 lists and objects inside one another"),
        ("[" * 100_000, "more than 100 lists and objects inside one another"),
        ('{"a":' * 100_000, "more than 100 lists and objects inside one another"),
        (deep(DEEPEST + 1), "more than 100 lists and objects inside one another"),
        ("", "Expecting value"),
        ("{} {}", "Extra data"),
        ("nonsense", "Expecting value"),
        ('"a\nb"', "Invalid control character at"),
        ("{'a': 1}", "Expecting property name enclosed in double quotes"),
    ],
)
def test_what_is_no_json_or_leaves_its_meaning_open_is_refused_in_words(given_text, said):
    with pytest.raises(NotJsonError, match=said.split("…", maxsplit=1)[0].replace("(", r"\(")):
        parse_json(given_text)


@pytest.mark.parametrize("value", [deep(DEEPEST), '"' + "[{" * 500 + '"', '["\\"' + "[" * 500 + '"]', "9" * 400])
def test_depth_counts_brackets_outside_of_texts_and_long_texts_do_no_harm(value):
    assert parse_json(value) == json.loads(value)


def test_a_bad_value_says_where_it_ends_so_that_the_next_can_be_read():
    given_text = '{"a": 1, "a": 2}, {"b": 1}'
    with pytest.raises(NotJsonError) as caught:
        parse_next(given_text, 0)
    assert caught.value.end == 16
    assert parse_next(given_text, 18) == ({"b": 1}, len(given_text))


@pytest.mark.parametrize(("given_text", "position"), [('{"a" 1}', 5), ("[1,\n2 3]", 6), ('  {"a": x}', 8)])
def test_what_breaks_the_grammar_says_at_which_character(given_text, position):
    with pytest.raises(NotJsonError) as caught:
        parse_json(given_text)
    assert caught.value.position == position
