"""Whether a run helped, in words before numbers: better, worse or not told apart, and what it would have taken to see more.

    of_run(comparison.against_base(run_dir, [0, 1, 2, 3]), lengths)
    # "It is not shown to have helped: M_3 and M_0 cannot be told apart on any of 4 benchmarks. …"

A difference is claimed only where the paired test supports it after Holm's correction over the benchmarks of two models.
Covers what is said of models of one run. Does not cover the tests (`analysis.significance`), pairing items
(`benchmarks.comparison`) or sweeps (`ablate.verdict`).
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial

from isheep_lib.analysis.lengths import AS_LONG, Change
from isheep_lib.analysis.significance import (
    IMPROVED,
    NOTHING_SHOWN,
    WORSE,
    Comparison,
    comparison_rows,
    holm,
    items_needed,
    p_words,
    smallest_detectable,
    verdict,
)
from isheep_lib.benchmarks.comparison import Compared
from isheep_lib.display.evaluation_tables import named, open_titles
from isheep_lib.display.folded import Folded, Told
from isheep_lib.display.outcomes import listed
from isheep_lib.display.table import Table

ALPHA = 0.05


def of_run(against_base: Sequence[Compared], lengths: Change | None) -> Told:
    """Say whether the last model is better than the base model, what could have been seen, and whether answers grew shorter.

    Args:
        against_base: each trained model beside the base model, the last one last.
        lengths: of the open answers of the same two models, in characters; None where none were asked.
    """
    if not against_base or not against_base[-1].found:
        why = "; ".join(dict.fromkeys(against_base[-1].left_out.values())) if against_base else "no trained model is evaluated"
        return Told(f"Whether it helped cannot be said yet: {why or 'no benchmark was asked of both models'}.")
    last = against_base[-1]
    told = needed(last.found, partial(named, language=last.language))
    asked = open_titles((*last.found, *last.left_out), last.language)
    said = "\n".join(filter(None, [helped(last), told, length_words(lengths, asked)]))
    left = [f"{named(name, last.language)} ({why})" for name, why in last.left_out.items()]
    said += f"\nNot compared: {'; '.join(left)}." if left else ""
    return Told(said, *by_verdict(_rows([last])))


def helped(pair: Compared) -> str:
    """Answer whether the later of two models is the better one."""
    adjusted = holm({name: found.p for name, found in pair.found.items()})
    of = {word: [n for n, found in pair.found.items() if verdict(found, adjusted[n]) == word] for word in (IMPROVED, WORSE)}
    rest = len(pair.found) - len(of[IMPROVED]) - len(of[WORSE])
    told = {word: listed([_with_numbers(pair, n, adjusted[n]) for n in names]) for word, names in of.items()}
    both = f"{pair.after} is"
    others = f"; no difference is shown on {rest} of {len(pair.found)}" if rest else ""
    if of[IMPROVED] and of[WORSE]:
        return (
            f"It helped and it hurt: {both} better than {pair.before} on {told[IMPROVED]}, and worse on {told[WORSE]}{others}."
        )
    if of[IMPROVED]:
        return f"It helped: {both} better than {pair.before} on {told[IMPROVED]}{others}."
    if of[WORSE]:
        return f"It hurt: {both} worse than {pair.before} on {told[WORSE]}{others}."
    name, found = max(pair.found.items(), key=lambda item: abs(item[1].difference))
    number = len(pair.found)
    numbers = _with_numbers(pair, name, adjusted[name]) if found.difference else ""
    where = f"any of {number} benchmarks" if number > 1 else numbers or named(name, pair.language)
    most = f"; the largest difference is on {numbers}" if number > 1 and numbers else "" if numbers else "; no mean differs"
    return f"It is not shown to have helped: {pair.after} and {pair.before} cannot be told apart on {where}{most}."


def _with_numbers(pair: Compared, name: str, p: float) -> str:
    found = pair.found[name]
    points = f"{found.difference:+.1f} points, 95 % interval {found.low:+.1f} to {found.high:+.1f}"
    return f"{named(name, pair.language)} ({points}, p {p_words(p)} after Holm)"


def needed(comparisons: Mapping[str, Comparison], title_of: Callable[[str], str] = named) -> str:
    """Say which differences could have been seen, and how many items the largest one not shown would take; "" if all are.

    Args:
        found: one family of tests by name.
        title_of: the name of a test for a reader.
    """
    adjusted, alpha = holm({name: one.p for name, one in comparisons.items()}), ALPHA / max(1, len(comparisons))
    unseen = {name: one for name, one in comparisons.items() if verdict(one, adjusted[name]) == NOTHING_SHOWN}
    if not unseen:
        return ""
    points = [smallest_detectable(one.items, _differing(one), one.step, alpha=alpha) for one in unseen.values()]
    known = sorted(value for value in points if value is not None)
    said = "With as few items nothing could have been seen"
    if known:
        reach = f"{known[0]:.1f}" if known[0] == known[-1] else f"{known[0]:.1f} to {known[-1]:.1f} (by test)"
        said = f"With the items asked, a difference must be {reach} points to be seen four times in five"
    name, one = max(unseen.items(), key=lambda item: abs(item[1].difference))
    items = items_needed(one, alpha)
    if items is None:
        return f"{said}."
    return f"{said}; to see one as large as that on {title_of(name)} ({one.difference:+.1f}), {_asked(items, one.items)}."


def _asked(items: int, now: int) -> str:
    if items <= now:
        return f"the {now} items asked do in most cases, and did not here"
    return f"it would have taken about {float(f'{items:.2g}'):,.0f} items in place of {now}"


def _differing(found: Comparison) -> float:
    return (found.only_before + found.only_after) / found.items


def length_words(change: Change | None, asked: str = "") -> str:
    """Say whether answers became shorter; `asked` names the benchmarks where they are in another language than the run."""
    if change is None:
        return "No open answers were asked of both models, so nothing is known of their length."
    spread = f"{change.difference:+.0f}, 95 % interval {change.low:+.0f} to {change.high:+.0f}"
    stay = "stayed" if change.word == AS_LONG else "became"
    means = f"{change.before:.0f} characters before, {change.after:.0f} after"
    over = f"{change.items} open items{' of ' * bool(asked)}{asked}"
    return f"The answers {stay} {change.word}: {means}, in the mean over {over} ({spread})."


def tests(compared: Sequence[Compared]) -> Told:
    """Show paired tests, those that show nothing folded below one line."""
    rows = _rows(compared)
    if not rows:
        return Told("There is no earlier evaluation to compare with.")
    left = [f"{named(name, c.language)} ({c.before} to {c.after}): {why}" for c in compared for name, why in c.left_out.items()]
    said = "Paired tests on each benchmark's first metric, in percentage points; Holm over the benchmarks of two models."
    return Told(said + (f"\nLeft out: {'; '.join(left)}." if left else ""), *by_verdict(rows))


def _rows(compared: Sequence[Compared]) -> list[dict[str, str]]:
    return [
        {"models": f"{pair.before} to {pair.after}", "benchmark": named(row["task"], pair.language)}
        | {name: text for name, text in row.items() if name != "task"}
        for pair in compared
        for row in (comparison_rows(pair.found) if pair.found else [])
    ]


def by_verdict(rows: Sequence[dict[str, str]]) -> list[Table | Folded]:
    """Show tests that tell something, and fold the others."""
    told = [row for row in rows if row["verdict"] != NOTHING_SHOWN]
    rest = [row for row in rows if row["verdict"] == NOTHING_SHOWN]
    parts: list[Table | Folded] = [Table(told)] if told else []
    return parts + ([Folded(f"{NOTHING_SHOWN}: {len(rest)} of {len(rows)} tests", Table(rest))] if rest else [])
