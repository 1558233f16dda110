"""DYNOSAUR: designs are read and held against their table, labels are counted, and rows make the pairs."""

import json
import zlib

import pytest
import yaml

from isheep_lib.benchmarks.catalogue import BENCHMARKS
from isheep_lib.benchmarks.data import read_docs
from isheep_lib.engines.protocol import Completion
from isheep_lib.errors import DataError, YieldError
from isheep_lib.prompting.prompt_files import english
from isheep_lib.record.rows import Task
from isheep_lib.synthesize.candidates import Candidates, funnel_of
from isheep_lib.synthesize.extras.own import figure_of
from isheep_lib.synthesize.grounds.tables import Column, DataSet, Description, load_tables
from isheep_lib.synthesize.methods.in_context.designs import (
    Design,
    design_problem,
    filled,
    instruction_of,
    pair_problem,
    read_designs,
    shown_row,
    text_of,
    usable,
)
from isheep_lib.synthesize.methods.in_context.dynosaur import Dynosaur
from isheep_lib.synthesize.params import Synthesize
from tests.scripted import Letters, ScriptedEngine
from tests.writings import writing

PARAMETER = "synthesize.options.tables"
COLUMNS = {
    "plant_id": {"type": "integer", "meaning": "number"},
    "plant": {"type": "text", "meaning": "which plant"},
    "height_cm": {"type": "number", "meaning": "height"},
    "soil": {"type": "category", "meaning": "how moist", "values": ["dry", "moist", "wet"]},
}
ROWS = [
    {"plant_id": 1, "plant": "basil", "height_cm": 4.5, "soil": "moist"},
    {"plant_id": 2, "plant": "chilli", "height_cm": 7.0, "soil": "dry"},
    {"plant_id": 3, "plant": "mint", "height_cm": 9.0, "soil": "moist"},
    {"plant_id": 4, "plant": "thyme", "height_cm": 3.0, "soil": "wet"},
]
SOIL = "Instruction: Say how moist the soil of this plant is.\nInput fields: plant, height_cm\nOutput field: soil"
PLANT = "Instruction: Name a plant that grows to this height.\nInput fields: height_cm\nOutput field: plant"


class Reader(ScriptedEngine):
    """Counts words as tokens."""

    tokenizer = staticmethod(lambda text, add_special_tokens: {"input_ids": text.split()})


def table_of(values):
    """A table of one column of categories, beside a text."""
    kinds = sorted(set(values))
    columns = {"text": Column(type="text", meaning="t"), "label": Column(type="category", meaning="l", values=kinds)}
    about = Description(name="t", summary="s", source="o", licence="CC0-1.0", columns=columns)
    return DataSet(about, [{"text": f"row {n}", "label": value} for n, value in enumerate(values)])


