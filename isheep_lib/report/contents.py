"""What the pages of a run's report hold: facts, tables, figures, cells of notebooks, pairs by how they ended.

Covers reading a run and filling pages. Does not cover which pages there are or writing them (`report.pages`), what may
stand on a page (`report.notebook_html`), or words and looks (`page/`).
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from isheep_lib.display import evaluation_tables, judge_tables, stage_tables
from isheep_lib.display.table import Table
from isheep_lib.iterate import chain
from isheep_lib.iterate.grade import grade_of
from isheep_lib.params import run_file
from isheep_lib.record import verification
from isheep_lib.record.fixity.inventory import INVENTORY, root_of
from isheep_lib.record.manifests import ABSENCE, ABSENT, read_manifest, stage_folder, weights_state
from isheep_lib.record.reuse import taken
from isheep_lib.record.rows import read_jsonl
from isheep_lib.record.stages import ORDER, steps
from isheep_lib.report import languages, notebook_html
from isheep_lib.report.results import ABOVE, NOT_EVALUATED, or_why, results_of
from isheep_lib.synthesize.extras.withheld import why_withheld

NOT_BEGUN = "not done"
VERDICTS = {"ok": "holds", "FAIL": "DIFFERS"}
MAKING = ("synthesize", "assess", "filter")  # what makes, scores and chooses pairs


@dataclass(frozen=True)
class Stage:
    """One stage of a run, done or not; `page` is empty where nothing was begun."""

    iteration: int
    name: str
    state: str
    page: str
    folder: Path
    manifest: dict[str, Any]

    @property
    def weights(self) -> str:
        """Whether the weights that it made are here; see `manifests.weights_state`."""
        return weights_state(self.folder, self.manifest) if self.manifest else ""

    @property
    def notebook(self) -> Path | None:
        """Find the executed notebook, the failed one where the stage is not done."""
        path = self.folder / (f"{self.name}.ipynb" if self.manifest else f"{self.name}.failed.ipynb")
        return path if path.is_file() else None


@dataclass(frozen=True)
class Record:
    """What all pages know of a run: its stages, notebooks at its top by page, pages of notebooks by path.

    `withheld` says why no page shows what the model wrote as tasks, "" where pages do.
    """

    run_dir: Path
    params: dict[str, Any]
    stages: list[Stage]
    notebooks: dict[str, Path]
    links: dict[str, str]
    verdicts: list[verification.Verdict]
    withheld: str = ""

    @property
    def taken(self) -> str:
        """Say which stages were taken from which other run."""
        return taken(stage.manifest for stage in self.stages if stage.manifest)

    @property
    def iterations(self) -> dict[int, dict[str, Stage]]:
        """Return the stages by iteration and name."""
        numbers = dict.fromkeys(stage.iteration for stage in self.stages)
        return {k: {stage.name: stage for stage in self.stages if stage.iteration == k} for k in numbers}


@dataclass(frozen=True)
class Group:
    """Pairs or tasks that ended alike; `lacking` says why there are none to show."""

    name: str
    title: str
    rows: list[dict[str, Any]]
    lacking: str = ""


@dataclass(frozen=True)
class Section:
    """One section of the first page: a sentence, then tables and figures by what they show."""

    id: str
    title: str
    said: str
    parts: dict[str, Any]


def read_record(run_dir: Path) -> Record:
    """Read what all pages need to know of a run; every file is hashed.

    Raises:
        RecordError: there is no run, or no stage is finished.
    """
    states = {(row["iteration"], row["stage"]): row["state"] for row in chain.status(run_dir)}
    verdicts, params = verification.verify(run_dir), run_file.run_params(run_dir)
    judged = bool(params.get("judge", {}).get("judged"))
    planned = steps(max(iteration for iteration, _ in states), judged)
    found, links = [], {}
    for iteration, name in sorted({*planned, *states}, key=lambda step: (step[0], ORDER.index(step[1]))):
        state = states.get((iteration, name), NOT_BEGUN)
        page = "" if state == NOT_BEGUN else f"iter-{iteration}-{name}.html"
        folder = stage_folder(run_dir, iteration, name)
        found.append(Stage(iteration, name, state, page, folder, read_manifest(folder) or {}))
        links |= {f"iter-{iteration}/{name}/{name}.ipynb": page} if page else {}
    top = sorted(path for path in run_dir.glob("*.ipynb") if not path.name.startswith("."))
    notebooks = {f"notebook-{path.stem}.html": path for path in top}
    links |= {path.name: page for page, path in notebooks.items()}
    written = [stage.manifest.get("parameters", {}) for stage in found if stage.name == "synthesize"]
    withheld = why_withheld([params.get("synthesize", {}), *written])
    return Record(run_dir, params, found, notebooks, links, verdicts, withheld)


def index(record: Record) -> dict[str, Any]:
    """Collect what the first page shows of the whole run."""
    from isheep_lib.display import figures

    run_dir, evaluated = record.run_dir, evaluation_tables.metrics_of(record.run_dir)
    checked, judged = stage_tables.calibration_of(run_dir), judge_tables.recorded(run_dir)
    manifests = [stage.manifest for stage in record.stages if stage.manifest]
    judgements, drift, trust = {}, {}, {}
    verdict, said, results = results_of(run_dir, evaluated)
    if evaluated:
        drift = {
            "Warnings": evaluation_tables.warnings_table(evaluated),
            "Signs of a collapse over iterations": evaluation_tables.drift_table(evaluated),
            f"Signs of a collapse over iterations{ABOVE}": figures.drift_over_iterations(evaluated),
        }
    if judged:
        made = (judge_tables.win_table, judge_tables.mt_bench_table, judge_tables.bias_table)
        judgements = {f"What a judge said, table {n}": or_why(partial(make, judged)) for n, make in enumerate(made, start=1)}
    if checked:
        measures = f"AUROC, mean and saturation of each score over iterations{ABOVE}"
        trust = {
            "Trust in the scores": stage_tables.trust_table(run_dir),
            measures: figures.calibration_over_iterations(checked),
        }
    facts = {"What the run was made with": facts_table(manifests, record.params)}
    sections = [
        Section("results", "Results", said, results),
        Section("judged", "What a judge said", "", judgements),
        Section("drift", "Signs of a collapse", "" if drift else NOT_EVALUATED, drift),
        Section("trust", "Trust in the self-assessment", "" if trust else "No self-assessment is checked yet.", trust),
        Section("ledger", "The ledger of finished stages", "", {"Ledger": stage_tables.ledger(run_dir)}),
        _verification(record.verdicts, sum(len(manifest["outputs"]) for manifest in manifests)),
        *_checked(run_dir),
        Section("facts", "What the run was made with", "", facts | {"Every parameter": parameters_table(record.params)}),
    ]
    differences = sum(not verdict.holds for verdict in record.verdicts)
    shown = [one for one in sections if one.said or one.parts]
    return {"sections": shown, "differences": differences, "verdict": verdict}


def _verification(verdicts: list[chain.Verdict], files: int) -> Section:
    rows = [{"what": v.item, "verdict": VERDICTS.get(v.word, v.word), "detail": v.detail} for v in verdicts]
    failed = [row for row in rows if row["verdict"] == VERDICTS["FAIL"]]
    absent = [v.item for v in verdicts if v.word == ABSENT]
    said = f"{len(failed)} difference(s) from what was recorded."
    if not failed:
        said = f"Every file at hand hashes as its stage recorded it ({files - len(absent)} of {files} files), "
        said += "and every input is what the stage before it wrote."
    said += f" Absent: {', '.join(absent)}. {ABSENCE}" if absent else ""
    said += "".join(f" {INVENTORY} {v.detail}." for v in verdicts if v.item == INVENTORY)
    parts = {"Differences": Table(failed)} if failed else {}
    return Section("verification", "Verification", said, parts | {"Every verdict": Table(rows)})


def _checked(run_dir: Path) -> list[Section]:
    """Show what the last `isheep check` found, if there was one, and whether that was of this record."""
    path = run_dir / verification.CHECKED
    if not path.is_file():
        return []
    found = json.loads(path.read_text(encoding="utf-8"))
    rows = [
        {"stage": f"iter-{row['iteration']}/{row['stage']}", "verdict": row["verdict"], "in words": row["line"]}
        for row in found["stages"]
    ]
    machine = found["environment"]
    said = f"{found['summary']}. Checked {found['finished']} on {machine.get('cpu', machine.get('system', 'a machine'))}"
    said += f", {found['sample']} answers of each stage." if found["sample"] else ", every answer."
    if found["root"] != root_of(run_dir):
        said += " The record has changed since: run isheep check again."
    return [Section("checked", "Held against the model, token by token", said, {"Stages": Table(rows)})]


def facts_table(manifests: list[dict[str, Any]], params: dict[str, Any]) -> Table:
    """Show what finished stages were made with: model, seeds, commits, versions, machines; all of them where they differ."""

    def each(*path: str) -> str:
        return ", ".join(dict.fromkeys(str(value) for m in manifests if (value := _at(m, path)) not in (None, "")))

    times = sorted(manifest["finished"] for manifest in manifests if "finished" in manifest)
    packages = dict.fromkeys(name for m in manifests for name in _at(m, ("environment", "packages")) or {})
    facts = {
        "grade": grade_of(params).line,
        "base model": _at(params, ("model", "base_model")),
        "weights, sha256": each("parts", "model", "base"),
        "engine": each("engine", "engine"),
        "arithmetic": each("engine", "dtype"),
        "objective of training": _at(params, ("train", "objective")),
        "seed": params.get("seed"),
        "seed tasks": _at(params, ("synthesize", "seeds")),
        "seed tasks, sha256": each("parts", "inputs", "seeds"),
        "commits": each("git", "commit").replace(", ", "\n"),
        "system": each("environment", "system"),
        "processor": each("environment", "processor"),
        "instruction sets": each("environment", "instruction_sets", "processor"),
        "instruction set of torch": each("environment", "instruction_sets", "torch"),
        "cores": each("environment", "cores"),
        "threads": each("environment", "threads"),
        "device": each("environment", "device"),
        "python": each("environment", "python"),
        "packages": "\n".join(f"{name} {each('environment', 'packages', name)}" for name in packages),
        "first and last stage finished": " and ".join(dict.fromkeys([*times[:1], *times[-1:]])),
        "time": f"{sum(m.get('notebook_seconds', m['seconds']) for m in manifests):.0f} seconds in {len(manifests)} stages",
    }
    return Table([{"fact": name, "value": value} for name, value in facts.items() if value not in (None, "")])


def _at(document: Mapping[str, Any], path: tuple[str, ...]) -> Any:
    """Follow a path into a document; what is absent is None."""
    value: Any = document
    for name in path:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def parameters_table(params: Mapping[str, Any]) -> Table:
    """Show every parameter of a run."""
    rows = []
    for section, values in params.items():
        named = values.items() if isinstance(values, Mapping) else [("", values)]
        rows += [{"parameter": ".".join(filter(None, (section, name))), "value": value} for name, value in named]
    return Table(rows)


def notebook(record: Record, path: Path | None) -> dict[str, Any]:
    """Render a notebook's cells; without a notebook, and where what was written must not be shown, there are none."""
    path = None if record.withheld else path
    lang, holds = languages.attribute(record.params), languages.holds(record.params)
    shown = notebook_html.cells(notebook_html.read_notebook(path), record.links, lang, holds) if path else ""
    return {"state": "", "facts": None, "cells": shown}


