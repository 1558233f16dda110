"""Judging: verdicts and grades as they are written, both orders, both ways of reading, resuming, and judges of every kind."""

import json
import math
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isheep_lib.analysis.win_rates import length_bias, length_controlled, mt_bench_summary, position_bias, win_rate
from isheep_lib.judge import verdicts as judge_verdicts
from isheep_lib.judge.params import prompt_files
from isheep_lib.judge.verdicts import (
    Judge,
    answer_lengths,
    grade_turns,
    judge_pairs,
    turn_words,
)
from isheep_lib.prompting.prompt_files import english, open_prompts
from isheep_lib.prompting.verdict_parsing import parse_grade, parse_verdict
from isheep_lib.record.journal import WAITS, Journal
from tests.frames import hand_made
from tests.scripted import Letters, ScriptedEngine

few = settings(max_examples=50, deadline=None)
FRAME = hand_made("f", "<", ">", "END")
WAYS = ["written", "probabilities"]


def seed_of(name):
    return zlib.crc32(name.encode())


def between(text, before, after):
    return text.split(before, 1)[1].split(after, 1)[0]


def shown(prompt):
    """Return the two answers of a pair's prompt as they are shown."""
    return between(prompt, "Answer A:\n", "\n\nAnswer B:\n"), between(prompt, "Answer B:\n", "\n\nWhich answer serves")


class Scripted(ScriptedEngine):
    """A judge that prefers by a function of the answers shown as A and B, and grades by a function of the prompt."""

    def __init__(self, prefer=lambda first, second: 0.5, grade=lambda prompt: 5, **more):
        self.prefer, self.grade = prefer, grade
        super().__init__(self.write, **more)

    def write(self, request):
        if "Answer B:" in request.prompt:
            share = self.prefer(*shown(request.prompt))
            return f"Both have merits.\n[[{'C' if share == 0.5 else 'A' if share > 0.5 else 'B'}]]"
        return f"Fair.\n[[{self.grade(request.prompt)}]]"

    def choices(self, prompts, labels):
        self.calls.append(prompts)
        if labels == ["A", "B"]:
            found = [self.prefer(*shown(prompt)) for prompt in prompts]
            return [[math.log(0.9 * min(max(p, 1e-9), 1)), math.log(0.9 * min(max(1 - p, 1e-9), 1))] for p in found]
        return [[0.0 if label == str(self.grade(prompt)) else -60.0 for label in labels] for prompt in prompts]


def pair(id_, instruction, own, baseline):
    """Return an item and the model's answer to it."""
    return {"id": id_, "instruction": instruction, "output": baseline}, {"answer": own}


def pairs(number):
    return [pair(f"q{n}", f"Task {n}.", f"own {n}", f"other {n}") for n in range(number)]


def apart(asked):
    """Return the items, and the answers by id."""
    return [doc for doc, _ in asked], {doc["id"]: answer for doc, answer in asked}


def judged(engine, asked, path, verdicts="written"):
    with Journal(path / "j.jsonl", "f") as journal:
        return judge_pairs(Judge(engine, FRAME, verdicts, 99), *apart(asked), seed_of, journal)


def graded(engine, docs, answers, path, verdicts="written"):
    with Journal(path / "j.jsonl", "f") as journal:
        return grade_turns(Judge(engine, FRAME, verdicts, 99), docs, answers, seed_of, journal)


def questions(number=2, **more):
    found = [{"id": f"m{n}", "category": "math", "turns": [f"first {n}?", f"second {n}?"]} for n in range(number)]
    return [{**doc, **more} for doc in found], {
        doc["id"]: {"answers": [f"one {doc['id']}", f"two {doc['id']}"]} for doc in found
    }


