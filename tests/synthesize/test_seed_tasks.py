"""The seed tasks that come with the project, and the check that compares them with evaluation data."""

import ast
import contextlib
import io
import itertools
import json
import re
import sqlite3
import sys
import textwrap
from collections import Counter
from pathlib import Path

import pytest

from isheep_lib.errors import DataError
from isheep_lib.filter.steps.rules import rule_problem
from isheep_lib.record.rows import Pair, read_jsonl
from isheep_lib.synthesize.lists import Item
from isheep_lib.synthesize.rules import instruction_problem

ROOT = Path(__file__).resolve().parents[2]
SEEDS = read_jsonl(ROOT / "seeds" / "tasks.jsonl")
BY_ID = {seed["id"]: seed for seed in SEEDS}
# Their answers repeat the words of the task by their nature: a mended text, a quotation, one of the labels offered.
REPEATING = {"rewriting", "classification", "extraction", "closed-question", "summarising", "formatting", "correction"}


def row(instruction, text="", id_="seed-1", output="Yes."):
    return {"id": id_, "kind": "k", "instruction": instruction, "input": text, "output": output}


def item(seed):
    return Item("", seed["instruction"], seed["input"])


def test_there_are_175_with_consecutive_ids_and_text_in_every_required_field():
    assert [seed["id"] for seed in SEEDS] == [f"seed-{n:03d}" for n in range(1, 176)]
    for seed in SEEDS:
        assert list(seed) == ["id", "kind", "instruction", "input", "output"]
        assert all(isinstance(value, str) and value == value.strip() for value in seed.values())
        assert seed["output"]


def test_the_sixteen_kinds_are_balanced_and_about_half_of_the_tasks_have_an_input():
    kinds = Counter(seed["kind"] for seed in SEEDS)
    assert len(kinds) == 16
    assert set(kinds.values()) <= {10, 11, 12}
    assert 0.45 <= sum(bool(seed["input"]) for seed in SEEDS) / len(SEEDS) <= 0.55


def test_answers_range_from_one_word_to_more_than_a_hundred():
    lengths = [len(seed["output"].split()) for seed in SEEDS]
    assert min(lengths) == 1
    assert sum(70 <= length <= 130 for length in lengths) >= 15
    assert max(lengths) <= 130


def test_instructions_pass_the_rules_for_synthesised_ones_and_have_4_to_60_words():
    assert {seed["id"]: problem for seed in SEEDS if (problem := instruction_problem(item(seed)))} == {}
    assert [seed["id"] for seed in SEEDS if not 4 <= len(seed["instruction"].split()) <= 60] == []


def test_pairs_pass_the_rules_of_the_filter_and_answers_repeat_the_task_only_where_they_must():
    problems = {}
    for seed in SEEDS:
        copies = 1.0 if seed["kind"] in REPEATING else 0.5
        problems[seed["id"]] = rule_problem(Pair.from_row(seed), copies)[0]
    assert {id_: problem for id_, problem in problems.items() if problem} == {}


def test_no_two_instructions_are_near_duplicates(tool):
    assert tool.compare_seeds(SEEDS).broken == []


# The sets of the largest package take longer than a unit test may; the tool compares with them, too.
@pytest.mark.parametrize("name", ["IFEval", "AlpacaEval", "IFBench", "Arena-Hard 2.0", "MT-Bench", "HumanEval"])
def test_no_seed_is_close_to_evaluation_data(tool, name):
    texts = tool.installed_set(name)
    if texts is None:
        pytest.skip(f"{tool.PLACES[name][0]} is not installed")
    found = tool.compare(name, SEEDS, texts)
    assert found.texts >= 80
    assert found.rouge[0] > 0.0
    assert found.broken == []


def is_python(text):
    try:
        return bool(ast.parse(text).body)
    except SyntaxError:
        return False


def python_of(text):
    """Return the longest run of lines that is Python; prose around it is not."""
    lines = text.split("\n")
    spans = [(start, end) for start in range(len(lines)) for end in range(len(lines), start, -1)]
    spans.sort(key=lambda span: span[0] - span[1])
    return next(code for start, end in spans if is_python(code := "\n".join(lines[start:end])))


FEES = "[fee(a, m) for a in (17, 18, 40) for m in (True, False)]"


