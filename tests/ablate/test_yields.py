"""What runs of a sweep learned from: counted, brought down to one size, averaged over seeds, beside scores and tests."""

from pathlib import Path

import pytest
import yaml

from isheep_lib.ablate import sweep, yields
from isheep_lib.ablate.table import figure, rows_of
from isheep_lib.record import manifests
from isheep_lib.record.rows import write_jsonl

AXES = {"method": {"magpie": "", "list": {"params": "params/methods/list.yaml"}}}
ONE = "Name a river and say where it ends."


def opened(folder: Path, **changes: object) -> sweep.Sweep:
    values = {"name": str(folder / "s"), "params": "params/smollm2-135m.yaml", "iterations": 1, "axes": AXES}
    path = folder / "sweep.yaml"
    path.write_text(yaml.safe_dump({**values, **changes}, sort_keys=False))
    return sweep.open_sweep(str(path))


def learned(
    found: sweep.Sweep, name: str, pairs: list[tuple[str, str, float | None]], iteration: int = 1, tokens: int = 600
) -> None:
    """Record a run that wrote 40 candidates, of which 8 were not wanted any more, made 20 pairs, and kept these."""
    written, filtered = (manifests.stage_folder(found.folder / name, iteration, stage) for stage in ("synthesize", "filter"))
    written.mkdir(parents=True)
    counts = {"in": 40, "kept": 20, "dropped": {"cut_off": 12, "beyond_target": 8}}
    facts = {"stage": "synthesize", "parameters": {"instructions": 24}, "tokens": {"instructions": tokens, "responses": 400}}
    manifests.write_manifest(written, facts | {"counts": counts})
    filtered.mkdir(parents=True)
    dropped = {"echo": 3, "benchmark_item": 1, "not_in_top": 16 - len(pairs)}
    manifests.write_manifest(filtered, {"stage": "filter", "counts": {"in": 20, "kept": len(pairs), "dropped": dropped}})
    rows = [
        {"id": str(n), "instruction": task, "input": "", "output": answer, "scores": {} if pmi is None else {"pmi": pmi}}
        for n, (task, answer, pmi) in enumerate(pairs)
    ]
    write_jsonl(filtered / "kept.jsonl", rows)


def evaluated(found: sweep.Sweep, name: str, right: int, iteration: int = 1) -> None:
    folder, train = (manifests.stage_folder(found.folder / name, iteration, stage) for stage in ("evaluate", "train"))
    folder.mkdir(parents=True)
    train.mkdir(parents=True)
    task = {"subset": "40 of 570 (seed 0)", "digest": "d", "metric": "acc_norm"}
    manifests.write_manifest(folder, {"tasks": {"arc_easy": task}}, "metrics.json")
    scores = [{"id": str(i), "scores": {"acc_norm": float(i < right)}} for i in range(40)]
    write_jsonl(folder / "samples-arc_easy.jsonl", scores)
    parts = {"model": {"base": "b", "adapter": name}}
    manifests.write_manifest(folder, {"stage": "evaluate", "metrics": {"frame": "chatml"}, "parts": parts})
    manifests.write_manifest(train, {"stage": "train", "counts": {"kept": 4}})


def test_yields_are_those_of_the_seeds_whose_scores_stand_beside_them(tmp_path):
    found = opened(tmp_path, seeds=[1, 2])
    for seed in (1, 2):
        learned(found, f"magpie-seed-{seed}", [(ONE, "one two", 0.1 * seed)] * seed)
    assert yields.yields_of(found)["magpie"].kept == 3
    evaluated(found, "magpie-seed-2", 20)
    assert yields.yields_of(found)["magpie"].kept == 2


def test_a_run_is_counted_and_measured_by_what_it_kept(tmp_path):
    found = opened(tmp_path)
    answers = [f"{word} flows to the sea" for word in ("Seine", "Rhone", "Loire", "Rhine")]
    learned(found, "magpie", [(ONE, answer, pmi) for answer, pmi in zip(answers, (0.1, 0.2, 0.3, 0.6), strict=True)])
    (one,) = yields.yields_of(found).values()
    assert (one.asked, one.written, one.accepted, one.passed, one.kept, one.tokens) == (24, 32, 20, 16, 4, 1000)
    assert one.tokens_each == 250
    assert (one.pmi, one.task_words, one.answer_words) == (pytest.approx(0.3), 8, 5)
    assert one.distinct_tasks is None  # 28 pairs of words are too few to compare


