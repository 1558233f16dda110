"""The first screen of a notebook: a place at its top, filled when its last result is known.

    place("synthesize.ipynb")      # in the first cell, which then says that nothing is known yet
    fill(told)                     # in one of the last: the first cell's output is now what is told

A kernel's client finds the place by a name (`display_id`) and renews the output there: Jupyter's front ends and nbclient do,
and so papermill, which writes it into the executed notebook. Outside a kernel nothing is shown.
Covers where it stands. Does not cover what is told (`display.outcomes`, `display.verdicts`).
"""

from typing import Any

from isheep_lib.display.folded import Told

WORDS, FIGURE = "isheep-first-screen", "isheep-first-figure"


def place(notebook: str, figure: bool = False) -> None:
    """Make the place, and below it one for a figure; until it is filled it says so, also in a notebook that failed."""
    _show(Told(f"Not finished: {notebook} says here what came out when its last cells have run."), WORDS, update=False)
    if figure:
        _show(Told(""), FIGURE, update=False)


def fill(told: Told, figure: Any = None) -> None:
    """Put what came out into the place, and a figure into its own."""
    _show(told, WORDS, update=True)
    if figure is not None:
        _show(figure, FIGURE, update=True)


def _show(shown: Any, name: str, update: bool) -> None:
    from IPython.core.interactiveshell import InteractiveShell
    from IPython.display import display

    if InteractiveShell.initialized():
        display(shown, display_id=name, update=update)
