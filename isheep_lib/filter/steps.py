"""Filtering: steps in the order given, such as heuristic rules and then the threshold (Algorithm 1, D_t; Appendix C).

A dropped row is the example with the first reason that struck it:
    {"id": "i1-r0-p003-t1", "instruction": "…", "output": "…", "reason": "fails_threshold",
     "detail": "pmi 0.05 is not above 0.25", "scores": {…}}

Covers decisions on scored pairs. Does not cover rules on instructions alone (`synthesize`).
"""

import operator
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from isheep_lib.analysis.contamination import Hit
from isheep_lib.analysis.kmeans import cluster
from isheep_lib.errors import DataError
from isheep_lib.filter.decontaminate import contaminated
from isheep_lib.filter.rules import RULES, Reasons, rule_problem
from isheep_lib.record.score_columns import columns

# Every reason with its meaning, in the order of application, for the notebook and the docs.
MEANINGS = {"benchmark_item": "it repeats an item of a benchmark (the step decontaminate, before all others)"} | {
    name: meaning for name, (meaning, _) in RULES.items()
}
MEANINGS |= {
    "echo": "more than max_copy_share of a response of at least 5 words is copied from the task",
    "unread_score": "a score that decides could not be read",
    "fails_threshold": "a score that decides does not compare with the threshold as `comparison` says",
    "high_perplexity": "the perplexity of the response, or of task and response, is over its limit",
    "same_cluster": "other pairs of its cluster were chosen",
    "not_in_top": "its rank is outside the share that is kept",
    "not_drawn": "the random control of the same size did not draw it",
}
COMPARISONS: dict[str, tuple[Callable[[float, float], bool], str]] = {
    "above": (operator.gt, "above"),
    "at_least": (operator.ge, "at least"),
    "below": (operator.lt, "below"),
    "at_most": (operator.le, "at most"),
}
CLUSTER_SHARE = 0.3  # clusters a pair when K is 0: the paper's 3000 of 10000


def threshold_problem(scores: dict[str, float], names: list[str], params: Any) -> tuple[str, str]:
    """Return why scores do not pass: every column must compare with C, strictly above in the paper (Section 3.4)."""
    missing = [name for name in names if name not in scores]
    if missing:
        return "unread_score", f"{missing[0]} could not be read"
    passes, said = COMPARISONS[params.comparison]
    for name in names:
        if not passes(scores[name], params.threshold):
            return "fails_threshold", f"{name} {scores[name]:.3g} is not {said} {params.threshold:g}"
    return "", ""


def perplexity_problem(scores: dict[str, float], params: Any) -> tuple[str, str]:
    """Return why perplexities do not pass: neither may be over its limit (paper, Appendix C)."""
    for name, limit in (("output", params.max_output_perplexity), ("pair", params.max_pair_perplexity)):
        value = scores.get(f"perplexity_{name}")
        if value is None:
            return "unread_score", f"perplexity_{name} could not be read"
        if value > limit:
            return "high_perplexity", f"perplexity_{name} {value:.1f} > {limit:g}"
    return "", ""


def row_problem(step: str, row: dict[str, Any], params: Any) -> tuple[str, str]:
    """Return why a step that looks at one pair at a time drops it, ("", "") if it does not."""
    if step == "rules":
        return rule_problem(row, params.max_copy_share)
    if step == "threshold":
        return threshold_problem(row["scores"], columns(params.scorer, params.criteria), params)
    return perplexity_problem(row["scores"], params)


def number_of_clusters(rows: int, wanted: int) -> int:
    """Return K, scaled to the data where it is 0."""
    return wanted or max(1, round(CLUSTER_SHARE * rows))


def _clustered(step: str, rows: list[dict[str, Any]], vectors: np.ndarray, params: Any, seed: int) -> Reasons:
    """Choose rows of every cluster: at random, or those of the lowest perplexity of task and response."""
    out: Reasons = {}
    draw = random.Random(seed)  # noqa: S311 - reproducible, not secret
    for number, group in enumerate(cluster(vectors, number_of_clusters(len(rows), params.clusters), seed)):
        if step == "density":
            chosen = set(draw.sample(group, min(params.rows_per_cluster, len(group))))
        else:
            ranked = sorted(group, key=lambda i: (rows[i]["scores"].get("perplexity_pair", np.inf), i))
            chosen = set(ranked[: params.rows_per_cluster])
        detail = f"cluster {number} has {len(group)} pairs"
        out |= {rows[i]["id"]: ("same_cluster", detail) for i in group if i not in chosen}
    return out


def _top(rows: list[dict[str, Any]], params: Any) -> Reasons:
    """Keep a share of the rows by the mean of a scorer's columns; equal ones in their order."""
    names = columns(params.top_scorer, params.criteria)
    means = {r["id"]: sum(r["scores"][n] for n in names) / len(names) for r in rows if all(n in r["scores"] for n in names)}
    out: Reasons = {r["id"]: ("unread_score", f"{params.top_scorer} could not be read") for r in rows if r["id"] not in means}
    ranked = sorted(means, key=lambda id_: -means[id_])
    keep = min(len(ranked), max(1, round(params.top_share * len(rows))))
    for rank, id_ in enumerate(ranked[keep:], start=keep + 1):
        out[id_] = ("not_in_top", f"{params.top_scorer} {means[id_]:.3g} is number {rank} of {len(rows)}")
    return out


