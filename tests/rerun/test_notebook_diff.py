"""Two executed notebooks: what is the same, what is not, and what every execution shows anew."""

import base64
import io
import string

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from matplotlib.image import imsave

from isheep_lib.display.table import Table
from isheep_lib.rerun.notebook_diff import Tolerance, compare_cells, compared_cells, same_text, text_of_html

few = settings(max_examples=60, deadline=None)


def code(name, *outputs, source="show()", tags=()):
    return {"cell_type": "code", "id": name, "source": source, "metadata": {"tags": [*tags]}, "outputs": list(outputs)}


def prose(name, source):
    return {"cell_type": "markdown", "id": name, "source": source, "metadata": {}}


def book(*cells):
    return {"cells": list(cells)}


def plain(text):
    return {"output_type": "execute_result", "data": {"text/plain": text}}


def stream(text, name="stdout"):
    return {"output_type": "stream", "name": name, "text": text}


def table(*rows, caption=""):
    shown = Table(list(rows), caption)
    return {"output_type": "execute_result", "data": {"text/plain": repr(shown), "text/html": shown._repr_html_()}}


def figure(pixels, **metadata):
    file = io.BytesIO()
    imsave(file, np.asarray(pixels, dtype=float), vmin=0, vmax=1, cmap="gray", metadata=metadata)
    image = base64.b64encode(file.getvalue()).decode()
    return {"output_type": "execute_result", "data": {"image/png": image, "text/plain": "<Drawing>"}}


def kinds(before, after, **more):
    """Compare two lists of outputs of one cell."""
    found = compare_cells(book(code("cell", *before)), book(code("cell", *after)), **more)
    assert {change.place for change in found} <= {"cell"}
    return [change.kind for change in found]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("0.5721", "0.5721000001"),
        ("mean 1.0, 2e-05", "mean 1.0000000001, 2.00000001e-05"),
        ("0.0000000001 left", "0.0000000002 left"),
        ("-3.25e+4", "-32500.0"),
        ("a 1.0 b", "a 1 b"),
        ("object at 0x7f3a", "object at 0x11"),
    ],
)
def test_decimal_numbers_within_the_tolerance_and_addresses_are_the_same(before, after):
    assert kinds([plain(before)], [plain(after)]) == []


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("0.5721", "0.5722"),
        ("1234567 rows", "1234568 rows"),
        ("0.5 a", "0.5 b"),
        ("0.5", "-0.5"),
        ("0.5", "0.5 0.5"),
        ("0.5", ""),
        ("sha256 7e400", "sha256 8e400"),
        ("version 2.13.0000001", "version 2.13.0000002"),
        ("ab12cd", "ab13cd"),
        ("build 1.0000001x", "build 1.0000002x"),
        ("version 2.0000001.1", "version 2.0000002.1"),
        ("nan", "0.0"),
        ("one two", "two one"),
        ("line\nline", "line"),
        ("two  spaces", "two spaces"),
        ("10 seconds", "20 seconds"),
    ],
)
def test_other_numbers_words_and_digits_inside_words_are_not(before, after):
    assert kinds([plain(before)], [plain(after)]) == ["text/plain"]
    assert kinds([stream(before)], [stream(after)]) == ["stdout"]


def test_the_tolerance_is_a_parameter():
    wide = Tolerance(relative=0.1)
    assert kinds([plain("0.50")], [plain("0.52")], tolerance=wide) == []
    assert kinds([plain("0.50")], [plain("0.60")], tolerance=wide) == ["text/plain"]


BAR = "responses: 100%|{bar}| 56/56 [{times}]"
SUMMARY = {"stage": "evaluate", "run": "reference/x", "iteration": "1", "commit": "a" * 40, "fingerprint": "0a782c6eec91"}


