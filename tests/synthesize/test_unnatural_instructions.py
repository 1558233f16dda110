"""Unnatural Instructions: three fields are read, filtered as published, answered once, and said in other words."""

import json
import zlib

import pytest

from isheep_lib.errors import DataError, YieldError
from isheep_lib.prompting.prompt_files import english
from isheep_lib.record.journal import Journal
from isheep_lib.synthesize.candidates import funnel_of, shown_tasks
from isheep_lib.synthesize.methods.in_context.fields import Fields, load_shown, read_fields, stated, write_fields
from isheep_lib.synthesize.methods.in_context.unnatural_instructions import UnnaturalInstructions
from isheep_lib.synthesize.near_duplicates import NearDuplicates
from isheep_lib.synthesize.params import Synthesize
from isheep_lib.synthesize.seeds import load_seeds
from tests.scripted import Letters, ScriptedEngine
from tests.writings import writing

ROWS = [
    {"id": "s0", "instruction": "Count the locked doors here.", "input": "front: locked", "constraints": "A digit."},
    {"id": "s1", "instruction": "Name the bird in this text.", "input": "A wren sings.", "constraints": "None."},
    {"id": "s2", "instruction": "Say what the sign means.", "input": "No through road"},
    {"id": "s3", "instruction": "Write about a calm river."},
]
SORT = "Instruction: Sort these fruits by colour.\nInput: cherry, lemon\nConstraints: One line."
SUMS = "Instruction: Add both of these numbers.\nInput: 2 and 3\nConstraints: None."
OTHER = "Which colour does each fruit have?"


@pytest.fixture
def seeds(tmp_path):
    path = tmp_path / "seeds.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return str(path)


def made(engine, folder, seeds, **values):
    options = {"prompts_per_batch": 1, "max_batches": 2, "reformulations": 0, **values.pop("options", {})}
    given = {"method": "unnatural_instructions", "min_instructions": 1, "instructions": 9, "seeds": seeds, "options": options}
    params = Synthesize(**given | values)
    return writing(engine, folder, params, [], seed_of=lambda name: zlib.crc32(name.encode()))


def written(said, folder, seeds, **values):
    return UnnaturalInstructions().write(made(ScriptedEngine(said), folder, seeds, **values))


@pytest.mark.parametrize(
    ("text", "fields", "lacking"),
    [
        (SORT, ("Sort these fruits by colour.", "cherry, lemon", "One line."), []),
        (f"Example 4\n{SUMS}", ("Add both of these numbers.", "2 and 3", ""), []),
        ("instruction: a\nINPUT: b\nConstraint: c", ("a", "b", "c"), []),
        ("Instruction: a\nInput: b\nmore of b\nConstraints: c\nInstruction: z", ("a", "b\nmore of b", "c"), []),
        ("Instruction: a\nInput: b", ("a", "b", ""), ["constraints"]),
        ("Instruction: a\nInput: None\nConstraints: None", ("a", "", ""), ["input"]),
        ("Instruction:\nInput: b\nConstraints: c", ("", "b", "c"), ["instruction"]),
        ("It is a fine day.", ("", "", ""), ["instruction", "input", "constraints"]),
        ("", ("", "", ""), ["instruction", "input", "constraints"]),
    ],
)
def test_three_fields_are_read_and_absent_ones_named(text, fields, lacking):
    assert read_fields(text) == (Fields(*fields), lacking)


def test_what_is_written_down_is_read_back():
    fields = [Fields("Do a.", "b", "c"), Fields("Do d.", "e", "")]
    texts = write_fields(fields, english()).split("\n\n")
    assert texts[0].startswith("Example 1\n") and texts[1].startswith("Example 2\n")
    assert [read_fields(text)[0] for text in texts] == fields


@pytest.mark.parametrize("said", ["None.", "none", "No constraints", "N/A", " - ", ""])
def test_constraints_that_are_none_are_none(said):
    assert stated(said) == ""
    assert stated(f"{said} x") == f"{said} x".strip()


def test_an_example_becomes_a_task_with_its_constraints_after_the_input(tmp_path, seeds):
    engine = ScriptedEngine([SORT, SUMS])
    found = UnnaturalInstructions().write(made(engine, tmp_path, seeds))
    first, second = found.accepted
    assert (first["id"], first["instruction"]) == ("i1-r0-p000-t0", "Sort these fruits by colour.")
    assert first["input"] == "cherry, lemon\n\nConstraints: One line."
    assert (first["stated_constraints"], second["stated_constraints"]) == ("One line.", "")
    assert second["input"] == "2 and 3"
    assert sorted(first["demonstrations"]) == ["s0", "s1", "s2"], "the seed without an input is not shown"
    assert engine.asked[0].stop == ("END", "\nExample 5")
    assert engine.asked[0].prompt.count("Constraints: none") == 2
    assert engine.asked[0].prompt.endswith("\n\nExample 4\nInstruction:")


