"""Menus and sortable tables for a person who explores a run in Jupyter; without one, or without the packages, plain tables.

    sortable(found)          # itables: sorts and searches in the browser
    menus(run_dir, 1)        # ipywidgets: iteration, fate, reason, text, and one pair followed

Covers what needs a browser's scripts. Does not cover rows (`explore.pairs`) or one pair (`explore.pair_history`). Both
packages are optional (the extra `explore`) and work without a network. An executed notebook holds no scripts:
nobody can type into it.
"""

import importlib
from pathlib import Path
from typing import Any

from isheep_lib.display.table import Table
from isheep_lib.errors import IsheepError, install
from isheep_lib.explore.pair_history import follow
from isheep_lib.explore.pairs import FATES, TEXTS, Pairs, iterations, pairs

ALL = "all"
MOST_BYTES = "4MB"  # of a table in the browser; beyond it itables shows fewer rows and says so


def is_live() -> bool:
    """Tell whether a person may answer: front ends say so with every cell, and what executes notebooks says the opposite."""
    import sys

    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    return bool(getattr(getattr(shell, "kernel", None), "_allow_stdin", False))


def _package(name: str) -> Any:
    """Import an optional package, None where it is absent."""
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


def _instead(what: str) -> Table:
    """Say why a plain notebook shows less."""
    return Table([{"not shown here": f"{what}: isheep explore --open, with {install('explore')}"}])


def sortable(found: Pairs) -> Any:
    """Show all rows in a table that sorts and searches in the browser, its texts escaped."""
    itables = _package("itables") if is_live() else None
    if itables is None:
        return _instead("the table that sorts and searches")
    import pandas
    from IPython.display import HTML

    itables.init_notebook_mode(all_interactive=False, connected=False)  # the script itself, so that no network is needed
    return HTML(table_page(itables, pandas, found))


def table_page(itables: Any, pandas: Any, found: Pairs) -> str:
    """Return a table's HTML; model text stays text, on one line, as pandas would write a new line as two letters."""
    rows = [{c: " ".join(v.split()) if isinstance(v, str) else v for c, v in row.items()} for row in found.rows]
    frame = pandas.DataFrame(rows, columns=found.columns)  # numbers with gaps stay floats: others would sort as text
    options = {"allow_html": False, "maxBytes": MOST_BYTES, "classes": "display compact", "showIndex": False}
    # Among many columns a text would be squeezed into one word a line.
    texts = [{"className": "isheep-text", "targets": [found.columns.index(text) for text in TEXTS]}]
    page = itables.to_html_datatable(frame, connected=False, columnDefs=texts, **options)
    return f"<style>td.isheep-text{{min-width:20em}}</style><div class='tex2jax_ignore'>{page}</div>"


def menus(run_dir: Path, iteration: int) -> Any:
    """Show menus for an iteration's rows and a field that follows one of them."""
    widgets = _package("ipywidgets") if is_live() else None
    if widgets is None:
        return _instead("the menus")
    return Menus(widgets, run_dir, iteration).box


class Menus:
    """Fields that choose rows, the table of what they chose, and one pair followed."""

    def __init__(self, widgets: Any, run_dir: Path, iteration: int) -> None:
        """Build the fields and show the iteration's rows."""
        self.run_dir = run_dir
        self.iteration = widgets.Dropdown(description="iteration", options=iterations(run_dir), value=iteration)
        self.fate = widgets.Dropdown(description="fate", options=[ALL, *FATES])
        self.reason = widgets.Dropdown(description="reason", options=[ALL])
        self.search = widgets.Text(description="search", placeholder="text in task or response", continuous_update=False)
        self.sort = widgets.Dropdown(description="sort", options=["id"])
        self.id = widgets.Combobox(description="follow", placeholder="id of a pair", continuous_update=False)
        self.rows, self.story = widgets.HTML(), widgets.HTML()
        self.found, self.turning = pairs(run_dir, iteration), False
        self._offer()
        self.iteration.observe(self._turn, "value")
        for field in (self.fate, self.reason, self.search, self.sort):
            field.observe(self._show, "value")
        self.id.observe(self._follow, "value")
        choosing = widgets.HBox([self.iteration, self.fate, self.reason, self.sort, self.search])
        choosing.layout.flex_flow = "row wrap"
        self.box = widgets.VBox([choosing, self.rows, self.id, self.story])
        self._show()

    def _offer(self) -> None:
        """Offer what this iteration has."""
        self.reason.options = [ALL, *sorted({row["reason"] for row in self.found.rows} - {""})]
        self.sort.options = [sign + column for column in self.found.columns for sign in ("", "-")]
        self.id.options = [row["id"] for row in self.found.rows]

    def _turn(self, _: Any = None) -> None:
        self.found, self.turning = pairs(self.run_dir, self.iteration.value), True
        self._offer()  # each menu that loses its choice would show rows at once, by what the next menu does not offer any more
        self.turning = False
        self.id.value, self.story.value = "", ""
        self._show()

    def _show(self, _: Any = None) -> None:
        if self.turning:
            return
        fate, reason = ("" if field.value == ALL else field.value for field in (self.fate, self.reason))
        rows = self.found.arranged(self.sort.value, self.search.value, fate, reason)
        self.rows.value = self.found.table(rows)._repr_html_()

    def _follow(self, _: Any = None) -> None:
        if not self.id.value:
            return
        try:
            shown = follow(self.run_dir, self.iteration.value, self.id.value)
        except IsheepError as error:  # an id that is not there is said where the pair would stand
            shown = Table([{"problem": str(error)}])
        self.story.value = shown._repr_html_()
