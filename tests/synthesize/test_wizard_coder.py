"""WizardCoder: tests of the model's own are read and run, and decide by hand-worked examples which answers are kept."""

import pytest

from isheep_lib.errors import DataError, YieldError
from isheep_lib.record.journal import Journal
from isheep_lib.record.rows import Task
from isheep_lib.sandbox.run import find_sandbox
from isheep_lib.synthesize.evolving.unit_tests import Checked, main_function, read_tests, run_tests, signature
from isheep_lib.synthesize.methods.evolution import wizard_coder
from isheep_lib.synthesize.methods.evolution.wizard_coder import OPERATORS, WizardCoder
from isheep_lib.synthesize.params import Synthesize
from tests.scripted import ScriptedEngine
from tests.writings import writing

sandboxed = pytest.mark.skipif(not find_sandbox(), reason="bubblewrap does not work here")
SEEDS = [Task("seed-0", "Write a Python function `double(x)` that doubles a number.", kind="code"), Task("seed-1", "Sing.")]
WHOLE = "Write a Python function `double(x)` that doubles a number and leaves None as it is."
CODE = "```python\ndef double(x):\n    return None if x is None else 2 * x\n```"
TESTS = "```python\nassert double(2) == 4\nassert double(0) == 0\nassert double(None) is None\n```"
OVERRIDES = {"method": "wizard_coder", "min_instructions": 1, "instructions": 9, "instruction_rules": False}


def evolve(engine, folder, seeds=SEEDS, **options):
    params = Synthesize(**OVERRIDES, options={"rounds": 1, "operators": ["misdirect"], "weights": [], **options})
    return WizardCoder().write(writing(engine, folder, params, seeds))


@pytest.mark.parametrize(
    ("code", "task", "name"),
    [
        ("def f(x):\n    return x\n", "Copy.", "f"),
        ("def help_(x):\n    return x\n\n\ndef f(x):\n    return help_(x)\n", "Copy.", "f"),
        ("def f(x):\n    return x\n\n\ndef main():\n    print(f(1))\n", "Write `f(x)` that copies.", "f"),
        ("def f(n):\n    return f(n - 1) if n else 0\n", "Count down.", "f"),
        ("x = 1\n", "Copy.", ""),
        ("def f(:\n", "Copy.", ""),
        ("", "Copy.", ""),
    ],
)
def test_the_function_that_answers_is_one_that_the_task_names_or_that_no_other_calls(code, task, name):
    assert main_function(code, task) == name


def test_a_signature_is_the_first_line_alone():
    assert signature("import os\n\ndef f(a, *, b: int = 1):\n    return 'secret'\n", "f") == "def f(a, *, b: int=1):"


@pytest.mark.parametrize(
    ("said", "read"),
    [
        (TESTS, ["assert double(2) == 4", "assert double(0) == 0", "assert double(None) is None"]),
        ("assert double(2) == 4\nassert double( 2 )==4", ["assert double(2) == 4"]),
        ("Here you are:\nassert double(2) == 4\nand so on", ["assert double(2) == 4"]),
        ("def test():\n    assert double(1) == 2, 'why'\n    x = 3\n    assert double(x) == 6\n", ["assert double(1) == 2"]),
        ("assert True\nassert 4 == 4\nassert double", []),
        ("assert double(2) == triple(2)", []),
        ("assert double(2) ==", []),
        ("assert max(double(1), 1) == 2", ["assert max(double(1), 1) == 2"]),
        ("<think>assert double(2) == 5</think>assert double(2) == 4", ["assert double(2) == 4"]),
        ("", []),
    ],
)
def test_assertions_are_read_that_call_the_function_and_name_nothing_else(said, read):
    assert read_tests(said, "double") == read


@sandboxed
def test_what_passes_has_its_tests_and_its_lineage_and_the_tests_do_not_see_the_functions_body(tmp_path):
    engine = ScriptedEngine([WHOLE, CODE, TESTS])
    found = evolve(engine, tmp_path)
    (row,) = found.accepted
    assert (row["instruction"], row["output"], row["operator"], row["generation"]) == (WHOLE, CODE, "misdirect", 1)
    assert (row["parents"], row["tests"]) == (["seed-0"], read_tests(TESTS, "double"))
    assert found.tokens == 20, "of the rewriting and of the tests; those of the response are counted with it"
    assert "def double(x):" in engine.asked[2].prompt
    assert "return None if" not in engine.asked[2].prompt


