"""Whether a text is in another language than a run's: told by its scripts, and of long texts by their words.

    mismatch("Write a poem about the sea.", "zh")     # "0% of its words are written in Han"
    mismatch("用 Python 写一个函数。", "zh")              # "": Latin words among Chinese ones are usual
    mismatch("Stop!", "zh")                           # "": too short to be of any language

Code, addresses and what stands in quotation marks are left out; code without a fence around it only where the language is not
written in Latin letters, since there its words are of another script. Each word counts once (`languages.words`), so a long
name in Latin letters weighs no more than a short one. Languages that share a script are told apart by langdetect, with a
fixed seed, in texts of at least 20 different words, and where it is sure of both halves; a language of which no letter occurs
is none (Korean, of Chinese characters alone). Covers one
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
# More signs of code a word make a block of lines with ASCII letters alone code.
CODE_SIGNS = re.compile(
    r"[=(){}\[\]<>;:_+*/%&|^~\\#@$]|\b\.\b|^[ \t]+\S|\b(?:SELECT|FROM|WHERE|JOIN|AND|BY|INSERT|INTO|VALUES|SET)\b", re.M
)
SIGNS_A_WORD = 0.4
COMMENT = re.compile(r"#|//|--|/\*")
# Letters without which a language that langdetect knows is not written; of those that are not here, Latin ones.
LETTERS = {
    **dict.fromkeys(("ar", "fa", "ur"), ("Arabic",)),
    **dict.fromkeys(("bg", "mk", "ru", "uk"), ("Cyrillic",)),
    **dict.fromkeys(("hi", "mr", "ne"), ("Devanagari",)),
    **{"bn": ("Bengali",), "el": ("Greek",), "gu": ("Gujarati",), "he": ("Hebrew",), "ja": ("Hiragana", "Katakana")},
    **{"kn": ("Kannada",), "ko": ("Hangul",), "ml": ("Malayalam",), "pa": ("Gurmukhi",), "ta": ("Tamil",)},
    **{"te": ("Telugu",), "th": ("Thai",), "zh": ("Han",)},
}
# Scripts that several languages share, which langdetect tells apart.
SHARED = ("Latin", "Cyrillic", "Arabic", "Devanagari", "Han")


def mismatch(text: str, language: Language) -> str:
    """Say why a text is not in a language, "" where it is, is too short to tell, or every language will do."""
    own = rules.of(language)
    if not own.tags:
        return ""
    plain = spoken(text) if "Latin" in own.scripts else without_code(spoken(text))
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


def without_code(text: str) -> str:
    """Return a text without its code: blocks of lines with ASCII letters alone and the signs of code, up to a comment."""
    kept, block = list[str](), list[str]()

    def end_block() -> None:
        lines = "\n".join(block)
        named = len(ASCII_WORD.findall(lines))
        kept.extend(() if len(CODE_SIGNS.findall(lines)) > SIGNS_A_WORD * named else block)
        block.clear()

    for line in text.splitlines():
        comment = COMMENT.search(line)
        code, said = (line[: comment.start()], line[comment.start() :]) if comment else (line, "")
        if line.isascii():
            block.append(line)
        elif code.strip() and code.isascii():
            block.append(code)
            kept.append(said)
        else:
            end_block()
            kept.append(line)
    end_block()
    return "\n".join(kept)


def detected(text: str) -> tuple[str, float]:
    """Return the most probable language, to langdetect, of those whose letters occur: a tag without region; its probability."""
    import langdetect

    langdetect.DetectorFactory.seed = 0
    try:
        found = [(each.lang.split("-")[0], each.prob) for each in langdetect.detect_langs(text)]
    except langdetect.LangDetectException:  # nothing in it that is of a language
        found = []
    return next((each for each in found if _written_in(LETTERS.get(each[0], ("Latin",))).search(text)), ("", 0.0))


ASCII_WORD = re.compile(r"[A-Za-z]+")
LETTER = regex.compile(r"\p{L}")


@cache
def _written_in(scripts: tuple[str, ...]) -> Any:
    return regex.compile("[" + "".join(rf"\p{{Script={script}}}" for script in scripts) + "]")
