"""CMMLU and C-Eval: a file of one's own in the hub's columns, asked and graded by lm-eval's own tasks."""

import pytest

from isheep_lib.benchmarks.catalogue import BENCHMARKS
from isheep_lib.benchmarks.data import open_suite
from isheep_lib.benchmarks.lm_eval_model import EngineLM
from isheep_lib.benchmarks.lm_eval_tasks import benchmark_of, prompts, run
from isheep_lib.errors import DataError
from isheep_lib.record.journal import Journal
from isheep_lib.record.rows import write_jsonl
from tests.frames import hand_made
from tests.scripted import ScriptedEngine

ASKED = {"cmmlu": ("Question", "Answer"), "ceval-valid": ("question", "answer")}
SUBJECTS = {"cmmlu": ("agronomy", "world_history"), "ceval-valid": ("accountant", "high_school_history")}
CHOICES = {"A": "春天", "B": "夏天", "C": "秋天", "D": "冬天"}
FRAME = hand_made("plain", "", "\n", "END")


def own_file(folder, name):
    question, answer = ASKED[name]
    rows = [
        {"subject": subject, question: f"第{number}题：哪个季节最冷？", **CHOICES, answer: right}
        for number, (subject, right) in enumerate(zip(SUBJECTS[name] * 2, "DDAD", strict=True))
    ]
    write_jsonl(folder / "own.jsonl", rows)
    return str(folder / "own.jsonl")


@pytest.mark.parametrize("name", ASKED)
def test_a_file_of_ones_own_is_asked_and_graded_by_lm_evals_task(tmp_path, name):
    chosen = open_suite([name], [f"{name}={own_file(tmp_path, name)}"], 0).of("choice")
    engine = ScriptedEngine(fits=lambda text: text.strip().endswith("D"))
    with Journal(tmp_path / "scores.jsonl", "f") as journal:
        rows = run(chosen, EngineLM(engine, FRAME, journal, len), False)[name]
    assert [row["id"] for row in rows] == ["00000", "00001", "00002", "00003"]
    assert [row["gold"] for row in rows] == [3, 3, 0, 3]
    assert [row["scores"]["acc"] for row in rows] == [1.0, 1.0, 0.0, 1.0]


@pytest.mark.parametrize("name", ASKED)
def test_the_question_is_lm_evals_own(tmp_path, name):
    chosen = open_suite([f"{name}:1"], [f"{name}={own_file(tmp_path, name)}"], 0).of("choice")
    asked = prompts(chosen, False)[name]
    assert f"⟨{ASKED[name][0]}⟩\nA. " in asked and "答案：" in asked and "单项选择题" in asked


@pytest.mark.parametrize("name", ASKED)
def test_the_subject_which_the_hub_names_apart_is_needed(tmp_path, name):
    question, answer = ASKED[name]
    write_jsonl(tmp_path / "own.jsonl", [{question: "哪个季节最冷？", **CHOICES, answer: "D"}])
    with pytest.raises(DataError, match="no subject"):
        open_suite([name], [f"{name}={tmp_path / 'own.jsonl'}"], 0)


def test_each_subjects_task_is_its_benchmarks():
    assert benchmark_of("cmmlu_ancient_chinese") is BENCHMARKS["cmmlu"]
    assert benchmark_of("ceval-valid_high_school_history") is BENCHMARKS["ceval-valid"]
