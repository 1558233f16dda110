"""Judged benchmarks: which of two answers is better (AlpacaEval), and how good one is from 1 to 10 (MT-Bench).

A verdict is read from what the judge writes, or from the probabilities of the letters A and B or of the numbers 1 to 10;
`raw` is the text, or the logarithms of these probabilities. Every item comes out with a value or with a reason.
Covers asking a judge about answers that exist. Does not cover making them, or what judgements add up to (`analysis.win_rates`).
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from isheep_lib.analysis.win_rates import ORDERS, Lengths
from isheep_lib.engines.generate import generate_all, overlong
from isheep_lib.engines.protocol import SPARE, Engine, Request, fill_journal
from isheep_lib.prompting.chat import Frame
from isheep_lib.prompting.prompt_files import Prompts, english
from isheep_lib.prompting.score_parsing import LABELS, expectation
from isheep_lib.prompting.thinking import answer_part
from isheep_lib.prompting.verdict_parsing import MODEL_WINS, parse_grade, parse_verdict
from isheep_lib.record.journal import WAITS, Journal

Verdicts = Literal["written", "probabilities"]
CHUNK = 16  # prompts read between two journal entries
NO_ANSWER = "no_answer"
CUT = "cut_off"  # the reply reached its limit before its verdict
REFUSED = "refused"  # the judge's server filtered the prompt or its answer
LONG = "beyond_context"  # the prompt leaves no room for a verdict in the judge's context
LETTERS = ["A", "B"]
Docs = Sequence[dict[str, Any]]  # items of a benchmark, each with "id"
Answers = Mapping[str, dict[str, Any]]  # what `evaluate` recorded, by id


@dataclass(frozen=True)
class Judge:
    """Who judges, in which frame, and how its verdicts are read."""

    engine: Engine  # the model that judges
    frame: Frame  # its chat frame
    verdicts: Verdicts  # "written" or "probabilities"
    written_tokens: int = 512  # limit of a written verdict with its explanation
    prompts: Prompts = field(default_factory=english)  # the texts that ask


@dataclass(frozen=True)
class Reply:
    """What a judge said to one prompt: a text with why it ended, or the logarithms of the labels' probabilities."""

    raw: str | list[float]
    finish: str = ""
    answer: str = ""  # the text without what was thought aloud


def answer_lengths(docs: Docs, answers: Answers) -> Lengths:
    """Return the lengths of the model's answers and of the data's own in characters, for `win_rates`."""
    return {doc["id"]: (len(own), len(doc["output"])) for doc in docs if (own := _answer(doc, answers)) is not None}


def _answer(doc: dict[str, Any], answers: Answers) -> str | None:
    return answers.get(doc["id"], {}).get("answer")


def judge_pairs(
    judge: Judge, docs: Docs, answers: Answers, seed_of: Callable[[str], int], journal: Journal
) -> list[dict[str, Any]]:
    """Ask a judge about every pair in both orders; finished parts are in the journal.

    Args:
        docs: AlpacaEval's rows: id, instruction, and the baseline's output.
        answers: by id, the model's "answer"; one that is absent is no answer.

    Returns:
        Two rows per pair, in the order of pairs; unread with a reason where there is no answer, where the prompt does not fit
        the judge's context, and what waits for another worker.
    """
    prompts = {}
    for doc in docs:
        if (own := _answer(doc, answers)) is not None:
            for order, name in _pair_names(doc["id"]).items():
                first, second = (own, doc["output"]) if order == ORDERS[0] else (doc["output"], own)
                words = {"instruction": doc["instruction"], "first": first, "second": second}
                prompts[name] = judge.frame.prompt(judge.prompts.render(f"judge-pair-{judge.verdicts}.txt", **words))
    replies = _ask(judge, prompts, LETTERS, seed_of, journal, "AlpacaEval verdicts")
    rows = []
    for doc in docs:
        for order, name in _pair_names(doc["id"]).items():
            value, reason, raw = _read(replies.get(name), _share_of_first, parse_verdict, name not in prompts)
            first = MODEL_WINS[value] if isinstance(value, str) else value
            preference = first if order == ORDERS[0] or first is None else round(1 - first, 6)
            rows.append({"id": doc["id"], "order": order, "preference": preference, "unread": reason, "raw": raw})
    return rows


