"""Replies as models write them, in many dresses and languages: which score or verdict they hold, and which hold none.

`readings.jsonl` holds one reply a line: kind, text, and the right value, null where nothing may be read.
"""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isheep_lib.prompting.score_parsing import parse_score
from isheep_lib.prompting.score_pieces import pieces
from isheep_lib.prompting.verdict_parsing import parse_grade, parse_verdict

few = settings(max_examples=50, deadline=None)
READERS = {"score": parse_score, "grade": parse_grade, "verdict": parse_verdict}
ROWS = [json.loads(line) for line in (Path(__file__).parent / "readings.jsonl").read_text(encoding="utf-8").splitlines()]
SCORES = [
    ("Rating: [[5]] out of [[10]]", 5),
    ("[[5]]/[[10]]", 5),
    ("8 out of a maximum of 10", 8),
    ("8 out-of-10", 8),
    ("3 (on a scale of 1 to 10)||x", 3),
    ("[[3]] (on a scale of 1 to 10)", 3),
    ("0-10: 8", 8),
    ("Rating [1-10]: 8", 8),
    ("2 out of 10", 2),
    ("2 of 10", 2),
    ("2 out of ten||bad", 2),
    ("On a scale of one to ten, I'd give this a 2.", 2),
    ("2 on a scale of 1-10", 2),
    ("2 points out of 10", 2),
    ("2 out of 10 points", 2),
    ("Score: 8/10 (out of 10)", 8),
    ("8 on a scale from 1 to 10", 8),
    ("8 on a 10-point scale", 8),
    ("On a scale of 1 to 10, I'd give this an 8.", 8),
    ("From 1 (useless) to 10 (excellent): 7", 7),
    ("10 being the best, I give it 7", 7),
    ("Rating (10 = best): 7", 7),
    ("Max score: 10. Score: 7", 7),
    ('{"score": 7, "max_score": 10}', 7),
    ('{"scale": "1-10", "score": 8}', 8),
    ("满分10分，得分8分", 8),
    ("10分满分，8分", 8),
    ("评分（1-10）：8", 8),
    ("10点満点中8点", 8),
    ("スコア：8", 8),
    ("점수: 8", 8),
    ("10점 만점에 8점", 8),
    ("Оценка: 8 из 10", 8),
    ("Puntuación: 8 de 10", 8),
    ("Bewertung: 8 von 10", 8),
    ("8 auf einer Skala von 1 bis 10", 8),
    ("Pisteet: 8/10", 8),
    ("التقييم: ٨", 8),
    ("٨||جيد", 8),
    ("８／１０", 8),
    ("Score: 8 / 10.", 8),
    ("8/10 - clear", 8),
    ("I'd rate it 8 out of a possible 10", 8),
    ("8 (of 10)", 8),
    ("[[8]] out of 10", 8),
    ("[[8]]/10", 8),
    ("$8", 8),
    ("1. 8", 8),
    ("2) Score: 8", 8),
    ("- 8", 8),
    ("- Score: 8", 8),
    ("> 8", 8),
    ("<score>8</score>", 8),
    ("<8||good>", 8),
    ("<b>8</b>", 8),
    ("__8__", 8),
    ("`8`", 8),
    ("~~7~~ 8", 8),
    ("$8$", 8),
    ("$\\boxed{8}$", 8),
    ("\\boxed{\\text{8}}", 8),
    ("Score: \\textbf{8}", 8),
    ("| Score | 8 |", 8),
    ("|8|good|", 8),
    ("```\n8\n```", 8),
    ("8\u200b||good", 8),
    ("\ufeff8||good", 8),
    ("8\u00a0||\u00a0good", 8),
    ("Score\n8", 8),
    ("## Score\n\n**8/10**", 8),
    ("8 👍", 8),
    ("⭐ Score: 8/10 ⭐", 8),
    ("8/10 ★", 8),
    ("8️⃣", 8),
    ('{"reason": "It has 3 errors", "score": 4}', 4),
    ('{\n  "score": 4,\n  "reason": "It has 3 errors"\n}', 4),
    ("I give it an 8", 8),
    ("I would give this response a solid 8.", 8),
    ("My rating for this answer would be 8.", 8),
    ("The score of this response is 8.", 8),
    ("It deserves a 9 because it is clear.", 9),
    ("I say 8", 8),
    ("8 for clarity", 8),
    ("8 because it is clear", 8),
    ("8. The response is clear", 8),
    ("8: clear", 8),
    ("8 - clear", 8),
    ("8, as it is clear", 8),
    ("Score: 8 Explanation: clear", 8),
    ("The answer is clear.\n8", 8),
    ("我给这个回答8分", 8),
    ("这个回答的质量得分是8分。", 8),
    ("最终评分：8", 8),
    ("I give it a score of 6 out of 10.", 6),
    ("Relevance score: 6\nFinal score: 8", 8),
    ("Relevance: 6/10\nFinal score: 8/10", 8),
    ("Quality: 3\nQuality: 3", 3),
    ("8||Style 9/10, so score: 9", 8),
    ("8||a\nScore: 3", 8),
    ("</think>8||x", 8),
    ("<think>8||a</think>\n3||b", 3),
    ("Rating: [8]", 8),
    ("Rating: (8)", 8),
    ("Rating: 8 (good)", 8),
    ("**Rating: [[8]]**", 8),
    ("[[8]]。", 8),
    ("[[8 out of 10]]", 8),
    ("[[8]]\n\nI hope this helps!", 8),
    ("Score: 8 out of 10 (good)", 8),
    ("总分：8分", 8),
    ("Rating:8", 8),
    ("Rating 8", 8),
    ("final rating of 8", 8),
    ("Overall: 8", 8),
    ("8.||x", 8),
    ("(8)||x", 8),
    ("8 out of 10 || x", 8),
    ("Score (1-10): 8||x", 8),
    ("Criterion 1: 8||x", 8),
    ("The 2 animals are right, so 9||x", 9),
    ("2 of 3, so 6||x", 6),
    ("8|good", 8),
    ("10||Both animals hibernate, and 3 of 4 are right.", 10),
    ("Judgement of the quality: 10||x", 10),
    ("**8** || x", 8),
    ("Clarity: 7\nDepth: 8\nOverall: 7.5/10", 7.5),
    ("1. Clarity: 7/10\n2. Depth: 8/10\n\n[[8]]", 8),
    ("The response is 8/10.", 8),
    ("score of 8/10", 8),
    ("I'd give an 8.5", 8.5),
    ("Rating: 1", 1),
    ("rating: 10 out of 10!", 10),
    ("Score: 9 (very good), as only 1 of 5 points is missing", 9),
    ("Rate: 8", 8),
    ("Points: 8", 8),
    ("Score - 8", 8),
    ("Score -> 8", 8),
    ("Score 8/10 because", 8),
    ("Rating: 7 (out of 10), but 9 for style", 7),
    ("I'd say it's a 7", 7),
    ("a 7 out of 10", 7),
    ("A solid 7/10", 7),
    ("Je donne 8/10.", 8),
    ("Note : 8/10", 8),
    ("Bewertung: 8 Punkte", 8),
    ("8 Punkte", 8),
    ("2, since 3 facts are wrong||x", 2),
    ("2 since 3 facts are wrong||x", 2),
    ("Step 1: read. Step 2: judge. Score: 6", 6),
    ("In 2020, 8 of 10 people said so. Score: 6", 6),
    ("The answer is 42. Score: 6", 6),
    ("Score: 6. Score: 6", 6),
    ("Score: **6** / **10**", 6),
    ("Score: 6/ 10", 6),
    ("Score:\n\n6/10", 6),
    ("Score is: \n 6", 6),
    ("[6]", 6),
    ("[6/10]", 6),
    ("(6)", 6),
    ("6)", 6),
    ("{6}", 6),
    ("6\\", 6),
    ("Score: 6~", 6),
    ("8.0.", 8),
    ("8..", 8),
    ("8...", 8),
    ("8!", 8),
    ("8?", 8),
    ("8;", 8),
    ("00008", 8),
    ("10.0", 10),
    ("1.0", 1),
]
NO_SCORES = [
    "6. Quality is 3",
    "It cites [3]",
    "It rated 9",
    "[[3]] (on a scale of 1 to 5)",
    "3 (on a scale of 1 to 5)||x",
    "On a 5-point scale: [[3]]",
    "Rating: 4 (5-point scale)",
    "[[4]]/5",
    "On a scale of 1 to 5, I give it a 4.",
    "4 on a 5-point scale",
    "Score (1-5): 4",
    "Score (out of 5): 4",
    "Score out of 100: 8",
    "a whole number from 1 (useless) to 10 (excellent)",
    "8/10/2",
    '{"score": 4, "max_score": 5}',
    "5分制：4分",
    "得分：4（满分5分）",
    "[[8]] out of 100",
    "7-8",
    "7 – 8",
    "7 to 8||x",
    "7 or 8||x",
    "8 (or 9)",
    "8, maybe 9",
    "Score: 7.5-8",
    "between 7 and 8||x",
    "at least 8",
    "Score: at least 8",
    "less than 8||x",
    "not 8 but 6",
    "not 8 but 6||x",
    "Score: 8+",
    "Score: 8 ± 1",
    "~8",
    "Score: >8",
    "[[7-8]]",
    "[[7]] or [[8]]",
    "[[7 or 8]]",
    "7至8分",
    "7或8分||x",
    "Rating: 7 bis 8",
    "8, 9",
    "10/10/2024",
    "Score: 10/10/2024",
    "2024-01-08",
    "8:30",
    "version 8",
    "Line 8 is wrong",
    "8th",
    "8x better",
    "3-step answer",
    "GPT-4||good",
    "1,000",
    "8,500",
    "8%",
    "Score: 85%",
    "8 percent",
    "8 words",
    "8个错误",
    "8 Fehler wurden gefunden",
    "8 / 12 tests pass",
    "8/10 tests pass",
    "3 of 10 claims are wrong",
    "第8",
    "5 + 3 = 8",
    "8^2",
    "7 1/2",
    "-8",
    "Score: -8",
    "0",
    "Score: 11",
    "8€",
    "eight",
    "VIII",
    "八",
    "8²",
    "1. It is bad",
    "Scores: [8, 7]",
    '{"score": {"value": 8}}',
    '{"a": 3, "b": 9}',
    "Good. 8",
    "The correct answer is 8.",
    "The answer is 8. The response says 7.",
    "It gives 3 examples",
    "I give 3 reasons",
    "A score of 1 to 10",
    "A score of 10 to 12 is not possible.",
    "One may give a score of 1 to 10 here.",
    "Score: 3. No, score: 8",
    "Relevance: 6/10\nStyle: 9/10",
    "[[3]] was said.\nFinal score: 8",
    "3||a\n\n8||b",
    "Rating: [[2]]\nThe answer says [[10]].",
    "Rating: 4/5, which is 8/10",
    "8\n9",
    "<think>8||",
    "8||good<think>or 9",
    "<think>a</think>",
    "[[4 out of 5]]",
    "Rating: 3,5/5",
    "Overall: 3 errors",
    "8||9||x",
    "||8",
    "score||8",
    "8 || **good** [[3]]",
    "Rating: ten",
    "Rating: N/A",
    "Rating: ?",
    "Score: 8\nThe answer uses a scale of 1 to 5.",
    "Score is 8 and style is 3",
    "8 and 9",
    "8 and clear",
    "8 stars",
    "4/5 stars",
    "ten",
    "out of ten",
    "4★",
    "4 ⭐️",
    "Rating: 4 ☆",
    "8 €",
    "Score: 8₽",
    "8 ¥",
    "8‰",
    "Score: 8 ‰",
    "8℃",
    "8 ㎏",
    "§ 8",
    "4 stars out of 5",
    "It is a 7.",
    "7/10 would ask again",
    "Nota: 8",
    "Das verdient 8 von 10 Punkten.",
    "2 - 3 facts are wrong||x",
    "6 6",
    "Rating: 6\\10",
    "0.8",
    "8e0",
    "10.01",
    "0.99",
]
VERDICTS = [
    ("[[A is better]]", "A"),
    ("The best answer is B.", "B"),
    ("Verdict - B", "B"),
    ("B is better than A, as it is right.", "B"),
    ("判断：A", "A"),
    ("[[B>A]]", "B"),
    ("[[A<B]]", "B"),
    ("[[A<<B]]", "B"),
    ("[[A=B]]", "C"),
    ("[[B = A]]", "C"),
    ("My final verdict is: [[A>>B]]", "A"),
    ("Verdict: A>B", "A"),
    ("[[draw]]", "C"),
    ("［［Ａ］］", "A"),
    ("「「A」」", "A"),
    ("结论：B", "B"),
    ("获胜者：A", "A"),
    ("助手A更好", "A"),
    ("回答B更好。", "B"),
    ('{"verdict": "A"}', "A"),
    ('{"winner": "model_a"}', "A"),
    ("<verdict>B</verdict>", "B"),
    ("\\boxed{A}", "A"),
    ("**Winner:** Assistant B", "B"),
    ("I prefer B.", "B"),
    ("A is better than B.", "A"),
    ("Response A is clearly better.", "A"),
    ("Assistant A's answer is better.", "A"),
    ("A is better in style. B is better.", "B"),
    ("Tie", "C"),
    ("It's a tie.", "C"),
    ("Verdict: tie", "C"),
    ("Choice: B", "B"),
    ("Answer: A", "A"),
    ("Answer A", "A"),
    ("[[A]] is said.\nFinal verdict: [[B]]", "B"),
    ("[[A]] [[A]]", "A"),
    ("[[A]]\n[[B]]", "B"),
    ("A", "A"),
    ("C.", "C"),
    ("[[A]]...", "A"),
    ("## Verdict\n[[B]]", "B"),
    ("## Verdict\nB", "B"),
    ("The winner is Assistant A.", "A"),
    ("So B wins.", "B"),
]
NO_VERDICTS = [
    "A is better, but B is right.",
    "While A is better, both fail.",
    "The winner is a model that says so.",
    "[[A>=B]]",
    "[[both]]",
    "[[A/B]]",
    "[[A or B]]",
    "如果助手A更好",
    "I do not prefer A.",
    "If A is better, say so.",
    "I do not think A is better.",
    "Neither A is better nor B is better.",
    "Assistant B is better in style.",
    "A is better. B is better.",
    "A is a good answer.",
    "Verdict: A tie of sorts",
    "<think>[[A]]",
    "[[A]] if A, [[B]] if B",
    "[A, B]",
    "[[2]]",
    "a",
    "",
    "Option (a)",
    "Output (a)",
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row['kind']} {row['text']}")
def test_a_reply_is_read_as_its_author_meant_it(row):
    value, reason = READERS[row["kind"]](row["text"])
    assert value == row["right"]
    assert (reason == "") == (value is not None)


