"""Answers in many dresses: what is run of them, and whether it passes. Those of `code_answers.json` and more of our own."""

import json
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isheep_lib.benchmarks.code_blocks import parsed, readable, split
from isheep_lib.benchmarks.code_extraction import defines, extract_code
from isheep_lib.benchmarks.code_programs import humaneval_program, mbpp_program
from isheep_lib.sandbox.run import Limits, find_sandbox, run_programs

few = settings(max_examples=50, deadline=None)
FILE = json.loads((Path(__file__).parent / "code_answers.json").read_text(encoding="utf-8"))
HUMANEVAL, MBPP = FILE["humaneval_document"], FILE["mbpp_document"]
IMPORT, AREA, WRONG = "import math\n", "def area(r):\n    return math.pi * r * r\n", "def area(r):\n    return r\n"
GOOD = IMPORT + AREA
HELPED = "def area(r):\n    return math.pi * square(r)\n"
SQUARE = "def square(x):\n    return x * x\n"


def fenced(*texts, language="python"):
    return "So:\n\n" + "\n\nand then:\n\n".join(f"```{language}\n{text}```" for text in texts) + "\n\nDone."


def indented(text, by):
    return "".join(f"{by}{line}\n" for line in text.splitlines())


PASS = {
    "the import last": fenced(AREA, IMPORT),
    "the helper last": fenced(HELPED, SQUARE + IMPORT),
    "import, helper and function apart": fenced(IMPORT, SQUARE, HELPED),
    "a helper of a helper": fenced("def one(x):\n    return x\n", "def square(x):\n"
        "    return one(x) * one(x)\n", IMPORT, HELPED),
    "a constant apart": fenced("PI = 3.14159\n", "def area(r):\n    return PI * r * r\n"),
    "a table filled in a loop apart": fenced(
        "table = {}\nfor i in range(9):\n    table[i] = i * i\n", "import math\ndef area(r):\n    return math.pi * table[r]\n"
    ),
    "an import of everything apart": fenced("from math import *\n", "def area(r):\n    return pi * r * r\n"),
    "an import under another name": fenced("import math as m\n", "def area(r):\n    return m.pi * r ** 2\n"),
    "the helper beside a wrong draft": fenced(IMPORT + SQUARE + WRONG, HELPED),
    "the helper corrected at the end": fenced(IMPORT + "def square(x):\n    return x\n" + HELPED, SQUARE),
    "three drafts": fenced(WRONG, WRONG.replace("r\n", "2 * r\n"), GOOD),
    "a draft that is no Python": fenced("def area(r:\n    return\n", GOOD),
    "the correction cut off": fenced(GOOD) + "\n```python\ndef area(r):\n    return math.pi * (r",
    "an example last": fenced(GOOD, "r = float(input())\nprint(area(r))\n"),
    "an example with a name of its own": fenced(GOOD, "area = area(3)\nprint(area)\n"),
    "an example that imports it": fenced(GOOD, "from area import area\nprint(area(2))\n"),
    "an example that imports its module": fenced(GOOD, "import area\nprint(area.area(2))\n"),
    "an import of the answer itself": fenced("from math import tau\ndef circle(r):\n    return tau * r * r / 2\n"
        "import sys\nsys.modules['circles'] = type(sys)('circles')\nsys.modules['circles'].area = circle\n"
        "from circles import area\n"),
    "an example that fails": fenced("print(circle(2))\nassert False\n", GOOD, "raise ValueError\n"),
    "a test class last": fenced(GOOD, "import unittest\nclass T(unittest.TestCase):\n"
        "    def test(self): assert area(1)\nunittest.main()\n"),
    "an exit in an example": fenced(GOOD, "import sys\nsys.exit(area(1))\n"),
    "a session first": fenced(">>> round(area(1), 2)\n3.14\n", GOOD),
    "a session last": fenced(GOOD, ">>> round(area(1), 2)\n3.14\n"),
    "defined in a session": fenced(">>> import math\n>>> def area(r):\n...     return math.pi * r * r\n...\n"
        ">>> area(0)\n0.0\n"),
    "a shell first": fenced("pip install numpy\n", language="bash") + fenced(GOOD),
    "another language first": fenced("double area(double r) { return M_PI * r * r; }\n", language="c") + fenced(GOOD),
    "another language last": fenced(GOOD) + fenced("def area(r)\n  Math::PI * r * r\nend\n", language="ruby"),
    "output last": fenced(GOOD) + fenced("3.14\n", language="text") + fenced("area = 3\n", language="output"),
    "a table of contents": "1. import\n2. function\n" + fenced(GOOD),
    "no language": fenced(GOOD, language=""),
    "another word for Python": fenced(GOOD, language="python3.11"),
    "capitals": fenced(GOOD, language="Python"),
    "a session's language": fenced(">>> import math\n>>> def area(r):\n...     return math.pi * r * r\n", language="pycon"),
    "attributes": fenced(GOOD, language='{.python .numberLines startFrom="1"}'),
    "a file's name": fenced(GOOD, language="python:area.py"),
    "a language that is none": fenced(GOOD, language="solution"),
    "tildes": fenced(GOOD).replace("```", "~~~"),
    "four marks": fenced(GOOD).replace("```", "````"),
    "a space before the language": fenced(GOOD, language=" python"),
    "in a list": "1. Write:\n\n" + indented(f"```python\n{GOOD}```", "   ") + "2. Done.",
    "in a list, begun by the fence": f"1. ```python\n{indented(GOOD, '   ')}   ```",
    "in a list, moved unevenly": f"- Write:\n  ```python\n{indented(GOOD, '    ')}  ```",
    "in a list, not moved": f"- Write:\n    ```python\n{GOOD}    ```",
    "tabs before the fence": indented(f"```python\n{GOOD}```", "\t"),
    "in a quote": indented(f"```python\n{GOOD}```", "> "),
    "after words on one line": f"Here it is: ```python\n{GOOD}```",
    "closed on the last line": f"```python\n{GOOD.rstrip()}```\nDone.",
    "all on one line": "```python def area(r): return 3.14159 * r * r```",
    "never closed": f"```python\n{GOOD}",
    "never closed, then words": f"```python\n{GOOD}\nThis multiplies pi by the radius twice.",
    "never closed, cut in an example": f"```python\n{GOOD}\nprint(area(1",
    "begun before the answer": f"{GOOD}```\nThis is the area.",
    "begun before the answer, more after": f"{GOOD}```\nUse it:\n```python\nprint(area(2))\n```",
    "no fence": GOOD,
    "no fence, words around": f"The function is\n\n{GOOD}\nIt returns pi times r squared.",
    "no fence, words between": f"First import math:\nimport math\n\nThen define it:\n{AREA}\nThis returns the area.",
    "no fence, an example after": f"Sure!\n\n{GOOD}\nFor example:\n>>> area(0)\n0.0\n",
    "no fence, moved to the right": f"The function is\n\n{indented(GOOD, '    ')}\nIt returns the area.",
    "no fence, marks of another kind": f"[PYTHON]\n{GOOD}[/PYTHON]",
    "line ends of Windows": fenced(GOOD, "print(area(1))\n").replace("\n", "\r\n"),
    "line ends of old": fenced(GOOD).replace("\n", "\r"),
    "a mark of byte order at the start": "\ufeff" + fenced(GOOD),
    "a mark of byte order, no fence": "\ufeff" + GOOD,
    "spaces that do not break": fenced(GOOD.replace("    ", "\u00a0" * 4)),
    "wide spaces": fenced(GOOD.replace("    ", "\u3000")),
    "joiners within": fenced(GOOD.replace("return ", "return \u200d\u2060")),
    "a soft hyphen": fenced(GOOD.replace("math", "ma\u00adth")),
    "curly quotes in a docstring": fenced(IMPORT + 'def area(r):\n    """It’s “pi”."""\n    return math.pi * r * r\n'),
    "a fence in a docstring": fenced(IMPORT + 'def area(r):\n    """\n    ```\n    area(1)\n    ```\n    """\n'
        '    return math.pi * r * r\n'),
    "commands of a notebook": fenced("!pip install numpy\n%matplotlib inline\n" + GOOD),
    "decorated": fenced("from functools import lru_cache\n", "import math\n@lru_cache(maxsize=None)\n" + AREA),
    "a decorator of its own apart": fenced("def plain(f):\n    return f\n", "import math\n@plain\n" + AREA),
    "a lambda": fenced("import math\narea = lambda r: math.pi * r * r\n"),
    "another name": fenced("import math\ndef circle(r):\n    return math.pi * r * r\n\narea = circle\n"),
    "another name apart": fenced("import math\ndef circle(r):\n    return math.pi * r * r\n", "area = circle\n"),
    "made by a call": fenced("import math\ndef make():\n    return lambda r: math.pi * r * r\narea = make()\n"),
    "an object that is called": fenced("import math\nclass Area:\n    def __call__(self, r):\n"
        "        return math.pi * r * r\narea = Area()\n"),
    "defined where it can be": fenced("try:\n    import math\n    def area(r):\n        return math.pi * r * r\n"
        "except ImportError:\n    pass\n"),
    "annotations of the future": fenced(SQUARE, "from __future__ import annotations\nimport math\n"
        "def area(r: Number) -> Number:\n    return math.pi * square(r)\n"),
    "typing not imported": fenced(IMPORT + "from typing import Union\n", "def area(r: Union[int, float]) -> float:\n"
        "    return math.pi * r * r\n"),
    "thought aloud": f"<think>\n{fenced(WRONG)}\n</think>\n{fenced(GOOD)}",
    "thought aloud, begun before the answer": f"{fenced(WRONG)}\n</think>\n{fenced(GOOD)}",
    "thought aloud about the mark": f"<think>I close with `</think>`.\n{fenced(WRONG)}</think>{fenced(GOOD)}",
    "a signature first": fenced('def area(r: float) -> float:\n    """Area of a circle."""\n', GOOD),
    "a signature last": fenced(GOOD, "def area(r: float) -> float:\n    ...\n"),
    "a token after the fence": f"```python\n{GOOD}```<|im_end|>",
    "words after the fence": f"```python\n{GOOD}``` This is the area.",
    "quotes for a fence": f"'''python\n{GOOD}'''\nDone.",
    "a language without a fence": f"python\n{GOOD}",
    "all of a block moved to the right": fenced(indented("# the area\n" + GOOD, "    ")),
    "a title above": f"## Solution\n\n**Code**\n\n{fenced(GOOD)}\n\n## Notes\n\n- It is `math.pi * r * r`.\n",
    "global state apart": fenced("calls = 0\n", IMPORT + "def area(r):\n    global calls\n    calls += 1\n"
        "    return math.pi * r * r\n"),
    "a helper in the default of an argument": fenced("import math\ndef pi():\n"
        "    return math.pi\n", "def area(r, p=pi()):\n    return p * r * r\n"),
    "Greek letters": fenced("from math import pi as π\ndef area(ρ):\n    return π * ρ * ρ\n"),
    "Chinese words": f"先导入模块：\n```python\n{IMPORT}```\n然后定义函数：\n```python\n# 圆的面积\n{AREA}```\n完成。",
}  # fmt: skip
FAIL = {
    "wrong": fenced(IMPORT + WRONG),
    "the last one wrong": fenced(GOOD, WRONG),
    "only thought": f"<think>{fenced(GOOD)}</think>I cannot.",
    "never done thinking": f"<think>{fenced(GOOD)}",
    "a method": fenced("import math\nclass Solution:\n    def area(self, r):\n        return math.pi * r * r\n"),
    "asynchronous": fenced(IMPORT + "async " + AREA),
    "another name only": fenced(GOOD.replace("area", "circle")),
    "no Python": fenced("def area(r:\n"),
    "in another language": fenced("const area = r => Math.PI * r * r\n", language="js"),
    "words": "I am sorry.",
    "nothing": "",
    "a failing line beside it": fenced(GOOD + "\n1 / 0\n"),
    "words beside it": fenced(GOOD + "\nThis is the area.\n"),
    "reading input beside it": fenced(GOOD + "\nr = float(input())\n"),
    "ended in the middle": "```python\nimport math\ndef area(r):\n    return math.pi * (r",
}
OWN = {**dict.fromkeys(PASS, True), **dict.fromkeys(FAIL, False)}
GIVEN = {row["name"]: row["passes"] for row in FILE["answers"]}
ANSWERS = {**{row["name"]: row["answer"] for row in FILE["answers"]}, **PASS, **FAIL}
FORMS = {"humaneval": (humaneval_program, HUMANEVAL), "mbpp": (mbpp_program, MBPP)}


