"""A record held against the model on this machine, without generating: `isheep check`.

    checked = check(run_folder("reference/smollm2-135m"), sample=200)

Every stage is executed once more in this process, answered from its own transcript: what it writes must be the record's
bytes, and what it was answered must be what the weights say (`engines.replay`). A training is repeated where that took
minutes. Each stage reads the record's own files, so one that does not hold says nothing about the next.
Covers planning, executing and the verdict of each stage. Does not cover generating anew (`rerun.run`).
"""

import contextlib
import io
import json
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from isheep_lib.engines.exact.verdict import EXPLAINED, NOT_CHECKED, NOT_EXPLAINED
from isheep_lib.engines.replay import Plan, answering_from
from isheep_lib.engines.transcript import TRANSCRIPT
from isheep_lib.errors import IsheepError, ModelError, RecordError
from isheep_lib.iterate import claims
from isheep_lib.iterate.run_params import SECTIONS, STAGE_PARAMS
from isheep_lib.models.base import find_model
from isheep_lib.params import run_file
from isheep_lib.record import folders
from isheep_lib.record.fixity import inventory
from isheep_lib.record.manifests import describe_file, read_manifest, short, stage_folder
from isheep_lib.record.progress import unseen
from isheep_lib.record.provenance import environment, project_root
from isheep_lib.record.rows import write_atomic
from isheep_lib.record.verification import CHECKED
from isheep_lib.rerun.cells import run_cells
from isheep_lib.rerun.file_diff import compare_file
from isheep_lib.rerun.noise import training_difference, vector_difference
from isheep_lib.rerun.notebook_diff import USUAL, Change
from isheep_lib.rerun.plan import Place, parameters_in, plan

LONGEST = 1200.0  # seconds; a training that took longer is not repeated


@dataclass(frozen=True)
class Checked:
    """What became of one stage."""

    iteration: int
    stage: str
    verdict: str
    why: str = ""  # in words, "" where all is as recorded
    files: int = 0  # outputs that came out as the record's bytes
    tokens: dict[str, Any] = field(default_factory=dict)  # see `token_check.hold`
    seconds: float = 0.0

    @property
    def name(self) -> str:
        """The stage as the record names it."""
        return f"iter-{self.iteration}/{self.stage}"

    def line(self) -> str:
        """Say it in a line."""
        said = [f"{self.files} files the same bytes"] if self.files else []
        if self.tokens.get("tokens"):
            said.append(f"{self.tokens['tokens']:,} tokens held against the weights, {self.tokens['same']:,} the same")
            said += [f"{self.tokens['explained']:,} within {self.tokens['number_format']}"] * bool(self.tokens["explained"])
        if scores := self.tokens.get("scores", {}).get("checked"):
            said.append(f"{scores:,} scores computed again")
        why = f" ({self.why})" if self.why else ""
        return f"{self.name}: {self.verdict}{why}: {', '.join(said) or 'nothing'}, {self.seconds:.1f} s"


