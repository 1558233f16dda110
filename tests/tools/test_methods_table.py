"""The table of methods: every method with its roles, and the cost of a kept pair as the sweep's own table has it."""

import csv
import importlib
import sys
from pathlib import Path

import pytest

from isheep_lib.synthesize.all_methods import METHODS

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))
methods_table = importlib.import_module("methods_table")


def recorded(root, **costs):
    folder = root / "results/reference/small-methods/tables"
    folder.mkdir(parents=True)
    with (folder / "yields.csv").open("w", newline="") as file:
        writer = csv.writer(file, quoting=csv.QUOTE_ALL)
        writer.writerow(["run", "kept", methods_table.COLUMN])
        writer.writerows([[label.replace("_", "-"), 12, cost] for label, cost in costs.items()])
    return root


def test_every_method_has_a_line_with_every_column():
    lines = methods_table.lines()
    rows = [line.strip("| ").split(" | ") for line in lines if line.startswith("| `")]
    assert [row[0].strip("`") for row in rows] == list(METHODS)
    assert {len(row) for row in rows} == {len(methods_table.HEAD)}
    assert all(all(row) for row in rows)


def test_costs_are_those_of_the_sweep_s_runs_by_the_method_of_each(tmp_path):
    root = recorded(tmp_path, magpie="1,234", self_instruct="88", evol_instruct="unknown", no_such_run="7")
    assert methods_table.read_costs(root) == {"magpie": "1,234", "self_instruct": "88", "evol_instruct": "unknown"}
    assert methods_table.read_costs(tmp_path / "empty") == {}


@pytest.mark.parametrize("known", [{}, {"magpie": "12"}])
def test_the_page_says_where_the_costs_are_from_and_whether_they_are_there(known):
    said = " ".join(methods_table.told(known))
    assert "small-methods" in said and ("will record it" in said) == (not known)


def test_the_column_is_one_that_committed_tables_of_sweeps_have():
    tables = [*ROOT.glob("results/reference/*/tables/yields.csv")]
    assert tables
    for path in tables:
        assert methods_table.COLUMN in path.read_text().splitlines()[0]
