"""Writes what is derived from the code: parameter cells, docs/parameters.md, docs/rules.md, the README's map.

`python tools/generate.py` writes, `python tools/generate.py --check` exits 1 when a file would change.
"""

import ast
import sys
from pathlib import Path

import nbformat

from isheep_lib.filter import MEANINGS
from isheep_lib.params import SECTIONS, STAGE_PARAMS, IterateParams, Place, Section, Shard, is_execution

ROOT = Path(__file__).resolve().parents[1]
MAP_START, MAP_END = "<!-- map: generated -->", "<!-- end of map -->"


def annotation(kind: type[Section], name: str) -> str:
    """Name the plain builtin type that papermill can read."""
    value = kind.model_fields[name].default
    return "list" if isinstance(value, list) else type(value).__name__


def literal(value: object) -> str:
    """Write a default as Python, with double quotes as ruff wants them."""
    return repr(value).replace("'", '"')


def parameter_cell(kind: type[Section]) -> str:
    """Write the parameters cell of a notebook: one literal a line, with its meaning."""
    lines = [
        f"{name}: {annotation(kind, name)} = {literal(field.default)}  # {field.description}"
        for name, field in kind.model_fields.items()
    ]
    return "\n".join(lines)


def notebook_text(name: str, kind: type[Section]) -> str:
    """Return a notebook with its parameters cell renewed."""
    book = nbformat.read(ROOT / "notebooks" / f"{name}.ipynb", as_version=4)
    (cell,) = [cell for cell in book.cells if "parameters" in cell.metadata.get("tags", [])]
    cell.source = parameter_cell(kind)
    return nbformat.writes(book) + "\n"


def allowed(schema: dict) -> str:
    """Write a field's type and limits from its JSON schema."""
    if "enum" in schema:
        return ", ".join(schema["enum"])
    if schema.get("type") == "array":
        return f"list of {allowed(schema['items'])}"
    words = {"minimum": "at least", "exclusiveMinimum": "above", "maximum": "at most", "exclusiveMaximum": "below"}
    limits = [f"{word} {schema[key]:g}" for key, word in words.items() if key in schema]
    return " ".join([schema.get("type", ""), ", ".join(limits)]).strip()


def parameters_text() -> str:
    """Return docs/parameters.md."""
    parts = [
        "# Parameters",
        "",
        "Generated from `isheep_lib/params.py` by `make docs`. A params file has `run` and `seed` at the top and one section a",
        "heading below. *speed only* marks a parameter that may differ between sessions of one run; in bfloat16 last bits may",
        "follow it.",
    ]
    kinds = {"top level": Place, **SECTIONS, "a worker of synthesize or assess": Shard, "iterate.ipynb": IterateParams}
    for title, kind in kinds.items():
        properties = kind.model_json_schema()["properties"]
        rows = [
            f"| `{name}` | {allowed(properties[name])} | `{literal(field.default)}` | {field.description}"
            f"{' (*speed only*)' if is_execution(kind, name) else ''} |"
            for name, field in kind.model_fields.items()
        ]
        parts += ["", f"## {title}", "", "| name | allowed | default | meaning |", "|---|---|---|---|", *rows]
    return "\n".join(parts) + "\n"


def rules_text() -> str:
    """Return docs/rules.md."""
    rows = [f"| `{name}` | {meaning} |" for name, meaning in MEANINGS.items()]
    head = "# Reasons to drop a pair\n\nGenerated from `isheep_lib/filter.py` (`make docs`), in the order of application.\n\n"
    return head + "| reason | meaning |\n|---|---|\n" + "\n".join(rows) + "\n"


def first_sentence(path: Path) -> str:
    """Return the first line of a module's docstring."""
    return (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").split("\n")[0]


def map_text() -> str:
    """Return the README with its map renewed."""
    lines = ["```"]
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        quote = next(c.source for c in nbformat.read(path, as_version=4).cells if c.cell_type == "markdown").split("\n")
        lines.append(f"{'notebooks/' + path.name:44s} {next(line[2:] for line in quote if line.startswith('> '))}")
    for path in sorted((ROOT / "isheep_lib").rglob("*.py")):
        lines.append(f"{path.relative_to(ROOT)!s:44s} {first_sentence(path)}")
    lines += [
        f"{path.relative_to(ROOT)!s:44s} {path.read_text().split(chr(10))[0][2:]}"
        for path in sorted((ROOT / "params").glob("*.yaml"))
    ]
    lines.append("```")
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    head, _, rest = readme.partition(MAP_START)
    _, _, tail = rest.partition(MAP_END)
    return f"{head}{MAP_START}\n" + "\n".join(lines) + f"\n{MAP_END}{tail}"


def main() -> None:
    """Write or check every generated file."""
    kinds = {**STAGE_PARAMS, "iterate": IterateParams}
    files = {ROOT / "notebooks" / f"{name}.ipynb": notebook_text(name, kind) for name, kind in kinds.items()}
    files |= {
        ROOT / "docs/parameters.md": parameters_text(),
        ROOT / "docs/rules.md": rules_text(),
        ROOT / "README.md": map_text(),
    }
    old = [path for path, text in files.items() if not path.is_file() or path.read_text(encoding="utf-8") != text]
    if "--check" in sys.argv:
        sys.exit("\n".join(f"{path.relative_to(ROOT)} is not up to date: run make docs" for path in old) or 0)
    for path in old:
        path.write_text(files[path], encoding="utf-8")
        print(f"wrote {path.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
