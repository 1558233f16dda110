"""Scores: every pair by every scorer, each finished part in a journal.

A row of `scores.jsonl`, one for every pair; scores that were not run are absent:
    {"id": "i1-r0-p003-t1", "scores": {"greedy_quality": 8.0}, "unread": {}, "raw": {"greedy_quality": ["8||short and true"]}}

Scorers that ask: the written score `<score>||<explanation>` (paper, Section 3.3), greedy or sampled, and its expectation
over 1 to 10 in one forward pass. Scorers that only read: the pointwise mutual information of task and response, IFD
(Li et al. 2023, as the ratio of losses; Li et al. 2024, as that of perplexities), and perplexity (paper, Appendix C).
Covers scoring and parsing. Does not cover how far scores can be trusted (`assess`) or the decision (`filter`).
"""

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

from isheep_lib.engines.generate import generate_all, refuse_long
from isheep_lib.engines.protocol import Engine, Request, fill_journal
from isheep_lib.params import old_names
from isheep_lib.prompting.chat import Frame, render, user_words
from isheep_lib.prompting.score_parsing import LABELS, expectation, parse_score
from isheep_lib.record.funnel import funnel, require
from isheep_lib.record.journal import WAITS, Journal
from isheep_lib.record.rows import Task
from isheep_lib.record.score_columns import PROMPTED, RELATIVE, WRITTEN, columns, criteria

CHUNK = 16  # pairs scored between two journal entries
NO_TEXT = "nothing_to_score"
Pass = tuple[tuple[str, ...], list[dict[str, Any]]]  # scorers and pairs that are computed together
NEXT_EXAMPLE = "\n\nTask:"  # what a base model writes after a judgement among scored examples


@dataclass
class Scores:
    """Scores of one pair by column, why a column could not be read, and the texts it was read from, one a try."""

    id: str
    scores: dict[str, float] = field(default_factory=dict)
    unread: dict[str, str] = field(default_factory=dict)
    raw: dict[str, list[str]] = field(default_factory=dict)


def task_words(pair: dict[str, Any]) -> str:
    """Return a pair's task as the user would say it."""
    return user_words(Task(pair["id"], pair["instruction"], pair["input"]))


def judge_prompt(frame: Frame, criterion: str, pair: dict[str, Any], kind: str) -> str:
    """Frame the question about one criterion of one pair, in one of the paper's kinds: combined, simple or icl."""
    return frame.prompt(render(f"{criterion}-{kind}.txt", task=task_words(pair), response=pair["output"]))


def likelihoods(engine: Engine, frame: Frame, pairs: list[dict[str, Any]], scorers: list[str]) -> list[dict[str, float | None]]:
    """Compute the scorers that only read, None where there is nothing to read.

    With L the mean loss of the response's tokens, in nats: mutual information is L(alone) - L(with the task), IFD is
    L(with) / L(alone), or exp of their difference. "Alone" is the same frame with no words in it, so that both losses
    see the same kind of text. Perplexities are of the bare texts, of the response and of task and response together.
    """
    asked: list[tuple[str, str]] = []
    if {old_names.SCORERS.get(name, name) for name in scorers} & set(RELATIVE):
        for pair in pairs:
            response = pair["output"] + frame.end
            asked += [(frame.prompt(task_words(pair)), response), (frame.prompt(""), response)]
    relative = len(asked)
    if "perplexity" in scorers:
        for pair in pairs:
            asked += [("", pair["output"] or frame.end), ("", f"{task_words(pair)}\n\n{pair['output']}")]
    values = [(-total / max(1, number)) for total, number in engine.logprobs(asked)] if asked else []
    rows: list[dict[str, float | None]] = []
    for i, pair in enumerate(pairs):
        row: dict[str, float | None] = {}
        if relative:
            with_task, alone = values[2 * i : 2 * i + 2]
            row["pmi"] = row["mutual_information"] = round(alone - with_task, 5)
            row["ifd_loss"] = round(with_task / alone, 5) if alone else None
            row["ifd_perplexity"] = round(math.exp(with_task - alone), 5)
        if "perplexity" in scorers:
            output, whole = values[relative + 2 * i : relative + 2 * i + 2]
            row["perplexity_output"] = round(math.exp(output), 3) if pair["output"] else None
            row["perplexity_pair"] = round(math.exp(whole), 3)
        rows.append({c: row[c] for scorer in scorers for c in columns(scorer, "both")})
    return rows


