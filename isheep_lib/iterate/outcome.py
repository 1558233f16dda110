"""What bringing a run to an iteration came to: stages that ran, were taken from another run, or were done before.

    before = finished(run_dir, steps)
    ...
    told(before, finished(run_dir, steps))      # "2 stage(s) ran: iter-1/filter, iter-1/train; 4 were done before."

Covers telling, from manifests alone, so that the notebook and the command say the same. Does not cover the work
(`iterate.chain`).
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from isheep_lib.record.manifests import read_manifest, stage_folder
from isheep_lib.record.reuse import taken

Finished = Mapping[str, dict[str, Any]]  # manifests by the name of the stage


def finished(run_dir: Path, steps: Sequence[tuple[int, str]]) -> Finished:
    """Read the manifests of the steps that are done."""
    found = {f"iter-{k}/{stage}": read_manifest(stage_folder(run_dir, k, stage)) for k, stage in steps}
    return {name: manifest for name, manifest in found.items() if manifest is not None}


def told(before: Finished, after: Finished) -> str:
    """Say in a sentence what became of every step."""
    new = {name: manifest for name, manifest in after.items() if before.get(name) != manifest}
    ran = [name for name, manifest in new.items() if "shared_from" not in manifest]
    others = taken(new.values())
    if not new:
        return f"Nothing was to do: all {len(after)} stages were done before."
    parts = [f"{len(ran)} stage(s) ran: {', '.join(ran)}"] if ran else ["no stage ran"]
    parts += [others] if others else []
    parts += [f"{len(after) - len(new)} were done before"] if len(after) > len(new) else []
    return "; ".join(parts) + "."