def check(
    run_dir: Path,
    stages: Sequence[str] = (),
    iterations: Sequence[int] = (),
    sample: int = 0,
    tell: Callable[[Checked], Any] = lambda _: None,
) -> list[Checked]:
    """Check stages of a record, all of them where none is named, and leave what came out in its folder `check`.

    Args:
        sample: answers, and scores, that are held against the model, shared out among the stages; 0 is all. A sample repeats
            no training but one that `stages` names, so what used its model is checked only where the weights are at hand.
        tell: called with each stage as it is done.

    Raises:
        ParameterError, RecordError, ModelError: the choice or the record does not do, or weights are not at hand; nothing was
            computed then.
    """
    run_dir = run_dir.resolve()
    recorded, reads = plan(run_dir, stages, iterations)
    chosen = list(reads)
    _require_transcripts(run_dir, recorded, chosen)
    asking = sum(TRANSCRIPT in recorded[at]["outputs"] for at in chosen)
    share = -(-sample // max(1, asking))
    found = []
    with folders.temporary(Path(tempfile.gettempdir()), "isheep-check-") as place:
        work = place / "run"
        given = {at: parameters_in(at, recorded[at], work) for at in chosen}
        _require_weights(recorded, given)
        claims.claim_params(work, run_file.run_params(run_dir))
        for at in chosen:
            laid = {
                needed: _lay(stage_folder(run_dir, *needed), stage_folder(work, *needed), place / "made" / _name(needed))
                for needed in reads[at]
            }
            lacking = [f"the weights of iter-{k}/{stage}" for (k, stage), whole in laid.items() if not whole]
            why = f"{' and '.join(lacking)} are not at hand, and were not made here again" if lacking else ""
            if at[1] == "train" and not why:
                why = _why_not_trained(recorded[at], named=not sample or "train" in stages)
            done = Checked(*at, NOT_CHECKED, why) if why else _check(run_dir, place, at, recorded[at], given[at], share)
            found.append(done)
            tell(found[-1])
    _keep(run_dir, found, sample)
    return found


def _name(at: Place) -> str:
    return f"{at[0]}-{at[1]}"


def _require_transcripts(run_dir: Path, recorded: dict[Place, Any], chosen: Sequence[Place]) -> None:
    asked = [at for at in chosen if recorded[at].get("engine", {}).get("engine")]  # else only notes on a frame
    lacking = [at for at in asked if TRANSCRIPT not in recorded[at]["outputs"]]
    if lacking:
        named = ", ".join(f"iter-{k}/{stage}" for k, stage in lacking)
        raise RecordError(
            f"{len(lacking)} stage(s) were recorded without their tokens and seeds: {named}",
            where=short(run_dir),
            allowed=f"stages with a {TRANSCRIPT}, which are recorded since transcripts are kept",
            do="isheep rerun repeats them by generating; or choose others with --stage and --iteration",
        )


def _require_weights(recorded: dict[Place, Any], given: dict[Place, dict[str, Any]]) -> None:
    """Refuse a base model or teacher that is not at hand, or is not the recorded one (ModelError)."""
    for at, values in given.items():
        parts = recorded[at]["parts"]
        named = {"base model": ("base_model", parts.get("model", {}).get("base"))}
        named |= {"teacher": ("teacher", parts.get("teacher", {}).get("model"))}
        for role, (name, wanted) in named.items():
            if wanted and (found := find_model(values[name]).digest) != wanted:
                raise ModelError(
                    f"The {role} {values[name]} here is another model",
                    where=f"sha256 {found[:12]}, iter-{at[0]}/{at[1]} was recorded with {wanted[:12]}",
                    do="check with the weights of the record, or isheep rerun to see what these make of it",
                )


def _lay(source: Path, target: Path, made: Path) -> bool:
    """Put a recorded stage where the next one reads it, with weights made here where the record's own are absent.

    Returns:
        Whether all of its files are there.
    """
    manifest = read_manifest(source) or {"outputs": {}}
    for name, kept in manifest["outputs"].items():
        path = source / name
        if not path.is_file() and (made / name).is_file() and describe_file(made / name) == kept:
            path = made / name
        if path.is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target / name)
    shutil.copyfile(source / "manifest.json", target / "manifest.json")
    return all((target / name).is_file() for name in manifest["outputs"])


