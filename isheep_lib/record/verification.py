"""Whether a record is whole: every file hashes as recorded, every input follows from an output, every notebook ran to its end.

Covers looking. Does not cover executing anything again (`rerun`).
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from isheep_lib.errors import RecordError
from isheep_lib.record import manifests
from isheep_lib.record.fingerprints import fingerprint
from isheep_lib.record.manifests import ABSENT
from isheep_lib.record.rows import forget_digests


@dataclass(frozen=True)
class Verdict:
    """One line of a verification: what was looked at, and whether it holds; an absent weight breaks nothing, but is not ok."""

    item: str
    holds: bool
    detail: str
    absent: bool = False

    @property
    def word(self) -> str:
        """Say it in a word."""
        return ABSENT if self.absent else "ok" if self.holds else "FAIL"


def verify(run_dir: Path) -> list[Verdict]:
    """Hash everything a run recorded, or raise a RecordError where there is none; follow every input, check every notebook."""
    forget_digests()
    recorded = manifests.all_manifests(run_dir)
    if not recorded:
        raise RecordError("No finished stage here", where=str(run_dir), do="give a run's name under results, or its folder")
    made = {
        f"{folder.parent.name}/{folder.name}/{name}": kept["sha256"]
        for folder, manifest in recorded
        for name, kept in manifest["outputs"].items()
    }
    found = []
    for folder, manifest in recorded:
        item = f"{folder.parent.name}/{folder.name}"
        differing = manifests.differences(folder, manifest)
        found += [
            Verdict(f"{item}/{d.path.relative_to(folder)}", d.kind == ABSENT, f"{d.kind}: {d.detail}", d.kind == ABSENT)
            for d in differing
        ]
        found += [Verdict(item, False, text) for text in _broken_links(manifest, made)]
        notebook = folder / f"{manifest['stage']}.ipynb"
        if notebook.name in manifest["outputs"] and notebook.is_file():
            found += [Verdict(f"{item}/{notebook.name}", False, text) for text in verify_notebook(notebook)]
        elif notebook.name not in manifest["outputs"]:
            found.append(Verdict(item, True, "run by hand: its notebook is not part of the record"))
        whole = len(manifest["outputs"]) - len(differing)
        found.append(Verdict(item, True, f"{whole} of {len(manifest['outputs'])} files hash as recorded"))
    return found


def verify_notebook(path: Path) -> list[str]:
    """Name what keeps an executed notebook from being a complete record: unrun, failed or disordered cells."""
    try:
        book = json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise RecordError(f"The executed notebook is not JSON ({error.msg})", where=str(path)) from error
    cells = [cell for cell in book["cells"] if cell["cell_type"] == "code" and "".join(cell["source"]).strip()]
    counts = [cell["execution_count"] for cell in cells]
    problems = [] if counts == list(range(1, len(cells) + 1)) else [f"cells ran in the order {counts}"]
    failed = [cell["id"] for cell in cells if any(out["output_type"] == "error" for out in cell["outputs"])]
    return problems + ([f"failed cells: {', '.join(failed)}"] if failed else [])


def _broken_links(manifest: dict[str, Any], made: dict[str, str]) -> list[str]:
    problems = []
    if fingerprint(manifest["parts"]) != manifest["fingerprint"]:
        problems.append("the fingerprint does not follow from its parts: the manifest was edited")
    for name, digest in manifest["parts"]["inputs"].items():
        if name.startswith("iter-") and made.get(name) != digest:  # seeds and benchmarks are no stage's
            problems.append(f"its input {name} is {'not what that stage recorded' if name in made else 'not recorded here'}")
    counts = manifest["counts"]
    if counts["in"] != counts["kept"] + sum(counts["dropped"].values()):
        problems.append(f"counts do not add up: {counts}")
    return problems
