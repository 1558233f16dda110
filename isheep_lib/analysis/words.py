"""Words of model text: copies, diversity, refusals.

Covers pure functions of text. Does not cover what a word is (`languages.words`), or which of them decide anything
(`synthesize`, `filter`, `evaluate`).
"""

from collections.abc import Iterable, Sequence

from isheep_lib.languages.rules import Language, with_english
from isheep_lib.languages.words import words


def copy_share(response: str, task: str, size: int = 4) -> float:
    """Return the share of the response's words that lie in runs of `size` words copied from the task.

    A response shorter than `size` words is compared as a whole.
    """
    said, given = words(response), words(task)
    if not said:
        return 0.0
    size = min(size, len(said))
    known = set(grams(given, size))
    copied = {place for i, gram in enumerate(grams(said, size)) if gram in known for place in range(i, i + size)}
    return len(copied) / len(said)


def distinct_n(texts: Iterable[str], n: int = 2) -> float:
    """Return distinct n-grams over all n-grams of the texts taken together, 0 to 1 (Li et al. 2016)."""
    found = [gram for text in texts for gram in grams(words(text), n)]
    return len(set(found)) / len(found) if found else 0.0


def grams(tokens: Sequence[str], n: int) -> list[tuple[str, ...]]:
    """Return all runs of n words."""
    return [tuple(tokens[i : i + n]) for i in range(len(tokens) - n + 1)]


def is_refusal(text: str, language: Language = "en") -> bool:
    """Tell whether an answer opens by declining, in a language or in English."""
    return with_english(language).finds("refusal", text)