@pytest.mark.parametrize(("reply", "value"), SCORES)
def test_a_score_is_read_whatever_scale_language_or_markup_stands_around_it(reply, value):
    assert parse_score(reply) == (value, "")


@pytest.mark.parametrize("reply", NO_SCORES)
def test_ranges_counts_bounds_foreign_scales_and_doubtful_replies_are_no_score(reply):
    assert parse_score(reply)[0] is None


@pytest.mark.parametrize(("reply", "letter"), VERDICTS)
def test_a_verdict_is_read_whatever_words_or_brackets_stand_around_it(reply, letter):
    assert parse_verdict(reply) == (letter, "")


@pytest.mark.parametrize("reply", NO_VERDICTS)
def test_conditions_echoes_and_articles_are_no_verdict(reply):
    assert parse_verdict(reply)[0] is None


scores = st.integers(2, 20).map(lambda half: half / 2)
written = scores.map(lambda value: f"{value:g}")
asked = st.sampled_from(["{}||x", "[[{}]]", "Score: {}", "Rating: [[{}]]", "{}", "I give it {}.", "Final score: {}"])
of = st.sampled_from(
    ["/{}", " / {}", " out of {}", " (out of {})", " on a scale of 1 to {}", " on a {}-point scale", " (1-{})", "分（满分{}）"]
)


