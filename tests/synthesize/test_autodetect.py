"""AutoDetect: skills are listed and added, tasks get harder where the model fails, and failures alone are learned."""

import random

import pytest

from isheep_lib.engines.protocol import Completion
from isheep_lib.errors import ParameterError, YieldError
from isheep_lib.params.check import check
from isheep_lib.synthesize.extras.own import carried_file, files_of
from isheep_lib.synthesize.feedback.cases import best_of
from isheep_lib.synthesize.feedback.judging import likeliest
from isheep_lib.synthesize.feedback.skills import Case, Skill, checked, name_of, shown_cases
from isheep_lib.synthesize.methods.feedback.autodetect import AutoDetect
from isheep_lib.synthesize.params import Synthesize
from tests.scripted import ScriptedEngine
from tests.writings import writing

SUBJECTS = "salt tea rain sand iron wool milk corn wood glass paper stone bread cheese honey silk clay wax lime coal".split()


@pytest.mark.parametrize(
    ("logs", "score"), [([-9] * 9 + [0], 10), ([-1, -1] + [-9] * 8, 1), ([-9, -2, -0.5] + [-9] * 7, 3), ([-1] * 10, 1)]
)
def test_the_score_is_the_likeliest_number_and_of_equally_likely_ones_the_lower(logs, score):
    assert likeliest(logs) == score


@pytest.mark.parametrize(
    ("answers", "text", "others"),
    [
        ([("a", "end", 3), ("b", "end", 7), ("c", "end", 7)], "b", 20),
        ([("a", "length", 7), ("b", "end", 7)], "b", 10),
        ([("a", "length", 8), ("b", "end", 7)], "a", 10),
        ([("a", "end", 0)], "a", 0),
    ],
)
def test_the_reference_is_the_best_then_a_whole_one_then_the_first(answers, text, others):
    row, spent = best_of([(Completion("x", said, finish, 10), score) for said, finish, score in answers])
    assert (row["output"], spent) == (text, others)


CASES = [
    Case("a", "Name one use of salt.", 2),
    Case("b", "Name one use of tea.", 9),  # begins as the first does
    Case("c", "List all uses of rain.", 3),
    Case("d", "Why is sand dry?", 1),
    Case("e", "Is iron hard?", 8),
    Case("f", "Can wool burn?", 10),
    Case("g", "Sing about milk.", 7),
]


@pytest.mark.parametrize("number", range(20))
def test_two_weak_cases_are_shown_beside_others_and_of_those_that_begin_alike_one(number):
    shown = shown_cases(CASES, 5, 3, random.Random(number))
    ids = [case.id for case in shown]
    assert len(ids) == 5 and "b" not in ids and ids == sorted(ids)
    assert sum(case.score <= 3 for case in shown) == 2, "three of the others are there"
    few = shown_cases(CASES[:4], 5, 3, random.Random(number))
    assert [case.id for case in few] == ["a", "c", "d"], "where others are few, weak ones fill their places"
    assert shown_cases([], 5, 3, random.Random(number)) == []


def test_skills_are_dropped_by_form_by_repetition_and_beyond_what_was_wanted():
    texts = ["keeping to a word limit", "Keeping to a word limit!", "x " * 13, "", "answering in a table", "one more thing"]
    found = checked([Skill(f"s{n}", 1, "examiner", text) for n, text in enumerate(texts)], [], 2)
    reasons = ["", "known_skill", "no_skill_in_form", "no_skill_in_form", "", "beyond_wanted"]
    assert [skill.reason for skill in found] == reasons
    assert [name_of(text) for text in ("**Word limits.**", ' "a table" ', "x")] == ["Word limits", "a table", "x"]


