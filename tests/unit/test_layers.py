"""The house rules that a machine can check: imports point one way, nothing heavy loads early, modules stay small."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import isheep_lib

PACKAGE = Path(isheep_lib.__file__).parent
# A module may import only from rows above its own.
LAYERS = [
    ["errors", "scorers", "confined", "plus_compare"],
    ["records", "catalogue"],
    ["journal", "provenance", "progress", "tables", "text", "counts", "reading", "clusters", "stages", "sections", "grading"],
    ["enclosure", "published", "inert", "cell_differences"],
    ["file_differences", "training_params", "batches", "checkpoints"],
    ["params", "near_duplicates", "sources", "contamination", "significance", "drift", "preferences", "sandbox", "consistency"],
    ["audit", "exports"],
    ["params_check", "programs", "footprint"],
    ["params_file", "cell", "prompts", "models", "seeds", "benchmarks"],
    ["store"],
    ["sharing", "known", "ifeval", "markdown", "release_record", "release_data"],
    ["fingerprint", "engines"],
    ["engines.tokens", "engines.room", "engines.prefill", "engines.scripted", "shards"],
    ["engines.decoding", "chat_template"],
    ["engines.transformers_engine"],
    ["engines.merged", "engines.precision", "engines.parity", "engines.vllm_start", "engines.endpoint"],
    ["engines.replicas", "engines.answers"],
    ["engines.serving"],
    ["engines.vllm_engine", "engines.server_engine", "engines.chat_engine"],
    ["weights", "loading"],
    ["session", "labels"],
    ["jobs", "losses"],
    ["trainable", "launch"],
    ["trainer"],
    ["demonstrations", "scoring", "judging", "language_model", "harness", "comparison"],
    ["synthesize", "assess", "filter", "train", "evaluate", "judge"],
    ["report", "scoreboard", "judge_tables"],
    ["figures", "projection", "paper_runs", "paper_examples", "cards"],
    ["paper_cells", "following", "paper_points", "data_card"],
    ["paper_changes", "paper_commands", "exploration", "paper_figures", "release"],
    ["reproduction", "pair_map", "widgets"],
    ["runner"],
    ["chain", "papermill_plugin"],
    ["page_contents"],
    ["pages", "replay", "sweep"],
    ["sweep_work", "ablation"],
    ["estimate"],
    ["cli"],
]
RANK = {name: rank for rank, layer in enumerate(LAYERS) for name in layer}
MODULES = {
    str(p.relative_to(PACKAGE).with_suffix("")).replace("/", ".").removesuffix(".__init__"): p for p in PACKAGE.rglob("*.py")
}
MODULES.pop("__init__")


def imported(path: Path, top_level_only: bool = False) -> set[str]:
    tree = ast.parse(path.read_text())
    nodes = tree.body if top_level_only else list(ast.walk(tree))
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    for node in nodes:
        if isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def test_every_module_has_a_layer():
    assert set(MODULES) == set(RANK)


@pytest.mark.parametrize("name", sorted(MODULES))
def test_imports_point_one_way(name):
    for other in imported(MODULES[name]):
        inner = other.removeprefix("isheep_lib.")
        # Opening an engine is the one door upwards: it is imported when it is called.
        opened = name == "engines" and (inner == "engines" or inner.endswith("_engine"))
        if other.startswith("isheep_lib.") and inner in RANK and not opened:
            assert RANK[inner] < RANK[name], f"{name} imports {inner}"


def test_importing_the_package_and_the_command_loads_nothing_heavy():
    heavy = ("torch", "transformers", "peft", "lm_eval", "papermill", "matplotlib")
    heavy += ("datasets", "pyarrow", "pandas", "sklearn", "scipy", "statsmodels", "nltk")
    stages = "isheep_lib.synthesize, isheep_lib.assess, isheep_lib.filter, isheep_lib.evaluate"
    modules = f"isheep_lib.cli, isheep_lib.session, isheep_lib.scoreboard, isheep_lib.comparison, {stages}"
    code = f"import sys, {modules}; print([m for m in {heavy} if m in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


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
    for forbidden in ("random.random(", "np.random.seed", "trust_remote_code=True", "torch.load(", "pickle"):
        assert forbidden not in source, forbidden