@pytest.fixture
def tables(tmp_path):
    folder = tmp_path / "tables"
    folder.mkdir()
    about = {"name": "sill", "summary": "Plants on a sill.", "source": "made up", "licence": "CC0-1.0", "columns": COLUMNS}
    (folder / "sill.yaml").write_text(yaml.safe_dump(about, sort_keys=False))
    (folder / "sill.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return folder


def made(engine, folder, tables, **values):
    options = {"tables": str(tables), "described": "always", **values.pop("options", {})}
    given = {"method": "dynosaur", "min_instructions": 1, "instructions": 99, "options": options}
    return writing(engine, folder, Synthesize(**given | values), [], seed_of=lambda name: zlib.crc32(name.encode()))


def plan(tables):
    """Look at tables as a plan does, benchmarks apart."""
    return Synthesize(method="dynosaur", options={"tables": str(tables), "benchmark_text": "keep"}).data_digests()


@pytest.mark.parametrize(
    ("text", "designs"),
    [
        (f"{SOIL}\n{PLANT}", [(("plant", "height_cm"), "soil"), (("height_cm",), "plant")]),
        ("Sure!\n\n1. Instruction: Do.\n   Input: a and b\n   Output: c", [(("a", "b"), "c")]),
        ("Instruction: Do.\nInput fields: `a`; ['b']\nOutput field: \"c\".\nThat is it.", [(("a", "b"), "c")]),
        ("**Instruction:** Do.\n**Input fields:** a\n**Output field:** c", [(("a",), "c")]),
        ("Instruction: Do.\nOutput field: c", [((), "c")]),
        ("Instruction: Do.\nInput fields: a", [(("a",), "")]),
        ("Instruction: Do.\nInput fields: a\nOutput field: c, d", [(("a",), "c, d")]),
        ("Input fields: a\nOutput field: c", []),
        ("No idea.", []),
        ("", []),
    ],
)
def test_designs_are_read_from_their_lines(text, designs):
    found = read_designs(Completion("x", text, "end", 3))
    assert [(d.inputs, d.output) for d in found] == designs
    assert all(
        d.instruction in ("Do.", "Say how moist the soil of this plant is.", "Name a plant that grows to this height.")
        for d in found
    ), [d.instruction for d in found]


def test_the_design_that_the_token_limit_ended_is_cut():
    assert [d.cut for d in read_designs(Completion("x", f"{SOIL}\n{PLANT[:-3]}", "length", 3))] == [False, True]


@pytest.mark.parametrize(
    ("inputs", "output", "reason"),
    [
        (("plant",), "height_cm", ""),
        (("plant", "height_cm"), "soil", ""),
        ((), "soil", "incomplete_design"),
        (("plant",), "", "incomplete_design"),
        (("plant", "colour"), "soil", "unknown_field"),
        (("plant",), "soil, height_cm", "unknown_field"),
        (("plant_id",), "soil", "unknown_field"),
        (("plant", "soil"), "soil", "output_is_given"),
    ],
)
def test_a_design_is_held_against_the_columns_of_its_table(tables, inputs, output, reason):
    (table,) = load_tables(str(tables), PARAMETER)
    assert design_problem(Design("", "Do this.", inputs, output), table, english())[0] == reason


@pytest.mark.parametrize(
    ("counts", "skewed"),
    [
        ((70, 30), False),
        ((71, 29), True),
        ((50, 25, 25), False),
        ((51, 25, 24), True),
        ((100,), True),
        ((60, *[5] * 8), True),
        ((91, *[1] * 9), True),
        ((90, *[1] * 10), False),
    ],
)
def test_labels_of_which_one_is_too_frequent_are_no_choice_as_published(counts, skewed):
    values = [f"l{n}" for n, number in enumerate(counts) for _ in range(number)]
    found = design_problem(Design("", "Do this.", ("text",), "label"), table_of(values), english())
    assert (found[0] == "skewed_labels") is skewed


def test_only_the_first_hundred_rows_are_counted():
    table = table_of(["a", "b"] * 50 + ["a"] * 900)
    assert design_problem(Design("", "Do this.", ("text",), "label"), table, english()) == ("", "")


@pytest.mark.parametrize(
    ("values", "listed"),
    [
        (["wet", "dry", "wet"], "Do this. The answer must be one of: dry, wet."),
        (["x" * 15, "dry"], f"Do this. The answer must be one of: dry, {'x' * 15}."),
        (["x" * 16, "dry"], "Do this."),
        ([f"l{n}" for n in range(11)], "Do this."),
    ],
)
def test_few_and_short_labels_are_listed_in_the_instruction(values, listed):
    assert instruction_of(Design("", "Do this.", ("text",), "label"), table_of(values), english()) == listed


@pytest.mark.parametrize(
    ("value", "text"), [(True, "yes"), (False, "no"), (96.0, "96"), (4.5, "4.5"), (7, "7"), (" a ", "a"), ("", "")]
)
def test_values_are_written_as_text(value, text):
    assert text_of(value, english()) == text


def test_a_row_is_filled_in_without_what_is_empty():
    design = Design("", "Do this.", ("a", "b"), "c")
    assert filled(design, {"a": "one", "b": "", "c": True}, english()) == ("a is 'one'.", "yes")


@pytest.mark.parametrize(
    ("given", "answer", "reason"),
    [
        ("a is 'b'.", "c", ""),
        ("", "c", "empty_value"),
        ("a is 'b'.", "", "empty_value"),
        ("x" * 2000, "c", ""),
        ("x" * 2001, "c", "row_too_long"),
    ],
)
def test_a_row_that_makes_no_pair_says_why(given, answer, reason):
    assert pair_problem(given, answer)[0] == reason


def test_a_shown_value_is_cut_at_a_thousand_letters():
    assert shown_row({"a": "x" * 1500}, ["a"], english()) == f"a is '{'x' * 1000}'."


def test_columns_of_ids_are_left_out(tables):
    assert usable(load_tables(str(tables), PARAMETER)[0]) == ["plant", "height_cm", "soil"]


def test_tasks_are_filled_with_rows_a_row_of_each_in_turn(tmp_path, tables):
    engine = Reader([f"{SOIL}\n{PLANT}"])
    found = Dynosaur().write(made(engine, tmp_path, tables))
    assert [row["output_field"] for row in found.accepted] == ["soil", "plant"] * 4
    row = next(row for row in found.accepted if row["row"] == 2 and row["output_field"] == "soil")
    assert row == {
        "id": "i1-sill-d0-t0-row-002",
        "instruction": "Say how moist the soil of this plant is. The answer must be one of: dry, moist, wet.",
        "input": "plant is 'chilli'. height_cm is '7'.",
        "output": "dry",
        "finish": "end",
        "num_tokens": 2,
        "table": "sill",
        "licence": "CC0-1.0",
        "input_fields": ["plant", "height_cm"],
        "output_field": "soil",
        "described": True,
        "row": 2,
    }
    assert {row["output"] for row in found.accepted if row["output_field"] == "plant"} == {r["plant"] for r in ROWS}
    assert (found.dropped, found.tokens) == ([], 10)
    prompt = engine.asked[0].prompt
    assert "- soil (how moist)" in prompt and "Plants on a sill." in prompt and "plant_id" not in prompt
    assert prompt.count("height_cm is '") == 2
    assert engine.asked[0].stop == ("END", "\nData set:")


def test_a_table_is_shown_with_and_without_what_its_columns_mean(tmp_path, tables):
    engine = Reader([SOIL, PLANT])
    found = Dynosaur().write(made(engine, tmp_path, tables, options={"described": "both"}))
    assert [request.id for request in engine.asked] == ["i1-sill-d0", "i1-sill-b0"]
    assert "Columns: plant, height_cm, soil\n" in engine.asked[1].prompt and "how moist" not in engine.asked[1].prompt
    assert {(row["output_field"], row["described"]) for row in found.accepted} == {("soil", True), ("plant", False)}


def test_every_design_that_will_not_do_is_dropped_with_its_reason(tmp_path, tables):
    said = [
        f"{SOIL}\n{PLANT.replace('plant', 'colour')}",
        SOIL,
        "It has four rows.",
        SOIL.replace("Say how", "Tell how"),
        PLANT.replace("Name a plant that grows to this height.", "Name it."),
    ]
    found = Dynosaur().write(made(Reader(said), tmp_path, tables, options={"tries": 5}))
    assert [row["reason"] for row in found.dropped] == [
        "unknown_field",
        "same_task",
        "incomplete_design",
        "near_duplicate",
        "too_short",
    ]
    assert {row["table"] for row in found.dropped} == {"sill"}
    assert funnel_of(found, found.accepted)["in"] == 4 + 5


def test_there_are_no_more_pairs_than_wanted_and_a_task_without_one_is_named(tmp_path, tables):
    found = Dynosaur().write(made(Reader([f"{SOIL}\n{PLANT}"]), tmp_path, tables, instructions=1))
    assert len(found.accepted) == 1
    assert [(row["id"], row["reason"]) for row in found.dropped] == [("i1-sill-d0-t1", "beyond_target")]


def test_a_task_makes_at_most_so_many_pairs_of_different_rows(tmp_path, tables):
    found = Dynosaur().write(made(Reader([SOIL]), tmp_path, tables, options={"rows_per_task": 3}))
    assert len({row["row"] for row in found.accepted}) == len(found.accepted) == 3


def test_rows_that_break_a_rule_or_are_empty_make_no_pair(tmp_path, tables):
    rows = [*ROWS[:2], ROWS[2] | {"plant": "see www.mint.example"}, ROWS[3] | {"plant": ""}]
    (tables / "sill.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = Dynosaur().write(made(Reader([PLANT.replace("height_cm", "soil")]), tmp_path, tables))
    assert sorted((row["row"], row["reason"]) for row in found.dropped) == [(4, "empty_value")]
    found = Dynosaur().write(made(Reader([SOIL.replace(", height_cm", "")]), tmp_path / "b", tables))
    assert sorted((row["row"], row["reason"]) for row in found.dropped) == [(3, "url"), (4, "empty_value")]


def test_tasks_of_earlier_iterations_are_not_designed_again(tmp_path, tables):
    work = made(Reader([SOIL]), tmp_path, tables)
    work.earlier.append(Task("i0-x", "Say how moist the soil of this plant is. The answer must be one of: dry, moist, wet."))
    with pytest.raises(YieldError, match=r"(?s)Only 0 new instructions.*near_duplicate.*raise tries"):
        Dynosaur().write(work)


def test_a_killed_stage_asks_only_for_the_rest(tmp_path, tables):
    said = [SOIL, PLANT]
    whole = Dynosaur().write(made(Reader(said), tmp_path / "whole", tables, options={"described": "both"}))
    with pytest.raises(IndexError):
        Dynosaur().write(made(Reader(said[:1]), tmp_path / "killed", tables, options={"described": "both"}))
    rest = Reader(said[1:])
    assert Dynosaur().write(made(rest, tmp_path / "killed", tables, options={"described": "both"})) == whole
    assert len(rest.asked) == 1


def test_the_example_shows_designs_and_a_pair(tmp_path, tables):
    shown = Dynosaur().example(made(Reader([f"{SOIL}\n{PLANT.replace('Output field: plant', '')}"]), tmp_path, tables))
    assert [row["verdict"] for row in shown.rows] == ["fits", "incomplete_design"]
    assert (shown.rows[0]["input"], shown.rows[0]["output"]) == ("plant is 'basil'. height_cm is '4.5'.", "moist")


def test_the_evidence_and_the_figure_are_by_table_and_answer():
    kept = [{"table": "sill", "output_field": "soil", "instruction": text} for text in "aab"]
    lost = [{"table": "bus", "output_field": "", "instruction": "", "reason": "incomplete_design"}]
    found = Candidates(kept, lost)
    assert [(r["table"], r["tasks"], r["pairs"], r["dropped"]) for r in Dynosaur().evidence(found).rows] == [
        ("bus", 0, 0, "1 incomplete_design"),
        ("sill", 2, 3, ""),
    ]
    (axis,) = figure_of(Dynosaur(), found).axes
    assert [label.get_text() for label in axis.get_yticklabels()] == ["sill: soil", "bus: none"]


def test_a_table_that_can_have_no_task_is_refused_at_the_plan(tables):
    about = yaml.safe_load((tables / "sill.yaml").read_text())
    about["columns"] = {name: COLUMNS[name] for name in ("plant_id", "plant")}
    (tables / "sill.yaml").write_text(yaml.safe_dump(about, sort_keys=False))
    (tables / "sill.jsonl").write_text('{"plant_id": 1, "plant": "basil"}\n')
    with pytest.raises(
        DataError, match=r"(?s)2 table\(s\) can have no task:.*sill: 1 column.*sill: 1 row\(s\), a prompt shows 2"
    ):
        plan(tables)


def test_rows_that_do_not_fit_their_schema_and_absent_tables_are_refused_at_the_plan(tables, tmp_path):
    (tables / "sill.jsonl").write_text(json.dumps(ROWS[0] | {"soil": "muddy"}) + "\n")
    with pytest.raises(DataError, match=r"soil: 'muddy' should be one of dry, moist, wet"):
        plan(tables)
    with pytest.raises(DataError, match="is no folder"):
        plan(tmp_path / "none")


def test_the_tables_count(tables):
    before = plan(tables)
    (tables / "sill.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS[:3]))
    after = plan(tables)
    assert set(before) == set(after) == {"tables"}
    assert before != after


def test_a_row_with_an_item_of_a_benchmark_is_refused_at_the_plan_unless_it_may_stay(tables):
    item = next(iter(read_docs(BENCHMARKS["boolq"])))["passage"]
    (tables / "sill.jsonl").write_text("".join(json.dumps(row) + "\n" for row in [*ROWS, ROWS[0] | {"plant": item}]))
    with pytest.raises(DataError, match=r"(?s)1 row\(s\) of tables hold an item of a benchmark:\n  sill-005: boolq .*keep"):
        Synthesize(method="dynosaur", options={"tables": str(tables)}).data_digests()
    assert set(plan(tables)) == {"tables"}


def test_licences_of_tables_are_kept_for_the_cards(tables):
    params = Synthesize(method="dynosaur", options={"tables": str(tables)})
    assert params.sources() == {"rows of tables": {"from": str(tables), "number": 4, "licences": {"CC0-1.0": 4}}}


def test_tables_too_long_for_the_context_are_named_before_anything_is_asked(tmp_path, tables):
    engine = Reader(["never asked"])
    engine.tokenizer, engine.context = Letters(), 900
    with pytest.raises(DataError, match=r"(?s)1 prompt\(s\) with tables are too long:.*sill: "):
        Dynosaur().write(made(engine, tmp_path, tables))
    assert engine.asked == []


def test_the_shipped_tables_make_tasks():
    assert set(plan("seeds/tables")) == {"tables"}
    assert all(len(usable(table)) >= 4 for table in load_tables("seeds/tables", PARAMETER))


def test_published_values_are_the_defaults():
    options = Synthesize(method="dynosaur").options
    assert (options.shown_rows, options.tasks_per_prompt, options.described, options.tries) == (2, 3, "both", 1)
