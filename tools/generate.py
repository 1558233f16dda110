"""Writes what is derived: parameter cells, and the generated pages and tables below docs.

`python tools/generate.py` writes, `python tools/generate.py --check` exits 1 when a file would change.
"""

import ast
import sys
from pathlib import Path
from types import SimpleNamespace

import artifact
import language_table
import methods_table
import nbformat
import training_memory
import yaml
from methods_table import idea
from pydantic.fields import FieldInfo

from isheep_lib.ablate.sweep import SweepFile, Value, choices
from isheep_lib.analysis import collapse
from isheep_lib.benchmarks import lm_eval_tasks
from isheep_lib.benchmarks.catalogue import BENCHMARKS, PACKAGES
from isheep_lib.benchmarks.data import UNCHECKED, open_suite, read_docs
from isheep_lib.constraints.family import FAMILIES, GROUPS, Family, selected
from isheep_lib.engines.open import KINDS
from isheep_lib.filter import pair_kinds
from isheep_lib.filter.steps.table import MEANINGS, STEPS
from isheep_lib.iterate.grade import MEANINGS as GRADES
from isheep_lib.iterate.run_params import SECTIONS, STAGE_PARAMS, load_run
from isheep_lib.languages import words
from isheep_lib.languages.rules import in_words
from isheep_lib.notebooks import OTHER_PARAMS
from isheep_lib.params.check import check
from isheep_lib.params.kinds import Place, Section, Shard, is_execution
from isheep_lib.synthesize.all_methods import METHODS
from isheep_lib.synthesize.extras.own import part_of_learner
from isheep_lib.synthesize.params import Synthesize
from isheep_lib.synthesize.rules import MEANINGS as INSTRUCTION_MEANINGS
from isheep_lib.train import batch_plan
from isheep_lib.train.objectives.table import OBJECTIVES

ROOT = Path(__file__).resolve().parents[1]
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
    if "anyOf" in schema:
        return " or ".join(map(allowed, schema["anyOf"]))
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
        "Generated from the rooms' `params.py` by `make docs`. A params file has `run` and `seed` at the top and one section",
        "for each heading below. *speed only* marks a parameter that may differ between sessions of one run; in bfloat16 last",
        "bits may follow it.",
    ]
    kinds = {"top level": Place, **SECTIONS, "a worker of synthesize or assess": Shard}
    kinds |= {f"{name}.ipynb": kind for name, kind in OTHER_PARAMS.items()} | {"a sweep file": SweepFile}
    kinds |= {"a named value of an axis of a sweep file": Value}
    for title, kind in kinds.items():
        properties = kind.model_json_schema()["properties"]
        rows = [
            f"| `{name}` | {allowed(properties[name])} | {default(field)} | {field.description}"
            f"{' (*speed only*)' if is_execution(kind, name) else ''} |"
            for name, field in kind.model_fields.items()
        ]
        parts += ["", f"## {title}", "", "| name | allowed | default | meaning |", "|---|---|---|---|", *rows]
    return "\n".join(parts) + "\n"


def methods_text() -> str:
    """Return docs/methods.md."""
    learning = (f"`{name}`" for name, method in METHODS.items() if part_of_learner(method))
    parts = [
        "# Ways of writing tasks",
        "",
        "Generated from `isheep_lib/synthesize/methods` by `make docs`. `synthesize.method` chooses one, `synthesize.options`",
        "holds its own parameters; only what is chosen counts in a run's fingerprint. The model itself plays every role.",
        "",
        "Departures from the papers stand in a table below each method. One is common to all: where a paper uses a teacher,",
        "the model takes the role. `synthesize.teacher` can name a foreign model, which then writes the tasks and the answers",
        "that come with them, asked in its own chat template; the run's own model answers the rest. Such a run is *not",
        "self-contained*, as every table and card says beside its grade, and `isheep check` holds each answer against the",
        "model that gave it.",
        f"No teacher writes where the model that is to learn has a part in it: {', '.join(learning)}.",
        "",
        *methods_table.lines(),
    ]
    departures = read_departures()
    for method in METHODS.values():
        properties = method.Options.model_json_schema()["properties"]
        rows = [
            f"| `options.{name}` | {allowed(properties[name])} | {default(field)} | {field.description} |"
            for name, field in method.Options.model_fields.items()
        ]
        parts += ["", f"## `{method.name}`", "", f"{idea(type(method))} Source: {method.source}.", ""]
        parts += [f"Prompts: {', '.join(f'`{name}`' for name in method.prompts)}.", ""]
        parts += ["| parameter | allowed | default | meaning |", "|---|---|---|---|", *rows]
        if method.reasons:
            parts += [
                "",
                "| dropped as | meaning |",
                "|---|---|",
                *(f"| `{n}` | {text} |" for n, text in method.reasons.items()),
            ]
        parts += departures_table(departures, method.name)
    for step in (step for step in STEPS.values() if step.name in departures):
        own = [name for name in vars(step.options)["__annotations__"] if name in step.options.model_fields]
        properties = step.options.model_json_schema()["properties"]
        fields = {name: step.options.model_fields[name] for name in own}
        parts += ["", f"## Selection: the step `{step.name}` of the filter", "", idea(type(step))]
        parts += ["", "| parameter | allowed | default | meaning |", "|---|---|---|---|"]
        parts += [f"| `filter.{n}` | {allowed(properties[n])} | {default(f)} | {f.description} |" for n, f in fields.items()]
        parts += departures_table(departures, step.name)
    return "\n".join(parts) + "\n"


