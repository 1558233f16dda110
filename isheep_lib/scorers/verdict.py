"""Scorers that ask one question, whether a response is right, and read the odds of Yes and No.

    question(frame, pair)      # what is asked; LABELS are the answers that are read

`verdict` asks the model that assesses, `learned` an adapter of it that has learned from the run's own pairs of known order.
Covers the question and the score. Does not cover making the adapter (`iterate.judge_training`).
"""

from typing import ClassVar

from isheep_lib.prompting.chat import Frame, render, user_words
from isheep_lib.record.rows import Pair
from isheep_lib.scorers.scorer import Odds

FILE = "verdict.txt"
LABELS = ["Yes", "No"]


def question(frame: Frame, pair: Pair) -> str:
    """Frame the question whether a pair's response is right."""
    return frame.prompt(render(FILE, task=user_words(pair.task), response=pair.output))


class Verdict(Odds):
    """The odds under the model that assesses."""


class Learned(Odds):
    """The odds under a judge trained on pairs of known order, none of them of this pair's task."""

    learns: ClassVar[bool] = True
