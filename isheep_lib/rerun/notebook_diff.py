"""What two executions of one notebook show, cell by cell: numbers within a tolerance, all else exactly.

    compare_cells(recorded, repeated)[0]     # Change("scores", "text/html", "mean | 0.5721", "mean | 0.6113")

Whole numbers are counts and must be the same. What every execution shows anew is left out: the bar, times and rate of a
progress line, memory addresses, the run's name, commit and fingerprint, and all outputs of cells tagged for that.
Covers notebooks. Does not cover the files that a stage writes (`rerun.file_diff`) or executing anything again (`rerun.run`).
"""

import html
import io
import math
import os
import re
from base64 import b64decode
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Any

from isheep_lib.record.rows import canonical_json

IGNORED, INJECTED = "nbval-ignore-output", "injected-parameters"
# A decimal number on its own; digits inside a word, a digest or a version are text.
NUMBER = re.compile(r"(?<![\w.])([-+]?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?)(?!\w|\.\d)")
# What two executions of the same work may show otherwise.
VOLATILE = [
    (re.compile(pattern, re.MULTILINE), kept)
    for pattern, kept in (
        (r"\b0x[0-9a-f]+", "ADDRESS"),
        (r"\|[ #]*\| *(\d[\d.]*/\d+) \[[^\]\n]*\]", r" \1"),  # a progress line
        (r"^run( \|)? [^|\n]*(?=(?: \|)?\niteration )", "run"),  # the rest is from a stage's summary and its last line
        (r"^(commit(?: \|)?) [0-9a-f]{40}(?:-dirty)?", r"\1"),
        (r"^(fingerprint(?: \|)?) [0-9a-f]{12}\b", r"\1"),
        (r"^(reuse_answers(?: \|)?) (?:True|False)", r"\1"),
        (r"( of iteration \d+ is recorded in )[^'\n]*", r"\1"),
    )
]
# Where a stage is written and how its work is shared out, in the cell of given parameters.
OWN_LINES = re.compile(r"^(?:run|reuse_answers|shard|num_shards) = .*\n?", re.MULTILINE)
BEFORE, SHOWN = 40, 160  # letters shown before and after the place where two texts part


@dataclass(frozen=True)
class Tolerance:
    """How far two decimal numbers may lie apart and still be the same."""

    relative: float = 1e-6
    absolute: float = 1e-9

    def same(self, before: str, after: str) -> bool:
        """Compare two numbers as they are written; whole ones exactly."""
        if before == after or not (before and after):
            return before == after
        if before.lstrip("-+").isdigit() and after.lstrip("-+").isdigit():
            return False
        a, b = float(before), float(after)
        return math.isfinite(a) and math.isfinite(b) and self.near(a, b)

    def near(self, before: float, after: float) -> bool:
        """Compare two values."""
        return math.isclose(before, after, rel_tol=self.relative, abs_tol=self.absolute)


USUAL, EXACT = Tolerance(), Tolerance(0.0, 0.0)


@dataclass(frozen=True)
class Change:
    """One thing that is not as it was."""

    place: str  # id of the cell, or name of the file
    kind: str  # what differs, such as text/html, figure, stream, source, rows
    before: str  # what the record shows, shortened
    after: str  # what the repetition shows, shortened
    # Whether it is another result; a source that was rewritten and shows the same is none.
    decides: bool = field(default=True, kw_only=True)


def compare_cells(before: dict[str, Any], after: dict[str, Any], tolerance: Tolerance = USUAL) -> list[Change]:
    """List what differs between two executed notebooks as nbformat reads them, cell by cell in the record's order."""
    old, new = _by_name(before), _by_name(after)
    found = []
    for name in [*old, *(name for name in new if name not in old)]:
        if name not in new or name not in old:
            cell, kind = (old[name], "only in the record") if name in old else (new[name], "only in the repetition")
            first = cell["source"].split("\n")[0]
            decides = cell["cell_type"] == "code" and IGNORED not in _tags(cell)
            found.append(Change(name, kind, *((first, "") if name in old else ("", first)), decides=decides))
            continue
        found += _compare_source(name, old[name], new[name])
        if not ({IGNORED} & {*_tags(old[name]), *_tags(new[name])}):
            found += _compare_outputs(name, old[name].get("outputs", []), new[name].get("outputs", []), tolerance)
    return found


def compared_cells(before: dict[str, Any], after: dict[str, Any]) -> set[str]:
    """Name the cells whose outputs `compare_cells` looks at, or misses on one side."""
    cells = [*_by_name(before).items(), *_by_name(after).items()]
    left_out = {name for name, cell in cells if IGNORED in _tags(cell)}
    return {name for name, cell in cells if cell["cell_type"] == "code"} - left_out


def _tags(cell: dict[str, Any]) -> list[str]:
    return cell["metadata"].get("tags", [])


