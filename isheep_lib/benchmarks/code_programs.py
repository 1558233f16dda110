"""From a model's answer to the program that is run and the tests of it: HumanEval, MBPP, and their plus variants.

    program = humaneval_program(doc, answer, chat=True)
    program.code, program.tests      # the prompt's imports and the answer; the tests and check(candidate)

The tests run in a process of their own (`sandbox.run`), so they hold what they need of the prompt themselves.
Covers text alone: nothing is run here. Does not cover finding the code in an answer (`benchmarks.code_extraction`).
"""

import ast
import builtins
import re
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

from isheep_lib.benchmarks import evalplus_compare
from isheep_lib.benchmarks.code_blocks import parsed
from isheep_lib.benchmarks.code_extraction import cut_completion, defines, extract_code, future_first
from isheep_lib.errors import DataError
from isheep_lib.record.rows import read_numbered
from isheep_lib.sandbox.run import Program

CANDIDATE = "candidate"  # what tests call the function by


def humaneval_program(doc: dict[str, Any], answer: str, chat: bool) -> Program:
    """Return an answer to a task of HumanEval with its tests, which may use the prompt's helpers."""
    entry = doc["entry_point"]
    tests = f"{_head(doc)}\n{doc['test']}\ncheck({CANDIDATE})\n"
    return Program(_function(doc, answer, chat), tests, {CANDIDATE: entry, entry: entry})


def _begin(doc: dict[str, Any]) -> int | None:
    """Return where a prompt begins the function that is asked for."""
    entry = doc.get("entry_point")
    found = entry and re.search(rf"^(?:async )?def +{re.escape(entry)}\b", doc.get("prompt", ""), re.MULTILINE)
    return found.start() if found else None


def _head(doc: dict[str, Any]) -> str:
    """Return what a prompt holds before the function: imports and helpers."""
    return doc["prompt"][: _begin(doc) or 0]


def _function(doc: dict[str, Any], answer: str, chat: bool) -> str:
    """Return the function that a prompt begins and an answer completes or, in a chat, may also repeat."""
    prompt, entry = doc["prompt"], doc["entry_point"]
    if not chat:
        return prompt + cut_completion(answer)
    code = extract_code(answer, [entry])
    if defines(code, entry):
        return future_first(_head(doc) + code)  # the prompt's imports and helpers, then the answer's own
    body = code.strip("\n")
    if not body[:1].isspace():  # all of it was moved to the left, or its first line alone was
        moved = textwrap.indent(body, "    ")
        body = moved if parsed(prompt + moved) is not None else "    " + body
    return f"{prompt}{body}\n"


def mbpp_program(doc: dict[str, Any], answer: str, chat: bool) -> Program:
    """Return an answer to a task of MBPP with its tests, whose setup may use what the answer defines."""
    return _listed(doc, answer, chat, [doc.get("test_setup_code") or "", *doc["test_list"]])


def _listed(doc: dict[str, Any], answer: str, chat: bool, tests: list[str]) -> Program:
    text = "\n".join([*tests, ""])
    names = _tested(text, doc.get("code") or doc.get("canonical_solution") or "")
    return Program(extract_code(answer, names) if chat else cut_completion(answer), text, {name: name for name in names})