def score_pairs(
    engine: Engine,
    frame: Frame,
    pairs: list[dict[str, Any]],
    scorers: list[str],
    params: Any,
    seed_of: Callable[[str], int],
    journal: Journal,
    retries: Journal | None = None,
    label: str = "scores",
) -> list[Scores]:
    """Run scorers on pairs; finished parts are in the journal, and what waits for another worker is unread.

    Args:
        engine: the model that judges.
        frame: its chat frame.
        pairs: rows with id, instruction, input, output.
        scorers: names, see `scorers`.
        params: `AssessParams`.
        seed_of: record id to seed.
        journal: of this set of pairs.
        retries: where unreadable scores are sampled again, once all first tries are there; the same journal by default.
        label: for the progress line.
    """
    results = {pair["id"]: Scores(pair["id"]) for pair in pairs}
    asked = {
        f"{pair['id']}/{criterion}": judge_prompt(frame, criterion, pair, params.assessment_prompt)
        for pair in pairs
        for criterion in criteria(params.level)
        if set(scorers) & set(PROMPTED)
    }
    if pairs and scorers:
        framed = {pair["id"]: f"{frame.prompt(task_words(pair))}{pair['output']}{frame.end}" for pair in pairs}
        refuse_long(engine, asked or framed)
    for scorer in (name for name in WRITTEN if name in scorers):
        by_name = {f"{scorer}/{id_}": prompt for id_, prompt in asked.items()}
        requests = [written_request(name, prompt, frame, params, scorer, seed_of(name)) for name, prompt in by_name.items()]
        generate_all(engine, requests, journal, f"{label}, {scorer}")
    _score_chunks(engine, frame, pairs, scorers, params, journal, label)
    journal.refresh()  # once, after everything: the last of several workers must see all scorers of the others
    for passed, chunk in _passes(pairs, scorers):
        found = journal.rows.get(_key(passed, chunk))
        names = [c for scorer in passed for c in columns(scorer, params.level)]
        for i, pair in enumerate(chunk):
            values = found["scores"][i] if found else dict.fromkeys(names, WAITS)
            results[pair["id"]].scores |= {c: v for c, v in values.items() if isinstance(v, float)}
            results[pair["id"]].unread |= {c: v or NO_TEXT for c, v in values.items() if not isinstance(v, float)}
    for scorer in (name for name in WRITTEN if name in scorers):
        _read_written(journal, results, scorer, params, 0)
    if "sampled" in scorers and not waiting(list(results.values())):
        _try_again(engine, frame, asked, results, params, seed_of, retries or journal)
    return list(results.values())


def _passes(pairs: list[dict[str, Any]], scorers: list[str]) -> list[Pass]:
    """Divide into what is computed together: the expectation, and all scorers that only read."""
    chunks = [pairs[start : start + CHUNK] for start in range(0, len(pairs), CHUNK)]
    reading = tuple(name for name in scorers if name not in PROMPTED)
    groups = [group for group in (reading, ("expected",) if "expected" in scorers else ()) if group]
    return [(group, chunk) for group in groups for chunk in chunks]


def _key(scorers: tuple[str, ...], chunk: list[dict[str, Any]]) -> str:
    return f"{'+'.join(scorers)}/{chunk[0]['id']}"


def _score_chunks(
    engine: Engine, frame: Frame, pairs: list[dict[str, Any]], scorers: list[str], params: Any, journal: Journal, label: str
) -> None:
    def ask(part: Pass) -> list[dict[str, Any]]:
        passed, chunk = part
        expected = passed == ("expected",)
        rows = _expected(engine, frame, chunk, params) if expected else likelihoods(engine, frame, chunk, list(passed))
        return [{"id": _key(passed, chunk), "scores": rows}]

    if passes := _passes(pairs, scorers):
        fill_journal(journal, passes, lambda part: {_key(*part): len(part[1])}, lambda some, _: map(ask, some), label, "pair")


