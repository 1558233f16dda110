"""Every scorer there is, by its name and by the columns that it fills."""

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import AfterValidator, WrapValidator

from isheep_lib.params import old_names
from isheep_lib.params.kinds import distinct
from isheep_lib.scorers.asking import Expected, Greedy, Sampled
from isheep_lib.scorers.reading import IfdLoss, IfdPerplexity, Perplexity, Pmi
from isheep_lib.scorers.scorer import Odds, Scorer
from isheep_lib.scorers.verdict import Learned, Verdict

KnownScorer = Literal["greedy", "sampled", "expected", "pmi", "ifd_loss", "ifd_perplexity", "perplexity", "verdict", "learned"]
SCORERS: dict[str, Scorer] = {
    scorer.name: scorer
    for scorer in (
        Greedy("greedy"),
        Sampled("sampled"),
        Expected("expected"),
        Pmi("pmi"),
        IfdLoss("ifd_loss"),
        IfdPerplexity("ifd_perplexity"),
        Perplexity("perplexity"),
        Verdict("verdict"),
        Learned("learned"),
    )
}
# A record names a column as its scorer was called then; a repetition of it does the same.
OLD: dict[str, Scorer] = {old: type(SCORERS[new])(old) for old, new in old_names.SCORERS.items()}

ScorerName = Annotated[
    KnownScorer, WrapValidator(lambda name, known: name if isinstance(name, str) and name in OLD else known(name))
]
ScorerNames = Annotated[list[ScorerName], AfterValidator(distinct)]


def scorer(name: str) -> Scorer:
    """Return a scorer by its name, today's or a record's."""
    return SCORERS.get(name) or OLD[name]


def columns(name: str, level: str) -> list[str]:
    """Name the score columns of a scorer: `columns("expected", "both")` is two, one for each criterion."""
    return scorer(name).columns(level)


def columns_of(names: Sequence[str], level: str) -> list[str]:
    """Name the score columns of several scorers, in their order."""
    return [column for name in names for column in columns(name, level)]


def scorer_of(column: str) -> Scorer:
    """Return the scorer that fills a column; of a column that none of them fills nothing is known but the name."""
    every = (*SCORERS.values(), *OLD.values())
    return next((each for each in every if column in each.columns("both")), Scorer(column))


def learns(names: Sequence[str]) -> bool:
    """Tell whether one of the scorers asks an adapter that must be trained first."""
    return any(isinstance(each, Odds) and each.learns for each in map(scorer, names))