@few
@given(scores, asked, of)
def test_the_top_of_the_scale_is_never_the_score(value, form, scale):
    assert parse_score(form.format(f"{value:g}{scale.format(10)}")) == (value, "")


@few
@given(written, asked, of, st.integers(3, 100).filter(lambda top: top != 10))
def test_a_score_on_another_scale_is_never_read(value, form, scale, top):
    assert parse_score(form.format(value + scale.format(top)))[0] is None


@few
@given(written, asked, st.sampled_from(["-", " - ", "–", "~", " to ", " or ", " and ", "到", "或", ", ", " bis "]), written)
def test_a_range_is_never_read(first, form, between, second):
    if first + between + second != "1" + between + "10":  # which is the scale
        assert parse_score(form.format(first + between + second))[0] is None


@few
@given(st.integers(1, 30), st.sampled_from(["{}", "Rating: {}", "I give {}", "{}."]), st.text("cdefgklmnqs", min_size=4))
def test_a_number_of_something_is_never_read(number, form, thing):
    assert parse_score(form.format(f"{number} {thing}"))[0] is None


@few
@given(
    written,
    asked,
    st.sampled_from(["**{}**", "`{}`", "<b>{}</b>", "\ufeff{}", " {} \n", "```\n{}\n```", "<think>9||</think>{}"]),
)
def test_dress_changes_nothing(value, form, dress):
    reply = form.format(value)
    assert parse_score(dress.format(reply)) == parse_score(reply) != (None, "no_number")


@few
@given(
    st.text()
    | st.lists(st.sampled_from(["8", " ", "10", "/", "out of", "[", "]", "|", ":", "score", ",", "分", "\n", "-"])).map("".join)
)
def test_every_number_that_a_reader_may_take_is_written_in_the_reply(reply):
    read = pieces(reply)
    assert all(read.codes[place] == "N" for place in read.values)
    value, _ = parse_score(reply)
    assert value is None or value in read.values.values()
