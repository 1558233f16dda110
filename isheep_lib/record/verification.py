"""Whether a record is whole: every byte as recorded, every input an output, every notebook run to its end, nothing added.

A record is what stages recorded, `params.yaml`, the executed notebook of the run, and the sheets that name them: manifests and
`record.json`. No part of it: what begins with a dot (locks, unfinished work), failed notebooks, what a stage that is not
finished has written, and the folders `report`, `export` and `check`, which are made from it.
Covers looking. Does not cover executing anything again (`rerun`).
"""

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any

from pydantic import ValidationError

from isheep_lib.errors import RecordError
from isheep_lib.params.run_file import params_path
from isheep_lib.reading import files as reading
from isheep_lib.record import locks, manifests
from isheep_lib.record.fingerprints import fingerprint
from isheep_lib.record.fixity import inventory
from isheep_lib.record.fixity import signature as signing
from isheep_lib.record.fixity.sealed import Shape, shaped
from isheep_lib.record.manifests import ABSENT
from isheep_lib.record.rows import forget_digests, shown
from isheep_lib.record.stages import ORDER

GENERATED = ("report", "export", "check")
CHECKED = "check/check.json"  # what `isheep check` found last; see `rerun.check`
SUMMARY = "iterate.ipynb"
LOOKS = 3  # beside a live writer, whose files change between two looks
OK, FAIL, NONE = "ok", "FAIL", "none"


@dataclass(frozen=True)
class Verdict:
    """One line of a verification: what was looked at, and in a word how it is.

    An absent weight ("absent"), and a run that has finished nothing ("none"), break nothing, but are not "ok".
    """

    item: str
    word: str
    detail: str

    @property
    def holds(self) -> bool:
        """Whether nothing is other than it was recorded."""
        return self.word != FAIL


@dataclass
class _Seen:
    """What was found of a run: its verdicts, which files belong to a stage, and which stages are not finished."""

    verdicts: list[Verdict] = field(default_factory=list)
    known: set[str] = field(default_factory=set)
    recorded: set[str] = field(default_factory=set)
    unfinished: set[str] = field(default_factory=set)
    unread: set[str] = field(default_factory=set)  # stages whose manifest is damaged
    old: bool = True  # every manifest is of a time before they had digests

    def say(self, item: str, holds: bool, detail: str) -> None:
        self.verdicts.append(Verdict(shown(item), OK if holds else FAIL, shown(detail)))

    def differs(self, item: str, difference: manifests.Difference, detail: str) -> None:
        word = ABSENT if difference.kind == ABSENT else FAIL
        self.verdicts.append(Verdict(shown(item), word, shown(f"{difference.kind}: {detail}")))


def verify(folder: Path, signers: Path | None = None) -> list[Verdict]:
    """Hash everything that a run, or each run of a sweep, recorded; check inputs, notebooks and the signature; find additions.

    Args:
        signers: whose keys may have signed, see `record.fixity.signature`; then an unsigned run does not hold.

    Raises:
        RecordError: there is no record here.
    """
    if manifests.is_sweep(folder):
        runs = manifests.runs_in(folder)
        every = [(run.name, verdict) for run in runs for verdict in _of_sweep(run, signers)]
        sweep = f"a sweep of {len(runs)} run(s); its own notebook and tables are made from them, and no digest covers these"
        return [
            *(replace(verdict, item=f"{name}/{verdict.item}" if verdict.item else name) for name, verdict in every),
            Verdict(folder.name, OK, sweep),
        ]
    if not (folder / inventory.INVENTORY).exists():
        manifests.require_run(folder)
    seen = _look(folder)
    _signature(folder, signers, seen)
    return seen.verdicts


def _signature(folder: Path, signers: Path | None, seen: _Seen) -> None:
    """Check the signature of an inventory, where there is one or one is asked for."""
    item, found = inventory.SIGNATURE, reading.what_lies_at(folder / inventory.SIGNATURE)
    if found == reading.FILE and (signers or signing.at_hand()):
        seen.say(item, *signing.check(folder, signers))
    elif found == reading.FILE:
        seen.say(item, False, "cannot be checked: ssh-keygen is not installed")
    elif found != reading.ABSENT:
        seen.say(item, False, f"is {found}, and no signature")
    elif signers:
        seen.say(item, False, "missing: nobody has signed this record")


def _of_sweep(run_dir: Path, signers: Path | None) -> list[Verdict]:
    begun = any((folder / manifests.MANIFEST).exists() for folder in manifests.stage_folders(run_dir))
    if begun or (run_dir / inventory.INVENTORY).exists():
        return verify(run_dir, signers)
    return [Verdict("", NONE, "no stage is finished yet")]


