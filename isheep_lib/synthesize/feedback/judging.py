"""What the model says of answers when it judges them, read off probabilities: a score, or one of two.

Covers asking and reading. Does not cover yes and no (`extras.asking`), or what is made of a
judgement (each method).
"""

from collections.abc import Mapping, Sequence
from typing import Any

from isheep_lib.engines.generate import choose_all
from isheep_lib.record.journal import Journal
from isheep_lib.synthesize.feedback.fitting import fitting
from isheep_lib.synthesize.writing import Writing

SCORES = [str(number) for number in range(1, 11)]
SIDES = ["1", "2"]


def scores(writing: Writing[Any], journal: Journal, prompts: Mapping[str, str], label: str) -> dict[str, int]:
    """Return the likeliest score from 1 to 10, of equally likely ones the lower, without those that do not fit."""
    logs = choose_all(writing.engine, fitting(writing, prompts), SCORES, journal, label)
    return {name: likeliest(own) for name, own in logs.items()}


def likeliest(logs: Sequence[float]) -> int:
    """Return the likeliest of the scores from 1, given their log-probabilities; of equally likely ones the lower."""
    return 1 + max(range(len(logs)), key=lambda place: (logs[place], -place))


def second_wins(writing: Writing[Any], journal: Journal, both: Mapping[str, tuple[str, str]], label: str) -> dict[str, float]:
    """Ask in both orders which of two is meant; return by name how much likelier the second is, without those that do not fit.

    Args:
        both: by name the question with the first one before, and the question with the second one before.

    Returns:
        The log-odds of the second, in nats, the mean of both orders, so that a liking for a place decides nothing.
    """
    prompts = {f"{name}/{turned}": words for name, orders in both.items() for turned, words in enumerate(orders)}
    logs = choose_all(writing.engine, fitting(writing, prompts), SIDES, journal, label)
    whole = [name for name in both if f"{name}/0" in logs and f"{name}/1" in logs]
    odds = {name: (logs[f"{name}/0"], logs[f"{name}/1"]) for name in whole}
    return {name: ((plain[1] - plain[0]) + (turned[0] - turned[1])) / 2 for name, (plain, turned) in odds.items()}
