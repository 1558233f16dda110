"""A copy of the notebook for whoever explores: the tracked one stays as it is, whatever Jupyter saves.

    execute(run_dir, {"iteration": 2})      # results/explore/<run>.ipynb, executed
    prepare(run_dir, {})                    # the same, with its parameters and not executed, for JupyterLab

Covers which run is meant where none is named, and where copies lie. Does not cover what they show.
"""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from isheep_lib.errors import IsheepError
from isheep_lib.record import manifests
from isheep_lib.record.provenance import project_root

REFERENCE = "reference/smollm2-135m"


def usual_run() -> str:
    """Name the run that is meant where none is named: the newest with pairs of the user's own, else the reference record."""
    latest = {name: _latest(manifests.run_folder(name)) for name in manifests.known_runs()}
    own = {name: time for name, time in latest.items() if time and not name.startswith("reference/")}
    return max(own, key=lambda name: own[name], default=REFERENCE)


def _latest(run_dir: Path) -> float:
    """Return when a run with pairs last finished a stage, 0 for one without."""
    done = [folder / manifests.MANIFEST for folder in manifests.stage_folders(run_dir)]
    done = [path for path in done if path.is_file()]
    has_pairs = any(path.parent.name == "synthesize" for path in done)
    return max(path.stat().st_mtime for path in done) if has_pairs else 0.0


def copy_of(run_dir: Path) -> Path:
    """Return where the copy for a run lies; of a run elsewhere, by the name of its folder."""
    name = manifests.run_name(run_dir)
    return project_root() / "results" / "explore" / f"{run_dir.name if Path(name).is_absolute() else name}.ipynb"


def execute(run_dir: Path, given: dict[str, Any]) -> Path:
    """Execute the notebook for a run into its copy; an earlier one, which may hold notes, is kept as NAME.earlier.ipynb."""
    from isheep_lib.iterate import runner

    output = _free(run_dir)
    runner.execute(_source(), output, {"run": manifests.run_name(run_dir), **given})
    return output


def prepare(run_dir: Path, given: dict[str, Any]) -> Path:
    """Write the copy with its parameters alone, for a person who executes it; an earlier one is kept (`execute`)."""
    import papermill

    output = _free(run_dir)
    output.parent.mkdir(parents=True, exist_ok=True)
    parameters = {"run": manifests.run_name(run_dir), **given}
    papermill.execute_notebook(str(_source()), str(output), parameters, prepare_only=True, progress_bar=False)
    return output


def open_in_jupyter(notebook: Path) -> None:
    """Show a notebook in JupyterLab until the user ends it."""
    subprocess.run([sys.executable, "-m", "jupyterlab", str(notebook)], check=False)  # noqa: S603


def require_jupyter() -> None:
    """Refuse, before anything is written, to open what nothing here can open."""
    if find_spec("jupyterlab") is None:
        do = "pip install jupyterlab, and in the clone pip install -e '.[explore]'; without --open it is executed here"
        raise IsheepError("JupyterLab is not installed", where="isheep explore --open", do=do)


def _source() -> Path:
    return project_root() / "notebooks" / "explore.ipynb"


def _free(run_dir: Path) -> Path:
    output = copy_of(run_dir)
    if output.is_file():
        os.replace(output, output.with_suffix(".earlier.ipynb"))
    return output
