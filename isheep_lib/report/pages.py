"""A run's record as a folder of pages to hand over; they open without a server, a network or a script.

    write(run_dir)      # results/<run>/report/index.html

Whatever a model wrote is escaped or cleaned, and every page forbids scripts and the network besides. The same record gives
the same bytes.
Covers which pages there are, how they link, and writing the folder whole. Does not cover what they hold (`report.contents`,
`report.notebook_html`) or their words and looks (`page/`).
"""

import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from isheep_lib.display.stage_tables import funnel_table
from isheep_lib.display.table import Table, clip
from isheep_lib.errors import RecordError
from isheep_lib.record.progress import Progress
from isheep_lib.record.rows import write_failure
from isheep_lib.report import contents as report_contents
from isheep_lib.report import notebook_html
from isheep_lib.report.contents import Group, Record, Stage, groups, index, notebook, read_record

INDEX, MARKER = "index.html", ".isheep-report"
ROWS = 250  # pairs a page, which a phone opens
LONGEST = 4000  # characters of one text of a pair that a page shows
TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True)
class Page:
    """One page: file, title, template, and what fills it, made when it is written."""

    file: str
    title: str
    template: str
    fill: Callable[[], dict[str, Any]]


def write(run_dir: Path, out: Path | None = None) -> Path:
    """Write the pages of a run to a folder, by default `report` in the run's own; an earlier report there is replaced.

    Returns:
        The path of index.html.

    Raises:
        RecordError: there is no run, no stage is finished, or the folder holds what no report wrote.
    """
    run_dir = run_dir.resolve()
    out = (out or run_dir / "report").resolve()
    require_own(out)
    record = read_record(run_dir)
    try:
        _write_folder(out, record, list(_pages(record)))
    except OSError as error:
        raise write_failure(out, error) from error
    return out / INDEX


def require_own(out: Path) -> None:
    """Refuse a folder that holds anything that no report wrote.

    Raises:
        RecordError: it does; some of it is named.
    """
    if not out.exists():
        return
    marker = out / MARKER
    ours = {MARKER, *marker.read_text(encoding="utf-8").split("\n")} if marker.is_file() else set()
    foreign = sorted(path.name for path in out.iterdir() if path.name not in ours) if out.is_dir() else [out.name]
    if foreign:
        raise RecordError(
            "The folder for the report holds what no report wrote, and would be replaced",
            where=str(out),
            allowed=f"a new folder, an empty one, or an earlier report; here lie {', '.join(foreign[:5])}",
            do="give another folder (--out FOLDER), or move these files away",
        )


def _write_folder(out: Path, record: Record, pages: list[Page]) -> None:
    """Write pages beside their folder and move them there at once; an earlier report goes when the new one is whole."""
    out.parent.mkdir(parents=True, exist_ok=True)
    templates = _environment(record)
    with tempfile.TemporaryDirectory(prefix=f".{out.name}-", dir=out.parent) as beside:
        fresh, old = Path(beside) / "new", Path(beside) / "old"
        fresh.mkdir()
        with Progress("pages", len(pages), "page") as progress:
            for page in pages:
                text = templates.get_template(page.template).render(page=page, **page.fill())
                (fresh / page.file).write_bytes(text.encode(errors="replace"))  # a model's lone surrogate is no UTF-8
                progress.advance()
        (fresh / MARKER).write_text("\n".join(page.file for page in pages) + "\n", encoding="utf-8")
        require_own(out)  # writing took a while
        if out.exists():
            os.replace(out, old)
        os.replace(fresh, out)


def _environment(record: Record) -> Environment:
    found = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    # Captions stand outside the box that a table scrolls in.
    found.filters["table"] = lambda table: notebook_html.relink(
        notebook_html.plain(Table(table.rows)._repr_html_()), record.links
    )
    found.filters["figure"] = lambda drawn: notebook_html.address("image/png", drawn._repr_png_())
    found.filters["address"] = quote
    found.filters["text"] = lambda text: clip(notebook_html.plain(str(text)), LONGEST)
    found.globals["css"] = Markup((TEMPLATES / "page.css").read_text(encoding="utf-8"))  # noqa: S704 - our own file
    found.globals["record"] = record
    return found


def _pages(record: Record) -> Iterator[Page]:
    """List the pages, the index first."""
    yield Page(INDEX, f"Run {record.run_dir.name}", "index.html.j2", partial(index, record))
    for file, path in record.notebooks.items():
        yield Page(file, path.name, "notebook.html.j2", partial(notebook, record, path))
    for iteration, by_name in record.iterations.items():
        yield from _iteration_pages(iteration, by_name)
    begun = [stage for stage in record.stages if stage.page]
    for before, stage, after in zip([None, *begun], begun, [*begun[1:], None], strict=False):
        title = f"Iteration {stage.iteration}: {stage.name}"
        yield Page(stage.page, title, "stage.html.j2", partial(report_contents.stage, record, stage, before, after))


def _iteration_pages(iteration: int, by_name: dict[str, Stage]) -> Iterator[Page]:
    """Divide an iteration's pairs into pages; the first one names the stages and where each group begins."""
    found = groups(by_name)
    flat = [(group, row) for group in found for row in group.rows]
    parts = [flat[start : start + ROWS] for start in range(0, len(flat), ROWS)] or [[]]
    files = [f"iter-{iteration}.html", *(f"iter-{iteration}-pairs-{n}.html" for n in range(2, len(parts) + 1))]
    starts: dict[str, str] = {}
    for file, part in zip(files, parts, strict=True):
        for group, _ in part:
            starts.setdefault(group.name, f"{file}#{group.name}")
    counts = {name: by_name[name].manifest["counts"] for name in ("synthesize", "filter") if _done(by_name, name)}
    common = {
        "iteration": iteration,
        "groups": found,
        "starts": starts,
        "files": files,
        "funnels": {name: funnel_table(n) for name, n in counts.items()},
    }
    for number, (file, part) in enumerate(zip(files, parts, strict=True), start=1):
        title = f"Iteration {iteration}" + (f", pairs, page {number} of {len(files)}" if number > 1 else "")
        yield Page(file, title, "iteration.html.j2", partial(_pairs, part, number, common))


def _done(by_name: dict[str, Stage], name: str) -> bool:
    return name in by_name and bool(by_name[name].manifest)


def _pairs(part: list[tuple[Group, dict[str, Any]]], number: int, common: dict[str, Any]) -> dict[str, Any]:
    names = dict.fromkeys(group.name for group, _ in part)
    shown = {name: [row for group, row in part if group.name == name] for name in names}
    return {**common, "number": number, "shown": shown, "titles": {group.name: group.title for group in common["groups"]}}
