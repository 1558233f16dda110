"""LLM2LLM: answers are checked, only wrongly answered seeds are written from, and most answers must say what was written."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isheep_lib.errors import DataError, ParameterError, YieldError
from isheep_lib.params.check import check
from isheep_lib.prompting.prompt_files import open_prompts
from isheep_lib.record.rows import Task
from isheep_lib.synthesize.extras.own import files_of
from isheep_lib.synthesize.feedback.checking import agreeing, is_checkable, says
from isheep_lib.synthesize.feedback.mistakes import Seen, labels_of, read_pair
from isheep_lib.synthesize.methods.feedback.llm2llm import LLM2LLM
from isheep_lib.synthesize.params import Synthesize
from tests.scripted import ScriptedEngine
from tests.writings import writing

SEEDS = [
    Task("seed-0", "Add 3 and 4.", output="7", kind="number"),
    Task("seed-1", "Name the river that flows through Cairo.", output="Nile", kind="fact"),
]
NEW = "Task: What is the sum of 12 and 30?\nAnswer: 42"
LABELS = ("Task:", "Answer:")


@pytest.mark.parametrize(
    ("task", "said", "right"),
    [
        (Task("", "Add.", output="7"), "3 + 4 = 7", True),
        (Task("", "Add.", output="7"), "It is 7.0.", True),
        (Task("", "Add.", output="7"), "7 and then 8", False),
        (Task("", "Add.", output="7"), "seven", False),
        (Task("", "Half?", output="1/2"), "The answer is 0.5", True),
        (Task("", "Which river?", output="Nile"), "It is the NILE, I think.", True),
        (Task("", "Which river?", output="Nile"), "The Niles.", False),
        (Task("", "Which river?", output="White Nile"), "The Nile is white.", False),
        (Task("", "Give the third word.", "No rain fell.", output="fell"), "fell", True),
        (Task("", "Give the third word.", "No rain fell.", output="fell"), "No rain fell.", False),
        (Task("", "When?", output="20:20"), "At 20:20 in the evening.", True),
        (Task("", "Which river?", output="Nile"), "<think>Nile</think>The Rhine.", False),
        (Task("", "Which river?", output=""), "", False),
        (Task("", "首都？", output="北京"), "首都是北京。", True),
    ],
)
def test_an_answer_is_right_where_it_gives_the_number_or_the_words(task, said, right):
    assert says(task, said) is right


@given(st.integers(-999, 999), st.integers(-999, 999))
def test_another_number_is_never_right(known, given_):
    assert says(Task("", "Add.", output=str(known)), f"The answer is {given_}.") is (known == given_)


@pytest.mark.parametrize(
    ("answer", "known"),
    [("7", True), ("20:20", True), ("the White Nile", True), ("", False), ("a\nb", False), ("x " * 13, False)],
)
def test_what_code_can_check_is_a_number_or_a_few_words_on_a_line(answer, known):
    assert is_checkable(answer) is known


def test_of_answers_that_agree_those_that_ended_come_first():
    rows = [{"output": text, "finish": end} for text, end in (("7", "length"), ("8", "end"), ("7.", "end"), ("it is 7", "end"))]
    assert agreeing(SEEDS[0], rows) == [2, 3, 0]


@pytest.mark.parametrize(
    ("said", "pair"),
    [
        (NEW, ("What is the sum of 12 and 30?", "42")),
        ("**Task:** Add 1.\n\n**Answer:** 2", ("Add 1.", "2")),
        ("Sure!\nTask: Add 1.\nAnswer: 2\nTask: Add 5.\nAnswer: 9", ("Add 1.", "2")),
        ("Add 1 to 1.\nAnswer: 2", ("Add 1 to 1.", "2")),
        ("Task: Add 1.", ("Add 1.", "")),
        ("task： Add\n1.\nanswer： 2", ("Add\n1.", "2")),
        ("", ("", "")),
    ],
)
def test_the_first_task_of_a_text_is_read_with_its_answer(said, pair):
    assert read_pair(said, LABELS) == pair


@pytest.mark.parametrize(("language", "labels"), [("en", LABELS), ("zh", ("任务：", "答案："))])
def test_the_labels_are_the_last_two_lines_of_the_prompt_in_its_language(language, labels, tmp_path):
    params = Synthesize(method="llm2llm")
    made = replace(writing(ScriptedEngine(), tmp_path, params, SEEDS), prompts=open_prompts(language))
    assert labels_of(LLM2LLM().prompt(made, Seen(SEEDS[0], "8", False), [])) == labels
    assert read_pair(f"{labels[0]} 把1和2相加。\n{labels[1]} 3", labels) == ("把1和2相加。", "3")


class Model(ScriptedEngine):
    """Answers the second seed rightly; writes tasks from a list; gives these votes to each; stops after some answers."""

    def __init__(self, tasks=(NEW,), votes=("42", "It is 42.", "41", "42", "40"), lives=10**6, right=("Nile",)):
        super().__init__(self.say)
        self.tasks, self.votes, self.lives, self.right = list(tasks), votes, lives, right

    def say(self, request):
        if len(self.asked) > self.lives:
            raise IndexError
        if request.id.endswith("/answer"):
            return {"seed-0/answer": "8", "seed-1/answer": "Nile"}[request.id]
        if "-a" in request.id or request.id == "example-a0":
            return self.votes[int(request.id.rpartition("a")[2])]
        if request.id == "example":
            return self.tasks[0]
        return self.tasks[int(request.id.split("-")[1].removeprefix("g")) - 1]


def write(engine, folder, method=None, seeds=SEEDS, **options):
    params = Synthesize(
        method="llm2llm", min_instructions=1, instructions=3, max_rouge=0.95, options={"rounds": 1, "kinds": [], **options}
    )
    return LLM2LLM().write(writing(engine, folder, params, seeds))


def test_only_wrongly_answered_seeds_are_written_from_and_the_first_agreeing_answer_is_learned(tmp_path):
    engine = Model()
    found = write(engine, tmp_path)
    (row,) = found.accepted
    assert (row["id"], row["instruction"], row["output"]) == ("i1-g1-000-0", "What is the sum of 12 and 30?", "42")
    lineage = {"parents": ["seed-0"], "operator": "similar", "round": 1, "skill": "number", "written_answer": "42"}
    assert {name: row[name] for name in lineage} == lineage
    assert (row["agreeing"], row["votes"], found.dropped) == (3, 5, [])
    assert [(r["id"], r["right"], r["said"]) for r in files_of(found)["seed_answers.jsonl"]] == [
        ("seed-0", False, "8"),
        ("seed-1", True, "Nile"),
    ]
    assert found.tokens == 20 + 10 + 40, "both seeds, the new task, and four votes beside the answer that is learned"
    assert [r.temperature for r in engine.asked if r.id.endswith("/answer")] == [0.0, 0.0]
    (asked,) = [r.prompt for r in engine.asked if r.id == "i1-g1-000-0"]
    assert "Add 3 and 4." in asked and "Right answer: 7" in asked and "Cairo" not in asked


def test_new_tasks_are_never_written_from(tmp_path):
    other = "Task: How many legs have three dogs together?\nAnswer: 12"
    engine = Model([NEW, other], votes=("42", "42", "42", "12", "12"))
    write(engine, tmp_path, rounds=2)
    assert [r.id for r in engine.asked if r.id.startswith("i1-g2") and "-a" not in r.id] == ["i1-g2-000-0"]
    assert all("sum of 12" not in r.prompt for r in engine.asked if r.id == "i1-g2-000-0")


@pytest.mark.parametrize(
    ("task", "votes", "reason", "detail"),
    [
        (NEW, ("42", "41", "40", "42", "39"), "disagrees", "2 of 5 say 42"),
        ("Task: What is the sum of 12 and 30?", (), "no_answer", ""),
        ("Task: Add 3 and 4!\nAnswer: 7", (), "same_task", ""),
        ("Task: What is the sum of 12 and 30?\nAnswer: forty two", (), "not_checkable", "forty two"),
        ("", (), "empty", ""),
        ("Task: See https://x.example for what to add.\nAnswer: 4", (), "url", ""),
    ],
)
def test_a_task_is_dropped_with_its_reason(tmp_path, task, votes, reason, detail):
    whole = "Task: How many legs have three dogs together?\nAnswer: 12"
    engine = Model([task, whole], votes=votes or ("12", "12", "12", "12", "12"))
    if votes:
        with pytest.raises(YieldError, match=rf"1 {reason}"):
            write(engine, tmp_path)
    else:
        (row,) = write(engine, tmp_path, rounds=2).dropped
        assert (row["reason"], row["detail"], row["parents"], row["raw"]) == (reason, detail, ["seed-0"], task)


def test_a_task_that_never_agrees_stops_with_reasons_and_examples(tmp_path):
    with pytest.raises(YieldError, match=r"(?s)operator similar, which failed every time.*24 disagrees\s+such as 'What is"):
        write(Model(votes=("1", "2", "3", "4", "5")), tmp_path, per_seed=24)


def test_where_every_seed_is_answered_rightly_there_is_nothing_to_learn(tmp_path):
    with pytest.raises(YieldError, match="Only 0 of 1 seeds answered wrongly"):
        write(Model(), tmp_path, seeds=SEEDS[1:])


def test_a_killed_writing_is_resumed_and_asks_only_for_the_rest(tmp_path):
    whole = write(Model(), tmp_path / "whole")
    for life in (1, 2, 4, 7):
        with pytest.raises(IndexError):
            write(Model(lives=life), tmp_path / str(life))
        rest = Model()
        assert write(rest, tmp_path / str(life)) == whole
        assert len(rest.asked) == 8 - life


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ('{"instruction": "Add 3 and 4.", "kind": "number"}', "(?s)The answers to 1 seed task.*seed-001: it has no output"),
        ('{"instruction": "Write.", "kind": "text", "output": "a\\nb"}', "The answers to 1 seed task"),
        ('{"instruction": "Sing a song.", "kind": "creative", "output": "7"}', "No seed task is of the kind number or fact"),
    ],
)
def test_seeds_without_a_checkable_output_are_refused_at_the_plan(tmp_path, row, said):
    path = tmp_path / "seeds.jsonl"
    path.write_text(row + "\n")
    with pytest.raises(DataError, match=said):
        Synthesize(method="llm2llm", seeds=str(path), language="any").data_digests()


def test_contradictions_are_named_all_at_once():
    options = {"votes": 4, "min_votes": 2}
    with pytest.raises(ParameterError) as caught:
        check(Synthesize, {"method": "llm2llm", "options": options, "answers": 2, "response_temperature": 0.0}, "x")
    for said in ("options.min_votes: must be more than half of the 4 votes", "options.votes: at response_temperature 0"):
        assert said in str(caught.value)
    assert "min_votes: must be at most votes" in str(Synthesize(method="llm2llm", options={"min_votes": 9}).conflicts())


def test_one_candidate_is_shown_step_by_step_and_weaknesses_are_told_by_kind(tmp_path):
    params = Synthesize(method="llm2llm", min_instructions=1, options={"kinds": [], "rounds": 1})
    shown = LLM2LLM().example(writing(Model(), tmp_path, params, SEEDS))
    steps = {row["step"]: row["text"] for row in shown.rows}
    assert (steps["known"], steps["said"], steps["written answer"], steps["agreeing"]) == ("7", "8", "42", "3")
    assert steps["verdict"] == "nothing against it"
    found = write(Model(), tmp_path / "more")
    rows = {row["skill"]: row for row in LLM2LLM().evidence(found).rows}
    assert (rows["number"]["answered wrongly"], rows["number"]["accepted"]) == (1, 1)
    assert (rows["fact"]["answered wrongly"], rows["fact"]["written"]) == (0, 0)
    assert LLM2LLM().figure(found).axes
