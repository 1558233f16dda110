"""What judgements add up to: win rates, with and without length, biases of a judge, and the grades of MT-Bench.

Rows of pairwise judgements come in two orders an item; a preference is the probability that the model's answer is better:
    {"id": "12", "order": "model_first", "preference": 0.8, "unread": ""}
    {"id": "12", "order": "baseline_first", "preference": 0.6, "unread": ""}
An item counts where both orders were read: one order alone would bring in what the judge gives a place. Lengths are
{id: (the model's, the baseline's)} in characters. A number that the data do not give is None, and "why" says why.
Covers pure statistics. Does not cover asking a judge (`judge.verdicts`).
"""

import math
import warnings
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np

from isheep_lib.errors import DataError

Rows = Sequence[dict[str, Any]]
Lengths = dict[str, tuple[int, int]]
ORDERS = ("model_first", "baseline_first")
LC_NAME = "length-controlled win rate (our fit)"
LEAST_ITEMS = 10  # for a fit of two coefficients
LEAST_SPREAD = 0.01  # of the length term, which lies within -1 and 1; with less it is taken for the intercept
# MT-Bench's names of categories and the columns of the paper's Table 12, in its order.
ALIKE = ("coding", "extraction", "humanities", "math", "reasoning", "stem", "writing")
COLUMNS = {"roleplay": "role_play", **dict(zip(ALIKE, ALIKE, strict=True))}


def win_rate(rows: Rows) -> dict[str, Any]:
    """Return the mean preference for the model over items, each item the mean of its two orders.

    Returns:
        win_rate and se (over items), items, half_read (items with one order read), and unread judgements by reason.
    """
    items = _items(rows)
    half = Counter(row["id"] for row in rows if row["preference"] is not None)
    found = {
        "items": len(items),
        "half_read": sum(number == 1 for number in half.values()),
        "unread": _unread(rows),
        "why": "" if items else "no item was read in both orders",
    }
    mean, error = _mean([sum(both) / 2 for both in items.values()])
    return {"win_rate": mean, "se": error, **found}


def position_bias(rows: Rows) -> dict[str, Any]:
    """Return how far the judge prefers the answer that it is shown first: 0 is not at all, 0.5 always, -0.5 never.

    Returns:
        bias and se (over items), items, and flipped: the share of items whose winner changes with the order.
    """
    items = _items(rows)
    mean, error = _mean([(first - second) / 2 for first, second in items.values()])
    flips = [(first - 0.5) * (second - 0.5) < 0 for first, second in items.values()]
    why = "" if items else "no item was read in both orders"
    return {"bias": mean, "se": error, "flipped": _mean(flips)[0], "items": len(items), "why": why}


def length_controlled(rows: Rows, lengths: Lengths) -> dict[str, Any]:
    """Return the length-controlled win rate (our fit): the win rate expected where both answers are equally long.

    A fractional logistic regression of the preference on an intercept and on tanh(d / sd(d)), d the difference of
    lengths in characters, model minus baseline, not centred; it is read at d = 0. The standard error is the
    delta method's on a robust covariance over items; sd(d) counts as known.

    This is not AlpacaEval 2's number. That one has a third term, the difficulty of each instruction, with coefficients
    from many models judged by one judge; here one model stands alone, so the two may not be compared.

    Returns:
        name, win_rate, se, items, and extrapolated: whether the model's answers are all longer, or all shorter.
    """
    ids, preferred, gaps = _with_lengths(rows, lengths)
    found: dict[str, Any] = {"name": LC_NAME, "win_rate": None, "se": None, "items": len(ids), "extrapolated": False}
    why = _no_fit(preferred, gaps)
    if why:
        return {**found, "why": why}
    coefficients, covariance = _fit([(ids, preferred, gaps)])
    rate = _logistic(coefficients[0])
    error = rate * (1 - rate) * math.sqrt(covariance[0, 0])
    extrapolated = bool((gaps > 0).all() or (gaps < 0).all())
    return {**found, "win_rate": rate, "se": error, "extrapolated": extrapolated, "why": ""}


