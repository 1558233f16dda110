"""What a check says of a record, and how much of it is looked at."""

from dataclasses import dataclass

EXPLAINED, NOT_EXPLAINED, NOT_CHECKED = "explained", "not explained", "not checked"


@dataclass(frozen=True)
class Sample:
    """How many answers, and scores, are looked at (the first by id, a digest; 0 is all), and the name of their progress."""

    size: int = 0
    label: str = "tokens"
