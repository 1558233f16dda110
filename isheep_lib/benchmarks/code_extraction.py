r"""From a model's answer to the code in it that solves a task.

    extract_code("So:\n```python\nimport math\n```\nand\n```python\ndef area(r):\n    return math.pi * r * r\n```", ["area"])
    # "import math\ndef area(r):\n    return math.pi * r * r\n"

Covers text alone: nothing is run here. Does not cover fences (`benchmarks.code_blocks`), the tests that are added
(`benchmarks.code_programs`), running (`sandbox`) or asking the model.
"""

import ast
import builtins
import re
import symtable
import textwrap
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from isheep_lib.benchmarks.code_blocks import Block, code_in_prose, is_code, parsed, split, statement_starts
from isheep_lib.prompting.thinking import answer_part

DEFINITION = re.compile(r"(?:(?:async )?def |class |import |from |@|\w+(?:: [^=]+)? *=[^=])")
FUTURE = re.compile(r"^from __future__ import .*\n?", re.MULTILINE)
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


@dataclass(frozen=True)
class Statement:
    """One statement outside of any function, with the names that it defines or changes, and those that it uses."""

    place: tuple[int, int]  # block and line
    node: ast.stmt
    text: str
    names: frozenset[str]
    uses: frozenset[str]

    def defines(self, name: str) -> int:
        """Rate how surely this defines a function or class of a name: 0 is not at all."""
        return max((_defines(node, name, self.uses) for node in _outside_functions(self.node)), default=0)


def _defines(node: ast.AST, name: str, uses: frozenset[str]) -> int:
    if isinstance(node, ast.Import | ast.ImportFrom):
        return int(name in _bound(node))  # perhaps from a file that an example takes to hold the answer
    if isinstance(node, FUNCTIONS):
        return (1 if _is_stub(node) else 2) * (name in _bound(node))
    if not isinstance(node, ast.Assign | ast.AnnAssign) or name not in _bound(node):
        return 0
    if isinstance(node.value, ast.Lambda | ast.Name):
        return 2
    return int(isinstance(node.value, ast.Call | ast.Attribute) and name not in uses)


def _is_stub(node: ast.AST) -> bool:
    """Tell whether a function is a signature alone, with a docstring at most."""
    body = node.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) else [node]
    return all(
        isinstance(part, ast.Pass) or (isinstance(part, ast.Expr) and isinstance(part.value, ast.Constant)) for part in body
    )


def _outside_functions(node: ast.AST) -> Iterator[ast.AST]:
    """Yield a statement and all in it that is not inside a function or class, or in names of its own."""
    yield node
    if not isinstance(node, (*FUNCTIONS, ast.Lambda, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)):
        for inner in ast.iter_child_nodes(node):
            yield from _outside_functions(inner)


def extract_code(answer: str, names: Iterable[str] = ()) -> str:
    """Return the code of a chat answer that defines the names.

    These are the blocks that define them, the last definition of each, preceded by the imports and helpers that they need
    from other blocks. Where nothing defines a name, what may be a function's body or the first code at all is taken.
    What the model thought aloud is no answer.
    """
    said = answer_part(answer)
    blocks, prose = split(said)
    python = [block.text for block in blocks if block.is_python]
    others = [block.text for block in blocks if not block.is_python]
    wanted = list(names)
    for texts in (python, [*python, *others], [*python, code_in_prose(prose)]):
        if code := _assemble(texts, wanted):
            return code
    broken = [text for text in python if any(re.search(rf"^(?:async )?def +{re.escape(n)}\b", text, re.M) for n in wanted)]
    if broken:
        return broken[-1]
    return _body(python) or next((block.text for block in blocks if _may_be_code(block)), said)


def _may_be_code(block: Block) -> bool:
    return block.is_python and bool(block.text.strip()) and (bool(block.language) or is_code(block.text))


def _assemble(texts: list[str], wanted: list[str]) -> str:
    """Return the texts that define what is wanted, with what they need from the others; "" where nothing is defined."""
    statements = [statement for number, text in enumerate(texts) for statement in _statements(number, text)]
    chosen = set()
    for name in wanted:
        found = [(statement.defines(name), statement.place[0]) for statement in statements if statement.defines(name)]
        chosen |= {max(found)[1]} if found else set()
    if not chosen:
        return ""
    main = [statement for statement in statements if statement.place[0] in chosen]
    before, after = _needed(statements, main, max(chosen))
    parts = [statement.text for statement in before] + [texts[number] for number in sorted(chosen)]
    return future_first("".join(parts + [statement.text for statement in after]))


