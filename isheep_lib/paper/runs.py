"""Runs that stand for rows of the paper's tables: what each measured, and which numbers may stand beside which.

    measured = gather(["one_base=reference/smollm2-135m", "one_last=small-setting/one_last"])
    measured.group(measured.runs).problem(run, 3, "ifeval")    # "" or why M_3 of this run may not stand beside the others

Covers reading runs and the fairness of putting their numbers together. Does not cover tables (`paper.reproduction`).
"""

import difflib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from isheep_lib.benchmarks.catalogue import BENCHMARKS
from isheep_lib.benchmarks.comparison import METRICS, STAGE
from isheep_lib.display import judge_tables
from isheep_lib.display.table import Table
from isheep_lib.errors import ParameterError
from isheep_lib.iterate.grade import grade_of
from isheep_lib.languages.rules import Language, in_words
from isheep_lib.params import run_file
from isheep_lib.params.kinds import language_recorded
from isheep_lib.record import manifests

REFERENCE = ("one_base=reference/smollm2-135m",)  # what is looked at where no run is named
ASKED = {"system_prompt": "system prompt", "few_shot": "solved examples", "answer_tokens": "tokens of an answer"}


@dataclass(frozen=True)
class Role:
    """What a run stands for."""

    title: str  # for tables
    tables: str  # where its numbers stand
    sweep: str = ""  # file of params/ablations that runs it, "" for the main run
    needs: tuple[str, Any] = ("", None)  # parameter of the run and what it must be, or hold
    many: bool = False  # whether several runs may stand for it


ROLES = {
    "one_base": Role("I-SHEEP, One_base", "1 to 5, 7 to 12", needs=("train.setting", "one_base"), many=True),
    "self_instruct": Role("Self-Instruct", "1", "setting"),
    "one_last": Role("One_last", "2, 8", "setting", ("train.setting", "one_last")),
    "total_base": Role("Total_base", "2, 9", "setting", ("train.setting", "total_base")),
    "direct_20k": Role("Direct, 20k at once", "2, 10", "setting"),
    "direct_30k": Role("Direct, 30k at once", "2, 10", "setting"),
    "density": Role("density", "3, 11", "filter", ("filter.steps", "density")),
    "ppl": Role("perplexity", "3, 11", "filter", ("filter.steps", "perplexity")),
    "density_ppl": Role("density and perplexity", "3, 11", "filter", ("filter.steps", "density_perplexity")),
    "simple_prompt": Role("simple prompt", "3, 11, and 4 as both", "prompt", ("assess.assessment_prompt", "simple")),
    "icl_prompt": Role("ICL prompt", "3, 11", "prompt", ("assess.assessment_prompt", "icl")),
    "no_prompt": Role("no assessment", "4", "level"),
    "quality": Role("quality only", "4", "level"),
    "following": Role("following only", "4", "level"),
    "threshold": Role("threshold C", "Figure 2a", "threshold", many=True),
    "data_size": Role("data size I", "Figure 2b", "data-size", many=True),
}


@dataclass(frozen=True, eq=False)
class Run:
    """One run: by iteration what M_k scored, how it was asked, and what a judge said."""

    role: str
    name: str
    folder: Path
    base_model: str
    base: str
    metrics: dict[int, dict[str, Any]]
    asked: dict[int, dict[str, Any]]
    judged: dict[int, dict[str, Any]]
    params: dict[str, Any] = field(repr=False)
    commits: tuple[str, ...] = ()

    @property
    def model(self) -> str:
        """Name the base model without its owner and commit."""
        return self.base_model.partition("@")[0].removeprefix("embedded:").rstrip("/").rpartition("/")[2]

    @property
    def title(self) -> str:
        """Name the run as it was given."""
        return f"{self.role}={self.name}"

    @property
    def language(self) -> Language:
        """Return the language of the run's tasks."""
        return language_recorded(self.params)

    def param(self, path: str) -> Any:
        """Return a parameter of the run by section and name, None where the run does not say."""
        section, _, name = path.partition(".")
        return self.params.get(section, {}).get(name)

    def facts(self, iteration: int, benchmark: str) -> dict[str, Any] | None:
        """Return what was measured of M_k on a benchmark, with its subset and digest; None where nothing was."""
        if BENCHMARKS[benchmark].kind == "judged":
            return self.judged.get(iteration, {}).get(benchmark)
        return self.metrics.get(iteration, {}).get("tasks", {}).get(benchmark)

    def conditions(self, iteration: int, benchmark: str) -> dict[str, Any]:
        """Return everything that must be alike before numbers may stand side by side, the base model apart."""
        facts = self.facts(iteration, benchmark) or {}
        found = {"items": facts.get("subset"), "data": facts.get("digest"), **self.asked.get(iteration, {})}
        known = BENCHMARKS[benchmark]
        if known.kind == "choice" or known.tokens:
            found.pop(ASKED["answer_tokens"], None)
        if not known.shot_files:
            found.pop(ASKED["few_shot"], None)
        if known.kind == "judged":
            found["judge"] = self.judged[iteration]["judge"]
        return found


