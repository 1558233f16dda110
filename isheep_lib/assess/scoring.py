"""Scores: every pair by every scorer, each finished part in a journal.

A row of `scores.jsonl`, one for every pair; scores that were not run are absent:
    {"id": "i1-r0-p003-t1", "scores": {"greedy_quality": 8.0}, "unread": {}, "raw": {"greedy_quality": ["8||short and true"]}}

Covers asking and reading for many pairs. Does not cover a scorer (`scorers`), how far scores can be trusted
(`assess.reliability_check`) or the decision (`filter`).
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Protocol

from isheep_lib.assess.params import Assess
from isheep_lib.engines.generate import generate_all, overlong
from isheep_lib.engines.protocol import SPARE, Engine, Request, fill_journal
from isheep_lib.errors import EngineError
from isheep_lib.prompting.chat import Frame, user_words
from isheep_lib.prompting.prompt_files import Prompts, english
from isheep_lib.prompting.score_parsing import LABELS
from isheep_lib.prompting.thinking import answer_part
from isheep_lib.record.funnel import funnel, require
from isheep_lib.record.journal import WAITS, Journal
from isheep_lib.record.rows import Pair
from isheep_lib.scorers.likelihoods import likelihoods
from isheep_lib.scorers.scorer import Choice, Likelihood, Odds, Scorer, Written, criteria
from isheep_lib.scorers.table import SCORERS, scorer
from isheep_lib.scorers.verdict import Question

CHUNK = 16  # pairs scored between two journal entries
NO_TEXT, LONG = "nothing_to_score", "beyond_context"
Part = tuple[tuple[Scorer, ...], list[Pair]]  # scorers and pairs that are computed together


class Judges(Protocol):
    """Judges that have learned from pairs of known order."""

    def odds(self, pairs: Sequence[Pair]) -> list[float]:
        """Return the log odds that each response is right, by a judge that has seen nothing of the pair's task."""


@dataclass(frozen=True)
class Assessment:
    """The model that assesses, and how it is asked.

    Attributes:
        engine: the model; none where nothing is assessed.
        frame: its chat frame.
        params: the section `assess`.
        seed_of: record id to seed.
        label: for the progress line.
        judges: what the scorer learned asks; none where it is not used.
        prompts: the texts that ask, in the language of the run.
    """

    engine: Engine | None
    frame: Frame | None
    params: Assess
    seed_of: Callable[[str], int]
    label: str = "scores"
    judges: Judges | None = None
    prompts: Prompts = field(default_factory=english)

    @property
    def opened(self) -> tuple[Engine, Frame]:
        """The model and its frame where there is something to ask."""
        if self.engine is None or self.frame is None:
            raise EngineError("No model is open", where="assess", do="open one: a scorer or vectors are wanted")
        return self.engine, self.frame

    def question(self, criterion: str, pair: Pair) -> str:
        """Frame the question about one criterion of a pair, in one of the paper's kinds: combined, simple or icl."""
        file = f"{criterion}-{self.params.assessment_prompt}.txt"
        return self.opened[1].prompt(self.prompts.render(file, task=user_words(pair.task), response=pair.output))

    def request(self, id_: str, prompt: str, scorer: Written, seed: int) -> Request:
        """Ask for a written score."""
        frame, (temperature, top_p) = self.opened[1], scorer.sampling(self.params)
        stop = (frame.end, *self._next_example())
        return Request(id_, prompt, self.params.written_tokens, temperature, top_p, seed, stop=stop)

    def verdict(self, pair: Pair) -> str:
        """Frame the question whether a response is right."""
        return Question(self.opened[1], self.prompts).about(pair)

    def _next_example(self) -> tuple[str, ...]:
        """Return what a base model writes after a judgement among scored examples: the label of the next task."""
        if self.params.assessment_prompt != "icl":
            return ()
        label = self.prompts.opening_of(f"{criteria(self.params.level)[0]}-icl.txt", "task")
        return (f"\n\n{label}",) if label else ()


@dataclass
class Scores:
    """Scores of one pair by column, why a column could not be read, and the texts it was read from, one a try."""

    id: str
    scores: dict[str, float] = field(default_factory=dict)
    unread: dict[str, str] = field(default_factory=dict)
    raw: dict[str, list[str]] = field(default_factory=dict)