class Model(ScriptedEngine):
    """Lists two skills, writes a task about another subject each time, fails at tasks with these words, adds skills."""

    def __init__(self, weak=("salt", "sand"), added=(), new=True, skills="1. word limits\n2. answers in a table", lives=10**6):
        super().__init__(self.say)
        self.weak, self.added, self.new, self.skills, self.lives = weak, list(added), new, skills, lives

    def say(self, request):
        if len(self.asked) > self.lives:
            raise IndexError
        if request.id.endswith("-skills"):
            return self.skills
        if request.id.endswith("/proposed"):
            place, attempted = map(int, request.id.partition("-a")[2][:2])
            return self.added[place + attempted] if place + attempted < len(self.added) else "Nothing. [[Stop]]"
        if "/reference-" in request.id:
            return f"reference {request.id[-1]}"
        if "Write one task" in request.prompt or "write one new task" in request.prompt:
            name, _, number = request.id.replace("example", "s00-c00").rpartition("-c")
            kind, number = name[-2:], int(number)
            place = {"00": 0, "01": 7}.get(kind.removeprefix("s"), 14)
            return f"{'Describe what' if number % 2 else 'Say in a line how'} {SUBJECTS[place + number]} looks and smells."
        return f"An answer to {request.id}."

    def choices(self, prompts, labels):
        self.calls.append(prompts)
        if len(labels) == 2:
            return [[-0.1, -2.0] if self.new else [-2.0, -0.1] for _ in prompts]
        best = [
            (1 if any(f" {word} " in prompt for word in self.weak) else 7)
            if "Reference answer" in prompt
            else 5 + int(prompt.partition("reference ")[2][:1] == "1")
            for prompt in prompts
        ]
        return [[0.0 if n == place else -9.0 for n in range(len(labels))] for place in best]


def made(folder, engine, wanted=9, carried=(), **options):
    own = {"skills": 2, "first_cases": 2, "cases": 4, "references": 2, "added_skills": 0, **options}
    params = Synthesize(method="autodetect", min_instructions=1, instructions=wanted, max_rouge=0.95, options=own)
    return writing(engine, folder, params, [], carried=carried)


def test_failures_are_learned_with_the_best_reference_and_everything_else_is_dropped_as_solved(tmp_path):
    engine = Model()
    found = AutoDetect().write(made(tmp_path, engine))
    assert [(row["id"], row["operator"], row["score"]) for row in found.accepted] == [
        ("i1-s00-c00", "first", 2),
        ("i1-s00-c03", "harder", 2),
    ]
    row = found.accepted[1]
    assert (row["skill"], row["skill_id"], row["round"]) == ("word limits", "i1-s00", 3)
    assert (row["output"], row["first_output"]) == ("reference 1", "An answer to i1-s00-c03.")
    assert set(row["parents"]) == {"i1-s00-c00", "i1-s00-c01", "i1-s00-c02"} - {"i1-s00-c02"}, "one of each beginning"
    assert {(row["reason"], row["detail"]) for row in found.dropped} == {("solved", "score 8")}
    assert len(found.dropped) == 6
    skills = files_of(found)["skills.jsonl"]
    assert [(s["cases"], s["scored"], s["mean_score"], s["weak"]) for s in skills] == [(4, 4, 5.0, 2), (4, 4, 8.0, 0)]
    everything = sum(10 for request in engine.asked)
    assert found.tokens == everything - 10 * len(found.accepted), "but for what is counted as responses"


def test_a_harder_task_is_asked_for_with_scores(tmp_path):
    engine = Model()
    AutoDetect().write(made(tmp_path, engine))
    (prompt,) = [r.prompt for r in engine.asked if r.id == "i1-s00-c02" and "one new task" in r.prompt]
    assert "- Say in a line how salt looks and smells. (2)" in prompt
    assert "- Describe what tea looks and smells. (8)" in prompt


def test_the_assessor_adds_skills_until_it_stops_and_all_proposals_are_recorded(tmp_path):
    engine = Model(added=["word limits", "rhymes"], weak=("salt", "honey"))
    found = AutoDetect().write(made(tmp_path, engine, added_skills=3))
    rows = files_of(found)["skills.jsonl"]
    assert [(row["id"], row["source"], row["skill"], row["reason"]) for row in rows[2:]] == [
        ("i1-a00", "assessor", "word limits", "known_skill"),
        ("i1-a01", "assessor", "rhymes", ""),
        ("i1-a10", "assessor", "rhymes", "known_skill"),
    ]
    assert rows[3]["cases"] == 4 and rows[2]["cases"] == 0
    (prompt,) = [request.prompt for request in engine.asked if request.id == "i1-a01/proposed"]
    assert "- word limits: " in prompt and "salt" in prompt


