"""ARTIFACT.md: each expected value follows from the committed records, each command can be given, each file is there."""

import ast
import importlib
import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from isheep_lib.cli import main

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))  # generate.py imports it from there, too
artifact = importlib.import_module("artifact")
GIVEN = artifact.read_claims()
CLAIMS = [claim for part in GIVEN["parts"] for claim in part["claims"]]
EXACT = "smollm2-135m"
each = pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim["command"])


@each
def test_the_page_says_of_a_claim_what_the_committed_files_give_now(claim):
    assert artifact.line(claim) in (ROOT / "ARTIFACT.md").read_text().splitlines()


@each
def test_the_file_to_look_at_is_committed(claim):
    assert (
        subprocess.run(
            ["git", "ls-files", "--error-unmatch", claim["look"]], cwd=ROOT, capture_output=True, check=False
        ).returncode
        == 0
    )


def options_of(script: Path) -> set[str]:
    """Name the options that a script gives its parser."""
    calls = [node for node in ast.walk(ast.parse(script.read_text())) if isinstance(node, ast.Call)]
    named = [call.args for call in calls if isinstance(call.func, ast.Attribute) and call.func.attr == "add_argument"]
    return {arg.value for args in named for arg in args if isinstance(arg, ast.Constant)}


@each
def test_a_command_can_be_given(claim):
    unpacking, _, command = artifact.filled(claim["command"], claim.get("values", {})).rpartition(" && ")
    if unpacking:
        program, how, packed, *_ = shlex.split(unpacking)
        assert (program, how) == ("tar", "xf") and (ROOT / packed).is_file()
    program, *words = shlex.split(command)
    if program == "isheep":
        main.commands[words[0]].make_context(words[0], words[1:])
        assert any((ROOT / "results" / word.rpartition("=")[2]).is_dir() for word in words if "reference/" in word)
    elif program == "make":
        assert set(words) <= set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    elif words[0] == "-m":
        assert program == "python"
        assert all((ROOT / word).exists() for word in words[2:] if not word.startswith("-"))
    else:
        assert program == "python"
        assert {word for word in words[1:] if word.startswith("--")} <= options_of(ROOT / words[0])
        assert all((ROOT / word).is_file() for word in words[1:] if "/" in word)


def test_the_first_part_takes_a_quarter_of_an_hour():
    assert sum(artifact.value(claim["minutes"]) for claim in GIVEN["parts"][0]["claims"]) <= 15


def test_every_committed_record_has_a_claim():
    said = (ROOT / "ARTIFACT.md").read_text()
    assert all(f"reference/{folder.name}" in said for folder in (ROOT / "results/reference").iterdir() if folder.is_dir())


def test_numbers_are_those_that_the_record_itself_holds():
    folder = ROOT / "results/reference" / EXACT
    sheet = json.loads((folder / "record.json").read_text())
    assert sheet["root"].startswith(artifact.root(EXACT))
    name = "iter-1/train/adapter/adapter_model.safetensors"
    assert sheet["files"][name]["sha256"].startswith(artifact.digest(EXACT, name))
    found = {stage: json.loads((folder / f"iter-1/{stage}/manifest.json").read_text()) for stage in ("filter", "train")}
    counts = found["filter"]["counts"]
    assert artifact.rows(EXACT, "iter-1/filter/kept.jsonl") == counts["kept"]
    assert artifact.rows(EXACT, "iter-1/filter/dropped.jsonl") == sum(counts["dropped"].values())
    assert artifact.minutes(EXACT, "iter-1/train") == round(found["train"]["notebook_seconds"] / 60)
    assert artifact.memory(EXACT, "iter-1/train") == found["train"]["environment"]["peak_memory_mb"] / 1024


def test_the_paper_beside_the_records_is_counted_as_its_committed_tables_are():
    table = (ROOT / "results/reference/paper/summary.csv").read_text().splitlines()
    names, last = (line.replace('"', "").split(",") for line in (table[0], table[-1]))
    assert {name: str(artifact.numbers(name)) for name in names[1:]} == dict(zip(names[1:], last[1:], strict=True))


def test_a_record_that_was_changed_gives_other_numbers_and_is_named(tmp_path, monkeypatch):
    shutil.copytree(ROOT / "results/reference" / EXACT, tmp_path / EXACT)
    monkeypatch.setattr(artifact, "folder_of", lambda record: tmp_path / record)
    before = artifact.root(EXACT), artifact.helped(EXACT), artifact.files(EXACT)
    params, samples = (tmp_path / EXACT / name for name in ("params.yaml", "iter-3/evaluate/samples-piqa.jsonl"))
    params.write_text(params.read_text() + "\n")
    assert artifact.root(EXACT) != before[0]
    text = samples.read_text()
    samples.write_text(re.sub(r'"(acc|acc_norm)":\s*0(\.0)?', r'"\1": 1.0', text))
    assert samples.read_text() != text
    assert artifact.helped(EXACT) != before[1]
    with pytest.raises(SystemExit, match=f"{EXACT} is not as it was recorded"):
        artifact.files(EXACT)


def test_a_cell_is_found_by_its_column_and_the_first_cells_of_its_row(tmp_path, monkeypatch):
    (tmp_path / "page.md").write_text("| a | b |\n|---|---|\n| x | 1 |\n\n| a | c |\n| --- | --- |\n| x | 2 |\n| | 3 |\n")
    monkeypatch.setattr(artifact, "ROOT", tmp_path)
    assert [artifact.cell("page.md", *place) for place in (("x", "b"), ("x", "c"), ("x | 2", "a"), (" | 3", "c"))] == [
        "1",
        "2",
        "x",
        "3",
    ]
    with pytest.raises(SystemExit, match="no table with a row 'y'"):
        artifact.cell("page.md", "y", "b")


@pytest.mark.parametrize("row", GIVEN["gives"], ids=lambda row: row["record"])
def test_a_params_file_says_what_its_record_gave_unless_it_is_another_run(row, tmp_path):
    committed, path = ROOT / row["params"], tmp_path / "own.yaml"
    assert artifact.with_gives(committed, row["record"], row["says"], row["values"]) == committed.read_text()
    text = (
        "# Takes: a while,\n#   or two\n#\nrun: mine\n"
        + (ROOT / "results/reference" / row["record"] / "params.yaml").read_text()
    )
    path.write_text(text)
    said = artifact.with_gives(path, row["record"], row["says"], row["values"])
    assert re.match(r"# Takes: a while,\n#   or two\n# Gives: .*(\n#   .*)*results/reference/[\w-]+\)\n#\n", said)
    path.write_text(said)
    assert artifact.with_gives(path, row["record"], row["says"], row["values"]) == said
    path.write_text(re.sub(r"^seed: \d+", "seed: 1", said, flags=re.MULTILINE))
    assert artifact.with_gives(path, row["record"], row["says"], row["values"]) == re.sub(
        r"^seed: \d+", "seed: 1", text, flags=re.MULTILINE
    )


def test_a_reader_that_is_not_there_is_named():
    with pytest.raises(SystemExit, match="no reader sum; there are packages, "):
        artifact.value(["sum", "x"])
