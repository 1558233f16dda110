"""A run's own `params.yaml`: where it lies and what it holds."""

import contextlib
import json
from pathlib import Path
from typing import Any

from isheep_lib.params.old_names import renew_file, settled
from isheep_lib.params.yaml_file import read_yaml

LEFT_OPEN = ("dtype", "inference_dtype")  # names of the section model that could be auto, and now say what they were


def params_path(run_dir: Path) -> Path:
    """Return the file that says what a run is."""
    return run_dir / "params.yaml"


def run_params(run_dir: Path) -> dict[str, Any]:
    """Read what a run is under the names of today, {} before its first stage; scorers are named as its columns are."""
    path = params_path(run_dir)
    if not path.is_file():
        return {}
    values = read_yaml(path)[0]
    model = values.get("model")
    if isinstance(model, dict) and (left_open := {name for name in LEFT_OPEN if model.get(name) == "auto"}):
        values = values | {"model": model | {name: value for name, value in _settled(run_dir).items() if name in left_open}}
    return renew_file(values, scorers=False).values


def _settled(run_dir: Path) -> dict[str, Any]:
    """Read the parameters of a run's stages, which name what its params.yaml left open; a damaged manifest tells nothing."""
    found: dict[str, Any] = {}
    for path in sorted(run_dir.glob("iter-*/*/manifest.json")):
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
            found |= settled(json.loads(path.read_bytes()))
    return found