@pytest.mark.parametrize(
    ("id_", "name", "expression", "expected"),
    [
        ("seed-007", "output", "shared_words('The cat sat', 'A DOG sat on the mat')", {"the", "sat"}),
        ("seed-023", "output", "lines", ["a", "b c"]),
        ("seed-039", "input", "printed", "4\n"),
        ("seed-055", "input", "frosty([-1, 0, 3, -5])", 1),
        ("seed-055", "output", "frosty([-1, 0, 3, -5])", 2),
        ("seed-103", "output", "printed", "30.0\n"),
        ("seed-135", "input", FEES, [0, 0, 5, 8, 5, 8]),
        ("seed-135", "output", FEES, [0, 0, 5, 8, 5, 8]),
        ("seed-151", "input", "printed", "126\n"),
    ],
)
def test_python_code_does_what_the_task_says(id_, name, expression, expected):
    names = {"lines": ["a", "", "  ", "b c"]}
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        exec(python_of(BY_ID[id_][name]), names)
    assert eval(expression, {**names, "printed": printed.getvalue()}) == expected


def test_the_query_lists_the_customers_with_more_than_three_orders_in_2023():
    with contextlib.closing(sqlite3.connect(":memory:")) as database:
        database.execute("CREATE TABLE orders (customer, placed_on)")
        days = {"Ada": ["2023-01-01"] * 4, "Bo": ["2023-05-05"] * 3 + ["2024-01-01"], "Cy": ["2023-12-31"] * 5}
        database.executemany("INSERT INTO orders VALUES (?, ?)", [(name, day) for name in days for day in days[name]])
        assert sorted(database.execute(BY_ID["seed-071"]["output"])) == [("Ada",), ("Cy",)]


@pytest.mark.parametrize("text", ["07:45", "23:09", "00:00", "19:59", "20:00"])
def test_the_clock_pattern_accepts_times(text):
    assert re.search(BY_ID["seed-167"]["output"].split("\n")[0], text)


@pytest.mark.parametrize("text", ["7:45", "24:00", "12:60", "107:45", "07:451", "07.45", " 07:45", ""])
def test_the_clock_pattern_accepts_nothing_else(text):
    assert not re.search(BY_ID["seed-167"]["output"].split("\n")[0], text)


@pytest.mark.parametrize("id_", ["seed-032", "seed-079", "seed-133", "seed-149"])
def test_answers_in_json_can_be_read(id_):
    assert json.loads(BY_ID[id_]["output"])


def test_the_wrapped_sentence_is_what_wrapping_gives():
    seed = BY_ID["seed-159"]
    assert seed["output"].split("\n") == textwrap.wrap(seed["input"], 30)


@pytest.mark.parametrize(
    ("id_", "value", "text"),
    [
        ("seed-022", 4.5 * 120 * 0.5, "270 litres"),
        ("seed-070", 150 * 120 * 80 / 10_000, "144 euros"),
        ("seed-096", (450 + 1280 + 220) / 100, "19.50"),
        ("seed-101", 45 + 120 + 18.5, "183.50 euros"),
        ("seed-102", 36 - 2 * 15.5, "5 euros"),
        ("seed-102", 15.5 - 5, "10.50 euros"),
        ("seed-112", 120 / (60 / 30 + 60 / 60), "40 km/h"),
        ("seed-114", 360 * 90 / 100 - 20, "304 pounds"),
        ("seed-118", 540 * 75 / (60 + 75 + 45), "225"),
        ("seed-126", 14 / 4, "3.5 km/h"),
        ("seed-134", 6 * 6, "36 square metres"),
        ("seed-150", (460 - 400) / 400 * 100, "15 percent"),
        ("seed-166", len(set(itertools.permutations("LEVEL"))), "30"),
    ],
)
def test_sums_come_out_as_the_answer_says(id_, value, text):
    assert float(text.split()[0]) == pytest.approx(value)
    assert text in BY_ID[id_]["output"]


PROMPT = "Describe in two sentences how a lighthouse keeper spent a quiet night before electric light arrived there"


