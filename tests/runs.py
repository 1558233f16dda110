"""Whole runs of the tiny model, as a user starts them; imported by the tests that need one."""

import json
import subprocess
import sys
from pathlib import Path

BIN = Path(sys.executable).parent
PARAMS = "tests/smoke/tiny.yaml"


def command(run: Path, model: Path, iteration: int, *more: str) -> list[str]:
    override = f"model.base_model:{model}"
    return [
        str(BIN / "isheep"),
        "iterate",
        str(iteration),
        "--params",
        PARAMS,
        "--run",
        str(run),
        "--override",
        override,
        *more,
    ]


def call(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(arguments, cwd=root, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=600)


def digests(run: Path) -> dict[str, str]:
    """Collect what must be the same bytes: every output but the notebooks, which hold timings."""
    found = {}
    for path in run.glob("iter-*/*/manifest.json"):
        for name, kept in json.loads(path.read_text())["outputs"].items():
            if not name.endswith(".ipynb"):
                found[f"{path.parent.relative_to(run)}/{name}"] = kept["sha256"]
    return found
