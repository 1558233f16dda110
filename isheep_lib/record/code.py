"""The code that decides a stage's result: what is called from given roots, definition by definition, wherever it stands.

    code_digests(("filter.steps.filter_pairs",))     # {"filter_pairs": "5f0c…", "rule_problem": "91ab…", …}

Names of the project are followed from definition to definition. Files, import statements, comments, docstrings and
annotations do not count, so moving a module makes nothing stale. Covers reading source. Does not cover which roots a stage
has (`params.py` of its room).
"""

import ast
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from isheep_lib.errors import RecordError
from isheep_lib.record.rows import digest_text

PACKAGE = Path(__file__).parents[1]
# Rooms that move bytes, check values and show them; a change in them cannot change what a stage computes.
PLUMBING = ("errors", "params", "display", "iterate", "record")
# Tables from which a run chooses: what it chose is a root of its own, what it did not choose is not followed.
TABLES = ("engines.open", "synthesize.all_methods", "scorers.table", "filter.steps.table", "train.objectives.table")


@dataclass(frozen=True)
class Source:
    """A module's top-level definitions by name, and what its imports call: module and name, or a module and ""."""

    definitions: dict[str, list[ast.stmt]]
    imports: dict[str, tuple[str, str]]


@cache
def code_digests(roots: tuple[str, ...], package: Path = PACKAGE) -> dict[str, str]:
    """Hash every definition that the roots (`room.module.name`) reach, by name; a root that is not there is a RecordError."""
    waiting, found = [_root(root, package) for root in roots], {}
    while waiting:
        module, name = waiting.pop()
        if (module, name) in found:
            continue
        digests, reached = _definition(module, name, package)
        found[module, name] = digests
        waiting += reached
    by_name: dict[str, list[str]] = {}
    for (_, name), digests in found.items():
        by_name.setdefault(name, []).extend(digests)
    return {name: digest_text("".join(sorted(by_name[name])))[:16] for name in sorted(by_name) if by_name[name]}


def root_of(kind: type) -> str:
    """Name a class as a root: `room.module.name`."""
    return f"{kind.__module__.partition('.')[2]}.{kind.__name__}"


def _root(root: str, package: Path) -> tuple[str, str]:
    module, _, name = root.rpartition(".")
    if not _file(module, package) or name not in _source(module, package).definitions:
        raise RecordError(f"{root} is no definition of the package", where="the roots of a stage's code")
    return module, name


def _definition(module: str, name: str, package: Path) -> tuple[list[str], list[tuple[str, str]]]:
    """Hash a definition statement by statement, and list the definitions that it names; parameter classes count for nothing."""
    source = _source(module, package)
    statements = source.definitions[name]
    if any(_is_section(statement, module, package) for statement in statements):
        return [], []
    digests, reached = [], []
    for statement in statements:
        reader = _Reader(module, package)
        plain = reader.visit(ast.parse(ast.unparse(statement)).body[0])
        digests.append(digest_text(ast.dump(plain)))
        reached += reader.reached
    return digests, reached


class _Reader(ast.NodeTransformer):
    """Takes from a definition what does not count, and writes every name of the project as the name of its definition."""

    def __init__(self, module: str, package: Path) -> None:
        source = _source(module, package)
        self.module, self.package = module, package
        self.own, self.imports = source.definitions, dict(source.imports)
        self.reached: list[tuple[str, str]] = []

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.Pass:
        self.imports |= _imports(node, self.package)
        return ast.Pass()

    def visit_Import(self, node: ast.Import) -> ast.Pass:
        return ast.Pass()

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.returns = None
        return self.generic_visit(_without_docstring(node))

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        return self.generic_visit(_without_docstring(node))

    def visit_arg(self, node: ast.arg) -> ast.AST:
        return ast.arg(node.arg)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        return self.generic_visit(ast.Assign([node.target], node.value or ast.Constant(None)))

    def visit_Name(self, node: ast.Name) -> ast.Name:
        if node.id in self.own:
            self._reach(self.module, node.id)
        elif node.id in self.imports:
            module, name = self.imports[node.id]
            if name:
                return ast.Name(self._reach(module, name), node.ctx)
            for each in _source(module, self.package).definitions if _follows(module) else ():
                self._reach(module, each)  # a module that is handed on as a whole
            return ast.Name("module", node.ctx)
        return node

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        module, name = self.imports.get(node.value.id, ("", "")) if isinstance(node.value, ast.Name) else ("", "")
        if module and not name and node.attr in _source(module, self.package).definitions:
            return ast.Name(self._reach(module, node.attr), node.ctx)
        return self.generic_visit(node)

    def _reach(self, module: str, name: str) -> str:
        if _follows(module) and name in _source(module, self.package).definitions:
            self.reached.append((module, name))
        return name


def _follows(module: str) -> bool:
    return module.split(".")[0] not in PLUMBING and module not in TABLES


def _without_docstring(node: ast.FunctionDef | ast.ClassDef) -> ast.FunctionDef | ast.ClassDef:
    if ast.get_docstring(node) is not None:
        node.body = node.body[1:] or [ast.Pass()]
    return node


def _is_section(statement: ast.stmt, module: str, package: Path) -> bool:
    """Tell whether a statement defines a parameter class; its values are a part of the fingerprint by themselves."""
    if not isinstance(statement, ast.ClassDef):
        return False
    source = _source(module, package)
    for base in (base.id for base in statement.bases if isinstance(base, ast.Name)):
        where, name = source.imports.get(base, (module, base))
        if where == "params.kinds":
            return True
        inherited = _source(where, package).definitions.get(name, []) if _file(where, package) else []
        if any(_is_section(each, where, package) for each in inherited):
            return True
    return False


@cache
def _source(module: str, package: Path) -> Source:
    file = _file(module, package)
    if not file:
        return Source({}, {})
    definitions: dict[str, list[ast.stmt]] = {}
    imports: dict[str, tuple[str, str]] = {}
    for statement in ast.parse(file.read_text(encoding="utf-8")).body:
        if isinstance(statement, ast.ImportFrom):
            imports |= _imports(statement, package)
        for name in _defined(statement):
            definitions.setdefault(name, []).append(statement)
    return Source(definitions, imports)


def _file(module: str, package: Path) -> Path | None:
    path = package / module.replace(".", "/")
    return next((file for file in (path.with_suffix(".py"), path / "__init__.py") if module and file.is_file()), None)


def _imports(node: ast.ImportFrom, package: Path) -> dict[str, tuple[str, str]]:
    """Say what an import of the project calls: a definition, or a module whose name is ""."""
    module = node.module or ""
    if module.split(".")[0] != PACKAGE.name:
        return {}
    outer = module.removeprefix(PACKAGE.name).removeprefix(".")
    found = {}
    for alias in node.names:
        inner = f"{outer}.{alias.name}".removeprefix(".")
        found[alias.asname or alias.name] = (inner, "") if _file(inner, package) else (outer, alias.name)
    return found


def _defined(statement: ast.stmt) -> Iterable[str]:
    """Name what a top-level statement defines, or changes."""
    if isinstance(statement, ast.FunctionDef | ast.ClassDef):
        return [statement.name]
    targets = statement.targets if isinstance(statement, ast.Assign) else [getattr(statement, "target", None)]
    return [node.id for target in targets if target for node in ast.walk(target) if isinstance(node, ast.Name)]