@pytest.mark.parametrize(
    ("seed", "told"),
    [
        (row(PROMPT + "."), ["seed-1 has ROUGE-L 1.00 with Set", "seed-1 shares 13 words with Set"]),
        (row(PROMPT.replace("keeper", "guard")), ["seed-1 has ROUGE-L 0.94 with Set"]),
        (row("Shorten this.", PROMPT), ["seed-1 has ROUGE-L 0.94 with Set", "seed-1 shares 13 words with Set"]),
        (row("Name a bird.", output=PROMPT), ["seed-1 shares 13 words with Set"]),
        (row("Name a bird."), []),
    ],
)
def test_a_seed_taken_from_evaluation_data_is_named(tool, seed, told):
    broken = tool.compare("Set", [row("Count to ten in Welsh.", id_="seed-0"), seed], ["Something else", PROMPT]).broken
    assert len(broken) == len(told)
    assert all(line.startswith(start) for line, start in zip(broken, told, strict=True))


def test_the_nearest_text_and_the_longest_run_are_reported_though_no_limit_is_broken(tool):
    seeds = [row("Count the red boats.", id_="a"), row("Paint four grey boats in the harbour.", id_="b")]
    found = tool.compare("Set", seeds, ["Where are boats in the harbour built?", "nothing of that"])
    assert found.rouge == (pytest.approx(8 / 14), "b", "Where are boats in the harbour built?")
    assert found.run == (4, "b", "boats in the harbour")
    assert found.broken == []


def test_a_long_text_is_compared_sentence_by_sentence(tool):
    passage = " ".join(f"Sentence number {n} has seven words here." for n in range(20))
    found = tool.compare("Set", [row("Sentence number 7 has seven words here.")], [passage])
    assert found.rouge[0] == 1.0


def test_two_seeds_alike_are_named(tool):
    found = tool.compare_seeds([row("Name three uses of salt."), row("Name four uses of salt.", id_="seed-2")])
    assert found.broken == ["seed-2 has ROUGE-L 0.80 with another seed: 'Name three uses of salt.'"]


def test_a_set_of_a_package_that_is_absent_is_none_and_one_without_its_files_is_an_error(tool, monkeypatch):
    monkeypatch.setitem(tool.PLACES, "Absent", ("no_such_package_here", "*.jsonl"))
    monkeypatch.setitem(tool.PLACES, "Moved", ("json", "no/such/*.jsonl"))
    assert tool.installed_set("Absent") is None
    with pytest.raises(DataError, match="json holds no Moved"):
        tool.installed_set("Moved")


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("a.jsonl", '{"question": "Why?", "answer": "So."}\n{"question": "Why?"}\n', ["Why?"]),
        ("a.json", '[{"prompt": "Go on.", "turns": ["One", "Two"]}]', ["Go on.", "One", "Two"]),
        ("a.json", '[{"instruction": "Add.", "instances": [{"input": "1, 2", "output": "3"}]}]', ["Add.", "1, 2"]),
    ],
)
def test_the_texts_of_a_file_are_what_its_rows_ask(tool, tmp_path, name, text, expected):
    (tmp_path / name).write_text(text)
    assert tool.texts_of([tmp_path / name]) == expected


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("a.json", '[{"title": "x"}]', "holds no question"),
        ("a.json", '{"prompt": "x"}', "is no list"),
        ("a.json", "{", "cannot be read"),
        ("a.jsonl", "x", "not JSON"),
    ],
)
def test_a_file_that_cannot_be_compared_is_an_error(tool, tmp_path, name, text, told):
    (tmp_path / name).write_text(text)
    with pytest.raises(DataError, match=told):
        tool.texts_of([tmp_path / name])


def test_the_tool_ends_with_the_broken_limits(tool, tmp_path, monkeypatch, capsys):
    seed = BY_ID["seed-114"]
    (tmp_path / "more.json").write_text(json.dumps([{"question": seed["instruction"]}]))
    monkeypatch.setattr(tool, "PLACES", {"Absent": ("no_such_package_here", "*.jsonl")})
    monkeypatch.setattr(sys, "argv", ["check_seeds.py", "--also", str(tmp_path / "more.json")])
    with pytest.raises(SystemExit, match=r"^seed-114 has ROUGE-L 1\.00 with more\.json") as end:
        tool.main()
    assert end.value.code not in (0, None)
    printed = capsys.readouterr().out
    assert "175 seeds: 11 open-question" in printed
    assert "not installed (no_such_package_here)" in printed
