"""A stage's notebook executed in this process, for what it computes; what its cells show is not kept.

A check looks at files alone, and so needs no kernel, whose start would take longer than most stages do then.
"""

from pathlib import Path
from typing import Any

import nbformat


def run_cells(notebook: Path, given: dict[str, Any]) -> None:
    """Execute the code cells in order, with these values in place of those of the cell of parameters."""
    import matplotlib as mpl
    from matplotlib import pyplot

    names: dict[str, Any] = {"__name__": "__main__"}
    cells = [cell for cell in nbformat.read(notebook, as_version=4).cells if cell.cell_type == "code"]
    with mpl.rc_context({"backend": "Agg"}):
        for number, cell in enumerate(cells, 1):
            exec(compile(cell.source, f"{notebook.name}, cell {number}", "exec"), names)  # noqa: S102 - our own notebooks
            if "parameters" in cell.metadata.get("tags", []):
                names |= given
        pyplot.close("all")
