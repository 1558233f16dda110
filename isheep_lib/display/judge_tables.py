"""Tables of judged benchmarks: win rates, grades by category and turn, and what the judge itself favours.

Metrics are those of `judge.metrics` by iteration, with "self_preference" from the manifest; every table shows the models
that the same judge read, and its caption names that judge with its measured biases.
Covers showing. Does not cover computing (`judge`, `analysis.win_rates`) or the scores that need no judge
(`display.evaluation_tables`).
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from isheep_lib.analysis.win_rates import COLUMNS, LC_NAME
from isheep_lib.benchmarks.catalogue import BENCHMARKS
from isheep_lib.benchmarks.comparison import spoken_in
from isheep_lib.display.evaluation_tables import in_another, named
from isheep_lib.display.table import Table, clip
from isheep_lib.record import manifests

PAIRS, GRADES = "alpaca_eval", "mt_bench"
Metrics = dict[int, dict[str, Any]]  # by iteration
NOT_MEASURED = "not measured"
OF_TURN = "single_turn_score"
EXTRAPOLATED = "extrapolated: the model's answers are all shorter, or all longer, than the baseline's"


def recorded(run_dir: Path, before: int | None = None) -> Metrics:
    """Read the metrics of every judged model of a run, or of those before an iteration."""
    return {
        k: {
            **(manifests.read_manifest(folder, "metrics.json") or {}),
            "self_preference": manifest["self_preference"],
            "language": manifest.get("parameters", {}).get("language", "en"),
        }
        for k, (folder, manifest) in manifests.of_stage(run_dir, "judge").items()
        if before is None or k < before
    }


def opened_table(opened: Sequence[Any], judge: dict[str, Any]) -> Table:
    """Show who is to read what."""
    return Table(
        [
            {
                "benchmark": named(answered.name, answered.language),
                "items": answered.subset,
                "verdicts": 2 * len(answered.docs),
                "what is asked": "which answer is better, in both orders" if answered.name == PAIRS else "a grade, both turns",
                "licence": BENCHMARKS[answered.name].licence,
            }
            for answered in opened
        ],
        f"Judge: {judge_name(judge)}",
    )


def judge_name(judge: dict[str, Any]) -> str:
    """Name a judge; one whose weights are known is a local judge."""
    if not judge["local"]:
        return f"{judge['name']} (a chat server; verdicts {judge['verdicts']})"
    own = "M_0 of this run, " if judge["own"] else ""
    how = "written" if judge["verdicts"] == "written" else "from probabilities"
    return f"local judge {judge['name']} ({own}weights {judge['digest'][:8]}, {judge['engine']}; verdicts {how})"


def caption(by_iteration: Metrics) -> str:
    """Name the judge of the last model and its biases, measured on that model's pairs."""
    last = max(by_iteration)
    metrics = by_iteration[last]
    left = [f"M_{k}" for k in by_iteration if by_iteration[k]["judge"] != metrics["judge"]]
    lines = [f"Judge: {judge_name(metrics['judge'])}.", f"Its biases on M_{last}: {biases(metrics)}."]
    asked = [named(name, spoken_in(metrics)) for name in (PAIRS, GRADES) if name in metrics]
    lines += [f"What is asked: {', '.join(asked)}."] if any(in_another(n, spoken_in(metrics)) for n in (PAIRS, GRADES)) else []
    return " ".join([*lines, *([f"Left out, read by another judge: {', '.join(left)}."] if left else [])])


def biases(metrics: dict[str, Any]) -> str:
    """Put a judge's position bias, length bias and self-preference into words."""
    if PAIRS not in metrics:
        return "position, length and self-preference not measured, as no pairs were judged"
    pairs, own = metrics[PAIRS], metrics["self_preference"]
    words = [
        f"position {signed(pairs['position_bias']['bias'], pairs['position_bias']['se'])} (0.5: always the answer shown first)",
        f"longer answer preferred {longer(pairs)}",
        f"self-preference {preference(own)}",
    ]
    return "; ".join(words)


def preference(own: dict[str, Any]) -> str:
    """Write a self-preference in percentage points, or why it is not measurable."""
    if own["difference"] is None:
        return f"not measurable ({own['why']})"
    points = [None if own[name] is None else 100 * own[name] for name in ("difference", "se")]
    return f"{signed(*points, digits=1)} points ({own['items']} pairs)"


def longer(pairs: dict[str, Any]) -> str:
    """Write how often the longer answer won."""
    return percent(pairs["length_bias"]["longer_preferred"], pairs["length_bias"]["se"])


def win_table(by_iteration: Metrics) -> Table:
    """Show win rates against the benchmark's baseline, one row per model."""
    rows = []
    for k, metrics in of_one_judge(by_iteration, PAIRS).items():
        pairs = metrics[PAIRS]
        rate, controlled = pairs["win_rate"], pairs["length_controlled"]
        note = controlled["why"] or (EXTRAPOLATED if controlled["extrapolated"] else "")
        rows.append(
            {
                "model": f"M_{k}",
                "items": pairs["subset"],
                "baseline": pairs["baseline"],
                "win rate": percent(rate["win_rate"], rate["se"]),
                LC_NAME: percent(controlled["win_rate"], controlled["se"]),
                "read in both orders / in one": f"{rate['items']} / {rate['half_read']}",
                "mean characters, model / baseline": " / ".join(number(mean, digits=0) for mean in pairs["mean_characters"]),
                "note": note,
            }
        )
    return Table(rows or [{"AlpacaEval": "not judged"}], f"{caption(by_iteration)} ± is one standard error over items.")


