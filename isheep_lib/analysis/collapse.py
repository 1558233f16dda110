"""Signs of a collapse over iterations, and the rules by which they become warnings.

`answer_signs(texts, finishes)` measures one model's answers; `warnings({1: signs, 2: signs})` compares each iteration
with the first and with the one before it. `RULES` holds every threshold, `SIGNS` the meaning of every sign.

Covers length, diversity, repetition, refusals, cut, empty and equal answers. Does not cover whether the answers are right
(`evaluate`); a warning says where to look, not that something is wrong.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from isheep_lib.analysis.words import grams, is_refusal
from isheep_lib.languages.rules import Language
from isheep_lib.languages.words import words

ENOUGH = 30  # answers; fewer are not compared
DISTINCT_OF = 500  # n-grams; every sample is brought down to as many
REPEATED = 4  # words in a run that counts as repeated
HALF = 0.5  # of the answers, whose median length is then that of the token limit
UNLESS = ", unless the token limit ended half of the answers before"
ERRORS = 3  # standard errors that a rise of a share must exceed: a run makes many comparisons
SIGNS = {
    "answers": "number of answers",
    "mean_words": "mean words per answer",
    "median_words": "median words per answer",
    "distinct_1": f"distinct words among {DISTINCT_OF} (share)",
    "distinct_2": f"distinct pairs of words among {DISTINCT_OF} (share)",
    "repeated_ngrams": f"runs of {REPEATED} words that repeat an earlier one of the same answer (mean share)",
    "refusal_rate": "answers that open by declining (share)",
    "cut_off_rate": "answers cut by the token limit (share)",
    "empty_rate": "empty answers (share)",
    "duplicate_rate": f"answers that equal an earlier one among {ENOUGH}, but for case and spaces (share)",
}
Signs = Mapping[str, Any]  # by name: a number, None where there are no answers to measure; "answers" is never None


def answer_signs(
    texts: Sequence[str], finishes: Sequence[str] | None = None, language: Language = "en"
) -> dict[str, float | int | None]:
    """Measure what a collapse would show in; the keys are those of `SIGNS`.

    Distinct n-grams become a smaller share of a larger sample: shorter answers alone would raise it and hide a collapse.
    So distinct_1 and distinct_2 are the share expected among 500 n-grams drawn from the sample, and None where it has
    fewer. Equal answers become a larger share of a larger sample, so duplicate_rate is that expected among 30 answers that
    are not empty.

    Args:
        texts: the answers.
        finishes: how each ended, "length" where the token limit cut it; without them cut_off_rate is None.
        language: in which an answer may decline, beside English.
    """
    if finishes is not None and len(finishes) != len(texts):
        raise ValueError(f"{len(texts)} texts but {len(finishes)} finishes")
    tokens = [words(text) for text in texts]
    lengths = [len(said) for said in tokens]
    plain = [" ".join(text.split()).lower() for text in texts]
    single = distinct_share(Counter(text for text in plain if text), ENOUGH)
    return {
        "answers": len(texts),
        "mean_words": _mean(lengths, digits=4),
        "median_words": float(np.median(lengths)) if lengths else None,
        "distinct_1": _distinct_grams(tokens, 1),
        "distinct_2": _distinct_grams(tokens, 2),
        "repeated_ngrams": _mean([_repeated_share(said) for said in tokens]),
        "refusal_rate": _mean([is_refusal(text, language) for text in texts]),
        "cut_off_rate": None if finishes is None else _mean([finish == "length" for finish in finishes]),
        "empty_rate": _mean([not text for text in plain]),
        "duplicate_rate": None if single is None else round(1 - single, 6),
    }


def distinct_share(counts: Counter[Any], number: int) -> float | None:
    """Return the share of distinct things expected among `number` drawn without replacement, None where there are fewer.

    What occurs c times among T is missed with probability C(T - c, number) / C(T, number): the rarefaction of
    ecology (Hurlbert 1971), so the value is exact, needs no seed, and does not depend on the order of the texts.
    """
    total = counts.total()
    if total < number:
        return None
    from scipy.stats import hypergeom

    repeats = Counter(counts.values())
    missed = hypergeom.pmf(0, total, list(repeats), number)
    return round(math.fsum(np.array(list(repeats.values())) * (1 - missed)) / number, 6)


def _distinct_grams(tokens: Sequence[Sequence[str]], n: int) -> float | None:
    return distinct_share(Counter(gram for said in tokens for gram in grams(said, n)), DISTINCT_OF)


def _repeated_share(said: Sequence[str]) -> float:
    """Return the share of an answer's runs of four words that stood in it before; 0 for shorter answers."""
    runs = grams(said, REPEATED)
    return 1 - len(set(runs)) / len(runs) if runs else 0.0


