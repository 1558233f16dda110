"""Scores and verdicts in full-width forms, other digits and other scripts: what is read, and what stays unread."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isheep_lib.prompting.score_parsing import parse_score
from isheep_lib.prompting.verdict_parsing import parse_verdict

few = settings(max_examples=50, deadline=None)
SCORES = [
    ("评分：８‖好", 8),
    ("得分：9/10", 9),
    ("【8】", 8),
    ("８||内容正确，表达清楚。", 8),
    ("８｜｜清楚", 8),
    ("8｜｜好", 8),
    ("<8>||<好>", 8),
    ("＜8＞‖＜好＞", 8),
    ("评分（１－１０）：７", 7),
    ("评分：[[7]]", 7),
    ("评分：［［７］］", 7),
    ("［［８］］", 8),
    ("【【８】】", 8),
    ("最后评分：【【6】】", 6),
    ("分数：8", 8),
    ("分數：８", 8),
    ("打分：8分", 8),
    ("质量评分：10||很好", 10),
    ("遵循评分：3||没有照做。", 3),
    ("综合评分：8", 8),
    ("总分：８．５分", 8.5),
    ("我打8分", 8),
    ("我给它打8分。", 8),
    ("我会给8分，因为很清楚", 8),
    ("8分", 8),
    ("8 分", 8),
    ("８分。", 8),
    ("评分为8分", 8),
    ("评分是８。", 8),
    ("满分10分，我给8分", 8),
    ("8分（满分10分）", 8),
    ("8/10分", 8),
    ("１０分", 10),
    ("得分：１０／１０", 10),
    ("**评分：**8", 8),
    ("**评分**：８分", 8),
    ("## 评分\n8", 8),
    ("评分\n８", 8),
    ("说明：清楚。\n评分：8", 8),
    ("回答有3个优点。\n评分：8分", 8),
    ("理由：很好。\n最终得分：【8】", 8),
    ("最终评分：[[８]]", 8),
    ("分数｜8", 8),
    ("|评分|8|", 8),
    ("{“评分”：8}", 8),
    ('{"评分": 8, "理由": "好"}', 8),
    ("点数：８", 8),
    ("得点：8点", 8),
    ("評価：８／１０", 8),
    ("10点中8点", 8),
    ("スコア：[[8]]", 8),
    ("8点", 8),
    ("점수：８", 8),
    ("8점", 8),
    ("평점: 8/10", 8),
    ("النتيجة: ٧", 7),
    ("التقييم: ٧/١٠", 7),
    ("الدرجة: ١٠", 10),
    ("٧", 7),
    ("٧‖واضح", 7),
    ("[[٩]]", 9),
    ("۸||خوب", 8),
    ("امتیاز: ۸", 8),
    ("अंक: ८", 8),
    ("८/१०", 8),
    ("८||अच्छा", 8),
    ("[[८]]", 8),
    ("अंक: ८/१०", 8),
    ("৮||ভালো", 8),
    ("八分", 8),
    ("评分：八", 8),
    ("评分：八分", 8),
    ("得分：九分", 9),
    ("十分||很好", 10),
    ("评分：十分", 10),
    ("总分：七分（满分十分）", 7),
    ("我给八分。", 8),
    ("【八分】", 8),
    ("［［八］］", 8),
    ("八||好", 8),
    ("評分：捌", 8),
    ("评分：八点五分", 8.5),
    ("两分", 2),
    ("评分：两分", 2),
    ("一分", 1),
    ("評価：八点", 8),
    ("点数：八", 8),
    ("评分：9.5／10", 9.5),
    ("评分：９．５", 9.5),
    ("评分　8", 8),
    ("评分︰8", 8),
    ("评分﹕8", 8),
    ("（8）", 8),
    ("〖8〗", 8),
    ("评分：８；理由：好", 8),
    ("评分：８、理由：好", 8),
    ("8；好", 8),
    ("8。好", 8),
    ("８，因为清楚", 8),
    ("评分＝8", 8),
    ("评分→8", 8),
    ("分数：8（很好）", 8),
    ("8（很好）", 8),
    ("评语：好 评分：8", 8),
    ("8‖‖好", 8),
    ("质量：8\n质量：8", 8),
    ("评分：8分，扣2分因为有错", 8),
]
NO_SCORES = [
    "评分：八分半",
    "评分：十一分",
    "评分：七八分",
    "评分：七到八分",
    "评分：七、八分",
    "十分好",
    "回答十分清楚",
    "三分之一",
    "八成",
    "八",
    "八个",
    "回答有八个错误",
    "第八",
    "七分像人",
    "五分钟",
    "评分：八分之一",
    "评分：三个优点",
    "五分制：四分",
    "满分五分，得分四分",
    "一分为二",
    "评分：零分",
    "评分：一百分",
    "评分：二十分",
    "评分：1-10",
    "评分：８～９",
    "评分：8或9",
    "评分：80",
    "8个优点",
    "第8项",
    "8成",
    "评分：８０％",
    "8年",
    "2024年8月8日",
    "8：30",
    "评分：A",
    "无",
    "<分数>||<理由>",
    "从1（毫无用处）到10（非常出色）的整数",
    "百分之八十",
    "评分等于8",
    "答案：8",
    "８‖9‖好",
    "内容8分，语言9分",
    "扣2分，得8分",
    "8分以上",
    "至少8分",
    "不到8分",
    "约8分",
    "８分左右",
    "评分：8分左右",
    "8+",
]
VERDICTS = [
    ("［［Ａ］］", "A"),
    ("【【Ｂ】】", "B"),
    ("[[Ａ]]", "A"),
    ("结论：［［Ｃ］］", "C"),
    ("结论：Ａ", "A"),
    ("回答Ａ更好", "A"),
    ("回答A比回答B更好。", "A"),
    ("A更好。", "A"),
    ("我选B。", "B"),
    ("我选择回答B。", "B"),
    ("更好的回答是A。", "A"),
    ("更好的是B", "B"),
    ("胜者：回答Ｂ", "B"),
    ("【结论】A", "A"),
    ("【A】", "A"),
    ("「B」", "B"),
    ("Ａ", "A"),
    ("Ｂ。", "B"),
    ("[[平局]]", "C"),
    ("［［平手］］", "C"),
    ("结论：平局", "C"),
    ("平局", "C"),
    ("不分高下", "C"),
    ("两个回答一样好", "C"),
    ("[[A＞B]]", "A"),
    ("[[Ａ＜Ｂ]]", "B"),
    ("[[A＝B]]", "C"),
    ("判定：B", "B"),
    ("最终结论：[[B]]", "B"),
    ("最终选择：B", "B"),
    ("回答A的优点是简洁。\n[[B]]", "B"),
    ("回答A好一些", "A"),
    ("回答A优于回答B", "A"),
    ("回答A不如回答B", "B"),
    ("回答B胜过回答A", "B"),
    ("判断：Ａ。", "A"),
    ("勝者：A", "A"),
    ("結論：B", "B"),
    ("より良い回答：B", "B"),
    ("판정: A", "A"),
    ("결론: [[Ｂ]]", "B"),
    ("选项Ａ胜出", "A"),
    ("[[回答A]]", "A"),
    ("[[回答B更好]]", "B"),
    ("结论：回答A更好", "A"),
    ("A比B更好", "A"),
]
NO_VERDICTS = [
    "如果回答A更好",
    "回答A更好，但是回答B更准确",
    "A和B都好",
    "回答A不是更好的",
    "回答A并不比回答B更好",
    "[[A或B]]",
    "[[都好]]",
    "A、B",
    "回答A更好吗？",
    "更好的是A和B",
    "B比A差",
    "回答B比回答A差",
    "答案是A",
    "选A",
]
DIGITS = {
    "full width": "０１２３４５６７８９",
    "Arabic-Indic": "٠١٢٣٤٥٦٧٨٩",
    "Persian": "۰۱۲۳۴۵۶۷۸۹",
    "Devanagari": "०१२३४५६७८९",
    "Bengali": "০১২৩৪৫৬৭৮৯",
}
FORMS = ["评分：{}‖好", "{}||x", "［［{}］］", "Score: {}", "{}／１０", "得分：{}分"]
HAN = ["", "一", "二", "三", "四", "五", "六", "七", "八", "九", "十"]


@pytest.mark.parametrize(("reply", "value"), SCORES)
def test_a_score_in_other_forms_is_read(reply, value):
    assert parse_score(reply) == (value, "")


@pytest.mark.parametrize("reply", NO_SCORES)
def test_what_is_no_score_stays_unread_in_other_forms(reply):
    value, reason = parse_score(reply)
    assert value is None
    assert reason in ("no_number", "out_of_range", "ambiguous")


@pytest.mark.parametrize(("reply", "letter"), VERDICTS)
def test_a_verdict_in_other_forms_is_read(reply, letter):
    assert parse_verdict(reply) == (letter, "")


@pytest.mark.parametrize("reply", NO_VERDICTS)
def test_what_is_no_verdict_stays_unread_in_other_forms(reply):
    assert parse_verdict(reply)[0] is None


@pytest.mark.parametrize(
    ("reply", "reason"), [("评分：零分", "out_of_range"), ("评分：十一", "out_of_range"), ("八个", "no_number")]
)
def test_the_reason_says_whether_there_was_a_number(reply, reason):
    assert parse_score(reply) == (None, reason)


@pytest.mark.parametrize("script", DIGITS)
@few
@given(
    number=st.integers(1, 10),
    form=st.sampled_from(FORMS),
)
def test_digits_of_every_script_say_the_same(script, number, form):
    written = "".join(DIGITS[script][int(digit)] for digit in str(number))
    assert parse_score(form.format(written)) == parse_score(form.format(number)) == (number, "")


@pytest.mark.parametrize("number", range(1, 11))
@pytest.mark.parametrize("form", ["{}分", "评分：{}", "评分：{}分", "我给{}分。", "{}分||好", "［［{}］］", "最终评分：【{}】"])
def test_the_numbers_of_scores_are_read_in_han_words(number, form):
    assert parse_score(form.format(HAN[number])) == (number, "")


@few
@given(st.text("八十分点评满给：:[]【】|‖，。 \n好", max_size=30))
def test_any_mix_of_these_signs_is_read_or_has_a_reason(reply):
    value, reason = parse_score(reply)
    assert (value is None) == bool(reason)


def test_a_reply_of_han_numbers_for_ever_is_read_quickly():
    assert parse_score("八" * 100_000 + "分制") == (None, "no_number")
