"""Rules on an instruction alone, before it has a response."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from isheep_lib.languages.words import count_words, words
from isheep_lib.prompting.special_tokens import find_special

STRAY = re.compile(r"\b(?:Instruction|Input|Output)[ \t]*:", re.IGNORECASE)
URL = re.compile(r"https?://|www\.", re.IGNORECASE)
FORBIDDEN = (
    *("image", "images", "graph", "graphs", "picture", "pictures", "file", "files", "map", "maps", "draw", "plot"),
    *("go to", "video", "videos", "audio", "music", "flowchart", "flowcharts", "diagram", "diagrams"),
)
FORBIDDEN_WORDS = re.compile(r"\b(?:" + "|".join(FORBIDDEN) + r")\b", re.IGNORECASE)
MIN_WORDS, MAX_WORDS = 4, 150  # of an instruction, as in the released code, which counts words between spaces


@dataclass(frozen=True)
class Item:
    """One task as it was read from a model's text; `cut` if the token limit ended it."""

    raw: str
    instruction: str
    input: str
    cut: bool = False


def unquoted(text: str) -> str:
    """Return a text without the white space around it, and without quotation marks where they enclose all of it."""
    text = text.strip()
    return text[1:-1].strip() if len(text) > 1 and text[0] == text[-1] == '"' and text.count('"') == 2 else text


def instruction_problem(item: Item, rules: bool = True, special: Sequence[str] = ()) -> str:
    """Name the rule that an instruction breaks, "" if none (rules of the released code, see docs/rules.md).

    Without rules only what is no task at all is dropped: cut off, or empty. `special` are words that the model's tokenizer
    takes for special tokens.
    """
    instruction, both = item.instruction, f"{item.instruction}\n{item.input}"
    checks: tuple[tuple[str, Callable[[], object]], ...] = (
        ("cut_off", lambda: item.cut),
        ("empty", lambda: not instruction),
        ("too_short", lambda: count_words(instruction) < MIN_WORDS),
        ("too_long", lambda: count_words(instruction) > MAX_WORDS),
        ("starts_oddly", lambda: not instruction[0].isascii() or not (instruction[0].isalnum() or instruction[0] in "\"'(")),
        ("stray_label", lambda: STRAY.search(both) or "noinput" in both.lower()),
        ("forbidden_word", lambda: FORBIDDEN_WORDS.search(both)),
        ("url", lambda: URL.search(both)),
        ("special_token", lambda: find_special(special, both)),
        ("no_words", lambda: not words(instruction)),
    )
    return next((name for name, broken in (checks if rules else checks[:2]) if broken()), "")
