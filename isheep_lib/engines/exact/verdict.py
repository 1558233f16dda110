"""What a check says of a record, and how much of it is looked at."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

EXPLAINED, NOT_EXPLAINED, NOT_CHECKED = "explained", "not explained", "not checked"


@dataclass(frozen=True)
class Sample:
    """How many answers, and scores, are looked at (the first by id, a digest; 0 is all), and the name of their progress."""

    size: int = 0
    label: str = "tokens"


def together(found: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Join what was said of each model that a stage asked: the worst verdict, all reasons, sums of counts, each in `models`."""
    if len(found) < 2:
        return dict(found[0]) if found else {}
    verdicts = [one["verdict"] for one in found]
    computed = [one for one in found if "tokens" in one]
    joined = {name: sum(one[name] for one in computed) for name in ("tokens", "same", "explained")}
    return {
        **joined,
        "verdict": next(verdict for verdict in (NOT_EXPLAINED, NOT_CHECKED, EXPLAINED) if verdict in verdicts),
        "why": "; ".join(dict.fromkeys(one["why"] for one in found if one["why"])),
        "number_format": next((one["number_format"] for one in computed), ""),
        "scores": {"checked": sum(one["scores"]["checked"] for one in computed)},
        "models": list(found),
    }
