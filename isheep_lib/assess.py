"""Self-assessment: the model scores its own pairs, and the check of how far such scores can be trusted.

A row of `scores.jsonl`, one for every pair; scores that were not run are absent:
    {"id": "i1-r0-p003-t1", "scores": {"mutual_information": 1.24}, "unread": {}, "raw": {}}

Three scorers: the written score `<score>||<explanation>` (paper, Section 3.3), its expectation over the numbers 1 to
10 in one forward pass, and the pointwise mutual information of instruction and response, which needs no prompt.
Covers scoring, parsing, the check. Does not cover the decision (`filter`).
"""

import math
import random
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from isheep_lib.counts import funnel, require
from isheep_lib.engines import Engine, Request, generate_all, refuse_long
from isheep_lib.journal import WAITS, Journal
from isheep_lib.progress import Progress
from isheep_lib.prompts import Frame, render, user_words
from isheep_lib.reading import LABELS, expectation, parse_score
from isheep_lib.records import Task
from isheep_lib.tables import Table, clip
from isheep_lib.text import copy_share

AXES = ("quality", "following")
CHUNK = 16  # pairs scored between two journal entries


@dataclass
class Scores:
    """Scores of one pair by column, why a column could not be read, and the text it was read from."""

    id: str
    scores: dict[str, float] = field(default_factory=dict)
    unread: dict[str, str] = field(default_factory=dict)
    raw: dict[str, str] = field(default_factory=dict)


def columns(scorer: str) -> list[str]:
    """Name the score columns of a scorer: one an axis for prompted scorers."""
    return [scorer] if scorer == "mutual_information" else [f"{scorer}_{axis}" for axis in AXES]


def judge_prompt(frame: Frame, axis: str, pair: dict[str, Any]) -> str:
    """Frame the question about one axis of one pair."""
    task = user_words(Task(pair["id"], pair["instruction"], pair["input"]))
    return frame.prompt(render(f"{axis}.txt", task=task, response=pair["output"]))


def mutual_information(engine: Engine, frame: Frame, pairs: list[dict[str, Any]]) -> list[float]:
    """Return log p(response | instruction) - log p(response) per token, in nats.

    The second term uses the same frame with no words in it, so that both terms see the same kind of text.
    """
    given = [(frame.prompt(user_words(Task(p["id"], p["instruction"], p["input"]))), p["output"] + frame.end) for p in pairs]
    alone = [(frame.prompt(""), p["output"] + frame.end) for p in pairs]
    values = engine.logprobs(given + alone)
    with_task, without = values[: len(pairs)], values[len(pairs) :]
    return [round((a - b) / n, 5) for (a, n), (b, _) in zip(with_task, without, strict=True)]


def score_pairs(
    engine: Engine,
    frame: Frame,
    pairs: list[dict[str, Any]],
    scorers: list[str],
    params: Any,
    seed_of: Callable[[str], int],
    journal: Journal,
    label: str = "scores",
) -> list[Scores]:
    """Run scorers on pairs; finished parts are in the journal, and what waits for another worker is unread.

    Args:
        engine: the model that judges.
        frame: its chat frame.
        pairs: rows with id, instruction, input, output.
        scorers: names, see `columns`.
        params: `AssessParams`.
        seed_of: record id to seed.
        journal: of this set of pairs.
        label: for the progress line.
    """
    asked = {f"{pair['id']}/{axis}": judge_prompt(frame, axis, pair) for pair in pairs for axis in AXES}  # the longest texts
    refuse_long(engine, asked)
    if "text" in scorers:
        requests = [written_request(id_, prompt, frame, params, seed_of(id_)) for id_, prompt in asked.items()]
        generate_all(engine, requests, journal, f"{label}, written")
    chunks = [pairs[start : start + CHUNK] for start in range(0, len(pairs), CHUNK)]
    passes = [(scorer, chunk) for scorer in scorers if scorer != "text" for chunk in chunks]
    mine = journal.mine(passes)
    with Progress(label, sum(len(chunk) for _, chunk in mine), unit="pair") as progress:
        for scorer, chunk in mine:
            if _key(scorer, chunk) not in journal.rows:
                journal.append([{"id": _key(scorer, chunk), "scores": _score_chunk(engine, frame, chunk, scorer)}])
            progress.advance(len(chunk))
    journal.refresh()  # once, after everything: the last of several workers must see all scorers of the others
    results = {pair["id"]: Scores(pair["id"]) for pair in pairs}
    for scorer, chunk in passes:
        found = journal.rows.get(_key(scorer, chunk))
        for i, pair in enumerate(chunk):
            if found:
                results[pair["id"]].scores |= found["scores"][i]
            else:
                results[pair["id"]].unread |= dict.fromkeys(columns(scorer), WAITS)
    if "text" in scorers:
        _read_text(journal, results)
    return list(results.values())