def length_bias(rows: Rows, lengths: Lengths) -> dict[str, Any]:
    """Return how far the judge prefers the longer answer; longer answers may also simply be better.

    Returns:
        longer_preferred and se: the share of decided items (no tie, no equal lengths) whose longer answer wins;
        decided: their number; coefficient and coefficient_se: of tanh(d / sd(d)) in `length_controlled`'s fit.
    """
    ids, preferred, gaps = _with_lengths(rows, lengths)
    decided = (preferred != 0.5) & (gaps != 0)
    share, error = _mean(((preferred > 0.5) == (gaps > 0))[decided])
    found = {"longer_preferred": share, "se": error, "decided": int(decided.sum()), "items": len(ids)}
    why = _no_fit(preferred, gaps)
    if why:
        return {**found, "coefficient": None, "coefficient_se": None, "why": why}
    coefficients, covariance = _fit([(ids, preferred, gaps)])
    return {**found, "coefficient": float(coefficients[1]), "coefficient_se": math.sqrt(covariance[1, 1]), "why": ""}


def self_preference(own_rows: Rows, other_rows: Rows, own_lengths: Lengths, other_lengths: Lengths) -> dict[str, Any]:
    """Return by how much a judge gives its own answers a higher win rate than another model's, on the same items.

    Both models are compared with the same baseline by the same judge, which wrote the answers of `own_rows`. The number
    alone does not tell a preference for what is one's own from answers that are better: for that, let another judge
    see the same answers, and compare.

    Returns:
        difference and se (paired over items), items; controlled and controlled_se: the same with both win rates
        length-controlled (our fit); "why" says what stood against that.
    """
    shared = _items(own_rows).keys() & _items(other_rows).keys()
    sides = []
    for rows, lengths in ((own_rows, own_lengths), (other_rows, other_lengths)):
        sides.append(_with_lengths([row for row in rows if row["id"] in shared], lengths))
    (ids, own, own_gaps), (_, other, other_gaps) = sides
    difference, error = _mean(own - other)
    found = {"difference": difference, "se": error, "items": len(ids), "controlled": None, "controlled_se": None}
    reasons = {"own": _no_fit(own, own_gaps), "other": _no_fit(other, other_gaps)}
    why = "; ".join(f"{side}: {reason}" for side, reason in reasons.items() if reason)
    if why:
        return {**found, "why": why}
    coefficients, covariance = _fit(sides)
    rates = [_logistic(coefficients[0]), _logistic(coefficients[2])]
    slope = np.array([rates[0] * (1 - rates[0]), 0.0, -rates[1] * (1 - rates[1]), 0.0])
    controlled_error = math.sqrt(max(0.0, float(slope @ covariance @ slope)))  # rounding, where both sides are the same
    return {**found, "controlled": rates[0] - rates[1], "controlled_se": controlled_error, "why": ""}


def mt_bench_summary(rows: Rows) -> dict[str, Any]:
    """Return mean grades by turn and category, in the columns of the paper's Table 12.

    The average is over both turns' grades and so the same in both rows; its standard error takes a question's two turns
    together. A grade that was not read counts nowhere, and a column without grades is None.

    Returns:
        means, ses, ns: each a row per turn; unread: grades by reason; why.

    Raises:
        DataError: categories that MT-Bench does not have.
    """
    unknown = sorted({str(row["category"]) for row in rows} - COLUMNS.keys())
    if unknown:
        raise DataError(f"Unknown categories: {', '.join(unknown)}", allowed=", ".join(COLUMNS), do="mend the questions")
    read = [row for row in rows if row["score"] is not None]
    means, errors, numbers = [], [], []
    for turn in (1, 2):
        here = [row for row in read if row["turn"] == turn]
        grades = {"single_turn_score": here}
        grades |= {column: [row for row in here if row["category"] == name] for name, column in COLUMNS.items()}
        found = {column: _clustered(of) for column, of in {**grades, "average": read}.items()}
        means.append({"turn": turn, **{column: mean for column, (mean, _) in found.items()}})
        errors.append({"turn": turn, **{column: error for column, (_, error) in found.items()}})
        numbers.append({"turn": turn, **{column: len(of) for column, of in {**grades, "average": read}.items()}})
    why = "" if read else "no grade was read"
    return {"means": means, "ses": errors, "ns": numbers, "unread": _unread(rows), "why": why}


