"""Notebooks as HTML: what a model wrote comes out as text, links lead where they may, nothing runs."""

import base64
import json
import re
import struct
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markupsafe import Markup

from isheep_lib.display.table import Table
from isheep_lib.errors import RecordError
from isheep_lib.report.languages import attribute, holds
from isheep_lib.report.notebook_html import ATTRIBUTES, TAGS, cells, clean, plain, read_notebook

few = settings(max_examples=50, deadline=None)
LINKS = {"iter-1/filter/filter.ipynb": "iter-1-filter.html", "my work.ipynb": "notebook-my work.html"}
# What the template puts around what was cleaned, and around code.
WRAPPED = {"div": {"class", "role", "tabindex", "aria-label"}, "details": {"class"}, "span": {"class"}, "img": {"src", "alt"}}
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
        self.feed(str(text))
        self.close()

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data


def assert_inert(text, around=None):
    around = around or {}
    for tag, attributes in Reader(text).found:
        assert tag in {*TAGS, *around}
        allowed = {*ATTRIBUTES.get(tag, ()), *around.get(tag, ()), *(["rel"] if tag == "a" else [])}
        assert set(attributes) <= allowed, attributes
        assert "url" not in (attributes.get("style") or "")
        assert "position" not in (attributes.get("style") or "")
        href = attributes.get("href")
        assert href is None or href in ("iter-1-filter.html", "notebook-my%20work.html") or href.startswith("http"), href
        assert tag != "img" or attributes["src"].startswith(("data:image/png;base64,", "data:image/jpeg;base64,")), attributes


def book(*outputs, source="1", kind="code", **more):
    return {"cells": [{"cell_type": kind, "id": "c1", "source": source, "metadata": {}, "outputs": list(outputs), **more}]}


def data(**by_kind):
    return {"output_type": "display_data", "data": {kind.replace("_", "/"): value for kind, value in by_kind.items()}}


def shown(*outputs, **more):
    """Return a notebook of one cell as HTML, which is inert."""
    found = cells(book(*outputs, **more), LINKS)
    assert_inert(found, WRAPPED)
    return found


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_html_comes_out_inert(text):
    assert_inert(clean(text, LINKS))
    assert_inert(clean(f"<table><tr><td>{text}</td></tr></table>", LINKS))


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("kind", ["markdown", "output"])
def test_hostile_prose_comes_out_inert(text, kind):
    source = f"# {text}\n\n{text}\n\n- {text}\n\n| a |\n|---|\n| {text} |\n"
    if kind == "markdown":
        shown(kind="markdown", source=source)
    else:
        shown(data(text_markdown=source))


@pytest.mark.parametrize(
    "source", ["[go](javascript:1)", "[go]( javascript:alert(1))", "![x](http://a.example/x.png)", "<http:x>"]
)
def test_links_and_pictures_of_markdown_are_no_way_around(source):
    assert "<img" not in shown(kind="markdown", source=source)


@few
@given(st.lists(st.sampled_from([*HOSTILE, *"<>&'\"=/ ", "<td", "style=", "href=", "<a ", "--", "]]>", "&#x3c;"])).map("".join))
def test_whatever_is_strung_together_comes_out_inert(text):
    assert_inert(clean(text, LINKS))


@pytest.mark.parametrize(
    ("href", "link"),
    [
        ("iter-1/filter/filter.ipynb", '<a href="iter-1-filter.html" rel="noreferrer">x</a>'),
        ("my work.ipynb", '<a href="notebook-my%20work.html" rel="noreferrer">x</a>'),
        ("https://a.example/?a=1&amp;b=2", '<a href="https://a.example/?a=1&amp;b=2" rel="noreferrer">x</a>'),
        ("iter-9/filter/filter.ipynb", '<a rel="noreferrer">x</a>'),
        ("#papermill-error-cell", '<a rel="noreferrer">x</a>'),
        ("javascript:1", '<a rel="noreferrer">x</a>'),
        ("mailto:x@a.example", '<a rel="noreferrer">x</a>'),
    ],
)
def test_a_link_leads_to_a_page_of_ours_or_to_the_web_or_nowhere(href, link):
    assert clean(f"<a href='{href}'>x</a>", LINKS) == link
    assert clean(f'<a href="{href}">x</a>', LINKS) == link


