"""What of a run's record is exported: manifests, pairs, the base; checked before anything is written.

    found = read(run_dir, 2, data_only=False)     # found.rows, found.manifest("filter"), found.base

Covers reading and refusing. Does not cover what is written of it (`export.run`, `export.model_card`).
"""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from isheep_lib.errors import RecordError
from isheep_lib.models.embedded import EMBEDDED, Terms
from isheep_lib.record import manifests as record_manifests
from isheep_lib.record.manifests import all_manifests, differences, read_manifest, require_intact, stage_folder
from isheep_lib.record.rows import read_jsonl
from isheep_lib.record.stages import LEAVES
from isheep_lib.synthesize.extras.withheld import why_withheld

PREFERENCES = "pairs.jsonl"
STAGES = ("synthesize", "assess", "filter", "train")


@dataclass(frozen=True)
class Base:
    """The base model of a run."""

    name: str  # as the run's parameters have it
    digest: str  # of its folder, as the training recorded it
    repository: str = ""  # on the Hub, "" where it is not known
    revision: str = ""  # the commit, "" where the name has none
    licence: str = ""  # as the Hub writes it, "" where it is not known
    package: str = ""  # ships the weights; "" where none does
    terms: Terms | None = None  # of a licence that is no open one and holds for what is derived, too


def base_of(name: str, digest: str) -> Base:
    """Tell what is known of a base by its name."""
    if name.startswith("embedded:"):
        model = EMBEDDED[name.removeprefix("embedded:")]
        return Base(name, digest, model.repository, "", model.licence, model.package, model.terms)
    if re.fullmatch(r"[\w.-]+/[\w.-]+@[0-9a-f]{40}", name) and not Path(name).is_dir():
        repository, _, revision = name.partition("@")
        return Base(name, digest, repository, revision)
    return Base(name, digest)


@dataclass(frozen=True)
class Record:
    """What is known of the model and the pairs of one iteration."""

    run_dir: Path
    iteration: int
    manifests: dict[tuple[int, str], dict[str, Any]]  # of all finished stages up to k, by iteration and stage
    lineage: list[int]  # iterations whose trainings made M_k
    rows: list[dict[str, Any]]  # kept pairs
    preferences: list[dict[str, Any]]  # pairs of answers that it was trained on, none where it learned kept answers
    fates: dict[str, dict[str, Any]]  # what the training did with each pair, by id; none in a record that does not tell
    metrics: dict[int, dict[str, Any]]  # of M_k and M_0, where they were evaluated

    def manifest(self, stage: str, iteration: int = 0) -> dict[str, Any]:
        """Return a manifest, of this iteration by default."""
        return self.manifests[iteration or self.iteration, stage]

    @property
    def params(self) -> dict[str, Any]:
        """The parameters of the training."""
        return self.manifest("train")["parameters"]

    @property
    def method(self) -> str:
        """How it was trained; records from before there was a choice do not say it."""
        return self.params.get("method", "lora")

    @property
    def objective(self) -> str:
        """What the training minimised; records from before there was a choice do not say it."""
        return self.params.get("objective", "sft")

    @property
    def base(self) -> Base:
        """The base model."""
        return base_of(self.params["base_model"], self.manifest("train")["parts"]["model"]["base"])

    def weight_files(self, iteration: int) -> dict[str, str]:
        """Name what an iteration's training left of its model, with digests."""
        outputs = self.manifest("train", iteration)["outputs"]
        return {name: kept["sha256"] for name, kept in outputs.items() if name.startswith(("adapter/", "model/"))}


