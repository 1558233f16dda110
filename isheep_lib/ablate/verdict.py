"""Which setting of a sweep makes a difference, in words: against as many pairs by chance, and against the base model.

    of_sweep(sweep, rows)
    # "No setting is told from the base model: 5 settings, 5 tests. …"

Only the last iteration of each setting is told; a difference is claimed only where the paired test supports it after Holm's
correction over all tests of its kind. Covers what is said. Does not cover the table (`ablate.table`).
"""

from collections.abc import Mapping, Sequence

from isheep_lib.ablate.practice import base_of
from isheep_lib.ablate.stops import stop_of
from isheep_lib.ablate.sweep import Sweep
from isheep_lib.ablate.table import Row, compared, iterations_of
from isheep_lib.analysis.significance import NOTHING_SHOWN, Comparison, holm, verdict
from isheep_lib.display.folded import Told
from isheep_lib.display.outcomes import listed
from isheep_lib.display.verdicts import by_verdict, needed, p_words
from isheep_lib.record.manifests import run_folder

Tests = Mapping[tuple[str, int, str], Comparison]  # by setting, iteration and benchmark
CONTROL, BASE = "its control, which keeps as many pairs by chance", "the base model"


def of_sweep(sweep: Sweep, rows: Sequence[Row]) -> Told:
    """Say which settings differ from their control and from the base model, and what it would have taken to see more.

    Args:
        sweep: the sweep.
        rows: of `ablate.table.rows_of`.
    """
    last = [row for row in rows if row.iteration == iterations_of(sweep, row.side.label)]
    if not last:
        return Told("\n".join(filter(None, ["Nothing of this sweep is evaluated yet.", _stopped(sweep)])))
    labels = dict.fromkeys(row.side.label for row in last)
    titles = {_key(row): f"{row.side.label}, {row.side.named(row.benchmark)}" for row in rows}
    bases = {label: base_of(sweep, label) for label in labels}
    found = {_key(row): compared(row.side, bases[row.side.label], row.benchmark) for row in last}
    by_chance = {_key(row): row.control for row in rows}
    told = [_told(title, _tests(family), titles) for title, family in ((CONTROL, by_chance), (BASE, found))]
    tests = _tests(found)
    more = needed({titles[key]: one for key, one in tests.items()}, str) if tests else ""
    shown = _rows(_tests(by_chance), CONTROL.partition(",")[0], last) + _rows(tests, BASE, last)
    return Told("\n".join(filter(None, [*told, more, _stopped(sweep)])), *by_verdict(shown))


def _stopped(sweep: Sweep) -> str:
    """Name the settings of which a run brought too few pairs to go on."""
    labels = dict.fromkeys(p.label for p in sweep.points if not p.control and stop_of(run_folder(p.run), p.iterations))
    return f"Too few pairs to learn from: {listed(list(labels))}." if labels else ""


def _key(row: Row) -> tuple[str, int, str]:
    return row.side.label, row.iteration, row.benchmark


def _tests(found: Mapping[tuple[str, int, str], Comparison | str]) -> Tests:
    return {key: one for key, one in found.items() if isinstance(one, Comparison)}


def _told(title: str, tests: Tests, titles: Mapping[tuple[str, int, str], str]) -> str:
    """Say of one kind of tests which settings they tell apart, by the title of each."""
    last = {label: max((k for other, k, _ in tests if other == label), default=0) for label, _, _ in titles}
    shown = {key: word for key, word in _verdicts(tests).items() if key[1] == last[key[0]]}
    if not shown:
        return f"No setting can be compared with {title}."
    differ = [key for key, word in shown.items() if word != NOTHING_SHOWN]
    if not differ:
        of = f"{len({key[0] for key in shown})} setting(s), {len(shown)} test(s)"
        return f"No setting is told from {title}: {of}, none shows a difference."
    words = [f"{titles[key]}: {shown[key]} ({tests[key].difference:+.1f} points)" for key in differ]
    return f"Told from {title}: {listed(words)}; no difference is shown in {len(shown) - len(differ)} of {len(shown)} tests."


def _verdicts(tests: Tests) -> dict[tuple[str, int, str], str]:
    adjusted = _adjusted(tests)
    return {key: verdict(one, adjusted[key]) for key, one in tests.items()}


def _adjusted(tests: Tests) -> dict[tuple[str, int, str], float]:
    by_name = holm({repr(key): one.p for key, one in tests.items()})
    return {key: by_name[repr(key)] for key in tests}


def _rows(tests: Tests, title: str, last: Sequence[Row]) -> list[dict[str, str]]:
    adjusted, wanted = _adjusted(tests), {_key(row): row for row in last}
    return [
        {
            "run": key[0],
            "benchmark": wanted[key].side.named(key[2]),
            "against": title,
            "difference (95 % interval)": f"{one.difference:+.1f} ({one.low:+.1f} to {one.high:+.1f})",
            "p (Holm)": p_words(adjusted[key]),
            "verdict": verdict(one, adjusted[key]),
        }
        for key, one in tests.items()
        if key in wanted
    ]