def test_tables_keep_what_makes_them_readable():
    table = '<table><thead><tr><th style="white-space:pre-wrap;color:red" colspan="2">a</th></tr></thead></table>'
    assert clean(table, {}) == '<table><thead><tr><th style="white-space:pre-wrap" colspan="2">a</th></tr></thead></table>'


def test_a_cell_keeps_the_direction_of_its_text():
    assert '<td dir="rtl"' in clean(Table([{"text": "שלום"}])._repr_html_(), {})


def test_outputs_are_in_the_language_of_the_run_and_code_is_not():
    said = {"output_type": "stream", "name": "stdout", "text": "中文"}
    found = cells(book(said), {}, Markup(' lang="zh"'))
    assert re.findall(r'aria-label="(\w+)[^>]* lang="zh"', found) == ["Output"]
    assert "lang=" not in shown(said)


def test_the_record_in_chinese_marks_what_the_model_read_and_wrote_and_not_its_tables(root):
    folder, params = root / "results/reference/gemma3-270m-zh", {"synthesize": {"language": "zh"}}
    found = cells(read_notebook(folder / "iter-1/synthesize/synthesize.ipynb"), {}, attribute(params), holds(params))
    outputs = [tag for _, tag in Reader(found).found if tag.get("aria-label", "").startswith("Output")]
    marked = [tag["aria-label"].split()[-1] for tag in outputs if tag.get("lang") == "zh"]
    assert list(dict.fromkeys(marked)) == ["seeds", "request", "engine", "example", "samples", "dropped"]
    assert len(outputs) > len(marked)


def test_an_output_without_a_letter_of_the_runs_script_is_in_the_pages_language():
    held = holds({"synthesize": {"language": "zh-Hant"}})
    for text, marked in (("rows kept: 3", 0), ("她说：好。", 1)):
        said = {"output_type": "execute_result", "execution_count": 1, "metadata": {}, "data": {"text/plain": text}}
        assert cells(book(said), {}, Markup(' lang="zh-Hant"'), held).count(' lang="zh-Hant"') == marked
    for unknown in ("en", "es", "any", ["zh", "es"], "?"):
        assert holds({"synthesize": {"language": unknown}})("rows kept: 3"), unknown


def test_the_empty_figure_of_older_records_is_told_in_words():
    def png(width, height):
        head = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + struct.pack(">II", width, height)
        return base64.b64encode(head + bytes(40)).decode()

    assert "Nothing to draw here." in shown(data(image_png=png(90, 90)))
    assert "<img" in shown(data(image_png=png(810, 90)))
    for broken in ("", "%%%", "iVBOR", png(90, 90)[:20]):
        assert "Nothing to draw" not in shown(data(image_png=broken))


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
    ("output", "kind", "text"),
    [
        ({"output_type": "stream", "name": "stdout", "text": ["\x1b[1m<b>", "two"]}, "output_stdout", "<b>two"),
        (
            {"output_type": "error", "ename": "E", "evalue": "v", "traceback": ["\x1b[31m<b>", "two"]},
            "output_error",
            "<b>\ntwo",
        ),
        ({"output_type": "error", "ename": "E", "evalue": "v", "traceback": []}, "output_error", "E: v"),
        (data(text_plain="p", text_html=["<i>", "x</i>"]), "output_html", "x"),
        (data(text_plain="p", text_markdown="*x*"), "output_markdown", "x"),
        (data(text_plain="<p>"), "output_text", "<p>"),
        (data(application_javascript="go()", text_plain="<Javascript>"), "output_text", "<Javascript>"),
        (data(application_javascript="go()"), "output_text", "Not shown here: application/javascript"),
        (
            data(**{"application_vnd.jupyter.widget-view+json": {}, "text_html": "x"}),
            "output_text",
            "A widget: open the notebook in Jupyter to use it.",
        ),
        (data(**{"image_svg+xml": "<svg onload=go()>", "text_plain": "p"}), "output_text", "p"),
        (data(image_png=PNG + "\n", text_plain="p"), "output_png", ""),
        (data(image_jpeg=[PNG]), "output_jpeg", ""),
        (data(image_png='x" onerror="go()'), "output_png", ""),
    ],
)
def test_an_output_is_shown_by_its_best_inert_form(output, kind, text):
    found = Reader(shown(output, source=""))
    assert kind in " ".join(attributes.get("class", "") for _, attributes in found.found).split()
    assert found.text.strip() == text


