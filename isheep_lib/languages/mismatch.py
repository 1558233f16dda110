"""Whether a text is in another language than a run's: told by its scripts, and of long texts by their words.

    mismatch("Write a poem about the sea.", "zh")     # "0% of its words are written in Han"
    mismatch("用 Python 写一个函数。", "zh")              # "": Latin words among Chinese ones are usual
    mismatch("Stop!", "zh")                           # "": too short to be of any language

Code, addresses and what stands in quotation marks are left out. Each word counts once (`languages.words`), so a long name in
Latin letters weighs no more than a short one. Languages that share a script are told apart by the package langdetect, with a
fixed seed, in texts of at least 20 different words, and where it is sure of both halves. Covers one
text. Does not cover which texts of a run must match (`synthesize.rules`, `filter.steps.rules`).
"""

import re
from functools import cache
from typing import Any

import regex

from isheep_lib.languages import rules
from isheep_lib.languages.rules import Language
from isheep_lib.languages.words import words

DECIDES = "langdetect"  # the package whose version decides beside that of words
LEAST_SHARE = 0.4  # of words in the language's scripts
FEW_WORDS, LONG = 5, 20  # below, a text is of no language; so many different ones are shown to langdetect
SURE = 0.99  # langdetect's probability
READ = 4000  # letters of a text that are shown to it
CODE = re.compile(r"```.*?(?:```|\Z)|`[^`\n]+`", re.DOTALL)
ADDRESS = re.compile(r"(?:https?://|www\.)\S+|\S+@\S+")
QUOTED = re.compile(
    r'"[^"\n]{1,400}"|“[^”]{1,400}”|„[^“”]{1,400}[“”]|«[^»]{1,400}»|「[^」]{1,400}」|『[^』]{1,400}』|《[^》]{1,400}》'
)
# Scripts that several languages share, which langdetect tells apart.
SHARED = ("Latin", "Cyrillic", "Arabic", "Devanagari", "Han")


def mismatch(text: str, language: Language) -> str:
    """Say why a text is not in a language, "" where it is, is too short to tell, or every language will do."""
    own = rules.of(language)
    if not own.tags:
        return ""
    plain = spoken(text)
    lettered = [word for word in words(plain) if LETTER.search(word)]
    if len(lettered) < FEW_WORDS:
        return ""
    share = sum(bool(_written_in(own.scripts).search(word)) for word in lettered) / len(lettered)
    if share < LEAST_SHARE:
        return f"{share:.0%} of its words are written in {' or '.join(own.scripts)}"
    if len(set(lettered)) < LONG or not set(own.scripts) & set(SHARED):
        return ""
    said = "\n".join(dict.fromkeys(plain.splitlines()))[:READ]  # a line said again and again tells nothing new
    middle = len(said) // 2
    found, sure = detected(said[:middle])
    if found in own.tags or sure < SURE:
        return ""
    then, again = detected(said[middle:])
    return f"both its halves read as {found!r}" if found == then and again >= SURE else ""


def guess(text: str) -> str:
    """Return the language with rules that a text is in, "" where it can be none, or is none of them."""
    found, sure = detected(spoken(text)[:READ])
    return found if sure >= SURE and found in rules.known() else ""


def spoken(text: str) -> str:
    """Return a text without code, addresses, and what stands in quotation marks."""
    for left_out in (CODE, ADDRESS, QUOTED):
        text = left_out.sub(" ", text)
    return text


def detected(text: str) -> tuple[str, float]:
    """Return the language that langdetect finds most probable, as a tag without region, and its probability."""
    import langdetect

    langdetect.DetectorFactory.seed = 0
    try:
        first = langdetect.detect_langs(text)[0]
    except langdetect.LangDetectException:  # nothing in it that is of a language
        return "", 0.0
    return first.lang.split("-")[0], first.prob


LETTER = regex.compile(r"\p{L}")


@cache
def _written_in(scripts: tuple[str, ...]) -> Any:
    return regex.compile("[" + "".join(rf"\p{{Script={script}}}" for script in scripts) + "]")
