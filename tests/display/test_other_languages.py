"""Beside a run in another language every table and figure says that a benchmark is in English; in an English run nothing."""

from dataclasses import replace
from pathlib import Path

import pytest

from isheep_lib.ablate.table import Row, Side, figure
from isheep_lib.ablate.verdict import _rows
from isheep_lib.analysis.collapse import SIGNS
from isheep_lib.analysis.lengths import compare_lengths
from isheep_lib.analysis.significance import compare
from isheep_lib.benchmarks.catalogue import BENCHMARKS
from isheep_lib.benchmarks.comparison import Compared, Evaluated, compare_models
from isheep_lib.benchmarks.data import Chosen, Suite
from isheep_lib.display import evaluation_tables, figures, judge_tables, outcomes, run_figures, verdicts
from isheep_lib.judge.run import Answered
from isheep_lib.paper.reproduction import measured_tables
from isheep_lib.paper.runs import Measured, Run

LANGUAGES = ["en", "zh", ["en", "zh"], "any"]
SAID = {"en": "", "zh": " (in English)", ("en", "zh"): "", "any": " (in English)"}
VALUE = {"value": 50.0, "standard_error": 5.0, "items": 20}


def mark(language):
    return SAID[language if isinstance(language, str) else tuple(language)]


def metrics(language):
    accuracy = {mode: {"seen": VALUE, "unseen": VALUE} for mode in ("strict", "loose")}
    task = {"metric": "prompt_strict", "subset": "20 of 541 (seed 0)", "digest": "d", "trained_on": 0, "clean": {}}
    task |= {"values": {"prompt_strict": VALUE}, "practised": {"types": ["a"], **accuracy}}
    task |= {"without_chance": {"prompt_strict": VALUE}, "types": {"a": {"items": 20, "strict": 50.0, "loose": 50.0}}}
    spoken = {} if language == "en" else {"language": language}
    return {"tasks": {"ifeval": task}, "absent": {"piqa": "no data"}, "signs": {}, "frame": "f"} | spoken


def compared(language):
    values = [{str(i): [float(i < right)] for i in range(20)} for right in (5, 15)]
    return Compared("M_0", "M_1", {"ifeval": compare(*values)}, {"piqa": "other items"}, language)


def signed(language):
    return metrics(language) | {"signs": dict.fromkeys(SIGNS, 0.5) | {"answers": 20}}


OPEN = Suite([Chosen(BENCHMARKS["ifeval"], [], 0, "", "", 0)], {})
ANSWERS = {"ifeval": [{"id": "1", "answer": "Said.", "scores": {}}]}


def words(told):
    return f"{told!r}"


SHOWN = {
    "scores": lambda language: words(evaluation_tables.scores_table(metrics(language))),
    "results": lambda language: words(evaluation_tables.results_table({0: metrics(language)})),
    "types": lambda language: words(evaluation_tables.types_table(metrics(language))),
    "practice": lambda language: words(evaluation_tables.practice_table(metrics(language), {})),
    "comparisons": lambda language: words(evaluation_tables.comparison_table([compared(language)])),
    "outcome": lambda language: words(outcomes.of_evaluation("M_1", metrics(language), [compared(language)])),
    "verdict": lambda language: words(verdicts.of_run([compared(language)], None)),
    "tests": lambda language: words(verdicts.tests([compared(language)])),
    "lengths": lambda language: verdicts.of_run([compared(language)], compare_lengths({"a": 9}, {"a": 5})).said.splitlines()[
        -2
    ],
    "signs": lambda language: words(evaluation_tables.signs_table(signed(language))),
    "drift": lambda language: words(evaluation_tables.drift_table({0: signed(language), 1: signed(language)})),
    "open answers": lambda language: words(evaluation_tables.answers_table(OPEN, ANSWERS, 1, 0, language)),
    "what changed": lambda language: ticks(run_figures.differences([compared(language)])),
    "scores drawn": lambda language: ticks(figures.scores(metrics(language), None)),
    "scores over iterations": lambda language: ticks(figures.scores_over_iterations({0: metrics(language)})),
    "sweep drawn": lambda language: ticks(figure([point(language)])),
    "judged": lambda language: words(judge_tables.opened_table([Answered("mt_bench", [], {}, 80, language)], JUDGE)),
    "judge's caption": lambda language: judge_tables.caption({0: {"judge": JUDGE, "mt_bench": {}, "language": language}}),
    "a cell of the paper": lambda language: words(measured_tables("7", Measured((run(language),)))[0]),
}
JUDGE = {"name": "j", "local": False, "verdicts": "written"}


def ticks(drawn):
    axes = drawn.axes
    said = [label.get_text() for axis in axes for label in axis.get_yticklabels()]
    return " ".join(
        [*said, *(axis.get_title(loc) for axis in axes for loc in ("left", "center")), *(axis.get_xlabel() for axis in axes)]
    )


def point(language):
    model = Evaluated("M_1", metrics(language)["tasks"], lambda name: [], language)
    return Row(Side("s", [model], {"b"}, {"f"}, [9], ["w"]), 1, "ifeval", VALUE, [50.0], "", "")


def run(language):
    task = {"metric": "acc", "subset": "20 of 3270", "digest": "d", "values": {"acc": VALUE}}
    found = {k: {"tasks": {"boolq": task}, "frame": "f"} for k in range(3)}
    values = {"synthesize": {"language": language}}
    return Run("one_base", "r", Path("r"), "m", "d", found, {}, {}, values)


@pytest.mark.parametrize("language", LANGUAGES, ids=str)
@pytest.mark.parametrize("place", SHOWN)
def test_a_benchmark_in_another_language_than_the_run_is_marked_wherever_it_is_shown(place, language):
    shown = SHOWN[place](language)
    assert ("(in English)" in shown) == bool(mark(language)), shown


@pytest.mark.parametrize("place", ["scores", "outcome", "comparisons", "verdict"])
def test_what_is_left_out_is_marked_as_well(place):
    assert "PIQA (in English)" in SHOWN[place]("zh")


def test_a_row_of_a_sweep_is_marked_by_the_language_of_its_own_point():
    rows = [point("en"), point("zh")]
    rows[1] = replace(rows[1], side=replace(rows[1].side, label="t"))
    tests = {(row.side.label, 1, "ifeval"): compared("en").found["ifeval"] for row in rows}
    assert [row["benchmark"] for row in _rows(tests, "the base model", rows)] == ["IFEval", "IFEval (in English)"]
    assert "IFEval / IFEval (in English)" in ticks(figure(rows))


def test_two_evaluations_of_one_run_are_compared_in_its_language():
    model = Evaluated("M_0", {}, lambda name: [], "zh")
    assert compare_models(model, replace(model, name="M_1")).language == "zh"
