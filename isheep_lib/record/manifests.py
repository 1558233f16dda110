"""The record on disk: where files lie, what a manifest says, whether the bytes still agree.

    results/<run>/iter-<k>/<stage>/manifest.json    written last; it alone means "done"

Covers paths, manifests, and what differs from them. Does not cover rows (`record.rows`) or the sheet of a whole run
(`record.fixity.inventory`).
"""

import contextlib
import difflib
import glob
import shlex
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field

from isheep_lib.errors import ParameterError, RecordError
from isheep_lib.params import run_file
from isheep_lib.params.names import ALLOWED, path_problem
from isheep_lib.record import provenance
from isheep_lib.record.fixity.sealed import Described, Shape, read_sealed, shaped, write_sealed
from isheep_lib.record.provenance import project_root
from isheep_lib.record.rows import digest_file, shown
from isheep_lib.record.stages import ORDER

MANIFEST, PENDING = "manifest.json", "manifest.pending.json"
# Weights are not committed with a reference record; their digests are.
WEIGHTS = (".safetensors",)
ABSENT = "absent"
ABSENCE = (  # what it means, and what can be done
    "Absent weights are known by their digests alone: a committed record holds none. What the run shows is whole, but these "
    "models cannot be asked, served or exported. isheep rerun RUN trains them again, in a place of its own."
)


def run_folder(run: str) -> Path:
    """Find a run by name under `results/`, or by a path that begins with /, . or ~; it need not exist yet.

    Raises:
        ParameterError: no folder can have this name (`params.names.path_problem`).
    """
    if problem := path_problem(run):
        raise ParameterError(f"The run's name {problem}", where=f"run {run:.200}", allowed=ALLOWED, do="give another name")
    if run.startswith(("/", ".", "~")):
        return Path(run).expanduser().resolve()
    return project_root() / "results" / run.removeprefix("results/")


def run_name(run_dir: Path) -> str:
    """Write a run's folder as commands take it: its name under `results/`, or its path."""
    results = project_root() / "results"
    return run_dir.relative_to(results).as_posix() if run_dir.is_relative_to(results) else str(run_dir)


def known_runs() -> list[str]:
    """Name all runs under `results/`, those of sweeps included."""
    results = project_root() / "results"
    return sorted(run_name(path.parent) for path in results.rglob(run_file.params_path(Path()).name))


def is_sweep(folder: Path) -> bool:
    """Tell whether a folder is that of a sweep, begun or done: its notebook lies there, whole or not."""
    return not run_file.params_path(folder).is_file() and any(folder.glob("*ablate*.ipynb"))


def runs_in(folder: Path) -> list[Path]:
    """List the runs that lie in a folder, such as those of a sweep."""
    return sorted(path.parent for path in folder.glob(f"*/{run_file.params_path(Path()).name}"))


def require_run(run_dir: Path) -> None:
    """Refuse, as a RecordError, what is no run: nothing at all, a sweep, or another folder of runs; runs at hand are named."""
    if run_file.params_path(run_dir).is_file() or stage_folders(run_dir):
        return
    name, inside = run_name(run_dir), [run_name(path) for path in runs_in(run_dir)]
    if is_sweep(run_dir):
        what, near = f"{name} is a sweep of {len(inside)} run(s), and this takes one run", inside
        do = f"give one of its runs; isheep status {shlex.quote(name)} shows all of them"
    elif inside:
        what, near, do = f"{name} is no run, but a folder of runs", inside, "give one of them"
    else:
        known = known_runs()
        near = difflib.get_close_matches(name, known, n=5, cutoff=0.3) or known[:5]
        what, do = "There is no such run", "give a name under results, or a path that begins with /, . or ~"
    raise RecordError(what, where=short(run_dir), allowed=", ".join(near), do=do)


def require_file(name: str, parameter: str) -> Path:
    """Find a user's file (`provenance.find_file`), or raise a RecordError that names the parameter."""
    path = provenance.find_file(name)
    if path is None:
        raise RecordError(
            f"{name} {provenance.why_no_file(name)}", where=parameter, do=f"give a path from here or from {project_root()}"
        )
    return path