def _key(scorer: str, chunk: list[dict[str, Any]]) -> str:
    return f"{scorer}/{chunk[0]['id']}"


def _score_chunk(engine: Engine, frame: Frame, chunk: list[dict[str, Any]], scorer: str) -> list[dict[str, float]]:
    if scorer == "mutual_information":
        return [{scorer: value} for value in mutual_information(engine, frame, chunk)]
    prompts = [judge_prompt(frame, axis, pair) for axis in AXES for pair in chunk]
    values = [round(expectation(logs)[0], 4) for logs in engine.choices(prompts, LABELS)]
    by_axis = [values[i * len(chunk) : (i + 1) * len(chunk)] for i in range(len(AXES))]
    return [dict(zip(columns(scorer), row, strict=True)) for row in zip(*by_axis, strict=True)]


def written_request(id_: str, prompt: str, frame: Frame, params: Any, seed: int) -> Request:
    """Ask for a written score."""
    return Request(id_, prompt, params.text_tokens, params.text_temperature, seed=seed, stop=(frame.end,))


def _read_text(journal: Journal, results: dict[str, Scores]) -> None:
    for id_, row in results.items():
        for axis in AXES:
            reply, column = journal.rows.get(f"{id_}/{axis}"), f"text_{axis}"
            if reply is None:
                row.unread[column] = WAITS
                continue
            value, reason = parse_score(reply["text"])
            row.raw[column] = reply["text"]
            if value is None:
                row.unread[column] = reason
            else:
                row.scores[column] = value


def waiting(scores: list[Scores]) -> int:
    """Count the pairs of which another worker has not finished a score yet."""
    return sum(WAITS in row.unread.values() for row in scores)


def shuffled(pairs: list[dict[str, Any]], seed: int) -> list[dict[str, Any]]:
    """Give every instruction the response of another: a random cyclic shift, so none keeps its own."""
    order = list(range(len(pairs)))
    random.Random(seed).shuffle(order)  # noqa: S311 - reproducible, not secret
    partner = dict(zip(order, order[1:] + order[:1], strict=True))
    return [{**pair, "id": f"{pair['id']}/shuffled", "output": pairs[partner[i]]["output"]} for i, pair in enumerate(pairs)]


def checked_sample(pairs: list[dict[str, Any]], number: int, seed: int) -> list[dict[str, Any]]:
    """Draw the pairs of the check, in their original order; empty outputs say nothing and are left out."""
    usable = [pair for pair in pairs if pair["output"]]
    chosen = random.Random(seed).sample(range(len(usable)), min(number, len(usable)))  # noqa: S311
    return [usable[i] for i in sorted(chosen)]


@dataclass(frozen=True)
class Reliability:
    """How well one score column tells true pairs from shuffled ones.

    Attributes:
        column: the score column.
        auroc: area under the ROC curve; 0.5 is chance. NaN when a side has no readable score.
        low: lower end of the 95 % bootstrap interval over pairs.
        high: upper end.
        true_pairs: readable scores of true pairs.
        shuffled_pairs: readable scores of shuffled pairs.
        unread: replies without a readable score, both sides.
    """

    column: str
    auroc: float
    low: float
    high: float
    true_pairs: int
    shuffled_pairs: int
    unread: int


def reliability(true: list[Scores], false: list[Scores], column: str, resamples: int, seed: int) -> Reliability:
    """Compute the AUROC of a column with a percentile bootstrap that resamples pairs, true and shuffled together."""
    a = np.array([row.scores.get(column, np.nan) for row in true])
    b = np.array([row.scores.get(column, np.nan) for row in false])
    rng = np.random.default_rng(seed)
    draws = rng.integers(0, len(a), size=(resamples, len(a)))
    values = np.array([auroc(a[draw], b[draw]) for draw in draws])
    values = values[~np.isnan(values)]
    low, high = np.percentile(values, [2.5, 97.5]) if len(values) else (np.nan, np.nan)
    unread = int(np.isnan(a).sum() + np.isnan(b).sum())
    counts = int((~np.isnan(a)).sum()), int((~np.isnan(b)).sum())
    return Reliability(column, auroc(a, b), float(low), float(high), *counts, unread)


def auroc(positive: np.ndarray, negative: np.ndarray) -> float:
    """Return P(positive > negative) + P(equal) / 2 over all pairs, NaN values left out."""
    positive, negative = positive[~np.isnan(positive)], negative[~np.isnan(negative)]
    if not len(positive) or not len(negative):
        return math.nan
    above = (positive[:, None] > negative[None, :]).mean()
    equal = (positive[:, None] == negative[None, :]).mean()
    return float(above + equal / 2)


