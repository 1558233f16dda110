"""What a stage came to, in a sentence and a table: what it did, what it kept, and what it dropped for which reason.

    of_filter({"in": 56, "kept": 23, "dropped": {"cut_off": 33}})
    # "Of 56 pairs 23 (41 %) are kept to be learned from; dropped: cut off 33."

Everything is said from rows and counts, so that a record can be told again without its notebook. Covers the stages of an
iteration. Does not cover whether a run helped (`display.verdicts`) or where it stands on a page (`display.first_screen`).
"""

import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from isheep_lib.analysis.significance import IMPROVED, NOTHING_SHOWN, WORSE, comparison_rows
from isheep_lib.benchmarks.comparison import Compared, spoken_in
from isheep_lib.display.evaluation_tables import ERRORS, named, with_error
from isheep_lib.display.folded import Told
from isheep_lib.display.judge_tables import GRADES, PAIRS, Metrics, biases, judge_name, number, of_one_judge, percent
from isheep_lib.display.stage_tables import FEW, funnel_table, trust
from isheep_lib.display.table import Table
from isheep_lib.languages.rules import Language

Rows = Sequence[Mapping[str, Any]]


def model_name(iteration: int) -> str:
    """Name the model of an iteration."""
    return f"M_{iteration}" if iteration else "M_0 (the base model)"


def listed(names: Sequence[str]) -> str:
    """Write names one after the other as a sentence does."""
    return " and ".join(filter(None, (", ".join(names[:-1]), *names[-1:])))


def of_synthesis(model: str, method: str, counts: Mapping[str, Any], examples: Rows, teacher: str = "") -> Told:
    """Tell what was written and answered.

    Args:
        model: the run's model, in words.
        counts: the funnel, an answer a row.
        examples: the accepted pairs.
        teacher: a foreign model that wrote in its place.
    """
    who = f"{model} wrote tasks by the method {method} and answered them"
    if teacher:
        who = f"{teacher}, a foreign model, wrote tasks by the method {method}; {model} answered those without an answer"
    said = f"{who}: {_kept(counts, 'written')}."
    if examples:
        cut = sum(row.get("finish") == "length" for row in examples)
        middle = statistics.median(row["num_tokens"] for row in examples)
        said += f"\nAn answer has {middle:g} tokens in the median; the token limit ended {cut} of {len(examples)}."
    return Told(said, funnel_table(dict(counts)))


def of_assessment(model: str, counts: Mapping[str, Any], calibration: Mapping[str, Any], columns: Sequence[str]) -> Told:
    """Tell which scores were read, and what the check without labels says of those that a filter may use.

    Args:
        calibration: of each checked column, as `check.json` holds it.
        columns: the scores that all pairs were to get.
    """
    if not columns:
        said = f"No scorer was asked for: none of {counts['in']} pairs is assessed."
    else:
        whole = f"{counts['kept']} of {counts['in']} pairs have every score that was asked for"
        said = f"{model} scored its pairs by {listed(_plain(columns))}: {whole}{_dropped(counts, 'not read')}."
    said += "".join(f"\n{line}" for line in _of_check(calibration, columns))
    kinds = dict.fromkeys(kind for found in calibration.values() for kind in found["auroc"])
    rows = []
    for column, found in calibration.items():
        row = {"score": column, "scored": found["scored"], "mean": _decimals(found["mean"])}
        rows.append(row | {f"AUROC, {k.replace('_', ' ')}": trust(found["auroc"][k]) for k in kinds if k in found["auroc"]})
    caption = "How well each score tells true pairs from wrong ones: 0.5 is chance, with 95 % interval"
    return Told(said, Table(rows, caption) if rows else Table([{"check": "no scorer is checked"}]))


