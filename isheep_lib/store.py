"""The record on disk: where files lie, what a manifest says, whether the bytes still agree.

    results/<run>/iter-<k>/<stage>/manifest.json    written last; it alone means "done"

Covers paths, manifests, the run's parameters, its locks, and verification. Does not cover rows (`records`).
"""

import contextlib
import fcntl
import json
import os
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import yaml

from isheep_lib.errors import ParameterError, RecordError
from isheep_lib.params import SECTIONS, Section, is_execution
from isheep_lib.params_file import read_yaml
from isheep_lib.provenance import project_root
from isheep_lib.records import digest_file, write_atomic
from isheep_lib.stages import ORDER

MANIFEST, PENDING = "manifest.json", "manifest.pending.json"
# Weights are not committed with a reference record; their digests are.
WEIGHTS = (".safetensors",)


def run_folder(run: str) -> Path:
    """Find a run by name under `results/`, or by a path that begins with /, . or ~; it need not exist yet."""
    if run.startswith(("/", ".", "~")):
        return Path(run).expanduser().resolve()
    return project_root() / "results" / run.removeprefix("results/")


def find_file(name: str, parameter: str) -> Path:
    """Find a user's file from the current folder or from the clone's root."""
    path = Path(name).expanduser()
    for candidate in (path, project_root() / path):
        if candidate.is_file():
            return candidate.resolve()
    raise RecordError(f"{name} does not exist", where=parameter, do=f"give a path from here or from {project_root()}")


def short(path: Path) -> str:
    """Write a path from the clone's root where it lies inside, so that records name no machine."""
    root = project_root()
    return str(path.relative_to(root)) if path.is_relative_to(root) else str(path)


def stage_folder(run_dir: Path, iteration: int, stage: str) -> Path:
    """Return the folder of one stage of one iteration."""
    return run_dir / f"iter-{iteration}" / stage


def read_manifest(folder: Path, name: str = MANIFEST) -> dict[str, Any] | None:
    """Read a stage's manifest, None if the stage is not done."""
    path = folder / name
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except json.JSONDecodeError as error:
        raise RecordError(
            f"The manifest is not JSON ({error.msg})",
            where=str(path),
            do=f"it was changed by hand: restore it, or delete {folder} to run the stage again",
        ) from error


def write_manifest(folder: Path, manifest: dict[str, Any], name: str = MANIFEST) -> Path:
    """Write a manifest atomically, readable by people."""
    write_atomic(folder / name, json.dumps(manifest, indent=1, ensure_ascii=False, sort_keys=True) + "\n")
    return folder / name


def describe_file(path: Path) -> dict[str, Any]:
    """Return what a manifest keeps of an output."""
    return {"sha256": digest_file(path), "bytes": path.stat().st_size}


@dataclass(frozen=True)
class Difference:
    """One file that is not as its manifest says: `kind` is changed, missing or "not at hand"."""

    path: Path
    kind: str
    detail: str = ""


def differences(folder: Path, manifest: dict[str, Any], files: list[str] | None = None) -> list[Difference]:
    """Hash a stage's outputs again (the named ones, default all) and list what differs; absent weights are "not at hand"."""
    found = []
    for name, kept in sorted(manifest["outputs"].items()):
        if files is not None and name not in files:
            continue
        path = folder / name
        if not path.is_file():
            kind = "not at hand" if path.suffix in WEIGHTS else "missing"
            found.append(Difference(path, kind, f"{kept['bytes']} bytes, sha256 {kept['sha256'][:12]}…"))
        elif path.stat().st_size != kept["bytes"] or digest_file(path) != kept["sha256"]:
            size = path.stat().st_size
            found.append(Difference(path, "changed", f"{size} bytes, the manifest says {kept['bytes']}"))
    return found


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
    found = [folder for folder in run_dir.glob("iter-*/*/") if folder.name in ORDER and folder.parent.name[5:].isdecimal()]
    return sorted(found, key=lambda folder: (int(folder.parent.name[5:]), ORDER.index(folder.name)))


def all_manifests(run_dir: Path) -> list[tuple[Path, dict[str, Any]]]:
    """List the finished stages of a run, in the order of the work."""
    found = ((folder, read_manifest(folder)) for folder in stage_folders(run_dir))
    return [(folder, manifest) for folder, manifest in found if manifest is not None]


def lineage(run_dir: Path, iteration: int) -> list[int]:
    """List the iterations whose adapters, merged in this order, make M_k; [] is the base model.

    Raises:
        RecordError: the iteration, or one that it builds on, is not trained yet.
    """
    if not iteration:
        return []
    manifest = read_manifest(stage_folder(run_dir, iteration, "train"))
    if manifest is None:
        where = str(stage_folder(run_dir, iteration, "train"))
        raise RecordError(f"iter-{iteration}/train is not done", where=where, do="run train.ipynb for it first")
    return [*lineage(run_dir, manifest.get("starts_from", 0)), iteration]


def trained_on(run_dir: Path, iteration: int) -> dict[str, str]:
    """Name the row files that M_k was trained on, below the run's folder, with their digests; {} for the base model."""
    found: dict[str, str] = {}
    for k in lineage(run_dir, iteration):
        manifest = read_manifest(stage_folder(run_dir, k, "train")) or {"parts": {"inputs": {}}}
        found |= {name: digest for name, digest in manifest["parts"]["inputs"].items() if name.endswith(".jsonl")}
    return found


def params_path(run_dir: Path) -> Path:
    """Return the file that says what a run is."""
    return run_dir / "params.yaml"


def run_params(run_dir: Path) -> dict[str, Any]:
    """Read what a run is, {} before its first stage."""
    path = params_path(run_dir)
    if not path.is_file():
        return {}
    return read_yaml(path)[0]


