"""Tables from records, as notebooks and the command line show them; everything a model wrote is escaped.

Covers tables and text cards. Does not cover evaluations (`display.evaluation_tables`), figures (`display.figures`) or
computing any of it.
"""

import shlex
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from isheep_lib.analysis.reliability import Reliability
from isheep_lib.display.table import Table, clip, samples, verbatim
from isheep_lib.record import manifests
from isheep_lib.record.reuse import taken
from isheep_lib.record.stages import ORDER

__all__ = ["Table", "clip", "samples", "verbatim"]

FEW = 4  # scores on either side below which an AUROC is no evidence


def funnel_table(counts: dict[str, Any]) -> Table:
    """Show what went in, what left for which reason, what stayed; the column adds up."""
    total = counts["in"] or 1
    rows = [("in", counts["in"]), *((f"- {reason}", n) for reason, n in counts["dropped"].items()), ("kept", counts["kept"])]
    return Table([{"step": name, "rows": n, "share": f"{n / total:.0%}"} for name, n in rows])


def samples_by_reason(rows: Sequence[dict[str, Any]], columns: Sequence[str], number: int, seed: int) -> Table:
    """Show some dropped rows of every reason."""
    reasons = dict.fromkeys(row["reason"] for row in rows)
    found = [samples([r for r in rows if r["reason"] == reason], ["reason", *columns], number, seed) for reason in reasons]
    return Table([row for table in found for row in table.rows], f"at most {number} of each reason")


def steps_table(lines: Sequence[dict[str, Any]]) -> Table:
    """Show each step of the filter with what came in and what it kept."""
    rows = [{**line, "share": f"{line['kept'] / (line['in'] or 1):.0%}"} for line in lines]
    return Table(rows or [{"step": "none", "in": "", "kept": "everything", "share": ""}])


def reliability_table(reliabilities: Sequence[Reliability]) -> Table:
    """Show the self-assessment check, the best first; only the last of several workers makes it."""
    if not reliabilities:
        return Table([{"check": "no scorer is checked, or the last worker makes the check"}])
    ranked = sorted(reliabilities, key=lambda r: (r.corruption, -(r.auroc if r.auroc == r.auroc else -1)))
    return Table(
        [
            {
                "wrong pairs": r.corruption.replace("_", " "),
                "score": r.column,
                "AUROC": two_digits(r.auroc) if r.auroc == r.auroc else "not readable",
                "95 % interval": f"{two_digits(r.low)} to {two_digits(r.high)}" if r.auroc == r.auroc else "",
                "true / wrong scores": f"{r.true_pairs} / {r.wrong_pairs}",
                "unread": r.unread,
                "verdict": _verdict(r),
            }
            for r in ranked
        ],
        "How well each score tells true pairs from the same tasks with wrong responses (0.5 is chance)",
    )


def _verdict(r: Reliability) -> str:
    if min(r.true_pairs, r.wrong_pairs) < FEW:
        return "too few readable scores"
    if r.low > 0.5:
        return "better than chance"
    return "worse than chance" if r.high < 0.5 else "not told from chance"


def cut_preference(check: Mapping[str, Any], columns: Sequence[str]) -> Table:
    """Say in words of score columns whether they prefer whole answers to answers cut in half, as the check measured it.

    Args:
        check: the recorded self-assessment check, by column.
        columns: those that choose, or could choose, among the answers to a task.
    """
    rows = []
    for column in columns:
        found = check.get(column, {}).get("auroc", {}).get("truncated")
        rows.append({"score": column, **({"AUROC, truncated": trust(found)} if found else {}), "in words": _of_cut(found)})
    return Table(rows or [{"score": "none chooses among answers, or none is checked"}], "Whole answers or cut ones?")


def _of_cut(found: Mapping[str, Any] | None) -> str:
    if found is None:
        return "not known: put its scorer into assess.checked_scorers and truncated into assess.corruptions"
    if min(found["true_pairs"], found["wrong_pairs"]) < FEW:
        return "not known: too few readable scores"
    if found["high"] < 0.5:
        return (
            "WARNING: prefers answers cut in half to whole ones, so the best of several by it is likely to be a cut one; "
            "choose by another scorer, and let the step rules drop what the token limit ended"
        )
    if found["low"] > 0.5:
        return "prefers whole answers"
    leans = ", and leans to the cut ones" if found["value"] < 0.5 else ""
    return f"does not tell whole answers from cut ones{leans}"


class Planned(Protocol):
    """A stage of a run's plan, as `iterate.chain` makes it: its state, why it is stale, and what it recorded."""

    iteration: int
    stage: str
    state: str
    note: str
    manifest: dict[str, Any] | None