def _clustered(rows: Rows) -> tuple[float | None, float | None]:
    """Return the mean grade and its standard error over questions, which may have two grades each."""
    if not rows:
        return None, None
    mean = sum(row["score"] for row in rows) / len(rows)
    off: dict[str, float] = defaultdict(float)  # by question
    for row in rows:
        off[row["id"]] += row["score"] - mean
    if len(off) == 1:
        return mean, None
    return mean, math.sqrt(sum(value**2 for value in off.values()) * len(off) / (len(off) - 1)) / len(rows)


def _items(rows: Rows) -> dict[str, tuple[float, float]]:
    """Return the preferences of the items that were read in both orders, as (model first, baseline first)."""
    found: dict[str, dict[str, float]] = defaultdict(dict)
    for row in rows:
        if row["preference"] is not None:
            found[row["id"]][row["order"]] = row["preference"]
    return {id_: (both[ORDERS[0]], both[ORDERS[1]]) for id_, both in found.items() if len(both) == len(ORDERS)}


def _unread(rows: Rows) -> dict[str, int]:
    """Count rows without a value by reason, most frequent first."""
    return dict(sorted(Counter(row["unread"] for row in rows if row["unread"]).items(), key=lambda item: (-item[1], item[0])))


def _mean(values: Sequence[float] | np.ndarray) -> tuple[float | None, float | None]:
    """Return the mean and its standard error; None where there are too few values."""
    if not len(values):
        return None, None
    array = np.asarray(values, dtype=np.float64)
    error = float(array.std(ddof=1)) / math.sqrt(len(array)) if len(array) > 1 else None
    return float(array.mean()), error


def _with_lengths(rows: Rows, lengths: Lengths) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Return ids, preferences and differences of length (model minus baseline), in the order of ids.

    Raises:
        DataError: items without lengths.
    """
    items = _items(rows)
    lacking = sorted(items.keys() - lengths.keys())
    if lacking:
        raise DataError(f"{len(lacking)} judged items have no lengths, such as {lacking[0]}", do="give the judged answers' own")
    ids = sorted(items)
    preferred = np.array([sum(items[id_]) / 2 for id_ in ids], dtype=np.float64)
    return ids, preferred, np.array([lengths[id_][0] - lengths[id_][1] for id_ in ids], dtype=np.float64)


def _no_fit(preferred: np.ndarray, gaps: np.ndarray) -> str:
    """Say why these data decide no two coefficients, or ""."""
    if len(preferred) < LEAST_ITEMS:
        return f"{len(preferred)} items are too few for a fit, {LEAST_ITEMS} are needed"
    if (gaps == gaps[0]).all() or _term(gaps).std() < LEAST_SPREAD:
        return "the length differences are all the same, or nearly so beside how large they are"
    won, lost = gaps[preferred > 0], gaps[preferred < 1]
    if not len(won) or not len(lost):
        return "every item was decided the same way, by all of the probability"
    # Then a steeper slope always fits better, and there is no best one. Items between 0 and 1 lie on both sides.
    if won.min() >= lost.max() or lost.min() >= won.max():
        return "the length difference alone decides every item, so the fit has no end"
    return ""


def _term(gaps: np.ndarray) -> np.ndarray:
    return np.tanh(gaps / gaps.std(ddof=1))


def _logistic(value: float) -> float:
    return (1 + math.tanh(float(value) / 2)) / 2  # without the overflow of exp


def _fit(sides: list[tuple[list[str], np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    """Fit intercept and slope of every side at once, so that the covariance knows which items the sides share."""
    import statsmodels.api as sm
    from statsmodels.tools.sm_exceptions import PerfectSeparationWarning

    columns = 2 * len(sides)
    design, groups = [], []
    for i, (ids, _, gaps) in enumerate(sides):
        block = np.zeros((len(ids), columns))
        block[:, 2 * i], block[:, 2 * i + 1] = 1.0, _term(gaps)
        design.append(block)
        groups += ids
    preferred = np.concatenate([values for _, values, _ in sides])
    numbers = np.unique(groups, return_inverse=True)[1]
    model = sm.GLM(preferred, np.concatenate(design), family=sm.families.Binomial())
    with warnings.catch_warnings():  # separation was ruled out; a curve through all points, as of a constant, is no harm
        warnings.simplefilter("ignore", PerfectSeparationWarning)
        fitted = model.fit(cov_type="cluster", cov_kwds={"groups": numbers}, maxiter=200)
    return fitted.params, fitted.cov_params()
