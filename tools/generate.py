"""Writes what is derived: parameter cells, the generated pages below docs, the README's map and presets.

`python tools/generate.py` writes, `python tools/generate.py --check` exits 1 when a file would change.
"""

import ast
import sys
from pathlib import Path

import nbformat
import yaml
from pydantic.fields import FieldInfo

from isheep_lib import benchmarks, drift, harness
from isheep_lib.catalogue import BENCHMARKS, PACKAGES
from isheep_lib.filter import MEANINGS
from isheep_lib.params import OTHER_PARAMS, SECTIONS, STAGE_PARAMS, Place, Section, Shard, is_execution
from isheep_lib.params_check import check
from isheep_lib.params_file import load_run
from isheep_lib.sweep import SweepFile, choices

ROOT = Path(__file__).resolve().parents[1]
MAP_START, MAP_END = "<!-- map: generated -->", "<!-- end of map -->"
PRESETS_START, PRESETS_END = "<!-- presets: generated -->", "<!-- end of presets -->"
WIDTH = 128
PRESETS = ("isheep-paper", "isheep-as-released", "isheep-fixed")


def annotation(kind: type[Section], name: str) -> str:
    """Name the plain builtin type that papermill can read."""
    value = kind.model_fields[name].default
    return "list" if isinstance(value, list) else type(value).__name__


def literal(value: object) -> str:
    """Write a default as Python, with double quotes as ruff wants them."""
    return repr(value).replace("'", '"')


def default(field: FieldInfo) -> str:
    """Write a field's default, or that it must be given."""
    return "must be given" if field.is_required() else f"`{literal(field.default)}`"


