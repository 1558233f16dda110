"""Sentences of model text, told apart by punctuation and line ends alone.

Covers pure functions of text. Does not cover which of them decide anything (`filter`,
`synthesize`).
"""

import re

END = re.compile(r"[.!?…][\"'”’)\]]*\s+|[。！？]\s*|\n+")
FEW_WORDS = 8  # fewer in a single sentence leave nothing that reads as a beginning


def sentences(text: str) -> list[str]:
    """Split a text at sentence ends and line ends; what has no letter or digit, such as a rule, is none."""
    starts = [0, *(found.end() for found in END.finditer(text))]
    parts = (text[start:end].strip() for start, end in zip(starts, [*starts[1:], len(text)], strict=True))
    return [part for part in parts if re.search(r"\w", part)]


def shortened(text: str) -> str:
    """Return the beginning of a text up to the sentence end nearest to its middle, "" where nothing can be left out.

    A single sentence of at least 8 words ends after half of them.
    """
    whole = text.strip()
    ends = [found.end() for found in END.finditer(whole) if found.end() < len(whole)]
    if ends:
        return whole[: min(ends, key=lambda place: abs(2 * place - len(whole)))].rstrip()
    words = list(re.finditer(r"\S+", whole))
    return whole[: words[len(words) // 2 - 1].end()] if len(words) >= FEW_WORDS else ""
