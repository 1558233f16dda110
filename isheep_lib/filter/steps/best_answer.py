"""The best answer of each task by a score, corrected so that the chosen ones are as long as all of them.

A score that grows with length chooses long answers, and a model that learns from them writes longer ones each time. So each
token of an answer costs alpha, with the alpha at which the chosen are as long as all of them (DICE, arXiv 2406.09760). Scores
and lengths are exact numbers here: no machine finds another alpha.
"""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import combinations
from math import lcm
from typing import ClassVar, Literal

from pydantic import Field

from isheep_lib.filter.steps.step import UNREAD, By, Given, Reasons, ScoredPair, Step
from isheep_lib.filter.steps.threshold import ThresholdOptions
from isheep_lib.params.kinds import Section
from isheep_lib.scorers.table import ScorerName, columns, scorer


class BestAnswerOptions(ThresholdOptions):
    """The options of `best_answer`, which shares the criteria of `threshold`."""

    best_scorer: ScorerName = Field(
        "pmi", description="best_answer: whose scores choose among the answers of a task, the mean of its columns"
    )
    length_correction: Literal["mean", "none"] = Field(
        "mean", description="best_answer: a token costs what makes the chosen as long as all in the mean, or nothing"
    )


@dataclass(frozen=True)
class Answer:
    """An answer that could be chosen."""

    id: str
    value: Fraction  # the mean of the scorer's columns, as written in the record
    good: Fraction  # the same, the higher the better
    length: int  # in tokens

    def corrected(self, alpha: Fraction) -> Fraction:
        """Take from the goodness what its length is worth."""
        return self.good - alpha * self.length


Answers = Sequence[Answer]  # to one task, at least one


@dataclass(frozen=True)
class Choice:
    """What was chosen of which answers: a token costs `alpha` in the scorer's unit, below 0 where it is short ones it likes."""

    alpha: Fraction
    tasks: list[Answers]

    @property
    def chosen(self) -> list[Answer]:
        """The best of each task."""
        return [best(task, self.alpha) for task in self.tasks]


def best(task: Answers, alpha: Fraction) -> Answer:
    """Return the answer with the highest corrected score, of equal ones the first."""
    return max(task, key=lambda answer: answer.corrected(alpha))


def mean_length(tasks: Sequence[Answers]) -> Fraction:
    """Return the mean over tasks of the mean length of their answers: what a choice by chance is expected to have."""
    return sum((Fraction(sum(a.length for a in task), len(task)) for task in tasks), Fraction(0)) / (len(tasks) or 1)


def matching_alpha(tasks: Sequence[Answers]) -> Fraction:
    """Return the alpha whose chosen answers are nearest to `mean_length`, of several choices equally near that nearest to 0.

    With a growing alpha each task passes from longer answers to shorter ones, so the length of all chosen falls by steps, at
    the alphas where two answers of a task are equally good. These and the places between them are searched from 0 outwards;
    between them, where no answers tie, alpha is the fraction with the smallest denominator.
    """
    target = mean_length(tasks) * len(tasks)
    unit = lcm(*(answer.good.denominator for task in tasks for answer in task))
    whole = [[(int(answer.good * unit), answer.length) for answer in task] for task in tasks]

    def excess(alpha: Fraction) -> Fraction:
        """Return by how many tokens the chosen are too long; scores are whole numbers here because it is asked often."""
        price, scale = (alpha * unit).as_integer_ratio()
        return sum(max(task, key=lambda each: each[0] * scale - price * each[1])[1] for task in whole) - target

    sign = 1 if excess(Fraction(0)) > 0 else -1
    pairs = [(a, b) for task in whole for a, b in combinations(task, 2) if a[1] != b[1]]
    meets = {Fraction(sign * (a[0] - b[0]), unit * (a[1] - b[1])) for a, b in pairs}
    steps = [Fraction(0), *sorted(meet for meet in meets if meet > 0)]

    def place(number: int) -> Fraction:
        at, between = divmod(number, 2)
        low, high = steps[at], (steps[at + 1] if at + 1 < len(steps) else None)
        return sign * (shortest_between(low, high) if between else low)

    def first_within(limit: Fraction) -> int:
        return bisect_left(range(2 * len(steps)), True, key=lambda number: sign * excess(place(number)) <= limit)

    reached = first_within(Fraction(0))  # always: at the end every task has its shortest answer, or its longest
    if not reached:
        return Fraction(0)
    over, under = sign * excess(place(reached - 1)), -sign * excess(place(reached))
    number = first_within(over) if over <= under else reached
    ties = number % 2 == 0 and number > 0
    return place(number + (ties and excess(place(number)) == excess(place(number + 1))))


def shortest_between(low: Fraction, high: Fraction | None) -> Fraction:
    """Return the fraction strictly between two, from 0 up, with the smallest denominator; None is infinity."""
    whole = low.numerator // low.denominator
    if high is None or whole + 1 < high:
        return Fraction(whole + 1)
    return whole + 1 / shortest_between(1 / (high - whole), None if low == whole else 1 / (low - whole))


def choose(rows: Sequence[ScoredPair], options: BestAnswerOptions) -> Choice:
    """Choose among the answers of each task whose scores could be read."""
    by_task: dict[str, list[Answer]] = {}
    names, sign = columns(options.best_scorer, options.criteria), -1 if scorer(options.best_scorer).lower_is_better else 1
    for row in rows:
        if all(name in row.scores for name in names):
            value = sum((Fraction(str(row.scores[name])) for name in names), Fraction(0)) / len(names)
            by_task.setdefault(row.pair.task_id, []).append(Answer(row.id, value, sign * value, row.pair.num_tokens))
    tasks: list[Answers] = list(by_task.values())
    return Choice(matching_alpha(tasks) if options.length_correction == "mean" else Fraction(0), tasks)


class BestAnswer(Step[BestAnswerOptions]):
    """Keeps the best of each task's answers by a score that is corrected for length."""

    name: ClassVar[str] = "best_answer"
    options: ClassVar[type[Section]] = BestAnswerOptions
    meanings: ClassVar[dict[str, str]] = UNREAD | {
        "not_best": "another answer to the same task is better, corrected for length"
    }

    def by(self, options: BestAnswerOptions) -> By:
        """Return the scorer's columns of the criteria."""
        return By("best_scorer", options.best_scorer, columns(options.best_scorer, options.criteria))

    def apply(self, rows: Sequence[ScoredPair], options: BestAnswerOptions, given: Given) -> Reasons:
        """Return the answers that are not the best of their task, and those that cannot be compared."""
        choice = choose(rows, options)
        out: Reasons = {}
        for task, first in zip(choice.tasks, choice.chosen, strict=True):
            out |= {each.id: ("not_best", _detail(each, first, choice.alpha, options)) for each in task if each is not first}
        read = {answer.id for task in choice.tasks for answer in task}
        unread = ("unread_score", f"{options.best_scorer} could not be read")
        return out | {row.id: unread for row in rows if row.id not in read}


def _detail(answer: Answer, first: Answer, alpha: Fraction, options: BestAnswerOptions) -> str:
    sign = -1 if scorer(options.best_scorer).lower_is_better else 1
    mine, its = (float(sign * each.corrected(alpha)) for each in (answer, first))
    length = f"{answer.length} tokens at alpha {float(alpha):.4g}"
    said = f"{options.best_scorer} {float(answer.value):.4g}, corrected for {length} {mine:.4g}"
    return f"{said}; {first.id} has {its:.4g}"
