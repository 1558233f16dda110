"""Estimates of a sweep: the sum over its distinct stages, and when a probe is needed."""

from pathlib import Path

import pytest
import yaml

from isheep_lib.ablate import estimate, sweep
from isheep_lib.ablate import runs as ablate_runs
from isheep_lib.iterate.estimate import items
from isheep_lib.iterate.run_params import load_run
from isheep_lib.record import manifests, provenance

PARAMS = "params/smollm2-135m.yaml"
STAGES = ("synthesize", "assess", "filter", "train", "evaluate")


def opened(folder: Path, **changes: object) -> sweep.Sweep:
    values = {"name": str(folder / "s"), "params": PARAMS, "iterations": 1, "axes": {"filter.threshold": [0.1, 0.5]}}
    path = folder / "sweep.yaml"
    path.write_text(yaml.safe_dump({**values, **changes}, sort_keys=False))
    return sweep.open_sweep(str(path))


def record(found: sweep.Sweep, name: str, stage: str, seconds: float, rows: int, kept: int = 0, tokens: int = 0) -> None:
    """Record a stage of the sweep's first run under the name of any."""
    folder = manifests.stage_folder(manifests.run_folder(f"{found.file.name}/{name}"), 1, stage)
    folder.mkdir(parents=True)
    manifest = {
        "stage": stage,
        "iteration": 1,
        "seconds": seconds,
        "notebook_seconds": seconds + 4,
        "counts": {"in": rows, "kept": kept or rows, "dropped": {}},
        "tokens": {"answers": tokens},
        "outputs": {},
        "environment": provenance.environment(),
        "parameters": found.points[0].params.stage(stage, 1).model_dump(exclude={"run"}),
    }
    manifests.write_manifest(folder, manifest)


def rows(table) -> dict[str, dict]:
    return {row["stage"]: row for row in table.rows}


@pytest.fixture
def found(tmp_path) -> sweep.Sweep:
    """A sweep of a model that no record at hand is of."""
    own = 'model.base_model:never/seen evaluate.tasks:["ifeval:10","arc_easy:30"] synthesize.instructions:200 train.epochs:2'
    return opened(tmp_path, control=False, override=own)


def test_hours_and_tokens_are_in_proportion_to_rows_and_every_kernel_starts_once(found):
    record(found, "probe", "synthesize", 100, 80, kept=50, tokens=1000)
    record(found, "probe", "assess", 25, 50)
    record(found, "probe", "filter", 5, 50, kept=20)
    record(found, "probe", "train", 40, 20, tokens=400)  # two epochs
    record(found, "probe", "evaluate", 80, 40, tokens=800)
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
    assert "has no record" not in table.caption
    assert "probe/iter-1, on this machine" in table.caption


def test_what_is_done_is_not_estimated_again(found):
    record(found, found.points[0].name, "synthesize", 100, 200)
    line = rows(estimate.estimate_table(found))["synthesize"]
    assert (line["to run"], line["hours"]) == (0, "0.00")
    assert line["hours from the start"] == f"{(4 + 100) / 3600:.2f}"


def test_nothing_known_is_said_and_not_counted_as_nothing(found):
    record(found, "probe", "filter", 5, 50)  # asks no model
    line = rows(estimate.estimate_table(found))
    assert {line[stage]["hours"] for stage in STAGES if stage != "filter"} == {"unknown"}
    assert "what has no record is not in the total" in estimate.estimate_table(found).caption


def test_a_probe_says_what_it_takes_and_how_it_is_asked_for(found, tmp_path):
    said = estimate.probe_sentence(found)
    assert "synthesize, assess, train, evaluate" in said
    assert "--probe" in said
    assert "50 of 200 instructions" in said
    for stage in STAGES:
        record(found, found.points[1].name, stage, 1, 10)
    assert estimate.probe_sentence(found) == "Records of this model say what every stage costs"


def test_a_probe_is_a_valid_small_run_that_asks_every_benchmark_in_proportion():
    params = load_run(manifests.require_file(PARAMS, "params"))
    small = load_run(manifests.require_file(PARAMS, "params"), estimate.probe_override(params, 50))
    asked = items(small)
    assert list(asked) == list(items(params))
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
    small = opened(tmp_path, override="synthesize.instructions:40 model.base_model:never/seen")
    assert "was the probe" in estimate.probe(small, "stop")
    assert started == [("threshold-0.1", 1, 40)]


def test_there_is_no_probe_where_records_are_or_none_is_wanted(found, tmp_path, started):
    for stage in STAGES:
        record(found, found.points[1].name, stage, 1, 10)
    assert "no probe: records" in estimate.probe(found, "stop")
    (tmp_path / "b").mkdir()
    unknown = opened(tmp_path / "b", probe=0, override="model.base_model:never/seen")
    assert "nothing is known of synthesize" in estimate.probe(unknown, "stop")
    assert started == []


def test_a_probe_of_a_run_with_a_params_file_of_its_own_takes_that_file(tmp_path, monkeypatch):
    axes = {"method": {"evol": {"params": "params/methods/evol-instruct.yaml"}}}
    own = opened(tmp_path, axes=axes, control=False, override="model.base_model:never/seen synthesize.instructions:99")
    points: list[sweep.Point] = []
    monkeypatch.setattr(ablate_runs, "run_point", lambda _, point, *more: points.append(point))
    assert "50 instructions" in estimate.probe(own, "stop")
    assert [(point.file, point.params.synthesize.method) for point in points] == [
        ("params/methods/evol-instruct.yaml", "evol_instruct")
    ]
