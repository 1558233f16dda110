"""A run's own `params.yaml`: where it lies and what it holds."""

from pathlib import Path
from typing import Any

from isheep_lib.params.old_names import renew_file
from isheep_lib.params.yaml_file import read_yaml


def params_path(run_dir: Path) -> Path:
    """Return the file that says what a run is."""
    return run_dir / "params.yaml"


def run_params(run_dir: Path) -> dict[str, Any]:
    """Read what a run is under the names of today, {} before its first stage; scorers are named as its columns are."""
    path = params_path(run_dir)
    if not path.is_file():
        return {}
    return renew_file(read_yaml(path)[0], scorers=False).values
