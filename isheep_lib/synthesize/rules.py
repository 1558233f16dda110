"""Rules on an instruction alone, before it has a response."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from isheep_lib.languages import rules as languages
from isheep_lib.languages.mismatch import mismatch
from isheep_lib.languages.rules import Language
from isheep_lib.languages.words import count_words, words
from isheep_lib.prompting.special_tokens import find_special

URL = re.compile(r"https?://|www\.", re.IGNORECASE)
QUOTES = ('""', "“”", "「」", "『』", "«»", "„“")  # marks of any language
MISMATCH = "language_mismatch"


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
    if len(text) > 1 and (text[0] + text[-1]) in QUOTES and sum(map(text.count, {text[0], text[-1]})) == 2:
        return text[1:-1].strip()
    return text


def instruction_problem(item: Item, rules: bool = True, special: Sequence[str] = (), language: Language = "en") -> str:
    """Name the rule that an instruction breaks, "" if none; see docs/rules.md.

    The rules of English are those of the released code, and `language_mismatch`. An input may be in any language.

    Args:
        item: the task.
        rules: without them only what is no task at all is dropped: cut off, or empty.
        special: words that the model's tokenizer takes for special tokens.
        language: of the run.
    """
    instruction, both = item.instruction, f"{item.instruction}\n{item.input}"
    own = languages.of(language)
    checks: tuple[tuple[str, Callable[[], object]], ...] = (
        ("cut_off", lambda: item.cut),
        ("empty", lambda: not instruction),
        ("too_short", lambda: count_words(instruction) < own.least_words),
        ("too_long", lambda: count_words(instruction) > own.most_words),
        ("starts_oddly", lambda: not own.starts_well(instruction)),
        ("stray_label", lambda: own.finds("stray_label", both)),
        ("forbidden_word", lambda: own.finds("forbidden_word", both)),
        ("url", lambda: URL.search(both)),
        ("special_token", lambda: find_special(special, both)),
        ("no_words", lambda: not words(instruction)),
        (MISMATCH, lambda: mismatch(instruction, language)),
    )
    return next((name for name, broken in (checks if rules else checks[:2]) if broken()), "")


# Every rule on instructions with its meaning, for the docs.
MEANINGS = {
    "cut_off": "the token limit ended the text before the instruction did",
    "empty": "there is none",
    "too_short": "it has fewer words than its language's min_words",
    "too_long": "it has more words than its language's max_words",
    "starts_oddly": "it begins with neither a letter, a number, nor one of its language's opening_marks",
    "stray_label": "a label of a list's form stands in it",
    "forbidden_word": "it asks for what a model of text cannot see, open or make",
    "url": "it names an address",
    "special_token": "a word of it is a special token of the model's tokenizer",
    "no_words": "it holds marks alone",
    MISMATCH: "it is in another language than the run's: by the share of its words in the language's scripts, and where it has "
    "at least 20 different words and languages share the script, by langdetect",
}
