"""What a run's first page says of its models: whether they got better, in words, then tables and figures.

Covers the part on results. Does not cover the other parts (`report.contents`).
"""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from isheep_lib.benchmarks import comparison
from isheep_lib.display import evaluation_tables, verdicts
from isheep_lib.display.table import Table
from isheep_lib.errors import IsheepError

NOT_EVALUATED = "No model is evaluated yet."
ABOVE = "; the table above holds the same numbers"


def results_of(run_dir: Path, evaluated: dict[int, dict[str, Any]]) -> tuple[str, str, dict[str, Any]]:
    """Say whether the run helped, how its paired tests came out, and show what that rests on.

    Args:
        run_dir: of the run.
        evaluated: the metrics of each model.
    """
    if not evaluated:
        return "", NOT_EVALUATED, {}
    from isheep_lib.display import figures, run_figures

    iterations = list(evaluated)
    try:
        against_base = comparison.against_base(run_dir, iterations)
        verdict = verdicts.of_run(against_base, comparison.lengths_since(run_dir, iterations)).said
    except IsheepError as error:
        against_base, verdict = [], f"Whether it helped cannot be said: {error.what}."
    tests = or_why(lambda: evaluation_tables.comparison_table(comparison.along(run_dir, iterations)))
    since = {"What changed since the base model": run_figures.differences(against_base)} if against_base else {}
    parts = {
        **since,
        "Results": evaluation_tables.results_table(evaluated),
        f"Scores of each benchmark over iterations{ABOVE}": figures.scores_over_iterations(evaluated),
        "Paired comparisons": tests,
    }
    return verdict, _counted(tests), parts


def _counted(tests: Table) -> str:
    found = Counter(row["verdict"] for row in tests.rows if "verdict" in row)
    told = "; ".join(f"{name} in {n} of {found.total()} tests" for name, n in sorted(found.items()))
    return f"Paired comparisons: {told}." if told else ""


def or_why(make: Callable[[], Table]) -> Table:
    """Make a table, or say what of the record it lacks."""
    try:
        return make()
    except IsheepError as error:
        return Table([{"not shown": error.what}])
