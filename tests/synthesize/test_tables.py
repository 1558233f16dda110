"""Tables: those of the project, and what is said of one that is not as it is described."""

from pathlib import Path

import pytest
import yaml

from isheep_lib.errors import DataError, IsheepError
from isheep_lib.record.rows import canonical_json, read_jsonl, write_jsonl
from isheep_lib.synthesize.grounds.tables import digest_tables, load_tables, texts_of

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "seeds" / "tables"
TABLES = load_tables("seeds/tables", "synthesize.options.tables")
ABOUT = {
    "name": "kettles",
    "summary": "Kettles of a shop.",
    "source": "a notebook",
    "licence": "CC0-1.0",
    "columns": {
        "name": {"type": "text", "meaning": "what it is called"},
        "litres": {"type": "number", "meaning": "how much it holds"},
        "colour": {"type": "category", "meaning": "of the lid", "values": ["red", "blue"]},
        "whistles": {"type": "boolean", "meaning": "whether it does"},
        "price": {"type": "integer", "meaning": "in cents"},
    },
}
ROW = {"name": "Pip", "litres": 1.5, "colour": "red", "whistles": True, "price": 900}


def written(folder, rows, about=ABOUT):
    write_jsonl(folder / "kettles.jsonl", rows)
    (folder / "kettles.yaml").write_text(yaml.safe_dump(about, sort_keys=False))
    return str(folder)


def refusal(folder):
    with pytest.raises(IsheepError) as caught:
        load_tables(folder, "here")
    return str(caught.value)


def test_the_project_has_six_tables_or_more_of_20_to_60_rows_with_meaning_source_and_licence():
    assert len(TABLES) >= 6
    assert [table.description.name for table in TABLES] == sorted(path.stem for path in FOLDER.glob("*.jsonl"))
    for table in TABLES:
        assert 20 <= len(table.rows) <= 60
        assert len(table.columns) >= 4
        assert (table.description.source, table.description.licence) == ("written for this project", "Apache-2.0")
        assert len({canonical_json(row) for row in table.rows}) == len(table.rows)


def test_every_table_has_a_column_to_be_written_from_and_one_to_be_told():
    for table in TABLES:
        kinds = [column.type for column in table.columns.values()]
        assert "text" in kinds
        assert "category" in kinds
        for name, column in table.columns.items():
            assert not column.values or {row[name] for row in table.rows} == set(column.values)


def test_the_files_are_canonical():
    for path in FOLDER.glob("*.jsonl"):
        assert path.read_text(encoding="utf-8") == "".join(canonical_json(row) + "\n" for row in read_jsonl(path))


def test_a_table_is_read_with_its_description_and_columns_in_the_order_described(tmp_path):
    (table,) = load_tables(written(tmp_path, [dict(reversed(ROW.items()))]), "here")
    assert list(table.rows[0].items()) == list(ROW.items())
    assert table.columns["colour"].values == ["red", "blue"]
    assert texts_of(table) == {"kettles-001": "name: Pip; litres: 1.5; colour: red; whistles: True; price: 900"}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"colour": "green"}, "colour: 'green' should be one of red, blue"),
        ({"price": 1.5}, "price: 1.5 should be of the type integer"),
        ({"price": True}, "price: True should be of the type integer"),
        ({"whistles": 1}, "whistles: 1 should be of the type boolean"),
        ({"litres": "two"}, "litres: 'two' should be of the type number"),
        ({"name": None}, "name: None should be of the type text"),
        ({"weight": 3}, "unknown: weight"),
        ({"weight": 3, "price": "x"}, "unknown: weight; price: 'x' should be of the type integer"),
    ],
)
def test_a_row_that_is_not_as_described_is_named(tmp_path, change, told):
    message = refusal(written(tmp_path, [ROW, {**ROW, **change}]))
    assert "1 bad row(s) in kettles.jsonl" in message
    assert f"kettles.jsonl:2: {told}\n" in message


def test_whole_numbers_are_numbers_and_a_row_that_lacks_a_column_is_bad(tmp_path):
    assert load_tables(written(tmp_path, [{**ROW, "litres": 2}]), "here")
    assert "no name, price" in refusal(written(tmp_path, [{k: v for k, v in ROW.items() if k not in ("name", "price")}]))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"licence": None}, "licence (line 4): None"),
        ({"name": "pots"}, "The table in kettles.yaml is named 'pots'"),
        ({"columns": {}}, "columns (line 5): {}"),
        ({"columns": {"a": {"type": "category", "meaning": "m"}}}, "columns.a.values: a category names its values"),
        (
            {"columns": {"a": {"type": "text", "meaning": "m", "values": ["x"]}}},
            "columns.a.values: a category names its values",
        ),
        ({"columns": {"a": {"type": "date", "meaning": "m"}}}, "columns.a.type (line 7): 'date' should be"),
    ],
)
def test_a_description_that_is_wrong_is_refused(tmp_path, change, told):
    assert told in refusal(written(tmp_path, [ROW], {**ABOUT, **change}))


def test_a_description_without_rows_and_a_folder_without_tables_are_refused(tmp_path):
    assert "no rows" in refusal(written(tmp_path, []))
    (tmp_path / "kettles.jsonl").unlink()
    assert "kettles.jsonl does not exist" in refusal(str(tmp_path))
    (tmp_path / "kettles.yaml").unlink()
    assert "holds no table" in refusal(str(tmp_path))
    assert "is no folder" in refusal(str(tmp_path / "none"))


def test_the_digest_is_of_descriptions_and_rows(tmp_path):
    before = digest_tables(written(tmp_path, [ROW]), "here")
    assert digest_tables(written(tmp_path, [dict(reversed(ROW.items()))]), "here") == before
    assert digest_tables(written(tmp_path, [{**ROW, "price": 901}]), "here") != before
    assert digest_tables(written(tmp_path, [ROW], {**ABOUT, "licence": "MIT"}), "here") != before


def test_no_row_of_a_table_shares_a_long_run_of_words_with_ifeval(tool):
    texts = tool.installed_set("IFEval")
    if texts is None:
        pytest.skip("eval_framework is not installed")
    found = tool.Comparison("IFEval", len(texts))
    tool.compare_runs(tool.table_rows(FOLDER), texts, found)
    assert found.run[0] > 0
    assert found.broken == []


def test_a_table_that_cannot_be_read_is_an_error_of_the_data(tmp_path):
    path = Path(written(tmp_path, [ROW])) / "kettles.jsonl"
    path.write_text("{")
    with pytest.raises(DataError, match=r"kettles\.jsonl"):
        load_tables(str(tmp_path), "here")
