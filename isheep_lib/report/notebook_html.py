"""Executed notebooks as HTML in which nothing runs and nothing is fetched: nbconvert renders them, nh3 cleans what they hold.

    cells(read_notebook(path), {"iter-1/filter/filter.ipynb": "iter-1-filter.html"})

Whatever is not on a short list of tags is taken out of HTML and of rendered prose; a link goes to a page of ours, to the web,
or nowhere; pictures are PNG or JPEG within the page; terminal codes, scripts and widgets are left out.
Covers one notebook's cells. Does not cover pages (`report.pages`).
"""

import base64
import json
import re
import struct
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

from markupsafe import Markup

from isheep_lib.errors import RecordError
from isheep_lib.reading.files import read_text
from isheep_lib.report.narrow import labelled

TAGS = {
    *("a", "b", "blockquote", "br", "caption", "code", "col", "colgroup", "dd", "details", "div", "dl", "dt", "em"),
    *("h1", "h2", "h3", "h4", "h5", "h6", "hr", "i", "li", "ol", "p", "pre", "s", "small", "span", "strong", "sub", "summary"),
    *("sup", "table", "tbody", "td", "tfoot", "th", "thead", "tr", "ul"),
}
CELL = {"style", "colspan", "rowspan", "dir"}
ATTRIBUTES = {"a": {"href"}, "td": CELL, "th": CELL}
STYLES = {"text-align", "vertical-align", "white-space", "min-width", "overflow-wrap"}  # those of `tables`
SHOWN = ["text/html", "text/markdown", "image/png", "image/jpeg", "text/plain"]  # forms of an output, the best first
WIDGET = "application/vnd.jupyter.widget-view+json"
CONTROLS = dict.fromkeys([*range(9), 11, 12, *range(14, 32), 127])
HEADING = re.compile(r"<(/?)h([1-5])\b")
BLANK = (90, 90)  # pixels
TEMPLATES = Path(__file__).parent / "templates"


def read_notebook(path: Path) -> dict[str, Any]:
    """Read a notebook.

    Raises:
        RecordError: it is not JSON, or has no cells.
    """
    try:
        book = json.loads(read_text(path))
    except json.JSONDecodeError as error:
        raise RecordError(f"The notebook is not JSON ({error.msg})", where=path.name, do="restore it, or remove it") from error
    if not isinstance(book, dict) or not isinstance(book.get("cells"), list):
        raise RecordError("The notebook has no cells", where=path.name, do="restore it, or remove it")
    return book


def cells(book: Mapping[str, Any], links: Mapping[str, str], lang: str = "", holds: Callable[[str], object] = bool) -> Markup:
    """Render a notebook's cells; `links` names the page of each notebook of the record. Headings go one level down.

    Args:
        lang: the attribute of outputs, as `report.languages` writes it.
        holds: tells whether an output's text may be in that language (`report.languages.holds`).
    """
    from nbconvert import HTMLExporter

    exporter = HTMLExporter(
        template_name="base",
        template_file=str(TEMPLATES / "cells.html.j2"),
        extra_template_basedirs=[str(TEMPLATES)],  # and not the folder that the command is called in
        default_preprocessors=[],  # each would validate the notebook, and refuse an incomplete one
        sanitize_html=True,
        exclude_anchor_links=True,
        exclude_input_prompt=True,
        exclude_output_prompt=True,
        filters={"clean_html": partial(clean, links=links)},
        config={"NbConvertBase": {"display_data_priority": SHOWN}},
    )
    text, _ = exporter.from_notebook_node(_prepared(book, lang, holds))
    shown = HEADING.sub(lambda m: f"<{m[1]}h{int(m[2]) + 1}", text.translate(CONTROLS))
    return Markup(shown)  # noqa: S704 - each output and prose went through `clean`, the template escapes the rest


def plain(text: str) -> str:
    """Take terminal codes and control characters out of text."""
    from nbconvert.filters import strip_ansi

    return strip_ansi(text).translate(CONTROLS)


def clean(text: str, links: Mapping[str, str]) -> Markup:
    """Keep harmless tags of HTML, and links that lead to a page of ours or to the web."""
    import nh3

    def renewed(_: str, name: str, value: str) -> str | None:
        if name != "href":
            return value
        if value in links:
            return quote(links[value])
        return value if re.match(r"https?://", value, re.IGNORECASE) else None

    safe = nh3.clean(
        text.translate(CONTROLS).encode(errors="replace").decode(),  # half a character, which JSON can hold, is no UTF-8
        tags=TAGS,
        attributes=ATTRIBUTES,
        attribute_filter=renewed,
        filter_style_properties=STYLES,
        link_rel="noreferrer",
    )
    return Markup(labelled(safe))  # noqa: S704 - what nh3 leaves of it, and names of columns, escaped


def _prepared(book: Mapping[str, Any], lang: str, holds: Callable[[str], object]) -> Any:
    """Return a notebook whose cells have names, whose figures are described, and whose own metadata says nothing."""
    from nbformat import v4

    metadata = {"language_info": {"pygments_lexer": "ipython3"}}
    found, heading = v4.to_notebook({"cells": book["cells"], "metadata": metadata}), "the notebook"
    for cell in found.cells:
        injected = "injected-parameters" in cell.get("metadata", {}).get("tags", [])
        name = "parameters as given" if injected else str(cell.get("id", "without a name"))
        if cell.cell_type == "markdown":
            heading = [heading, *re.findall(r"^#+ (.+)$", cell.source, re.MULTILINE)][-1]
        # Metadata could name files of pictures, or ask for a frame.
        spoken = lang if holds(_said(cell)) else ""
        cell.metadata = {"name": name, "alt": f"Figure under “{heading}”, cell {name}", "lang": spoken}
        for output in cell.get("outputs", []):
            output.metadata = {}
            if WIDGET in output.get("data", {}):
                output.data = {"text/plain": "A widget: open the notebook in Jupyter to use it."}
            elif _is_blank(output.get("data", {}).get("image/png")):
                output.data = {"text/plain": "Nothing to draw here."}
            elif "data" in output:
                output.data.setdefault("text/plain", f"Not shown here: {', '.join(output.data)}")
            elif output.output_type == "error":
                output.traceback = output.traceback or [f"{output.ename}: {output.evalue}"]
    return found


def _said(cell: Mapping[str, Any]) -> str:
    """Return the text of a cell's outputs; pictures have none."""
    texts = [
        text
        for output in cell.get("outputs", [])
        for name, text in {"text": output.get("text", ""), **output.get("data", {})}.items()
        if not name.startswith(("image/", "application/"))
    ]
    return "\n".join(text if isinstance(text, str) else "".join(map(str, text)) for text in texts)


def _is_blank(picture: Any) -> bool:
    """Tell by its size whether a PNG is the empty figure of older records, which a page would make as wide as a text."""
    try:
        head = base64.b64decode("".join(picture)[:32])
    except (TypeError, ValueError):  # no picture, or one that is none
        return False
    return head[12:16] == b"IHDR" and head[16:24] == struct.pack(">II", *BLANK)
