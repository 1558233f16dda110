"""A run's own `params.yaml`: where it lies and what it holds."""

from pathlib import Path
from typing import Any

from isheep_lib.params.yaml_file import read_yaml


def params_path(run_dir: Path) -> Path:
    """Return the file that says what a run is."""
    return run_dir / "params.yaml"


def run_params(run_dir: Path) -> dict[str, Any]:
    """Read what a run is, {} before its first stage."""
    path = params_path(run_dir)
    if not path.is_file():
        return {}
    return read_yaml(path)[0]
