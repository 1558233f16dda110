"""BLEU of one text against another (Papineni et al. 2002): how much of it is copied, in words and runs of up to four.

    bleu("Name three uses of salt in soup.", "Name three uses of salt.")        # 0.614…

Covers one candidate and one reference. Does not cover corpora or smoothing: without a common run of the longest size it is 0.
"""

import math
from collections import Counter
from fractions import Fraction

from isheep_lib.analysis.words import grams
from isheep_lib.languages.words import words

ORDER = 4  # longest runs counted, in words
DIGITS = 9  # to which a value is rounded, so that no library's last bit decides


def bleu(candidate: str, reference: str) -> float:
    """Return BLEU, 0 to 1: the geometric mean of clipped precisions times the penalty for a shorter candidate.

    Of texts with fewer words than four, runs up to the candidate's own length count; an empty text has 0.
    """
    said, known = words(candidate), words(reference)
    order = min(ORDER, len(said), len(known))
    if not order:
        return 0.0
    product = math.prod((_precision(said, known, n) for n in range(1, order + 1)), start=Fraction(1))
    penalty = 1.0 if len(said) >= len(known) else math.exp(1 - len(known) / len(said))
    return round(penalty * float(product) ** (1 / order), DIGITS)


def _precision(said: list[str], known: list[str], n: int) -> Fraction:
    """Return the share of a text's runs of n words that the other has, each counted as often as it is there."""
    own, other = Counter(grams(said, n)), Counter(grams(known, n))
    return Fraction(sum((own & other).values()), own.total())