def mt_bench_table(by_iteration: Metrics) -> Table:
    """Show mean grades by category and turn in the columns of the paper's Table 12, two rows per model."""
    rows = []
    for k, metrics in of_one_judge(by_iteration, GRADES).items():
        grades = metrics[GRADES]
        for means, errors in zip(grades["means"], grades["ses"], strict=True):
            row = {"model": f"M_{k}", "turn": means["turn"], "score": number(means[OF_TURN], errors[OF_TURN])}
            row |= {column.replace("_", " "): number(means[column]) for column in COLUMNS.values()}
            rows.append(row | {"average": number(means["average"], errors["average"])})
    if not rows:
        return Table([{"MT-Bench": "not judged"}], caption(by_iteration))
    last = list(of_one_judge(by_iteration, GRADES).values())[-1][GRADES]
    words = (
        f"{last['subset']} questions, grades 1 to 10, ± is one standard error over questions; the average is over both turns."
    )
    mass = last["label_mass"]
    read = "" if mass is None else f" {percent(mass)} of the probability fell on the numbers 1 to 10."
    return Table(rows, f"{caption(by_iteration)} {words}{read}")


def bias_table(by_iteration: Metrics) -> Table:
    """Show what the judge favours beside the better answer, a column a model."""
    columns = of_one_judge(by_iteration, PAIRS)
    rows: list[dict[str, Any]] = []
    for title, value in BIASES.items():
        rows.append({"measure": title, **{f"M_{k}": value(metrics[PAIRS]) for k, metrics in columns.items()}})
    own = {f"M_{k}": preference(metrics["self_preference"]) for k, metrics in columns.items()}
    rows.append({"measure": "self-preference: M_0's win rate above this model's, when M_0 judges", **own})
    alike = {f"M_{k}": controlled(metrics["self_preference"]) for k, metrics in columns.items()}
    rows.append({"measure": "self-preference, both win rates length-controlled (our fit)", **alike})
    words = "A longer or an own answer may simply be better: these numbers bound what a win rate can say, they prove no fault."
    return Table(rows if columns else [{"biases": NOT_MEASURED}], f"{caption(by_iteration)} {words}")


def controlled(own: dict[str, Any]) -> str:
    """Write a length-controlled self-preference, or why there is none."""
    if own["controlled"] is None:
        return f"not measurable ({own['why']})"
    return f"{signed(100 * own['controlled'], 100 * own['controlled_se'], 1)} points"


BIASES = {
    "position bias (0: none, 0.5: always the first)": lambda p: signed(p["position_bias"]["bias"], p["position_bias"]["se"]),
    "winner changes with the order": lambda p: percent(p["position_bias"]["flipped"]),
    "longer answer preferred, of decided pairs": longer,
    "decided pairs of different lengths": lambda p: p["length_bias"]["decided"],
    "length coefficient of our fit": lambda p: (
        signed(p["length_bias"]["coefficient"], p["length_bias"]["coefficient_se"]) + _why(p["length_bias"])
    ),
    "probability that fell on A and B": lambda p: "written verdicts" if p["label_mass"] is None else percent(p["label_mass"]),
}


def verdicts_table(opened: Sequence[Any], rows: dict[str, list[dict[str, Any]]], limit: int = 2) -> Table:
    """Show the first verdicts of each benchmark with the answer and what the judge said; both are another model's words."""
    found = []
    for answered in opened:
        for row in rows[answered.name][:limit]:
            answer = answered.answers[row["id"]]
            text = answer["answer"] if answered.name == PAIRS else answer["answers"][row["turn"] - 1]
            found.append(
                {
                    "benchmark": named(answered.name, answered.language),
                    "item": row["id"],
                    "asked": row["order"].replace("_", " ") if answered.name == PAIRS else f"turn {row['turn']}",
                    "answer": clip(text, 200),
                    "the judge said": clip(row["raw"], 400) if isinstance(row["raw"], str) else _logs(row["raw"]),
                    "verdict": _verdict(row),
                }
            )
    return Table(found, "preference: the probability that the model's answer is better than the baseline's; grades are 1 to 10")


def _logs(raw: list[float]) -> str:
    return "log p of the labels: " + ", ".join(f"{value:.2f}" for value in raw)


def _verdict(row: dict[str, Any]) -> str:
    if row["unread"]:
        return f"unread: {row['unread']}"
    return f"preference {row['preference']:.3f}" if "preference" in row else f"grade {row['score']:.2f}"


def _why(found: dict[str, Any]) -> str:
    return f" ({found['why']})" if found["why"] else ""


def of_one_judge(by_iteration: Metrics, benchmark: str) -> Metrics:
    """Choose the models that the last one's judge has read on a benchmark."""
    judge = by_iteration[max(by_iteration)]["judge"]
    return {k: m for k, m in sorted(by_iteration.items()) if m["judge"] == judge and benchmark in m}


def number(value: float | None, error: float | None = None, digits: int = 2, sign: str = "", none: str = "none") -> str:
    """Write a number with its standard error, or that there is none."""
    if value is None:
        return none
    return f"{value:{sign}.{digits}f}" + ("" if error is None else f" ± {error:.{digits}f}")


def percent(share: float | None, error: float | None = None) -> str:
    """Write a share in percent with its standard error."""
    if share is None:
        return NOT_MEASURED
    return f"{number(100 * share, None if error is None else 100 * error, 1)} %"


def signed(value: float | None, error: float | None, digits: int = 3) -> str:
    """Write a difference with its sign and standard error."""
    return number(value, error, digits, "+", NOT_MEASURED)