def test_a_skill_that_the_model_does_not_find_new_is_not_tested(tmp_path):
    found = AutoDetect().write(made(tmp_path, Model(added=["rhymes"] * 3, new=False), added_skills=2, tries=2))
    assert [row["reason"] for row in files_of(found)["skills.jsonl"][2:]] == ["not_new", "not_new"]


def test_the_next_iteration_tests_the_same_skills_again(tmp_path):
    rows = files_of(AutoDetect().write(made(tmp_path / "one", Model())))["skills.jsonl"]
    assert carried_file(AutoDetect()) == "skills.jsonl"
    assert (1, "synthesize", "skills.jsonl") in Synthesize(method="autodetect").inputs(2)
    engine = Model()
    bad = {**rows[0], "id": "i0-s09", "reason": "known_skill"}
    found = AutoDetect().write(
        made(tmp_path / "two", engine, carried=[{**row, "id": f"i0{row['id'][2:]}"} for row in rows] + [bad])
    )
    assert [row["id"] for row in files_of(found)["skills.jsonl"]] == ["i0-s00", "i0-s01"]
    assert found.accepted[0]["id"] == "i1-i0-s00-c00"
    assert not any(request.id.endswith("-skills") for request in engine.asked)


def test_an_examiner_without_a_skill_and_a_questioner_without_a_task_stop_with_reasons_and_examples(tmp_path):
    with pytest.raises(YieldError, match=r"(?s)Only 0 skills by the examiner.*1 no_skill_in_form"):
        AutoDetect().write(made(tmp_path / "one", Model(skills="a " * 20)))
    engine = Model()
    engine._answer = lambda request: engine.skills if request.id.endswith("-skills") else "ok"
    with pytest.raises(YieldError, match=r"(?s)operator first, which failed every time.*24 too_short"):
        AutoDetect().write(made(tmp_path / "two", engine, first_cases=12, cases=12))


def test_where_the_model_solves_everything_the_stage_says_so(tmp_path):
    with pytest.raises(YieldError, match=r"(?s)Only 0 new instructions.*8 solved"):
        AutoDetect().write(made(tmp_path, Model(weak=())))


def test_a_killed_writing_is_resumed_and_asks_only_for_the_rest(tmp_path):
    def script():
        return Model(added=["rhymes"])

    engine = script()
    whole = AutoDetect().write(made(tmp_path / "whole", engine, added_skills=1))
    asked = len(engine.asked)
    for life in (1, 4, 13, 30):
        with pytest.raises(IndexError):
            broken = script()
            broken.lives = life
            AutoDetect().write(made(tmp_path / str(life), broken, added_skills=1))
        rest = script()
        assert AutoDetect().write(made(tmp_path / str(life), rest, added_skills=1)) == whole
        assert len(rest.asked) == asked - life


def test_contradictions_are_named_all_at_once():
    options = {"first_cases": 9, "cases": 4, "weak_score": 10}
    with pytest.raises(ParameterError, match="weak_score"):
        check(Synthesize, {"method": "autodetect", "options": options}, "x")
    problems = str(Synthesize(method="autodetect", response_temperature=0.0, options={"first_cases": 99}).conflicts())
    assert "first_cases: must be at most cases" in problems and "references: at response_temperature 0" in problems


def test_one_skill_is_shown_step_by_step_and_weaknesses_are_drawn_by_skill(tmp_path):
    shown = AutoDetect().example(made(tmp_path, Model()))
    steps = {row["step"]: row["text"] for row in shown.rows}
    assert (steps["skill 1"], steps["score"], steps["reference"]) == ("word limits (taken)", "2", "reference 1")
    found = AutoDetect().write(made(tmp_path / "more", Model()))
    rows = AutoDetect().evidence(found).rows
    assert [(row["skill"], row["weak"], row["accepted: first"], row["accepted: harder"]) for row in rows] == [
        ("word limits", 2, 1, 1),
        ("answers in a table", 0, 0, 0),
    ]
    assert AutoDetect().figure(found).axes
