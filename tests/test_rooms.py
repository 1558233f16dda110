"""The house rules that a machine can check: imports point one way, nothing heavy loads early, modules stay small."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import isheep_lib

STAGES = ("synthesize", "assess", "filter", "train", "evaluate", "judge")
# Six, each in the code digest of a stage: another signature would make every record of it look as made by other code.
SIX = {"assess.reliability_check.reliability", "evaluate.run.metrics", "synthesize.demonstrations.prepare_demonstrations"}
PACKAGE = Path(isheep_lib.__file__).parent
# A room may import from the rows above its own, and from nothing beside it: so verbs never import each other.
ROOMS = [
    ["server_key"],
    ["errors"],
    ["reading"],
    ["languages"],
    ["analysis", "params"],
    ["record"],
    ["models", "prompting", "sandbox", "constraints"],
    ["engines"],
    ["scorers"],
    ["benchmarks"],
    ["display"],
    ["synthesize", "assess", "filter", "train", "evaluate", "judge"],
    ["iterate"],
    ["paper", "ablate", "explore", "report", "rerun", "export"],
    ["notebooks"],
    ["command"],
    ["cli"],
    ["__main__"],
]
RANK = {room: rank for rank, row in enumerate(ROOMS) for room in row}
MODULES = {
    str(p.relative_to(PACKAGE).with_suffix("")).replace("/", ".").removesuffix(".__init__"): p for p in PACKAGE.rglob("*.py")
}
MODULES.pop("__init__")


def room_of(module: str) -> str:
    return module.split(".")[0]


def imported(path: Path) -> set[str]:
    """Name the project's modules and members that a file imports, also inside functions."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "isheep_lib":
            inner = node.module.removeprefix("isheep_lib").removeprefix(".")
            found |= {f"{inner}.{alias.name}".removeprefix(".") for alias in node.names}
    return found


def test_imports_kept_as_text_name_modules_that_exist(root):
    # Programs inside strings, CI and pages: no import fails until they run, and some run only in the slow tier.
    files = [*root.glob("tests/**/*.py"), *root.glob("docs/**/*.md"), *root.glob("*.md"), root / ".ci/run", root / "Makefile"]
    invented = root / "tests/record/test_code.py"  # makes up modules of its own
    found = 0
    for path in files:
        for module, names in re.findall(r"from isheep_lib\.?([\w.]*) import ([\w, ]+)", path.read_text()) * (path != invented):
            found += 1
            for name in (re.split(r"\W", part.strip())[0] for part in names.split(",")):
                text = MODULES[module].read_text() if module in MODULES else ""
                known = f"{module}.{name}".removeprefix(".") in MODULES or re.search(rf"\b{name}\b", text)
                assert known, f"{path.relative_to(root)}: isheep_lib.{module} has no {name}"
    assert found > 500


def test_every_module_has_a_room():
    assert {room_of(name) for name in MODULES} == set(RANK)


@pytest.mark.parametrize("name", sorted(MODULES))
def test_imports_between_rooms_point_one_way(name):
    for other in imported(MODULES[name]):
        if room_of(other) in RANK and room_of(other) != room_of(name):
            assert RANK[room_of(other)] < RANK[room_of(name)], f"{name} imports {other}"


def test_no_modules_import_each_other_in_a_circle():
    # Opening an engine is the one door inside its room: it is imported when it is called.
    reads = {
        name: {module for other in imported(path) for module in (other, other.rpartition(".")[0]) if module in MODULES} - {name}
        for name, path in MODULES.items()
    }
    left = dict(reads)
    while free := [name for name, others in left.items() if not others & set(left)]:
        for name in free:
            del left[name]
    assert not left, f"in a circle, or above one: {sorted(left)}"


def test_importing_the_package_and_the_command_loads_nothing_heavy():
    heavy = ("torch", "transformers", "peft", "lm_eval", "papermill", "matplotlib")
    heavy += ("datasets", "pyarrow", "pandas", "sklearn", "scipy", "statsmodels", "nltk", "openai")
    modules = ("cli", "iterate.session", "display.evaluation_tables", "benchmarks.comparison", "synthesize.candidates")
    modules += ("assess.reliability_check", "filter.run", "evaluate.run")
    names = ", ".join(f"isheep_lib.{name}" for name in modules)
    code = f"import sys, {names}; print([m for m in {heavy} if m in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


@pytest.mark.parametrize("folder", sorted({path.parent for path in MODULES.values()}), ids=lambda p: p.name)
def test_a_room_is_small_enough_to_be_seen_at_once(folder):
    assert len([path for path in folder.glob("*.py") if path.name != "__init__.py"]) <= 16, "look for a room inside"


def test_no_two_files_of_tests_have_the_same_name(root):
    names = [path.name for path in root.glob("tests/**/test_*.py")]  # pytest imports them without their folders
    assert not {name for name in names if names.count(name) > 1}


@pytest.mark.parametrize("name", sorted(MODULES))
def test_modules_and_functions_stay_readable(name):
    source = MODULES[name].read_text()
    assert source.count("\n") <= 320, "look for a missing room"
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef):
            assert node.end_lineno - node.lineno < 60, f"{node.name} is too long"


@pytest.mark.parametrize("name", sorted(MODULES))
def test_no_global_randomness_no_remote_code_no_pickled_weights(name):
    source = MODULES[name].read_text()
    for forbidden in ("random.random(", "np.random.seed", "trust_remote_code=True", "torch.load(", "pickle.load", "Unpickler("):
        assert forbidden not in source, forbidden


@pytest.mark.parametrize("name", sorted(MODULES))
def test_what_a_function_reads_of_the_parameters_is_in_its_signature(name):
    seams = ("params", "settings", "options", "stage")
    for node in ast.walk(ast.parse(MODULES[name].read_text())):
        if isinstance(node, ast.FunctionDef):
            bare = [a.arg for a in node.args.args if a.annotation is not None and ast.unparse(a.annotation) == "Any"]
            assert not set(bare) & set(seams), node.name


def test_public_functions_of_stages_take_at_most_five_arguments():
    found = set()
    for name in (name for name in MODULES if room_of(name) in STAGES):
        for node in ast.walk(ast.parse(MODULES[name].read_text())):
            if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
                given = [a.arg for a in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs) if a.arg != "self"]
                found |= {f"{name}.{node.name}"} if len(given) > 5 else set()
    assert found == SIX, "put what belongs together into an object"