@pytest.fixture(scope="module")
def outcomes():
    own = {("humaneval", name): humaneval_program(HUMANEVAL, answer, True) for name, answer in (PASS | FAIL).items()}
    of_file = {
        (form, row["name"]): program(doc, row["answer"], True)
        for form, (program, doc) in FORMS.items()
        for row in FILE["answers"]
    }
    return run_programs(own | of_file, find_sandbox() or "unconfined", Limits(seconds=20.0, cpu_seconds=1))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("name", "passes"), GIVEN.items())
def test_an_answer_of_the_file_is_graded_as_it_should_be(outcomes, form, name, passes):
    assert outcomes[form, name].passed == passes, outcomes[form, name]


@pytest.mark.parametrize(("name", "passes"), OWN.items())
def test_an_answer_is_graded_in_every_dress(outcomes, name, passes):
    assert outcomes["humaneval", name].passed == passes, (outcomes["humaneval", name], extract_code(ANSWERS[name], ["area"]))


@pytest.mark.parametrize("name", ANSWERS)
def test_an_answer_to_mbpp_is_read_like_one_to_humaneval(name):
    code = mbpp_program(MBPP, ANSWERS[name], True).code
    assert code == extract_code(ANSWERS[name], ["area"])
    whole = humaneval_program(HUMANEVAL, ANSWERS[name], True).code
    assert not defines(code, "area") or whole.endswith(code.removeprefix("from __future__ import annotations\n"))


