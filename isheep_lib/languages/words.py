"""Words of any script, by Unicode's properties alone: no dictionary, so the same on every machine.

    words("Don't write 3 haiku!")   # ["don", "t", "write", "3", "haiku"]
    words("用Python写一首诗。")       # ["用", "python", "写", "一", "首", "诗"]
    count_words("Don't write 3 haiku!"), count_words("用Python写一首诗。")  # 4, 6

What is a word, in text of
    scripts with spaces (Latin, Cyrillic, Greek, Arabic, Hebrew, Devanagari and its kin, Hangul): a run of letters, digits
        and underscores with the marks on them (vowel signs, virama, diacritics, joiners)
    Katakana: a run of it
    scripts without spaces (Han, Hiragana, Thai, Lao, Khmer, Burmese and others): each character as a reader sees it, a
        grapheme cluster: true words take a dictionary, and those differ from library to library and version to version
Emoji, punctuation and marks alone are none. These are the boundaries of Unicode's word segmentation (UAX 29, Word_Break),
but that apostrophes, points and hyphens divide (`l'été`, `co.uk`), as its section 4 lets one tailor, and as the released
code and ROUGE's have it; and that marks stay on their letter in scripts without spaces, too (its section 3).

Letters are told by the package `regex` (2026.11.15: Unicode 18), whose version is part of the fingerprint of what words
decide (`DECIDES`); lower case and composition (NFC) are Python's, and do not change for a letter that both know. Covers
finding and counting. Does not cover how near two texts are (`analysis`, `synthesize.near_duplicates`), words as constraints
on answers define them (`constraints.parts`), or stems and spellings: with or without Arabic vowels are two words.
"""

import re
import unicodedata
from collections.abc import Sequence

import regex

DECIDES = "regex"  # the package whose version decides what a word is
LETTER, MARK = r"[\p{L}\p{N}_]", r"[\p{Mn}\p{Mc}\uff9e\uff9f]"
UNSPACED = r"[[\p{L}\p{Nl}]&&\p{Word_Break=Other}]"  # letters between which UAX 29 always breaks
KATAKANA = r"[\p{L}&&\p{Word_Break=Katakana}]"
SPACED = rf"[{LETTER}--{UNSPACED}--{KATAKANA}--{MARK}]"
JOINED = r"[\u200c\u200d]+(?=[\p{L}\p{M}])"  # zero-width joiners of Persian and Indic words
SIGN = rf"(?={UNSPACED})\X{MARK}*"
WORD = regex.compile(rf"(?V1){SPACED}(?:{SPACED}|{MARK}|{JOINED})*|{KATAKANA}(?:{KATAKANA}|{MARK})*|{SIGN}")
WITHOUT_SPACES = regex.compile(rf"(?V1){UNSPACED}|{KATAKANA}")
ONE_SIGN = regex.compile(f"(?V1){SIGN}")
VARIATION = re.compile("[\ufe00-\ufe0f\U000e0100-\U000e01ef]")  # selectors: another look of the same letter
WIDTHS = re.compile("[\uff10-\uff19\uff21-\uff3a\uff41-\uff5a\uff66-\uffdc]+")  # letters and digits of the other width
PLAIN = re.compile(r"[\x00-\u02ff\u2010-\u205e]*")  # Latin text, on which Python's own expressions agree, and are faster
ROUGE_WORD = re.compile(r"[a-z0-9]+")
OTHER = rf"[[{SPACED}--[\p{{Latin}}\p{{Common}}\p{{Inherited}}]]||[٠-٩]]"  # of scripts with spaces, but not Latin
ROUGE_OR_OTHER = regex.compile(rf"(?V1)[a-z0-9]+|{OTHER}(?:{OTHER}|{MARK}|{JOINED})*|{KATAKANA}(?:{KATAKANA}|{MARK})*|{SIGN}")
LATIN_WORD, CHUNK = re.compile(r"\w+"), re.compile(r"\S+")


def words(text: str) -> list[str]:
    """Return the words of a text in lower case, composed (NFC) and of usual width (`Ａ` is `a`), as texts are compared by."""
    lower = text.lower()
    if PLAIN.fullmatch(lower):
        return LATIN_WORD.findall(lower)
    return WORD.findall(plainly_written(lower))


def plainly_written(text: str) -> str:
    """Compose letters and their marks (NFC), give each its usual width, and leave variation selectors out."""
    usual = WIDTHS.sub(lambda letters: unicodedata.normalize("NFKC", letters[0]), text)
    return VARIATION.sub("", unicodedata.normalize("NFC", usual))


def rouge_words(text: str) -> list[str]:
    """Return the words by which texts are told to be near: of Latin script those of the package rouge_score, else as `words`.

    Of Latin text that package takes runs of a to z and digits in lower case, so `café` is `caf`; of other scripts nothing.
    """
    lower = text.lower()
    if PLAIN.fullmatch(lower):
        return ROUGE_WORD.findall(lower)
    found = ROUGE_OR_OTHER.findall(WIDTHS.sub(lambda letters: unicodedata.normalize("NFKC", letters[0]), lower))
    return [word if word.isascii() else plainly_written(word) for word in found]


def count_words(text: str) -> int:
    """Count words as a person does: between spaces ("don't" is one), and in scripts without spaces those of `words`."""
    return len(word_places(text)) if WITHOUT_SPACES.search(text) else len(text.split())


def word_places(text: str) -> list[tuple[int, int]]:
    """Return where each word that `count_words` counts begins and ends."""
    found = []
    for chunk in CHUNK.finditer(text):
        if WITHOUT_SPACES.search(chunk[0]):
            found += [match.span() for match in WORD.finditer(text, *chunk.span())]
        else:
            found.append(chunk.span())
    return found


def amount(split: Sequence[str]) -> int:
    """Return how much words say, in words of scripts with spaces: two signs of other scripts count as one, rounded up.

    A word of modern Chinese has two characters, mostly; by single ones a proper name would pass for a sentence.
    """
    signs = 0 if "".join(split).isascii() else sum(map(is_sign, split))
    return len(split) - signs // 2


def is_sign(word: str) -> bool:
    """Tell whether a word is a single character of a script without spaces, and so mostly a part of a word."""
    return bool(ONE_SIGN.fullmatch(word))
