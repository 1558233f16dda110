r"""Unit tests that the model writes for its own programs: reading them, and running both in the sandbox.

    main_function("def double(x):\n    return 2 * x\n", "Double a number.")     # "double"
    read_tests("```python\nassert double(2) == 4\n```", "double")               # ["assert double(2) == 4"]

Covers text and running. Does not cover asking the model (`methods.evolution.wizard_coder`) or confinement (`sandbox`).
"""

import ast
import builtins
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from isheep_lib.benchmarks.code_blocks import parsed, split
from isheep_lib.prompting.thinking import answer_part
from isheep_lib.record.journal import Journal
from isheep_lib.sandbox.run import Program, run_programs

FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


@dataclass(frozen=True)
class Checked:
    """A program, the function that is its answer, and the tests that the model wrote for it."""

    code: str
    name: str
    tests: Sequence[str]

    @property
    def program(self) -> Program:
        """The program with its tests."""
        return Program(self.code, self._text, {self.name: self.name})

    @property
    def stub(self) -> Program:
        """A function that does nothing, with the same tests, which it must not pass."""
        return Program(f"def {self.name}(*args, **kwargs):\n    return None\n", self._text, {self.name: self.name})

    @property
    def _text(self) -> str:
        return "\n".join([*self.tests, ""])


@dataclass(frozen=True)
class Verdict:
    """How a program's tests ended, and whether a function that does nothing passes them, too."""

    passed: bool
    trivial: bool
    said: str


def main_function(code: str, task: str) -> str:
    """Name the function of a program that answers its task, "" where there is none.

    It is one that the task names; else the first that no other function calls.
    """
    tree = parsed(code)
    functions = [node for node in (tree.body if tree else []) if isinstance(node, FUNCTIONS)]
    named = [node.name for node in functions if re.search(rf"\b{re.escape(node.name)}\b", task)]
    called = {
        inner.id for node in functions for inner in ast.walk(node) if isinstance(inner, ast.Name) and inner.id != node.name
    }
    free = [node.name for node in functions if node.name not in called]
    return next(iter([*named, *free]), "")


def signature(code: str, name: str) -> str:
    """Write the first line of a function of a program."""
    tree = parsed(code)
    (node,) = [each for each in (tree.body if tree else []) if isinstance(each, FUNCTIONS) and each.name == name][-1:]
    return f"def {name}({ast.unparse(node.args)}):"


def read_tests(said: str, name: str) -> list[str]:
    """Read the assertions that call a function and name nothing else but what is built in; each once, in their order."""
    blocks, prose = split(answer_part(said))
    texts = [block.text for block in blocks if block.is_python] or [prose]
    trees = [tree for text in texts for tree in _trees(text)]
    asserted = [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Assert) and _tests(node, name)]
    return list(dict.fromkeys(ast.unparse(ast.Assert(node.test)) for node in asserted))


def _trees(text: str) -> list[ast.Module]:
    """Parse a text, or, where it is no Python as a whole, those of its lines that are assertions."""
    whole = parsed(text)
    lines = [parsed(line.strip()) for line in text.split("\n") if line.strip().startswith("assert")]
    return [whole] if whole else [tree for tree in lines if tree]


def _tests(node: ast.Assert, name: str) -> bool:
    names = {inner.id for inner in ast.walk(node.test) if isinstance(inner, ast.Name)}
    calls = [inner.func for inner in ast.walk(node.test) if isinstance(inner, ast.Call)]
    is_called = any(isinstance(called, ast.Name) and called.id == name for called in calls)
    return is_called and names <= {name, *dir(builtins)}


def run_tests(tested: Mapping[str, Checked], method: str, journal: Journal) -> dict[str, Verdict]:
    """Run programs with their tests, and empty functions with the same tests; outcomes are durable, by id.

    Args:
        tested: what is run, by id.
        method: how programs run, see `sandbox.run.sandbox_method`.
        journal: a row for each, so that no program runs again when the stage is resumed.
    """
    lacking = {i: one for i, one in tested.items() if f"{i}/outcome" not in journal.rows}
    if lacking:
        programs = {i: one.program for i, one in lacking.items()} | {f"{i}/stub": one.stub for i, one in lacking.items()}
        found = run_programs(programs, method, label="unit tests")
        rows = [
            {
                "id": f"{i}/outcome",
                "passed": found[i].passed,
                "trivial": found[f"{i}/stub"].passed,
                "said": ": ".join(filter(None, (found[i].reason, found[i].detail))),
            }
            for i in lacking
        ]
        journal.append(rows)
    return {i: Verdict(**{k: journal.rows[f"{i}/outcome"][k] for k in ("passed", "trivial", "said")}) for i in tested}