@dataclass(frozen=True)
class Check:
    """The self-assessment check: scores of true and of shuffled pairs, and the reliability of each column."""

    true: list[Scores]
    shuffled: list[Scores]
    found: list[Reliability]


def run_check(
    engine: Engine,
    frame: Frame,
    pairs: list[dict[str, Any]],
    scores: list[Scores],
    params: Any,
    seed_of: Callable[[str], int],
    journal: Journal,
) -> Check:
    """Score a sample of pairs and the same responses shuffled; a worker that waits for others makes an empty check.

    Args:
        engine: the model that judges.
        frame: its chat frame.
        pairs: all pairs.
        scores: their scores; what a scorer said of all pairs is not computed again.
        params: `AssessParams`.
        seed_of: record id to seed.
        journal: of the check.

    Raises:
        YieldError: fewer than two pairs have a response.
    """
    if waiting(scores):
        return Check([], [], [])
    sample = checked_sample(pairs, params.checked_pairs, seed_of("check/sample"))
    require(len(sample), 2, "pairs with a response to check", [], "look at the responses in synthesize.ipynb")
    false_pairs = shuffled(sample, seed_of("check/shuffle"))
    known = [name for name in params.checked_scorers if name in params.scorers]
    fresh = [name for name in params.checked_scorers if name not in params.scorers]
    both = score_pairs(engine, frame, sample + false_pairs, fresh, params, seed_of, journal, "check")
    again = score_pairs(engine, frame, false_pairs, known, params, seed_of, journal, "check, shuffled")
    by_id = {row.id: row for row in scores}
    true = [_joined(row, by_id[row.id]) for row in both[: len(sample)]]
    false = [_joined(row, other) for row, other in zip(both[len(sample) :], again, strict=True)]
    names = [column for scorer in params.checked_scorers for column in columns(scorer)]
    seed = seed_of("check/bootstrap")
    return Check(true, false, [reliability(true, false, name, params.bootstrap, seed) for name in names])


def _joined(one: Scores, other: Scores) -> Scores:
    return Scores(one.id, one.scores | other.scores, one.unread | other.unread, one.raw | other.raw)


def as_rows(scores: list[Scores]) -> list[dict[str, Any]]:
    """Turn scores into rows of a file."""
    return [asdict(row) for row in scores]


def counts(scores: list[Scores], wanted: list[str]) -> dict[str, Any]:
    """Count pairs with every wanted score, and those without by the first reason, or as waiting for another worker."""
    unread = [[row.unread[c] for c in wanted if c in row.unread] for row in scores]
    reasons = [WAITS if WAITS in found else (found or [None])[0] for found in unread]
    return funnel(len(scores), [{"reason": reason} for reason in reasons if reason])


def summary(found: list[Reliability]) -> dict[str, dict[str, Any]]:
    """Return the check as a document; an AUROC without readable scores is null."""
    rows = {}
    for r in found:
        values = asdict(r)
        column = values.pop("column")
        rows[column] = {k: _rounded(v) if isinstance(v, float) else v for k, v in values.items()}
    return rows


def _rounded(value: float) -> float | None:
    return None if math.isnan(value) else round(value, 4)


def ranked_table(pairs: list[dict[str, Any]], scores: list[Scores], scorer: str, number: int) -> Table:
    """Show the pairs with the highest and the lowest score of a scorer's first column, with their copy share."""
    column = columns(scorer)[0]
    both = [(row.scores[column], pair) for row, pair in zip(scores, pairs, strict=True) if column in row.scores]
    both.sort(key=lambda item: -item[0])
    chosen = [("highest", item) for item in both[:number]] + [("lowest", item) for item in both[number:][-number:]]
    rows = []
    for side, (value, pair) in chosen:
        task = user_words(Task(pair["id"], pair["instruction"], pair["input"]))
        shown = {"task": clip(task), "response": clip(pair["output"]), "copied": f"{copy_share(pair['output'], task):.0%}"}
        rows.append({"side": side, column: f"{value:.2f}", **shown})
    return Table(rows)


def unread_table(scores: list[Scores], number: int = 5) -> Table:
    """Show some written scores that could not be read, with the raw text."""
    rows = [
        {"id": row.id, "score": column, "reason": reason, "raw text": clip(row.raw[column])}
        for row in scores
        for column, reason in row.unread.items()
        if reason != WAITS
    ]
    return Table(rows[:number] or [{"written scores": "all could be read"}], f"{len(rows)} written score(s) could not be read")