def score_pairs(
    assessment: Assessment, pairs: list[Pair], scorers: Sequence[str], journal: Journal, retries: Journal | None = None
) -> list[Scores]:
    """Run scorers on pairs; finished parts are in the journal, and what waits for another worker is unread.

    A pair that does not fit the model's context, in a question or alone, is unread by every scorer.

    Args:
        assessment: the model that assesses.
        pairs: to be scored.
        scorers: names (`scorers.table`).
        journal: of this set of pairs.
        retries: where unreadable scores are asked for again, once all first tries are there; the same journal by default.
    """
    results = {pair.id: Scores(pair.id) for pair in pairs}
    chosen = [scorer(name) for name in scorers]
    level = assessment.params.level
    written = [each for each in SCORERS.values() if isinstance(each, Written) and each in chosen]
    long = too_long(assessment, pairs, chosen)
    for id_ in long:
        results[id_].unread = {column: LONG for each in chosen for column in each.columns(level)}
    pairs = [pair for pair in pairs if pair.id not in long]
    asked = _questions(assessment, pairs, chosen)
    for each in written:
        _write(assessment, each, {f"{each.name}/{id_}": prompt for id_, prompt in asked.items()}, journal, each.name)
    _score_chunks(assessment, pairs, chosen, journal)
    journal.refresh()  # once, after everything: the last of several workers must see all scorers of the others
    for together, chunk in _parts(pairs, chosen):
        found = journal.rows.get(_key(together, chunk))
        names = [c for each in together for c in each.columns(level)]
        for i, pair in enumerate(chunk):
            values = found["scores"][i] if found else dict.fromkeys(names, WAITS)
            results[pair.id].scores |= {c: v for c, v in values.items() if isinstance(v, float)}
            results[pair.id].unread |= {c: v or NO_TEXT for c, v in values.items() if not isinstance(v, float)}
    fitting = {pair.id: results[pair.id] for pair in pairs}
    for each in written:
        _read_written(journal, asked, fitting, each, level)
    for each in written:
        if each.tries_again and not waiting(list(fitting.values())):
            _try_again(assessment, asked, fitting, each, retries or journal)
    return list(results.values())


def _questions(assessment: Assessment, pairs: list[Pair], scorers: Sequence[Scorer]) -> dict[str, str]:
    """Frame a question for each pair and criterion, named by both, where a scorer asks at all."""
    asked = criteria(assessment.params.level) if any(each.asks for each in scorers) else ()
    return {f"{pair.id}/{criterion}": assessment.question(criterion, pair) for pair in pairs for criterion in asked}


def too_long(assessment: Assessment, pairs: list[Pair], scorers: Sequence[Scorer]) -> set[str]:
    """Return the ids of pairs that leave no room for a score in the model's context."""
    if not pairs or not scorers:
        return set()
    (engine, frame), written = assessment.opened, any(isinstance(each, Written) for each in scorers)
    alone = {pair.id: f"{frame.prompt(user_words(pair.task))}{frame.literal(pair.output)}{frame.end}" for pair in pairs}
    asked = _questions(assessment, pairs, scorers)
    if any(isinstance(each, Odds) for each in scorers):
        asked |= {f"{pair.id}/verdict": assessment.verdict(pair) for pair in pairs}
    questions = overlong(engine, asked, max(SPARE, assessment.params.written_tokens if written else 0))
    return {*overlong(engine, alone), *(name.rpartition("/")[0] for name in questions)}


def _write(assessment: Assessment, scorer: Written, prompts: dict[str, str], journal: Journal, said: str) -> None:
    """Let the model write one reply to each prompt."""
    requests = [assessment.request(name, prompt, scorer, assessment.seed_of(name)) for name, prompt in prompts.items()]
    generate_all(assessment.opened[0], requests, journal, f"{assessment.label}, {said}")


def _parts(pairs: list[Pair], scorers: list[Scorer]) -> list[Part]:
    """Divide into what is computed together: all scorers that only read, each choice, and each verdict."""
    chunks = [pairs[start : start + CHUNK] for start in range(0, len(pairs), CHUNK)]
    reading = tuple(each for each in scorers if isinstance(each, Likelihood))
    groups = [*([reading] if reading else []), *((each,) for each in scorers if isinstance(each, Choice | Odds))]
    return [(group, chunk) for group in groups for chunk in chunks]


def _key(scorers: tuple[Scorer, ...], chunk: list[Pair]) -> str:
    return f"{'+'.join(each.name for each in scorers)}/{chunk[0].id}"


