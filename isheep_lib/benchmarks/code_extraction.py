r"""From a model's answer to the program that tests it: HumanEval, MBPP, and their plus variants.

    extract_code("Sure:\n```python\ndef one():\n    return 1\n```")  # "def one():\n    return 1\n"
    humaneval_program(doc, answer, chat=True)  # imports of the prompt, the answer, the tests, check(entry_point)

Covers text alone: nothing is run here. Does not cover running (`sandbox`) or asking the model.
"""

import ast
import io
import re
import textwrap
import tokenize
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from isheep_lib.benchmarks import evalplus_compare
from isheep_lib.errors import DataError
from isheep_lib.record.rows import read_numbered

FENCE = re.compile(r"([ \t]*)(`{3,}|~{3,})[ \t]*([\w+-]*)[^`]*$")
PYTHON = {"python", "py", "python3", "py3"}
BEGINS_LIKE_CODE = re.compile(
    r"\s*(?:(?:async )?def |class |import |from \w+ import |return |@\w|(?:for|if|while|with) .*:\s*$)"
)
DEFINITION = re.compile(r"(?:(?:async )?def |class |import |from |@|\w+(?:: [^=]+)? *=[^=])")


def extract_code(answer: str) -> str:
    """Return the first fenced block of a chat answer that holds code, or the answer itself.

    A fence may be left open at the end, or the answer may have begun inside one.
    """
    before, blocks = _split(answer)
    if blocks and not blocks[0][0] and _is_code(before):
        return before  # the prompt opened this block, and the first fence here closes it
    for language, code in blocks:
        if code.strip() and (language in PYTHON or (not language and _is_code(code))):
            return code
    return answer


def _split(answer: str) -> tuple[str, list[tuple[str, str]]]:
    """Split an answer into the text before the first fence, and the language and text of each block."""
    before, blocks = "", []
    indent, closing = "", ""
    for line in answer.splitlines(keepends=True):
        fence = FENCE.match(line.rstrip())
        if closing and fence and fence[2].startswith(closing) and not fence[3]:
            closing = ""
        elif closing:
            blocks[-1] = (blocks[-1][0], blocks[-1][1] + line.removeprefix(indent))
        elif fence:
            indent, closing = fence[1], fence[2]
            blocks.append((fence[3].lower(), ""))
        elif not blocks:
            before += line
    return before, blocks


def _is_code(text: str) -> bool:
    """Tell code from prose and from printed results: it does more than name values, or at least begins like code."""
    tree = _parsed(textwrap.dedent(text))
    if tree is None:
        return bool(BEGINS_LIKE_CODE.match(text.strip().partition("\n")[0]))
    return any(not isinstance(node, ast.Expr) for node in tree.body)


def _parsed(text: str) -> ast.Module | None:
    with warnings.catch_warnings(action="ignore"):  # of backslashes in a model's strings
        try:
            return ast.parse(text)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return None


def cut_completion(text: str) -> str:
    """Cut a base model's completion where it goes on to something else.

    One that goes on inside a function ends at the first statement outside of it. One that holds whole functions keeps
    its definitions, and ends at the first other statement after a function; an unfinished definition at its end goes.
    """
    first = next((line for line in text.split("\n") if line.strip()), "")
    inside = first[:1].isspace()
    lines = text.split("\n")
    starts = _statements(lines, inside)
    if inside:
        return "\n".join(lines[: starts[0]]) if starts else text
    functions = [row for row in starts if lines[row].startswith(("def ", "async def "))]
    ends = [row for row in starts if functions and row > functions[0]]
    cut = next((row for row in ends if not DEFINITION.match(lines[row])), len(lines))
    for row in [cut, *reversed([row for row in ends if row < cut])]:
        if _parsed("\n".join(lines[:row])) is not None:
            return "\n".join(lines[:row])
    return "\n".join(lines[:cut])


def _statements(lines: list[str], inside: bool) -> list[int]:
    """Return the lines on which statements outside of any block begin, not misled by strings and brackets."""
    shift = 1 if inside else 0
    text = "\n".join(["def _():", *lines] if inside else lines)
    starts, depth, last = [], 0, 1
    try:
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            last = token.start[0]
            blank = token.type in (tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.COMMENT)
            if token.start[1] == 0 and not depth and token.string and not blank and last > shift:
                starts.append(last - 1 - shift)
            if token.type == tokenize.OP:
                depth += (token.string in "([{") - (token.string in ")]}")
    except (tokenize.TokenError, SyntaxError):  # prose, or an end within a string; it begins no earlier than here
        rest = range(max(0, last - shift), len(lines))
        starts += [row for row in rest if lines[row][:1].strip() and lines[row][0] not in ")]}#"][:1]
    return starts


def humaneval_program(doc: dict[str, Any], answer: str, chat: bool) -> str:
    """Return the program that tests an answer to a task of HumanEval."""
    return f"{_function(doc, answer, chat)}\n{doc['test']}\ncheck({doc['entry_point']})\n"


def _function(doc: dict[str, Any], answer: str, chat: bool) -> str:
    """Return the function that a prompt begins and an answer completes or, in a chat, may also repeat."""
    prompt, name = doc["prompt"], re.escape(doc["entry_point"])
    if not chat:
        return prompt + cut_completion(answer)
    code = extract_code(answer)
    if re.search(rf"^(?:(?:async )?def +{name}\b|{name} *=)", code, re.MULTILINE):
        begin = re.search(rf"^(?:async )?def +{name}\b", prompt, re.MULTILINE)
        return prompt[: begin.start() if begin else 0] + code  # the prompt's imports and helpers, then the answer's own
    body = code.strip("\n")
    if not body[:1].isspace():  # all of it was moved to the left, or its first line alone was
        moved = textwrap.indent(body, "    ")
        body = moved if _parsed(prompt + moved) is not None else "    " + body
    return f"{prompt}{body}\n"


def mbpp_program(doc: dict[str, Any], answer: str, chat: bool) -> str:
    """Return the program that tests an answer to a task of MBPP; its setup may use what the answer defines."""
    code = extract_code(answer) if chat else cut_completion(answer)
    return "\n".join([code, doc.get("test_setup_code") or "", *doc["test_list"], ""])


def plus_program(doc: dict[str, Any], answer: str, chat: bool) -> str:
    """Return the program that tests an answer to a record of HumanEval+ or MBPP+.

    A record with a test of its own is tested by it, and by the canonical solution on its inputs otherwise.
    """
    entry = doc.get("entry_point", "")
    begun = bool(entry) and re.search(rf"^(?:async )?def +{re.escape(entry)}\b", doc.get("prompt", ""), re.MULTILINE)
    code = _function(doc, answer, chat) if begun else extract_code(answer) if chat else cut_completion(answer)
    if doc.get("test"):
        call = f"check({entry})" if re.search(r"^def check\(", doc["test"], re.MULTILINE) else ""
        return "\n".join([code, *doc.get("test_imports", []), doc["test"], call, ""])
    reference = (doc["prompt"] if begun else "") + doc["canonical_solution"]
    kind, _, number = str(doc["task_id"]).lower().partition("/")
    convert = CONVERSIONS.get(number, list) if kind == "mbpp" else list
    inputs = [convert(given) for given in (*doc["base_input"], *doc["plus_input"])]
    compare = Path(evalplus_compare.__file__).read_text(encoding="utf-8")
    return f"{compare}\ncompare({reference!r}, {code!r}, {entry!r}, {inputs!r}, {doc.get('atol', 0)!r}, {kind!r})\n"


# How an answer becomes the program that tests it, by the form of a benchmark's tests.
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
