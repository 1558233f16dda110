"""Chinese prompts and lists: read in full-width forms, and every method that asks writes with them."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from isheep_lib.synthesize.methods.evolution.evol_instruct import EvolInstruct

from isheep_lib.engines.protocol import Completion
from isheep_lib.prompting.prompt_files import english, open_prompts
from isheep_lib.record.rows import Task
from isheep_lib.synthesize.evolving.rounds import read_rewriting
from isheep_lib.synthesize.lists import ListOptions, list_prompt, parse_list
from isheep_lib.synthesize.methods.backtranslation.longform import LongForm
from isheep_lib.synthesize.methods.in_context.dialogue import Dialogue
from isheep_lib.synthesize.methods.in_context.magpie import Magpie
from isheep_lib.synthesize.methods.in_context.task_list import TaskList
from isheep_lib.synthesize.params import Synthesize
from isheep_lib.synthesize.rules import unquoted
from tests.scripted import ScriptedEngine
from tests.writings import FRAME, writing

ZH = open_prompts("zh")
few = settings(max_examples=50, deadline=None)
SEEDS = [
    Task("seed-0", "写一首关于秋雨的短诗。", "", "细雨敲窗。"),
    Task("seed-1", "把下面的数从小到大排列。", "7, 2, 5", "2, 5, 7"),
    Task("seed-2", "说明面团为什么会发起来。", "", "酵母产生气体。"),
]
BIRD, TEA = "介绍燕子每年迁徙的路线。", "比较绿茶和红茶的制作方法。"


def tasks(text, first=6, prompts=ZH):
    return [(item.instruction, item.input) for item in parse_list(text, first, "end", prompts)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", [("", "")]),
        ("介绍燕子。", [("介绍燕子。", "")]),
        ("介绍燕子。\n6. 输入：无", [("介绍燕子。", "")]),
        ("求和。\n6. 输入：1，2\n7. 指令：排序。\n7. 输入：乙、甲\n", [("求和。", "1，2"), ("排序。", "乙、甲")]),
        ("求和。\n６．输入：１，２\n７．指令：排序。", [("求和。", "１，２"), ("排序。", "")]),
        ("求和。\n输入：1，2\n７．指令：排序。", [("求和。", "1，2"), ("排序。", "")]),
        ("求和。\n6、输入：1\n7、指令：排序。", [("求和。", "1"), ("排序。", "")]),
        ("求和。\n7、排序。\n8、唱歌。", [("求和。", ""), ("排序。", ""), ("唱歌。", "")]),
        ("求和。\n７．排序。", [("求和。", ""), ("排序。", "")]),
        ("求和。\n9、排序。", [("求和。\n9、排序。", "")]),  # not the next number
        ("求和。\n9. 指令：排序。\n10. 唱歌。", [("求和。", ""), ("排序。", ""), ("唱歌。", "")]),
        ("求和。\n第7个任务：排序。", [("求和。", ""), ("排序。", "")]),
        ("求和。\n第7个任务\n指令：排序。\n输入：乙", [("求和。", ""), ("排序。", "乙")]),
        ("求和。\n第 ７ 个任务：排序。", [("求和。", ""), ("排序。", "")]),
        ("求和。\n第7题：排序。", [("求和。", ""), ("排序。", "")]),
        ("求和。\n任务7：排序。", [("求和。", ""), ("排序。", "")]),
        ("求和。\n任务7：指令：排序。", [("求和。", ""), ("排序。", "")]),
        ("求和。\n第3个任务：排序。", [("求和。\n第3个任务：排序。", "")]),  # not the next number
        ("求和。\n（7）排序。", [("求和。", ""), ("排序。", "")]),
        ("求和。\n（７）指令：排序。", [("求和。", ""), ("排序。", "")]),
        ("求和。\n7. 【指令】排序。\n【输入】乙", [("求和。", ""), ("排序。", "乙")]),
        ("求和。\n7. ［指令］：排序。\n［输入］：乙", [("求和。", ""), ("排序。", "乙")]),
        ("求和。\n7. 任务：排序。", [("求和。", ""), ("排序。", "")]),
        ("求和。\n7. 題目：排序。\n輸入：乙\n輸出：甲", [("求和。", ""), ("排序。", "乙")]),
        ("求和。\n输出：3\n7. 指令：排序。", [("求和。", ""), ("排序。", "")]),
        ("求和。\n6. 输入：1\n6. 输出：1\n7. 指令：排序。", [("求和。", "1"), ("排序。", "")]),
        ("求和。\n6. 回答：3", [("求和。", "")]),
        ("求和。\n输入：1\n输入：2", [("求和。", "1")]),  # the first counts
        ("求和。\n7. 输入：1\n8. 指令：唱歌。", [("求和。", "1"), ("唱歌。", "")]),  # the input's number is wrong
        ("求和。\n7. Instruction: Sort.\n7. Input: <none>", [("求和。", ""), ("Sort.", "")]),  # English words are read, too
        ("求和。\n٧. 指令：排序。", [("求和。", ""), ("排序。", "")]),
        ("求和。\n७. 指令：排序。", [("求和。", ""), ("排序。", "")]),
        ("请看指令：照做。", [("请看指令：照做。", "")]),  # inside a line
        ("排序。\n输入：\n1. 红\n2. 蓝\n7. 指令：唱歌。", [("排序。", "1. 红\n2. 蓝"), ("唱歌。", "")]),
        ("排序。\n　输入：　乙　\n　7．　指令：唱歌。", [("排序。", "乙"), ("唱歌。", "")]),  # ideographic spaces
    ],
)
def test_a_continued_chinese_list_is_cut_into_tasks(text, expected):
    assert tasks(text) == expected


@pytest.mark.parametrize(
    "word",
    [
        "无",
        "無",
        "无。",
        "（无）",
        "【无】",
        "<无>",
        "“无”",
        "没有",
        "沒有",
        "空",
        "无输入",
        "无需输入",
        "不需要输入",
        "<none>",
        "n/a",
        "-",
    ],
)
def test_an_input_that_says_none_in_chinese_is_none(word):
    assert tasks(f"唱歌。\n6. 输入：{word}") == [("唱歌。", "")]


@pytest.mark.parametrize("word", ["无人机", "没有人来", "空气", "无，但是", "0", "一"])
def test_an_input_that_only_begins_like_none_is_kept(word):
    assert tasks(f"唱歌。\n6. 输入：{word}") == [("唱歌。", word)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (" Add.\n７．Instruction：Sort.", [("Add.", ""), ("Sort.", "")]),
        (" Add.\n6. Input： 1", [("Add.", "1")]),
        (" Add.\n7、Sort.", [("Add.\n7、Sort.", "")]),
        (" Add.\n任务7：Sort.", [("Add.\n任务7：Sort.", "")]),
        (" Add.\n输入：1", [("Add.\n输入：1", "")]),
        (" Add.\nInput: 无", [("Add.", "无")]),
    ],
)
def test_an_english_list_is_read_by_english_words_in_full_width_forms_as_well(text, expected):
    assert tasks(text, prompts=english()) == expected


@few
@given(st.text("\n 67.．、：:指令输入出无第个任务（）【】a", max_size=60))
def test_parsing_a_chinese_list_loses_no_text(text):
    items = parse_list(text, 6, "end", ZH)
    assert "".join(item.raw for item in items) == f"6. 指令：{text}"
    assert all(item.instruction in item.raw and item.input in item.raw for item in items)


def test_the_list_of_a_folder_of_ones_own_has_its_labels(tmp_path):
    (tmp_path / "synthesize.txt").write_text("{count} Aufgaben.\n{tasks}")
    (tmp_path / "words.yaml").write_text(
        'instruction: "Aufgabe:"\ninput: "Eingabe:"\nno_input: keine\nlength: "{length}"\n"yes": Ja\n"no": Nein\n'
    )
    prompts = open_prompts(str(tmp_path), "de")
    text = list_prompt([SEEDS[0]], ListOptions(), prompts)
    assert text == f"10 Aufgaben.\n1. Aufgabe: {SEEDS[0].instruction}\n1. Eingabe: keine\n2. Aufgabe:"
    said = " Singe.\n2. Eingabe: keine\n3. Aufgabe: Rechne.\n3. Eingabe: 1"
    assert tasks(said, 2, prompts) == [("Singe.", ""), ("Rechne.", "1")]


@pytest.mark.parametrize("options", [ListOptions(), ListOptions(input_lines="where_given")], ids=["always", "where_given"])
def test_the_prompts_own_demonstrations_can_be_read_back(options):
    text = list_prompt(SEEDS[:2], options, ZH)
    assert text.endswith("\n3. 指令：")
    found = tasks(text.split("1. 指令：", 1)[1], first=1)
    assert found == [(SEEDS[0].instruction, ""), (SEEDS[1].instruction, "7, 2, 5"), ("", "")]


@pytest.mark.parametrize(
    ("said", "instruction"),
    [
        (f"改写后的任务：{BIRD}", BIRD),
        (f"新任务：{BIRD}", BIRD),
        (f"任务: {BIRD}", BIRD),
        (f"**改写后的任务**：{BIRD}", BIRD),
        (f"【新任务】：{BIRD}", BIRD),
        (f"“{BIRD}”", BIRD),
        (f"改写后：「{BIRD}」", BIRD),
        ("“是”还是“否”？", "“是”还是“否”？"),
        ("任务栏是什么？", "任务栏是什么？"),
    ],
)
def test_a_chinese_rewriting_is_the_text_without_label_and_quotes(said, instruction):
    assert read_rewriting(Completion("x", said, "end", 3), ["en", "zh"]).instruction == instruction


@pytest.mark.parametrize("quoted", ["“唱歌。”", "「唱歌。」", "『唱歌。』", '"唱歌。"', "« 唱歌。 »", "„唱歌。“"])
def test_quotes_around_all_of_a_text_are_taken_away(quoted):
    assert unquoted(quoted) == "唱歌。"


def chinese(engine, folder, method, **values):
    """What a method writes with, asking in Chinese."""
    options = values.pop("options", {})
    shared = {"min_instructions": 1, "instructions": 2, "instruction_rules": False, **values}
    params = Synthesize(method=method, language="zh", options=options, **shared)
    return writing(engine, folder, params, SEEDS, prompts=open_prompts("auto", params.language))


def test_the_list_is_written_in_chinese(tmp_path):
    engine = ScriptedEngine([f"{BIRD}\n3. 输入：无\n4．指令：{TEA}\n４．输入：　绿茶、红茶"])
    options = {"demonstrations": 2, "prompts_per_batch": 1, "max_batches": 1}
    found = TaskList().write(chinese(engine, tmp_path, "list", options=options))
    assert [(row["instruction"], row["input"]) for row in found.accepted] == [(BIRD, ""), (TEA, "绿茶、红茶")]
    assert engine.asked[0].prompt.startswith("下面列出10道") and engine.asked[0].prompt.endswith("\n3. 指令：")
    assert engine.asked[0].stop == ("\n11.", "\n11．", "\n11、")


def test_the_dialogue_is_asked_in_chinese(tmp_path):
    engine = ScriptedEngine([BIRD, f"“{TEA}”"])
    options = {"demonstrations": 2, "prompts_per_batch": 2, "max_batches": 1}
    found = Dialogue().write(chinese(engine, tmp_path, "dialogue", options=options))
    assert [row["instruction"] for row in found.accepted] == [BIRD, TEA]
    assert engine.asked[0].prompt.count(ZH.render("dialogue.txt")) == 3


def test_magpie_takes_a_chinese_turn_and_asks_with_no_prompt(tmp_path):
    engine = ScriptedEngine([f"「{BIRD}」", TEA])
    found = Magpie().write(chinese(engine, tmp_path, "magpie", options={"prompts_per_batch": 2, "max_batches": 1}))
    assert [row["instruction"] for row in found.accepted] == [BIRD, TEA]
    assert {request.prompt for request in engine.asked} == {FRAME.opener()}


class Compares(ScriptedEngine):
    """Finds a rewriting equal to its parent where it holds 同样."""

    def choices(self, prompts, labels):
        assert labels == ["是", "否"]
        self.calls.append(prompts)
        return [[-0.1, -2.3] if "同样" in prompt else [-2.3, -0.1] for prompt in prompts]


def test_evol_instruct_rewrites_and_compares_in_chinese(tmp_path):
    more = "写一首关于秋雨的短诗，每行七个字，并提到一种乐器。"
    engine = Compares([f"改写后的任务：{more}", "琴声伴着雨声落。"])
    options = {"rounds": 1, "parents": 1, "operators": ["add_constraint"]}
    found = EvolInstruct().write(chinese(engine, tmp_path, "evol_instruct", options=options))
    assert [(row["instruction"], row["output"]) for row in found.accepted] == [(more, "琴声伴着雨声落。")]
    assert "再加一条回答必须满足的条件。" in engine.asked[0].prompt
    assert "这两道任务的要求是否相同" in engine.calls[1][0]


@pytest.mark.parametrize(("said", "reason"), [("同样写一首短诗。", "equal"), ("请完成改写后的任务，写诗。", "leaked_marker")])
def test_evol_instruct_eliminates_in_chinese(tmp_path, said, reason):
    engine = Compares([said, "介绍桂花的香气和花期，不超过五十个字。", "桂花九月开，香气淡而远。"])
    options = {"rounds": 2, "parents": 1, "operators": ["deepen"]}
    found = EvolInstruct().write(chinese(engine, tmp_path, "evol_instruct", options=options))
    assert [row["reason"] for row in found.dropped] == [reason]


class Reader(ScriptedEngine):
    """Counts letters as tokens."""

    tokenizer = staticmethod(lambda text, add_special_tokens: {"input_ids": list(text)})


def test_longform_asks_in_chinese_and_says_the_length_in_chinese(tmp_path):
    path = tmp_path / "documents.jsonl"
    text = "燕子春天北上，秋天南下，一路沿着海岸飞行。"
    path.write_text(json.dumps({"id": "d", "text": text}, ensure_ascii=False))
    options = {"documents": str(path), "styles": ["instruction"], "min_document_words": 1, "state_length": True}
    engine = Reader([BIRD])
    found = LongForm().write(chinese(engine, tmp_path, "longform", options=options))
    assert [(row["instruction"], row["output"]) for row in found.accepted] == [(f"{BIRD}篇幅大约20个字。", text)]
    assert "请写出这条指令" in engine.asked[0].prompt
