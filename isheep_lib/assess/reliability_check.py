"""Self-assessment: the model scores its own pairs, and the check of how far such scores can be trusted.

The check needs no labels: a score that means anything is higher for a pair than for the same task with a wrong response.
Its document `check.json`, by score column:
    {"expected_quality": {"mean": 7.1, "saturation": 0.25, "scored": 12, "auroc": {"shuffled": {"value": 0.81, …}, …}}}

Covers the wrong responses, reliability, saturation. Does not cover scoring (`assess.scoring`) or the decision (`filter`).
"""

import math
import random
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from isheep_lib.analysis.reliability import Reliability, auroc
from isheep_lib.assess.params import Assess
from isheep_lib.assess.scoring import Assessment, Scores, score_pairs, waiting
from isheep_lib.languages.words import word_places, words
from isheep_lib.prompting.chat import user_words
from isheep_lib.record.funnel import require
from isheep_lib.record.journal import Journal
from isheep_lib.record.rows import Pair, first_of_each
from isheep_lib.scorers.scorer import TOP, criteria
from isheep_lib.scorers.table import columns_of, scorer, scorer_of

VECTORS = "vectors.npy"


def asks(params: Assess) -> bool:
    """Tell whether a stage needs its model at all."""
    return bool(params.scorers or params.checked_scorers or params.vectors)


def example_prompt(assessment: Assessment, pair: Pair) -> str:
    """Show what a scorer that asks asks of a pair; scorers that only read ask nothing."""
    params = assessment.params
    if assessment.frame is None or not any(scorer(name).asks for name in (*params.scorers, *params.checked_scorers)):
        return "no scorer asks the model a question"
    return assessment.question(criteria(params.level)[0], pair)


def write_vectors(assessment: Assessment, pairs: list[Pair], scores: list[Scores], out: Path) -> tuple[str, ...]:
    """Write the final layer's vectors of task and response together, mean over tokens: float32, pairs x size.

    Returns:
        The files written: none where vectors are not wanted, or where this worker waits for others.
    """
    if not assessment.params.vectors or waiting(scores):
        return ()
    engine, frame = assessment.opened
    texts = [frame.literal(f"{user_words(pair.task)}\n\n{pair.output}") for pair in pairs]
    out.mkdir(parents=True, exist_ok=True)
    np.save(out / VECTORS, np.asarray(engine.embed(texts), dtype=np.float32))
    return (VECTORS,)


def shuffled(pairs: list[Pair], seed: int) -> list[str]:
    """Return, for every task, the response to another: a random cyclic shift, so none keeps its own."""
    order = list(range(len(pairs)))
    random.Random(seed).shuffle(order)  # noqa: S311 - reproducible, not secret
    partner = dict(zip(order, order[1:] + order[:1], strict=True))
    return [pairs[partner[i]].output for i in range(len(pairs))]