def _of_check(calibration: Mapping[str, Any], columns: Sequence[str]) -> list[str]:
    """Say of each score what the check found, and of which there is none."""
    lines, unchecked = [], []
    for column in columns:
        sides: dict[str, list[str]] = {}
        for kind, value in calibration.get(column, {}).get("auroc", {}).items():
            sides.setdefault(_side(value), []).append(kind.replace("_", " "))
        words = [f"{side} {listed(sides[side])}" for side in (PREFERS, NOT_TOLD, AGAINST, TOO_FEW) if side in sides]
        name = column.replace("_", " ")
        lines += [f"Against wrong answers to the same tasks, {name} {'; it '.join(words)} ones."] if words else []
        unchecked += [] if words else [name]
    return lines + ([f"How far it can be trusted was not checked of {listed(unchecked)}."] if unchecked else [])


PREFERS, NOT_TOLD = "prefers true answers to", "does not tell them from"
AGAINST, TOO_FEW = "prefers, worse than chance,", "has too few readable scores for"


def _side(found: Mapping[str, Any]) -> str:
    if min(found["true_pairs"], found["wrong_pairs"]) < FEW or found["low"] is None:
        return TOO_FEW
    return PREFERS if found["low"] > 0.5 else AGAINST if found["high"] < 0.5 else NOT_TOLD


def of_filter(counts: Mapping[str, Any], pairs: Rows = (), chance: bool = False) -> Told:
    """Tell what is learned from.

    Args:
        pairs: pairs of answers that were made for learning from preferences.
        chance: whether a random control chose in place of the filter's last steps.
    """
    by = ", drawn by chance as a control" if chance else ""
    said = f"{_kept(counts, 'pairs', f'to be learned from{by}')}."
    kinds = Counter(row["kind"] for row in pairs)
    if kinds:
        each = ", ".join(f"{n} by {kind.replace('_', ' ')}" for kind, n in sorted(kinds.items()))
        said += f"\nOf the answers {kinds.total()} pairs were made of which one is preferred: {each}."
    return Told(said[0].upper() + said[1:], funnel_table(dict(counts)))


def of_training(start: str, fates: Rows, log: Rows, verdict: str) -> Told:
    """Tell what was learned from, and whether it carried over to rows that were held out.

    Args:
        start: the model that training starts from, in words.
        fates: what became of each row, as `rows.jsonl` holds it.
        log: the steps of the training.
        verdict: what the held-out loss says, in sentences.
    """
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for row in fates:
        groups.setdefault(row["fate"], []).append(row)
    learned = groups.get("learned", [])
    steps = max((int(row["step"]) for row in log), default=0)
    said = f"A new model, trained from {start}, learned from {len(learned)} of {len(fates)} rows in {steps} optimizer steps; "
    said += f"{len(groups.get('held_out', []))} were held out to measure it."
    rows = [
        {"rows": fate.replace("_", " "), "number": len(group), "tokens to learn": sum(row["learned"] for row in group)}
        for fate, group in groups.items()
    ]
    return Told(f"{said}\n{verdict}", Table(rows or [{"rows": "none"}]))


def of_evaluation(model: str, metrics: Mapping[str, Any], compared: Sequence[Compared]) -> Told:
    """Tell how a model did beside each earlier one that it is compared with, the base model last."""
    tasks = metrics["tasks"]
    items = sum(task["values"][task["metric"]]["items"] for task in tasks.values())
    said = f"{model} was evaluated on {len(tasks)} benchmark(s), {items} values"
    verdicts = {pair.before: {row["task"]: row for row in comparison_rows(pair.found)} for pair in compared if pair.found}
    said += "".join(f"; against {name}: {counted(rows, spoken_in(metrics))}" for name, rows in verdicts.items())
    said += "." if verdicts else "; there is no earlier evaluation to compare it with."
    if metrics["absent"]:
        said += f"\nLeft out for want of data: {listed([named(name, spoken_in(metrics)) for name in metrics['absent']])}."
    rows = []
    for name, task in tasks.items():
        value = {"benchmark": named(name, spoken_in(metrics)), "percent": with_error(task["values"][task["metric"]])}
        for other, tests in verdicts.items():
            if name in tests:
                value[f"against {other}"] = f"{tests[name]['difference (95 % interval)']}, p {tests[name]['p (Holm)']}"
                value[f"verdict, {other}"] = tests[name]["verdict"]
        rows.append(value)
    tests = "; differences in percentage points with 95 % interval, p after Holm" if verdicts else ""
    return Told(said, Table(rows or [{"benchmarks": "none"}], f"percent, {ERRORS}{tests}"))


