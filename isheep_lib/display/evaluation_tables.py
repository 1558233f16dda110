"""Tables of evaluations: what was asked, what came out, how models differ, and what a collapse would show in.

Covers showing. Does not cover computing (`evaluate`, `analysis.significance`, `analysis.collapse`) or a run's other tables
(`display.stage_tables`).
"""

import random
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from isheep_lib.analysis import collapse
from isheep_lib.analysis.contamination import Hit
from isheep_lib.analysis.significance import Comparison, comparison_rows
from isheep_lib.benchmarks.catalogue import BENCHMARKS
from isheep_lib.benchmarks.comparison import OPEN, Compared, spoken_in
from isheep_lib.benchmarks.data import Suite
from isheep_lib.benchmarks.followed import GROUPS
from isheep_lib.display.table import Table, clip
from isheep_lib.errors import RecordError
from isheep_lib.languages.rules import ANY, Language, file_of, files_of, in_words
from isheep_lib.record import manifests

METRICS = {
    "prompt_strict": "prompt-level strict",
    "inst_strict": "instruction-level strict",
    "prompt_loose": "prompt-level loose",
    "inst_loose": "instruction-level loose",
    "acc": "accuracy",
    "acc_norm": "accuracy, by length",
    "exact_match": "exact match",
    "f1": "F1",
    "pass_at_1": "pass@1",
}


PRACTISED = {"seen": "practised in training", "unseen": "not practised"}
ERRORS = "± is one standard error; (< …) is a one-sided bound of 95 % where all items came out alike"


def named(benchmark: str, language: Language = "en") -> str:
    """Return a benchmark's title, with its language in words where that is not one of the run's."""
    return BENCHMARKS[benchmark].title + in_another(benchmark, language)


def in_another(benchmark: str, language: Language) -> str:
    """Say in brackets which language a benchmark asks in, "" where that is one of the run's."""
    asks = BENCHMARKS[benchmark].language
    return "" if file_of(asks) in files_of(language) and language != ANY else f" (in {in_words(asks)})"


def open_titles(names: Iterable[str], language: Language) -> str:
    """Name the benchmarks with open answers where one of them asks in another language than the run's, "" elsewhere."""
    asked = [name for name in names if BENCHMARKS[name].kind in OPEN]
    return ", ".join(named(name, language) for name in asked) if any(in_another(name, language) for name in asked) else ""


def _open_answers(metrics: Mapping[str, Any]) -> str:
    """Say what the signs of a collapse are measured on."""
    asked = open_titles((*metrics["tasks"], *metrics.get("answered", ())), spoken_in(metrics))
    return f"open answers{asked and f' to {asked}'}"


def suite_table(suite: Suite, few_shot: int, language: Language = "en") -> Table:
    """Show what is evaluated on which data, and what is not for want of data.

    Args:
        suite: what is asked.
        few_shot: examples before a question.
        language: of the run.
    """
    rows = [
        {
            "benchmark": named(chosen.benchmark.name, language),
            "items": chosen.subset,
            "split": chosen.benchmark.split,
            "examples before": few_shot if chosen.benchmark.shot_files and chosen.benchmark.kind == "choice" else 0,
            "metric": METRICS.get(chosen.benchmark.metric, "by the stage judge"),
            "data": f"{chosen.source}, {chosen.digest[:8]}",
            "licence": chosen.benchmark.licence,
        }
        for chosen in suite.chosen
    ]
    rows += [{"benchmark": named(name, language), "items": "left out", "data": why} for name, why in suite.absent.items()]
    confined = {"": "", "unconfined": "Programs that the model writes run UNCONFINED."}
    return Table(rows, confined.get(suite.sandbox, f"Programs that the model writes run in a sandbox ({suite.sandbox})."))


def scores_table(metrics: dict[str, Any], earlier: dict[str, Any] | None = None) -> Table:
    """Show every metric with its standard error, beside the model before and without items trained on."""
    rows = []
    for name, task in metrics["tasks"].items():
        for metric, value in task["values"].items():
            row = {"benchmark": named(name, spoken_in(metrics)), "items": task["subset"], "metric": METRICS[metric]}
            if any("unanswered" in other for other in metrics["tasks"].values()):
                row["beyond the context"] = task.get("unanswered", 0)
            row["percent"] = with_error(value)
            if earlier:
                row["model before"] = with_error(earlier["tasks"].get(name, {}).get("values", {}).get(metric))
            if any(other["trained_on"] for other in metrics["tasks"].values()):
                clean = task["clean"].get(metric)
                row["clean items only"] = f"{with_error(clean)} ({clean['items']})" if clean else "no clean item"
                if not task["trained_on"]:
                    row["clean items only"] = "the same"
            rows.append(row)
    left = [f"{named(name, spoken_in(metrics))} was left out" for name in metrics["absent"]]
    return Table([*rows, *_settled_rows(metrics)], "; ".join([ERRORS, *left]))