def _expected(engine: Engine, frame: Frame, chunk: list[dict[str, Any]], params: Any) -> list[dict[str, float]]:
    wanted = criteria(params.level)
    prompts = [judge_prompt(frame, criterion, pair, params.assessment_prompt) for criterion in wanted for pair in chunk]
    values = [round(expectation(logs)[0], 4) for logs in engine.choices(prompts, LABELS)]
    by_criterion = [values[i * len(chunk) : (i + 1) * len(chunk)] for i in range(len(wanted))]
    return [dict(zip(columns("expected", params.level), row, strict=True)) for row in zip(*by_criterion, strict=True)]


def written_request(id_: str, prompt: str, frame: Frame, params: Any, scorer: str, seed: int) -> Request:
    """Ask for a written score: `greedy`, or `sampled` with its own temperature."""
    temperature, top_p = (params.sampled_temperature, params.sampled_top_p) if scorer == "sampled" else (0.0, 1.0)
    stop = (frame.end, NEXT_EXAMPLE) if params.assessment_prompt == "icl" else (frame.end,)
    return Request(id_, prompt, params.written_tokens, temperature, top_p, seed, stop=stop)


def _read_written(journal: Journal, results: dict[str, Scores], scorer: str, params: Any, tried: int) -> None:
    """Read the replies of one try into the rows; a row that has its score keeps it."""
    for id_, row in results.items():
        for criterion in criteria(params.level):
            name, column = f"{scorer}/{id_}/{criterion}" + (f"/try{tried}" if tried else ""), f"{scorer}_{criterion}"
            if tried and column not in row.unread:
                continue
            reply = journal.rows.get(name)
            if reply is None:
                row.unread[column] = WAITS
                continue
            value, reason = parse_score(reply["text"])
            row.raw.setdefault(column, []).append(reply["text"])
            row.unread.pop(column, None)
            if value is None:
                row.unread[column] = reason
            else:
                row.scores[column] = value


def _try_again(
    engine: Engine,
    frame: Frame,
    asked: dict[str, str],
    results: dict[str, Scores],
    params: Any,
    seed_of: Callable[[str], int],
    journal: Journal,
) -> None:
    """Sample unreadable scores again, each try with its own seed."""
    for tried in range(1, params.parse_retries + 1):
        unread = [
            f"{id_}/{criterion}"
            for id_, row in results.items()
            for criterion in criteria(params.level)
            if f"sampled_{criterion}" in row.unread
        ]
        if not unread:
            return
        by_name = {f"sampled/{id_}/try{tried}": asked[id_] for id_ in unread}
        requests = [written_request(name, prompt, frame, params, "sampled", seed_of(name)) for name, prompt in by_name.items()]
        generate_all(engine, requests, journal, f"unreadable scores, try {tried + 1}")
        _read_written(journal, results, "sampled", params, tried)


def waiting(scores: list[Scores]) -> int:
    """Count the pairs of which another worker has not finished a score yet."""
    return sum(WAITS in row.unread.values() for row in scores)


def require_read(pairs: list[dict[str, Any]], scores: list[Scores], wanted: list[str], max_unread: float) -> None:
    """Stop the stage when too many pairs lack a readable score, with examples; nothing is imputed.

    Of several workers the last one decides: only then every unreadable score was sampled again.

    Raises:
        YieldError: more than the share `max_unread` of the pairs.
    """
    if waiting(scores):
        return
    lacking = [(pair, row, [c for c in wanted if c in row.unread]) for pair, row in zip(pairs, scores, strict=True)]
    shown = [
        {"reason": f"{row.unread[c[0]]} in {c[0]}", "instruction": (row.raw.get(c[0]) or [pair["instruction"]])[-1]}
        for pair, row, c in lacking
        if c
    ]
    do = "look at the replies; change assessment_prompt, parse_retries or written_tokens, scorers, or max_unread"
    allowed = math.ceil((1 - max_unread) * len(pairs) - 1e-9)
    require(len(pairs) - len(shown), allowed, "pairs with all scores readable", shown, do)


def as_rows(scores: list[Scores]) -> list[dict[str, Any]]:
    """Turn scores into rows of a file."""
    return [asdict(row) for row in scores]


def counts(scores: list[Scores], wanted: list[str]) -> dict[str, Any]:
    """Count pairs with every wanted score, and those without by the first reason, or as waiting for another worker."""
    unread = [[row.unread[c] for c in wanted if c in row.unread] for row in scores]
    reasons = [WAITS if WAITS in found else (found or [None])[0] for found in unread]
    return funnel(len(scores), [{"reason": reason} for reason in reasons if reason])