def read_departures() -> dict[str, list[dict[str, str]]]:
    """Read what methods do otherwise than their papers, and why, by name."""
    known: dict[str, list[dict[str, str]]] = {}
    for path in sorted((ROOT / "tools/departures").glob("*.yaml")):
        known |= yaml.safe_load(path.read_text(encoding="utf-8"))
    if unknown := sorted(set(known) - {*METHODS, *STEPS}):
        sys.exit(f"tools/departures: no method or step {', '.join(unknown)}")
    return known


def departures_table(known: dict[str, list[dict[str, str]]], name: str) -> list[str]:
    """Return the lines that say what a method does otherwise than its paper, and why; [] where nothing is."""
    rows = [f"| {row['paper']} | {row['here']} | {row['why']} |" for row in known.get(name, [])]
    return ["", "| paper | here | why |", "|---|---|---|", *rows] if rows else []


def rules_text() -> str:
    """Return docs/rules.md."""
    head = "# Reasons to drop a pair\n\nGenerated from `isheep_lib/filter` (`make docs`), in the order of application.\n\n"
    before = (
        "## Reasons to drop an instruction\n\nBefore it has a response (`isheep_lib/synthesize/rules.py`), in this order.\n\n"
    )
    alone = "## Reasons why an answer is in no pair of answers\n\nIn `unpaired.jsonl`, where there are `preferences`.\n\n"
    pairs = f"{head}{_reasons(MEANINGS)}\n{alone}{_reasons(pair_kinds.MEANINGS)}"
    return f"{pairs}\n{before}{_reasons(INSTRUCTION_MEANINGS)}\n{words_text()}\n{language_table.section()}"


# Texts whose words docs/rules.md shows.
SPELLED = (
    *("Don't write 3.5 haiku!", "写一首关于春天的诗", "用Python写代码", "東京タワーへ行く", "한국어로 시를 써 주세요"),
    *("اكتب قصيدة عن الربيع", "हिन्दी में लिखिए", "น้ำดีมาก", "Écris « café » 👍"),
)


def words_text() -> str:
    """Say what a word is."""
    head = """## What a word is

One definition for all scripts (`isheep_lib/languages/words.py`), by Unicode's word segmentation (UAX 29) and without a
dictionary, so the same on every machine. Words are runs of letters, digits and the marks on them; in scripts without spaces
(Chinese, Japanese, Thai, Lao, Khmer, Burmese) each character as a reader sees it is one, and a run of Katakana is one. Emoji
and punctuation are none. Texts are compared in lower case, however their letters were typed. Which letters there are the
package `regex` decides; its version is in the fingerprint.

- The length of an instruction (in English 4 to 150 words) counts what stands between spaces, as the released code does, and the
  characters of scripts without spaces.
- Near duplicates are compared by the words of the package rouge_score in Latin script (runs of a to z and digits), and by all
  words of other scripts, in their order. Equal texts are always duplicates, also without a word.
- Where a number of words stands for how much is said (5 for an echo, 6 and 13 for an item of a benchmark), two characters of
  a script without spaces count as one.

| text | compared by | counted | near duplicates by |
|---|---|---|---|"""
    rows = [
        f"| {text} | {' · '.join(words.words(text))} | {words.count_words(text)} | {' · '.join(words.rouge_words(text))} |"
        for text in SPELLED
    ]
    return "\n".join([head, *rows]) + "\n"