def stage(record: Record, one: Stage) -> dict[str, Any]:
    """Collect a stage's counts, where it comes from, and its notebook."""
    manifest, facts = one.manifest, {"state": one.state}
    if manifest:
        facts |= {
            "rows kept": f"{manifest['counts']['kept']} of {manifest['counts']['in']}",
            "seconds": f"{manifest.get('notebook_seconds', manifest['seconds']):.0f}",
            "tokens": sum(manifest["tokens"].values()),
            "finished": manifest.get("finished", ""),
            "commit": _at(manifest, ("git", "commit")) or "",
            "fingerprint": manifest.get("fingerprint", ""),
            "weights": f"absent. {ABSENCE}" if one.weights == ABSENT else one.weights,
            "taken from": f"the run {manifest['shared_from']}" if "shared_from" in manifest else "",
        }
    shown = Table([{"fact": name, "value": value} for name, value in facts.items() if value != ""])
    return {**notebook(record, one.notebook), "state": one.state, "facts": shown}


def groups(by_name: Mapping[str, Stage], withheld: str = "") -> list[Group]:
    """Sort an iteration's pairs by how they ended, kept ones first; iteration 0 has none, nor one whose texts are withheld."""
    if withheld or any(name not in by_name for name in MAKING):
        return []
    made, assessed, filtered = (by_name[name] for name in MAKING)
    if filtered.manifest:
        found = [_group(filtered, "kept", "Pairs kept"), _group(filtered, "dropped", "Pairs dropped by the filter")]
    else:
        waiting = _group(made, "examples", "Pairs not filtered yet")
        scores = {row["id"]: row["scores"] for row in _group(assessed, "scores", "").rows}
        rows = [{**row, "scores": scores.get(row["id"], {})} for row in waiting.rows]
        found = [Group(waiting.name, waiting.title, rows, waiting.lacking)]
    tasks = _group(made, "dropped", "Dropped in the synthesis")
    return [*found, Group("tasks", tasks.title, tasks.rows, tasks.lacking)]


def _group(stage: Stage, name: str, title: str) -> Group:
    path = stage.folder / f"{name}.jsonl"
    if not stage.manifest:
        return Group(name, title, [], f"the stage {stage.name} is not done")
    if not path.is_file():
        return Group(name, title, [], f"{path.name} of the stage {stage.name} is missing")
    return Group(name, title, read_jsonl(path))