def _look(run_dir: Path) -> _Seen:
    forget_digests()
    for _ in range(LOOKS):
        seen = _stages(run_dir)
        _inventory(run_dir, seen)
        _additions(run_dir, seen)
        if all(verdict.holds for verdict in seen.verdicts) or not locks.is_held(run_dir):
            break
        time.sleep(0.3)
    else:
        seen.say(run_dir.name, True, "the run is being written by another process: look again when that has ended")
    return seen


def require_whole(run_dir: Path) -> None:
    """Refuse, as a RecordError, a run that is not in every file as it was recorded, or has no inventory."""
    bad = [verdict for verdict in _look(run_dir).verdicts if not verdict.holds]
    if bad:
        listed = "\n  ".join(f"{verdict.item}: {verdict.detail}" for verdict in bad[:20])
        what, do = f"{len(bad)} thing(s) are not as they were recorded", "restore them first"
        raise RecordError(f"{what}:\n  {listed}", where=str(run_dir), do=do)
    if not inventory.root_of(run_dir):
        do = f"isheep iterate writes {inventory.INVENTORY} for it"
        raise RecordError(f"The run has no {inventory.INVENTORY}", where=str(run_dir), do=do)


def verify_stages(run_dir: Path) -> list[Verdict]:
    """Do of `verify` what concerns finished stages, one by one."""
    forget_digests()
    return _stages(run_dir).verdicts


def _stages(run_dir: Path) -> _Seen:
    seen, read, made = _Seen(), {}, {}
    for folder in manifests.stage_folders(run_dir):
        name = folder.relative_to(run_dir).as_posix()
        try:
            manifest = manifests.read_manifest(folder)
            if manifest is None:
                seen.unfinished.add(name)
                continue
            shaped(manifests.Manifest, manifest)
            read[name] = manifest
            seen.recorded.add(name)
            seen.old = seen.old and manifest.get("schema") == 1
        except (RecordError, ValueError) as error:
            why = error.what if isinstance(error, RecordError) else f"does not hold what manifests do: {error}"
            seen.say(f"{name}/{manifests.MANIFEST}", False, why)
            seen.unread.add(name)
    seen.recorded |= seen.unread
    if not seen.recorded and not (run_dir / inventory.INVENTORY).exists():
        raise RecordError("No finished stage here", where=str(run_dir), do="give a run's name under results, or its folder")
    for name, manifest in read.items():
        made |= {f"{name}/{output}": kept["sha256"] for output, kept in manifest["outputs"].items()}
    seen.known |= {*made, *(f"{name}/{manifests.MANIFEST}" for name in seen.recorded)}
    for name, manifest in read.items():
        _stage(run_dir / name, name, manifest, made, seen)
    return seen


def _stage(folder: Path, item: str, manifest: dict[str, Any], made: dict[str, str], seen: _Seen) -> None:
    outputs = manifest["outputs"]
    outside = [name for name in outputs if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts]
    for name in outside:
        seen.say(f"{item}/{manifests.MANIFEST}", False, f"names a file outside of its folder: {name}")
    differing = manifests.differences(folder, manifest, [name for name in outputs if name not in outside])
    for found in differing:
        path = found.path.relative_to(folder).as_posix()
        seen.differs(f"{item}/{path}", found, found.detail)
    if (stage := f"iter-{manifest['iteration']}/{manifest['stage']}") != item:
        seen.say(item, False, f"its manifest is that of {stage}")
    for text in _broken_links(manifest, made):
        seen.say(item, False, text)
    notebook = folder / f"{folder.name}.ipynb"
    if notebook.name not in outputs:
        seen.say(item, True, "run by hand: its notebook is not part of the record")
        seen.known.add(f"{item}/{notebook.name}")
    elif notebook.is_file() and notebook not in {found.path for found in differing}:
        for text in verify_notebook(notebook):
            seen.say(f"{item}/{notebook.name}", False, text)
    seen.say(item, True, f"{len(outputs) - len(differing)} of {len(outputs)} files hash as recorded")


