"""Filtering: heuristic rules, then the threshold (Algorithm 1, D_t).

A dropped row is the example with the first reason that struck it:
    {"id": "i1-r0-p003-t1", "instruction": "…", "output": "…", "reason": "below_threshold",
     "detail": "mutual_information 0.05 <= 0.25", "scores": {…}}

Covers decisions on scored pairs. Does not cover rules on instructions alone (`synthesize`).
"""

import re
from collections.abc import Callable
from typing import Any

from isheep_lib.errors import DataError
from isheep_lib.prompts import user_words
from isheep_lib.records import Task
from isheep_lib.text import copy_share, words

ROLE = re.compile(r"^\s*(?:assistant|system|human|question|output|user|input|instruction)\s*:", re.IGNORECASE | re.MULTILINE)
CHOICES = re.compile(r"answer choices\s*:", re.IGNORECASE)
LETTERED = re.compile(r"^\s*\(?[A-D][.)]\s+\S.*\n\s*\(?[B-E][.)]\s+\S", re.MULTILINE)
FOLLOW_UP = re.compile(r"\n\s*\n\s*(?:question|q)\s*\d*\s*[:.]|\n\s*\n[^\n]{0,200}\?\s*$", re.IGNORECASE)
CHINESE = re.compile(r"[\u4e00-\u9fff]")
PLACEHOLDER = re.compile(r"<[A-Za-z][\w \-]*>|\[(?:insert|your|name|date)\b[^\]]*\]", re.IGNORECASE)
SPECIAL = re.compile(r"<\|[\w ]+\|>")

Rule = Callable[[dict[str, Any]], object]
RULES: dict[str, tuple[str, Rule]] = {
    "empty_output": ("the response has no word", lambda row: not words(row["output"])),
    "cut_off": ("the token limit ended the response", lambda row: row["finish"] == "length"),
    "special_token": ("a token of the chat frame stands in the text", lambda row: SPECIAL.search(_all(row))),
    "dialogue": ("a line of the response begins with a role", lambda row: ROLE.search(row["output"])),
    "answer_choices": ("multiple choice", lambda row: CHOICES.search(_all(row)) or LETTERED.search(row["output"])),
    "follow_up": ("the response ends by asking another question", lambda row: FOLLOW_UP.search(row["output"])),
    "chinese": ("Chinese characters", lambda row: CHINESE.search(_all(row))),
    "placeholder": ("a placeholder such as <name>", lambda row: PLACEHOLDER.search(_all(row))),
    "input_repeats": ("the input is contained in the instruction", lambda row: _repeats(row)),
}
# Every reason with its meaning, in the order of application, for the notebook and the docs.
MEANINGS = {name: meaning for name, (meaning, _) in RULES.items()} | {
    "echo": "more of the response than max_copy_share is copied from the task",
    "unread_score": "a score that decides could not be read",
    "below_threshold": "a score that decides is not above the threshold",
}


def _all(row: dict[str, Any]) -> str:
    return f"{row['instruction']}\n{row['input']}\n{row['output']}"


def _repeats(row: dict[str, Any]) -> bool:
    return bool(row["input"]) and row["input"].lower() in row["instruction"].lower()


def rule_problem(row: dict[str, Any], max_copy_share: float) -> tuple[str, str]:
    """Return the first rule that a pair breaks and the detail, ("", "") if none."""
    for name, (meaning, broken) in RULES.items():
        if broken(row):
            return name, meaning
    share = copy_share(row["output"], user_words(Task(row["id"], row["instruction"], row["input"])))
    if share > max_copy_share:
        return "echo", f"{share:.0%} of the response is copied from the task"
    return "", ""


def score_problem(scores: dict[str, float], columns: list[str], threshold: float) -> tuple[str, str]:
    """Return why scores do not pass: every column must be strictly above the threshold (paper, Section 3.4)."""
    for column in columns:
        if column not in scores:
            return "unread_score", f"{column} could not be read"
    for column in columns:
        if not scores[column] > threshold:
            return "below_threshold", f"{column} {scores[column]:.3g} <= {threshold:g}"
    return "", ""


def decide(row: dict[str, Any], columns: list[str], params: Any) -> tuple[str, str]:
    """Return the first reason against a scored pair and its detail, ("", "") if it is kept."""
    reason, detail = rule_problem(row, params.max_copy_share) if params.rules else ("", "")
    return (reason, detail) if reason else score_problem(row["scores"], columns, params.threshold)


def filter_pairs(
    pairs: list[dict[str, Any]], scored: list[dict[str, Any]], columns: list[str], params: Any
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Divide scored pairs into kept and dropped, each with its scores; order is kept.

    Args:
        pairs: rows of `examples.jsonl`.
        scored: rows of `scores.jsonl`, one for every pair.
        columns: score columns that decide.
        params: `FilterParams`.

    Raises:
        DataError: pairs and scores are not about the same ids, or the scorer was not run on all pairs.
    """
    by_id = {row["id"]: row for row in scored}
    if set(by_id) != {pair["id"] for pair in pairs}:
        raise DataError("scores.jsonl and examples.jsonl do not have the same ids", do="run assess.ipynb again")
    if scored and not any(column in row["scores"] or column in row["unread"] for row in scored for column in columns):
        ran = sorted({column for row in scored for column in row["scores"]})
        raise DataError(
            f"No pair has a score of {params.scorer!r}",
            where="filter.scorer",
            allowed=", ".join(ran),
            do="choose a scorer that assess ran on all pairs (assess.scorers)",
        )
    kept, dropped = [], []
    for pair in pairs:
        row = {**pair, "scores": by_id[pair["id"]]["scores"]}
        reason, detail = decide(row, columns, params)
        if reason:
            dropped.append({**row, "reason": reason, "detail": detail})
        else:
            kept.append(row)
    return kept, dropped