def test_the_example_is_read_from_where_it_was_begun(tmp_path, seeds):
    said = f" {SORT.removeprefix('Instruction: ')}"
    engine = ScriptedEngine(lambda _: said)
    found = UnnaturalInstructions().write(made(engine, tmp_path, seeds))
    (row,) = found.accepted
    assert (row["instruction"], row["stated_constraints"]) == ("Sort these fruits by colour.", "One line.")


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ("Instruction: Sort these fruits by colour.\nInput: cherry", "missing_field"),
        ("Instruction: Sort these fruits by colour.\nInput: none\nConstraints: None.", "missing_field"),
        ("Instruction: Say what the sign means.\nInput: No through road\nConstraints: Short.", "copies_demonstration"),
        ("Instruction: Add both of these numbers.\nInput: 2 and 3\nConstraints: A digit.", "same_task"),
        ("Instruction: Add both of those numbers.\nInput: 7 and 8\nConstraints: None.", "near_duplicate"),
        ("Instruction: Add.\nInput: 2 and 3\nConstraints: None.", "too_short"),
        ("Instruction: Add the two numbers here.\nInput: https://sums.example\nConstraints: None.", "url"),
    ],
)
def test_an_example_is_dropped_for_this_reason(tmp_path, seeds, said, reason):
    found = written([SUMS, said], tmp_path, seeds)
    assert [(row["reason"], row["raw"]) for row in found.dropped] == [(reason, said)]
    assert funnel_of(found, found.accepted)["in"] == 2


def test_with_the_published_filter_alone_an_instruction_may_come_with_another_input(tmp_path, seeds):
    said = [SUMS, SUMS.replace("2 and 3", "7 and 8"), SUMS]
    found = written(said, tmp_path, seeds, max_rouge=1.0, instruction_rules=False, options={"max_batches": 3})
    assert [row["input"] for row in found.accepted] == ["2 and 3", "7 and 8"]
    assert [row["reason"] for row in found.dropped] == ["same_task"]


def test_what_the_token_limit_ended_is_cut_off_and_lacks_nothing(tmp_path, seeds):
    engine = ScriptedEngine(["Instruction: Sort these fruits by"] * 2, finish="length")
    with pytest.raises(YieldError, match="2 cut_off"):
        UnnaturalInstructions().write(made(engine, tmp_path, seeds))


def test_a_reformulation_has_the_input_the_constraints_and_the_answer_of_its_parent(tmp_path, seeds):
    said = [SORT, OTHER, "Sort these fruits by colour!", "cherry: red, lemon: yellow"]
    work = made(ScriptedEngine(said), tmp_path, seeds, options={"reformulations": 2, "max_batches": 1})
    method = UnnaturalInstructions()
    found = method.write(work)
    core, other = found.accepted
    assert (other["id"], other["instruction"], other["parents"]) == ("i1-r0-p000-t0-v0", OTHER, ["i1-r0-p000-t0"])
    assert (other["input"], other["stated_constraints"]) == (core["input"], "One line.")
    assert [(row["id"], row["reason"]) for row in found.dropped] == [("i1-r0-p000-t0-v1", "unchanged")]
    with Journal(tmp_path / "responses.jsonl", "f") as journal:
        rows = method.respond(work, found.accepted, journal)
    assert [(row["id"], row["output"]) for row in rows] == [(row["id"], said[3]) for row in found.accepted]
    assert [row["step"] for row in method.evidence(found).rows] == ["new example", "reformulation"]
    assert {row["id"] for row in shown_tasks(found, load_seeds(seeds, []))} == {"s0", "s1", "s2", "i1-r0-p000-t0"}


def test_of_several_answers_a_reformulation_has_each(tmp_path, seeds):
    work = made(
        ScriptedEngine([SORT, OTHER, "red", "yellow"]),
        tmp_path,
        seeds,
        answers=2,
        options={"reformulations": 1, "max_batches": 1},
    )
    method = UnnaturalInstructions()
    found = method.write(work)
    with Journal(tmp_path / "responses.jsonl", "f") as journal:
        rows = method.respond(work, found.accepted, journal)
    id_ = "i1-r0-p000-t0"
    assert [(row["id"], row["task"], row["output"]) for row in rows] == [
        (f"{id_}-a0", id_, "red"),
        (f"{id_}-a1", id_, "yellow"),
        (f"{id_}-v0-a0", f"{id_}-v0", "red"),
        (f"{id_}-v0-a1", f"{id_}-v0", "yellow"),
    ]