def short(path: Path) -> str:
    """Write a path from the clone's root where it lies inside, so that records name no machine."""
    root = project_root()
    return str(path.relative_to(root)) if path.is_relative_to(root) else str(path)


def stage_folder(run_dir: Path, iteration: int, stage: str) -> Path:
    """Return the folder of one stage of one iteration."""
    return run_dir / f"iter-{iteration}" / stage


class _Parts(Shape):
    inputs: dict[str, str]


class _Counts(Shape):
    in_: int = Field(alias="in")
    kept: int
    dropped: dict[str, int]


class Manifest(Shape):
    """What every manifest of a stage holds."""

    stage: str
    iteration: int
    fingerprint: str
    parts: _Parts
    outputs: dict[str, Described]
    counts: _Counts
    tokens: dict[str, int]
    seconds: float


def read_manifest(folder: Path, name: str = MANIFEST) -> dict[str, Any] | None:
    """Read a stage's manifest, or another JSON document of its folder by name; None if there is none.

    Raises:
        RecordError: it is damaged, or was changed since it was written.
    """
    path, is_manifest = folder / name, name in (MANIFEST, PENDING)
    do = f"it was changed by hand: restore it, or delete {folder} to run the stage again"
    found = read_sealed(path, "The manifest" if is_manifest else name, do)
    if found is None:
        return None
    values, has_digest = found
    if is_manifest and not has_digest:  # before schema 2 they carried none
        if values.get("schema", 1) != 1:
            raise RecordError("The manifest lost the digest of itself", where=str(path), do=do)
        try:
            shaped(Manifest, values)
        except ValueError as error:
            raise RecordError(f"The manifest does not hold what manifests do: {error}", where=str(path), do=do) from error
    return values


def write_manifest(folder: Path, manifest: dict[str, Any], name: str = MANIFEST) -> Path:
    """Write a manifest atomically, readable by people, with a digest of itself."""
    return write_sealed(folder / name, manifest)


def describe_file(path: Path) -> dict[str, Any]:
    """Return what a manifest keeps of an output."""
    return {"sha256": digest_file(path), "bytes": path.stat().st_size}


def weights_state(folder: Path, manifest: dict[str, Any]) -> str:
    """Say whether the weights that a stage made are here: "here", "absent", or "" where it made none."""
    files = [folder / name for name in manifest["outputs"] if name.endswith(WEIGHTS)]
    return "" if not files else "here" if all(file.is_file() for file in files) else ABSENT


@dataclass(frozen=True)
class Difference:
    """One file that is not as its manifest says: `kind` is changed, missing or, for weights, absent."""

    path: Path
    kind: str
    detail: str = ""


def differences(folder: Path, manifest: dict[str, Any], files: list[str] | None = None) -> list[Difference]:
    """Hash a stage's outputs again (the named ones, default all) and list what differs; weights may be absent."""
    kept = sorted((name, value) for name, value in manifest["outputs"].items() if files is None or name in files)
    return [found for name, value in kept if (found := difference(folder / name, value))]


def difference(path: Path, kept: dict[str, Any]) -> Difference | None:
    """Compare a file with what was kept of it."""
    try:
        if not path.is_file():
            kind = ABSENT if path.suffix in WEIGHTS and not path.exists() else "missing"
            return Difference(path, kind, f"{kept['bytes']} bytes, sha256 {kept['sha256'][:12]}…")
        size = path.stat().st_size
        if size == kept["bytes"] and digest_file(path) == kept["sha256"]:
            return None
        other = "as the manifest says, but others" if size == kept["bytes"] else f"the manifest says {kept['bytes']}"
        return Difference(path, "changed", f"{size} bytes, {other}")
    except FileNotFoundError:  # taken away between two looks
        return Difference(path, "missing", f"{kept['bytes']} bytes, sha256 {kept['sha256'][:12]}…")
    except OSError as error:
        return Difference(path, "unreadable", error.strerror or str(error))