def _tested(tests: str, solution: str) -> list[str]:
    """Name what tests call of a program: what the solution defines or, without one, functions that nothing else has."""
    tree, gold = parsed(tests), parsed(solution)
    nodes = list(ast.walk(tree)) if tree else []
    used = {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}
    if found := sorted(used & {getattr(node, "name", "") for node in (gold.body if gold else [])}):
        return found  # also where it has the name of a built-in function
    called = [node.func.id for node in nodes if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)]
    bound = {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    bound |= {node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    bound |= {
        (alias.asname or alias.name) for node in nodes if isinstance(node, ast.Import | ast.ImportFrom) for alias in node.names
    }
    return sorted(set(called) - bound - set(dir(builtins)) - sys.stdlib_module_names) or called[:1]


def plus_program(doc: dict[str, Any], answer: str, chat: bool) -> Program:
    """Return an answer to a record of HumanEval+ or MBPP+ with its tests.

    A record with a test of its own is tested by it, and by the canonical solution on its inputs otherwise.
    """
    test, begun, entry = doc.get("test"), _begin(doc) is not None, doc.get("entry_point", "")
    if test and begun:
        return humaneval_program(doc, answer, chat)
    if test:
        call = [f"check({entry})"] if re.search(r"^def check\(", test, re.MULTILINE) else []
        return _listed(doc, answer, chat, [*doc.get("test_imports", []), test, *call])
    code = _function(doc, answer, chat) if begun else extract_code(answer, [entry]) if chat else cut_completion(answer)
    reference = (doc["prompt"] if begun else "") + doc["canonical_solution"]
    kind, _, number = str(doc["task_id"]).lower().partition("/")
    convert = CONVERSIONS.get(number, list) if kind == "mbpp" else list
    inputs = [convert(given) for given in (*doc["base_input"], *doc["plus_input"])]
    compare = Path(evalplus_compare.__file__).read_text(encoding="utf-8")
    given = f"{reference!r}, {CANDIDATE}, {entry!r}, {inputs!r}, {doc.get('atol', 0)!r}, {kind!r}"
    return Program(code, f"{compare}\ncompare({given})\n", {CANDIDATE: entry})


# How an answer becomes a program with its tests, by the form of a benchmark's tests.
PROGRAMS = {"humaneval": humaneval_program, "mbpp": mbpp_program, "plus": plus_program}


def _tuples(value: Any, depth: int) -> Any:
    """Turn the lists at this depth into tuples."""
    return tuple(value) if depth == 0 else [_tuples(item, depth - 1) for item in value]


def _all_tuples(value: Any) -> Any:
    return tuple(map(_all_tuples, value)) if isinstance(value, list) else value


# JSON knows no tuples, sets or complex numbers: the tasks of MBPP+ whose inputs are meant to hold them.
_CONVERSIONS: list[tuple[str, Callable[[list], Any]]] = [
    ("2 116 132 143 222 261 273 394 399 421 424 429 470 560 579 596 616 630 726 740 744 809", lambda a: _tuples(a, 1)),
    ("63 64 70 94 120 237 272 299 400 409 417 438 473 614 780", lambda a: _tuples(a, 2)),
    ("75 413 444 753", lambda a: [_tuples(a[0], 1), *a[1:]]),
    ("106 750", lambda a: [a[0], tuple(a[1])]),
    ("115", lambda a: [[set(item) if item else {} for item in a[0]]]),
    ("124", lambda a: [float(a[0]), complex(a[1])]),
    ("250 307 405 446 617 720 763 808", lambda a: [tuple(a[0]), *a[1:]]),
    ("252", lambda a: [complex(a[0])]),
    ("259 401 445", lambda a: [tuple(_tuples(item, 1)) for item in a]),
    ("278", lambda a: [[tuple(item) if isinstance(item, list) else item for item in a[0]]]),
    ("580 615 791", _all_tuples),
    ("722", lambda a: [{key: tuple(value) for key, value in a[0].items()}, *a[1:]]),
]
CONVERSIONS = {number: convert for numbers, convert in _CONVERSIONS for number in numbers.split()}

PLUS_FORM = (
    "JSON lines, perhaps gzipped, with task_id, prompt and either test, or entry_point, canonical_solution, base_input, "
    "plus_input and perhaps atol"
)


def read_plus(path: Path) -> list[dict[str, Any]]:
    """Read the records of HumanEval+ or MBPP+ from a file of the user's own, or raise a DataError that names all bad ones."""
    seen: set[Any] = set()

    def wrong(row: dict[str, Any]) -> list[str]:
        found = _wrong_fields(row)
        if not found and row["task_id"] in seen:
            found = [f"task_id {row['task_id']} comes twice"]
        seen.update([] if found else [row["task_id"]])
        return found

    rows = [row for _, row in read_numbered(path, PLUS_FORM, wrong)]
    if not rows:
        raise DataError(f"{path.name} holds no records", where=str(path), allowed=PLUS_FORM)
    return rows


def _wrong_fields(row: dict[str, Any]) -> list[str]:
    """Name what a record lacks or has in another form."""
    wanted: dict[str, type | tuple[type, ...]] = {"task_id": (str, int), "prompt": str}
    if row.get("test"):
        wanted |= {"test": str}
        if "def check(" in str(row["test"]):
            wanted |= {"entry_point": str}
    else:
        wanted |= {"entry_point": str, "canonical_solution": str, "base_input": list, "plus_input": list}
    wrong = [f"{name} is missing" for name in wanted if name not in row]
    wrong += [f"{name} has the wrong type" for name, kind in wanted.items() if name in row and not isinstance(row[name], kind)]
    if not isinstance(row.get("atol", 0), int | float):
        wrong.append("atol should be a number")
    return wrong
