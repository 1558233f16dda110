"""The table of a sweep: every comparison is paired, fair and corrected, and what is unfair is left out by name."""

from pathlib import Path

import pytest
import yaml

from isheep_lib.ablate import sweep, verdict
from isheep_lib.ablate import table as ablate_table
from isheep_lib.ablate.table import ablation_table, rows_of, unfinished_table
from isheep_lib.display.folded import Told
from isheep_lib.record import manifests
from isheep_lib.record.rows import write_jsonl

PARAMS = "params/smollm2-135m.yaml"
ITEMS = 40


def opened(folder: Path, **changes: object) -> sweep.Sweep:
    axes = {"c": {"low": "filter.threshold:0.1", "high": "filter.threshold:0.5"}}
    values = {"name": str(folder / "s"), "params": PARAMS, "iterations": 1, "axes": axes, "reference": ["low"]}
    path = folder / "sweep.yaml"
    path.write_text(yaml.safe_dump({**values, **changes}, sort_keys=False))
    return sweep.open_sweep(str(path))


def evaluated(
    found: sweep.Sweep,
    name: str,
    right: range,
    *,
    iteration: int = 1,
    pairs: int = 9,
    base: str = "b",
    frame: str = "chatml",
    subset: str = "40 of 570 (seed 0)",
    benchmark: str = "arc_easy",
    adapter: str = "",
) -> None:
    """Record a model that has these items right."""
    run_dir = found.folder / name
    folder = manifests.stage_folder(run_dir, iteration, "evaluate")
    folder.mkdir(parents=True)
    task = {"subset": subset, "digest": "d", "metric": "acc_norm"}
    manifests.write_manifest(folder, {"tasks": {benchmark: task}}, "metrics.json")
    write_jsonl(
        folder / f"samples-{benchmark}.jsonl", [{"id": str(i), "scores": {"acc_norm": float(i in right)}} for i in range(ITEMS)]
    )
    facts = {"stage": "evaluate", "iteration": iteration, "metrics": {"frame": frame}}
    facts["parts"] = {"model": {"base": base, f"iter-{iteration}/adapter": adapter or f"{name}-{iteration}"}}
    manifests.write_manifest(folder, facts)
    train = manifests.stage_folder(run_dir, iteration, "train")
    train.mkdir(parents=True)
    manifests.write_manifest(train, {"stage": "train", "iteration": iteration, "counts": {"kept": pairs}})


def lines(found: sweep.Sweep) -> dict[tuple[str, int], dict]:
    return {(row["run"], row["iteration"]): row for row in ablation_table(found).rows}


CONTROL, REFERENCE = "against as many pairs by chance", "against low"


def test_each_run_stands_against_its_own_control_and_against_the_reference(tmp_path):
    found = opened(tmp_path)
    evaluated(found, "low", range(10), pairs=30)
    evaluated(found, "low-control", range(12), pairs=30)
    evaluated(found, "high", range(30), pairs=9)
    evaluated(found, "high-control", range(8))
    low, high = lines(found)["low", 1], lines(found)["high", 1]
    assert (low["pairs"], high["pairs"]) == ("30", "9")
    assert low["percent"].startswith("25.0 ±")
    assert low[CONTROL].startswith("-5.0 (")
    assert "improved" not in low[CONTROL]
    assert low[REFERENCE] == "it is the reference"
    assert high[CONTROL].startswith("+55.0 (")
    assert high[CONTROL].endswith("p < 0.001: improved")
    assert high[REFERENCE].startswith("+50.0 (")


def test_p_values_of_a_column_are_corrected_together(tmp_path):
    found = opened(tmp_path)
    for name in ("low", "high"):
        evaluated(found, name, range(7))
        evaluated(found, f"{name}-control", range(1))  # six items alone: p = 0.031 each, 0.062 of two
    assert [row[CONTROL].split(", p ")[1] for row in lines(found).values()] == ["0.062", "0.062"]
    assert rows_of(found)[0].control.p == pytest.approx(2 / 64)


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({"base": "another"}, "another base model"),
        ({"frame": "plain"}, "another frame"),
        ({"subset": "41 of 570 (seed 1)"}, "other items (41 of 570 (seed 1) and 40 of 570 (seed 0))"),
        ({"benchmark": "piqa"}, "not evaluated on it"),
    ],
)
def test_what_is_not_comparable_is_left_out_by_name(tmp_path, other, said):
    found = opened(tmp_path)
    evaluated(found, "low", range(10), **other)
    evaluated(found, "high", range(30))
    assert lines(found)["high", 1][REFERENCE] == f"left out: {said}"


def test_runs_that_ended_in_the_same_weights_are_no_comparison_and_no_test_to_correct_for(tmp_path):
    found = opened(tmp_path)
    for name in ("low", "low-control", "high"):
        evaluated(found, name, range(10), adapter="one")
    evaluated(found, "high-control", range(4))  # six items: p = 0.031
    assert lines(found)["low", 1][CONTROL] == lines(found)["high", 1][REFERENCE] == "the same model"
    assert lines(found)["high", 1][CONTROL].endswith("p 0.031: improved")


def test_what_is_not_run_is_said_with_the_command_and_no_row_is_invented(tmp_path):
    found = opened(tmp_path)
    assert ablation_table(found).rows == [{"run": "not run"}]
    evaluated(found, "high", range(30))
    assert list(lines(found)) == [("high", 1)]
    assert lines(found)["high", 1][CONTROL] == "not run"
    missing = {row["run"]: row for row in unfinished_table(found).rows}
    assert missing["low"]["not run"] == "M_0, M_1"
    assert missing["high"]["not run"] == "M_0"
    assert missing["low"]["command"] == f"isheep ablate {found.path}"


