"""What each scorer is called, which columns it fills, and which end of it is meant to be good.

`columns("expected", "both")` is `["expected_quality", "expected_following"]`.
Covers names. Does not cover computing scores (`assess.scoring`) or deciding by them (`filter`).
"""

from typing import Annotated, Literal

from pydantic import AfterValidator

from isheep_lib.params.kinds import distinct

Scorer = Literal["greedy", "sampled", "expected", "mutual_information", "ifd_loss", "ifd_perplexity", "perplexity"]
Level = Literal["both", "quality", "following", "none"]

WRITTEN = ("greedy", "sampled")  # a score that the model writes
PROMPTED = (*WRITTEN, "expected")  # scorers that ask the model a question, and score 1 to 10
RELATIVE = ("mutual_information", "ifd_loss", "ifd_perplexity")  # the response with its task against without it
LOWER_IS_BETTER = ("ifd_loss", "ifd_perplexity", "perplexity")
TOP = 9.5  # a score of 1 to 10 that rounds to the top one
UNITS = {
    "mutual_information": "nats a token",
    "ifd_loss": "ratio of losses",
    "ifd_perplexity": "ratio of perplexities",
    "perplexity": "perplexity",
}


def axes(level: str) -> tuple[str, ...]:
    """Name the axes that a level of assessment asks about (paper, Section 3.3)."""
    return {"both": ("quality", "following"), "none": ()}.get(level, (level,))


def columns(scorer: str, level: str) -> list[str]:
    """Name the score columns of a scorer: one an axis for prompted scorers."""
    if scorer in PROMPTED:
        return [f"{scorer}_{axis}" for axis in axes(level)]
    return ["perplexity_output", "perplexity_pair"] if scorer == "perplexity" else [scorer]


def scorer_of(column: str) -> str:
    """Name the scorer that fills a column."""
    return column.rsplit("_", 1)[0] if column.startswith((*PROMPTED, "perplexity")) else column


def unit(column: str) -> str:
    """Name the unit of a column, for the axis of a figure."""
    return UNITS.get(scorer_of(column), "1 to 10")


def saturates(column: str) -> bool:
    """Tell whether a column has a top score that it can pile up at."""
    return scorer_of(column) in PROMPTED


Scorers = Annotated[list[Scorer], AfterValidator(distinct)]
