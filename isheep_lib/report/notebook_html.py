"""Executed notebooks as HTML in which nothing runs and nothing is fetched.

    cells(read_notebook(path), {"iter-1/filter/filter.ipynb": "iter-1-filter.html"})

Whatever is not on a short list of tags is taken out of HTML and of rendered prose; a link goes to a page of ours, to the web,
or nowhere; pictures are kept as bytes of PNG or JPEG; terminal codes, scripts and widgets are left out.
Covers one notebook's cells. Does not cover pages (`report.pages`).
"""

import base64
import html
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

from markupsafe import Markup, escape

from isheep_lib.errors import RecordError
from isheep_lib.record.rows import read_text

TAGS = [
    *("a", "b", "blockquote", "br", "caption", "code", "col", "colgroup", "dd", "details", "div", "dl", "dt", "em"),
    *("h1", "h2", "h3", "h4", "h5", "h6", "hr", "i", "li", "ol", "p", "pre", "s", "small", "span", "strong", "sub", "summary"),
    *("sup", "table", "tbody", "td", "tfoot", "th", "thead", "tr", "ul"),
]
SPANS = ["colspan", "rowspan"]
ATTRIBUTES = {"a": ["href"], "td": ["style", *SPANS], "th": ["style", *SPANS]}
STYLES = ["text-align", "vertical-align", "white-space", "min-width", "overflow-wrap"]  # those of `tables`
WIDGET = "application/vnd.jupyter.widget-view+json"
CONTROLS = dict.fromkeys([*range(9), 11, 12, *range(14, 32), 127])
LINK = re.compile(r"""<a href=(["'])(.*?)\1>""", re.DOTALL)
ANCHOR = re.compile(r'<a class="anchor-link".*?</a>', re.DOTALL)
UNSEEN = re.compile(r"<(script|style)\b.*?</\1\s*>", re.DOTALL | re.IGNORECASE)
HEADING = re.compile(r"<(/?)h([1-5])\b")


@dataclass(frozen=True)
class Output:
    """One output: `kind` is html, text, error or image; of an image `shown` is its address, and `alt` says what it is."""

    kind: str
    shown: Markup | str
    alt: str = ""


@dataclass(frozen=True)
class Cell:
    """One cell: prose, or code with its outputs."""

    id: str
    prose: Markup | str = ""
    code: Markup | str = ""
    outputs: list[Output] = field(default_factory=list)


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


def cells(book: dict[str, Any], links: Mapping[str, str]) -> list[Cell]:
    """Render a notebook's cells; `links` names the page of each notebook of the record. Headings go one level down."""
    found, heading = [], "the notebook"
    for cell in book["cells"]:
        source, name = "".join(cell["source"]), _name(cell)
        if cell["cell_type"] == "code":
            outputs = [_output(output, links, f"Figure under “{heading}”, cell {name}") for output in cell["outputs"]]
            found.append(Cell(name, code=_highlight(source), outputs=outputs))
        elif cell["cell_type"] == "markdown":
            headings = re.findall(r"^#+ (.+)$", source, re.MULTILINE)
            heading = headings[-1] if headings else heading
            found.append(Cell(name, prose=_prose(source, links)))
        else:
            found.append(Cell(name, code=Markup("<pre>{}</pre>").format(plain(source))))
    return found


def _name(cell: dict[str, Any]) -> str:
    injected = "injected-parameters" in cell.get("metadata", {}).get("tags", [])
    return "parameters as given" if injected else str(cell.get("id", "without a name"))


def plain(text: str) -> str:
    """Take terminal codes and control characters out of text."""
    from nbconvert.filters import strip_ansi

    return strip_ansi(text).translate(CONTROLS)


def clean(text: str, links: Mapping[str, str]) -> Markup:
    """Keep harmless tags of HTML, and links that lead to a page of ours or to the web."""
    return relink(_sanitizer().sanitize_html_tags(UNSEEN.sub("", text)), links)


def relink(safe: str, links: Mapping[str, str]) -> Markup:
    """Point the links of clean HTML at our pages; what is neither such a page nor on the web is no link any more."""

    def renewed(match: re.Match[str]) -> str:
        target = html.unescape(match[2]).strip()
        if target in links:
            return f'<a href="{quote(links[target])}">'
        if re.match(r"https?://", target, re.IGNORECASE):  # bleach takes javascript:1 for a host and its port
            return f'<a href="{escape(target)}" rel="noreferrer">'
        return "<a>"

    return Markup(LINK.sub(renewed, safe))  # noqa: S704 - clean HTML with links of our own


def _prose(source: str, links: Mapping[str, str]) -> Markup:
    from nbconvert.filters import markdown2html

    rendered = clean(ANCHOR.sub("", markdown2html(source)), links)
    return Markup(HEADING.sub(lambda m: f"<{m[1]}h{int(m[2]) + 1}", rendered))  # noqa: S704 - the same tags, one level down


def _highlight(source: str) -> Markup:
    return Markup(_highlighter()(source)) if source.strip() else Markup()  # noqa: S704 - pygments escapes code


def _output(output: dict[str, Any], links: Mapping[str, str], alt: str) -> Output:
    if output["output_type"] == "stream":
        return Output("text", plain("".join(output["text"])))
    if output["output_type"] == "error":
        return Output("error", plain("\n".join(output["traceback"]) or f"{output['ename']}: {output['evalue']}"))
    data = {kind: "".join(value) for kind, value in output["data"].items() if isinstance(value, str | list)}
    if WIDGET in output["data"]:
        return Output("text", "A widget: open the notebook in Jupyter to use it.")
    if "text/html" in data:
        return Output("html", clean(data["text/html"], links))
    if "text/markdown" in data:
        return Output("html", _prose(data["text/markdown"], links))
    for kind in ("image/png", "image/jpeg"):
        if kind in data:
            return _image(kind, data[kind], alt)
    return Output("text", plain(data.get("text/plain", f"Not shown here: {', '.join(output['data'])}")))


def _image(kind: str, encoded: str, alt: str) -> Output:
    try:
        picture = base64.b64decode("".join(encoded.split()), validate=True)
    except ValueError:
        return Output("text", f"{alt}: the picture is damaged")
    return Output("image", address(kind, picture), alt)


def address(kind: str, picture: bytes) -> str:
    """Write a picture as an address that holds it."""
    return f"data:{kind};base64,{base64.b64encode(picture).decode()}"


@cache
def _sanitizer() -> Any:
    from nbconvert.preprocessors.sanitize import SanitizeHTML

    return SanitizeHTML(tags=TAGS, attributes=ATTRIBUTES, styles=STYLES, strip=True)


@cache
def _highlighter() -> Any:
    from nbconvert.filters import Highlight2HTML

    return Highlight2HTML(pygments_lexer="ipython3")