def summary(**other):
    return table(*({"fact": name, "value": value} for name, value in {**SUMMARY, "reuse_answers": "True", **other}.items()))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (
            plain(BAR.format(bar="#" * 52, times="00:25<00:00,  2.16it/s")),
            plain(BAR.format(bar="#" * 49, times="01:25<00:00, 120.16pair/s")),
        ),
        (
            plain(BAR.format(bar="#" * 55, times="00:00<?, ?it/s")),
            plain(BAR.format(bar="#" * 52, times="00:25<00:00,  2.16it/s")),
        ),
        (
            summary(),
            summary(run="/somewhere/my run", commit="b" * 40 + "-dirty", fingerprint="1b893d7ffd02", reuse_answers="False"),
        ),
        (
            plain("'train of iteration 1 is recorded in results/a/iter-1/train'"),
            plain("'train of iteration 1 is recorded in /b/iter-1/train'"),
        ),
    ],
    ids=["times of progress", "progress with nothing to do", "where and by which code", "where it is recorded"],
)
def test_what_every_execution_shows_anew_is_left_out(before, after):
    assert kinds([before], [after]) == []


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (
            plain(BAR.format(bar="#", times="00:25<00:00")),
            plain(BAR.format(bar="#", times="00:25<00:00").replace("56/56", "55/56")),
        ),
        (summary(), summary(stage="judge")),
        (summary(), summary(iteration="2")),
        (plain("run away"), plain("run along")),
        (plain("'train of iteration 1 is recorded in a'"), plain("'train of iteration 2 is recorded in a'")),
    ],
    ids=["count of progress", "stage", "iteration", "a text that begins with run", "iteration of the record"],
)
def test_what_stands_beside_it_is_not(before, after):
    assert len(kinds([before], [after])) == 1


def test_tables_are_compared_by_what_they_say_not_by_their_styles_or_widths():
    before, after = table({"mean": 0.1, "n": 3}), table({"mean": 0.1, "n": 3})
    after["data"]["text/html"] = after["data"]["text/html"].replace("min-width:3em", "min-width:4em")
    after["data"]["text/plain"] = after["data"]["text/plain"].replace("  ", "     ")
    assert kinds([before], [after]) == []


@pytest.mark.parametrize(
    "after",
    [
        table({"a": "x", "b": "z"}),
        table({"a": "y", "b": "x"}),
        table({"a": "x y", "b": ""}),
        table({"a": "x", "b": "y"}, {"a": "x", "b": "y"}),
        table({"a": "x", "c": "y"}),
        table({"a": "x", "b": "y"}, caption="other"),
    ],
    ids=["word", "columns", "cells joined", "row more", "name of a column", "caption"],
)
def test_a_table_that_says_something_else_is_found(after):
    assert kinds([table({"a": "x", "b": "y"})], [after]) == ["text/html"]


def test_a_change_in_the_text_beside_a_table_is_found():
    before, after = table({"a": "x"}), table({"a": "x"})
    after["data"]["text/plain"] = after["data"]["text/plain"].replace("x", "y")
    assert kinds([before], [after]) == ["text/plain"]


def test_entities_are_read_and_a_cell_is_never_joined_with_the_next():
    assert text_of_html("<table><tr><td style='a:1'>5 &lt; 6</td><td></td><td>b</td></tr></table>") == "5 < 6 |  | b |"


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ([[0.0, 1.0]], [[0.0, 1.0]], []),
        ([[0.0, 1.0]], [[0.2, 1.0]], ["mean absolute difference 0.075 of 1"]),  # of red, green and blue; not of opacity
        ([[0.0, 1.0]], [[0.0, 1.0], [0.0, 1.0]], ["2 x 2 pixels"]),
    ],
    ids=["pixels", "other pixels", "other size"],
)
def test_figures_are_compared_by_their_pixels(before, after, expected):
    left, right = figure(before), figure(after, Comment="made anew")
    assert left != right, "the bytes must differ"
    found = compare_cells(book(code("cell", left)), book(code("cell", right)))
    assert [(change.kind, change.after) for change in found] == [("figure", said) for said in expected]


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ([plain("a"), plain("b")], [plain("b"), plain("a")], ["text/plain", "text/plain"]),
        ([plain("a"), plain("b")], [plain("a")], ["output missing"]),
        ([plain("a")], [plain("a"), stream("b")], ["output added"]),
        ([stream("a")], [stream("a", "stderr")], ["kind of output"]),
        ([plain("a")], [figure([[0.0]])], ["kind of output"]),
        (
            [{"output_type": "error", "ename": "ValueError", "evalue": "a", "traceback": ["line 1"]}],
            [{"output_type": "error", "ename": "ValueError", "evalue": "a", "traceback": ["line 2"]}],
            [],
        ),
        (
            [{"output_type": "error", "ename": "ValueError", "evalue": "a", "traceback": []}],
            [{"output_type": "error", "ename": "KeyError", "evalue": "a", "traceback": []}],
            ["error"],
        ),
    ],
    ids=["order", "missing", "added", "stream", "figure for text", "same error", "other error"],
)
def test_outputs_are_compared_in_order(before, after, expected):
    assert kinds(before, after) == expected


