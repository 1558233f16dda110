"""A run's inventory: every file of its record with its digest, and one root digest over all of them.

    results/<run>/record.json    {"files": {"params.yaml": {"bytes": 4096, "sha256": "3f…"}, …}, "root": "9a…", …}

It is renewed after every stage, from the manifests, so large files are hashed once. The root covers `params.yaml` and all
that stages recorded. The executed `iterate.ipynb`, which quotes the root, stands beside it with its own digest.
Covers writing and reading it. Does not cover comparing it with the disk (`record.verification`).
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from isheep_lib.errors import RecordError
from isheep_lib.params.run_file import params_path
from isheep_lib.record import manifests
from isheep_lib.record.fixity.sealed import Described, Shape, read_sealed, shaped, write_sealed
from isheep_lib.record.rows import canonical_json, digest_text
from isheep_lib.server_key import struck

INVENTORY, SIGNATURE = "record.json", "record.json.sig"
MEND = f"restore what isheep verify names; or, to take what is there as the record, delete {INVENTORY} and run again"


class _Sheet(Shape):
    files: dict[str, Described]
    notebooks: dict[str, Described]
    root: str


@dataclass(frozen=True)
class Inventory:
    """Files below a run's folder by name, and notebooks that sum the run up; each with digest and bytes."""

    files: dict[str, dict[str, Any]]
    notebooks: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def root(self) -> str:
        """The SHA-256 of the sorted names, sizes and digests of all files."""
        return digest_text(canonical_json(self.files))

    def covers(self, folder: str) -> bool:
        """Tell whether it holds a stage, named iter-<k>/<stage>."""
        return f"{folder}/{manifests.MANIFEST}" in self.files


def read(run_dir: Path) -> Inventory | None:
    """Read a run's inventory, None where there is none; a damaged one is a RecordError."""
    path = run_dir / INVENTORY
    found = read_sealed(path, f"The inventory {INVENTORY}", MEND)
    if found is None:
        return None
    values, has_digest = found
    try:
        sheet = shaped(_Sheet, values)
    except ValueError as error:
        raise RecordError(f"{INVENTORY} does not hold what inventories do: {error}", where=str(path), do=MEND) from error
    known = Inventory(values["files"], values["notebooks"])
    if not has_digest or sheet.root != known.root:
        raise RecordError(f"{INVENTORY} contradicts itself: its root does not follow", where=str(path), do=MEND)
    return known


def root_of(run_dir: Path) -> str:
    """Return a run's root digest, "" where it has no inventory that holds."""
    try:
        known = read(run_dir)
    except RecordError:
        return ""
    return known.root if known else ""


def collect(run_dir: Path) -> Inventory:
    """List what the record of a run consists of: its parameters, the manifests, and the outputs as these describe them."""
    params = params_path(run_dir)
    files = {params.name: manifests.describe_file(params)} if params.is_file() else {}
    for folder, manifest in manifests.all_manifests(run_dir):
        name = folder.relative_to(run_dir).as_posix()
        files[f"{name}/{manifests.MANIFEST}"] = manifests.describe_file(folder / manifests.MANIFEST)
        files |= {f"{name}/{output}": kept for output, kept in manifest["outputs"].items()}
    return Inventory(files)


def renew(run_dir: Path, *made: str) -> str:
    """Bring the inventory up to what the run has now, unless something else than what was just made differs from it.

    Args:
        made: files, or stages as iter-<k>/<stage>, that were just written.

    Returns:
        Why it was left as it is, "" if it is up to date.
    """
    try:
        known, now = read(run_dir), collect(run_dir)
    except RecordError as error:
        return f"{INVENTORY} is left as it is: {error.what}"
    if set(now.files) <= {params_path(run_dir).name}:  # no stage is recorded yet
        return ""
    if known:
        other = [name for name, kept in known.files.items() if now.files.get(name) != kept and not _within(name, made)]
        if other:
            return f"{INVENTORY} is left as it is, for these are not as it says: {', '.join(sorted(other)[:5])}. To do: {MEND}"
        now.notebooks.update(known.notebooks)
    for name in [name for name, kept in now.notebooks.items() if manifests.difference(run_dir / name, kept)]:
        del now.notebooks[name]  # it is being written anew
    now.notebooks.update({name: manifests.describe_file(run_dir / name) for name in made if name.endswith(".ipynb")})
    if now != known:
        _write(run_dir, now)
    return ""


def announce(run_dir: Path, name: str, text: str) -> None:
    """Put into the inventory what a file is about to become, if all else fits: a kill in between, and the same write mends it.

    Otherwise nothing is done: what somebody changed by hand is not made a part of the record with it.
    """
    known = None if renew(run_dir) else read(run_dir)
    if known:
        text = struck(text)  # as its writer does
        described = {"sha256": digest_text(text), "bytes": len(text.encode())}
        _write(run_dir, Inventory(known.files | {name: described}, known.notebooks))


def _write(run_dir: Path, now: Inventory) -> None:
    write_sealed(run_dir / INVENTORY, {"schema": 1, "files": now.files, "notebooks": now.notebooks, "root": now.root})


def _within(name: str, made: tuple[str, ...]) -> bool:
    return any(name == one or name.startswith(f"{one}/") for one in made)