# Reading


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        ("A is right, B is not.\n[[A]]", "A"),
        ("[[B]] because A is wrong", "B"),
        ("Both are fine. [[C]]", "C"),
        ("I say [[B]], as the sums are right. A errs in the last line.", "B"),
        ("**[[A]]**", "A"),
        ("Verdict: **[[B]]**.", "B"),
        ("[[ **A** ]]", "A"),
        ("[[[B]]]", "B"),
        ("[[[[A]]]]", "A"),
        ("[[ [B] ]]", "B"),
        (r"\[\[A\]\]", "A"),
        ("[[a]]", "A"),
        ("[[tie]]", "C"),
        ("[[Answer B]]", "B"),
        ("[[assistant a]]", "A"),
        ("[[A]", "A"),
        ("[[A]]\n\nTo repeat: [[A]]", "A"),
        ("The loop reads x[[a]] twice, so [[B]]", "B"),
        ("A", "A"),
        ("B.", "B"),
        ("Much was said.\n(C)", "C"),
        ("Much was said.\n[B]", "B"),
        ("Much was said.\n**Answer A**", "A"),
        ("Verdict: B", "B"),
        ("Final verdict: **B**", "B"),
        ("The winner is A because it is short.", "A"),
        ("The better answer is B, I think.", "B"),
        ("Winner: Answer A\n", "A"),
    ],
)
def test_a_verdict_is_read_in_many_dresses(reply, expected):
    assert parse_verdict(reply) == (expected, "")


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        ("", "no_verdict"),
        ("I cannot decide.", "no_verdict"),
        ("A is a good answer and B is too.", "no_verdict"),
        ("[[D]]", "no_verdict"),
        ("[[A/B]]", "no_verdict"),
        ("[[A], [B]] is a list of lists", "no_verdict"),
        ("[[", "no_verdict"),
        ("Verdict: A tie of sorts", "no_verdict"),
        ("verdict: a", "no_verdict"),
        ("[A] stands in the middle of this", "no_verdict"),
        ("[[A]] at first, but then [[B]]", "ambiguous"),
        ("[[A]] if A is better, [[B]] if B is better, [[C]] if neither is", "ambiguous"),
        ("[[C]] or [[A]]", "ambiguous"),
        ("[[Tie]] or [[A]]", "ambiguous"),
        ("Verdict: A\nB", "ambiguous"),
    ],
)
def test_a_reply_without_one_verdict_is_unread_with_its_reason(reply, reason):
    assert parse_verdict(reply) == (None, reason)


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        ("Good, if long.\n[[7]]", 7),
        ("[[10]] is what I give", 10),
        ("Rating: [[8]]", 8),
        ("**[[6.5]]**", 6.5),
        ("[[ [3] ]]", 3),
        ("[[7/10]]", 7),
        ("[[Rating: 4]]", 4),
        (r"\[\[5\]\]", 5),
        ("[[9]]\nAgain: [[9]]", 9),
        ("It has 3 errors in 20 lines. [[2]]", 2),
        ("Rating: 7", 7),
        ("**Rating:** 7", 7),
        ("**Rating**: 8/10", 8),
        ("I give it a score of 6 out of 10.", 6),
        ("The rating is 9.", 9),
        ("[[7]], though one may say rating: 6", 7),
        ("7", 7),
        ("8/10, clear", 8),
        ("8||clear", 8),
    ],
)
def test_a_grade_is_read_in_many_dresses(reply, expected):
    assert parse_grade(reply) == (expected, "")


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        ("", "no_number"),
        ("A good answer.", "no_number"),
        ("[[number]]", "no_number"),
        ("One may give a score of 1 to 10 here.", "no_number"),
        ("A score of 10 to 12 is not possible.", "no_number"),
        ("Rating: 7-8", "no_number"),
        ("[[0]]", "out_of_range"),
        ("[[11]]", "out_of_range"),
        ("[[-3]]", "out_of_range"),
        ("[[70/100]]", "out_of_range"),
        ("[[4/5]]", "out_of_range"),
        ("Rating: 4/5", "out_of_range"),
        ("[[7]] or [[8]]", "ambiguous"),
        ("Rating: 7. Rating: 3", "ambiguous"),
    ],
)
def test_a_reply_without_one_grade_is_unread_with_its_reason(reply, reason):
    assert parse_grade(reply) == (None, reason)


pieces = [*"[]ABCab17/ \n*.:\\", "verdict", "Rating:", "tie", "[[", "]]"]
marked = st.lists(st.sampled_from(pieces), max_size=30).map("".join)