def truncated(pairs: list[Pair]) -> list[str]:
    """Return the first half of every response's words; a response of one word stays."""
    found = []
    for pair in pairs:
        places = word_places(pair.output)
        found.append(pair.output[: places[(len(places) + 1) // 2 - 1][1]])
    return found


def wrong_task(pairs: list[Pair], others: list[Pair]) -> list[str]:
    """Return, for every task, the response to the most similar other task: the largest share of words in common."""
    bags = [set(words(user_words(other.task))) for other in others]
    found = []
    for pair in pairs:
        own = set(words(user_words(pair.task)))
        near = [
            (len(own & bag) / (len(own | bag) or 1), -i)
            for i, (other, bag) in enumerate(zip(others, bags, strict=True))
            if other.task_id != pair.task_id and other.output not in ("", pair.output)
        ]
        found.append(others[-max(near)[1]].output if near else "")
    return found


def corrupt(kind: str, sample: list[Pair], pairs: list[Pair], seed: int) -> list[Pair]:
    """Give the sampled tasks wrong responses of one kind: shuffled, truncated, or of the most similar other task."""
    outputs = (
        shuffled(sample, seed)
        if kind == "shuffled"
        else truncated(sample)
        if kind == "truncated"
        else wrong_task(sample, pairs)
    )
    return [replace(pair, id=f"{pair.id}/{kind}", output=text) for pair, text in zip(sample, outputs, strict=True)]


def checked_sample(pairs: list[Pair], number: int, seed: int) -> list[Pair]:
    """Draw the pairs of the check, in their original order, one of a task; empty outputs say nothing and are left out."""
    usable = first_of_each((pair for pair in pairs if pair.output.strip()), lambda pair: pair.task_id)
    chosen = random.Random(seed).sample(range(len(usable)), min(number, len(usable)))  # noqa: S311
    return [usable[i] for i in sorted(chosen)]


def reliability(
    true: list[Scores], wrong: list[Scores], column: str, resamples: int, seed: int, corruption: str = "shuffled"
) -> Reliability:
    """Compute the AUROC of a column with a percentile bootstrap that resamples pairs, true and wrong together.

    Where lower is better (perplexity, IFD), the AUROC is that of the negated score.
    """
    sign = -1.0 if scorer_of(column).lower_is_better else 1.0
    a = sign * np.array([row.scores.get(column, np.nan) for row in true])
    b = sign * np.array([row.scores.get(column, np.nan) for row in wrong])
    rng = np.random.default_rng(seed)
    draws = rng.integers(0, len(a), size=(resamples, len(a)))
    values = np.array([auroc(a[draw], b[draw]) for draw in draws])
    values = values[~np.isnan(values)]
    low, high = np.percentile(values, [2.5, 97.5]) if len(values) else (np.nan, np.nan)
    unread = int(np.isnan(a).sum() + np.isnan(b).sum())
    counts = int((~np.isnan(a)).sum()), int((~np.isnan(b)).sum())
    return Reliability(column, corruption, auroc(a, b), float(low), float(high), *counts, unread)


@dataclass(frozen=True)
class Check:
    """The self-assessment check: scores of true pairs and of each kind of wrong ones, and each column's reliability."""

    true: list[Scores]
    wrong: dict[str, list[Scores]]
    found: list[Reliability]
    columns: list[str]

    def rows(self) -> list[Scores]:
        """Return the scores of all pairs of the check."""
        return [*self.true, *(row for rows in self.wrong.values() for row in rows)]


def run_check(assessment: Assessment, pairs: list[Pair], scores: list[Scores], journal: Journal) -> Check:
    """Score a sample of pairs and the same tasks with wrong responses; a worker that waits for others makes an empty check.

    Args:
        assessment: the model that assesses.
        pairs: all pairs.
        scores: their scores; what a scorer said of all pairs is not computed again.
        journal: of the check.

    Raises:
        YieldError: fewer than two pairs have a response.
    """
    params, seed_of = assessment.params, assessment.seed_of
    names = columns_of(params.checked_scorers, params.level)
    if waiting(scores) or not names or assessment.engine is None:
        return Check([], {}, [], [])
    sample = checked_sample(pairs, params.checked_pairs, seed_of("check/sample"))
    require(len(sample), 2, "pairs with a response to check", [], "look at the responses in synthesize.ipynb")
    wrong_pairs = {kind: corrupt(kind, sample, pairs, seed_of("check/shuffle")) for kind in params.corruptions}
    flat = [pair for rows in wrong_pairs.values() for pair in rows]
    known = [name for name in params.checked_scorers if name in params.scorers]
    fresh = [name for name in params.checked_scorers if name not in params.scorers]
    both = score_pairs(replace(assessment, label="check"), sample + flat, fresh, journal)
    again = score_pairs(replace(assessment, label="check, wrong pairs"), flat, known, journal)
    by_id = {row.id: row for row in [*scores, *again]}
    rows = [_joined(row, by_id[row.id]) for row in both]
    true, rest = rows[: len(sample)], rows[len(sample) :]
    wrong: dict[str, list[Scores]]
    wrong = {kind: rest[i * len(sample) : (i + 1) * len(sample)] for i, kind in enumerate(params.corruptions)}
    seed = seed_of("check/bootstrap")
    found = [reliability(true, rows, name, params.bootstrap, seed, kind) for name in names for kind, rows in wrong.items()]
    return Check(true, wrong, found, names)


def _joined(one: Scores, other: Scores) -> Scores:
    return Scores(one.id, one.scores | other.scores, one.unread | other.unread, one.raw | other.raw)


def calibration(scores: list[Scores], check: Check) -> dict[str, dict[str, Any]]:
    """Return what an iteration keeps of every checked column: mean, saturation and each AUROC; what is undefined is null.

    Mean and saturation, the share of scores that round to 10, are over all pairs where the scorer was run on all, else
    over the check's true pairs.
    """
    document: dict[str, dict[str, Any]] = {}
    for column in check.columns:
        everywhere = [row.scores[column] for row in scores if column in row.scores]
        values = everywhere or [row.scores[column] for row in check.true if column in row.scores]
        top = sum(value >= TOP for value in values) / len(values) if values and scorer_of(column).asks else math.nan
        document[column] = {
            "scored": len(values),
            "mean": _rounded(math.fsum(values) / len(values) if values else math.nan),
            "saturation": _rounded(top),
            "auroc": {},
        }
    for r in check.found:
        values = {
            k: _rounded(v) if isinstance(v, float) else v for k, v in asdict(r).items() if k not in ("column", "corruption")
        }
        document[r.column]["auroc"][r.corruption] = {"value": values.pop("auroc"), **values}
    return document


def _rounded(value: float) -> float | None:
    return None if math.isnan(value) else round(value, 4)