def _reasons(meanings: dict[str, str]) -> str:
    rows = [f"| `{name}` | {meaning} |" for name, meaning in meanings.items()]
    return "| reason | meaning |\n|---|---|\n" + "\n".join(rows) + "\n"


def values_of(parameter: str) -> str:
    """Write what a parameter, section.name, may be; options are those of the method that is the default."""
    section, *path = parameter.split(".")
    kind = Synthesize().chosen.Options if path[0] == "options" else SECTIONS[section]
    return allowed(kind.model_json_schema()["properties"][path[-1]])


def settings_text() -> str:
    """Return docs/settings.md."""
    known = yaml.safe_load((ROOT / "tools/axes.yaml").read_text(encoding="utf-8"))
    parts = [
        "# Settings by name",
        "",
        "Generated from `tools/axes.yaml` and `isheep_lib/iterate/run_params.py` by `make docs`.",
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
        '`isheep iterate 3 --params params/isheep-paper.yaml --run one-last --override "train.setting:one_last"`.',
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
        "`isheep ablate params/ablations/FILE.yaml` plans a sweep, shows what its runs share, estimates tokens and hours from",
        "records at hand, runs what is missing, and ends in one table with random controls and paired tests. `--dry` stops",
        "before the runs. What such a file may hold: [parameters.md](parameters.md).",
        "",
        "| file | iterations | axis | values |",
        "|---|---|---|---|",
    ]
    for path in sorted((ROOT / "params/ablations").glob("*.yaml")):
        file = check(SweepFile, yaml.safe_load(path.read_text(encoding="utf-8")), path.name)
        for axis, values in file.axes.items():
            shown = [f"`{name}`: {_value_text(value)}" for name, value in choices(axis, values)]
            parts.append(f"| `{path.name}` | {file.iterations} | {axis} | {'<br>'.join(shown)} |")
    return "\n".join(parts) + "\n"


def _value_text(value: Value) -> str:
    changes = f"`{value.override or '(none)'}`"
    return f"`{value.params}`" + (f", {changes}" if value.override else "") if value.params else changes


