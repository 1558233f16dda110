"""A run's record as a folder of pages to hand over; they open without a server, a network or a script.

    write(run_dir)      # results/<run>/report/index.html

Whatever a model wrote is escaped or cleaned, and every page forbids scripts and the network besides. Of a run that must not
be given to others the pages show counts and results alone, as they are made to be handed over. The same record gives the
same bytes.
Covers which pages there are, how they link, and writing the folder whole. Does not cover what they hold (`report.contents`,
`report.notebook_html`) or their words and looks (`templates`).
"""

from base64 import b64encode
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from isheep_lib.display.scripts import direction
from isheep_lib.display.stage_tables import funnel_table
from isheep_lib.display.table import Table, clip
from isheep_lib.record.folders import replacing, require_own
from isheep_lib.record.progress import Progress
from isheep_lib.record.rows import digest_file
from isheep_lib.report import contents as report_contents
from isheep_lib.report.contents import Record, Stage, index, notebook, read_record
from isheep_lib.report.languages import attribute
from isheep_lib.report.notebook_html import TEMPLATES, clean, plain

INDEX, MARKER = "index.html", ".isheep-report"
ROWS = 250  # pairs per page, which a phone opens
LONGEST = 4000  # characters of one text of a pair that a page shows
Link = tuple[str, str]  # words and file


@dataclass(frozen=True)
class Page:
    """One page: file, title, template, what fills it, made when it is written, and the pages above and beside it."""

    file: str
    title: str
    template: str
    fill: Callable[[], dict[str, Any]]
    above: Link | None = None
    before: Link | None = None
    after: Link | None = None


def write(run_dir: Path, out: Path | None = None) -> Path:
    """Write the pages of a run to a folder, by default `report` in the run's own; an earlier report there is replaced.

    Returns:
        The path of index.html.

    Raises:
        RecordError: there is no run, no stage is finished, or the folder holds what no report wrote.
    """
    run_dir = run_dir.resolve()
    out = (out or run_dir / "report").resolve()
    require_own(out, "report", _foreign)
    record = read_record(run_dir)
    pages, templates = list(_pages(record)), _environment(record)
    with replacing(out, "report", _foreign) as fresh, Progress("pages", len(pages), "page") as progress:
        for page in pages:
            text = templates.get_template(page.template).render(page=page, **page.fill())
            (fresh / page.file).write_bytes(text.encode(errors="replace"))  # a model's lone surrogate is no UTF-8
            progress.advance()
        (fresh / MARKER).write_text("\n".join(page.file for page in pages) + "\n", encoding="utf-8")
    return out / INDEX


def listed(out: Path) -> dict[str, str]:
    """Return the digests of an earlier report's pages, by name; of none where there is no report."""
    return {name: digest_file(out / name) for name in _names(out) if (out / name).is_file()}


def _names(out: Path) -> list[str]:
    marker = out / MARKER
    return marker.read_text(encoding="utf-8").split("\n") if marker.is_file() else []


def _foreign(out: Path) -> list[Path]:
    """List what a folder holds that no report wrote."""
    ours = {MARKER, *_names(out)}
    return [path for path in out.iterdir() if path.name not in ours]


def _environment(record: Record) -> Environment:
    found = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    # Captions stand outside the box that a table scrolls in.
    found.filters["table"] = lambda table: clean(Table(table.rows)._repr_html_(), record.links)
    found.filters["figure"] = lambda drawn: f"data:image/png;base64,{b64encode(drawn._repr_png_()).decode()}"
    found.filters["address"] = quote
    found.filters["direction"] = lambda text: direction(str(text))
    found.filters["text"] = lambda text: clip(plain(str(text)), LONGEST)
    css = Markup((TEMPLATES / "page.css").read_text(encoding="utf-8"))  # noqa: S704 - our own file
    shared: dict[str, Any] = {"css": css, "record": record, "lang": attribute(record.params)}
    found.globals.update(shared)
    return found


def _pages(record: Record) -> Iterator[Page]:
    """List the pages, the index first."""
    yield Page(INDEX, f"Run {record.run_dir.name}", "index.html.j2", partial(index, record))
    for file, path in record.notebooks.items():
        yield Page(file, path.name, "notebook.html.j2", partial(notebook, record, path))
    tops = {k: (f"iteration {k}", f"iter-{k}.html") for k in record.iterations}
    for k, by_name in record.iterations.items():
        yield from _iteration_pages(k, by_name, tops, record.withheld)
    begun = [stage for stage in record.stages if stage.page]
    links = [(f"iteration {stage.iteration}, {stage.name}", stage.page) for stage in begun]
    for stage, before, after in zip(begun, [None, *links], [*links[1:], None], strict=False):
        title, fill = f"Iteration {stage.iteration}: {stage.name}", partial(report_contents.stage, record, stage)
        yield Page(stage.page, title, "notebook.html.j2", fill, tops[stage.iteration], before, after)


def _iteration_pages(iteration: int, by_name: dict[str, Stage], tops: dict[int, Link], withheld: str) -> Iterator[Page]:
    """Divide an iteration's pairs into pages; the first one names the stages and where each group begins."""
    groups = report_contents.groups(by_name, withheld)
    flat = [(group, row) for group in groups for row in group.rows]
    parts = [flat[start : start + ROWS] for start in range(0, len(flat), ROWS)] or [[]]
    files = [f"iter-{iteration}.html", *(f"iter-{iteration}-pairs-{n}.html" for n in range(2, len(parts) + 1))]
    starts: dict[str, str] = {}
    for file, part in zip(files, parts, strict=True):
        for group, _ in part:
            starts.setdefault(group.name, f"{file}#{group.name}")
    made = [by_name[name] for name in ("synthesize", "filter") if name in by_name and by_name[name].manifest]
    funnels = {stage.name: funnel_table(stage.manifest["counts"]) for stage in made}
    common = {"iteration": iteration, "groups": groups, "starts": starts, "files": files, "funnels": funnels}
    before, after = tops.get(iteration - 1), tops.get(iteration + 1)
    for number, (file, part) in enumerate(zip(files, parts, strict=True), start=1):
        title = f"Iteration {iteration}" + (f", pairs, page {number} of {len(files)}" if number > 1 else "")
        shown = [(group, [row for other, row in part if other is group]) for group in groups]
        fill = partial(dict, common, number=number, shown=shown)
        yield Page(file, title, "iteration.html.j2", fill, tops[iteration] if number > 1 else None, before, after)