@dataclass(frozen=True)
class Group:
    """Runs of one table, the anchor first; with `one_model` all must start from the anchor's base model."""

    runs: tuple[Run, ...]
    one_model: bool = True

    def problem(self, run: Run, iteration: int, benchmark: str) -> str:
        """Say why M_k of a run may not stand beside the others on a benchmark, "" where it may.

        What is asked, and of which items, must be as in the first run that has it; base models are compared with base
        models, as the paper asks them in another frame than trained ones.
        """
        anchor = self.runs[0]
        said = []
        if self.one_model and run.base != anchor.base:
            said.append(f"base model {run.model} ({run.base[:8]}), not {anchor.model} ({anchor.base[:8]})")
        mine = run.conditions(iteration, benchmark)
        for name, value in mine.items():
            about_items = name in ("items", "data", "judge")
            other = next(self._values(name, benchmark, None if about_items else iteration > 0))
            if value != other:
                said.append(f"{name} {_short(value)}, not {_short(other)}")
        return "; ".join(said)

    def _values(self, name: str, benchmark: str, trained: bool | None) -> Iterator[Any]:
        for run in self.runs:
            for k in sorted({*run.metrics, *run.judged}):
                if run.facts(k, benchmark) and trained in (None, k > 0):
                    found = run.conditions(k, benchmark)
                    if name in found:
                        yield found[name]


@dataclass(frozen=True)
class Measured:
    """All runs, in the order given."""

    runs: tuple[Run, ...]

    def of(self, role: str) -> list[Run]:
        """List the runs that stand for a role; several of one parameter are in its order."""
        return [run for run in self.runs if run.role == role]

    def group(self, runs: Sequence[Run], anchor: Run | None = None, *, one_model: bool = True) -> Group:
        """Put runs together behind their anchor, by default the first one."""
        others = tuple(run for run in runs if run is not anchor)
        return Group((anchor, *others) if anchor else others, one_model)

    def table(self) -> Table:
        """Show which run stands for what; their languages where one is not that of the paper's benchmarks, English."""
        english = all(run.language == "en" for run in self.runs)
        rows = [
            {
                "row": run.role,
                "stands for": ROLES[run.role].title,
                "tables": ROLES[run.role].tables,
                "run": run.name,
                **({} if english else {"language": in_words(run.language)}),
                "base model": run.model,
                "grade": grade_of(run.params).label,
                "evaluated": ", ".join(f"M_{k}" for k in run.metrics),
                "judged": ", ".join(f"M_{k}" for k in run.judged) or "none",
                "commits": ", ".join(commit[:10] + ("-dirty" if commit.endswith("-dirty") else "") for commit in run.commits),
            }
            for run in self.runs
        ]
        return Table(rows, "What was measured: one row per run; commits are those that its evaluations ran at.")


NOBODY = Measured(())


