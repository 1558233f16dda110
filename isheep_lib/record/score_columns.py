"""What each scorer is called, which columns it fills, and which end of it is meant to be good.

`columns("expected", "both")` is `["expected_quality", "expected_following"]`.
Covers names. Does not cover computing scores (`assess.scoring`) or deciding by them (`filter`).
"""

from typing import Annotated, Literal

from pydantic import AfterValidator, WrapValidator

from isheep_lib.params import old_names
from isheep_lib.params.kinds import distinct

ScorerName = Literal["greedy", "sampled", "expected", "pmi", "ifd_loss", "ifd_perplexity", "perplexity"]
Scorer = Annotated[ScorerName, WrapValidator(lambda name, known: name if _is_old(name) else known(name))]
Level = Literal["both", "quality", "following", "none"]

WRITTEN = ("greedy", "sampled")  # a score that the model writes
PROMPTED = (*WRITTEN, "expected")  # scorers that ask the model a question, and score 1 to 10
RELATIVE = ("pmi", "ifd_loss", "ifd_perplexity")  # the response with its task against without it
LOWER_IS_BETTER = ("ifd_loss", "ifd_perplexity", "perplexity")
TOP = 9.5  # a score of 1 to 10 that rounds to the top one
UNITS = {
    "pmi": "nats a token",
    "ifd_loss": "ratio of losses",
    "ifd_perplexity": "ratio of perplexities",
    "perplexity": "perplexity",
}


def _is_old(name: object) -> bool:
    """Tell whether a scorer is named as an older record names its columns, which a repetition does, too."""
    return isinstance(name, str) and name in old_names.SCORERS


def criteria(level: str) -> tuple[str, ...]:
    """Name the criteria that a level of assessment asks about (paper, Section 3.3)."""
    return {"both": ("quality", "following"), "none": ()}.get(level, (level,))


def columns(scorer: str, level: str) -> list[str]:
    """Name the score columns of a scorer: one a criterion for prompted scorers."""
    if scorer in PROMPTED:
        return [f"{scorer}_{criterion}" for criterion in criteria(level)]
    return ["perplexity_output", "perplexity_pair"] if scorer == "perplexity" else [scorer]


def scorer_of(column: str) -> str:
    """Name the scorer that fills a column."""
    return column.rsplit("_", 1)[0] if column.startswith((*PROMPTED, "perplexity")) else column


def unit(column: str) -> str:
    """Name the unit of a column, for the axis of a figure."""
    scorer = scorer_of(column)
    return UNITS.get(old_names.SCORERS.get(scorer, scorer), "1 to 10")


def saturates(column: str) -> bool:
    """Tell whether a column has a top score that it can pile up at."""
    return scorer_of(column) in PROMPTED


Scorers = Annotated[list[Scorer], AfterValidator(distinct)]