def _settled_rows(metrics: dict[str, Any]) -> list[dict[str, str]]:
    """Show accuracies also without the prompts whose check draws by chance."""
    return [
        {
            "benchmark": f"{named(name, spoken_in(metrics))}, without prompts whose check draws by chance",
            "items": f"{task['without_chance']['prompt_strict']['items']} prompts",
            "metric": METRICS[metric],
            "percent": with_error(value),
        }
        for name, task in metrics["tasks"].items()
        for metric, value in task.get("without_chance", {}).items()
    ]


def types_table(metrics: dict[str, Any]) -> Table:
    """Show IFEval and IFBench by type of instruction, and which types the model's training rows practised."""
    rows = []
    for name, task in metrics["tasks"].items():
        for kind, found in task.get("types", {}).items():
            row = {"benchmark": named(name, spoken_in(metrics)), "type": kind, "instructions": found["items"]}
            row |= {f"followed, {mode}": f"{found[mode]:.0f} %" for mode in ("strict", "loose")}
            if "practised" in task:
                row["practised"] = "yes" if kind in task["practised"]["types"] else "no"
            rows.append(row)
    return Table(rows or [{"types of instructions": "neither IFEval nor IFBench was asked"}])


def practice_table(metrics: dict[str, Any], compared: Mapping[str, Mapping[str, Comparison]]) -> Table:
    """Show accuracies on types that training rows practised and on the others, beside the base model's.

    Args:
        compared: comparisons with the base model by benchmark and group (`benchmarks.comparison.by_practice`).
    """
    rows = []
    for name, task in metrics["tasks"].items():
        for group in GROUPS if "practised" in task else ():
            for mode in ("strict", "loose"):
                value = task["practised"][mode].get(group)
                tested = compared.get(name, {}).get(group) if mode == "strict" else None
                row: dict[str, Any] = {
                    "benchmark": named(name, spoken_in(metrics)),
                    "types": PRACTISED[group],
                    "metric": METRICS[f"inst_{mode}"],
                }
                row |= {"instructions": value["items"] if value else 0, "percent": with_error(value) if value else "none"}
                row["against the base model"] = difference(tested) if tested else ""
                rows.append(row)
    caption = "A type counts as practised where a family of constraints in training rows is like it (docs/constraints.md)"
    return Table(rows or [{"practised types": "none: no row that the model was trained on holds constraints"}], caption)


def difference(comparison: Comparison) -> str:
    """Write a difference in percentage points with its interval and p, not adjusted for other tests."""
    return f"{comparison.difference:+.1f} ({comparison.low:+.1f} to {comparison.high:+.1f}), p {comparison.p:.3f}"


def with_error(value: dict[str, Any] | None) -> str:
    """Write a value in percent with its standard error, or with a bound where all items came out alike."""
    if value is None:
        return "not evaluated"
    error, shown = value["standard_error"], f"{value['value']:.1f}"
    if error is None:
        return f"{shown} ± not defined"
    if value["value"] in (0, 100):  # the spread of equal values is 0, which is no certainty
        reach = 100 * (1 - 0.05 ** (1 / value["items"]))
        return f"{shown} (< {reach:.1f})" if value["value"] == 0 else f"{shown} (> {100 - reach:.1f})"
    return f"{shown} ± {error:.1f}"


def hits_table(hits: Sequence[Hit], number: int = 20) -> Table:
    """Show which benchmark items training rows repeat."""
    if not hits:
        return Table([{"benchmark items repeated": "none"}])
    rows = [
        {
            "benchmark": BENCHMARKS[hit.benchmark].title,
            "item": hit.item_id,
            "row": hit.row_id,
            "where": hit.field,
            "how": hit.kind,
            "shared words": "not shown" if BENCHMARKS[hit.benchmark].private else clip(hit.text, 120),
        }
        for hit in hits[:number]
    ]
    return Table(
        rows, f"{len(hits)} repetition(s) of benchmark items" + (f", the first {number}" if len(hits) > number else "")
    )


def comparison_table(compared: Sequence[Compared]) -> Table:
    """Show paired tests of one model with others; the benchmarks of two models are a family for Holm's correction."""
    if not compared:
        return Table([{"comparison": "there is no earlier evaluation to compare with"}])
    rows = []
    for pair in compared:
        for row in comparison_rows(pair.found) if pair.found else []:
            facts = {name: text for name, text in row.items() if name != "task"}
            rows.append({"models": f"{pair.before} to {pair.after}", "benchmark": named(row["task"], pair.language), **facts})
    left = [f"{named(name, c.language)} ({c.before} to {c.after}): {why}" for c in compared for name, why in c.left_out.items()]
    caption = "Paired tests on each benchmark's first metric in percentage points; Holm over the benchmarks of two models"
    return Table(rows or [{"comparison": "nothing can be compared"}], "; left out: ".join([caption, *left]))


