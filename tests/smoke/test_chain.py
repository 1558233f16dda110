"""The whole chain through real papermill and real kernels, with a tiny model: it runs, reuses, resumes, refuses."""

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest

from isheep_lib.engines.exact.verdict import EXPLAINED
from isheep_lib.record.fixity import inventory
from isheep_lib.rerun.check import check
from tests.runs import BIN, alone, call, claimed, command, written

absent = importlib.util.find_spec("eval_framework") is None
pytestmark = pytest.mark.skipif(absent, reason="the IFEval prompts are not installed (make setup)")


def rows(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def parts(run: Path, stage: str) -> dict:
    return json.loads((run / stage / "manifest.json").read_text())["parts"]


def test_two_iterations_leave_a_manifest_and_an_executed_notebook_for_every_stage(finished: Path) -> None:
    stages = ["synthesize", "assess", "filter", "train", "evaluate"]
    expected = {"iter-0/evaluate"} | {f"iter-{k}/{stage}" for k in (1, 2) for stage in stages}
    assert {str(p.parent.relative_to(finished)) for p in finished.glob("*/*/manifest.json")} == expected
    for name in expected:
        stage = name.split("/")[1]
        manifest = json.loads((finished / name / "manifest.json").read_text())
        assert f"{stage}.ipynb" in manifest["outputs"], "the notebook is not part of the record"
        counts = manifest["counts"]
        assert counts["in"] == counts["kept"] + sum(counts["dropped"].values())
        assert not list((finished / name).glob(".*")), "unfinished work was left behind"


def test_every_executed_notebook_begins_with_what_came_out_and_shows_its_parameters_once(finished: Path) -> None:
    said = {
        "synthesize": "wrote tasks by the method list and answered them: of ",
        "assess": " pairs have every score that was asked for",
        "filter": "kept to be learned from",
        "train": "A new model, trained from M_0 .the base model., learned from ",
        "evaluate": " was evaluated on ",
        "iterate": "not shown to have helped|It helped|It hurt",
    }
    books = [*finished.glob("iter-*/*/*.ipynb"), finished.parent / "iterate.ipynb"]
    assert len(books) == 12
    for path in books:
        cells = nbformat.read(path, as_version=4).cells
        first = next(cell for cell in cells if cell.cell_type == "code")
        words = first.outputs[0]["data"]["text/plain"]
        assert re.search(said[path.stem], words), words
        assert "Not finished" not in words
        assert path.stem != "iterate" or "image/png" in first.outputs[1]["data"]
        hidden = [cell for cell in cells if "parameters" in " ".join(cell.metadata.get("tags", []))]
        if path.stem != "iterate":  # that one is papermill's own copy
            assert all(cell.metadata.jupyter.source_hidden for cell in hidden)
            assert all(cell.metadata.transient.remove_source for cell in hidden), "a page shows them"


def test_the_second_iteration_starts_from_the_adapter_of_the_first(finished: Path) -> None:
    trained = json.loads((finished / "iter-1/train/manifest.json").read_text())["outputs"]
    used = json.loads((finished / "iter-2/synthesize/manifest.json").read_text())["parts"]["model"]
    assert used["iter-1/adapter"] == trained["adapter/adapter_model.safetensors"]["sha256"]
    assert [*parts(finished, "iter-2/train")["model"]] == ["base"]


def test_the_trained_model_is_held_against_its_training_before_it_is_asked(finished: Path) -> None:
    parity = json.loads((finished / "iter-1/train/parity.json").read_text())
    assert parity["largest difference, adapter and merged"] < 0.002
    for name in ("iter-1/evaluate", "iter-2/synthesize", "iter-2/assess"):
        engine = json.loads((finished / name / "manifest.json").read_text())["engine"]
        assert (engine["engine"], engine["dtype"]) == ("transformers", "float32")
        assert engine["parity"]["largest_difference"] <= engine["parity"]["tolerance"]


def test_an_engine_that_cannot_work_is_named_in_seconds_and_nothing_is_lost(
    root: Path, tiny_model: Path, tmp_path: Path
) -> None:
    override = "model.engine:server model.base_urls:[http://127.0.0.1:9/v1]"
    result = call(root, *command(tmp_path / "r", tiny_model, 1), "--override", override)
    assert result.returncode == 1
    assert "No server is reachable" in result.stderr
    assert "vllm serve" in result.stderr
    assert "Traceback" not in result.stderr


def test_no_instruction_is_accepted_twice_in_a_run(finished: Path) -> None:
    accepted = [row for k in (1, 2) for row in rows(finished / f"iter-{k}/synthesize/examples.jsonl")]
    assert len({row["instruction"].lower() for row in accepted}) == len(accepted)
    assert len({row["id"] for row in accepted}) == len(accepted)


def test_every_task_that_prompts_showed_is_recorded_with_how_often(finished: Path) -> None:
    earlier = set()
    for k in (1, 2):
        folder = finished / f"iter-{k}/synthesize"
        shown = rows(folder / "demonstrations.jsonl")
        counts = json.loads((folder / "manifest.json").read_text())["counts"]
        assert sum(row["shown"] for row in shown) == 2 * counts["in"]
        own = {row["id"] for row in rows(folder / "examples.jsonl")}
        generated = {row["id"] for row in shown if row["id"].startswith("i")}
        assert generated and generated <= own | earlier
        earlier |= own


def test_the_filter_looks_for_benchmark_items_before_all_steps_and_records_what_it_found(finished: Path) -> None:
    for k in (1, 2):
        folder = finished / f"iter-{k}/filter"
        manifest = json.loads((folder / "manifest.json").read_text())
        assert manifest["contamination"] == {"pairs": 0, "demonstrations": 0, "hits": {}, "not_looked_at": {}}
        assert manifest["steps"][0] == {"step": "decontaminate", "in": 24, "kept": 24}
        assert [line["step"] for line in manifest["steps"][1:]] == ["rules", "threshold", "density"]
        assert {"benchmarks/arc_easy", "benchmarks/nq_open"} < set(manifest["parts"]["inputs"])
        assert rows(folder / "contamination.jsonl") == []


@pytest.fixture
def planted(root: Path, finished: Path, tiny_model: Path, tmp_path: Path) -> tuple[Callable[[str], Path], dict, dict]:
    """Return a function that makes a run up to its filter, and a kept pair and a shown seed that its benchmark repeats."""
    done = finished / "iter-1"
    pair = max(rows(done / "filter/kept.jsonl"), key=lambda row: len(set(row["instruction"].split())))
    seeds = [row for row in rows(done / "synthesize/demonstrations.jsonl") if row["id"].startswith("seed")]
    seed = max(seeds, key=lambda row: len(set(row["instruction"].split())))
    questions = ["Which of these animals lays its eggs in a nest?", f"{pair['instruction'].upper()}?", seed["instruction"]]
    own = {"choices": {"text": ["a crow", "a cow"], "label": ["A", "B"]}, "answerKey": "A"}
    items = [{"id": f"planted-{n}", "question": text, **own} for n, text in enumerate(questions)]
    (tmp_path / "items.jsonl").write_text("".join(json.dumps(item) + "\n" for item in items))

    def made(decontaminate: str) -> Path:
        against = f"filter.decontaminate_against:[arc_easy={tmp_path / 'items.jsonl'},gpqa_diamond]"
        run = claimed(root, tmp_path / decontaminate, tiny_model, f"filter.decontaminate:{decontaminate}", against)
        for stage in ("synthesize", "assess"):
            shutil.copytree(done / stage, run / "iter-1" / stage)
        return run

    return made, pair, seed


def test_a_pair_that_repeats_a_planted_benchmark_item_is_dropped_with_its_name_and_a_shown_seed_is_listed(
    root: Path, planted: tuple[Callable[[str], Path], dict, dict]
) -> None:
    made, pair, seed = planted
    run = made("drop")
    alone(root, run, "filter")
    folder = run / "iter-1/filter"
    struck = [row for row in rows(folder / "dropped.jsonl") if row["reason"] == "benchmark_item"]
    assert [(row["id"], row["detail"]) for row in struck] == [
        (pair["id"], "exact in the instruction: ARC easy, item planted-1")
    ]
    assert pair["id"] not in {row["id"] for row in rows(folder / "kept.jsonl")}
    found = {(hit["row_id"], hit["item_id"]) for hit in rows(folder / "contamination.jsonl")}
    assert found == {(pair["id"], "planted-1"), (seed["id"], "planted-2")}
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["steps"][0] == {"step": "decontaminate", "in": 24, "kept": 23}
    assert manifest["counts"]["dropped"]["benchmark_item"] == 1
    absent = manifest["contamination"].pop("not_looked_at")
    assert manifest["contamination"] == {"pairs": 1, "demonstrations": 1, "hits": {"arc_easy": 2}}
    assert list(absent) == ["gpqa_diamond"]


def test_a_pair_that_repeats_a_planted_benchmark_item_is_only_listed_where_that_is_wanted(
    root: Path, finished: Path, planted: tuple[Callable[[str], Path], dict, dict]
) -> None:
    made, pair, seed = planted
    run = made("list")
    alone(root, run, "filter")
    folder = run / "iter-1/filter"
    assert (folder / "kept.jsonl").read_bytes() == (finished / "iter-1/filter/kept.jsonl").read_bytes()
    assert [hit["row_id"] for hit in rows(folder / "contamination.jsonl")] == [pair["id"], seed["id"]]
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["steps"][0] == {"step": "decontaminate", "in": 24, "kept": 24}
    assert "benchmark_item" not in manifest["counts"]["dropped"]
    assert (manifest["contamination"]["pairs"], manifest["contamination"]["demonstrations"]) == (1, 1)


def test_progress_does_not_flood_the_executed_notebook(finished: Path) -> None:
    for path in finished.glob("*/*/*.ipynb"):
        for cell in nbformat.read(path, as_version=4).cells:
            assert len(cell.get("outputs", [])) <= 8, f"{path.name} {cell.id}"  # evaluate has a bar a kind of work


@pytest.fixture
def own(finished: Path, tmp_path: Path) -> Path:
    """Return a copy of the finished run: the run itself is for looking at, other processes do so at the same time."""
    return shutil.copytree(finished, tmp_path / "own")


def test_a_finished_run_is_reused_verified_and_shown(root: Path, finished: Path, own: Path, tiny_model: Path) -> None:
    before = written(own)
    again = call(root, *command(own, tiny_model, 2))
    assert again.returncode == 0, again.stderr[-3000:]
    assert written(own) == before
    verified = call(root, str(BIN / "isheep"), "verify", str(own))
    assert verified.returncode == 0, verified.stdout
    root_digest = inventory.root_of(own)
    assert f"up to iteration 2; root sha256 {root_digest}" in verified.stdout
    assert "run by hand" not in verified.stdout, "the executed notebook is not covered"
    assert root_digest in (own / "iterate.ipynb").read_text()
    assert root_digest == inventory.root_of(finished), "nothing was made anew"
    shown = call(root, str(BIN / "isheep"), "status", str(own))
    assert shown.returncode == 0
    assert "M_2" in shown.stdout


def test_a_stage_notebook_run_by_hand_on_a_finished_stage_gives_the_same_bytes(root: Path, own: Path, tmp_path: Path) -> None:
    output = tmp_path / "filter.ipynb"
    flags = ["-p", "run", str(own), "-p", "iteration", "2"]
    result = call(root, str(BIN / "papermill"), "notebooks/filter.ipynb", str(output), *flags)
    assert result.returncode == 0, result.stderr[-3000:]
    assert "same bytes as the record" in output.read_text()


def test_other_parameters_are_refused_with_the_difference_shown(root: Path, own: Path, tiny_model: Path) -> None:
    changed = command(own, tiny_model, 2)
    changed[changed.index("--override") + 1] += " train.epochs:5 filter.threshold:0.5"
    result = call(root, *changed)
    assert result.returncode == 1
    assert "train.epochs: the run has 3, now 5" in result.stderr
    assert "filter.threshold: the run has -9.0, now 0.5" in result.stderr


def test_a_second_start_on_the_same_results_is_refused(root: Path, own: Path, tiny_model: Path) -> None:
    from isheep_lib.record.locks import RunLock

    lock = RunLock(own)
    try:
        result = call(root, *command(own, tiny_model, 2))
    finally:
        lock.release()
    assert result.returncode == 1
    assert f"process {os.getpid()}" in result.stderr


def test_an_edited_output_of_an_earlier_stage_stops_the_run_and_fails_verification(
    root: Path, own: Path, tiny_model: Path
) -> None:
    path = own / "iter-1/filter/kept.jsonl"
    path.write_bytes(path.read_bytes().replace(b"the", b"teh", 1))
    result = call(root, *command(own, tiny_model, 2))
    verified = call(root, str(BIN / "isheep"), "verify", str(own))
    assert result.returncode == 1
    assert "kept.jsonl: changed" in result.stderr
    assert verified.returncode == 1
    assert "FAIL  iter-1/filter/kept.jsonl: changed" in verified.stdout


def shared(run: Path) -> set[str]:
    manifests = {str(p.parent.relative_to(run)): json.loads(p.read_text()) for p in run.glob("iter-*/*/manifest.json")}
    return {name for name, manifest in manifests.items() if manifest.get("shared_from") == "whole"}


def variant(root: Path, finished: Path, model: Path, name: str, iteration: int, *overrides: str) -> Path:
    """Run the same with other settings, beside the finished run."""
    run = finished.parent / name
    arguments = command(run, model, iteration)
    arguments[arguments.index("--override") + 1] += " " + " ".join(overrides)
    result = call(root, *arguments)
    assert result.returncode == 0, result.stderr[-3000:]
    assert call(root, str(BIN / "isheep"), "verify", str(run)).returncode == 0
    return run


EVERYTHING = {"iter-0/evaluate"} | {
    f"iter-{k}/{stage}" for k in (1, 2) for stage in ("synthesize", "assess", "filter", "train", "evaluate")
}


@pytest.mark.slow
def test_one_last_shares_all_but_its_own_training_and_stacks_its_adapters(root: Path, finished: Path, tiny_model: Path) -> None:
    run = variant(root, finished, tiny_model, "one-last", 2, "train.setting:one_last")
    assert shared(run) == EVERYTHING - {"iter-2/train", "iter-2/evaluate"}
    assert [*parts(run, "iter-2/train")["model"]] == ["base", "iter-1/adapter"]
    assert [*parts(run, "iter-2/evaluate")["model"]] == ["base", "iter-1/adapter", "iter-2/adapter"]


@pytest.mark.slow
def test_total_base_shares_all_but_its_own_training_and_learns_from_both_iterations(
    root: Path, finished: Path, tiny_model: Path
) -> None:
    run = variant(root, finished, tiny_model, "total-base", 2, "train.setting:total_base")
    assert shared(run) == EVERYTHING - {"iter-2/train", "iter-2/evaluate"}
    assert [*parts(run, "iter-2/train")["inputs"]] == ["iter-1/filter/kept.jsonl", "iter-2/filter/kept.jsonl"]


@pytest.mark.slow
def test_self_instruct_shares_the_synthesis_assesses_nothing_and_keeps_everything(
    root: Path, finished: Path, tiny_model: Path
) -> None:
    nothing = ("assess.scorers:[]", "assess.checked_scorers:[]", "assess.vectors:false", "assess.level:none", "filter.steps:[]")
    run = variant(root, finished, tiny_model, "self-instruct", 1, *nothing)
    assert shared(run) == {"iter-0/evaluate", "iter-1/synthesize"}
    counts = json.loads((run / "iter-1/filter/manifest.json").read_text())["counts"]
    assert counts["in"] == counts["kept"]


@pytest.mark.slow
def test_a_base_judge_shares_the_first_iteration_and_judges_the_second_itself(
    root: Path, finished: Path, tiny_model: Path
) -> None:
    run = variant(root, finished, tiny_model, "base-judge", 2, "assess.assessor:base")
    assert shared(run) >= {"iter-1/assess", "iter-2/synthesize"}
    assert [*parts(run, "iter-2/assess")["model"]] == ["base"]


@pytest.mark.slow
def test_of_three_answers_to_each_task_the_best_is_learned_and_the_record_knows_each_question(
    root: Path, finished: Path, tiny_model: Path
) -> None:
    several = ("synthesize.answers:3", "filter.steps:[rules,best_answer]", "filter.max_copy_share:1.0")
    run = variant(root, finished, tiny_model, "best-of-three", 1, *several)
    assert shared(run) == {"iter-0/evaluate"}
    examples, repeated = (rows(run / f"iter-1/synthesize/{name}.jsonl") for name in ("examples", "dropped"))
    tasks = dict.fromkeys(row["task"] for row in examples)
    assert list(tasks) == [row["id"] for row in rows(finished / "iter-1/synthesize/examples.jsonl")], "other tasks are written"
    assert len(examples) + sum(row["reason"] == "same_answer" for row in repeated) == 3 * len(tasks)
    assert [row["id"] for row in rows(run / "iter-1/assess/scores.jsonl")] == [row["id"] for row in examples]
    kept, dropped = (rows(run / f"iter-1/filter/{name}.jsonl") for name in ("kept", "dropped"))
    assert len({row["task"] for row in kept}) == len(kept) > 3
    assert {row["task"] for row in dropped if row["reason"] == "not_best"} <= {row["task"] for row in kept}
    assert [row["id"] for row in rows(run / "iter-1/train/rows.jsonl")] == [row["id"] for row in kept]
    (explained,) = check(run, ["synthesize"], [1])
    assert explained.verdict == EXPLAINED
    asked = {row["of"] for row in rows(run / "iter-1/synthesize/transcript.jsonl") if "of" in row}
    assert {row["id"] for row in examples} < asked


# Here and not in a file of its own: its kernels and those of plain papermill listen on ports that Jupyter only hopes are
# still free, and the tests of one file never start kernels at the same time.
def test_nbval_gets_the_same_outputs_from_an_executed_notebook(root: Path, finished: Path) -> None:
    notebook = finished / "iter-1/filter/filter.ipynb"
    nbval = [
        "--nbval",
        "--nbval-current-env",
        "--nbval-cell-timeout",
        "120",
        "--nbval-sanitize-with",
        str(root / "tests" / "golden" / "sanitize.cfg"),
    ]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-o", "addopts=", *nbval, str(notebook)]
    result = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stdout[-4000:]
    assert "passed" in result.stdout