def parameter_cell(kind: type[Section]) -> str:
    """Write the parameters cell of a notebook: one literal a line, with its meaning."""
    lines = [
        f"{name}: {annotation(kind, name)} = {literal(field.default)}  # {field.description}"
        for name, field in kind.model_fields.items()
    ]
    # papermill reads one parameter a line, so the formatter must leave long ones as they are.
    return "\n".join(line + ("  # fmt: skip" if len(line) > WIDTH else "") for line in lines)


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
    if schema.get("type") == "object":
        return "mapping"
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
    kinds = {"top level": Place, **SECTIONS, "a worker of synthesize or assess": Shard}
    kinds |= {f"{name}.ipynb": kind for name, kind in OTHER_PARAMS.items()} | {"a sweep file": SweepFile}
    for title, kind in kinds.items():
        properties = kind.model_json_schema()["properties"]
        rows = [
            f"| `{name}` | {allowed(properties[name])} | {default(field)} | {field.description}"
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


def values_of(parameter: str) -> str:
    """Write what a parameter, section.name, may be."""
    section, name = parameter.split(".")
    return allowed(SECTIONS[section].model_json_schema()["properties"][name])


def settings_text() -> str:
    """Return docs/settings.md."""
    known = yaml.safe_load((ROOT / "tools/axes.yaml").read_text(encoding="utf-8"))
    parts = [
        "# Settings by name",
        "",
        "Generated from `tools/axes.yaml` and `isheep_lib/params.py` by `make docs`.",
        "",
        "## Every axis, its parameter, and the test that covers it",
        "",
        "| axis | parameter | values | test |",
        "|---|---|---|---|",
    ]
    for row in known["axes"]:
        names = "<br>".join(f"`{name}`" for name in row["parameters"])
        values = "<br>".join(values_of(name) for name in row["parameters"])
        parts.append(f"| {row['axis']} | {names} | {values} | `{row['test'].replace('::', '` `')}` |")
    parts += [
        "",
        "## Settings and baselines one at a time",
        "",
        "Each is a run of its own beside the others, such as",
        "`isheep iterate 3 --params params/isheep-paper.yaml --run one-last --override "
        '"model.base_model:ORG/NAME@COMMIT train.setting:one_last"`.',
        "What two runs have in common is made once: a stage with the same fingerprint in a run beside this one is taken over.",
        "",
        "| setting | iterations | override | meaning |",
        "|---|---|---|---|",
        *(f"| {r['name']} | {r['iteration']} | `{r['override'] or '(none)'}` | {r['note']} |" for r in known["settings"]),
    ]
    parts += [
        "",
        "## The paper's ablations, each one command",
        "",
        "`isheep ablate params/ablations/FILE.yaml` plans a sweep, shows what its runs share, estimates tokens and hours",
        "from a probe, runs what is missing, and ends in one table with random controls and paired tests. `--dry` stops",
        "before the runs. What such a file may hold: [parameters.md](parameters.md).",
        "",
        "| file | iterations | axis | values |",
        "|---|---|---|---|",
    ]
    for path in sorted((ROOT / "params/ablations").glob("*.yaml")):
        file = check(SweepFile, yaml.safe_load(path.read_text(encoding="utf-8")), path.name)
        for axis, values in file.axes.items():
            shown = [f"`{name}`: `{override or '(none)'}`" for name, override, _ in choices(axis, values)]
            parts.append(f"| `{path.name}` | {file.iterations} | {axis} | {'<br>'.join(shown)} |")
    return "\n".join(parts) + "\n"


def benchmarks_text() -> str:
    """Return docs/benchmarks.md."""
    parts = [
        "# Benchmarks",
        "",
        "Generated from `isheep_lib/catalogue.py`, `isheep_lib/tasks` and `isheep_lib/drift.py` by `make docs`.",
        "What the numbers mean, how data of your own are used and how code is confined: [evaluation.md](evaluation.md).",
        "",
        "The paper does not state its few-shot counts. Here every benchmark is asked without examples; MMLU's data hold five a",
        "subject, of which `evaluate.few_shot` are shown.",
        "",
        "| name | items | split | asked by | new tokens | first metric | data | licence of the data | in the paper |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    asked = {".": "our task file", "": "this package"}
    for row in BENCHMARKS.values():
        data = f"`{PACKAGES[row.package]}`" if row.package else "your own file, or the hub"
        limit = row.tokens or ("none" if row.kind == "choice" else "`answer_tokens`")
        cells = (f"`{row.name}`: {row.title}", row.items, row.split, asked.get(row.tasks, "lm-eval"), limit)
        cells += (f"`{row.metric}`", data, row.licence, row.paper)
        parts.append(f"| {' | '.join(map(str, cells))} |")
    parts += [
        "",
        "## What is asked",
        "",
        "Names in ⟨⟩ are the columns whose text stands there; after the arrow, the continuations whose probabilities are",
        "compared. A model with a chat frame gets these words as the user's, and for code a variant of its own. What no",
        "package ships data for is asked as the files in `isheep_lib/tasks` say.",
    ]
    shown = benchmarks.open_suite([f"{name}:1" for name in BENCHMARKS], [], 0).of("choice", "answer", "code")
    plain, framed = (harness.prompts(shown, chat, lambda said, **_: said[-1]["content"]) for chat in (False, True))
    for name, text in plain.items():
        parts += ["", f"### {BENCHMARKS[name].title}", "", "````", text, "````"]
        if BENCHMARKS[name].chat_task:
            parts += ["", "With a chat frame:", "", "````", framed[name], "````"]
    rules = drift.rule_rows()
    parts += ["", "## When the signs of a collapse warn", "", f"| {' | '.join(rules[0])} |", "|---|---|---|"]
    parts += [f"| {' | '.join(rule.values())} |" for rule in rules]
    return "\n".join(parts) + "\n"


def presets_text() -> str:
    """Return the table of the presets' differences."""
    runs = [load_run(ROOT / "params" / f"{name}.yaml").model_dump(exclude={"run"}) for name in PRESETS]
    lines = [f"| parameter | {' | '.join(f'`{name}`' for name in PRESETS)} | meaning |", "|---|" + "---|" * (len(PRESETS) + 1)]
    for section, kind in SECTIONS.items():
        for name, field in kind.model_fields.items():
            found = [literal(run[section][name]) for run in runs]
            if len(set(found)) > 1:
                lines.append(f"| `{section}.{name}` | {' | '.join(f'`{text}`' for text in found)} | {field.description} |")
    return "\n".join(lines)


def between(text: str, start: str, end: str, content: str) -> str:
    """Return a text with what stands between two marks renewed."""
    head, _, rest = text.partition(start)
    _, _, tail = rest.partition(end)
    return f"{head}{start}\n{content}\n{end}{tail}"


def first_sentence(path: Path) -> str:
    """Return the first line of a module's docstring."""
    return (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").split("\n")[0]


def map_text() -> str:
    """Return the README with its map and its table of presets renewed."""
    lines = ["```"]
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        quote = next(c.source for c in nbformat.read(path, as_version=4).cells if c.cell_type == "markdown").split("\n")
        lines.append(f"{'notebooks/' + path.name:44s} {next(line[2:] for line in quote if line.startswith('> '))}")
    for path in sorted((ROOT / "isheep_lib").rglob("*.py")):
        lines.append(f"{path.relative_to(ROOT)!s:44s} {first_sentence(path)}")
    lines += [
        f"{path.relative_to(ROOT)!s:44s} {path.read_text().split(chr(10))[0][2:]}"
        for path in [*sorted((ROOT / "params").glob("*.yaml")), *sorted((ROOT / "params/ablations").glob("*.yaml"))]
    ]
    lines.append("```")
    readme = between((ROOT / "README.md").read_text(encoding="utf-8"), MAP_START, MAP_END, "\n".join(lines))
    return between(readme, PRESETS_START, PRESETS_END, presets_text())


def main() -> None:
    """Write or check every generated file."""
    kinds = {**STAGE_PARAMS, **OTHER_PARAMS}
    files = {ROOT / "notebooks" / f"{name}.ipynb": notebook_text(name, kind) for name, kind in kinds.items()}
    files |= {
        ROOT / "docs/parameters.md": parameters_text(),
        ROOT / "docs/rules.md": rules_text(),
        ROOT / "docs/settings.md": settings_text(),
        ROOT / "docs/benchmarks.md": benchmarks_text(),
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