def complete_params(run_dir: Path, kind: type[Section], values: dict[str, Any], stage: str) -> dict[str, Any]:
    """Take from the run, when it exists, every value of a stage that was left at its default."""
    known = run_params(run_dir)
    flat = {"seed": known.get("seed", values["seed"]), **known.get("model", {}), **known.get(stage, {})}
    untouched = {n for n, v in values.items() if v == kind.model_fields[n].default and n not in ("run", "iteration")}
    return {name: flat.get(name, value) if name in untouched else value for name, value in values.items()}


def as_sections(kind: type[Section], values: dict[str, Any], stage: str) -> dict[str, Any]:
    """Sort flat stage parameters into the sections of a params file."""
    sections: dict[str, Any] = {"seed": values["seed"]}
    for name in ("model", stage):
        fields = [n for n in SECTIONS[name].model_fields if n in kind.model_fields]
        if fields:
            sections[name] = {field: values[field] for field in fields}
    return sections


def check_params(run_dir: Path, values: dict[str, Any], free: tuple[str, ...] = ()) -> None:
    """Refuse values that differ from what a run already is.

    Args:
        run_dir: the run's folder.
        values: `seed` and sections, as in a params file.
        free: sections that may change: no other stage depends on them.

    Raises:
        ParameterError: a value that changes results differs; all of them are listed.
    """
    known = _flatten(run_params(run_dir))
    changed = [
        f"{name}: the run has {known[name]!r}, now {value!r}"
        for name, value in _flatten(values).items()
        if name in known and known[name] != value and not _execution(name) and name.split(".")[0] not in free
    ]
    if changed:
        raise ParameterError(
            "These parameters differ from those of the run:\n  " + "\n  ".join(changed),
            where=short(params_path(run_dir)),
            do="give the run's own values, or another name for a new run (-p run NAME)",
        )


def claim_params(run_dir: Path, values: dict[str, Any], free: tuple[str, ...] = ()) -> None:
    """Check values (`check_params`) and make them the run's own; sections not named stay as they are."""
    check_params(run_dir, values, free)
    known = run_params(run_dir)
    merged = {**known, **{n: {**known.get(n, {}), **v} if isinstance(v, dict) else v for n, v in values.items()}}
    if merged != known:
        text = yaml.safe_dump(merged, sort_keys=False, allow_unicode=True)
        write_atomic(params_path(run_dir), "# What this run is; written by the run.\n" + text)


def _flatten(values: dict[str, Any]) -> dict[str, Any]:
    flat = {}
    for name, value in values.items():
        flat |= {f"{name}.{inner}": v for inner, v in value.items()} if isinstance(value, dict) else {name: value}
    return flat


def _execution(name: str) -> bool:
    section, _, field = name.rpartition(".")
    return bool(section) and field in SECTIONS[section].model_fields and is_execution(SECTIONS[section], field)


class RunLock:
    """Holds a run for one process, or for the workers that fill shards of it; whoever else starts is refused."""

    def __init__(self, run_dir: Path, shard: str = "", *, patience: float = 1.0) -> None:
        """Take the lock.

        Args:
            run_dir: the run's folder.
            shard: names a worker's shard, which shares the run with other workers; "" takes the run alone.
            patience: seconds to wait for a holder that only looks or is just leaving.

        Raises:
            RecordError: another live process holds the run, or workers do.
        """
        run_dir.mkdir(parents=True, exist_ok=True)
        self._file: TextIO = open(run_dir / ".lock", "a+", encoding="utf-8")  # noqa: SIM115 - held until release()
        deadline = time.monotonic() + patience
        while not _flock(self._file, fcntl.LOCK_SH if shard else fcntl.LOCK_EX):
            if time.monotonic() >= deadline:
                raise self._refusal(run_dir, shard)
            time.sleep(0.1)
        if not shard:
            self._file.truncate(0)
        # Workers that start together each append one line, so the last line names a holder or one that has just left.
        self._file.write(f"{shard + ', ' if shard else ''}process {os.getpid()} on {socket.gethostname()}\n")
        self._file.flush()

    def _refusal(self, run_dir: Path, shard: str) -> RecordError:
        self._file.seek(0)
        holder = (self._file.read().split("\n")[:-1] or ["unknown"])[-1]
        self._file.close()
        if holder.startswith("shard") and not shard:
            said = f"The run is being filled by workers (the last to start: {holder})"
            return RecordError(said, where=str(run_dir), do="wait for them to end, or choose another name (-p run NAME)")
        return RecordError(
            f"The run is being written by another process ({holder})",
            where=str(run_dir),
            do="wait for it to end, or choose another name (-p run NAME)",
        )

    def is_last(self) -> bool:
        """Tell a leaving worker whether nobody else holds the run; it holds the run alone then."""
        return _flock(self._file, fcntl.LOCK_EX)

    def release(self) -> None:
        """Let the run go."""
        self._file.close()


def _flock(file: TextIO, kind: int) -> bool:
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def is_held(run_dir: Path) -> bool:
    """Tell whether a live process holds a run, without changing anything."""
    path = run_dir / ".lock"
    if not path.is_file():
        return False
    # A network disk gives an exclusive lock only to a file that is open for writing.
    with open(path, "r+" if os.access(path, os.W_OK) else "r", encoding="utf-8") as file:
        return not _flock(file, fcntl.LOCK_EX)


@contextlib.contextmanager
def turn(run_dir: Path) -> Iterator[None]:
    """Let the workers of one run take turns where they write the same files: its parameters, a stage's record."""
    run_dir.mkdir(parents=True, exist_ok=True)
    with open(run_dir / ".turn", "a", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
