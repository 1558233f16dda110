"""Scorers that ask one question, whether a response is right, and read the odds of Yes and No.

    asked = Question(frame, prompts)
    asked.about(pair)       # what is asked
    asked.answers           # the answers that are read, that of a right response first

`verdict` asks the model that assesses, `learned` an adapter of it that has learned from the run's own pairs of known order.
Covers the question and the score. Does not cover making the adapter (`iterate.judge_training`).
"""

from dataclasses import dataclass, field
from typing import ClassVar

from isheep_lib.prompting.chat import Frame, user_words
from isheep_lib.prompting.prompt_files import Prompts, english
from isheep_lib.record.rows import Pair
from isheep_lib.scorers.scorer import Odds

FILE = "verdict.txt"


@dataclass(frozen=True)
class Question:
    """The question whether a response is right, in a model's frame."""

    frame: Frame
    prompts: Prompts = field(default_factory=english)

    @property
    def answers(self) -> list[str]:
        """The answers that are read, that of a right response first."""
        return self.prompts.words.answers

    def about(self, pair: Pair) -> str:
        """Frame the question about one pair."""
        return self.frame.prompt(self.prompts.render(FILE, task=user_words(pair.task), response=pair.output))


class Verdict(Odds):
    """The odds under the model that assesses."""


class Learned(Odds):
    """The odds under a judge trained on pairs of known order, none of them of this pair's task."""

    learns: ClassVar[bool] = True
