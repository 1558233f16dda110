"""Sentences of model text, told apart by punctuation and line ends alone.

Covers pure functions of text, with the sentence ends of any script (Unicode's Sentence_Terminal). Does not cover which of
them decide anything (`filter`, `synthesize`), or Thai and Lao, whose sentences end without a mark.
"""

import regex

from isheep_lib.languages.words import word_places

# A point ends a sentence where a space follows: it stands in numbers and names, too. Others, such as 。 or ؟ or ।, do not.
POINT = r"[.!?…][\"'”’)\]»]*\s+"
STOP = r"[\p{Sentence_Terminal}--[.!?．﹒\u2000-\u206f]]+[\"'”’)\]»」』）】》]*\s*"
END = regex.compile(rf"(?V1){POINT}|{STOP}|\n+")
FEW_WORDS = 8  # fewer in a single sentence leave nothing that reads as a beginning


def sentences(text: str) -> list[str]:
    """Split a text at sentence ends and line ends; what has no letter or digit, such as a rule, is none."""
    starts = [0, *(found.end() for found in END.finditer(text))]
    parts = (text[start:end].strip() for start, end in zip(starts, [*starts[1:], len(text)], strict=True))
    return [part for part in parts if regex.search(r"\w", part)]


def shortened(text: str) -> str:
    """Return the beginning of a text up to the sentence end nearest to its middle, "" where nothing can be left out.

    A single sentence of at least 8 words ends after half of them.
    """
    whole = text.strip()
    ends = [found.end() for found in END.finditer(whole) if found.end() < len(whole)]
    if ends:
        return whole[: min(ends, key=lambda place: abs(2 * place - len(whole)))].rstrip()
    words = word_places(whole)
    return whole[: words[len(words) // 2 - 1][1]] if len(words) >= FEW_WORDS else ""
