"""A sweep by practised types: every side is asked the same ones, seeds are one model, and nothing unfair is compared."""

from pathlib import Path

import yaml

from isheep_lib.ablate import sweep
from isheep_lib.ablate.practice import BASE, CONTROL, practice_table
from isheep_lib.record import manifests
from isheep_lib.record.rows import write_jsonl

A, B = "punctuation:no_comma", "startend:quotation"
PROMPTS = 20


def opened(folder: Path, **changes: object) -> sweep.Sweep:
    axes = {"c": {"plain": "filter.threshold:0.1", "asked": "filter.threshold:0.5"}}
    values = {
        "name": str(folder / "s"),
        "params": "params/smollm2-135m.yaml",
        "iterations": 1,
        "axes": axes,
        "reference": ["plain"],
    }
    path = folder / "sweep.yaml"
    path.write_text(yaml.safe_dump({**values, **changes}, sort_keys=False))
    return sweep.open_sweep(str(path))


def evaluated(
    found: sweep.Sweep, name: str, a: int, b: int, *, iteration: int = 1, practised: list[str] | None = None, **more: str
) -> None:
    """Record a model that follows type A in the first `a` prompts and type B in the first `b`."""
    run_dir = found.folder / name
    folder = manifests.stage_folder(run_dir, iteration, "evaluate")
    task = {"subset": more.get("subset", "20 of 541 (seed 0)"), "digest": "d", "metric": "prompt_strict"}
    task |= {"practised": {"types": practised}} if practised is not None else {}
    manifests.write_manifest(folder, {"tasks": {"ifeval": task}}, "metrics.json")
    rows = []
    for i in range(PROMPTS):
        strict = [i < a, i < b]
        scores = dict.fromkeys(("prompt_strict", "prompt_loose"), float(all(strict)))
        rows.append({"id": str(i), "instructions": [A, B], "strict": strict, "loose": strict, "scores": scores})
    write_jsonl(folder / "samples-ifeval.jsonl", rows)
    facts = {"stage": "evaluate", "iteration": iteration, "metrics": {"frame": more.get("frame", "chatml")}}
    facts["parts"] = {"model": {"base": "b"} | ({f"iter-{iteration}/adapter": name} if iteration else {})}
    manifests.write_manifest(folder, facts)
    if iteration:
        train = manifests.stage_folder(run_dir, iteration, "train")
        manifests.write_manifest(train, {"stage": "train", "iteration": iteration, "counts": {"kept": 9}})


def test_practised_types_and_the_others_stand_against_base_control_and_reference(tmp_path):
    found = opened(tmp_path)
    for name in ("plain", "asked"):
        evaluated(found, name, 4, 10, iteration=0)
    evaluated(found, "plain", 5, 10)
    evaluated(found, "asked", 16, 10, practised=[A])
    evaluated(found, "asked-control", 4, 8)
    seen, unseen = practice_table(found).rows
    assert (seen["run"], seen["types"], unseen["types"]) == ("asked", "practised in training", "not practised")
    assert seen["percent"].startswith("80.0 ±") and unseen["percent"].startswith("50.0 ±")
    assert seen[BASE].startswith("+60.0 (") and seen[BASE].endswith("improved")
    assert seen[CONTROL].startswith("+60.0 (") and seen["against plain"].startswith("+55.0 (")
    assert unseen[BASE].startswith("+0.0 (") and unseen[CONTROL].startswith("+10.0 (")


def test_seeds_of_a_point_are_one_model(tmp_path):
    found = opened(tmp_path, seeds=[1, 2])
    for point in found.points:
        if not point.control:
            evaluated(found, point.name, 0, 0, iteration=0)
    names = [point.name for point in found.points if point.label == "asked" and not point.control]
    evaluated(found, names[0], 20, 0, practised=[A])
    evaluated(found, names[1], 10, 0, practised=[A])
    seen, _ = practice_table(found).rows
    assert seen["percent"].startswith("75.0 ±")
    assert seen[BASE].startswith("+75.0 (")


def test_what_is_not_comparable_or_not_there_is_said(tmp_path):
    found = opened(tmp_path)
    assert practice_table(found).rows == [
        {"practised types": "no model of the sweep learned from instructions with constraints"}
    ]
    evaluated(found, "plain", 5, 10)
    evaluated(found, "asked", 16, 10, practised=[A, B])
    evaluated(found, "asked", 4, 4, iteration=0, frame="plain")
    seen, unseen = practice_table(found).rows
    assert seen[BASE] == "left out: another frame" and seen[CONTROL] == "not run"
    assert unseen["percent"] == "none" and unseen["against plain"] == "no instruction is of these types"