@few
@given(st.text() | marked)
def test_any_reply_is_read_or_has_a_reason(reply):
    letter, reason = parse_verdict(reply)
    assert (letter in ("A", "B", "C")) == (reason == "")
    score, reason = parse_grade(reply)
    assert (score is not None and 1 <= score <= 10) == (reason == "")


@few
@given(st.text(st.characters(exclude_characters="[]\\")), st.sampled_from("ABC"), st.integers(1, 10))
def test_a_verdict_in_double_brackets_is_found_behind_any_explanation(words, letter, number):
    assert parse_verdict(f"{words}\n[[{letter}]]") == (letter, "")
    assert parse_grade(f"{words}\n[[{number}]]") == (number, "")


@pytest.mark.parametrize("mark", ["*", " ", "\n", "[", "verdict ", "rating ", "[[*", "score: ", "1"])
def test_a_reply_that_repeats_itself_for_ever_is_read_all_the_same(mark):
    assert parse_verdict(mark * 20000)[0] is None
    assert parse_grade(mark * 20000)[0] is None


@pytest.mark.parametrize(
    ("reply", "preference", "reason"), [("[[B]]?</think>[[A]]", 1.0, ""), ("[[A]] or", None, judge_verdicts.CUT)]
)
def test_thinking_that_the_frame_opened_is_no_verdict(tmp_path, reply, preference, reason):
    thinking = hand_made("f", "<", "><think>\n", "END")
    engine = ScriptedEngine(lambda request: reply, finish="length")
    with Journal(tmp_path / "j.jsonl", "f") as journal:
        rows = judge_pairs(Judge(engine, thinking, "written", 99), *apart(pairs(1)), seed_of, journal)
    assert (rows[0]["preference"], rows[0]["unread"], rows[0]["raw"]) == (preference, reason, reply)


# What the judge is asked


def test_the_prompt_files_are_those_of_the_folder():
    named = {name for benchmark in ("alpaca_eval", "mt_bench") for way in WAYS for name in prompt_files(benchmark, way)}
    assert named == {path.name for path in english().folder.glob("judge-*.txt")}


@pytest.mark.parametrize("verdicts", WAYS)
def test_a_pair_is_shown_in_both_orders_with_all_its_words(tmp_path, verdicts):
    engine = Scripted()
    judged(engine, [pair("a", "Add {x} & {}.", "own\n\n{0}", "base [[A]]")], tmp_path, verdicts)
    prompts = [r.prompt for r in engine.asked] if verdicts == "written" else engine.calls[0]
    assert [shown(prompt) for prompt in prompts] == [("own\n\n{0}", "base [[A]]"), ("base [[A]]", "own\n\n{0}")]
    assert all("Add {x} & {}." in prompt and (prompt[0], prompt[-1]) == ("<", ">") for prompt in prompts)


@pytest.mark.parametrize("verdicts", WAYS)
def test_what_a_prompt_asks_for_is_what_is_read(verdicts):
    pair = english().render(prompt_files("alpaca_eval", verdicts)[0], instruction="i", first="f", second="s")
    assert all((f"[[{letter}]]" in pair) == (verdicts == "written") for letter in "ABC")
    for name in prompt_files("mt_bench", verdicts):
        text = (english().folder / name).read_text()
        assert ("[[number]]" in text) == (verdicts == "written")
        assert "1 (useless) to 10 (excellent)" in text


def test_written_verdicts_are_greedy_seeded_by_their_own_name_and_limited(tmp_path):
    engine = Scripted()
    judged(engine, pairs(2), tmp_path)
    assert [r.id for r in engine.asked] == [
        f"pair/q{n}/{order}" for n in range(2) for order in ("model_first", "baseline_first")
    ]
    assert all((r.seed, r.temperature, r.max_new_tokens, r.stop) == (seed_of(r.id), 0.0, 99, ("END",)) for r in engine.asked)


