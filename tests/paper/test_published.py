"""The paper's tables as files: read whole, named, computed again."""

import dataclasses

import pytest

from isheep_lib.benchmarks.catalogue import BENCHMARKS
from isheep_lib.errors import DataError
from isheep_lib.paper import published
from isheep_lib.paper.published import COLUMNS, DATASETS, NUMBERS, Column, claims, measure, read_rows, recompute, table

SHAPES = {"1": (29, 11), "2": (9, 6), "3": (18, 4), "4": (12, 4), "5": (3, 4), "11": (18, 5), "12": (12, 10)}
CLAIM = {"name": "x", "title": "X", "kind": "absolute", "model": "Qwen1.5-72B", "after": "iter5", "before": "base"}


@pytest.mark.parametrize("number", NUMBERS)
def test_every_table_has_all_its_rows_and_values(number):
    found = table(number)
    assert (len(found.rows), len(found.values)) == SHAPES.get(number, (16, 4))
    assert all(set(row) == {*found.keys, *found.values} for row in found.rows)
    assert any(isinstance(row[column], float) for row in found.rows for column in found.values)


@pytest.mark.parametrize(
    ("number", "keys", "column", "value"),
    [
        ("1", {"model": "Qwen1.5-1.8B", "setting": "iter1"}, "alpaca_eval", 1.51),
        ("1", {"model": "Qwen1.5-72B", "setting": "base"}, "alpaca_eval", None),
        ("3", {"setting": "icl_prompt", "step": "iter3"}, "ifeval_inst_loose", 36.12),
        ("4", {"setting": "both", "step": "iter3"}, "ifeval_prompt_strict", 41.14),
        ("10", {"dataset": "arc_e"}, "direct_30k", 96.30),
        ("11", {"setting": "combined_prompt", "step": "iter1"}, "triviaqa", 60.81),
        ("12", {"step": "iter6", "turn": "2"}, "stem", 3.11),
    ],
)
def test_numbers_stand_as_published_errors_included(number, keys, column, value):
    (row,) = [row for row in table(number).rows if keys.items() <= row.items()]
    assert row[column] == value


def test_tables_7_to_10_share_the_first_two_columns_and_no_other():
    columns = [column for number in ("7", "8", "9", "10") for column in table(number).values]
    assert {name for name in columns if columns.count(name) > 1} == {"base", "iter1"}
    assert len(set(columns)) == 10


def test_every_value_says_what_it_measures():
    for number in NUMBERS:
        found = table(number)
        for row in found.rows:
            assert all(measure(row, column).unit in ("%", "1 to 10") for column in found.values)
    assert measure(table("7").rows[0], "iter1").title == "BoolQ"


@pytest.mark.parametrize("name", [name for name, column in {**COLUMNS, **DATASETS}.items() if column.benchmark])
def test_measures_are_those_of_the_catalogue_and_a_differing_number_of_items_is_told(name):
    column = {**COLUMNS, **DATASETS}[name]
    benchmark = BENCHMARKS[column.benchmark]
    instructions = name.startswith("ifeval_inst")
    if benchmark.name not in ("ifeval", "mt_bench"):
        assert column.metric == benchmark.metric
    if column.number_of_items not in (None, benchmark.items) and not instructions:
        assert str(benchmark.items) in column.note


def test_a_table_without_numbers_is_refused_with_those_that_have_some():
    with pytest.raises(DataError, match="7, 8, 9"):
        table("6")


def test_bad_lines_are_named_by_file_and_line_all_at_once(tmp_path):
    file = tmp_path / "bad.csv"
    file.write_text("step,a,b\niter1,1.5,\niter2,1;5,2\niter3,1\niter1,1,nan\niter5,1e3,1_000\n")
    with pytest.raises(DataError) as error:
        read_rows(file, ("step",), ("a", "b"))
    problems = str(error.value)
    assert "6 bad row(s) in bad.csv" in problems
    for said in ("bad.csv:3: a '1;5'", "bad.csv:4: 2 field(s)", "bad.csv:5: b 'nan'", "'iter1' stands on line 2 already"):
        assert said in problems
    for said in ("bad.csv:6: a '1e3'", "bad.csv:6: b '1_000'"):
        assert said in problems
    assert ":2:" not in problems


@pytest.mark.parametrize("text", ["", "step,a\niter1,1\n"])
def test_an_absent_column_is_named(tmp_path, text):
    (tmp_path / "short.csv").write_text(text)
    with pytest.raises(DataError, match=r"short\.csv lacks the column\(s\) .*b"):
        read_rows(tmp_path / "short.csv", ("step",), ("a", "b"))


def test_an_empty_cell_is_none_and_the_line_of_a_quoted_break_is_its_last(tmp_path):
    file = tmp_path / "rows.csv"
    file.write_text('step,a\n"one\nmore",-1.50\ntwo,\n')
    assert read_rows(file, ("step",), ("a",)) == [{"step": "one\nmore", "a": -1.5}, {"step": "two", "a": None}]


def test_tables_are_read_once(monkeypatch):
    table("5")
    monkeypatch.setattr(published, "read_text", lambda path: pytest.fail("read again"))
    assert len(table("5").rows) == 3


@pytest.mark.parametrize(
    ("name", "recomputed", "cells"),
    [
        ("alpaca_eval", 78.16, [11.83, 6.64]),
        ("mt_bench", 23.95, [7.97, 6.43]),
        ("ifeval", 8.88, [44.55, 35.67]),
        ("code", 24.77, [56.71, 21.34, 53.66, 20.12, 55.60, 50.20]),
        ("triviaqa", 12.04, [70.11, 58.07]),
        ("squad2", 20.29, [67.95, 47.66]),
    ],
)
def test_headline_claims_follow_from_table_1(name, recomputed, cells):
    (claim,) = [claim for claim in claims() if claim.name == name]
    assert claim.holds
    assert round(claim.recomputed, 2) == recomputed
    assert [value for _, _, value in claim.cells] == cells
    assert all(f"{value:.2f}" in claim.formula for value in cells)


def test_the_code_claim_is_a_mean_of_three_parts():
    (claim,) = [claim for claim in claims() if claim.name == "code"]
    assert {column: round(part, 2) for column, part in claim.parts.items()} == {
        "humaneval": 35.37,
        "humaneval_plus": 33.54,
        "mbpp": 5.40,
    }
    assert claim.formula.startswith("mean of 56.71 − 21.34 = 35.37") and claim.formula.endswith("= 24.77")


@pytest.mark.parametrize(
    ("stated", "holds"), [("12.04", True), ("12.0", True), ("12", True), ("12.05", False), ("12.1", False), ("13", False)]
)
def test_a_claim_holds_within_the_rounding_of_the_digits_it_states(stated, holds):
    assert recompute({**CLAIM, "stated": stated, "columns": "triviaqa"}, table("1")).holds is holds


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"kind": "relativ"}, "'relativ' is no kind"),
        ({"after": "iter9"}, "no triviaqa of Qwen1.5-72B iter9"),
        ({"columns": "alpaca_eval"}, "no alpaca_eval of Qwen1.5-72B base"),
        ({"columns": "nq"}, "no nq of"),
    ],
)
def test_a_claim_that_cannot_be_computed_says_why(change, said):
    with pytest.raises(DataError, match=said):
        recompute({**CLAIM, "stated": "1", "columns": "triviaqa", **change}, table("1"))


def test_columns_are_facts_that_nobody_changes():
    with pytest.raises(dataclasses.FrozenInstanceError):
        COLUMNS["mbpp"].number_of_items = 974  # type: ignore[misc]
    assert Column("x").unit == "%"
