"""LIMA: a small budget of pairs, chosen one by one for quality, for being unlike those chosen, and for one style.

The paper (arXiv 2305.11206) has people choose 1,000 pairs; here quality is a scorer's rank, diversity the share of words that
no chosen instruction has in common with it, and style five traits of an answer. Each is a fraction of 0 to 1, and their
product decides, in exact numbers: no machine chooses another pair.
"""

from collections.abc import Sequence
from fractions import Fraction
from statistics import median
from typing import ClassVar

from pydantic import Field

from isheep_lib.analysis.words import copy_share, is_refusal
from isheep_lib.filter.steps.step import UNREAD, By, Given, Reasons, ScoredPair, Step
from isheep_lib.filter.steps.threshold import ThresholdOptions
from isheep_lib.languages.rules import Language
from isheep_lib.languages.words import DECIDES, words
from isheep_lib.params.kinds import Positive, Section, language_of
from isheep_lib.prompting.chat import user_words
from isheep_lib.record.rows import Pair
from isheep_lib.scorers.table import ScorerName, columns, scorer

ENDS = tuple(".!?:;)]}`\"'”’…。！？」』）।؟")  # what the last letter of a whole answer may be
COPIED = 0.5  # share of an answer that is copied from the task, more is an echo


class LimaOptions(ThresholdOptions):
    """The options of `lima`, which shares the criteria of `threshold`."""

    lima_scorer: ScorerName = Field("pmi", description="lima: whose scores rank the quality, by the mean of its columns")
    lima_budget: Positive = Field(1000, description="lima: pairs kept (1000 in the paper)")


class Lima(Step[LimaOptions]):
    """Keeps so many pairs, each the best of those left by quality, unlikeness to the chosen, and style; equals in order."""

    name: ClassVar[str] = "lima"
    options: ClassVar[type[Section]] = LimaOptions
    packages: ClassVar[tuple[str, ...]] = (DECIDES,)
    meanings: ClassVar[dict[str, str]] = UNREAD | {
        "beyond_budget": "quality, diversity and style of those that were chosen before it used the budget up"
    }

    def by(self, options: LimaOptions) -> By:
        """Return the scorer's columns of the criteria."""
        return By("lima_scorer", options.lima_scorer, columns(options.lima_scorer, options.criteria))

    def apply(self, rows: Sequence[ScoredPair], options: LimaOptions, given: Given) -> Reasons:
        """Return the pairs beyond the budget, and those that cannot be ranked."""
        names, said = self.by(options).columns, options.lima_scorer
        read = [row for row in rows if all(name in row.scores for name in names)]
        known = {row.id for row in read}
        out: Reasons = {row.id: ("unread_score", f"{said} could not be read") for row in rows if row.id not in known}
        sign = -1 if scorer(said).lower_is_better else 1
        good = [sign * sum((Fraction(str(row.scores[name])) for name in names), Fraction(0)) for row in read]
        quality, style = ranks(good), styles([row.pair for row in read], language_of(options))
        grams = [frozenset(words(user_words(row.pair.task))) for row in read]
        nearest = choose([a * b for a, b in zip(quality, style, strict=True)], grams, options.lima_budget)
        for row, a, near, b in zip(read, quality, nearest, style, strict=True):
            if near is not None:
                facts = f"quality {float(a):.2f}, diversity {float(1 - near):.2f}, style {float(b):.2f}"
                out[row.id] = ("beyond_budget", f"{facts}; {options.lima_budget} were kept")
        return out


def choose(worth: Sequence[Fraction], grams: Sequence[frozenset[str]], budget: int) -> list[Fraction | None]:
    """Choose texts one by one, each the best of those left by worth times unlikeness to the chosen.

    Args:
        worth: of each text.
        grams: its words.
        budget: how many are chosen.

    Returns:
        For each text that is not chosen, how like it is to the nearest that is; None for those that are.
    """
    near, value, left = [Fraction(0)] * len(worth), list(worth), list(range(len(worth)))
    for _ in range(min(budget, len(worth))):
        first = max(left, key=value.__getitem__)  # of equal ones the first
        left.remove(first)
        for place in left:
            like = likeness(grams[first], grams[place])
            if like > near[place]:
                near[place], value[place] = like, worth[place] * (1 - like)
    kept = {*range(len(worth))} - {*left}
    return [None if place in kept else like for place, like in enumerate(near)]


def likeness(one: frozenset[str], other: frozenset[str]) -> Fraction:
    """Return the words that two texts share over those that either has (Jaccard), 0 for two without words."""
    return Fraction(len(one & other), len(one | other) or 1)


def ranks(values: Sequence[Fraction]) -> list[Fraction]:
    """Return for each value the share of values that are not above it: 1 for the best, equal ones alike."""
    ordered = sorted(values)
    last = {value: number for number, value in enumerate(ordered, start=1)}
    return [Fraction(last[value], len(values)) for value in values]


def styles(pairs: Sequence[Pair], language: Language = "en") -> list[Fraction]:
    """Return the share of five traits that each answer has.

    It is whole, ends as a sentence or a piece of code does, declines nothing, is no echo of its task, and has between half
    and twice the words of the median answer.
    """
    lengths = [len(words(pair.output)) for pair in pairs]
    middle = median(lengths) if lengths else 0
    return [Fraction(sum(_traits(pair, n, middle, language)), 5) for pair, n in zip(pairs, lengths, strict=True)]


def _traits(pair: Pair, length: int, middle: float, language: Language) -> tuple[bool, ...]:
    return (
        pair.finish != "length",
        pair.output.rstrip().endswith(ENDS),
        not is_refusal(pair.output, language),
        copy_share(pair.output, user_words(pair.task)) <= COPIED,
        middle <= 2 * length <= 4 * middle,
    )
