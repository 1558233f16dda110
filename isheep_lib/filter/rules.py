"""Rules on a single pair: cut off, no words, a role's label, a copy of the task (Appendix C)."""

import re
from collections.abc import Callable
from typing import Any

from isheep_lib.analysis.words import copy_share, words
from isheep_lib.prompting.chat import user_words
from isheep_lib.record.rows import Task

ROLE = re.compile(r"^\s*(?:assistant|system|human|question|output|user|input|instruction)\s*:", re.IGNORECASE | re.MULTILINE)
CHOICES = re.compile(r"answer choices\s*:", re.IGNORECASE)
LETTERED = re.compile(r"^\s*\(?[A-D][.)]\s+\S.*\n\s*\(?[B-E][.)]\s+\S", re.MULTILINE)
FOLLOW_UP = re.compile(r"\n\s*\n\s*(?:question|q)\s*\d*\s*[:.]|\n\s*\n[^\n]{0,200}\?\s*$", re.IGNORECASE)
CHINESE = re.compile(r"[\u4e00-\u9fff]")
PLACEHOLDER = re.compile(r"<[A-Za-z][\w \-]*>|\[(?:insert|your|name|date)\b[^\]]*\]", re.IGNORECASE)
SAYS = re.compile(r"[^\W_]|[^\w\s!-/:-@\[-`{-~¡-¿\u2010-\u205e\u3000-\u303f]")  # an emoji may be an answer, a dash is none
SPECIAL = re.compile(r"<\|[\w ]+\|>")

Rule = Callable[[dict[str, Any]], object]
RULES: dict[str, tuple[str, Rule]] = {
    "empty_output": ("the response has no letter, number or symbol", lambda row: not SAYS.search(row["output"])),
    "cut_off": ("the token limit ended the response", lambda row: row["finish"] == "length"),
    "special_token": ("a token of the chat frame stands in the text", lambda row: SPECIAL.search(_all(row))),
    "dialogue": ("a line of the response begins with a role", lambda row: ROLE.search(row["output"])),
    "answer_choices": ("multiple choice", lambda row: CHOICES.search(_all(row)) or LETTERED.search(row["output"])),
    "follow_up": ("the response ends by asking another question", lambda row: FOLLOW_UP.search(row["output"])),
    "chinese": ("Chinese characters", lambda row: CHINESE.search(_all(row))),
    "placeholder": ("a placeholder such as <name>", lambda row: PLACEHOLDER.search(_all(row))),
    "input_repeats": ("the input is contained in the instruction", lambda row: _repeats(row)),
}
ECHO_WORDS = 5  # a label or a name may stand in the task
Reasons = dict[str, tuple[str, str]]  # by id: why a pair goes, and the detail


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
    if share > max_copy_share and len(words(row["output"])) >= ECHO_WORDS:
        return "echo", f"{share:.0%} of the response is copied from the task"
    return "", ""
