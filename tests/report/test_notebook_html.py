"""Notebooks as HTML: what a model wrote comes out as text, links lead where they may, nothing runs."""

import base64
import json
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isheep_lib.errors import RecordError
from isheep_lib.report.notebook_html import ATTRIBUTES, TAGS, Cell, Output, cells, clean, plain, read_notebook, relink

few = settings(max_examples=50, deadline=None)
LINKS = {"iter-1/filter/filter.ipynb": "iter-1-filter.html", "my work.ipynb": "notebook-my work.html"}
PNG = base64.b64encode(b"\x89PNG rest").decode()
HOSTILE = [
    "<script>alert(1)</script>",
    "<SCRIPT\n>alert(1)</SCRIPT >",
    "<scr<script></script>ipt>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<img src='http://a.example/x.png'>",
    "<iframe src='http://a.example'></iframe>",
    "<svg><script>alert(1)</script></svg>",
    "<math><mtext><style><img src=x onerror=alert(1)></style></mtext></math>",
    "<a href='javascript:alert(1)'>go</a>",
    "<a href='javascript:1'>go</a>",
    "<a href='java\tscript:alert(1)'>go</a>",
    "<a href=' JAVASCRIPT&colon;alert(1)'>go</a>",
    "<a href='data:text/html,<script>alert(1)</script>'>go</a>",
    "<a href='file:///etc/passwd'>go</a>",
    "<a href='../secret.html'>go</a>",
    "<a href='//a.example/x'>go</a>",
    "</table></div></main></body><form action='http://a.example'><input name=x></form>",
    "<td style='background:url(http://a.example/x.png);position:fixed'>x",
    "<p onclick='alert(1)' style='position:fixed' id='results' class='good'>x</p>",
    "<meta http-equiv=refresh content='0;url=http://a.example'><base href='http://a.example'><link rel=stylesheet href=x>",
    "<style>*{background:url(http://a.example)}</style>",
    "<!--[if IE]><script>alert(1)</script><![endif]-->",
    '<a href="http://a.example/&quot;onmouseover=&quot;alert(1)">go</a>',
    "<details ontoggle=alert(1) open>x</details>",
    "<noscript><p title='</noscript><img src=x onerror=alert(1)>'>",
]


class Reader(HTMLParser):
    """Collects tags with their attributes, and the text."""

    def __init__(self, text):
        super().__init__()
        self.found, self.text = [], ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data


def assert_inert(text):
    for tag, attributes in Reader(text).found:
        assert tag in TAGS
        assert set(attributes) <= {*ATTRIBUTES.get(tag, ()), *(["rel"] if tag == "a" else [])}, attributes
        assert "url" not in (attributes.get("style") or "")
        assert "position" not in (attributes.get("style") or "")
        href = attributes.get("href")
        assert href is None or href in ("iter-1-filter.html", "notebook-my%20work.html") or href.startswith("http"), href


def book(*outputs, source="1", kind="code", **more):
    return {"cells": [{"cell_type": kind, "id": "c1", "source": source, "metadata": {}, "outputs": list(outputs), **more}]}


def data(**by_kind):
    return {"output_type": "display_data", "data": {kind.replace("_", "/"): value for kind, value in by_kind.items()}}


def only_output(output):
    [cell] = cells(book(output), LINKS)
    [shown] = cell.outputs
    return shown


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_html_comes_out_inert(text):
    assert_inert(clean(text, LINKS))
    assert_inert(clean(f"<table><tr><td>{text}</td></tr></table>", LINKS))


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("kind", ["markdown", "output"])
def test_hostile_prose_comes_out_inert(text, kind):
    source = f"# {text}\n\n{text}\n\n- {text}\n\n| a |\n|---|\n| {text} |\n"
    if kind == "markdown":
        [cell] = cells(book(kind="markdown", source=source), LINKS)
        assert_inert(cell.prose)
    else:
        assert_inert(only_output(data(text_markdown=source)).shown)


@pytest.mark.parametrize(
    "source", ["[go](javascript:1)", "[go]( javascript:alert(1))", "![x](http://a.example/x.png)", "<http:x>"]
)
def test_links_and_pictures_of_markdown_are_no_way_around(source):
    [cell] = cells(book(kind="markdown", source=source), LINKS)
    assert_inert(cell.prose)


@few
@given(st.lists(st.sampled_from([*HOSTILE, *"<>&'\"=/ ", "<td", "style=", "href=", "<a ", "--", "]]>", "&#x3c;"])).map("".join))
def test_whatever_is_strung_together_comes_out_inert(text):
    assert_inert(clean(text, LINKS))


@pytest.mark.parametrize(
    ("href", "shown"),
    [
        ("iter-1/filter/filter.ipynb", '<a href="iter-1-filter.html">x</a>'),
        ("my work.ipynb", '<a href="notebook-my%20work.html">x</a>'),
        ("https://a.example/?a=1&amp;b=2", '<a href="https://a.example/?a=1&amp;b=2" rel="noreferrer">x</a>'),
        ("iter-9/filter/filter.ipynb", "<a>x</a>"),
        ("#papermill-error-cell", "<a>x</a>"),
        ("javascript:1", "<a>x</a>"),
        ("mailto:x@a.example", "<a>x</a>"),
    ],
)
def test_a_link_leads_to_a_page_of_ours_or_to_the_web_or_nowhere(href, shown):
    assert relink(f"<a href='{href}'>x</a>", LINKS) == shown
    assert clean(f'<a href="{href}">x</a>', LINKS) == shown