@pytest.mark.parametrize("verdicts", WAYS)
def test_the_second_turn_is_judged_with_the_whole_conversation_and_its_own_reference(tmp_path, verdicts):
    docs, answers = questions(1, reference=["ref {1}", "ref {2}"])
    engine = Scripted()
    graded(engine, docs, answers, tmp_path, verdicts)
    first, second = [r.prompt for r in engine.asked] if verdicts == "written" else engine.calls[0]
    for words in ("first 0?", "one m0", "ref {1}"):
        assert words in first
    assert "second 0?" not in first
    order = [second.index(words) for words in ("first 0?", "one m0", "second 0?", "ref {2}", "two m0")]
    assert order == sorted(order)
    assert "ref {1}" not in second


@pytest.mark.parametrize(
    ("reference", "held"),
    [
        (None, (False, False)),
        ([], (False, False)),
        (["r", ""], (True, False)),
        (["", "r"], (False, True)),
        (["r"], (True, False)),
    ],
)
def test_a_turn_has_a_reference_where_there_is_one(reference, held):
    doc = questions(1, reference=reference)[0][0]
    assert tuple("reference" in turn_words(doc, ["a", "b"], turn) for turn in (1, 2)) == held


# Rows


def test_rows_hold_what_the_judge_said_and_the_models_share(tmp_path):
    engine = Scripted(lambda first, second: 0.8 if first.startswith("own") else 0.3)
    written = judged(engine, pairs(1), tmp_path)
    assert written == [
        {"id": "q0", "order": "model_first", "preference": 1.0, "unread": "", "raw": "Both have merits.\n[[A]]"},
        {"id": "q0", "order": "baseline_first", "preference": 1.0, "unread": "", "raw": "Both have merits.\n[[B]]"},
    ]
    read = judged(engine, pairs(1), tmp_path, "probabilities")
    assert [row["preference"] for row in read] == pytest.approx([0.8, 0.7])
    assert [math.exp(v) for v in read[0]["raw"]] == pytest.approx([0.72, 0.18]), "what is left to other words stays visible"
    json.dumps(read, allow_nan=False)


@pytest.mark.parametrize("verdicts", WAYS)
def test_grades_carry_category_and_turn(tmp_path, verdicts):
    docs, answers = questions(2)
    rows = graded(Scripted(grade=lambda prompt: 4 if "second" in prompt else 9), docs, answers, tmp_path, verdicts)
    assert [(r["id"], r["category"], r["turn"], r["score"], r["unread"]) for r in rows] == [
        (f"m{n}", "math", turn, score, "") for n in range(2) for turn, score in ((1, 9), (2, 4))
    ]
    assert mt_bench_summary(rows)["means"][0]["average"] == 6.5


@pytest.mark.parametrize("verdicts", WAYS)
@pytest.mark.parametrize("number", [0, 1, 8, 9, 20])
def test_every_item_comes_out_in_its_place_across_chunks(tmp_path, verdicts, number):
    odd = 3
    engine = Scripted(lambda first, second: 0.9 if first == f"own {odd}" else 0.1 if second == f"own {odd}" else 0.5)
    rows = judged(engine, pairs(number), tmp_path, verdicts)
    assert [(r["id"], r["order"]) for r in rows] == [
        (f"q{n}", o) for n in range(number) for o in ("model_first", "baseline_first")
    ]
    won = {"written": 1.0, "probabilities": 0.9}[verdicts]
    assert [r["preference"] for r in rows] == [won if r["id"] == f"q{odd}" else 0.5 for r in rows]


@pytest.mark.parametrize("verdicts", WAYS)
def test_an_item_without_an_answer_is_not_asked_about_and_has_its_reason(tmp_path, verdicts):
    docs = [{"id": f"q{n}", "instruction": "I", "output": "base", "dataset": "d"} for n in range(3)]
    answers = {"q0": {"answer": "own"}, "q2": {"answer": ""}}
    rows = judged(Scripted(), [(doc, answers.get(doc["id"], {})) for doc in docs], tmp_path, verdicts)
    assert [r["unread"] for r in rows] == ["", "", "no_answer", "no_answer", "", ""], "an empty answer is an answer"
    assert answer_lengths(docs, answers) == {"q0": (3, 4), "q2": (0, 4)}
    mt_docs, _ = questions(4)
    answers = {"m0": {"answers": ["a", "b"]}, "m1": {"answers": ["a"]}, "m2": {"answers": [None, "b"]}}
    (tmp_path / "mt").mkdir()
    turns = graded(Scripted(), mt_docs, answers, tmp_path / "mt", verdicts)
    assert [r["unread"] for r in turns] == ["", "", "", *["no_answer"] * 5]
    assert mt_bench_summary(turns)["unread"] == {"no_answer": 5}


