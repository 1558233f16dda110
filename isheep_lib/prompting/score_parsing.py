"""Reading a score of 1 to 10: from what a model wrote, or from the probabilities of the numbers.

`parse_score("8||clear and correct")` is `(8.0, "")`, `parse_score("good")` is `(None, "no_number")`.
Covers one reply or one set of probabilities. Does not cover asking (`assess.scoring`).
"""

import math
import re

LABELS = [str(number) for number in range(1, 11)]
# A number and perhaps its scale, then the two bars; or a number that opens the reply or follows "score".
NUMBER = r"(?<![\d.,/])(-?\d+(?:\.\d+)?)(?![\d])(?:\s*/\s*(\d+))?"
WITH_BARS = re.compile(NUMBER + r"[\s>\])*\"']*\|\|")
OPENING = re.compile(
    r"^[\s<\[(*\"'#]*(?:(?:the\s+)?(?:score|rating|quality)\s*(?:is|of|:|=)*[\s*<]*)?"
    r"(?!1\.\s)" + NUMBER + r"(?!\s*[,-]\s*\d)",  # neither the "1. " of a list nor "7-8" is a score
    re.IGNORECASE,
)


def parse_score(reply: str) -> tuple[float | None, str]:
    """Read a written score of 1 to 10.

    Returns:
        The score and "", or None and the reason: "no_number", "out_of_range" or "ambiguous".
    """
    found = set(WITH_BARS.findall(reply))
    if len(found) > 1:
        return None, "ambiguous"
    if not found and (opening := OPENING.match(reply)):
        found = {opening.groups()}
    if not found:
        return None, "no_number"
    value, scale = found.pop()
    if scale not in (None, "", "10") or not 1 <= float(value) <= 10:
        return None, "out_of_range"
    return float(value), ""


def expectation(logs: list[float]) -> tuple[float, float]:
    """Return the expected score over 1 to 10 given log p of each number, and the probability on these numbers."""
    shares = [math.exp(value) for value in logs]
    mass = sum(shares)
    return sum(number * share for number, share in enumerate(shares, start=1)) / mass, mass
