"""Filtering: steps in the order given, such as heuristic rules and then the threshold (Algorithm 1, D_t; Appendix C).

A dropped row is the example with the first reason that struck it:
    {"id": "i1-r0-p003-t1", "instruction": "…", "output": "…", "reason": "fails_threshold",
     "detail": "pmi 0.05 is not above 0.25", "scores": {…}}

Covers decisions on scored pairs. Does not cover a step (`filter.steps`), or rules on instructions alone (`synthesize`).
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from isheep_lib.analysis.contamination import Hit
from isheep_lib.errors import DataError
from isheep_lib.filter.params import Filter
from isheep_lib.filter.steps.rules import MISMATCH
from isheep_lib.filter.steps.step import Given, PairStep, Reasons, ScoredPair, Step
from isheep_lib.filter.steps.table import CONTROL, DECONTAMINATE, STEPS
from isheep_lib.record.rows import Pair

# What helps where one reason drops more than half of all pairs, and what does elsewhere.
ADVICE = {
    "cut_off": "answers do not end within synthesize.response_tokens: raise it, or, as a base model writes on and on, set "
    "synthesize.response_demonstrations",
    MISMATCH: "the model does not answer in synthesize.language: set the language that it answers in, or any, or take a model "
    "that speaks it; a base model is shown answers in it by synthesize.response_demonstrations",
}
ELSE = "loosen the last steps of filter.steps, or synthesize more"


@dataclass(frozen=True)
class Filtered:
    """What filtering left: kept and dropped rows in their order, each step's line of the funnel, what came to each step."""

    kept: list[dict[str, Any]]
    dropped: list[dict[str, Any]]
    lines: list[dict[str, Any]]
    came: dict[str, list[ScoredPair]]


def with_scores(pairs: Sequence[Pair], scored: Sequence[Mapping[str, Any]], params: Filter) -> list[ScoredPair]:
    """Give pairs their scores.

    Args:
        pairs: of the iteration.
        scored: rows of `scores.jsonl`, one for every pair.
        params: whose steps must find the columns that they decide by.

    Raises:
        DataError: pairs and scores are not about the same ids, or a scorer that decides was not run on all pairs.
    """
    by_id = {row["id"]: row["scores"] for row in scored}
    if set(by_id) != {pair.id for pair in pairs}:
        raise DataError("scores.jsonl and examples.jsonl do not have the same ids", do="run assess.ipynb again")
    _require_scores(scored, params)
    return [ScoredPair(pair, by_id[pair.id]) for pair in pairs]


def filter_pairs(
    rows: Sequence[ScoredPair],
    params: Filter,
    seed_of: Callable[[str], int],
    vectors: np.ndarray | None = None,
    hits: Sequence[Hit] = (),
) -> Filtered:
    """Divide scored pairs into kept and dropped, each with its scores; a step sees what the steps before it kept.

    Args:
        rows: scored pairs.
        params: the section `filter`.
        seed_of: name of a draw to seed.
        vectors: of all pairs, for density; shape pairs x size.
        hits: where pairs repeat benchmark items.

    Raises:
        DataError: a step needs vectors, and not every pair has one.
    """
    _require_vectors(rows, params, vectors)
    out = DECONTAMINATE.apply(rows, params, Given(hits=hits)) if params.decontaminate == "drop" else {}
    lines = [] if params.decontaminate == "ignore" else [_line(DECONTAMINATE, len(rows), len(rows) - len(out))]
    clean = [row for row in rows if row.id not in out]
    place = {row.id: i for i, row in enumerate(rows)}
    left, struck, more, came = clean, {}, [], {}
    for step in params.chosen():
        own = vectors[[place[row.id] for row in left]] if vectors is not None and step.needs_vectors else None
        came[step.name] = left
        found = step.apply(left, params, Given(seed_of(step.name), own))
        more.append(_line(step, len(left), len(left) - len(found)))
        left = [row for row in left if row.id not in found]
        struck |= found
    if params.random_control:
        struck, more = _control(clean, len(left), params, seed_of(CONTROL.name))
    out |= struck
    kept = [_row(row) for row in rows if row.id not in out]
    dropped = [_row(row) | {"reason": out[row.id][0], "detail": out[row.id][1]} for row in rows if row.id in out]
    return Filtered(kept, dropped, [*lines, *more], came)


def _row(row: ScoredPair) -> dict[str, Any]:
    return {**row.pair.as_row(), "scores": dict(row.scores)}


def _line(step: Step, came: int, kept: int) -> dict[str, Any]:
    """Write a step's line of the funnel."""
    return {"step": step.name, "in": came, "kept": kept}


def _control(rows: list[ScoredPair], number: int, params: Filter, seed: int) -> tuple[Reasons, list[dict[str, Any]]]:
    """Draw as many rows as the steps kept, from those that pass the rules where rules are a step."""
    rules = STEPS["rules"]
    out = rules.apply(rows, params, Given()) if rules in params.chosen() else {}
    pool = [row for row in rows if row.id not in out]
    lines = [_line(rules, len(rows), len(pool))] if rules in params.chosen() else []
    out |= CONTROL.apply(pool, params, Given(seed, number=number, one_a_task=STEPS["best_answer"] in params.chosen()))
    return out, [*lines, _line(CONTROL, len(pool), number)]


def advice(dropped: Sequence[Mapping[str, Any]], total: int) -> str:
    """Say what to do where too few pairs are kept, by the reason that drops more than half of all, if one does."""
    name, number = next(iter(Counter(row["reason"] for row in dropped).most_common(1)), ("", 0))
    said = ADVICE.get(name, "") if 2 * number > total else ""
    return f"{number} of {total} were dropped as {name}: {said}" if said else ELSE


def verdicts(row: ScoredPair, params: Filter) -> dict[str, str]:
    """Say by name what each step that looks at one pair at a time says of a pair."""
    found = {step.name: step.problem(row, params) for step in params.chosen() if isinstance(step, PairStep)}
    return {name: ": ".join(part for part in problem if part) or "passes" for name, problem in found.items()}


def deciding(params: Filter) -> dict[str, list[str]]:
    """Name, by step, the score columns that decide."""
    return {step.name: by.columns for step in params.chosen() if (by := step.by(params))}


def _require_scores(scored: Sequence[Mapping[str, Any]], params: Filter) -> None:
    ran = {column for row in scored for column in (*row["scores"], *row["unread"])}
    for step, names in deciding(params).items():
        missing = [name for name in names if name not in ran]
        if scored and (missing or not names):
            raise DataError(
                f"The step {step} decides by {', '.join(missing) or 'no criterion'}, which no pair has",
                where="filter.steps, filter.scorer, filter.top_scorer, filter.best_scorer or filter.criteria",
                allowed=", ".join(sorted(ran)) or "no scores at all: assess.scorers is empty",
                do="choose a scorer that assess ran on all pairs (assess.scorers, assess.level)",
            )


def _require_vectors(rows: Sequence[ScoredPair], params: Filter, vectors: np.ndarray | None) -> None:
    if any(step.needs_vectors for step in params.chosen()) and (vectors is None or len(vectors) != len(rows)):
        found = "no" if vectors is None else str(len(vectors))
        raise DataError(f"{len(rows)} pairs have {found} vectors", where="filter.steps", do="set assess.vectors to true")
