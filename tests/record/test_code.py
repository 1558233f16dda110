"""The code that decides a result: followed from definition to definition, and the same wherever it stands."""

import ast
import re
import shutil
from pathlib import Path

import nbformat
import pytest

from isheep_lib.assess.params import Assess
from isheep_lib.engines.open import KINDS
from isheep_lib.errors import RecordError
from isheep_lib.filter.params import Filter
from isheep_lib.filter.steps.table import CONTROL, DECONTAMINATE, STEPS
from isheep_lib.iterate.run_params import SECTIONS
from isheep_lib.record.code import PACKAGE, PLUMBING, code_digests
from isheep_lib.record.stages import ORDER
from isheep_lib.scorers.table import SCORERS

ROOT = PACKAGE.parent


def digests(folder: Path, **modules: str) -> dict[str, str]:
    """Write a small package and hash what `room.top.f` reaches."""
    shutil.rmtree(folder, ignore_errors=True)
    for name, text in modules.items():
        path = folder / f"{name.replace('__', '/')}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return code_digests.__wrapped__(("room.top.f",), folder)


@pytest.fixture(autouse=True)
def forget():
    """Let every test read its own files."""
    from isheep_lib.record import code

    code._source.cache_clear()
    yield
    code._source.cache_clear()


def fresh(folder: Path, **modules: str) -> dict[str, str]:
    from isheep_lib.record import code

    code._source.cache_clear()
    return digests(folder, **modules)


PLAIN = "def f(a):\n    return a + 1\n"


@pytest.mark.parametrize(
    "text",
    [
        '"""New."""\n# new\n\n\ndef f( a ):\n    """New."""\n    # why\n    return (a + 1)\n',
        "def f(a: int) -> int:\n    return a + 1\n",
        "import os\nfrom isheep_lib.room.other import y\n\n\ndef f(a):\n    return a + 1\n",
        "def f(a):\n    return a + 1\n\n\ndef g():\n    return 2\n",
    ],
    ids=["comments, docstrings, layout", "annotations", "imports", "what nobody calls"],
)
def test_what_changes_no_result_does_not_count(tmp_path, text):
    assert fresh(tmp_path / "p", room__top=text, room__other="y = 1\n") == fresh(tmp_path / "p", room__top=PLAIN)


@pytest.mark.parametrize(
    "text", ["def f(a):\n    return a + 2\n", "def f(a=0):\n    return a + 1\n", "def f(a, b):\n    return a + 1\n"]
)
def test_what_is_called_counts(tmp_path, text):
    assert fresh(tmp_path / "p", room__top=text) != fresh(tmp_path / "p", room__top=PLAIN)


CALLER = "{imports}\n\n\ndef f(a):\n    return {g}(a) + {x}\n"
HELPER = "X = 1\nX += 1\n\n\ndef g(a):\n    return _h(a)\n\n\ndef _h(a):\n    return a\n\n\ndef unused():\n    return 0\n"
FORMS = [
    ("from isheep_lib.room.low import X, g", "g", "X"),
    ("from isheep_lib.room import low", "low.g", "low.X"),
    ("from isheep_lib.room import low as other", "other.g", "other.X"),
    ("from isheep_lib.room.low import g as h, X as Y", "h", "Y"),
]


@pytest.mark.parametrize(("imports", "g", "x"), FORMS)
def test_every_form_of_import_reaches_the_same_definitions(tmp_path, imports, g, x):
    found = fresh(tmp_path / "p", room__top=CALLER.format(imports=imports, g=g, x=x), room__low=HELPER)
    assert set(found) == {"f", "g", "_h", "X"}
    plain = fresh(tmp_path / "p", room__top=CALLER.format(imports=FORMS[0][0], g="g", x="X"), room__low=HELPER)
    assert found == plain
    assert found != fresh(
        tmp_path / "p", room__top=CALLER.format(imports=imports, g=g, x=x), room__low=HELPER.replace("X += 1", "X += 2")
    )


def test_an_import_inside_a_function_is_followed_too(tmp_path):
    inside = "def f(a):\n    from isheep_lib.room.low import X, g\n\n    return g(a) + X\n"
    assert set(fresh(tmp_path / "p", room__top=inside, room__low=HELPER)) == {"f", "g", "_h", "X"}


def test_code_that_moves_to_another_module_makes_nothing_stale(tmp_path):
    before = fresh(tmp_path / "p", room__top=CALLER.format(imports=FORMS[0][0], g="g", x="X"), room__low=HELPER)
    moved = "from isheep_lib.cellar import deep as low"
    after = fresh(tmp_path / "p", room__top=CALLER.format(imports=moved, g="low.g", x="low.X"), cellar__deep=HELPER)
    assert before == after


def test_a_real_module_that_moves_makes_no_stage_stale(tmp_path):
    package = shutil.copytree(PACKAGE, tmp_path / "isheep_lib", ignore=shutil.ignore_patterns("__pycache__"))
    roots = Filter().code()
    before = code_digests.__wrapped__(roots, package)
    assert "rule_problem" in before
    (package / "cellar").mkdir()
    (package / "filter" / "steps" / "rules.py").rename(package / "cellar" / "house_rules.py")
    for path in package.rglob("*.py"):
        path.write_text(re.sub(r"isheep_lib\.filter\.steps\.rules\b", "isheep_lib.cellar.house_rules", path.read_text()))
    from isheep_lib.record import code

    code._source.cache_clear()
    moved = tuple(root.replace("filter.steps.rules.", "cellar.house_rules.") for root in roots)
    assert code_digests.__wrapped__(moved, package) == before