def test_diversity_is_brought_down_to_one_number_of_pairs_of_words(tmp_path):
    found = opened(tmp_path)
    alike = " ".join(["a", "b"] * 25)  # 49 pairs of words, of two kinds
    learned(found, "magpie", [(alike, "x", 0.1)] * 4)
    various = [" ".join(f"w{n}x{i}" for i in range(30)) for n in range(16)]
    learned(found, "list", [(text, "x", 0.1) for text in various])
    one, other = yields.yields_of(found).values()
    assert one.distinct_tasks == pytest.approx(0.02)
    assert other.distinct_tasks == 1.0  # though of 464 pairs of words and not of 196


def test_seeds_are_summed_and_averaged_and_a_run_that_is_not_filtered_is_left_out(tmp_path):
    found = opened(tmp_path, seeds=[1, 2, 3], iterations=2)
    learned(found, "magpie-seed-1", [(ONE, "one two", 0.2)], iteration=1)
    learned(found, "magpie-seed-1", [(ONE, "one two", 0.2)], iteration=2)
    learned(found, "magpie-seed-2", [(ONE, "one two three four", None)], iteration=2, tokens=200)
    learned(found, "magpie-seed-2-control", [(ONE, "never read", 9.0)], iteration=2)
    found_yields = yields.yields_of(found)
    assert list(found_yields) == ["magpie"]
    one = found_yields["magpie"]
    assert (one.written, one.kept, one.tokens, one.tokens_each) == (64, 2, 1600, 800)
    assert (one.pmi, one.answer_words) == (0.2, 3)


def test_one_line_a_run_holds_yield_cost_diversity_scores_and_tests(tmp_path):
    found = opened(tmp_path, reference=["list"])
    for name in ("magpie", "list"):
        learned(found, name, [(ONE, "one two", 0.25)] * 2 if name == "list" else [(ONE, "one", None)])
    for name, right in (("magpie", 30), ("magpie-control", 12), ("list", 10)):
        evaluated(found, name, right)
    rows, data = rows_of(found), yields.yields_of(found)
    magpie, plain = yields.yield_table(found, data, rows).rows
    assert (plain["run"], plain["kept"], plain["tokens a kept pair"], plain["mutual information"]) == (
        "list",
        "2",
        "500",
        "0.25",
    )
    assert (magpie["mutual information"], magpie["distinct, tasks"]) == ("unknown", "unknown")
    assert plain["ARC easy"].startswith("25.0 ±")
    assert plain["ARC easy against chance"] == "not run"
    assert plain["ARC easy against list"] == "it is the reference"
    assert magpie["ARC easy against chance"].startswith("+45.0 (")
    assert magpie["ARC easy against list"].endswith("p < 0.001: improved")
    measured = yields.measures(data)
    assert measured["mutual information\n(nats per token)"] == {"list": 0.25}
    assert "distinct pairs of words,\ntasks (share)" not in measured
    score, *others = [axis for axis in figure(rows, measured).axes if axis.get_visible()]
    assert score.get_xlabel().startswith("ARC easy") and [axis.get_xlabel() for axis in others] == [*measured]
    (known,) = [axis for axis in others if axis.get_xlabel().startswith("mutual information")]
    assert sorted(text.get_text() for text in known.texts) == ["0.25", "not measured"], "no bar is no zero"


def test_without_runs_the_table_says_so_and_a_run_without_a_score_keeps_its_line(tmp_path):
    found = opened(tmp_path)
    assert yields.yield_table(found, {}, []).rows == [{"run": "not run"}]
    learned(found, "magpie", [(ONE, "one two", 0.25)])
    learned(found, "list", [(ONE, "one two", 0.25)])
    evaluated(found, "magpie", 30)
    magpie, plain = yields.yield_table(found, yields.yields_of(found), rows_of(found)).rows
    assert magpie["ARC easy"].startswith("75.0")
    assert plain["ARC easy"] == "not run"