def read(run_dir: Path, iteration: int, data_only: bool) -> Record:
    """Read what is to be exported; every file that is read must be as recorded, the weights too unless only data are wanted.

    Raises:
        RecordError: no such run, nothing was trained, the pairs are not those trained on, files are absent or changed, or
            what was written must not leave the run.
    """
    _require_trained(run_dir, iteration)
    lineage = record_manifests.lineage(run_dir, iteration)
    for stage in STAGES:
        require_intact(stage_folder(run_dir, iteration, stage), [])
    found = {(m["iteration"], m["stage"]): m for _, m in all_manifests(run_dir) if m["iteration"] <= iteration}
    _require_free(run_dir, found)
    pairs, trained = (stage_folder(run_dir, iteration, stage) for stage in ("filter", "train"))
    _require_same_pairs(pairs, found[iteration, "filter"], found[iteration, "train"], iteration)
    learned = _learned_from(found[iteration, "train"], iteration)
    require_intact(pairs, ["kept.jsonl", learned])
    require_intact(trained, ["rows.jsonl"])
    fates = read_jsonl(trained / "rows.jsonl") if "rows.jsonl" in found[iteration, "train"]["outputs"] else []
    metrics = {}
    for k in sorted({0, iteration}):
        if (k, "evaluate") in found:
            folder = stage_folder(run_dir, k, "evaluate")
            require_intact(folder, ["metrics.json"])
            metrics[k] = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    by_id = {row["id"]: row for row in fates}
    preferences = read_jsonl(pairs / learned) if learned == PREFERENCES else []
    record = Record(run_dir, iteration, found, lineage, read_jsonl(pairs / "kept.jsonl"), preferences, by_id, metrics)
    if not data_only:
        _require_weights(record)
    return record


def makers(record: Record) -> dict[tuple[int, str], dict[str, Any]]:
    """Return the manifests of all stages that M_k and its pairs came from, evaluations left out."""
    return {key: manifest for key, manifest in record.manifests.items() if key[1] not in LEAVES}


def _require_free(run_dir: Path, found: dict[tuple[int, str], dict[str, Any]]) -> None:
    """Refuse a run of which any iteration so far wrote what must not be given to others."""
    written = [manifest["parameters"] for (_, stage), manifest in found.items() if stage == "synthesize"]
    if why := why_withheld(written):
        raise RecordError(
            f"This run is not exported: {why}",
            where=record_manifests.short(run_dir),
            allowed="runs whose tasks may be given to others, such as those of the default grid",
            do="keep the record where it is; it can be read and compared as any other",
        )


def _require_trained(run_dir: Path, iteration: int) -> None:
    record_manifests.require_run(run_dir)
    if iteration < 1:
        raise RecordError(
            f"Iteration {iteration} has no model of its own: nothing was trained yet",
            where=record_manifests.short(run_dir),
            allowed=_trained(run_dir),
            do="give a later iteration; the base model is where base_model in the params file says (isheep serve RUN 0)",
        )
    if read_manifest(stage_folder(run_dir, iteration, "train")) is None:
        do = f"run isheep iterate {iteration} first, or give another iteration"
        where = record_manifests.short(run_dir)
        raise RecordError(f"Iteration {iteration} is not trained yet", where=where, allowed=_trained(run_dir), do=do)


def _trained(run_dir: Path) -> str:
    return f"iterations that are trained: {', '.join(map(str, record_manifests.of_stage(run_dir, 'train'))) or 'none'}"


def _learned_from(trained: dict[str, Any], iteration: int) -> str:
    """Name the filter's file that a training read."""
    return PREFERENCES if f"iter-{iteration}/filter/{PREFERENCES}" in trained["parts"]["inputs"] else "kept.jsonl"


def _require_same_pairs(folder: Path, chosen: dict[str, Any], trained: dict[str, Any], iteration: int) -> None:
    """Refuse pairs that were chosen anew after the training."""
    name = _learned_from(trained, iteration)
    made = chosen["outputs"].get(name, {}).get("sha256")
    if made is None or made != trained["parts"]["inputs"].get(f"iter-{iteration}/filter/{name}"):
        raise RecordError(
            f"{name} is not what iteration {iteration} was trained on: it was filtered anew since",
            where=record_manifests.short(folder),
            do=f"make the training anew with isheep iterate {iteration} --stale redo, or restore the filter's folder",
        )


def _require_weights(record: Record) -> None:
    """Refuse weights that are absent, as in a committed record, or changed."""
    for k in record.lineage:
        folder = stage_folder(record.run_dir, k, "train")
        names = list(record.weight_files(k))
        bad = differences(folder, record.manifest("train", k), names)
        if any(difference.kind == record_manifests.ABSENT for difference in bad):
            raise RecordError(
                f"The weights of iteration {k} are not here; a committed record keeps only their digests",
                where=record_manifests.short(folder),
                do="export the data and the cards alone with --data-only, or train that iteration again",
            )
        require_intact(folder, names)