def gather(entries: Sequence[str]) -> Measured:
    """Read the runs that stand for rows: "one_base=reference/smollm2-135m"; none is the reference record.

    A run may be half done. A role of many runs may name a folder of runs (a sweep); its random controls are left out.

    Raises:
        ParameterError: a row is unknown or given twice, a run does not exist, has no finished evaluation or is none of
            this row, or its files are not as recorded. All such entries are named.
    """
    runs: list[Run] = []
    problems = []
    for entry in entries or REFERENCE:
        role, _, name = (part.strip() for part in entry.partition("="))
        found, problem = _read_entry(role, name)
        if found and not ROLES[role].many and any(run.role == role for run in runs):
            problem = f"the row {role} is given twice, and runs are never averaged"
        runs += [] if problem else found
        problems += [f"{entry}: {problem}"] if problem else []
    if problems:
        raise ParameterError(
            "These runs cannot stand in the paper's tables:\n  " + "\n  ".join(problems),
            where="runs",
            allowed=f"row=run, with the rows {', '.join(ROLES)}",
            do="name a run below results, or a path that begins with / or .",
        )
    return Measured(tuple(runs))


def _read_entry(role: str, name: str) -> tuple[list[Run], str]:
    """Read the runs of one entry, or say what is wrong with it."""
    if role not in ROLES:
        near = difflib.get_close_matches(role, ROLES, n=1, cutoff=0.5)
        return [], f"{role!r} is no row" + (f"; did you mean {near[0]}?" if near else "")
    folder = manifests.run_folder(name)
    if not folder.is_dir():
        return [], f"there is no folder {manifests.short(folder)}"
    folders = {name: folder}
    if ROLES[role].many and role != "one_base" and not manifests.stage_folders(folder):
        paths = sorted(path.parent for path in folder.rglob("params.yaml"))
        folders = {f"{name}/{path.relative_to(folder)}": path for path in paths}
    damaged = [text for path in folders.values() for text in _damage(path)]
    if damaged:
        return [], f"files are not as recorded: {'; '.join(damaged)}"
    found = [run for title, path in folders.items() if (run := read_run(role, title, path))]
    chosen = [run for run in found if not run.param("filter.random_control")]
    if not chosen:
        return [], "only random controls are there" if found else "no evaluation is finished"
    return chosen, "; ".join(filter(None, (_misfit(run) for run in chosen)))


def read_run(role: str, name: str, folder: Path) -> Run | None:
    """Read one run, None where no model of it is evaluated."""
    metrics, asked, commits, facts = {}, {}, [], {}
    for k, (path, manifest) in manifests.of_stage(folder, STAGE).items():
        parameters = manifest.get("parameters", {})
        metrics[k] = manifests.read_manifest(path, METRICS) or {}
        facts = facts or {"base_model": parameters.get("base_model", ""), "base": manifest["parts"]["model"]["base"]}
        framed = metrics[k].get("frame")
        asked[k] = {"frame": framed} | {title: parameters.get(key) for key, title in ASKED.items()}
        if framed == "plain":  # has no place for a system prompt
            del asked[k][ASKED["system_prompt"]]
        commits.append(manifest.get("git", {}).get("commit", "unknown"))
    if not metrics:
        return None
    judged = judge_tables.recorded(folder)
    params = {name: value for name, value in run_file.run_params(folder).items() if isinstance(value, dict)}
    found = {"metrics": metrics, "asked": asked, "judged": judged, "params": params}
    return Run(role, name, folder, **facts, **found, commits=tuple(dict.fromkeys(commits)))


def _damage(folder: Path) -> list[str]:
    """Name files of finished evaluations and judgements that do not hash as their manifests say."""
    found = []
    for path, manifest in manifests.all_manifests(folder):
        if manifest["stage"] in (STAGE, "judge"):
            read = [name for name in manifest["outputs"] if not name.endswith(".ipynb")]
            found += [f"{manifests.short(d.path)} ({d.kind})" for d in manifests.differences(path, manifest, read)]
    return found


def _misfit(run: Run) -> str:
    """Say that a run is something else than its row, where its parameters show it."""
    path, wanted = ROLES[run.role].needs
    value = run.param(path)
    fits = value is None or (wanted in value if isinstance(value, list) else value == wanted)
    return "" if fits else f"its {path} is {value}, the row {run.role} needs {wanted}"


def _short(value: Any) -> str:
    """Write a condition so that it fits a cell; a digest by its first letters."""
    if isinstance(value, dict):
        return str(value.get("name", value))
    text = str(value)
    return text[:8] if len(text) == 64 and text.isalnum() else text
