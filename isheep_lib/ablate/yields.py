"""What the runs of a sweep learned from: candidates and what is left of them, tokens, diversity, mutual information, lengths.

    found = yields_of(sweep)
    yield_table(sweep, found, rows)     # one row per run, with scores of its last model and their paired tests; who stopped
    measures(found)                     # what the sweep's figure shows beside the scores

Covers the last iteration of each run, over its seeds. Does not cover how scores are compared (`ablate.table`).
"""

import math
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from isheep_lib.ablate.stops import stop_of
from isheep_lib.ablate.sweep import Sweep
from isheep_lib.ablate.table import NO_CHOICE, NOT_RUN, Row, iterations_of, tested
from isheep_lib.analysis.collapse import distinct_share
from isheep_lib.analysis.words import grams
from isheep_lib.benchmarks.comparison import recorded
from isheep_lib.display.evaluation_tables import with_error
from isheep_lib.display.table import Table
from isheep_lib.filter.steps.table import DECONTAMINATE, STEPS
from isheep_lib.languages.words import words
from isheep_lib.prompting.chat import user_words
from isheep_lib.record import manifests
from isheep_lib.record.rows import as_pairs, read_jsonl

TITLES = {"asked": "asked for", "written": "written", "accepted": "accepted"}
DRAWN = 100  # pairs of words that every diversity is brought down to: few tasks, or short ones, have no more
CAPTION = (
    "Of the last iteration, summed or averaged over seeds. Written are all candidates but those beyond the wanted number, "
    "accepted those that became pairs. A control draws from what passes the rules, so it says little where most of these are "
    "kept. Tokens are those generated to write tasks and answers, not those of prompts and scores. Distinct is the share of "
    f"different pairs of words among {DRAWN} drawn from all, mutual information is in nats per token, scores and tests are "
    "those of the table of all models."
)


@dataclass(frozen=True)
class Yield:
    """What one run learned from; None where there is nothing to tell it from."""

    asked: int
    written: int
    accepted: int
    passed: int  # what the filter's rules left
    kept: int
    tokens: int
    distinct_tasks: float | None
    distinct_answers: float | None
    pmi: float | None
    task_words: float | None
    answer_words: float | None

    @property
    def tokens_each(self) -> float | None:
        """Tokens generated for each kept pair."""
        return self.tokens / self.kept if self.kept else None


def yields_of(sweep: Sweep) -> dict[str, Yield]:
    """Read what every run that has filtered learned from; seeds of one point are taken together.

    Where some seeds are evaluated, the others are left out, so that yields and scores are of the same runs.
    """
    found: dict[str, dict[bool, list[Yield]]] = {}
    for point in sweep.points:
        run_dir, iteration = manifests.run_folder(point.run), iterations_of(sweep, point.label)
        one = None if point.control else _read(run_dir, iteration)
        if one:
            scored = recorded(run_dir, iteration) is not None
            found.setdefault(point.label, {}).setdefault(scored, []).append(one)
    return {label: _together(seeds.get(True) or seeds[False]) for label, seeds in found.items()}


def _read(run_dir: Path, iteration: int) -> Yield | None:
    folders = {stage: manifests.stage_folder(run_dir, iteration, stage) for stage in ("synthesize", "filter")}
    written, filtered = (manifests.read_manifest(folder) for folder in folders.values())
    if written is None or filtered is None:
        return None
    rows = read_jsonl(folders["filter"] / "kept.jsonl")
    pairs, scores = as_pairs(rows), [row["scores"]["pmi"] for row in rows if "pmi" in row.get("scores", {})]
    counts, of_rules = filtered["counts"], {**DECONTAMINATE.meanings, **STEPS["rules"].meanings}
    return Yield(
        **_written(written),
        passed=counts["in"] - sum(number for reason, number in counts["dropped"].items() if reason in of_rules),
        kept=counts["kept"],
        tokens=sum(written["tokens"].values()),
        distinct_tasks=_distinct([user_words(pair) for pair in pairs]),
        distinct_answers=_distinct([pair.output for pair in pairs]),
        pmi=_mean(scores),
        task_words=_mean([len(words(user_words(pair))) for pair in pairs]),
        answer_words=_mean([len(words(pair.output)) for pair in pairs]),
    )


def _written(manifest: dict[str, Any]) -> dict[str, int]:
    """Count what a synthesis was asked for, wrote and accepted."""
    counts = manifest["counts"]
    written = counts["in"] - counts["dropped"].get("beyond_target", 0)
    return {"asked": manifest["parameters"]["instructions"], "written": written, "accepted": counts["kept"]}


