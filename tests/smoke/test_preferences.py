"""Pairs of answers through the notebooks: filter writes them, train learns from them, check repeats both."""

import json
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from isheep_lib.engines.exact.verdict import EXPLAINED
from isheep_lib.errors import YieldError
from isheep_lib.record import manifests
from isheep_lib.record.rows import read_jsonl, write_jsonl
from isheep_lib.rerun import check as rerun_check
from tests.conftest import WORDS
from tests.runs import alone, claimed

PAIRS = "filter.preferences:[score,constraint,cut] filter.min_pairs:8"
DPO = "train.objective:dpo train.objective_options.sft_weight:0.5 train.epochs:2 train.train_batch:4 train.micro_batch:2"
PLAIN = "synthesize.answers:3 synthesize.constraints:asked assess.vectors:false assess.scorers:[pmi,expected,sampled]"
PLAIN += " filter.decontaminate:ignore filter.steps:[rules]"


def answered(number: int) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Make tasks with three answers, of which one keeps a constraint and one was cut by the limit, and their scores."""
    rng, rows, scored = random.Random(3), [], []
    for n in range(number):
        task = f"i1-t{n}"
        for k in range(3):
            text = ". ".join(" ".join(rng.choices(WORDS, k=5)) for _ in range(3)) + "."
            listed = [{"family": "words", "arguments": {}, "text": "Write a small word.", "kept": k == 0}]
            row = {"id": f"{task}-a{k}", "task": task, "instruction": f"write {n} words about {WORDS[n]}", "input": ""}
            row |= {"output": text, "finish": "length" if k == 2 else "end", "num_tokens": 9, "constraints": listed}
            rows.append(row)
            scored.append({"id": row["id"], "scores": {"pmi": round(rng.random(), 3)}, "unread": {}, "raw": {}})
    return rows, scored


def recorded(run: Path, stage: str, files: dict[str, list[dict[str, Any]]]) -> None:
    folder = manifests.stage_folder(run, 1, stage)
    for name, rows in files.items():
        write_jsonl(folder / name, rows)
    outputs = {name: manifests.describe_file(folder / name) for name in files}
    counts = {"in": 0, "kept": 0, "dropped": {}}
    facts = {"stage": stage, "iteration": 1, "fingerprint": stage * 8, "outputs": outputs, "counts": counts}
    manifests.write_manifest(folder, {**facts, "parts": {"inputs": {}}, "tokens": {}, "seconds": 1.0, "parameters": {}})


def prepared(root: Path, run: Path, model: Path, number: int, *more: str) -> Path:
    """Record answers with their scores, as the stages before the filter would."""
    rows, scored = answered(number)
    claimed(root, run, model, PLAIN, *more)
    recorded(run, "synthesize", {"examples.jsonl": rows, "demonstrations.jsonl": []})
    recorded(run, "assess", {"scores.jsonl": scored})
    return run


def manifest_of(run: Path, stage: str) -> dict[str, Any]:
    return json.loads((run / f"iter-1/{stage}/manifest.json").read_text())


@pytest.mark.parametrize("objective", ["dpo", pytest.param("orpo", marks=pytest.mark.long)])
def test_answers_become_pairs_that_are_learned_from_and_check_repeats_them(
    root: Path, tiny_model: Path, tmp_path: Path, objective: str
) -> None:
    how = DPO if objective == "dpo" else "train.objective:orpo train.epochs:1 train.batching:packed"
    run = prepared(root, tmp_path / "run", tiny_model, 12, PAIRS, how)
    alone(root, run, "filter")
    made = manifest_of(run, "filter")
    pairs, unpaired = (read_jsonl(run / f"iter-1/filter/{name}.jsonl") for name in ("pairs", "unpaired"))
    kinds = Counter(row["kind"] for row in pairs)
    assert made["preferences"]["pairs"] == dict(kinds) and len(kinds) == 3
    assert made["preferences"]["pairs"]["constraint"] == 12
    ids = {id_ for row in pairs for id_ in (row["chosen_id"], row["rejected_id"])} | {row["id"] for row in unpaired}
    assert len(ids) == 36
    assert {"pairs.jsonl", "unpaired.jsonl", "kept.jsonl", "dropped.jsonl"} <= set(made["outputs"])

    alone(root, run, "train")
    trained = manifest_of(run, "train")
    assert trained["parameters"]["objective"] == objective
    assert list(trained["parts"]["inputs"]) == ["iter-1/filter/pairs.jsonl"]
    assert trained["counts"]["in"] == len(pairs) == len(read_jsonl(run / "iter-1/train/rows.jsonl"))
    assert ("reference.jsonl" in trained["outputs"]) == (objective == "dpo")
    assert {"accuracy before", "margin at best", "chosen at best"} <= set(trained["held_out"])
    rows = {row["id"]: row["fate"] for row in read_jsonl(run / "iter-1/train/rows.jsonl")}
    tasks = {fate: {row["task"] for row in pairs if rows[row["id"]] == fate} for fate in ("learned", "held_out")}
    assert tasks["learned"] and tasks["held_out"] and tasks["learned"].isdisjoint(tasks["held_out"])

    found = rerun_check.check(run, ["filter", "train"], [1])
    assert {one.stage: one.verdict for one in found} == {"filter": EXPLAINED, "train": EXPLAINED}, [one.why for one in found]


def test_too_few_pairs_stop_the_filter_with_what_became_of_the_answers(root: Path, tiny_model: Path, tmp_path: Path) -> None:
    run = prepared(root, tmp_path / "run", tiny_model, 4, "filter.preferences:[score] filter.min_margin:9.0 filter.min_pairs:2")
    with pytest.raises(YieldError, match=r"Only 0 pairs of answers, 2 are needed(.|\n)*12 too_close(.|\n)*filter\.min_margin"):
        alone(root, run, "filter")
    assert not (run / "iter-1/filter/manifest.json").exists()


def test_without_kinds_the_filter_writes_what_it_always_wrote(root: Path, tiny_model: Path, tmp_path: Path) -> None:
    run = prepared(root, tmp_path / "run", tiny_model, 6, "filter.min_kept:2")
    alone(root, run, "filter")
    made = manifest_of(run, "filter")
    assert set(made["outputs"]) == {"kept.jsonl", "dropped.jsonl", "contamination.jsonl"}
    assert "preferences" not in made and "preferences" not in made["parts"]["parameters"]