@dataclass(frozen=True)
class Filtered:
    """What filtering left: kept and dropped rows in their order, and each step's line of the funnel."""

    kept: list[dict[str, Any]]
    dropped: list[dict[str, Any]]
    lines: list[dict[str, Any]]


def filter_pairs(
    pairs: list[dict[str, Any]],
    scored: list[dict[str, Any]],
    params: Any,
    seed_of: Callable[[str], int],
    vectors: np.ndarray | None = None,
    hits: Sequence[Hit] = (),
) -> Filtered:
    """Divide scored pairs into kept and dropped, each with its scores; a step sees what the steps before it kept.

    Args:
        pairs: rows of `examples.jsonl`.
        scored: rows of `scores.jsonl`, one for every pair.
        params: `FilterParams`.
        seed_of: name of a draw to seed.
        vectors: of all pairs, for density; shape pairs x size.
        hits: where pairs repeat benchmark items.

    Raises:
        DataError: pairs and scores are not about the same ids, or a scorer that decides was not run on all pairs.
    """
    by_id = {row["id"]: row for row in scored}
    if set(by_id) != {pair["id"] for pair in pairs}:
        raise DataError("scores.jsonl and examples.jsonl do not have the same ids", do="run assess.ipynb again")
    _require_scores(scored, params)
    rows = [{**pair, "scores": by_id[pair["id"]]["scores"]} for pair in pairs]
    place = {pair["id"]: i for i, pair in enumerate(pairs)}
    out = contaminated(rows, hits) if params.decontaminate == "drop" else {}
    lines = [] if params.decontaminate == "ignore" else [_line("decontaminate", len(rows), len(rows) - len(out))]
    left = clean = [row for row in rows if row["id"] not in out]
    for step in params.steps:
        if step == "top":
            struck = _top(left, params)
        elif step.startswith("density"):
            if vectors is None or len(vectors) != len(pairs):
                found = "no" if vectors is None else str(len(vectors))
                raise DataError(
                    f"{len(pairs)} pairs have {found} vectors", where="filter.steps", do="set assess.vectors to true"
                )
            own = vectors[[place[row["id"]] for row in left]]
            struck = _clustered(step, left, own, params, seed_of(step))
        else:
            found = {row["id"]: row_problem(step, row, params) for row in left}
            struck = {id_: problem for id_, problem in found.items() if problem[0]}
        lines.append(_line(step, len(left), len(left) - len(struck)))
        left = [row for row in left if row["id"] not in struck]
        out |= struck
    if params.random_control:
        before = {id_: reason for id_, reason in out.items() if reason[0] == "benchmark_item"}
        drawn, control = _control(clean, len(left), params, seed_of("random_control"))
        out, lines = before | drawn, lines[: len(lines) - len(params.steps)] + control
    dropped = [{**row, "reason": out[row["id"]][0], "detail": out[row["id"]][1]} for row in rows if row["id"] in out]
    return Filtered([row for row in rows if row["id"] not in out], dropped, lines)


def _line(step: str, came: int, kept: int) -> dict[str, Any]:
    """Write a step's line of the funnel."""
    return {"step": step, "in": came, "kept": kept}


def _control(rows: list[dict[str, Any]], number: int, params: Any, seed: int) -> tuple[Reasons, list[dict[str, Any]]]:
    """Draw as many rows as the steps kept, from those that pass the rules where rules are a step."""
    out: Reasons = {}
    if "rules" in params.steps:
        out = {row["id"]: problem for row in rows if (problem := row_problem("rules", row, params))[0]}
    pool = [row["id"] for row in rows if row["id"] not in out]
    lines = [_line("rules", len(rows), len(pool))] if "rules" in params.steps else []
    drawn = set(random.Random(seed).sample(pool, number))  # noqa: S311 - reproducible, not secret
    out |= {id_: ("not_drawn", f"{number} of {len(pool)} were drawn") for id_ in pool if id_ not in drawn}
    return out, [*lines, _line("random_control", len(pool), number)]


def deciding(params: Any) -> dict[str, list[str]]:
    """Name, by step, the score columns that decide."""
    needs = {
        "threshold": columns(params.scorer, params.criteria),
        "perplexity": columns("perplexity", "both"),
        "density_perplexity": ["perplexity_pair"],
        "top": columns(params.top_scorer, params.criteria),
    }
    return {step: needs[step] for step in params.steps if step in needs}


def _require_scores(scored: list[dict[str, Any]], params: Any) -> None:
    ran = {column for row in scored for column in (*row["scores"], *row["unread"])}
    for step, names in deciding(params).items():
        missing = [name for name in names if name not in ran]
        if scored and (missing or not names):
            raise DataError(
                f"The step {step} decides by {', '.join(missing) or 'no criterion'}, which no pair has",
                where="filter.steps, filter.scorer, filter.top_scorer or filter.criteria",
                allowed=", ".join(sorted(ran)) or "no scores at all: assess.scorers is empty",
                do="choose a scorer that assess ran on all pairs (assess.scorers, assess.level)",
            )