def _inventory(run_dir: Path, seen: _Seen) -> None:
    """Compare the run's inventory with what is there."""
    item = inventory.INVENTORY
    try:
        sheet = inventory.read(run_dir)
    except RecordError as error:
        seen.say(item, False, error.what)
        return
    if sheet is None:
        old = "none, from before there were inventories: no digest covers manifests, params.yaml and iterate.ipynb"
        lost = "missing: deleted, or the run was interrupted; the next isheep iterate writes it"
        seen.say(item, seen.old, old if seen.old else lost)
        return
    reported = {verdict.item for verdict in seen.verdicts}
    if SUMMARY in sheet.notebooks and not manifests.difference(run_dir / SUMMARY, sheet.notebooks[SUMMARY]):
        for text in verify_notebook(run_dir / SUMMARY):
            seen.say(SUMMARY, False, text)
    listed = sheet.files | sheet.notebooks
    for name in sorted(listed):
        found = manifests.difference(run_dir / name, listed[name])
        if found and shown(name) not in reported:
            seen.differs(name, found, found.detail.replace("the manifest", item))
    for name in sorted(seen.recorded):
        if not sheet.covers(name):
            seen.say(name, False, f"not in {item}: added, or recorded as the run was interrupted; isheep iterate takes it in")
    for name in sorted(seen.known - set(listed) - {f"{stage}/{manifests.MANIFEST}" for stage in seen.recorded}):
        if sheet.covers("/".join(name.split("/")[:2])) and not name.endswith(".ipynb"):
            seen.say(name, False, f"{item} does not name it")
    seen.known |= set(listed)
    seen.unread.clear()  # the inventory knows their files
    upto = max((int(name.split("/")[0][5:]) for name in sheet.files if name.startswith("iter-")), default=0)
    seen.say(item, True, f"covers {len(listed)} files up to iteration {upto}; root sha256 {sheet.root}")


def _additions(run_dir: Path, seen: _Seen) -> None:
    """Name files that belong to no record, and links, whose target may change without it."""
    named = {params_path(run_dir).name, inventory.INVENTORY, inventory.SIGNATURE, *seen.known}
    unfinished: dict[str, int] = {}
    for name in _files(run_dir, seen):
        stage = "/".join(name.split("/")[:2])
        if (run_dir / name).is_symlink():
            seen.say(name, False, "is a link: a record consists of files")
        elif name in named or stage in seen.unread:
            continue
        elif stage in seen.unfinished:
            unfinished[stage] = unfinished.get(stage, 0) + 1
        elif name == SUMMARY:
            seen.say(name, True, f"not covered by {inventory.INVENTORY}: run by hand, or before there was one")
        else:
            seen.say(name, False, "added: no part of the record names it")
    for stage, number in unfinished.items():
        seen.say(stage, True, f"not finished: {number} file(s) of unfinished work, no part of the record")


def _files(run_dir: Path, seen: _Seen) -> Iterator[str]:
    """List what lies in a run's folder and could be a part of its record: files, and links to folders."""

    def unreadable(error: OSError) -> None:
        seen.say(str(error.filename), False, f"cannot be read: {error.strerror}")

    for place, folders, files in os.walk(run_dir, onerror=unreadable):
        at = Path(place)
        top = at == run_dir
        inner = sorted(name for name in folders if not name.startswith(".") and not (top and name in GENERATED))
        links = [name for name in inner if (at / name).is_symlink()]
        folders[:] = [name for name in inner if name not in links]
        for name in sorted([*files, *links]):
            found = (at / name).relative_to(run_dir).as_posix()
            if not name.startswith(".") and not _is_of_a_try(found):
                yield found


def _is_of_a_try(name: str) -> bool:
    """Tell whether a file is what a try leaves that failed or was killed: a run's or a stage's, where these leave it."""
    *folders, file = name.split("/")
    tried = len(folders) == 2 and folders[1] in ORDER
    return name == "iterate.failed.ipynb" or (tried and file in (manifests.PENDING, f"{folders[1]}.failed.ipynb"))


class _Output(Shape):
    output_type: str


class _Cell(Shape):
    cell_type: str
    source: str | list[str]
    id: str = "?"
    execution_count: int | None = None
    outputs: tuple[_Output, ...] = ()


class _Notebook(Shape):
    cells: list[_Cell]


def verify_notebook(path: Path) -> list[str]:
    """Name what keeps an executed notebook from being a complete record: unrun, failed or disordered cells."""
    try:
        book = _Notebook.model_validate_json(path.read_bytes())
    except ValidationError as error:
        return [f"is no executed notebook: {error.errors()[0]['msg']}"]
    except OSError as error:
        return [f"cannot be read: {error.strerror}"]
    cells = [cell for cell in book.cells if cell.cell_type == "code" and "".join(cell.source).strip()]
    counts = [cell.execution_count for cell in cells]
    problems = [] if counts == list(range(1, len(cells) + 1)) else [f"cells ran in the order {counts}"]
    failed = [cell.id for cell in cells if any(out.output_type == "error" for out in cell.outputs)]
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