def _score_chunks(assessment: Assessment, pairs: list[Pair], scorers: list[Scorer], journal: Journal) -> None:
    def ask(part: Part) -> list[dict[str, Any]]:
        together, chunk = part
        if isinstance(together[0], Choice):
            rows = _choose(assessment, chunk, together[0])
        elif isinstance(together[0], Odds):
            rows = [{together[0].name: value} for value in odds(assessment, chunk, together[0])]
        else:
            rows = likelihoods(*assessment.opened, chunk, [each for each in together if isinstance(each, Likelihood)])
        return [{"id": _key(together, chunk), "scores": rows}]

    if parts := _parts(pairs, scorers):
        fill_journal(
            journal, parts, lambda part: {_key(*part): len(part[1])}, lambda some, _: map(ask, some), assessment.label, "pair"
        )


def _choose(assessment: Assessment, chunk: list[Pair], scorer: Choice) -> list[dict[str, float]]:
    wanted = criteria(assessment.params.level)
    prompts = [assessment.question(criterion, pair) for criterion in wanted for pair in chunk]
    values = [round(scorer.score(logs)[0], 4) for logs in assessment.opened[0].choices(prompts, LABELS)]
    by_criterion = [values[i * len(chunk) : (i + 1) * len(chunk)] for i in range(len(wanted))]
    names = scorer.columns(assessment.params.level)
    return [dict(zip(names, row, strict=True)) for row in zip(*by_criterion, strict=True)]


def odds(assessment: Assessment, chunk: list[Pair], scorer: Odds) -> list[float]:
    """Ask whether each response is right: a judge that has learned it, or the model that assesses."""
    if not scorer.learns:
        logs = assessment.opened[0].choices([assessment.verdict(pair) for pair in chunk], assessment.prompts.words.answers)
        return [scorer.score(each) for each in logs]
    if assessment.judges is None:
        raise EngineError(
            "No judge was trained", where=f"assess, scorer {scorer.name}", do="train them first, as assess.ipynb does"
        )
    return assessment.judges.odds(chunk)


def _read_written(
    journal: Journal, asked: dict[str, str], results: dict[str, Scores], scorer: Written, level: str, tried: int = 0
) -> None:
    """Read the replies of one try into the rows; a row that has its score keeps it."""
    for id_, row in results.items():
        for criterion, column in zip(criteria(level), scorer.columns(level), strict=True):
            name = f"{scorer.name}/{id_}/{criterion}" + (f"/try{tried}" if tried else "")
            if tried and column not in row.unread:
                continue
            reply = journal.rows.get(name)
            if reply is None:
                row.unread[column] = WAITS
                continue
            value, reason = scorer.score(answer_part(reply["text"], asked[f"{id_}/{criterion}"]))
            row.raw.setdefault(column, []).append(reply["text"])
            row.unread.pop(column, None)
            if value is None:
                row.unread[column] = reason
            else:
                row.scores[column] = value


def _try_again(
    assessment: Assessment, asked: dict[str, str], results: dict[str, Scores], scorer: Written, journal: Journal
) -> None:
    """Ask for unreadable scores again, each try with its own seed."""
    level = assessment.params.level
    both = list(zip(criteria(level), scorer.columns(level), strict=True))
    for tried in range(1, assessment.params.parse_retries + 1):
        unread = [f"{id_}/{c}" for id_, row in results.items() for c, column in both if column in row.unread]
        if not unread:
            return
        prompts = {f"{scorer.name}/{id_}/try{tried}": asked[id_] for id_ in unread}
        _write(replace(assessment, label="unreadable scores"), scorer, prompts, journal, f"try {tried + 1}")
        _read_written(journal, asked, results, scorer, level, tried)


def waiting(scores: list[Scores]) -> int:
    """Count the pairs of which another worker has not finished a score yet."""
    return sum(WAITS in row.unread.values() for row in scores)


def require_read(pairs: list[Pair], scores: list[Scores], wanted: list[str], max_unread: float) -> None:
    """Stop the stage when too many pairs lack a readable score, with examples; nothing is imputed.

    Of several workers the last one decides: only then every unreadable score was sampled again.

    Raises:
        YieldError: more than the share `max_unread` of the pairs.
    """
    if waiting(scores):
        return
    lacking = [(pair, row, [c for c in wanted if c in row.unread]) for pair, row in zip(pairs, scores, strict=True)]
    shown = [
        {"reason": f"{row.unread[c[0]]} in {c[0]}", "instruction": (row.raw.get(c[0]) or [pair.instruction])[-1]}
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