def _by_name(book: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Name cells by id; the cell of given parameters has another id in every execution."""
    return {INJECTED if INJECTED in _tags(cell) else cell["id"]: cell for cell in book["cells"]}


def _compare_source(name: str, before: dict[str, Any], after: dict[str, Any]) -> list[Change]:
    old, new = (OWN_LINES.sub("", cell["source"]) for cell in (before, after))
    if old == new:
        return []
    return [Change(name, "source", *excerpts(old, new), decides=False)]


def _compare_outputs(name: str, before: list[Any], after: list[Any], tolerance: Tolerance) -> list[Change]:
    found = []
    for old, new in zip_longest(before, after):
        if old is None or new is None:
            said = [_first_line(output) if output else "nothing" for output in (old, new)]
            found.append(Change(name, "output missing" if new is None else "output added", *said))
        elif change := _compare_output(name, _shown(old), _shown(new), tolerance):
            found.append(change)
    return found


def _compare_output(name: str, old: dict[str, str], new: dict[str, str], tolerance: Tolerance) -> Change | None:
    """Return the first difference of one output: its forms (HTML, text, image) show the same thing."""
    if {*old} != {*new}:
        return Change(name, "kind of output", ", ".join(old), ", ".join(new))
    for kind in old:
        if kind == "image/png":
            if said := figure_difference(old[kind], new[kind]):
                return Change(name, "figure", *said)
        elif not same_text(old[kind], new[kind], tolerance):
            return Change(name, kind, *excerpts(old[kind], new[kind], tolerance))
    return None


def _shown(output: dict[str, Any]) -> dict[str, str]:
    """Return each form of an output as text to compare, what always differs left out; HTML first, for it is read best."""
    if output["output_type"] == "stream":
        return {output["name"]: _steady(output["text"])}
    if output["output_type"] == "error":
        return {"error": _steady(f"{output['ename']}: {output['evalue']}")}
    data = output["data"]
    return {
        kind: _form(kind, data[kind], "text/html" in data)
        for kind in sorted(data, key=lambda kind: (kind != "text/html", kind))
    }


def _form(kind: str, value: Any, is_table: bool) -> str:
    if kind.startswith("image/") and kind != "image/svg+xml":
        return value
    text = value if isinstance(value, str) else canonical_json(value)
    if kind == "text/html":
        text = text_of_html(text)
    elif is_table:  # columns as wide as their widest cell
        text = re.sub(r" +", " ", text)
    return _steady(text)


def _steady(text: str) -> str:
    for pattern, kept in VOLATILE:
        text = pattern.sub(kept, text)
    return text


def text_of_html(source: str) -> str:
    """Return what HTML says: a line for each row of a table, cells apart, no tags, no styles."""
    text = re.sub(r"</t[dh]>\s*", " | ", source)
    text = re.sub(r"(?:<[^>]*>\s*)+", "\n", re.sub(r"<t[dh][^>]*>", "", text))
    return "\n".join(line.rstrip() for line in html.unescape(text).strip().split("\n"))


def figure_difference(before: str, after: str) -> tuple[str, str] | None:
    """Compare two PNG images (base64) by their pixels and say how far they lie apart, None where they look the same."""
    if before == after:
        return None
    from matplotlib.image import imread

    old, new = (imread(io.BytesIO(b64decode(image)), format="png") for image in (before, after))
    sizes = [f"{image.shape[1]} x {image.shape[0]} pixels" for image in (old, new)]
    if old.shape != new.shape:
        return sizes[0], sizes[1]
    distance = float(abs(old - new).mean())
    return (sizes[0], f"mean absolute difference {distance:.2g} of 1") if distance else None


def same_text(before: str, after: str, tolerance: Tolerance = USUAL) -> bool:
    """Tell whether two texts are the same but for decimal numbers within the tolerance."""
    return before == after or _parting(before, after, tolerance) is None


def _parting(before: str, after: str, tolerance: Tolerance) -> tuple[int, int] | None:
    """Return where two texts part, as a position in each."""
    old, new = NUMBER.split(before), NUMBER.split(after)  # text and numbers by turns
    for i, (a, b) in enumerate(zip_longest(old, new, fillvalue="")):
        if a != b and not (i % 2 and tolerance.same(a, b)):
            common = 0 if i % 2 else len(os.path.commonprefix((a, b)))  # noqa: RUF071 - letters are meant
            return len("".join(old[:i])) + common, len("".join(new[:i])) + common
    return None


def excerpts(before: str, after: str, tolerance: Tolerance = EXACT) -> tuple[str, str]:
    """Return both texts from shortly before the place where they part."""
    at = _parting(before, after, tolerance) or (0, 0)
    return _excerpt(before, at[0]), _excerpt(after, at[1])


def _excerpt(text: str, at: int) -> str:
    start, end = max(0, at - BEFORE), at + SHOWN
    return f"{'…' if start else ''}{text[start:end]}{'…' if end < len(text) else ''}" or "nothing"


def _first_line(output: dict[str, Any]) -> str:
    kind, text = next(iter(_shown(output).items()), ("", ""))
    return kind if kind.startswith("image/") else f"{kind}: {_excerpt(text, 0)}"
