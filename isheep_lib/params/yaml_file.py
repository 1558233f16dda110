"""Params files: YAML in, values and the lines they stand on out.

Read by the core of YAML 1.2, without what surprises: a number is decimal (16, -0.5, 1e-4), true and false are the only
truth values, all else is text. So 0x10, 010, 1_000, 1:30, yes and .inf are text, and refused where a number is wanted. Tags,
merge keys, names given twice, and lists that hold themselves are refused.

Covers one file or value. Does not cover what the values mean (`params.check`).
"""

import re
from pathlib import Path
from typing import Any

import yaml

from isheep_lib.errors import ParameterError
from isheep_lib.params.check import refusal
from isheep_lib.reading.files import ABSENT, read_text, regular_file, what_lies_at

MOST_BYTES, MOST_VALUES, DEEPEST = 2**18, 20_000, 30
LONGEST_NUMBER = 40  # characters
FORM = "a YAML file of sections and their parameters, as those in the folder params"
PREFIX = "tag:yaml.org,2002:"
INT = re.compile(r"[-+]?(?:0|[1-9][0-9]*)")
FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|(?:0|[1-9][0-9]*)(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
PLAIN = {  # in the order in which they are tried
    "null": re.compile(r"~|null|Null|NULL|"),
    "bool": re.compile(r"true|True|TRUE|false|False|FALSE"),
    "int": INT,
    "float": FLOAT,
}


class _Loader(yaml.SafeLoader):
    """Finds the tags of plain values as the module says; values are made by `_Values`."""

    yaml_implicit_resolvers: dict[Any, list[Any]] = {}  # noqa: RUF012 - PyYAML's own attribute


class _Dumper(yaml.SafeDumper):
    """Also quotes texts that `_Loader`, but not PyYAML, would read as numbers, such as 1e-4."""


for _name, _form in PLAIN.items():
    _Loader.add_implicit_resolver(f"{PREFIX}{_name}", re.compile(f"(?:{_form.pattern})$"), None)
    _Dumper.add_implicit_resolver(f"{PREFIX}{_name}", re.compile(f"(?:{_form.pattern})$"), None)


def read_yaml(path: Path) -> tuple[dict[str, Any], dict[str, int]]:
    """Read a YAML mapping and the line on which each dotted name stands; everything that is wrong is told at once."""
    if what_lies_at(path) == ABSENT:
        known = ", ".join(sorted(str(p) for p in path.parent.glob("*.yaml"))) or "none in this folder"
        raise ParameterError("The params file does not exist", where=str(path), allowed=known, do="check the path")
    if (size := regular_file(path, ParameterError).stat().st_size) > MOST_BYTES:
        what = f"The params file has {size} bytes, at most {MOST_BYTES}"
        raise ParameterError(what, where=str(path), allowed=FORM, do="check the path")
    try:
        node = _compose(read_text(path, ParameterError))
    except (yaml.YAMLError, RecursionError) as error:
        what = f"The params file is not YAML: {_said(error)}"
        raise ParameterError(what, where=str(path), allowed=FORM, do="mend the file") from error
    if not isinstance(node, yaml.MappingNode):
        what = "The params file is not a mapping of names to values"
        raise ParameterError(what, where=str(path), allowed=FORM, do="check the path")
    found = _Values()
    values = found.make(node, "", ())
    if found.problems:
        raise refusal(found.problems, str(path))
    return values, found.lines


def read_value(text: str) -> Any:
    """Read one value as a params file would, or raise a ValueError that says what is wrong."""
    try:
        node = _compose(text)
    except (yaml.YAMLError, RecursionError) as error:
        raise ValueError(f"is not a YAML value ({_said(error).splitlines()[0]})") from error
    found = _Values()
    value = None if node is None else found.make(node, "", ())
    if found.problems:
        raise ValueError("; ".join(problem.partition(": ")[2] for problem in found.problems))
    return value


def dump_yaml(values: dict[str, Any]) -> str:
    """Write values so that `read_yaml` reads the same ones."""
    return yaml.dump(values, Dumper=_Dumper, sort_keys=False, allow_unicode=True)


def _compose(text: str) -> yaml.Node | None:
    return yaml.compose(text, Loader=_Loader)


def _said(error: Exception) -> str:
    return "lists and mappings are too deep inside one another" if isinstance(error, RecursionError) else str(error)


class _Values:
    """Makes values of nodes, and notes lines and problems by dotted name."""

    def __init__(self) -> None:
        self.lines: dict[str, int] = {}
        self.problems: list[str] = []
        self._made = 0

    def make(self, node: yaml.Node, name: str, outer: tuple[int, ...]) -> Any:
        """Return a node's value; `outer` holds the ids of the nodes that it is inside of."""
        self._made += 1
        if id(node) in outer:
            return self._refuse(node, name, "a list or mapping that holds itself")
        if len(outer) > DEEPEST:
            return self._refuse(node, name, f"more than {DEEPEST} lists and mappings inside one another")
        if self._made > MOST_VALUES:
            if self._made == MOST_VALUES + 1:
                self._refuse(node, name, f"more than {MOST_VALUES} values, counting those that aliases (*name) repeat")
            return None
        inner = (*outer, id(node))
        if isinstance(node, yaml.MappingNode) and node.tag == f"{PREFIX}map":
            return self._mapping(node, name, inner)
        if isinstance(node, yaml.SequenceNode) and node.tag == f"{PREFIX}seq":
            return [self.make(item, f"{name}.{index}" if name else str(index), inner) for index, item in enumerate(node.value)]
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node, name)
        return self._refuse(node, name, f"the tag {_tag(node)} is not read; write a plain value")

    def _mapping(self, node: yaml.MappingNode, name: str, inner: tuple[int, ...]) -> dict[str, Any]:
        values: dict[str, Any] = {}
        own: dict[str, int] = {}
        for key, value in node.value:
            line = key.start_mark.line + 1
            if not isinstance(key, yaml.ScalarNode):
                self._refuse(key, name, "a name must be a text, not a list or mapping")
                continue
            full = f"{name}.{key.value}" if name else key.value
            if key.value in own:
                self._refuse(key, full, f"given twice, on lines {own[key.value]} and {line}; keep one of them")
            elif key.value == "<<":
                self._refuse(key, full, "merge keys are not read; write the values out")
            else:
                own[key.value] = self.lines[full] = line
                values[key.value] = self.make(value, full, inner)
        return values

    def _scalar(self, node: yaml.ScalarNode, name: str) -> Any:
        kind, text = node.tag.removeprefix(PREFIX), node.value
        if kind == "str":
            return text
        if kind not in PLAIN or not PLAIN[kind].fullmatch(text):
            return self._refuse(node, name, f"the tag {_tag(node)} is not read; write a plain value")
        if kind == "null":
            return None
        if kind == "bool":
            return text.lower() == "true"
        if len(text) > LONGEST_NUMBER:
            return self._refuse(node, name, f"a number of {len(text)} characters")
        return int(text) if kind == "int" else float(text)

    def _refuse(self, node: yaml.Node, name: str, what: str) -> None:
        self.problems.append(f"{name or 'the file'} (line {node.start_mark.line + 1}): {what}")


def _tag(node: yaml.Node) -> str:
    return node.tag.replace(PREFIX, "!!")