@pytest.mark.parametrize("kind", ["png", "jpeg"])
def test_a_picture_lies_within_the_page(kind):
    [picture] = [attributes for tag, attributes in Reader(shown(data(**{f"image_{kind}": PNG}))).found if tag == "img"]
    assert picture["src"] == f"data:image/{kind};base64,{PNG}"


@pytest.mark.parametrize(
    "metadata", [{"filenames": {"image/png": "http://a.example/x.png"}}, {"text/html": {"isolated": True}}]
)
def test_metadata_of_an_output_names_no_other_file_and_asks_for_no_frame(metadata):
    shown({**data(image_png=PNG), "metadata": metadata})
    shown({**data(text_html="<b>x</b>"), "metadata": metadata})


def test_metadata_of_a_notebook_is_not_part_of_the_page():
    hostile = {"language_info": {"name": "x'><script>go()</script>", "pygments_lexer": "x'><script>go()</script>"}}
    assert_inert(cells({**book(metadata={"tags": ["'><script>go()</script>"]}), "metadata": hostile}, LINKS), WRAPPED)


def test_a_figure_is_described_by_the_heading_it_stands_under():
    head = {"cell_type": "markdown", "id": "t", "source": ["# Filter\n", "\n", "## The funnel\n"], "metadata": {}}
    figure = book(data(image_png=PNG))["cells"][0]
    assert 'alt="Figure under “the notebook”, cell c1"' in cells({"cells": [figure]}, {})
    assert 'alt="Figure under “The funnel”, cell c1"' in cells({"cells": [head, figure]}, {})


def test_headings_go_one_level_down_and_have_no_anchors():
    found = shown(kind="markdown", source="# One\n\n## Two\n\n###### Six")
    assert found.strip() == '<div class="prose"><h2>One</h2>\n<h3>Two</h3>\n<h6>Six</h6>\n</div>'


def test_code_is_escaped_and_empty_code_is_no_code():
    found = shown(source='x = "</pre><script>go()</script>"')
    assert "<script>" not in found
    assert "&lt;script&gt;" in found
    assert "Code" not in shown(source=" \n")
    assert "<pre>&lt;script&gt;</pre>" in shown(kind="raw", source="<script>")


def test_injected_parameters_are_named_and_a_cell_may_lack_a_name():
    assert "Code: parameters as given" in shown(metadata={"tags": ["injected-parameters"]}, id="6565a9ec")
    nameless = book()
    del nameless["cells"][0]["id"]
    assert "Code: without a name" in cells(nameless, {})


def test_half_a_character_is_replaced_or_left_to_the_page():
    half = "a\ud800b"
    assert clean(half, {}) == "a?b"
    outputs = [data(text_html=half), data(text_markdown=half), data(text_plain=half)]
    assert shown(*outputs, source=half).count("a?b") == 2


def test_no_terminal_code_is_left():
    codes = "\x1b[31mred\x1b[0m \x1b]8;;http://a.example\x07go \x00"
    found = shown({"output_type": "stream", "name": "stdout", "text": codes}, data(text_html=codes), source=f"'{codes}'")
    assert not {"\x1b", "\x07", "\x00"} & set(found)


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"cells": 1}'])
def test_a_damaged_notebook_is_named_with_what_to_do(tmp_path, text):
    path = tmp_path / "filter.ipynb"
    path.write_text(text)
    with pytest.raises(RecordError, match=r"(?s)notebook.*filter\.ipynb.*restore it"):
        read_notebook(path)


def test_a_notebook_is_read_as_it_lies_on_disk(tmp_path):
    path = tmp_path / "a.ipynb"
    path.write_text(json.dumps(book(data(text_plain="p"))))
    assert Reader(cells(read_notebook(path), {})).text.split()[-1] == "p"
