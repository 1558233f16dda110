"""Grading of answers where lm-eval's own metric cannot be had without the hub: SQuAD2.0's, and programs that were run.

    squad_scores({"answers": {"text": ["in 1830"]}}, ["1830"])    # {"exact_match": 0.0, "f1": 0.666…}

Covers one item at a time, as the task files in `tasks` name these functions. Does not cover running code (`sandbox`).
"""

import re
import string
from collections import Counter
from typing import Any

NO_ANSWER = "unanswerable"  # what the prompt asks for
PUNCTUATION = str.maketrans("", "", string.punctuation)


def squad_scores(doc: dict[str, Any], results: list[str]) -> dict[str, float]:
    """Compare an answer with every gold one: exact match and F1 of words (Rajpurkar et al. 2018), the best counts."""
    said = normalise(results[0])
    golds = [gold for text in doc["answers"]["text"] if (gold := normalise(text))] or [""]
    said = "" if said == NO_ANSWER else said
    return {"exact_match": float(max(said == gold for gold in golds)), "f1": max(_f1(said, gold) for gold in golds)}


def normalise(text: str) -> str:
    """Bring an answer to lower case without punctuation, articles and runs of spaces."""
    return " ".join(re.sub(r"\b(?:a|an|the)\b", " ", text.lower().translate(PUNCTUATION)).split())


def _f1(said: str, gold: str) -> float:
    ours, theirs = said.split(), gold.split()
    if not ours or not theirs:
        return float(ours == theirs)
    common = sum((Counter(ours) & Counter(theirs)).values())
    return 2 * common / (len(ours) + len(theirs))


def code_scores(doc: dict[str, Any], results: list[Any]) -> dict[str, float]:
    """Score the outcome of a program that was run."""
    return {"pass_at_1": float(results[0].passed)}
