"""Scripts of letters and the columns that text takes, for tables, figures and LaTeX.

Covers what a letter is. Does not cover words (`analysis.words`), fonts (`display.fonts`) or LaTeX's commands (`display.latex`).
"""

import re
import textwrap
import unicodedata

from wcwidth import wcswidth

EAST_ASIAN = {"CJK", "HIRAGANA", "KATAKANA", "HANGUL", "BOPOMOFO"}
RIGHT_TO_LEFT = {"R", "AL"}
LEAST_SHARE = 0.3  # of letters from right to left; fewer are words within a text of the other direction
FORMS = re.compile("[\u3000-\u303f\uff00-\uffef]")  # punctuation and wide forms that the scripts of East Asia share


def script_of(letter: str) -> str:
    """Name a letter's script as its Unicode name begins: LATIN, CJK, ARABIC, …; "" for a letter without a name."""
    word = unicodedata.name(letter, "").split(" ")[0].split("-")[0]
    return "CJK" if word not in EAST_ASIAN and FORMS.match(letter) else word


def is_right_to_left(text: str) -> bool:
    """Tell whether a text holds a letter of a script that is written from right to left."""
    return not text.isascii() and any(unicodedata.bidirectional(letter) in RIGHT_TO_LEFT for letter in text)


def direction(text: str) -> str:
    """Return the direction in which a text is read, "rtl" or "ltr", whichever letter comes first.

    An Arabic sentence may begin with a Latin name and hold others; by its first letter its end would stand in its middle.
    """
    kinds = [] if text.isascii() else [unicodedata.bidirectional(letter) for letter in text]
    back = sum(kind in RIGHT_TO_LEFT for kind in kinds)
    return "rtl" if back and back >= LEAST_SHARE * (back + kinds.count("L")) else "ltr"


def columns(text: str) -> int:
    """Return how many columns of a terminal a text takes: two for a Chinese letter, none for a mark above another letter."""
    width = len(text) if text.isascii() else wcswidth(text)
    return width if width >= 0 else len(text)


def wrapped(text: str, width: int) -> list[str]:
    """Break a text into lines of at most `width` columns, at white space and between letters of East Asia."""
    if columns(text) == len(text):
        return textwrap.wrap(text, width)
    lines = [""]
    for piece in re.findall(r"\s+|[^\s\u1100-\uffef]+|.[，。、；：？！）」』》]?", text):
        if lines[-1] and columns(lines[-1] + piece) > width:
            lines.append("")
        lines[-1] += piece if lines[-1] or not piece.isspace() else ""
    return [line.rstrip() for line in lines]