def test_seeds_are_pooled_item_by_item_and_their_spread_is_shown(tmp_path):
    found = opened(tmp_path, seeds=[1, 2], control=False)
    for seed, right in ((1, range(20)), (2, range(30))):
        evaluated(found, f"high-seed-{seed}", right)
        evaluated(found, f"low-seed-{seed}", range(10))
    row = next(row for row in rows_of(found) if row.side.label == "high")
    assert row.value["value"] == 62.5
    assert row.seeds == [50.0, 75.0]
    assert row.reference.items == ITEMS
    assert row.reference.difference == pytest.approx(37.5)
    assert lines(found)["high", 1]["seeds from, to"] == "50.0, 75.0"


def test_seeds_that_were_asked_other_items_are_never_averaged(tmp_path):
    found = opened(tmp_path, seeds=[1, 2], control=False)
    for seed in (1, 2):
        evaluated(found, f"high-seed-{seed}", range(20), subset=f"40 of 570 (seed {seed})")
    (line,) = ablation_table(found).rows
    assert line["percent"] == "left out: seeds were asked other items"
    ablate_table.figure(rows_of(found))


def test_one_seed_is_not_held_against_two(tmp_path):
    found = opened(tmp_path, seeds=[1, 2], control=False)
    evaluated(found, "low-seed-1", range(20))
    for seed in (1, 2):
        evaluated(found, f"high-seed-{seed}", range(20))
    assert lines(found)["high", 1][REFERENCE] == "left out: 2 seed(s) against 1"


def test_a_shorter_runs_last_model_stands_against_the_references_last(tmp_path):
    axes = {"c": {"low": "filter.threshold:0.1", "high": {"override": "filter.threshold:0.5", "iterations": 1}}}
    found = opened(tmp_path, axes=axes, iterations=2, control=False)
    evaluated(found, "low", range(5))
    evaluated(found, "low", range(20), iteration=2)
    evaluated(found, "high", range(30))
    assert lines(found)["high", 1][REFERENCE].startswith("+25.0 (")
    assert ("low", 2) in lines(found)


def test_the_figure_has_a_panel_a_benchmark_and_a_point_a_model(tmp_path):
    found = opened(tmp_path, control=False)
    evaluated(found, "low", range(10))
    evaluated(found, "high", range(30))
    figure = ablate_table.figure(rows_of(found))
    (axis,) = figure.axes
    assert [label.get_text() for label in axis.get_yticklabels()] == ["low", "high"]
    assert [line.get_xdata()[0] for line in axis.get_lines() if line.get_marker() == "o"] == [25.0, 75.0]
    assert ablate_table.figure([]) is not None


def test_every_run_is_shown_with_its_grade(tmp_path):
    found = opened(tmp_path)
    for name, rules in (("low", "false"), ("high", "true")):
        evaluated(found, name, range(20))
        steps = "[threshold]" if name == "low" else "[rules]"
        text = f"synthesize:\n  instruction_rules: {rules}\nfilter:\n  steps: {steps}\n"
        (found.folder / name / "params.yaml").write_text(text)
    assert {name: line["grade"] for (name, _), line in lines(found).items()} == {"low": "A", "high": "B"}
    (found.folder / "high" / "params.yaml").write_text("synthesize:\n  teacher: org/large\n")
    assert lines(found)["high", 1]["grade"] == "B, not self-contained: org/large writes its tasks"


def told(found: sweep.Sweep) -> Told:
    return verdict.of_sweep(found, rows_of(found))


def bases(found: sweep.Sweep, right: range = range(10)) -> None:
    """Record the base model beside every run that is evaluated."""
    for name in ("low", "high"):
        evaluated(found, name, right, iteration=0, adapter="base")


def test_settings_that_differ_from_their_control_and_from_the_base_model_are_named_first(tmp_path):
    found = opened(tmp_path)
    evaluated(found, "low", range(10))
    evaluated(found, "high", range(30))
    evaluated(found, "high-control", range(9))
    bases(found)
    by_chance, base, *_ = told(found).said.split("\n")
    assert by_chance.startswith(
        "Told from its control, which keeps as many pairs by chance: high, ARC easy: improved (+52.5 points)"
    )
    assert base.startswith(
        "Told from the base model: high, ARC easy: improved (+50.0 points); no difference is shown in 1 of 2 tests"
    )
    shown, folded = told(found).parts
    assert {(row["run"], row["against"]) for row in shown.rows} == {("high", "its control"), ("high", "the base model")}
    assert folded.line == "no difference shown: 1 of 3 tests"


def test_a_sweep_that_shows_nothing_says_so_and_what_it_would_have_taken(tmp_path):
    found = opened(tmp_path)
    evaluated(found, "low", range(10))
    evaluated(found, "high", range(11))
    evaluated(found, "high-control", range(10))
    bases(found)
    by_chance, base, needed = told(found).said.split("\n")
    assert by_chance == f"No setting is told from {verdict.CONTROL}: 1 setting(s), 1 test(s), none shows a difference."
    assert base == "No setting is told from the base model: 2 setting(s), 2 test(s), none shows a difference."
    assert "to see one as large as that on high, ARC easy (+2.5), it would have taken about" in needed


def test_a_sweep_of_which_nothing_is_evaluated_or_comparable_says_so(tmp_path):
    found = opened(tmp_path)
    assert told(found).said == "Nothing of this sweep is evaluated yet."
    evaluated(found, "low", range(10))
    assert told(found).said.split("\n") == [
        "No setting can be compared with its control, which keeps as many pairs by chance.",
        "No setting can be compared with the base model.",
    ]
    assert told(found).parts == ()
