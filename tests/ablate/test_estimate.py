"""Estimates of a sweep: rates from records, extrapolation, and when a probe is needed."""

from pathlib import Path

import pytest
import yaml

from isheep_lib.ablate import estimate, sweep
from isheep_lib.ablate import runs as ablate_runs
from isheep_lib.ablate.runs import work
from isheep_lib.iterate.run_params import load_run
from isheep_lib.record import manifests

PARAMS = "params/smollm2-135m.yaml"
STAGES = ("synthesize", "assess", "filter", "train", "evaluate")


def opened(folder: Path, **changes: object) -> sweep.Sweep:
    values = {"name": str(folder / "s"), "params": PARAMS, "iterations": 1, "axes": {"filter.threshold": [0.1, 0.5]}}
    path = folder / "sweep.yaml"
    path.write_text(yaml.safe_dump({**values, **changes}, sort_keys=False))
    return sweep.open_sweep(str(path))


def record(run: Path, stage: str, seconds: float, rows: int, *, kept: int | None = None, tokens: int = 0) -> None:
    folder = manifests.stage_folder(run, 1, stage)
    folder.mkdir(parents=True)
    manifest = {
        "stage": stage,
        "iteration": 1,
        "seconds": seconds,
        "notebook_seconds": seconds + 4,
        "counts": {"in": rows, "kept": rows if kept is None else kept, "dropped": {}},
        "tokens": {"answers": tokens},
        "parameters": {"epochs": 2},
    }
    manifests.write_manifest(folder, manifest)


def rows(table) -> dict[str, dict]:
    return {row["stage"]: row for row in table.rows}


@pytest.fixture
def found(tmp_path) -> sweep.Sweep:
    return opened(tmp_path, control=False, override='evaluate.tasks:["ifeval:10","arc_easy:30"] synthesize.instructions:200')


def test_hours_and_tokens_are_in_proportion_to_rows_and_every_kernel_starts_once(found):
    run = found.folder / "probe"
    record(run, "synthesize", 100, 80, kept=50, tokens=1000)
    record(run, "assess", 25, 50)
    record(run, "filter", 5, 50, kept=20)
    record(run, "train", 40, 20, tokens=400)  # two epochs
    record(run, "evaluate", 8, 4, tokens=80)
    table = estimate.estimate_table(found)
    line = rows(table)
    assert line["synthesize"]["hours"] == f"{(4 + 2 * 200) / 3600:.2f}"  # one synthesis for both runs
    assert line["synthesize"]["tokens"] == "4,000"
    assert line["assess"]["hours"] == f"{(4 + 0.5 * 200) / 3600:.2f}"
    assert line["filter"]["to run"] == 2
    assert line["train"]["units"] == "320 pairs x epochs"  # two runs of 200 x 20 / 50 pairs, two epochs
    assert line["train"]["hours"] == f"{(2 * 4 + 320 * 1.0) / 3600:.2f}"
    assert line["evaluate"]["units"] == "120 items"  # the base model and two others, 40 each
    total = (4 + 400) + (4 + 100) + (8 + 40) + (8 + 320) + (12 + 240)
    assert line["all"]["hours"] == f"{total / 3600:.2f}"
    assert line["all"]["tokens"] == f"{4000 + 3200 + 2400:,}"
    assert "without a record" not in table.caption


def test_what_is_done_is_not_estimated_again(found):
    record(manifests.run_folder(found.points[0].run), "synthesize", 100, 200)
    line = rows(estimate.estimate_table(found))["synthesize"]
    assert (line["to run"], line["hours"]) == (0, "0.00")
    assert line["hours from the start"] == f"{(4 + 100) / 3600:.2f}"


def test_the_slowest_record_counts_because_answers_known_before_make_others_too_fast(found):
    record(found.folder / "probe", "evaluate", 100, 10)
    record(manifests.run_folder(found.points[0].run), "evaluate", 10, 40)
    assert estimate.rates(found)["evaluate"].seconds == 10


def test_nothing_known_is_said_and_not_counted_as_nothing(found):
    line = rows(estimate.estimate_table(found))
    assert {line[stage]["hours"] for stage in STAGES} == {"unknown"}
    assert "without a record" in estimate.estimate_table(found).caption


def test_total_base_learns_from_all_data_so_far_up_to_the_limit(tmp_path):
    axes = {"train.setting": ["one_base", "total_base"]}
    limited = "synthesize.instructions:200 train.max_rows:500 train.epochs:1"
    items = work(opened(tmp_path, axes=axes, iterations=3, control=False, override=limited))
    units = {(w.point.name, w.iteration): estimate.units_of(w, 1.0) for w in items if w.stage == "train"}
    assert units["setting-one_base", 3] == 200
    assert (units["setting-total_base", 2], units["setting-total_base", 3]) == (400, 500)


def test_a_probe_is_a_valid_small_run_that_asks_every_benchmark_in_proportion():
    params = load_run(manifests.find_file(PARAMS, "params"))
    small = load_run(manifests.find_file(PARAMS, "params"), estimate.probe_override(params, 50))
    asked = estimate.items(small)
    assert list(asked) == list(estimate.items(params))
    assert 50 <= sum(asked.values()) <= 50 + len(asked)
    assert asked["ifeval"] == max(asked.values())
    assert small.synthesize.instructions == 50
    assert not small.evaluate.reuse_answers


@pytest.fixture
def started(monkeypatch) -> list:
    runs: list = []

    def run_point(found, point, stale, title, iterations=None):
        runs.append((point.name, iterations, point.params.synthesize.instructions))

    monkeypatch.setattr(ablate_runs, "run_point", run_point)
    return runs


def test_a_probe_goes_through_every_stage_where_nothing_is_known(found, started):
    assert "50 instructions" in estimate.probe(found, "stop")
    assert started == [("probe", 1, 50)]


def test_a_run_no_larger_than_a_probe_is_its_own_probe(tmp_path, started):
    small = opened(tmp_path, override="synthesize.instructions:40")
    assert "was the probe" in estimate.probe(small, "stop")
    assert started == [("threshold-0.1", 1, 40)]


def test_there_is_no_probe_where_records_are_or_none_is_wanted(found, tmp_path, started):
    for stage in STAGES:
        record(manifests.run_folder(found.points[1].run), stage, 1, 10)
    assert "records of this sweep" in estimate.probe(found, "stop")
    (tmp_path / "b").mkdir()
    assert "nothing is known of synthesize" in estimate.probe(opened(tmp_path / "b", probe=0), "stop")
    assert started == []