def plan_table(steps: Sequence[Planned]) -> Table:
    """Show iterations against stages, each cell its state."""
    grid: dict[int, dict[str, str]] = {}
    for step in steps:
        grid.setdefault(step.iteration, {})[step.stage] = step.state
    rows = [{"iteration": str(k), **{stage: row.get(stage, "") for stage in ORDER}} for k, row in sorted(grid.items())]
    notes = [f"iter-{s.iteration}/{s.stage} is stale: it {s.note}" for s in steps if s.state == "stale"]
    others = taken(s.manifest for s in steps if s.manifest)
    return Table(rows, "; ".join([*notes, *([others] if others else [])]))


def status_table(rows: Sequence[dict[str, Any]]) -> Table:
    """Show the stages of a run as `iterate.chain.status` lists them; columns that say nothing are left out."""
    said = [column for column in dict.fromkeys(c for row in rows for c in row) if any(row[column] != "" for row in rows)]
    absent = any(row["weights"] == manifests.ABSENT for row in rows)
    return Table([{column: row[column] for column in said} for row in rows], f"{manifests.ABSENCE}\n" if absent else "")


def sweep_table(folder: Path, status: Callable[[Path], list[dict[str, Any]]]) -> Table:
    """Show each run of a sweep in a line, from what `status` lists of it."""
    found = []
    for run_dir in manifests.runs_in(folder):
        rows = status(run_dir)
        states = Counter(row["state"] for row in rows)
        found.append(
            {
                "run": run_dir.name,
                "iterations": max((row["iteration"] for row in rows), default=0),
                "stages": ", ".join(f"{n} {state}" for state, n in states.items()) or "none yet",
                "taken from other runs": sum(row["taken from"] != "" for row in rows),
                "now": next((row["now"] for row in rows if row["now"]), ""),
            }
        )
    name = manifests.run_name(folder)
    caption = f"{name} is a sweep of {len(found)} run(s); isheep status {shlex.quote(name)}/RUN shows one of them"
    return Table(found or [{"run": "none yet"}], caption)


def ledger(run_dir: Path) -> Table:
    """Show every finished stage: time, rows in and kept, tokens generated, the executed notebook, and whose work it was."""
    rows, found = [], manifests.all_manifests(run_dir)
    for folder, manifest in found:
        notebook = f"{folder.parent.name}/{folder.name}/{folder.name}.ipynb"
        rows.append(
            {
                "iteration": str(manifest["iteration"]),
                "stage": manifest["stage"],
                "seconds": f"{manifest.get('notebook_seconds', manifest['seconds']):.0f}",
                "in": manifest["counts"]["in"],
                "kept": manifest["counts"]["kept"],
                "tokens": sum(manifest["tokens"].values()),
                "notebook": notebook if (run_dir / notebook).is_file() else "run by hand",
                **({"taken from": manifest["shared_from"]} if "shared_from" in manifest else {}),
            }
        )
    order = {stage: i for i, stage in enumerate(ORDER)}
    others = taken(manifest for _, manifest in found)
    caption = f"{others}; their seconds and tokens are those of that run" if others else ""
    return Table(sorted(rows, key=lambda row: (int(row["iteration"]), order[row["stage"]])), caption)


def calibration_of(run_dir: Path) -> dict[int, dict[str, Any]]:
    """Read the self-assessment check of every assessed iteration."""
    return {k: m["check"] for k, (_, m) in manifests.of_stage(run_dir, "assess").items() if m.get("check")}


def trust_table(run_dir: Path) -> Table:
    """Show the self-assessment check of every iteration, one column per iteration."""
    rows: dict[str, dict[str, Any]] = {}
    for iteration, check in calibration_of(run_dir).items():
        for column, found in check.items():
            shown = {f"AUROC, {kind.replace('_', ' ')}": trust(value) for kind, value in found["auroc"].items()}
            shown |= {name: f"{found[name]:.2f}" for name in ("mean", "saturation") if found[name] is not None}
            for measure, text in shown.items():
                row = rows.setdefault(f"{column} {measure}", {"score": column, "measure": measure})
                row[f"iteration {iteration}"] = text
    caption = "AUROC with 95 % bootstrap interval, 0.5 is chance; saturation is the share of scores that round to 10"
    return Table(sorted(rows.values(), key=lambda row: row["score"]), caption)


def trust(auroc: dict[str, Any]) -> str:
    """Write a recorded AUROC with its interval, or that too few scores could be read."""
    if min(auroc["true_pairs"], auroc["wrong_pairs"]) < FEW:
        return "too few readable scores"
    return f"{two_digits(auroc['value'])} ({two_digits(auroc['low'])} to {two_digits(auroc['high'])})"


def two_digits(value: float) -> str:
    """Write an AUROC by the four digits that are recorded of it, so that it is the same wherever it is shown."""
    return f"{round(value, 4):.2f}"
