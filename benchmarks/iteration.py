"""Prints what one default iteration costs: minutes, memory, and the share spent outside the work itself.

`python benchmarks/iteration.py [RUN]` reads a finished run (default: the committed reference); it runs nothing but a
second iterate on that run, which must find everything done. It asserts nothing: times belong to a machine.
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import nbformat

from isheep_lib.display.table import Table
from isheep_lib.record.manifests import all_manifests, differences, read_manifest, run_folder
from isheep_lib.record.provenance import project_root
from isheep_lib.record.stages import ORDER

# Cells in which the model, the trainer or the checkers work; everything else is kernel, imports, loading, showing.
WORK = {"example", "instructions", "responses", "scores", "check", "train", "answers", "batch", "parity"}


def work_seconds(notebook: Path) -> float:
    """Add up the working cells' durations as papermill recorded them."""
    cells = nbformat.read(notebook, as_version=4).cells
    return sum(cell.metadata["papermill"]["duration"] for cell in cells if cell.id in WORK)


def costs(run_dir: Path) -> list[dict]:
    """Return one row per iteration."""
    rows = []
    for folder in sorted(run_dir.glob("iter-*")):
        stages = [stage for stage in ORDER if read_manifest(folder / stage)]
        if len(stages) < len(ORDER):
            continue
        manifests = [read_manifest(folder / stage) for stage in stages]
        total = sum(m["notebook_seconds"] for m in manifests)
        work = sum(work_seconds(folder / stage / f"{stage}.ipynb") for stage in stages)
        tokens = sum(sum(m["tokens"].values()) for m in manifests)
        rows.append(
            {
                "iteration": folder.name,
                "minutes": round(total / 60, 2),
                "outside the work": f"{1 - work / total:.0%}",
                "peak memory (GB)": round(max(m["environment"]["peak_memory_mb"] for m in manifests) / 1024, 2),
                "tokens generated and trained": tokens,
                **{stage: f"{m['notebook_seconds']:.0f} s" for stage, m in zip(stages, manifests, strict=True)},
            }
        )
    return rows


def second_start(run_dir: Path, iterations: int) -> float:
    """Time an iterate that finds everything done; its notebook is thrown away, so the record stays as it is."""
    given = {"iteration": iterations, "params": run_dir / "params.yaml", "run": run_dir, "stale": "keep"}
    flags = [text for name, value in given.items() for text in ("-p", name, str(value))]
    papermill = str(Path(sys.executable).parent / "papermill")
    with tempfile.TemporaryDirectory() as folder:
        command = [papermill, str(project_root() / "notebooks" / "iterate.ipynb"), f"{folder}/iterate.ipynb", *flags]
        started = time.monotonic()
        subprocess.run(command, check=True, capture_output=True, stdin=subprocess.DEVNULL)
        return time.monotonic() - started


def main() -> None:
    """Print the tables."""
    run_dir = run_folder(sys.argv[1] if len(sys.argv) > 1 else "reference/smollm2-135m")
    rows = costs(run_dir)
    print(json.dumps(json.loads((run_dir / "iter-1/synthesize/manifest.json").read_text())["environment"], indent=1))
    print(Table(rows))
    if all(not d.kind for f, m in all_manifests(run_dir) for d in differences(f, m)):
        print(f"\na second iterate on the finished run: {second_start(run_dir, len(rows)):.1f} s")
    else:
        print(
            "\na second iterate was not timed: the run's weights are not at hand (a committed record); name a run of your own"
        )


if __name__ == "__main__":
    main()