def counted(rows: Mapping[str, Mapping[str, str]], language: Language = "en") -> str:
    """Say on which benchmarks a model is better, worse, or not told from another.

    Args:
        rows: of `comparison_rows`, by benchmark.
        language: of the run.
    """
    of = {word: [named(name, language) for name, row in rows.items() if row["verdict"] == word] for word in WORDS}
    said = [f"{word} on {listed(of[verdict])}" for verdict, word in WORDS.items() if of[verdict] and word]
    said += [f"no difference shown on {len(of[NOTHING_SHOWN])} of {len(rows)}"] if of[NOTHING_SHOWN] else []
    return ", ".join(said) or "nothing can be compared"


WORDS = {IMPROVED: "better", WORSE: "worse", NOTHING_SHOWN: ""}


def of_judgement(model: str, found: Metrics, counts: Mapping[str, Any]) -> Told:
    """Tell what a judge said of a model's answers, what it favours itself, and what it said of earlier models.

    Args:
        found: metrics by iteration as `judge_tables.recorded` reads them, of the judged model last.
    """
    metrics = found[max(found)]
    rows: dict[int, dict[str, str]] = {}
    results = []
    if PAIRS in metrics:
        rate, baseline = metrics[PAIRS]["win_rate"], metrics[PAIRS]["baseline"]
        results.append(f"win {percent(rate['win_rate'], rate['se'])} against {baseline}")
    if GRADES in metrics:
        results.append(f"have a mean grade of {_grade(metrics)} of 10")
    said = (
        f"{judge_name(metrics['judge'])} read the answers of {model}: {counts['kept']} of {counts['in']} verdicts could be read"
    )
    said += f"{_dropped(counts, 'not read')}{'; the answers ' * bool(results)}{listed(results)}."
    said += f"\nWhat the judge itself favours: {biases(metrics)}."
    for name in (PAIRS, GRADES):
        for k, of_model in of_one_judge(found, name).items():
            rows.setdefault(k, {"model": model_name(k)}).update(_judged(name, of_model))
    table = Table([rows[k] for k in sorted(rows)] or [{"judged": "nothing"}], "± is one standard error over items")
    return Told(f"{said[0].upper()}{said[1:]}", table)


def _judged(name: str, metrics: Mapping[str, Any]) -> dict[str, str]:
    """Write what a judge said of a model on a benchmark, under what it is."""
    if name == PAIRS:
        rate = metrics[PAIRS]["win_rate"]
        return {f"win rate against {metrics[PAIRS]['baseline']}": percent(rate["win_rate"], rate["se"])}
    return {"mean grade of 10": _grade(metrics)}


def _grade(metrics: Mapping[str, Any]) -> str:
    """Write the mean grade over both turns, which stands with the last one."""
    return number(*(metrics[GRADES][name][-1]["average"] for name in ("means", "ses")))


def _kept(counts: Mapping[str, Any], what: str, use: str = "") -> str:
    share = f" ({100 * counts['kept'] / counts['in']:.0f} %)" if counts["in"] else ""
    kept = f"of {counts['in']} {what} {counts['kept']}{share} {'is' if counts['kept'] == 1 else 'are'} kept"
    return f"{kept}{' ' if use else ''}{use}{_dropped(counts)}"


def _dropped(counts: Mapping[str, Any], word: str = "dropped") -> str:
    reasons = ", ".join(f"{reason.replace('_', ' ')} {n}" for reason, n in counts["dropped"].items())
    return f"; {word}: {reasons}" if reasons else "" if counts["in"] else "; nothing came in"


def _plain(names: Sequence[str]) -> list[str]:
    return [name.replace("_", " ") for name in names]


def _decimals(value: float | None) -> Any:
    return "" if value is None else value