@pytest.mark.parametrize("verdicts", WAYS)
def test_answers_beyond_the_judges_context_are_unread_with_that_reason_and_the_others_read(tmp_path, verdicts):
    class Short(Scripted):
        tokenizer, context = Letters(), 1700

    rows = judged(Short(), [*pairs(1), pair("q1", "T", "x" * 2000, "y")], tmp_path, verdicts)
    assert [row["unread"] for row in rows] == ["", "", "beyond_context", "beyond_context"]
    assert [row["preference"] for row in rows[2:]] == [None, None]
    docs, answers = questions(2)
    answers["m1"]["answers"][1] = "x" * 2000
    (tmp_path / "mt").mkdir()
    turns = graded(Short(), docs, answers, tmp_path / "mt", verdicts)
    assert [row["unread"] for row in turns] == ["", "", "", "beyond_context"]


# Judges


@pytest.mark.parametrize("verdicts", WAYS)
def test_a_judge_that_always_says_a_has_the_whole_position_bias_and_tells_nothing_else(tmp_path, verdicts):
    rows = judged(Scripted(lambda first, second: 1.0), pairs(12), tmp_path, verdicts)
    bias = position_bias(rows)
    assert (bias["bias"], bias["flipped"]) == (pytest.approx(0.5), 1.0)
    assert win_rate(rows)["win_rate"] == pytest.approx(0.5)


@pytest.mark.parametrize("verdicts", WAYS)
def test_a_judge_that_prefers_length_is_found_out_and_controlled_for(tmp_path, verdicts):
    def longer(first, second):
        # Length decides, but for a share of the items that depends on the words alone.
        gap = len(first) - len(second)
        chance = 1 / (1 + math.exp(-gap / 100))
        low, high = sorted((first, second))
        share = zlib.crc32(f"{low}|{high}".encode()) / 2**32
        return 0.99 if (share < chance if first == low else 1 - share < chance) else 0.01

    requests = [pair(f"q{n}", "T", f"{n}" + "x" * (n * 7 % 400), f"{n}" + "y" * 100) for n in range(400)]
    rows, lengths = judged(Scripted(longer), requests, tmp_path, verdicts), answer_lengths(*apart(requests))
    assert position_bias(rows)["flipped"] == 0
    raw, controlled, bias = win_rate(rows), length_controlled(rows, lengths), length_bias(rows, lengths)
    assert raw["win_rate"] > 0.6
    assert controlled["win_rate"] == pytest.approx(0.5, abs=2.5 * controlled["se"])
    assert controlled["se"] < 0.05
    assert bias["longer_preferred"] > 0.7
    assert bias["coefficient"] > 5 * bias["coefficient_se"]


def test_a_judge_whose_length_preference_knows_no_exception_gets_a_statement_instead_of_a_number(tmp_path):
    requests = [pair(f"q{n}", "T", "x" * (n * 7 % 40), "y" * 10) for n in range(40) if n * 7 % 40 != 10]
    rows = judged(Scripted(lambda first, second: float(len(first) > len(second))), requests, tmp_path)
    assert win_rate(rows)["win_rate"] > 0.7
    found = length_controlled(rows, answer_lengths(*apart(requests)))
    assert found["win_rate"] is None
    assert "length difference alone decides" in found["why"]


