"""What methods read is read in Chinese, too: lists, fields, instances, designs, wrapped texts, scores, numbers, topics."""

from fractions import Fraction

import pytest

from isheep_lib.engines.protocol import Completion
from isheep_lib.prompting.prompt_files import open_prompts
from isheep_lib.synthesize.evolving.versions import failure
from isheep_lib.synthesize.evolving.votes import final_number
from isheep_lib.synthesize.extras.asking import followed, read_entries
from isheep_lib.synthesize.methods.backtranslation.dog_instruct import read_wrapped
from isheep_lib.synthesize.methods.backtranslation.instruction_backtranslation import read_score
from isheep_lib.synthesize.methods.in_context.designs import Design, filled, instruction_of, read_designs
from isheep_lib.synthesize.methods.in_context.fields import Fields, read_fields, write_fields
from isheep_lib.synthesize.methods.in_context.instances import read_input_first, read_output_first
from isheep_lib.synthesize.methods.in_context.topics import topic_problem
from isheep_lib.synthesize.revising.constitution import read_rules
from isheep_lib.synthesize.revising.topics import read_topics
from isheep_lib.synthesize.rules import Item
from tests.synthesize.test_dynosaur import table_of

ZH = open_prompts("zh")


def said(text):
    return Completion("x", text, "end", 3)


@pytest.mark.parametrize(
    "text",
    [
        "1. 写一首诗。\n2. 唱一首歌。",
        "1.写一首诗。\n2.唱一首歌。",
        "1、写一首诗。\n2、唱一首歌。",
        "1）写一首诗。\n2）唱一首歌。",
        "任务1：写一首诗。\n任务2：唱一首歌。",
    ],
)
def test_a_list_is_cut_at_its_numbers(text):
    assert [item.instruction for item in read_entries(said(text))] == ["写一首诗。", "唱一首歌。"]


def test_fields_are_written_and_read_back_and_what_is_none_is_absent():
    fields = Fields("把两个数相加。", "2和3", "只写数字。")
    text = write_fields([fields], ZH)
    assert text == "示例1\n指令：把两个数相加。\n输入：2和3\n约束：只写数字。"
    assert read_fields(text) == (fields, [])
    free = fields._replace(constraints="")
    assert read_fields(write_fields([free], ZH)) == (free, [])
    assert read_fields("指令：排序。\n输入：无\n约束条件：无")[1] == ["input"]


def test_instances_are_read_input_first_and_output_first():
    both = read_input_first(said("示例1\n输入：三只羊\n输出：3\n示例2\n输入：无\n输出：0"))
    assert [(each.input, each.output) for each in both] == [("三只羊", "3"), ("", "0")]
    labelled = read_output_first(said("标签：提问\n输入：几点了？\n标签：命令\n输入：坐下。"))
    assert [(each.input, each.output) for each in labelled] == [("几点了？", "提问"), ("坐下。", "命令")]


def test_a_design_is_read_and_its_rows_are_written_in_chinese():
    (design,) = read_designs(said("指令：说出土壤的干湿。\n输入字段：text\n输出字段：label"))
    assert (design.instruction, design.inputs, design.output) == ("说出土壤的干湿。", ("text",), "label")
    asked = instruction_of(Design("", "说出干湿。", ("text",), "label"), table_of(["dry", "wet"]), ZH)
    assert asked == "说出干湿。答案必须是下列之一：dry, wet。"
    assert filled(Design("", "", ("a",), "c"), {"a": "一", "c": True}, ZH) == ("a是“一”。", "是")


def test_a_wrapped_text_is_read_with_its_parts():
    item, output = read_wrapped(said("#指令#：列出借船时要注意的事。\n#输入#：无\n#输出#：写下姓名。"))
    assert (item.instruction, item.input, output) == ("列出借船时要注意的事。", "", "写下姓名。")


@pytest.mark.parametrize(
    ("text", "score"),
    [("很好。\n得分：5", 5), ("一般。\n**评分：3分**", 3), ("得分：2/5", 2), ("有5个理由", None), ("得分：6", None)],
)
def test_a_score_is_read_off_the_last_line(text, score):
    assert read_score(said(text)) == score


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("所以答案是12，不是13。", 12),
        ("一共是7个苹果", 7),
        ("结果等于-4", -4),
        ("最后的答案：3/4。", Fraction(3, 4)),
        ("不知道", None),
    ],
)
def test_the_number_that_an_answer_gives_is_read(text, number):
    assert final_number(text) == number


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("好的，还需要什么吗？", "stagnant"),
        ("当然，您想从哪里开始？", "unqualified"),
        ("请提供您说的清单。", "lost_information"),
        ("好的，下面是清单：盐、糖。", None),
    ],
)
def test_a_failure_is_told_by_the_response(text, reason):
    found = failure(text)
    assert (found[0] if found else None) == reason


def test_rules_and_topics_are_read_without_spaces_between_words():
    assert read_rules("1、不知道就直说。\n2、不要编造数字。") == ["不知道就直说。", "不要编造数字。"]
    good, bad = read_topics("1、潮汐\n2、潮汐\n3、" + "人们在海边看到的各种各样的现象", 5)
    assert (good, [reason for _, reason in bad]) == (["潮汐"], ["known", "too_long"])
    assert topic_problem(Item("", "民间音乐", ""), set()) == ""
    assert topic_problem(Item("", "人们在海边看到的各种现象", ""), set()) == "more than 2 words"


def test_a_sentence_follows_without_a_space_where_none_stands_between_sentences():
    assert followed("写诗。", ZH.render("longform-sentences.txt", number="3")) == "写诗。请用3句话回答。"
    assert followed("Write.", "Answer in one sentence.") == "Write. Answer in one sentence."
