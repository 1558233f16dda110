"""The table of methods in docs/methods.md: idea, needs, roles, what workers share, cost a kept pair, file.

    lines()      # the table, with what stands under it

Ideas, needs and files are read from the methods, roles from `roles.yaml`, costs from the committed tables of the sweep over
methods.
"""

import csv
import sys
from pathlib import Path

import yaml

from isheep_lib.ablate.sweep import open_sweep
from isheep_lib.synthesize.all_methods import METHODS
from isheep_lib.synthesize.params import Synthesize

ROOT = Path(__file__).resolve().parents[1]
SWEEP, COLUMN, UNKNOWN = "small-methods", "tokens a kept pair", "-"
HEAD = ("method", "idea", "needs", "roles of the model", "workers share", "tokens a kept pair", "file")


def lines() -> list[str]:
    """Return the lines of the table, and those that say what its columns are."""
    roles, costs = read_roles(), read_costs()
    rows = [f"| {' | '.join(HEAD)} |", f"|{'---|' * len(HEAD)}"]
    for name, method in METHODS.items():
        kind = type(method)
        file = f"`{kind.__module__.replace('.', '/')}.py`"
        shared = "answers" if Synthesize(method=name).shares_answers else "nothing"
        plays = (idea(kind), ", ".join(method.needs), ", ".join(roles[name]))
        cells = (f"`{name}`", *plays, shared, costs.get(name, UNKNOWN), file)
        rows.append(f"| {' | '.join(cells)} |")
    return [*rows, "", *told(costs)]


def told(costs: dict[str, str]) -> list[str]:
    """Say what the columns are that do not say it themselves."""
    sweep = f"[the sweep over methods](../params/ablations/{SWEEP}.yaml)"
    known = (
        f"as {sweep} recorded it; {UNKNOWN} where it did not run the method, or too few pairs came"
        if costs
        else f"as {sweep} will record it"
    )
    return [
        "*Workers share*: whether [many workers on one stage](workers.md) divide the answers among them; where they share",
        "nothing one worker does it all, and more are refused. *Tokens a kept pair*: those generated for tasks and answers by",
        f"the default model, over the pairs that its filter kept, {known}.",
    ]


def read_roles() -> dict[str, list[str]]:
    """Read what the model is in each method; every method has its line."""
    found: dict[str, list[str]] = yaml.safe_load((ROOT / "tools/roles.yaml").read_text(encoding="utf-8"))
    if set(found) != set(METHODS):
        sys.exit(f"tools/roles.yaml: not the methods that there are: {', '.join(sorted(set(found) ^ set(METHODS)))}")
    return found


def read_costs(root: Path = ROOT) -> dict[str, str]:
    """Read the tokens a kept pair of each method that the sweep over methods has run, {} without its record."""
    path = root / "results/reference" / SWEEP / "tables/yields.csv"
    if not path.is_file():
        return {}
    points = open_sweep(f"params/ablations/{SWEEP}.yaml").points
    methods = {point.label: point.params.synthesize.method for point in points}
    with path.open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["run"] in methods]
    # A run that brought too few pairs has none; of several by one method the first counts, which is the method alone.
    return {methods[row["run"]]: row[COLUMN] for row in reversed(rows) if row[COLUMN]}


def idea(kind: type) -> str:
    """Return the first sentence of a class."""
    return (kind.__doc__ or "").strip().split("\n")[0]