@sandboxed
@pytest.mark.parametrize(
    ("code", "tests", "reason", "detail"),
    [
        ("I would multiply by two.", None, "no_function", ""),
        (CODE, "It works.", "too_few_tests", "0 read"),
        (CODE, "assert double(2) == 4", "too_few_tests", "1 read"),
        (CODE, "assert double(2) == 5\nassert double(0) == 0", "fails_tests", "failed: AssertionError"),
        (CODE.replace("2 *", "3 *"), TESTS, "fails_tests", "failed: AssertionError"),
        (CODE, "assert double(None) is None\nassert not double(0)", "trivial_tests", ""),
        ("```python\ndef double(x):\n    raise SystemExit\n```", TESTS, "fails_tests", "exit"),
    ],
)
def test_an_answer_is_dropped_for_this_reason(tmp_path, code, tests, reason, detail):
    said = [WHOLE, code, *([tests] if tests is not None else [])]
    with pytest.raises(YieldError, match=f"1 {reason}"):
        evolve(ScriptedEngine(said), tmp_path)
    (row,) = evolve(ScriptedEngine([*said, WHOLE, CODE, TESTS]), tmp_path / "more", rounds=2).dropped
    assert (row["reason"], row["output"]) == (reason, code)
    assert row["detail"].startswith(detail)


@sandboxed
def test_a_function_that_fails_is_dropped_and_one_that_passes_is_kept_and_not_the_other_way_round(tmp_path):
    tested = {
        "right": Checked("def one(): return 1", "one", ["assert one() == 1"]),
        "wrong": Checked("def one(): return 2", "one", ["assert one() == 1"]),
    }
    with Journal(tmp_path / "j.jsonl", "f") as journal:
        found = run_tests(tested, "bubblewrap", journal)
    assert (found["right"].passed, found["wrong"].passed) == (True, False)
    with Journal(tmp_path / "j.jsonl", "f") as journal:
        assert run_tests(tested, "no method at all", journal) == found, "nothing runs again"


@sandboxed
def test_a_killed_writing_is_resumed_and_asks_only_for_the_rest(tmp_path):
    said = [WHOLE, CODE, TESTS]
    whole = evolve(ScriptedEngine(said), tmp_path / "whole")
    for life in range(3):
        with pytest.raises(IndexError):
            evolve(ScriptedEngine(said[:life]), tmp_path / str(life))
        rest = ScriptedEngine(said[life:])
        assert evolve(rest, tmp_path / str(life)) == whole
        assert len(rest.asked) == 3 - life


def test_seeds_without_a_programming_task_are_refused_at_the_plan_with_the_kinds_that_there_are(tmp_path):
    path = tmp_path / "seeds.jsonl"
    path.write_text('{"instruction": "Sing a short song.", "kind": "creative"}\n')
    params = Synthesize(**OVERRIDES, seeds=str(path))
    with pytest.raises(DataError, match=r"(?s)No seed task is of the kind code.*creative.*options\.kinds"):
        params.data_digests()
    assert Synthesize(**OVERRIDES, seeds="seeds/tasks.jsonl").data_digests()["seeds"]


def test_a_machine_without_a_sandbox_is_told_at_the_plan_and_unconfined_programs_are_a_choice(monkeypatch):
    monkeypatch.setattr("isheep_lib.sandbox.run.find_sandbox", lambda: "")
    with pytest.raises(DataError, match="no sandbox"):
        Synthesize(**OVERRIDES).data_digests()
    assert Synthesize(**OVERRIDES, options={"code_sandbox": "unconfined"}).data_digests()["seeds"]


def test_contradictions_are_named_all_at_once():
    params = Synthesize(**OVERRIDES, answers=2, options={"min_tests": 4, "weights": [1.0]})
    problems = "\n".join(params.conflicts())
    assert "options.weights: 1 for 5 operators" in problems
    assert "options.min_tests: must be at most tests" in problems
    assert "answers: the method wizard_coder decides itself" in problems


def test_every_operator_has_a_prompt_of_its_own_with_the_task_and_complexity_is_asked_for_sparingly(tmp_path):
    own = writing(ScriptedEngine([]), tmp_path, Synthesize(method="wizard_coder"), SEEDS)
    prompts = {WizardCoder().prompt(own, SEEDS[0], operator) for operator in OPERATORS}
    assert len(prompts) == 5 and all(SEEDS[0].instruction in prompt for prompt in prompts)
    options = WizardCoder.Options()
    weights = dict(zip(options.operators, options.weights, strict=True))
    assert weights["raise_complexity"] == min(weights.values()) < weights["misdirect"]
    assert tuple(options.operators) == wizard_coder.OPERATORS


@sandboxed
def test_one_candidate_is_shown_step_by_step(tmp_path):
    params = Synthesize(**OVERRIDES, options={"operators": ["misdirect"], "weights": []})
    shown = WizardCoder().example(writing(ScriptedEngine([WHOLE, CODE, TESTS]), tmp_path, params, SEEDS))
    steps = {row["step"]: row["text"] for row in shown.rows}
    assert (steps["is"], steps["output"], steps["verdict"]) == (WHOLE, CODE, "nothing against it")
    assert "assert double(2) == 4" in steps["tests"]