def _distinct(texts: Sequence[str]) -> float | None:
    return distinct_share(Counter(gram for text in texts for gram in grams(words(text), 2)), DRAWN)


def _mean(values: Sequence[float | None]) -> float | None:
    """Return the mean of what is known; exact, so that no order of rows changes it."""
    known = [value for value in values if value is not None]
    return math.fsum(known) / len(known) if known else None


def _together(several: Sequence[Yield]) -> Yield:
    """Sum counts and average the rest."""
    counted = ("asked", "written", "accepted", "passed", "kept", "tokens")
    sums = {name: sum(getattr(one, name) for one in several) for name in counted}
    rest = [name for name in Yield.__dataclass_fields__ if name not in counted]
    return Yield(**sums, **{name: _mean([getattr(one, name) for one in several]) for name in rest})


def yield_table(sweep: Sweep, yields: dict[str, Yield], rows: Sequence[Row]) -> Table:
    """Show each run in a line: yield, cost, diversity, mutual information, lengths, scores and their tests."""
    scores = _scores(sweep, rows)
    lines = [{"run": label, **_cells(one), **scores.get(label, {})} for label, one in yields.items()]
    columns = list(dict.fromkeys(name for line in lines for name in line))
    full = [{name: line.get(name, NOT_RUN) for name in columns} for line in lines]
    return Table([*full, *_stopped(sweep, yields)] or [{"run": NOT_RUN}], CAPTION)


def _stopped(sweep: Sweep, known: Collection[str]) -> list[dict[str, str]]:
    """Show the points none of whose runs brought enough pairs to go on: what was written, and where it stopped."""
    lines: dict[str, dict[str, str]] = {}
    for point in sweep.points:
        run_dir = manifests.run_folder(point.run)
        if point.control or point.label in known or not (said := stop_of(run_dir, point.iterations)):
            continue
        manifest = manifests.read_manifest(manifests.stage_folder(run_dir, iterations_of(sweep, point.label), "synthesize"))
        counts = {TITLES[name]: str(number) for name, number in _written(manifest).items()} if manifest else {}
        lines.setdefault(point.label, {"run": point.label, **counts, "stopped": said})
    return list(lines.values())


def _cells(one: Yield) -> dict[str, str]:
    def shown(value: float | None, form: str) -> str:
        return "unknown" if value is None else format(value, form)

    return {
        **{title: str(getattr(one, name)) for name, title in TITLES.items()},
        "pass the rules": str(one.passed),
        "kept": str(one.kept),
        "tokens a kept pair": shown(one.tokens_each, ",.0f"),
        "distinct, tasks": shown(one.distinct_tasks, ".2f"),
        "distinct, answers": shown(one.distinct_answers, ".2f"),
        "mutual information": shown(one.pmi, ".2f"),
        "words a task": shown(one.task_words, ".0f"),
        "words an answer": shown(one.answer_words, ".0f"),
    }


def _scores(sweep: Sweep, rows: Sequence[Row]) -> dict[str, dict[str, str]]:
    """Write the scores of each run's last model, with the tests of the table of all models, by run and column."""
    found: dict[str, dict[str, str]] = {}
    reference = sweep.reference.label if sweep.reference else ""
    said = [tested([row.control for row in rows]), tested([row.reference for row in rows])]
    for row, control, against in zip(rows, *said, strict=True):
        if row.iteration != iterations_of(sweep, row.side.label):
            continue
        name, line = row.side.named(row.benchmark), found.setdefault(row.side.label, {})
        line[name] = with_error(row.value) if row.value else "left out"
        line |= {f"{name} against chance": control or NO_CHOICE} if any(point.control for point in sweep.points) else {}
        line |= {f"{name} against {reference}": against or "it is the reference"} if reference else {}
    return found


def measures(yields: dict[str, Yield]) -> dict[str, dict[str, float]]:
    """Return what a figure shows of each run, by title and run; what is known of none is left out."""
    titled: dict[str, Any] = {
        "accepted of written (%)": lambda one: 100 * one.accepted / one.written if one.written else None,
        "generated tokens\na kept pair": lambda one: one.tokens_each,
        "distinct pairs of words,\ntasks (share)": lambda one: one.distinct_tasks,
        "mutual information\n(nats per token)": lambda one: one.pmi,
        "words an answer": lambda one: one.answer_words,
    }
    values = {title: {label: read(one) for label, one in yields.items()} for title, read in titled.items()}
    known = {title: {k: v for k, v in by_run.items() if v is not None} for title, by_run in values.items()}
    return {title: by_run for title, by_run in known.items() if by_run}
