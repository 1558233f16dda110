"""What results on single items show: errors of a mean, paired comparisons of two models, and what could not be seen.

`compare({"a": [0], "b": [1]}, {"a": [1], "b": [1]})` compares two models on the items a and b; `comparison_rows` makes the
table of several such comparisons and is the one place that says "improved" or "worse".

Covers values of 0 to 1 on the same items, alone or grouped (the instructions of one prompt). Does not cover how items are
scored (`evaluate`) or showing tables (`display.stage_tables`). Differences are percentage points, all else is percent.
Sums are rounded once (`fsum`) and nearly equal ones count as equal, so numbers are the same on every machine.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from isheep_lib.errors import DataError

RESAMPLES = 10_000
EXACT_ITEMS = 16  # with so few differing items every pattern of signs is tried
CHUNK = 1_000_000  # drawn numbers held at once
DIGITS = 9  # of the ends of an interval, in percentage points
TIE = 1e-9  # sums of the same shares in another order are equal
IMPROVED, WORSE, NOTHING_SHOWN = "improved", "worse", "no difference shown"


@dataclass(frozen=True)
class Comparison:
    """Two models on the same items; `difference` is after minus before.

    `items` are independent units, which hold `values` values. `only_before` counts the items on which the earlier model
    did better (for 0/1 values: which it alone has right), `only_after` the converse. `step` is the root mean square of what one
    differing item moves the mean by, in items: 1 for 0/1 values.
    """

    items: int
    values: int
    before: float
    after: float
    difference: float
    low: float
    high: float
    p: float
    test: str
    only_before: int
    only_after: int
    step: float


def mean_with_error(rows: Sequence[float] | Sequence[Sequence[float]]) -> dict[str, float | int | None]:
    """Return the mean of all values and its standard error, in percent, and the number of values.

    Args:
        rows: values of 0 to 1, one for each item, or a row of values for each item. Values of a row are not independent,
            so the error is robust to clusters: it rests on the spread between rows. One row alone has no error (None).

    Raises:
        DataError: no value at all, or values outside 0 to 1.
    """
    groups = {str(i): list(row) if isinstance(row, Sequence | np.ndarray) else [row] for i, row in enumerate(rows)}
    sums, sizes = _sums({name: group for name, group in groups.items() if group}, "the values")
    clusters, total = len(sums), int(sizes.sum())
    mean = math.fsum(sums) / total
    found: dict[str, float | int | None] = {"value": round(100 * mean, 4), "standard_error": None, "items": total}
    if clusters > 1:
        residual = sums - mean * sizes
        error = math.sqrt(clusters / (clusters - 1) * math.fsum(residual**2)) / total
        found["standard_error"] = round(100 * error, 4)
    return found


def compare(before: Mapping[str, Sequence[float]], after: Mapping[str, Sequence[float]], seed: int = 0) -> Comparison:
    """Compare two models on the same items, each item an id with its values of 0 to 1.

    The 95 % interval is a percentile bootstrap over items; where all items differ by the same amount it has no width and
    says nothing. p is two-sided: by McNemar's exact test where every item has one value of 0 or 1, else by
    flipping the signs of the items' differences (all patterns up to 16 differing items, else 10 000 drawn ones, so
    that p is at least 1 in 10 001). The same seed and items give the same numbers in any order of the items.

    Raises:
        DataError: the items differ, or have no value or another number of values, or values lie outside 0 to 1.
    """
    _require_same_items(before, after)
    ids = sorted(before)
    old, sizes = _sums({name: before[name] for name in ids}, "the results before")
    new, _ = _sums({name: after[name] for name in ids}, "the results after")
    delta, total = new - old, int(sizes.sum())
    delta[np.abs(delta) < TIE] = 0.0
    single = total == len(ids) and all(value in (0, 1) for value in np.concatenate([old, new]))
    changed = delta[delta != 0]
    worse, better = int((changed < 0).sum()), int((changed > 0).sum())
    low, high = _interval(delta, sizes, seed)
    return Comparison(
        items=len(ids),
        values=total,
        before=100 * math.fsum(old) / total,
        after=100 * math.fsum(new) / total,
        difference=100 * math.fsum(delta) / total,
        low=low,
        high=high,
        p=_mcnemar(worse, better) if single else _sign_flip(changed, seed),
        test="exact McNemar" if single else "sign flips",
        only_before=worse,
        only_after=better,
        step=math.sqrt(math.fsum(changed**2) / changed.size) * len(ids) / total if changed.size else 1.0,
    )


def _require_same_items(before: Mapping[str, Sequence[float]], after: Mapping[str, Sequence[float]]) -> None:
    """Refuse what has not the same items with the same number of values; all differences are named."""
    shared = before.keys() & after.keys()
    differing = {
        "only before": before.keys() - shared,
        "only after": after.keys() - shared,
        "with another number of values": {name for name in shared if len(before[name]) != len(after[name])},
    }
    said = [
        f"{len(names)} item(s) {what}: {', '.join(sorted(names)[:5])}{', …' if len(names) > 5 else ''}"
        for what, names in differing.items()
        if names
    ]
    if said:
        raise DataError("Not comparable: " + "; ".join(said), do="evaluate both models on the same items")


def _sums(items: Mapping[str, Sequence[float]], what: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the sum and the number of values of each item."""
    if not items:
        raise DataError(f"No items in {what}", do="evaluate at least one item")
    bad = [name for name, values in items.items() if not len(values) or not all(0 <= value <= 1 for value in values)]
    if bad:
        raise DataError(
            f"{len(bad)} bad item(s) in {what}: {', '.join(bad[:5])}", allowed="one or more values of 0 to 1 an item"
        )
    sums = np.array([math.fsum(values) for values in items.values()])
    return sums, np.array([len(values) for values in items.values()])