def benchmarks_text() -> str:
    """Return docs/benchmarks.md."""
    parts = [
        "# Benchmarks",
        "",
        "Generated from `isheep_lib/benchmarks` and `isheep_lib/analysis/collapse.py` by `make docs`.",
        "What the numbers mean, how data of your own are used and how code is confined: [evaluation.md](evaluation.md).",
        "",
        "The paper does not state its few-shot counts. Here every benchmark is asked without examples; MMLU's data hold five a",
        "subject, of which `evaluate.few_shot` are shown.",
        "",
        "| name | language | items | split | asked by | new tokens | first metric | data | licence | in the paper |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    asked = {".": "our task file", "": "this package"}
    for row in BENCHMARKS.values():
        data = f"`{PACKAGES[row.package]}`" if row.package else "your own file, or the hub"
        limit = row.tokens or ("none" if row.kind == "choice" else "`answer_tokens`")
        cells = (
            f"`{row.name}`: {row.title}",
            in_words(row.language),
            row.items,
            row.split,
            asked.get(row.tasks, "lm-eval"),
            limit,
        )
        cells += (f"`{row.metric}`", data, row.licence, row.paper)
        parts.append(f"| {' | '.join(map(str, cells))} |")
    parts += [
        "",
        "## What is asked",
        "",
        "Names in ⟨⟩ are the columns whose text stands there; after the arrow, the continuations whose probabilities are",
        "compared. A model with a chat frame gets these words as the user's, and for code a variant of its own. What no",
        "package ships data for is asked as the files in `isheep_lib/benchmarks/tasks` say.",
    ]
    shown = open_suite([f"{name}:1" for name in BENCHMARKS], [], 0).of("choice", "answer", "code")
    plain, framed = (lm_eval_tasks.prompts(shown, chat, lambda said, **_: said[-1]["content"]) for chat in (False, True))
    for name, text in plain.items():
        parts += ["", f"### {BENCHMARKS[name].title}", "", "````", text, "````"]
        if BENCHMARKS[name].kind == "code":
            parts += ["", "With a chat frame:", "", "````", framed[name], "````"]
    rules = collapse.rule_rows()
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


def between(text: str, name: str, content: str) -> str:
    """Return a text with what stands between the two marks of a name renewed."""
    start, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
    head, found, rest = text.partition(start)
    _, closed, tail = rest.partition(end)
    if not found or not closed:
        raise SystemExit(f"{start} and {end} stand in no page that they are meant for")
    return f"{head}{start}\n{content}\n{end}{tail}"


def first_sentence(path: Path) -> str:
    """Return the first line of a module's docstring."""
    return (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").split("\n")[0]


def paper_settings_text() -> str:
    """Return docs/paper.md with its table of presets and its list of params files renewed."""
    paths = [*sorted((ROOT / "params").glob("*.yaml")), *sorted((ROOT / "params/ablations").glob("*.yaml"))]
    files = [(path, path.read_text(encoding="utf-8").split("\n")[0].removeprefix("# ")) for path in paths]
    listed = table([{"file": f"`{path.relative_to(ROOT)}`", "what it is": first} for path, first in files])
    text = between((ROOT / "docs/paper.md").read_text(encoding="utf-8"), "presets", presets_text())
    return between(text, "params files", listed)


def engines_text() -> str:
    """Return docs/engines.md with its table of engines renewed."""
    rows = [{"engine": f"`{name}`", "for": kind.purpose, "needs": kind.needs} for name, kind in KINDS.items()]
    return between((ROOT / "docs/engines.md").read_text(encoding="utf-8"), "engines", table(rows))


def training_text() -> str:
    """Return docs/training.md with its tables of objectives and of pairs of answers renewed."""
    text = (ROOT / "docs/training.md").read_text(encoding="utf-8")
    rows = [
        {
            "`train.objective`": f"`{objective.name}`",
            "what is minimised": idea(type(objective)),
            "learns from": "`pairs.jsonl`" if objective.of_pairs else "`kept.jsonl`",
            "reference": "the start" if objective.has_reference else "none",
            "`train.objective_options`": "<br>".join(_own(objective.Options)) or "none",
            "source": objective.source,
        }
        for objective in OBJECTIVES.values()
    ]
    kinds = [{"`filter.preferences`": f"`{name}`", "a pair": idea(type(kind))} for name, kind in pair_kinds.KINDS.items()]
    return between(between(text, "objectives", table(rows)), "kinds of pairs", table(kinds))


def _own(options: type[Section]) -> list[str]:
    """Describe parameters, each in a line."""
    fields = options.model_json_schema().get("properties", {})
    return [f"`{n}` ({allowed(fields[n])}; {default(field)}): {field.description}" for n, field in options.model_fields.items()]


def constraints_text() -> str:
    """Return docs/constraints.md with its tables of groups, grades, families and types renewed."""
    text = (ROOT / "docs/constraints.md").read_text(encoding="utf-8")
    groups = [{"group": f"`{n}`", "families": len(selected([n])), "which": said} for n, (said, _) in GROUPS.items()]
    text = between(text, "groups", table(groups))
    text = between(text, "grades", table([{"grade": name, "what it means": said} for name, said in GRADES.items()]))
    rows = [
        {
            "family": f"`{family.name}`",
            "asked, for example": family.text(family.choices()[0], 0).replace("|", "\\|"),
            "arguments": ranges(family),
            "IFEval": names(family.ifeval),
            "IFBench": names(family.ifbench),
            "met unasked": family.rarity,
        }
        for family in FAMILIES.values()
    ]
    counted = [types_counted(name) for name in ("ifeval", "ifbench")]
    return between(text, "families", "\n\n".join([table(rows), *counted]))


def ranges(family: Family) -> str:
    """Write the values that a family's arguments may have."""
    return "; ".join(f"{name}: {', '.join(map(str, values))}" for name, values in family.values.items())


def names(found: tuple[str, ...]) -> str:
    """Write names of types, or that there is none."""
    return ", ".join(f"`{name}`" for name in found) or "none"


def types_counted(benchmark: str) -> str:
    """Count our families against a benchmark's types, by name."""
    kinds = sorted({kind for doc in read_docs(BENCHMARKS[benchmark]) for kind in doc["instruction_id_list"]})
    like = {kind: tuple(f.name for f in FAMILIES.values() if kind in getattr(f, benchmark)) for kind in kinds}
    met, apart = sum(map(bool, like.values())), len(selected([f"disjoint_from_{benchmark}"]))
    title = BENCHMARKS[benchmark].title
    rows = [
        {f"type of {title}": f"`{kind}`{' (not asked)' if kind in UNCHECKED else ''}", "families like it": names(found)}
        for kind, found in like.items()
    ]
    head = (
        f"{title}'s {len(kinds)} types: {met} are like a family, {len(kinds) - met} are not. Of our {len(FAMILIES)} families "
    )
    head += f"{apart} are unlike all of them."
    return f"### {title}\n\n{head}\n\n{table(rows)}"


def rooms() -> list[list[str]]:
    """Return the table of rooms, lowest row first, that tests/test_rooms.py holds imports against."""
    for node in ast.parse((ROOT / "tests/test_rooms.py").read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "ROOMS":
            return ast.literal_eval(node.value)
    raise SystemExit("tests/test_rooms.py holds no table ROOMS")


def rooms_text() -> str:
    """Return the tree of rooms: the highest row first, rooms inside a room below it, rows told apart by a blank line."""
    rows = []
    for row in reversed(rooms()):
        lines = []
        for room in row:
            folder = ROOT / "isheep_lib" / room
            inner = sorted(folder.rglob("*/__init__.py")) if folder.is_dir() else []
            for path in [folder / "__init__.py", *inner] if folder.is_dir() else [folder.with_suffix(".py")]:
                place = path.parent if path.name == "__init__.py" else path
                name = f"{'  ' * (len(place.relative_to(folder.parent).parts) - 1)}{place.name}{'/' if place.is_dir() else ''}"
                lines.append(f"{name:15s} {first_sentence(path)}")
        rows.append("\n".join(lines))
    return "```\n" + "\n\n".join(rows) + "\n```"


def notebooks_text() -> str:
    """Return the list of notebooks, each with the sentence that it begins with."""
    rows = []
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        first = next(c.source for c in nbformat.read(path, as_version=4).cells if c.cell_type == "markdown")
        said = next(line[2:] for line in first.split("\n") if line.startswith("> "))
        rows.append({"notebook": f"[{path.name}](../notebooks/{path.name})", "what it shows": said})
    return table(rows)


def architecture_text() -> str:
    """Return docs/architecture.md with its tree of rooms and its list of notebooks renewed."""
    text = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    return between(between(text, "rooms", rooms_text()), "notebooks", notebooks_text())


def training(path: Path) -> SimpleNamespace:
    """Return a params file's recipe of training, with its number format; the tables say on how many processes."""
    run = load_run(path)
    alone = {"num_processes": 1, "num_machines": 1, "parallel": "ddp", "gradient_checkpointing": False}
    return SimpleNamespace(**{**vars(run.train), "dtype": run.model.dtype, **alone})


def changed(params: SimpleNamespace, **changes: object) -> SimpleNamespace:
    """Return parameters with changes."""
    return SimpleNamespace(**{**vars(params), **changes})


def table(rows: list[dict[str, object]]) -> str:
    """Write rows as a Markdown table."""
    lines = [f"| {' | '.join(rows[0])} |", "|---" * len(rows[0]) + "|"]
    return "\n".join([*lines, *(f"| {' | '.join(map(str, row.values()))} |" for row in rows)])


def gigabytes(number: float) -> str:
    """Write bytes as GB with two digits that count."""
    return f"{number / 1e9:.0f}" if number > 9.95e9 else f"{number / 1e9:.2g}"


def batches_text() -> str:
    """Return the table of passes that a process makes before a step, with the paper's 16 rows per step."""
    paper, rows = training(ROOT / "params/isheep-paper.yaml"), []
    for processes in (1, 2, 4, 8, 16, 32):
        row: dict[str, object] = {"`train.num_processes`": processes}
        for micro in (1, 2, 4, 8):
            exact = paper.train_batch % (micro * processes) == 0
            given = changed(paper, num_processes=processes, micro_batch=micro)
            row[f"`train.micro_batch:{micro}`"] = batch_plan.accumulation(given) if exact else "refused"
        rows.append(row)
    return table(rows)


def measured_text(known: dict, shapes: dict[str, training_memory.Shape]) -> str:
    """Return the table of measured trainings beside what the formulas say."""
    rows, (shape, *_) = [], shapes.values()
    for one in known["measured"]:
        names = ("method", "dtype", "micro_batch", "gradient_checkpointing")
        params = changed(training(ROOT / "params/isheep-paper.yaml"), **{name: one[name] for name in names})
        terms = training_memory.memory(shape, params, tokens=256, learned=128, device="cpu")
        said = sum(terms.values()) / 1e6
        row: dict[str, object] = {"`method`": one["method"], "`dtype`": one["dtype"], "`micro_batch`": one["micro_batch"]}
        row |= {
            "checkpointing": "yes" if one["gradient_checkpointing"] else "no",
            "activations (MB)": f"{terms['activations'] / 1e6:.0f}",
        }
        row |= {"predicted (MB)": f"{said:.0f}", "measured (MB)": one["peak_mb"], "ratio": f"{one['peak_mb'] / said:.2f}"}
        rows.append(row | {"share of a product's rate": f"{one['share_of_product']:.2f}"})
    return table(rows)


def estimates_text(known: dict, shapes: dict[str, training_memory.Shape]) -> str:
    """Return the tables of memory, of the fewest GPUs and of hours for every params file, those that agree in one row."""
    found: dict[tuple, list[str]] = {}
    for path in sorted((ROOT / "params").glob("*.yaml")):
        key = (load_run(path).model.base_model, tuple((k, str(v)) for k, v in vars(training(path)).items()))
        if key[0] in shapes:  # Gemma's layout is not Llama's, which alone is worked out
            found.setdefault(key, []).append(path.stem)
    groups = {f"{', '.join(f'`{stem}`' for stem in stems)}": (shapes[key[0]], stems[0]) for key, stems in found.items()}
    given = {name: (shape, training(ROOT / f"params/{stem}.yaml")) for name, (shape, stem) in groups.items()}
    tables = {
        "Memory of one GPU that trains alone (GB)": memory_row,
        "Fewest GPUs, without / with gradient checkpointing (GB on each)": gpus_row,
        "Eight GPUs with gradient checkpointing": lambda *one: hours_row(known, *one),
    }
    parts = []
    for title, row in tables.items():
        parts += [f"### {title}", table([{"params file": name, **row(*one)} for name, one in given.items()])]
    return "\n\n".join([*parts, paper_text(known, shapes)])


def paper_text(known: dict, shapes: dict[str, training_memory.Shape]) -> str:
    """Hold the estimate of the paper's own training against the hours that the paper reports."""
    path = ROOT / "params/isheep-paper.yaml"
    shape = shapes[load_run(path).model.base_model]
    params = changed(training(path), num_processes=8, parallel="zero3", gradient_checkpointing=True)
    sending = training_memory.sending_seconds(shape, params, 10**9, known["links"]["A800 in one machine"])
    rows = (training_memory.ROW_TOKENS, params.max_length)
    short, long = (training_memory.computing_seconds(shape, params, 10**9, tokens, known["peaks"]["A800"]) for tokens in rows)
    return (
        "The paper reports about 4 hours for an iteration of 72B on 8 A800-80GB. By these numbers its training (`zero3`)\n"
        f"takes {hours(max(short, sending))} to {hours(long + sending)} of them; the rest is synthesis, answers, assessment "
        "and loading. The estimate\nis consistent with the paper's number and not confirmed by it."
    )


def memory_row(shape: training_memory.Shape, params: SimpleNamespace) -> dict[str, object]:
    """Return one GPU's terms, and what a machine of eight holds while it loads."""
    off, on = (training_memory.memory(shape, changed(params, gradient_checkpointing=again)) for again in (False, True))
    learns = sum(off[name] for name in ("trained weights", "gradients", "optimizer"))
    eight = {k: training_memory.host_bytes(shape, changed(params, num_processes=8, parallel=k)) for k in ("ddp", "fsdp2")}
    return {
        "weights": f"{shape.parameters / 1e9:.2f} x 10⁹",
        "adapter": f"{training_memory.lora_parameters(shape, params) / 1e6:.1f} x 10⁶",
        "frozen": gigabytes(off["frozen weights"]),
        "frozen, `qlora`": gigabytes(training_memory.frozen_bytes(shape, changed(params, method="qlora"))),
        "adapter, gradients, AdamW": gigabytes(learns),
        "activations": gigabytes(off["activations"]),
        "with checkpointing": gigabytes(on["activations"]),
        "logits": gigabytes(off["logits"]),
        "sum": gigabytes(sum(off.values())),
        "sum with checkpointing": gigabytes(sum(on.values())),
        "machine's memory, 8 processes, `ddp`": gigabytes(eight["ddp"]),
        "`fsdp2`": gigabytes(eight["fsdp2"]),
    }


def gpus_row(shape: training_memory.Shape, params: SimpleNamespace) -> dict[str, object]:
    """Return the fewest GPUs by kind."""
    kinds = {"LoRA, `ddp`": {"parallel": "ddp"}, "LoRA, `fsdp2`": {"parallel": "fsdp2"}, "LoRA, `zero3`": {"parallel": "zero3"}}
    kinds |= {"`qlora`, `ddp`": {"method": "qlora"}, "`full`, `fsdp2`": {"method": "full", "parallel": "fsdp2"}}
    row: dict[str, object] = {}
    for name, choice in kinds.items():
        cells = []
        for again in (False, True):
            given = changed(params, gradient_checkpointing=again, **choice)
            number = training_memory.fewest_gpus(shape, given)
            each = sum(training_memory.memory(shape, changed(given, num_processes=number)).values()) if number else 0
            cells.append(f"{number} ({gigabytes(each)})" if number else "none")
        row[name] = " / ".join(cells)
    return row


def hours_row(known: dict, shape: training_memory.Shape, params: SimpleNamespace) -> dict[str, object]:
    """Return hours of computing and of sending for all rows and epochs."""
    micro = min(params.micro_batch, params.train_batch // 8)
    given = changed(params, num_processes=8, micro_batch=micro, gradient_checkpointing=True, parallel="fsdp2")
    row: dict[str, object] = {}
    for gpu, peak in known["peaks"].items():
        for title, tokens in (
            (f"{training_memory.ROW_TOKENS} tokens per row", training_memory.ROW_TOKENS),
            ("max_length", params.max_length),
        ):
            row[f"hours, {gpu}, {title}"] = hours(training_memory.computing_seconds(shape, given, 10**9, tokens, peak))
    for kind in training_memory.KINDS:
        row[f"`{kind}` sends per step (GB)"] = gigabytes(training_memory.sent_a_step(shape, changed(given, parallel=kind)))
    for link, rate in known["links"].items():
        row[f"hours of sending, `fsdp2`, {link}"] = hours(training_memory.sending_seconds(shape, given, 10**9, rate))
    return row


def hours(seconds: float) -> str:
    """Write seconds as hours."""
    return f"{seconds / 3600:.2f}" if seconds > 36 else "under 0.01"


def scaling_text() -> str:
    """Return docs/scaling.md with its tables renewed."""
    known = yaml.safe_load((ROOT / "tools/shapes.yaml").read_text(encoding="utf-8"))
    rows = {name: {k: v for k, v in row.items() if k != "parameters"} for name, row in known["models"].items()}
    shapes = {name: training_memory.Shape(**row) for name, row in rows.items()}
    text = (ROOT / "docs/scaling.md").read_text(encoding="utf-8")
    text = between(text, "batches", batches_text())
    text = between(text, "measured", measured_text(known, shapes))
    return between(text, "estimates", estimates_text(known, shapes))


def main() -> None:
    """Write or check every generated file."""
    kinds = {**STAGE_PARAMS, **OTHER_PARAMS}
    files = {ROOT / "notebooks" / f"{name}.ipynb": notebook_text(name, kind) for name, kind in kinds.items()}
    files |= {
        ROOT / "docs/parameters.md": parameters_text(),
        ROOT / "docs/rules.md": rules_text(),
        ROOT / "docs/settings.md": settings_text(),
        ROOT / "docs/methods.md": methods_text(),
        ROOT / "docs/benchmarks.md": benchmarks_text(),
        ROOT / "docs/scaling.md": scaling_text(),
        ROOT / "docs/training.md": training_text(),
        ROOT / "docs/architecture.md": architecture_text(),
        ROOT / "docs/engines.md": engines_text(),
        ROOT / "docs/constraints.md": constraints_text(),
        ROOT / "docs/paper.md": paper_settings_text(),
        ROOT / "ARTIFACT.md": artifact.text(),
        **artifact.params_files(),
    }
    old = [path for path, text in files.items() if not path.is_file() or path.read_text(encoding="utf-8") != text]
    if "--check" in sys.argv:
        sys.exit("\n".join(f"{path.relative_to(ROOT)} is not up to date: run make docs" for path in old) or 0)
    for path in old:
        path.write_text(files[path], encoding="utf-8")
        print(f"wrote {path.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