def test_tables_keep_what_makes_them_readable():
    table = '<table><thead><tr><th style="white-space:pre-wrap;color:red" colspan="2">a</th></tr></thead></table>'
    assert clean(table, {}) == '<table><thead><tr><th style="white-space:pre-wrap;" colspan="2">a</th></tr></thead></table>'


def test_scripts_and_styles_go_with_their_text():
    assert clean("a<script>one()</script>b<style>td {}</style>c", {}) == "abc"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]8;;http://a.example\x07go\x1b]8;;\x07", "]8;;http://a.examplego]8;;"),
        ("a\x00b\x08c\x7fd", "abcd"),
        ("a\tb\nc", "a\tb\nc"),
        ("naïve <b>", "naïve <b>"),
    ],
)
def test_plain_text_holds_no_terminal_codes(text, shown):
    assert plain(text) == shown


@pytest.mark.parametrize(
    ("output", "kind", "shown"),
    [
        ({"output_type": "stream", "name": "stdout", "text": ["\x1b[1m<b>", "two"]}, "text", "<b>two"),
        ({"output_type": "error", "ename": "E", "evalue": "v", "traceback": ["\x1b[31m<b>", "two"]}, "error", "<b>\ntwo"),
        ({"output_type": "error", "ename": "E", "evalue": "v", "traceback": []}, "error", "E: v"),
        (data(text_plain="p", text_html=["<i>", "x</i>"]), "html", "<i>x</i>"),
        (data(text_plain="p", text_markdown="*x*"), "html", "<p><em>x</em></p>"),
        (data(text_plain="<p>"), "text", "<p>"),
        (data(application_javascript="go()", text_plain="<Javascript>"), "text", "<Javascript>"),
        (data(application_javascript="go()"), "text", "Not shown here: application/javascript"),
        (data(**{"application_vnd.jupyter.widget-view+json": {}, "text_html": "x"}), "text", "A widget: open the notebook"),
        (data(**{"image_svg+xml": "<svg onload=go()>", "text_plain": "p"}), "text", "p"),
        (data(image_png=PNG + "\n", text_plain="p"), "image", f"data:image/png;base64,{PNG}"),
        (data(image_jpeg=[PNG]), "image", f"data:image/jpeg;base64,{PNG}"),
        (data(image_png='x" onerror="go()'), "text", "the picture is damaged"),
    ],
)
def test_an_output_is_shown_by_its_best_inert_form(output, kind, shown):
    found = only_output(output)
    assert found.kind == kind
    assert shown in str(found.shown)
    assert found.shown == shown or kind in ("html", "text")


def test_a_figure_is_described_by_the_heading_it_stands_under():
    head = {"cell_type": "markdown", "id": "t", "source": ["# Filter\n", "\n", "## The funnel\n"], "metadata": {}}
    figure = book(data(image_png=PNG))["cells"][0]
    assert cells({"cells": [figure]}, {})[0].outputs[0].alt == "Figure under “the notebook”, cell c1"
    assert cells({"cells": [head, figure]}, {})[1].outputs[0].alt == "Figure under “The funnel”, cell c1"


def test_headings_go_one_level_down_and_have_no_anchors():
    [cell] = cells(book(kind="markdown", source="# One\n\n## Two\n\n###### Six"), {})
    assert cell.prose.strip() == "<h2>One</h2><h3>Two</h3><h6>Six</h6>"


def test_code_is_escaped_and_empty_code_is_no_code():
    [cell] = cells(book(source='x = "</pre><script>go()</script>"'), {})
    assert "<script>" not in cell.code
    assert "&lt;script&gt;" in cell.code
    assert cells(book(source=" \n"), {}) == [Cell("c1")]
    assert cells(book(kind="raw", source="<script>"), {})[0].code == "<pre>&lt;script&gt;</pre>"


def test_injected_parameters_are_named_and_a_cell_may_lack_a_name():
    given_ = book(metadata={"tags": ["injected-parameters"]}, id="6565a9ec")
    assert cells(given_, {})[0].id == "parameters as given"
    nameless = book()
    del nameless["cells"][0]["id"]
    assert cells(nameless, {})[0].id == "without a name"


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"cells": 1}'])
def test_a_damaged_notebook_is_named_with_what_to_do(tmp_path, text):
    path = tmp_path / "filter.ipynb"
    path.write_text(text)
    with pytest.raises(RecordError, match=r"(?s)notebook.*filter\.ipynb.*restore it"):
        read_notebook(path)


def test_a_notebook_is_read_as_it_lies_on_disk(tmp_path):
    path = tmp_path / "a.ipynb"
    path.write_text(json.dumps(book(data(text_plain="p"))))
    assert cells(read_notebook(path), {})[0].outputs == [Output("text", "p")]
