r"""Self-consistency: the number that an answer ends in, and what most of several answers to a question say.

    final_number("12 - 5 = 7. So the answer is 7 apples.")      # Fraction(7)
    vote(["Answer: 7", "It is 8.", "#### 7"]).winner            # "7"

Covers numbers. Does not cover asking several times (`synthesize.respond`).
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from isheep_lib.prompting.thinking import answer_part

NUMBER = r"(?:(?<![a-z0-9_.,)/%])[-+]\s?)?[$€£]?\s?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?:\s?/\s?\d+)?(?![\d,.]*\d)"
# What comes before the number that is the answer, where an answer says so.
MARKED = re.compile(
    rf"(?:####|\\boxed\{{|(?:\banswer\b|答案)[^\n\d]{{0,40}}?(?:\bis\b|[:=：是为為])[^\n\d]{{0,20}}?)\s*({NUMBER})",
    re.IGNORECASE,
)
ANY = re.compile(NUMBER, re.IGNORECASE)
MINUS = str.maketrans("−–", "--")


def final_number(text: str) -> Fraction | None:
    """Read the number that an answer gives: the last one that it calls the answer, else the last one; None for none."""
    said = answer_part(text).translate(MINUS)
    marked = [found[1] for found in MARKED.finditer(said)]
    written = (marked or ANY.findall(said) or [""])[-1]
    plain = re.sub(r"[$€£,\s]", "", written)
    try:
        return Fraction(plain) if plain else None
    except ZeroDivisionError:
        return None


@dataclass(frozen=True)
class Vote:
    """What several answers to one question say.

    Attributes:
        winner: the number that most answers give, "" where none is read or several are given equally often.
        counts: how many answers give each number, the most frequent first.
        unread: answers that give none.
        first: the place of the first answer that gives the winner and is whole, if any is; -1 without a winner.
    """

    winner: str
    counts: dict[str, int]
    unread: int
    first: int = -1

    @property
    def agreeing(self) -> int:
        """How many answers give the most frequent number."""
        return max(self.counts.values(), default=0)

    @property
    def tied(self) -> list[str]:
        """The numbers that are given most often, where these are several."""
        top = [number for number, count in self.counts.items() if count == self.agreeing]
        return top if len(top) > 1 else []


def vote(answers: Sequence[str], whole: Sequence[bool] = ()) -> Vote:
    """Count what answers say; of a tie nobody wins, so that no order of the answers decides.

    Args:
        answers: to one question.
        whole: whether each ended by itself; by default all did.
    """
    numbers = [final_number(answer) for answer in answers]
    counted = Counter(str(number) for number in numbers if number is not None)
    counts = dict(sorted(counted.items(), key=lambda item: (-item[1], Fraction(item[0]))))
    found = Vote("", counts, numbers.count(None))
    if not counts or found.tied:
        return found
    winner = next(iter(counts))
    said = [place for place, number in enumerate(numbers) if number is not None and str(number) == winner]
    ended = [place for place in said if not whole or whole[place]]
    return Vote(winner, counts, found.unread, (ended or said)[0])