def require_intact(folder: Path, files: list[str] | None = None) -> dict[str, Any]:
    """Return the manifest of a finished stage whose named files (default all) hash as it says.

    Raises:
        RecordError: the stage is not done, or a file was edited, truncated or deleted.
    """
    manifest = read_manifest(folder)
    stage = f"{folder.parent.name}/{folder.name}"
    if manifest is None:
        raise RecordError(f"{stage} is not done", where=str(folder), do=f"run {folder.name}.ipynb for it first")
    bad = differences(folder, manifest, files)
    if bad:
        listed = "\n  ".join(f"{d.path.name}: {d.kind} ({d.detail})" for d in bad)
        raise RecordError(
            f"{len(bad)} file(s) of {stage} are not as they were recorded:\n  {listed}",
            where=str(folder),
            do="restore them, or delete this folder to run the stage again; isheep verify shows the whole run",
        )
    return manifest


def stage_folders(run_dir: Path) -> list[Path]:
    """List the stage folders of a run, begun or done, in the order of the work; other folders are not looked at."""
    # Path.glob would fail where a folder is taken away while it looks.
    listed = (run_dir / name for name in glob.glob("iter-*/*/", root_dir=run_dir))  # noqa: PTH207
    found = [folder for folder in listed if folder.name in ORDER and folder.parent.name[5:].isdecimal()]
    return sorted(found, key=lambda folder: (int(folder.parent.name[5:]), ORDER.index(folder.name)))


def all_manifests(run_dir: Path) -> list[tuple[Path, dict[str, Any]]]:
    """List the finished stages of a run, in the order of the work."""
    found = ((folder, read_manifest(folder)) for folder in stage_folders(run_dir))
    return [(folder, manifest) for folder, manifest in found if manifest is not None]


def of_stage(run_dir: Path, stage: str) -> dict[int, tuple[Path, dict[str, Any]]]:
    """Return folder and manifest of a stage by iteration, where it is finished."""
    return {m["iteration"]: (folder, m) for folder, m in all_manifests(run_dir) if m["stage"] == stage}


def lineage(run_dir: Path, iteration: int) -> list[int]:
    """List the iterations whose adapters, merged in this order, make M_k, none for the base; an untrained one is an error."""
    if not iteration:
        return []
    manifest = require_intact(stage_folder(run_dir, iteration, "train"), [])
    return [*lineage(run_dir, manifest.get("starts_from", 0)), iteration]


def trained_on(run_dir: Path, iteration: int) -> dict[str, str]:
    """Name the row files that M_k was trained on, below the run's folder, with their digests; {} for the base model."""
    found: dict[str, str] = {}
    for k in lineage(run_dir, iteration):
        manifest = require_intact(stage_folder(run_dir, k, "train"), [])
        found |= {name: digest for name, digest in manifest["parts"]["inputs"].items() if name.endswith(".jsonl")}
    return found


def made_on(run_dirs: Iterable[Path]) -> list[str]:
    """Say on which machines the stages of runs were made, and how this one differs, in a line for each machine."""
    machines: list[tuple[int, provenance.Environment]] = []
    for found in _environments(run_dirs):
        same = next((one for one in machines if not provenance.environment_changes(one[1], found)), None)
        if same:
            machines.remove(same)
        number, known = same or (0, {})
        machines.append((number + 1, provenance.merged(known, found)))
    here, lines = provenance.environment(), []
    for number, machine in machines:
        differs = provenance.environment_changes(machine, here) or "this machine is like it in all that both name"
        lines.append(shown(f"{number} stage(s) made on {provenance.machine_of(machine)}; {differs}"))
    return lines


def _environments(run_dirs: Iterable[Path]) -> Iterator[provenance.Environment]:
    for folder in (stage for run_dir in run_dirs for stage in stage_folders(run_dir)):
        with contextlib.suppress(RecordError):  # damaged: it says nothing
            found = (read_manifest(folder) or {}).get("environment")
            if isinstance(found, dict):
                yield found