def _mean(values: Sequence[float], digits: int = 6) -> float | None:
    return round(math.fsum(values) / len(values), digits) if values else None


@dataclass(frozen=True)
class Rule:
    """A change of a sign that calls for a look: it falls to a share of what it was, or rises by points of 0 to 1."""

    sign: str
    meaning: str
    falls_to: float | None = None
    rises_by: float = 0.0
    whole: bool = False  # says nothing where the token limit, not the model, ended half of the answers before

    @property
    def text(self) -> str:
        """Say when the rule warns."""
        if self.falls_to is not None:
            return f"falls to {100 * self.falls_to:.0f} % or less of what it was"
        return f"rises by {100 * self.rises_by:.0f} points or more"

    def strikes(self, before: Signs, now: Signs) -> bool:
        """Tell whether the sign changed that much; a sign that one side lacks is not judged."""
        old, new = before.get(self.sign), now.get(self.sign)
        if old is None or new is None or (self.whole and (before.get("cut_off_rate") or 0) >= HALF):
            return False
        if self.falls_to is not None:
            return old > 0 and new <= self.falls_to * old
        rise = new - old
        # Values of 0 to 1 with mean p vary by p (1 - p) at most, so for a mean share this is a cautious bound.
        spread = old * (1 - old) / before["answers"] + new * (1 - new) / now["answers"]
        return rise >= self.rises_by - 1e-9 and rise > ERRORS * math.sqrt(spread)


RULES = (
    Rule("median_words", "answers wither", falls_to=0.5, whole=True),
    Rule("distinct_2", "answers use the same phrases", falls_to=0.75),
    Rule("repeated_ngrams", "answers go round in circles", rises_by=0.10),
    Rule("refusal_rate", "the model declines", rises_by=0.05),
    Rule("cut_off_rate", "answers do not end", rises_by=0.15),
    Rule("empty_rate", "the model says nothing", rises_by=0.05),
    Rule("duplicate_rate", "tasks get the same answer", rises_by=0.10),
)


@dataclass(frozen=True)
class DriftWarning:
    """A rule that struck at an iteration, against which one; or too few answers to judge (then without `against`)."""

    iteration: int
    sign: str
    before: float | None
    now: float
    rule: str
    against: int | None = None


def warnings(series: Mapping[int, Signs]) -> list[DriftWarning]:
    """Compare every iteration with the first at hand and with the one before, by every rule.

    An iteration with fewer than 30 answers is only named as such: it is neither judged nor compared with. A share must
    also rise by more than three times its standard error. The caller leaves out iteration 0 where the base model answers
    in another frame: a base model that runs on to the token limit makes every later answer look short.
    """
    found = []
    judged: list[int] = []
    for iteration, now in sorted(series.items()):
        if now["answers"] < ENOUGH:
            few = f"too few answers: {ENOUGH} are needed"
            found.append(DriftWarning(iteration, "answers", None, now["answers"], few))
            continue
        for against in dict.fromkeys([*judged[:1], *judged[-1:]]):
            before = series[against]
            found += [
                DriftWarning(iteration, rule.sign, before[rule.sign], now[rule.sign], f"{rule.text}: {rule.meaning}", against)
                for rule in RULES
                if rule.strikes(before, now)
            ]
        judged.append(iteration)
    return found


def warning_rows(found: Sequence[DriftWarning]) -> list[dict[str, Any]]:
    """Make the rows of a table of warnings."""
    return [
        {
            "iteration": str(warning.iteration),
            "against": "" if warning.against is None else str(warning.against),
            "sign": SIGNS[warning.sign],
            "before": "" if warning.before is None else warning.before,
            "now": warning.now,
            "rule": warning.rule,
        }
        for warning in found
    ]


def rule_rows() -> list[dict[str, str]]:
    """Make the rows of a table of the rules."""
    return [
        {"sign": SIGNS[rule.sign], "warns when it": rule.text + (UNLESS if rule.whole else ""), "because": rule.meaning}
        for rule in RULES
    ]