def signs_table(metrics: dict[str, Any], earlier: dict[str, Any] | None = None) -> Table:
    """Show length, diversity, repetition, refusals and cut answers."""
    return Table(
        [
            {"sign": title, "value": sign(metrics, name), **({"model before": sign(earlier, name)} if earlier else {})}
            for name, title in collapse.SIGNS.items()
        ],
        f"of {metrics['signs']['answers']} {_open_answers(metrics)}",
    )


def sign(metrics: dict[str, Any], name: str) -> Any:
    """Return one sign, in words where there are too few answers for it."""
    value = metrics["signs"][name]
    return "too few answers" if value is None else value


def answers_table(
    suite: Suite, rows: dict[str, list[dict[str, Any]]], number: int, seed: int, language: Language = "en"
) -> Table:
    """Show some open answers and how they were graded, without their questions; in a run in that language."""
    found = []
    for chosen in suite.of("instructions", "judged", "answer", "code"):
        group = rows[chosen.benchmark.name]
        picked = random.Random(seed).sample(range(len(group)), min(number, len(group)))  # noqa: S311 - reproducible
        for row in (group[i] for i in sorted(picked)):
            text = row.get("answer") or "\n\n".join(row.get("answers", [""]))
            grade = ", ".join(f"{METRICS[name]} {value:g}" for name, value in row.get("scores", {}).items())
            outcome = f" ({row['outcome']}: {row['detail']})" if row.get("outcome") else ""
            title = named(chosen.benchmark.name, language)
            found.append({"benchmark": title, "item": row["id"], "answer": clip(text), "grade": grade + outcome})
    return Table(found)


def metrics_of(run_dir: Path) -> dict[int, dict[str, Any]]:
    """Read the metrics of every evaluated iteration; a RecordError where they are damaged."""
    found = {}
    for k, (folder, _) in manifests.of_stage(run_dir, "evaluate").items():
        metrics = manifests.read_manifest(folder, "metrics.json")
        if metrics and not isinstance(metrics.get("tasks"), dict):
            do = "isheep verify names all that differs from the record"
            raise RecordError("metrics.json holds no tasks: it was changed", where=manifests.short(folder), do=do)
        found |= {k: metrics} if metrics else {}
    return found


def results_table(by_iteration: dict[int, dict[str, Any]]) -> Table:
    """Show each benchmark's metrics, one column a model; M_0 is the base model."""
    if not by_iteration:
        return Table([], "no evaluation yet")
    names = dict.fromkeys(
        (name, metric) for m in by_iteration.values() for name, task in m["tasks"].items() for metric in task["values"]
    )
    rows, language = [], spoken_in(by_iteration[max(by_iteration)])
    for name, metric in names:
        tasks = {k: m["tasks"].get(name) for k, m in by_iteration.items()}
        subsets = sorted({task["subset"] for task in tasks.values() if task})
        row = {"benchmark": named(name, language), "items": " / ".join(subsets), "metric": METRICS[metric]}
        if any("unanswered" in task for m in by_iteration.values() for task in m["tasks"].values()):
            row["beyond the context"] = " / ".join(str(task.get("unanswered", 0)) if task else "" for task in tasks.values())
        values = {column(k): with_error(task and task["values"].get(metric)) for k, task in tasks.items()}
        rows.append(row | values)
    return Table(rows, f"percent; {ERRORS}")


def drift_table(by_iteration: dict[int, dict[str, Any]]) -> Table:
    """Show the signs of a collapse over iterations."""
    rows = [
        {"sign": title, **{column(k): sign(m, name) for k, m in by_iteration.items()}} for name, title in collapse.SIGNS.items()
    ]
    numbers = ", ".join(f"{m['signs']['answers']} ({column(k)})" for k, m in by_iteration.items())
    return Table(rows, f"of {numbers} {_open_answers(by_iteration[max(by_iteration)]) if by_iteration else 'open answers'}")


def warnings_table(by_iteration: dict[int, dict[str, Any]]) -> Table:
    """Show where a sign moved too far; a base model in another frame is no measure."""
    last = by_iteration[max(by_iteration)]["frame"] if by_iteration else ""
    series = {k: m["signs"] for k, m in by_iteration.items() if m["frame"] == last}
    rows = collapse.warning_rows(collapse.warnings(series))
    return Table(rows or [{"warnings": "none: no sign moved further than its rule allows"}])


def column(iteration: int) -> str:
    """Name a model's column."""
    return f"M_{iteration}" + (" (base)" if iteration == 0 else "")
