"""The Chinese seed tasks: balanced, in order, passing the rules of Chinese, their code and sums right."""

import contextlib
import json
import re
import sqlite3
from collections import Counter
from pathlib import Path

import pytest

from isheep_lib.filter.steps.rules import rule_problem
from isheep_lib.record.rows import Pair, read_jsonl
from isheep_lib.synthesize.lists import Item
from isheep_lib.synthesize.rules import instruction_problem

SEEDS = read_jsonl(Path(__file__).resolve().parents[2] / "seeds" / "tasks-zh.jsonl")
BY_ID = {seed["id"]: seed for seed in SEEDS}
HAN = re.compile("[\u3400-\u9fff]")
# Their answers repeat the words of the task by their nature: a mended text, a quotation, one of the labels offered.
REPEATING = {"rewriting", "classification", "extraction", "closed-question", "summarising", "formatting", "correction"}


def fenced(id_, language):
    """Return the code between the marks of an answer."""
    return re.search(rf"```{language}\n(.*)```", BY_ID[id_]["output"], re.DOTALL)[1]


def test_there_are_at_least_60_with_consecutive_ids_and_the_fields_of_the_english_ones(root):
    assert len(SEEDS) >= 60
    assert [seed["id"] for seed in SEEDS] == [f"zh-{n:03d}" for n in range(1, len(SEEDS) + 1)]
    english = read_jsonl(root / "seeds" / "tasks.jsonl")
    assert {tuple(seed) for seed in SEEDS} == {tuple(seed) for seed in english}
    assert {seed["kind"] for seed in SEEDS} == {seed["kind"] for seed in english}
    assert all(value == value.strip() for seed in SEEDS for value in seed.values())
    assert all(seed["output"] for seed in SEEDS)


def test_kinds_are_balanced_and_about_half_have_an_input():
    assert set(Counter(seed["kind"] for seed in SEEDS).values()) == {4}
    assert 0.45 <= sum(bool(seed["input"]) for seed in SEEDS) / len(SEEDS) <= 0.55


def test_every_instruction_is_chinese_in_full_width_punctuation():
    for seed in SEEDS:
        assert len(HAN.findall(seed["instruction"])) >= 8, seed["id"]
        assert not re.search(r"[\u3400-\u9fff][,.?!:;]", seed["instruction"] + seed["input"]), seed["id"]


def test_instructions_and_answers_pass_the_rules_of_chinese():
    problems = {}
    for seed in SEEDS:
        copies = 1.0 if seed["kind"] in REPEATING else 0.5
        problem = instruction_problem(Item("", seed["instruction"], seed["input"]), language="zh")
        problems[seed["id"]] = problem or rule_problem(Pair.from_row(seed), copies, language="zh")[0]
    assert {id_: problem for id_, problem in problems.items() if problem} == {}


def test_no_two_are_near_duplicates_and_two_alike_would_be_named(tool):
    assert tool.compare_seeds(SEEDS).broken == []
    twice = [SEEDS[0], {**SEEDS[0], "id": "zh-copy", "instruction": SEEDS[0]["instruction"].replace("很多", "许多")}]
    assert [line.split(" ")[0] for line in tool.compare_seeds(twice).broken] == ["zh-copy"]


@pytest.mark.parametrize("name", ["WritingBench", "Arena-Hard 2.0"])
def test_no_seed_is_close_to_evaluation_data_in_chinese(tool, name):
    texts = tool.installed_set(name)
    if texts is None:
        pytest.skip(f"{tool.PLACES[name][0]} is not installed")
    found = tool.compare(name, SEEDS, [text for text in texts if HAN.search(text)])
    assert found.texts >= 80
    assert found.rouge[0] > 0.0
    assert found.broken == []


def test_chinese_sentences_of_a_long_text_are_compared_one_by_one(tool):
    passage = "".join(f"这是第{n}个句子，一共有十几个字。" for n in range(20))
    assert "这是第7个句子，一共有十几个字。" in tool.pieces(passage)


def test_characters_are_counted_without_marks_and_letters():
    names = {}
    exec(fenced("zh-007", "python"), names)
    assert names["count_han"]("水清，水绿 abc 1。") == {"水": 2, "清": 1, "绿": 1}


def test_the_mean_of_nothing_is_none_and_the_task_s_own_code_fails():
    given, mended = {}, {}
    exec(BY_ID["zh-023"]["input"], given)
    exec(BY_ID["zh-023"]["output"].split("\n\n")[1], mended)
    with pytest.raises(ZeroDivisionError):
        given["mean"]([])
    assert (mended["mean"]([]), mended["mean"]([1, 2])) == (None, 1.5)


def test_the_query_lists_who_has_kept_a_book_for_more_than_thirty_days():
    with contextlib.closing(sqlite3.connect(":memory:")) as database:
        database.execute("CREATE TABLE loans (reader, borrowed_on, returned_on)")
        rows = [("甲", -40, None), ("甲", -50, None), ("乙", -20, None), ("丙", -60, -1)]
        for reader, borrowed, returned in rows:
            days = [f"{borrowed} days", f"{returned} days" if returned else None]
            database.execute("INSERT INTO loans VALUES (?, date('now', ?), date('now', ?))", (reader, *days))
        assert list(database.execute(fenced("zh-039", "sql"))) == [("甲",)]


def test_the_mended_json_can_be_read_and_the_given_one_cannot():
    seed = BY_ID["zh-048"]
    assert json.loads(seed["output"]) == {"书名": "河边小记", "页数": 320}
    with pytest.raises(json.JSONDecodeError):
        json.loads(seed["input"])


@pytest.mark.parametrize(
    ("id_", "value", "text"),
    [
        ("zh-006", 35 * 50 + 5 * 20 - 40 * 36, "410元"),
        ("zh-022", 2 * (12 + 8) - 2, "38米"),
        ("zh-038", 600 / (300 / 60 + 300 / 100), "75公里"),
        ("zh-045", 2000 + 3 * 2000, "8000元"),
        ("zh-054", (350 + 50) / 0.8, "500元"),
        ("zh-056", 1700 * 12, "20400元"),
        ("zh-064", 25 * 16, "400"),
    ],
)
def test_sums_come_out_as_the_answer_says(id_, value, text):
    assert float(re.match(r"\d+", text)[0]) == pytest.approx(value)
    assert text.replace("8000元", "八千元") in BY_ID[id_]["output"]


@pytest.mark.parametrize(("id_", "most"), [("zh-009", 100), ("zh-010", 30), ("zh-026", 15)])
def test_answers_keep_the_length_that_the_task_allows(id_, most):
    assert len(BY_ID[id_]["output"]) <= most


def test_each_line_keeps_the_length_that_the_task_allows():
    assert all(len(line) <= 12 for line in BY_ID["zh-057"]["output"].split("\n"))
    assert all(len(line.split(". ")[1]) <= 15 for line in BY_ID["zh-042"]["output"].split("\n"))
    assert 4 <= len(BY_ID["zh-041"]["output"].split("\n")) <= 6


def test_names_are_sorted_by_their_sound():
    sound = {"周敏": "zhou", "安然": "an", "李强": "li", "陈露": "chen"}
    assert BY_ID["zh-015"]["output"].split("\n") == sorted(sound, key=sound.__getitem__)
