"""The checkable tasks of the project: every answer is right, as far as code can tell, and none is a benchmark's."""

from collections import Counter
from pathlib import Path

import pytest

from isheep_lib.filter.steps.rules import rule_problem
from isheep_lib.record.rows import Pair, canonical_json, read_jsonl
from isheep_lib.synthesize.rules import Item, instruction_problem
from isheep_lib.synthesize.seeds import load_seeds

FILE = Path(__file__).resolve().parents[2] / "seeds" / "checkable.jsonl"
ROWS = read_jsonl(FILE)


def of_kind(kind, tested=False):
    return [pytest.param(row, id=row["id"]) for row in ROWS if row["kind"] == kind and (row["tests"] or not tested)]


def test_there_are_120_or_more_of_four_kinds_in_canonical_lines():
    assert [row["id"] for row in ROWS] == [f"checkable-{n:03d}" for n in range(1, len(ROWS) + 1)]
    assert FILE.read_text(encoding="utf-8") == "".join(canonical_json(row) + "\n" for row in ROWS)
    counts = Counter(row["kind"] for row in ROWS)
    assert set(counts) == {"number", "fact", "text", "code"}
    assert len(ROWS) >= 120
    assert min(counts.values()) >= 15
    for row in ROWS:
        assert set(row) == {"id", "kind", "instruction", "input", "answer", "tests"}
        assert row["instruction"]
        assert row["answer"]
        assert (row["kind"] == "code") <= bool(row["tests"])


def test_they_can_be_read_as_seeds():
    tasks = load_seeds("seeds/checkable.jsonl", ["output=answer"])
    assert [(task.id, task.output) for task in tasks] == [(row["id"], row["answer"]) for row in ROWS]


def test_instructions_pass_the_rules_and_answers_are_no_copies_of_one_another_with_their_task():
    assert [r["id"] for r in ROWS if instruction_problem(Item("", r["instruction"], r["input"]))] == []
    assert len({(row["instruction"], row["input"]) for row in ROWS}) == len(ROWS)
    pairs = [Pair(row["id"], row["instruction"], row["input"], row["answer"]) for row in ROWS if row["kind"] == "code"]
    assert [pair.id for pair in pairs if rule_problem(pair, 1.0)[0]] == []


@pytest.mark.parametrize("row", of_kind("number", tested=True))
def test_a_number_is_what_its_test_computes(row):
    exec(row["tests"], {"answer": row["answer"]})
    with pytest.raises(AssertionError):
        exec(row["tests"], {"answer": f"{row['answer']}1"})


@pytest.mark.parametrize("row", of_kind("code"))
def test_code_passes_its_tests_and_a_function_that_returns_nothing_does_not(row):
    names = {}
    exec(row["answer"], names)
    exec(row["tests"], names)
    name = row["instruction"].split("`")[1].split("(")[0]
    assert name in row["answer"]
    with pytest.raises(AssertionError):
        exec(row["tests"], {**names, name: lambda *_: None})


@pytest.mark.parametrize("row", of_kind("text"))
def test_an_answer_on_a_text_is_made_of_that_text(row):
    given, answer = row["input"], row["answer"]
    numbers = {str(len(given.split())), str(given.lower().count("e"))}
    assert answer in numbers or set(answer.lower()) - set(given.lower()) <= set('-;,. []"0'), "letters come from the input"


@pytest.mark.parametrize("name", ["IFEval", "MT-Bench", "HumanEval"])
def test_none_is_close_to_evaluation_data(tool, name):
    texts = tool.installed_set(name)
    if texts is None:
        pytest.skip(f"{tool.PLACES[name][0]} is not installed")
    found = tool.compare(name, [{**row, "output": row["answer"]} for row in ROWS], texts)
    assert found.rouge[0] > 0.0
    assert found.broken == []


def test_no_two_are_alike_and_none_is_like_a_seed(tool):
    seeds = read_jsonl(tool.SEEDS["en"][0])
    found = tool.compare_seeds(seeds, ROWS)
    assert found.broken == []
    assert found.rouge[0] > 0.4
    again = tool.compare_seeds(seeds, [*ROWS, {**ROWS[0], "id": "again"}])
    assert [line.split(" has")[0] for line in again.broken] == ["again"]


def test_the_decontamination_of_runs_finds_nothing_in_them_and_finds_a_question_that_is_put_in(tool):
    planted = tool.installed_set("IFEval")
    if planted is None:
        pytest.skip("eval_framework is not installed")
    question = {"id": "planted", "instruction": planted[0], "input": "", "output": ""}
    found, absent = tool.decontaminated([*ROWS, *tool.table_rows(tool.TABLES), question])
    assert {line.split(" repeats ")[0] for line in found} == {"planted"}
    assert "ifeval" not in absent