def test_no_dress_is_lost():
    assert len(ANSWERS) == len(GIVEN) + len(PASS) + len(FAIL) > 100


def area(code):
    """Run code of our own and return what it defines."""
    names = {"__name__": "answer"}
    exec(code, names)
    return names["area"]


ENTRY = "def area(r):\n    return PI * square(r)\n"
USAGE = [
    "print(area(2))\n",
    "assert False\n",
    "r = 3\nresult = circle(r)\n",
    ">>> area(1)\n3.14\n",
    "import sys\nsys.exit()\n",
    WRONG,
]


@few
@given(
    st.permutations(["import math\nPI = math.pi\n", SQUARE, ENTRY]),
    st.lists(st.tuples(st.integers(0, 3), st.sampled_from(USAGE)), max_size=4),
    st.sampled_from(["```", "~~~", "````"]),
    st.sampled_from(["python", "", "py title='x'", "Python3"]),
    st.sampled_from(["\n", "\r\n"]),
    st.sampled_from(["", "  ", "> "]),
    st.booleans(),
    st.booleans(),
)
def test_however_an_answer_is_cut_into_blocks_its_last_function_is_found(
    parts, usage, mark, language, end, margin, closed, order_mark
):
    texts = list(parts)
    for place, text in usage:
        texts.insert(min(place, texts.index(ENTRY)), text)
    blocks = [f"{mark}{language}\n{text}{mark}\n" for text in texts]
    if not closed:
        blocks[-1] = blocks[-1].removesuffix(f"{mark}\n")
    lines = "Words here.\n".join(["", *blocks]).split("\n")
    answer = ("\ufeff" if order_mark else "") + "".join(f"{margin}{line}{end}" for line in lines)
    assert abs(area(extract_code(answer, ["area"]))(1) - 3.14159) < 1e-3