def test_reformulations_come_on_top_of_the_wanted_instructions(tmp_path, seeds):
    said = [SORT, OTHER, "How can these fruits be ordered?"]
    found = written(said, tmp_path, seeds, instructions=1, options={"reformulations": 2})
    assert len(found.accepted) == 3


def test_a_killed_stage_asks_only_for_the_rest(tmp_path, seeds):
    said, options = [SORT, SUMS, OTHER, "What do both numbers come to?"], {"reformulations": 1}
    whole = written(said, tmp_path / "whole", seeds, options=options)
    for life in range(4):
        with pytest.raises(IndexError):
            written(said[:life], tmp_path / str(life), seeds, options=options)
        rest = ScriptedEngine(said[life:])
        assert UnnaturalInstructions().write(made(rest, tmp_path / str(life), seeds, options=options)) == whole
        assert len(rest.asked) == 4 - life


def test_the_example_shows_every_step(tmp_path, seeds):
    shown = UnnaturalInstructions().example(made(ScriptedEngine([SORT, OTHER]), tmp_path, seeds, options={"reformulations": 1}))
    assert [row["step"] for row in shown.rows] == ["new example", "reformulation"]
    assert shown.rows[1]["instruction"] == OTHER


def test_seeds_of_which_too_few_have_an_input_are_refused_at_the_plan(seeds):
    params = Synthesize(method="unnatural_instructions", seeds=seeds, options={"demonstrations": 4})
    with pytest.raises(DataError, match=r"3 seed task\(s\) with an input cannot fill a prompt that shows 4"):
        params.data_digests()


def test_constraints_that_are_no_text_are_refused_at_the_plan(tmp_path):
    path = tmp_path / "bad.jsonl"
    path.write_text('{"instruction": "Name a bird of the sea.", "input": "gull", "constraints": ["short"]}\n')
    with pytest.raises(DataError, match=r"constraints are no text in: .*bad\.jsonl:1"):
        Synthesize(method="unnatural_instructions", seeds=str(path)).data_digests()


def test_the_constraints_of_seeds_count(tmp_path, seeds):
    other = tmp_path / "other.jsonl"
    other.write_text("".join(json.dumps(row | {"constraints": "Short."}) + "\n" for row in ROWS))
    one, two = (
        Synthesize(method="unnatural_instructions", seeds=path).data_digests()["constraints of seeds"]
        for path in (seeds, str(other))
    )
    assert one != two


def test_seeds_too_long_for_the_context_are_named_before_anything_is_asked(tmp_path):
    path = tmp_path / "long.jsonl"
    rows = [*ROWS[:3], {"id": "s9", "instruction": "Sum up this text.", "input": "word " * 300}]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    engine = ScriptedEngine(["never asked"])
    engine.tokenizer, engine.context = Letters(), 1200
    with pytest.raises(DataError, match=r"(?s)1 seed task\(s\) are too long:.*s9: "):
        UnnaturalInstructions().write(made(engine, tmp_path, str(path), instruction_tokens=50))
    assert engine.asked == []


def test_the_shipped_seeds_are_fifteen_with_inputs_and_mostly_with_constraints():
    shown = load_shown(Synthesize(method="unnatural_instructions", seeds="seeds/with-constraints.jsonl"))
    assert len(shown) == 15
    assert sum(bool(each.fields.constraints) for each in shown) >= 12
    assert all(seed.output for seed in load_seeds("seeds/with-constraints.jsonl", []))


def test_the_shipped_seeds_resemble_neither_the_other_seeds_nor_one_another():
    near = NearDuplicates(0.5)
    for seed in load_seeds("seeds/tasks.jsonl", []):
        near.add(seed.instruction)
    for seed in load_seeds("seeds/with-constraints.jsonl", []):
        assert near.find(seed.instruction) is None, seed.id
        near.add(seed.instruction)


def test_published_values_are_the_defaults():
    options = Synthesize(method="unnatural_instructions").options
    assert (options.demonstrations, options.reformulations) == (3, 2)


def test_the_prompt_for_reformulations_counts_where_they_are_asked_for():
    name = "unnatural_instructions-reformulation.txt"
    params = [Synthesize(method="unnatural_instructions", options={"reformulations": n}).prompt_files() for n in (0, 1)]
    assert [name in prompts for prompts in params] == [False, True]