def test_a_judge_that_says_nothing_readable_leaves_reasons_and_texts_and_no_number(tmp_path):
    rows = judged(ScriptedEngine(lambda request: "Hm."), pairs(3), tmp_path)
    assert all((r["preference"], r["unread"], r["raw"]) == (None, "no_verdict", "Hm.") for r in rows)
    assert win_rate(rows)["win_rate"] is None
    assert win_rate(rows)["unread"] == {"no_verdict": 6}
    docs, answers = questions(3)
    (tmp_path / "mt").mkdir()
    turns = graded(ScriptedEngine(lambda request: "Hm."), docs, answers, tmp_path / "mt")
    assert all((r["score"], r["unread"], r["raw"]) == (None, "no_number", "Hm.") for r in turns)
    assert mt_bench_summary(turns)["why"] == "no grade was read"


def test_a_reply_that_ends_at_its_limit_without_a_verdict_is_called_cut_off(tmp_path):
    rows = judged(ScriptedEngine(["On the one hand", "[[A]] and", "[[A]] [[B]]", "Hm"], finish="length"), pairs(2), tmp_path)
    assert [r["unread"] for r in rows] == ["cut_off", "", "ambiguous", "cut_off"]


# Journals


@pytest.mark.parametrize("verdicts", WAYS)
def test_a_judging_that_was_ended_goes_on_where_it_stopped_and_gives_the_same_rows(tmp_path, monkeypatch, verdicts):
    class Dying(Scripted):
        left = 3

        def spend(self):
            self.left -= 1
            if self.left < 0:
                raise KeyboardInterrupt

        def write(self, request):
            self.spend()
            return super().write(request)

        def choices(self, prompts, labels):
            self.spend()
            return super().choices(prompts, labels)

    def prefer(first, second):
        return zlib.crc32(f"{first}|{second}".encode()) / 2**32

    monkeypatch.setattr(judge_verdicts, "CHUNK", 2)
    (tmp_path / "whole").mkdir()
    whole = judged(Scripted(prefer), pairs(6), tmp_path / "whole", verdicts)
    with pytest.raises(KeyboardInterrupt):
        judged(Dying(prefer), pairs(6), tmp_path, verdicts)
    with open(tmp_path / "j.jsonl", "ab") as file:
        file.write(b'{"id": "torn')
    engine = Scripted(prefer)
    assert judged(engine, pairs(6), tmp_path, verdicts) == whole
    assert len(engine.calls) == {"written": 12 - 3, "probabilities": 6 - 3}[verdicts]
    again = Scripted(prefer)
    assert judged(again, pairs(6), tmp_path, verdicts) == whole
    assert again.calls == []


@pytest.mark.parametrize("verdicts", WAYS)
def test_what_another_worker_fills_waits_for_it(tmp_path, monkeypatch, verdicts):
    class Half(Journal):
        def mine(self, parts):
            return parts[::2]

    monkeypatch.setattr(judge_verdicts, "CHUNK", 2)
    docs, answers = questions(2)
    with Half(tmp_path / "j.jsonl", "f") as journal:
        rows = judge_pairs(Judge(Scripted(batch=2), FRAME, verdicts), *apart(pairs(4)), seed_of, journal)
        turns = grade_turns(Judge(Scripted(batch=2), FRAME, verdicts), docs, answers, seed_of, journal)
    assert [r["unread"] for r in rows] == ["", "", WAITS, WAITS] * 2
    assert [r["unread"] for r in turns] == ["", "", WAITS, WAITS]


def test_a_judge_is_asked_in_chinese_and_its_full_width_verdicts_and_grades_are_read(tmp_path):
    engine = ScriptedEngine(["两者都对，A更简洁。\n［［Ａ］］", "结论：【【Ｂ】】", "好。\n【【８】】", "评分：九分"])
    judge = Judge(engine, FRAME, "written", 99, open_prompts("zh"))
    with Journal(tmp_path / "pairs.jsonl", "f") as journal:
        rows = judge_pairs(judge, *apart(pairs(1)), seed_of, journal)
    with Journal(tmp_path / "turns.jsonl", "f") as journal:
        turns = grade_turns(judge, *questions(1), seed_of, journal)
    assert [row["preference"] for row in rows] == [1.0, 1.0]
    assert [row["score"] for row in turns] == [8.0, 9.0]
    assert "哪个回答对出题的人更有帮助" in engine.asked[0].prompt and "助手，第二轮" in engine.asked[3].prompt