@few
@given(
    st.text(alphabet="`~> \n\r\tabpython:=()#'\"\\@\ufeff\u200b\u00a0\u2028<>/tkih1.", max_size=80),
    st.sampled_from(["a", "python"]),
)
def test_any_text_is_read(answer, name):
    blocks, prose = split(answer)
    code = extract_code(answer, [name])
    assert code in ("", answer) or defines(code, name) or blocks
    assert len(code) <= 2 * len(answer) + 1
    assert len(prose) <= 2 * len(answer) + 1


@few
@given(st.sampled_from(sorted(ANSWERS)))
def test_what_was_extracted_is_extracted_again(name):
    code = extract_code(ANSWERS[name], ["area"])
    if defines(code, "area") and parsed(code) is not None:
        assert extract_code(f"````python\n{code}````", ["area"]) == code


@few
@given(st.text(alphabet="ab = \n'\"#\u00a0\u200b\ufeff()", max_size=40))
def test_only_what_becomes_python_is_changed_and_never_what_is(text):
    changed = readable(text)
    assert changed == text or (parsed(text) is None and parsed(changed) is not None)


def test_characters_in_strings_and_comments_stay_when_others_go():
    code = "x = 'a\u00a0b\u200b'  # c\u00a0d\ny\u00a0=\u200b 1\n"
    assert readable(code) == "x = 'a\u00a0b\u200b'  # c\u00a0d\ny = 1\n"


@pytest.mark.parametrize(
    "answer",
    [
        "```python\n" * 1000,
        "```\n" * 1000,
        "```python\ndef area(r:\n" + "def area(r:\n" * 1000,
        "def area(r:\n" * 1000,
        "def area(r):\n    return (\n" * 500,
        "```python\nx = '''\n```\n" * 1000,
        "```python\ndef area(r):\n    return square(r)\n```\n" * 500,
        "".join(f"```python\ndef f{i + 1}(r): return f{i}(r)\n```\n" for i in range(500))
        + "```python\ndef area(r): return f500(r)\n```",
        "area " * 50_000,
        "`" * 100_000,
        "> " * 50_000,
        "1. " * 50_000,
        "(" * 50_000,
        '```python\nx = "' + "\\" * 100_000,
    ],
    ids=range(14),
)
def test_a_long_answer_is_read_in_seconds(answer):
    began = time.process_time()
    extract_code(answer, ["area"])
    assert time.process_time() - began < 5