def _needed(statements: list[Statement], main: list[Statement], last: int) -> tuple[list[Statement], list[Statement]]:
    """Find what some statements need of all others: what goes before them, and functions that are defined anew later."""
    own = {name for statement in main for name in statement.names}
    names, seen = sorted({name for statement in main for name in statement.uses | statement.names}), set[str]()
    before, after = dict[tuple[int, int], Statement](), dict[tuple[int, int], Statement]()
    while names:
        name = names.pop()
        if name in seen:
            continue
        seen.add(name)
        found = _last(statements, name, last) if name in own else _last(statements, name)
        (after if name in own else before).update({statement.place: statement for statement in found})
        names += sorted({use for statement in found for use in statement.uses})
    defined = own.union(*(statement.names for statement in (*before.values(), *after.values())))
    if seen - defined - set(dir(builtins)):  # may come from `from math import *`
        stars = [statement for statement in statements if "*" in statement.names and statement not in main]
        before.update({statement.place: statement for statement in stars})
    return [before[place] for place in sorted(before)], [after[place] for place in sorted(after)]


def _last(statements: list[Statement], name: str, after: int | None = None) -> list[Statement]:
    """Return what defines and changes a name in the last block that does; only functions and classes after a block."""
    found = [statement for statement in statements if name in statement.names]
    if after is not None:
        found = [s for s in found if s.place[0] > after and isinstance(s.node, FUNCTIONS) and s.defines(name) == 2]
    sure = [statement for statement in found if statement.defines(name) == 2] or found
    return [statement for statement in found if statement.place[0] == sure[-1].place[0]]


def _statements(number: int, text: str) -> Iterator[Statement]:
    """Take a text apart; one that is no Python has no statements."""
    tree, lines = parsed(text), text.split("\n")
    for node in tree.body if tree else []:
        first = min([node.lineno, *(decorator.lineno for decorator in getattr(node, "decorator_list", []))])
        own = "".join(f"{line}\n" for line in lines[first - 1 : node.end_lineno])
        try:
            uses = frozenset(_global_names(symtable.symtable(own, "", "exec"), top=True))
        except SyntaxError:  # `return` at the left, or the half of a line
            uses = frozenset(part.id for part in ast.walk(node) if isinstance(part, ast.Name))
        yield Statement((number, first), node, own, frozenset(_bound(node)), uses)


def _global_names(table: symtable.SymbolTable, top: bool = False) -> Iterator[str]:
    yield from (s.get_name() for s in table.get_symbols() if (s.is_referenced() if top else s.is_global()))
    for inner in table.get_children():
        yield from _global_names(inner)


def _bound(statement: ast.AST) -> Iterator[str]:
    """Name what a statement defines or changes outside of functions."""
    for node in _outside_functions(statement):
        if isinstance(node, FUNCTIONS):
            yield node.name
        elif isinstance(node, ast.Import | ast.ImportFrom):
            yield from (alias.asname or alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.Name | ast.Subscript | ast.Attribute) and isinstance(node.ctx, ast.Store):
            root: ast.AST = node
            while isinstance(root, ast.Subscript | ast.Attribute):
                root = root.value
            yield from [root.id] if isinstance(root, ast.Name) else []


def defines(code: str, name: str) -> bool:
    """Tell whether code defines a function or class of a name; of what is no Python, whether it begins one."""
    found = parsed(code) is None and re.search(rf"^(?:async )?def +{re.escape(name)}\b", code, re.MULTILINE)
    return bool(found) or any(statement.defines(name) for statement in _statements(0, code))


def future_first(code: str) -> str:
    """Put imports from __future__ where Python wants them."""
    return "".join(f"{line.rstrip()}\n" for line in dict.fromkeys(FUTURE.findall(code))) + FUTURE.sub("", code)


def _body(texts: list[str]) -> str:
    """Return the last text that returns something outside of any function, with what it needs from the others."""
    statements = [statement for number, text in enumerate(texts) for statement in _statements(number, textwrap.dedent(text))]
    returning = [statement.place[0] for statement in statements if _returns(statement.node)]
    if not returning:
        return ""
    main = [statement for statement in statements if statement.place[0] == returning[-1]]
    before, _ = _needed(statements, main, returning[-1])
    if not before:
        return texts[returning[-1]]
    return "".join(statement.text for statement in before) + textwrap.dedent(texts[returning[-1]])


def _returns(statement: ast.AST) -> bool:
    return any(isinstance(node, ast.Return) for node in _outside_functions(statement))


def cut_completion(text: str) -> str:
    """Cut a base model's completion where it goes on to something else.

    One that goes on inside a function ends at the first statement outside of it. One that holds whole functions keeps
    its definitions, and ends at the first other statement after a function; an unfinished definition at its end goes.
    """
    first = next((line for line in text.split("\n") if line.strip()), "")
    inside = first[:1].isspace()
    lines = text.split("\n")
    starts = statement_starts(lines, inside)
    if inside:
        return "\n".join(lines[: starts[0]]) if starts else text
    functions = [row for row in starts if lines[row].startswith(("def ", "async def "))]
    ends = [row for row in starts if functions and row > functions[0]]
    cut = next((row for row in ends if not DEFINITION.match(lines[row])), len(lines))
    for row in [cut, *reversed([row for row in ends if row < cut])]:
        if parsed("\n".join(lines[:row])) is not None:
            return "\n".join(lines[:row])
    return "\n".join(lines[:cut])