def _interval(delta: np.ndarray, sizes: np.ndarray, seed: int) -> tuple[float, float]:
    """Return the 95 % percentile bootstrap interval of the difference, resampling whole items."""
    draws = _draws(len(delta), len(delta), np.int32, seed)
    found = [delta[drawn].sum(axis=1) / sizes[drawn].sum(axis=1) for drawn in draws]
    low, high = np.quantile(np.concatenate(found), (0.025, 0.975))
    return round(100 * float(low), DIGITS), round(100 * float(high), DIGITS)  # sums of resamples differ in their last bits


def _draws(below: int, number: int, kind: type, seed: int) -> Iterator[np.ndarray]:
    """Draw so many whole numbers for each resample, in batches that fit in memory."""
    generator = np.random.default_rng(seed)
    batch = max(1, CHUNK // number)
    for start in range(0, RESAMPLES, batch):
        yield generator.integers(below, size=(min(batch, RESAMPLES - start), number), dtype=kind)


def _mcnemar(worse: int, better: int) -> float:
    """Return McNemar's exact p; the items on which both agree do not enter it."""
    from statsmodels.stats.contingency_tables import mcnemar

    return float(mcnemar([[0, worse], [better, 0]], exact=True).pvalue)


def _sign_flip(changed: np.ndarray, seed: int) -> float:
    """Return the share of sign patterns under which the differing items add up to as much as they do."""
    observed, number = abs(math.fsum(changed)) - TIE, len(changed)
    if number <= EXACT_ITEMS:
        patterns = 1 - 2 * ((np.arange(2**number)[:, None] >> np.arange(number)) & 1)
        return float((np.abs(patterns @ changed) >= observed).mean())
    draws = _draws(2, number, np.int8, seed)
    extreme = sum(int((np.abs((drawn * 2.0 - 1.0) @ changed) >= observed).sum()) for drawn in draws)
    return (extreme + 1) / (RESAMPLES + 1)  # the pattern at hand is one of those possible, so p is never 0


def smallest_detectable(
    items: int, differing: float, step: float = 1.0, power: float = 0.8, alpha: float = 0.05
) -> float | None:
    """Return the smallest difference that so many items could have shown, in percentage points; None where none could.

    It is the larger of two numbers. First the usual one of a paired comparison, (z(1 - alpha/2) + z(power)) * s / sqrt(items),
    where s = step * sqrt(differing) is an upper bound of the standard deviation of the items' differences (Connor 1987 for
    McNemar's test, Miller 2024, arXiv:2411.00640, for evaluations). Second a floor that holds for identical answers, too:
    an exact test needs k = ceil(log2(2 / alpha)) items that change in one direction and none in the other, and the
    floor is the smallest share of changing items which gives k of them with the wanted power (a quantile of the beta
    distribution, which inverts the binomial).

    Args:
        items: independent items.
        differing: share of items on which the two models differ, 0 to 1.
        step: what one differing item moves the mean by, in items: 1 for 0/1 values, less for F1 (`Comparison.step`).
        power: wanted chance of showing a difference of this size.
        alpha: level of the two-sided test.
    """
    from scipy import stats

    needed = math.ceil(math.log2(2 / alpha) - TIE)
    if items < needed:
        return None
    floor = float(stats.beta.ppf(power, needed, items - needed + 1))
    reach = float(stats.norm.ppf(1 - alpha / 2) + stats.norm.ppf(power)) * math.sqrt(differing / items)
    return min(100.0, 100 * step * max(floor, reach))


def items_needed(comparison: Comparison, alpha: float = 0.05) -> int | None:
    """Return how many items would show a difference as large as the measured one; None where none was measured.

    With the measured share of differing items and `smallest_detectable`'s power, so it is an estimate as rough as that share.
    """
    wanted, differing = abs(comparison.difference), (comparison.only_before + comparison.only_after) / comparison.items

    def enough(items: int) -> bool:
        points = smallest_detectable(items, differing, comparison.step, alpha=alpha)
        return points is not None and points <= wanted

    if wanted < TIE:
        return None
    most = 1
    while not enough(most):
        most *= 2
    least = most // 2  # too few
    while most - least > 1:
        middle = (least + most) // 2
        least, most = (least, middle) if enough(middle) else (middle, most)
    return most


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """Adjust the p values of one family of tests by Holm's procedure."""
    if not p_values:
        return {}
    from statsmodels.stats.multitest import multipletests

    adjusted = multipletests(list(p_values.values()), method="holm")[1]
    return {name: float(p) for name, p in zip(p_values, adjusted, strict=True)}


def verdict(comparison: Comparison, adjusted_p: float, alpha: float = 0.05) -> str:
    """Say "improved" or "worse" where the adjusted p allows it and the difference has that sign, else that nothing is shown."""
    if adjusted_p > alpha or comparison.difference == 0:
        return NOTHING_SHOWN
    return IMPROVED if comparison.difference > 0 else WORSE


def comparison_rows(comparisons: Mapping[str, Comparison], alpha: float = 0.05) -> list[dict[str, str]]:
    """Make the rows of a table of comparisons by task.

    All comparisons given are one family: give those of a whole report at once. The smallest detectable difference is
    at the level alpha / tasks, which is what Holm's procedure asks of the smallest p.
    """
    adjusted = holm({task: found.p for task, found in comparisons.items()})
    return [
        {
            "task": task,
            "items": f"{found.items}" if found.items == found.values else f"{found.items} ({found.values} values)",
            "before (%)": f"{found.before:.1f}",
            "after (%)": f"{found.after:.1f}",
            "difference (95 % interval)": _difference(found),
            "only before / only after": f"{found.only_before} / {found.only_after}",
            "p": p_words(found.p),
            "p (Holm)": p_words(adjusted[task]),
            "smallest detectable": _detectable(found, alpha / len(comparisons)),
            "verdict": verdict(found, adjusted[task], alpha),
        }
        for task, found in comparisons.items()
    ]


def _difference(found: Comparison) -> str:
    if not found.only_before and not found.only_after:
        return "0 (no item differs)"
    if found.low == found.high:
        return f"{found.difference:+.1f} (no interval: all items differ alike)"
    return f"{found.difference:+.1f} ({found.low:+.1f} to {found.high:+.1f})"


def p_words(value: float) -> str:
    """Write a p value."""
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def _detectable(found: Comparison, alpha: float) -> str:
    points = smallest_detectable(found.items, (found.only_before + found.only_after) / found.items, found.step, alpha=alpha)
    return "none: too few items" if points is None else f"{points:.1f}"