def grade_turns(
    judge: Judge, docs: Docs, answers: Answers, seed_of: Callable[[str], int], journal: Journal
) -> list[dict[str, Any]]:
    """Ask a judge for a grade of 1 to 10 for both answers of every conversation; finished parts are in the journal.

    Args:
        docs: MT-Bench's rows: id, category, turns, and perhaps reference, where "" is none.
        answers: by id, the model's "answers" to both turns; one that is absent or None is no answer.

    Returns:
        Two rows per question; what waits for another worker is unread.
    """
    prompts = {}
    for doc in docs:
        for turn in (1, 2):
            words = turn_words(doc, answers.get(doc["id"], {}).get("answers", []), turn)
            if words:
                name = f"judge-turn{turn}{'-reference' if 'reference' in words else ''}-{judge.verdicts}.txt"
                prompts[_grade_name(doc["id"], turn)] = judge.frame.prompt(judge.prompts.render(name, **words))
    replies = _ask(judge, prompts, LABELS, seed_of, journal, "MT-Bench grades")
    rows = []
    for doc in docs:
        for turn in (1, 2):
            name = _grade_name(doc["id"], turn)
            score, reason, raw = _read(replies.get(name), _expected_grade, parse_grade, name not in prompts)
            row = {"id": doc["id"], "category": doc["category"], "turn": turn, "score": score, "unread": reason, "raw": raw}
            rows.append(row)
    return rows


def turn_words(doc: dict[str, Any], answers: Sequence[str | None], turn: int) -> dict[str, str]:
    """Return the words that the prompt of one turn takes; nothing where an answer up to it is absent."""
    given = [answer for answer in answers[:turn] if answer is not None]
    if len(given) < turn:
        return {}
    words = {"question": doc["turns"][turn - 1], "answer": given[-1]}
    if turn == 2:
        words |= {"first_question": doc["turns"][0], "first_answer": given[0]}
    references = doc.get("reference") or []
    if len(references) >= turn and references[turn - 1]:
        words["reference"] = references[turn - 1]
    return words


def _pair_names(id_: str) -> dict[str, str]:
    return {order: f"pair/{id_}/{order}" for order in ORDERS}


def _grade_name(id_: str, turn: int) -> str:
    return f"grade/{id_}/{turn}"


def _share_of_first(logs: list[float]) -> float:
    """Return p(A) / (p(A) + p(B)) given the logarithms."""
    return round((1 + math.tanh((logs[0] - logs[1]) / 2)) / 2, 6)


def _expected_grade(logs: list[float]) -> float:
    return round(expectation(logs)[0], 4)


def _read(
    reply: Reply | None, of_logs: Callable[[list[float]], float], of_text: Callable[[str], tuple[Any, str]], unanswered: bool
) -> tuple[Any, str, str | list[float]]:
    """Return the value or None, the reason why it is unread, and what it was read from."""
    if unanswered or reply is None:
        return None, NO_ANSWER if unanswered else WAITS, ""
    if reply.finish == LONG:
        return None, LONG, ""
    if not isinstance(reply.raw, str):
        return of_logs(reply.raw), "", reply.raw
    value, reason = of_text(reply.answer)
    if reason in ("no_verdict", "no_number"):
        reason = {"length": CUT, REFUSED: REFUSED}.get(reply.finish, reason)
    return value, reason, reply.raw


def _ask(
    judge: Judge, prompts: dict[str, str], labels: list[str], seed_of: Callable[[str], int], journal: Journal, label: str
) -> dict[str, Reply]:
    """Put every prompt that fits to the judge; return what is at hand by name."""
    written = judge.verdicts == "written"
    long = overlong(judge.engine, prompts, judge.written_tokens if written else SPARE)
    unasked = {name: Reply("", LONG) for name in long}
    prompts = {name: prompt for name, prompt in prompts.items() if name not in long}
    if not prompts:
        return unasked
    if written:
        stop = (judge.frame.end,)
        requests = [Request(n, p, judge.written_tokens, seed=seed_of(n), stop=stop) for n, p in prompts.items()]
        done = generate_all(judge.engine, requests, journal, label)
        return unasked | {n: Reply(c.text, c.finish, answer_part(c.text, prompts[n])) for n, c in done.items()}
    names = list(prompts)
    chunks = [names[start : start + CHUNK] for start in range(0, len(names), CHUNK)]

    def ask(chunk: list[str]) -> list[dict[str, Any]]:
        return [{"id": _key(chunk), "logs": judge.engine.choices([prompts[name] for name in chunk], labels)}]

    fill_journal(journal, chunks, lambda chunk: {_key(chunk): len(chunk)}, lambda lacking, _: map(ask, lacking), label)
    rows = {_key(chunk): chunk for chunk in chunks if _key(chunk) in journal.rows}
    both = ((n, logs) for key, chunk in rows.items() for n, logs in zip(chunk, journal.rows[key]["logs"], strict=True))
    return unasked | {name: Reply(logs) for name, logs in both}


def _key(chunk: list[str]) -> str:
    return f"probabilities/{chunk[0]}"