def test_cells_on_one_side_are_named_and_only_code_decides():
    before = book(prose("old-text", "# Old"), code("a", plain("1")), code("gone", plain("2"), source="gone()"))
    after = book(code("a", plain("1")), prose("new-text", "# New"))
    found = [(change.place, change.kind, change.before, change.decides) for change in compare_cells(before, after)]
    assert found == [
        ("old-text", "only in the record", "# Old", False),
        ("gone", "only in the record", "gone()", True),
        ("new-text", "only in the repetition", "", False),
    ]
    assert compared_cells(before, after) == {"a", "gone"}


def test_a_rewritten_source_is_named_and_does_not_decide():
    before = book(prose("text", "It was so."), code("a", plain("1"), source="show(1)"))
    after = book(prose("text", "It is so."), code("a", plain("1"), source="show(2)"))
    found = compare_cells(before, after)
    assert [(change.place, change.kind, change.decides) for change in found] == [
        ("text", "source", False),
        ("a", "source", False),
    ]
    assert found[1].after == "show(2)"


@pytest.mark.parametrize("side", [0, 1])
def test_outputs_of_tagged_cells_are_left_out_whichever_side_has_the_tag(side):
    tags = [("nbval-ignore-output",) if side == n else () for n in (0, 1)]
    before, after = (book(code("a", plain(str(n)), tags=tags[n])) for n in (0, 1))
    assert compare_cells(before, after) == []
    assert compared_cells(before, after) == set()


def test_given_parameters_are_compared_without_where_the_stage_is_written():
    def given(name, source):
        return book(code(name, source="# Parameters\n" + source, tags=["injected-parameters"]))

    here = given("1a", 'run = "reference/x"\niteration = 1\nreuse_answers = True\nseed = 1\n')
    there = given("2b", 'run = "/tmp/y"\niteration = 1\nreuse_answers = False\nseed = 1\n')
    assert compare_cells(here, there) == []
    other = compare_cells(here, given("2b", 'run = "/tmp/y"\niteration = 1\nreuse_answers = False\nseed = 2\n'))
    assert [(change.place, change.kind) for change in other] == [("injected-parameters", "source")]


def test_a_difference_deep_in_a_long_text_is_shown_where_it_is():
    before, after = ("same words " * 100 + end + " and on" * 100 for end in ("left", "right"))
    (change,) = compare_cells(book(code("a", plain(before))), book(code("a", plain(after))))
    assert "words left and" in change.before and "words right and" in change.after
    assert len(change.before) <= 202


texts = st.text(st.sampled_from(string.ascii_letters + string.digits + " .,-+e|<>&\n:/[]#%"), max_size=40)
outputs = st.one_of(
    texts.map(plain),
    texts.map(stream),
    st.lists(st.fixed_dictionaries({"a": texts, "b": st.floats(-1e6, 1e6)}), min_size=1, max_size=3).map(
        lambda rows: table(*rows)
    ),
)
books = st.lists(st.lists(outputs, max_size=3), max_size=4).map(
    lambda cells: book(*(code(f"c{n}", *c) for n, c in enumerate(cells)))
)


@few
@given(books)
def test_a_notebook_differs_from_itself_nowhere(one):
    assert compare_cells(one, one) == []


@few
@given(
    texts,
    texts,
    st.integers(0, 10**9),
    st.integers(0, 10**9),
    st.sampled_from([plain, stream, lambda text: table({"a": text})]),
)
def test_another_number_is_found_in_any_output(before, after, old, new, made):
    assume(old != new)
    found = kinds([made(f"{before} said {old} then {after}")], [made(f"{before} said {new} then {after}")])
    assert len(found) == 1


@few
@given(texts, texts, st.sampled_from([plain, stream, lambda text: table({"a": text})]))
def test_another_word_is_found_in_any_output(before, after, made):
    found = kinds([made(f"{before} river {after}")], [made(f"{before} garden {after}")])
    assert len(found) == 1


@few
@given(st.floats(1e-3, 1e6), st.floats(1e-5, 0.5))
def test_a_decimal_number_off_by_more_than_the_tolerance_is_found(value, share):
    assert not same_text(f"mean {value!r} of it", f"mean {value * (1 + share)!r} of it")
    assert same_text(f"mean {value!r} of it", f"mean {value * (1 + 1e-8)!r} of it")


def test_a_cell_whose_outputs_are_never_compared_decides_nothing_where_it_is_new():
    def book(**tags):
        common = {"cell_type": "code", "source": "x", "outputs": []}
        return {"cells": [{**common, "id": name, "metadata": {"tags": own}} for name, own in tags.items()]}

    found = compare_cells(book(a=[]), book(a=[], speed=["nbval-ignore-output"], more=[]))
    assert {change.place: change.decides for change in found} == {"speed": False, "more": True}