def _check(run_dir: Path, place: Path, at: Place, manifest: dict[str, Any], given: dict[str, Any], sample: int) -> Checked:
    began, work, recorded = time.monotonic(), place / "run", stage_folder(run_dir, *at)
    claims.claim_params(work, claims.as_sections(STAGE_PARAMS[at[1]], given, at[1]), tuple(SECTIONS))
    folder, replayed = stage_folder(work, *at), Plan(recorded)
    if folder.exists():  # laid there for a stage that read it
        shutil.rmtree(folder)
    try:
        quiet = io.StringIO()  # what cells show is in the record
        with answering_from(replayed), unseen(), contextlib.redirect_stdout(quiet):
            run_cells(project_root() / "notebooks" / f"{at[1]}.ipynb", given)
    except (IsheepError, AssertionError) as error:
        said = f"its notebook ends with {type(error).__name__}: {error}"
        return Checked(*at, NOT_EXPLAINED, said, seconds=time.monotonic() - began)
    try:
        found = replayed.hold(sample, f"iter-{at[0]}/{at[1]}")
    except ModelError as error:  # such as an architecture that leaves float64
        found = {"verdict": NOT_CHECKED, "why": str(error)}
    now = read_manifest(folder) or {"outputs": {}}
    changes = [change for name in manifest["outputs"] if (change := _compare(recorded, folder, name, manifest, now))]
    made = place / "made" / _name(at)
    made.parent.mkdir(exist_ok=True)
    shutil.move(folder, made)
    return _judged(at, manifest, found, changes, time.monotonic() - began)


def _why_not_trained(manifest: dict[str, Any], named: bool) -> str:
    """Say why a training is not repeated, "" where it is."""
    if manifest["seconds"] > LONGEST:
        return f"the training took {manifest['seconds'] / 60:.0f} minutes; isheep rerun repeats it"
    return "" if named else "a sample repeats no training that is not named"


def _compare(recorded: Path, folder: Path, name: str, manifest: dict[str, Any], now: dict[str, Any]) -> Change | None:
    """Compare one output; a notebook is no output of a check, and what a training wrote may differ as its format does."""
    if name.endswith(".ipynb"):
        return None
    change = compare_file(recorded / name, folder / name, manifest["outputs"].get(name), now["outputs"].get(name), USUAL)
    if change and manifest["stage"] == "train" and manifest["parameters"].get("numerics") != "exact":
        return training_difference(recorded / name, folder / name, change)
    if change and name.endswith(".npy") and manifest["parameters"].get("numerics") != "exact":
        return vector_difference(recorded / name, folder / name, change)
    return change


def _judged(at: Place, manifest: dict[str, Any], found: dict[str, Any], changes: list[Change], seconds: float) -> Checked:
    """Put the verdict on files and on tokens together."""
    number = sum(not name.endswith(".ipynb") for name in manifest["outputs"]) - len(changes)
    differing = [change for change in changes if change.decides]
    reasons = [f"{change.place} does not follow: {change.after or change.kind}" for change in differing]
    reasons += [found["why"]] if found.get("why") and found["verdict"] != EXPLAINED else []
    near = [f"{change.place} {change.kind}: {change.after}" for change in changes if not change.decides]
    verdict = NOT_EXPLAINED if differing else found.get("verdict", EXPLAINED)
    return Checked(*at, verdict, "; ".join(reasons or near), number, found, round(seconds, 1))


def summary(results: Sequence[Checked]) -> str:
    """Say the verdict on all stages in one line."""
    bad = [one.name for one in results if one.verdict == NOT_EXPLAINED]
    if bad:
        return f"NOT explained by the model on this machine: {', '.join(bad)}"
    left = [one.name for one in results if one.verdict == NOT_CHECKED]
    tokens = sum(one.tokens.get("tokens", 0) for one in results)
    rest = f"; not checked: {', '.join(left)}" if left else ""
    return f"Explained: {len(results) - len(left)} of {len(results)} stages, {tokens:,} tokens held against the weights{rest}"


def _keep(run_dir: Path, found: Sequence[Checked], sample: int) -> None:
    """Leave the result with the record, which a report shows; a record that cannot be written is checked all the same."""
    document = {
        "summary": summary(found),
        "sample": sample,
        "root": inventory.root_of(run_dir),
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "environment": environment(),
        "stages": [{**asdict(one), "line": one.line()} for one in found],
    }
    with contextlib.suppress(RecordError):
        write_atomic(run_dir / CHECKED, json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False) + "\n")
