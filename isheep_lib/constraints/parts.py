"""Parts of a text in any script: words, sentences, lines, paragraphs.

    sentences("Dr. Lee paid 3.50. Why?")      # ("Dr. Lee paid 3.50.", "Why?")

Text is composed first (NFC), so that a letter with its accent is one, however it was typed. Covers finding parts. Does not
cover what is asked of them (`constraints.checks`).
"""

import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache

APOSTROPHES, JOINTS = "'’ʼ", "-‐‑"
# Scripts that set no spaces: each of their characters counts as a word (Han; kana are taken in runs).
HAN = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0002fa1f]")
FENCE = re.compile(r"^\s*(?:```|~~~)")
# A mark at the start of a line that is no part of the sentence: a heading, a quotation, a bullet, a number.
LINE_MARK = re.compile(r"^\s*(?:#{1,6}\s+|>\s*|[-*+•]\s+|\d{1,3}[.)]\s+)+")
CLOSERS = "\"'”’»)]}*_`"
REMEMBERED = 4096  # texts: one answer is asked for its parts by many checks
STOP, WIDE_STOP = ".!?…", "。！？"
SHORT = frozenset(("mr", "mrs", "ms", "dr", "prof", "st", "jr", "sr", "vs", "no", "vol", "fig", "approx", "e.g", "i.e", "cf"))


def composed(text: str) -> str:
    """Compose letters and their accents, and write every line break as one character."""
    return unicodedata.normalize("NFC", text).replace("\r\n", "\n").replace("\r", "\n")


@lru_cache(maxsize=REMEMBERED)
def words(text: str) -> tuple[str, ...]:
    """Split a text into words: letters, marks and digits, with apostrophes and hyphens inside; each Han character is one."""
    return tuple(_words(composed(text)))


def _words(text: str) -> Iterator[str]:
    start, end = 0, 0  # of the word that is being read
    for place, letter in enumerate(text):
        if HAN.match(letter):
            if start < end:
                yield text[start:end]
            yield letter
            start = end = place + 1
        elif _is_inner(letter):
            start = place if start == end else start
            end = place + 1
        elif not (start < end == place and letter in APOSTROPHES + JOINTS and _is_inner(text[place + 1 : place + 2])):
            if start < end:
                yield text[start:end]
            start = end = place + 1
        else:
            end = place + 1
    if start < end:
        yield text[start:end]


def _is_inner(letter: str) -> bool:
    """Tell whether a character is part of a word by itself: a letter, a digit, or a mark on one."""
    return bool(letter) and unicodedata.category(letter)[0] in "LMN"


@lru_cache(maxsize=REMEMBERED)
def lines(text: str) -> tuple[str, ...]:
    """Return the lines that hold something."""
    return tuple(line for line in composed(text).split("\n") if line.strip())


@lru_cache(maxsize=REMEMBERED)
def paragraphs(text: str) -> tuple[str, ...]:
    """Return what empty lines divide."""
    return tuple(part.strip() for part in re.split(r"\n[^\S\n]*\n\s*", composed(text).strip()) if part.strip())


@lru_cache(maxsize=REMEMBERED)
def sentences(text: str) -> tuple[str, ...]:
    """Split a text into sentences that hold a word; a line's end ends one, also without a mark.

    A full stop ends none after a title or an initial, or inside a number.
    """
    found = []
    for line in lines(text):
        rest = LINE_MARK.sub("", line).strip()
        start = 0
        for place in _stops(rest):
            found.append(rest[start:place].strip())
            start = place
        found.append(rest[start:].strip())
    return tuple(sentence for sentence in found if any(_is_inner(letter) for letter in sentence))


def _stops(line: str) -> Iterator[int]:
    """Return the places just after the marks that end sentences, closing quotes and brackets included."""
    place = 0
    while place < len(line):
        letter = line[place]
        place += 1
        if letter not in STOP + WIDE_STOP:
            continue
        mark = place - 1
        while place < len(line) and line[place] in STOP + WIDE_STOP:
            place += 1
        while place < len(line) and line[place] in CLOSERS:
            place += 1
        ends = letter in WIDE_STOP or place == len(line) or line[place].isspace()
        if ends and not (letter == "." and place == mark + 1 and _is_short(line[:mark])):
            yield place


def _is_short(before: str) -> bool:
    """Tell whether a full stop belongs to a shortened word: a title, e.g., or an initial."""
    last = before.split()[-1].lstrip("(\"'“‘[") if before.split() else ""
    return (
        last.lower() in SHORT or (len(last) == 1 and last.isupper() and last != "I") or bool(re.fullmatch(r"(?:\w\.)+\w", last))
    )


def ending(sentence: str) -> str:
    """Return the last character of a sentence, closing quotes and brackets apart."""
    return sentence.rstrip(CLOSERS + " ")[-1:]