def test_definitions_of_one_name_are_told_apart(tmp_path):
    top = "from isheep_lib.room import low\n\n\ndef f(a):\n    return low.g(a) + _h(a)\n\n\ndef _h(a):\n    return {}\n"
    found = fresh(tmp_path / "p", room__top=top.format(1), room__low=HELPER)
    assert found["_h"] != fresh(tmp_path / "p", room__top=top.format(2), room__low=HELPER)["_h"]
    assert (
        found["_h"] != fresh(tmp_path / "p", room__top=top.format(1), room__low=HELPER.replace("return a", "return -a"))["_h"]
    )


def test_a_module_that_is_handed_on_counts_as_a_whole(tmp_path):
    top = "from isheep_lib.room import low\n\n\ndef f(a):\n    return a(low)\n"
    assert set(fresh(tmp_path / "p", room__top=top, room__low=HELPER)) == {"f", "g", "_h", "X", "unused"}


def test_plumbing_and_tables_and_parameter_classes_are_not_followed(tmp_path):
    top = "from isheep_lib.record.rows import write\nfrom isheep_lib.engines.open import KINDS\n"
    top += "from isheep_lib.params.kinds import Section\n\n\nclass Own(Section):\n    x: int = 1\n\n\n"
    top += "class Mine(Own):\n    y: int = 2\n\n\ndef f(a):\n    return write(a), KINDS[a], Own(), Mine()\n"
    apart = {"record__rows": "def write(a):\n    return a\n", "engines__open": "KINDS = {}\n"}
    found = fresh(tmp_path / "p", room__top=top, params__kinds="class Section:\n    pass\n", **apart)
    assert set(found) == {"f"}


def test_a_root_that_is_not_there_is_named():
    with pytest.raises(RecordError, match=r"filter\.run\.no_such is no definition"):
        code_digests(("filter.run.no_such",))


@pytest.mark.parametrize("stage", ORDER)
def test_a_stages_digest_holds_no_room_that_it_does_not_use(stage):
    found = set(code_digests(SECTIONS[stage]().code()))
    marks = {
        "synthesize": "TaskList",
        "assess": "checked_sample",
        "filter": "filter_pairs",
        "train": "fine_tune",
        "evaluate": "answer_all",
        "judge": "parse_verdict",
    }
    assert [name for name, mark in marks.items() if mark in found] == [stage]
    assert ("run_programs" in found) == ("plus_program" in found) == (stage == "evaluate")


@pytest.mark.parametrize("engine", KINDS)
def test_an_engine_depends_on_no_other(engine):
    found = set(code_digests((KINDS[engine].code,)))
    assert {kind.engine for kind in KINDS.values()} & found == {KINDS[engine].engine}


def test_functions_that_task_files_name_belong_to_the_code_of_an_evaluation():
    texts = [path.read_text(encoding="utf-8") for path in (PACKAGE / "benchmarks" / "tasks").glob("*.yaml")]
    named = {name for text in texts for name in re.findall(r"!function isheep_lib\.[\w.]+\.(\w+)", text)}
    assert named
    assert named <= set(code_digests(SECTIONS["evaluate"]().code()))


# What a notebook calls to show a result, not to make it.
SHOWN = {"ask", "example_prompt", "example_table", "instruction_problem", "list_request", "parse_list", "ranked_table"}
SHOWN |= {
    "unread_table",
    "verdicts",
    "as_pairs",
    "deciding",
    "shown_parts",
    "mask_rows",
    "verdict",
    "first_prompts",
    "describe",
}
SHOWN |= {"shown_prompts", "as_pairs", "funnel_of", "rows", "asks", "waiting", "require_read", "against_earlier", "tokens_of"}
SHOWN |= {"contamination_counts", "encode_given", "open_suite", "variety", "choice_table", "alone_and_together"}
SHOWN |= {"copied", "figure_of", "advice"}
# Without these, functions of a notebook hand rows on as they are, or return none, and count for nothing.
WRITING = {"synthesize": {"constraints": "asked", "answers": 2, "teacher": "org/large"}, "filter": {"preferences": ["score"]}}


def called_by(source: str) -> set[str]:
    """Name what code calls of the rooms that decide results."""
    tree, found = ast.parse(source), set()
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module.startswith("isheep_lib")]
    named = {alias.asname or alias.name: (node.module, alias.name) for node in imports for alias in node.names}
    rooms = {name: place for name, place in named.items() if place[0].split(".")[1] not in PLUMBING}
    modules = {
        name for name, (module, real) in rooms.items() if (PACKAGE.parent / module.replace(".", "/") / f"{real}.py").is_file()
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in modules:
            found.add(node.attr)
        elif isinstance(node, ast.Name) and node.id in rooms.keys() - modules:
            found.add(node.id)
    return found


@pytest.mark.parametrize("stage", ORDER)
def test_what_a_notebook_calls_for_its_result_is_among_its_roots(stage):
    cells = nbformat.read(ROOT / f"notebooks/{stage}.ipynb", as_version=4).cells
    called = called_by("\n".join(cell.source for cell in cells if cell.cell_type == "code"))
    assert len(called) >= 2
    assert called - SHOWN <= set(code_digests(SECTIONS[stage](**WRITING.get(stage, {})).code()))


@pytest.mark.parametrize(
    "section", [Assess(scorers=["pmi"], checked_scorers=["greedy"]), Filter(steps=["rules", "top"])], ids=type
)
def test_a_stages_digest_holds_the_scorers_and_steps_that_it_chooses_and_no_other(section):
    found = set(code_digests(section.code()))
    scorers = {"Pmi", "Greedy"} if isinstance(section, Assess) else set()
    steps = {"Decontaminate", "Rules", "Top"} if isinstance(section, Filter) else set()
    assert {type(scorer).__name__ for scorer in SCORERS.values()} & found == scorers
    assert {type(step).__name__ for step in (*STEPS.values(), DECONTAMINATE, CONTROL)} & found == steps
