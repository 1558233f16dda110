"""What a stage will cost: which record tells most, and when nothing is said."""

from pathlib import Path
from typing import Any

import pytest

from isheep_lib.iterate import estimate
from isheep_lib.iterate.estimate import countdown, expect, place_of, records
from isheep_lib.iterate.run_params import RunParams, load_run
from isheep_lib.record import manifests, provenance, stages
from isheep_lib.record.progress import State

ROOT = Path(__file__).parents[2]


def params(override: str = "") -> RunParams:
    model = "" if "model.base_model" in override else "model.base_model:never/seen"
    return load_run(ROOT / "params/smollm2-135m.yaml", f"{model} synthesize.min_instructions:1 {override}")


def record(
    run: Path, stage: str, seconds: float, override: str = "", iteration: int = 1, more: Any = (), **environment: Any
) -> None:
    folder = manifests.stage_folder(run, iteration, stage)
    folder.mkdir(parents=True)
    own = params(override).stage(stage, iteration).model_dump(exclude={"run"})
    manifest = {
        "stage": stage,
        "iteration": iteration,
        "seconds": seconds,
        "notebook_seconds": seconds + 5,
        "counts": {"in": 20, "kept": 20 if stage != "filter" else 10, "dropped": {}},
        "tokens": {"answers": 400},
        "outputs": {"a": {"bytes": 1000, "sha256": ""}, "b": {"bytes": 500, "sha256": ""}},
        "environment": {**provenance.environment(), "peak_memory_mb": 2048, **environment},
        "parameters": own,
        **dict(more),
    }
    manifests.write_manifest(folder, manifest)


def cost(run: Path, stage: str, override: str = "") -> estimate.Cost:
    found = expect(records(run), params(override), 1, stage)
    assert found
    return found


def test_a_cost_is_in_proportion_to_units_over_one_start_of_the_kernel(tmp_path: Path) -> None:
    record(tmp_path / "run", "synthesize", 40.0)
    found = cost(tmp_path / "run", "synthesize", "synthesize.instructions:100")
    assert (found.seconds, found.tokens, found.size) == (5 + 40 / 20 * 100, 2000, 7500)
    assert found.record.memory == 2048


def test_the_memory_of_a_kernel_says_nothing_of_the_processes_that_it_started(tmp_path: Path) -> None:
    record(tmp_path / "run", "train", 40.0, "train.numerics:plain train.num_processes:2")
    assert cost(tmp_path / "run", "train", "train.numerics:plain train.num_processes:2").record.memory == 0


def test_an_adapter_is_as_large_whatever_it_learned_from(tmp_path: Path) -> None:
    record(tmp_path / "run", "train", 40.0)
    assert cost(tmp_path / "run", "train", "synthesize.instructions:2000").size == 1500


def test_the_record_with_the_same_traits_tells_most_then_the_runs_own_then_the_slowest(tmp_path: Path) -> None:
    run = tmp_path / "run"
    record(tmp_path / "b", "synthesize", 80.0)
    record(tmp_path / "a", "synthesize", 60.0)
    assert cost(run, "synthesize").record.name.endswith("b/iter-1")  # of the others the slowest
    record(run, "synthesize", 20.0)
    assert cost(run, "synthesize").record.own
    found = cost(run, "synthesize", "synthesize.response_tokens:700")
    assert found.differs == ("response_tokens",)
    record(tmp_path / "c", "synthesize", 10.0, "synthesize.response_tokens:700")
    found = cost(run, "synthesize", "synthesize.response_tokens:700")
    assert (found.record.name, found.differs) == (manifests.short(tmp_path / "c/iter-1"), ())


@pytest.mark.parametrize("override", ["model.base_model:another/one", "model.engine:vllm model.numerics:plain"])
def test_another_model_or_engine_says_nothing(tmp_path: Path, override: str) -> None:
    record(tmp_path / "run", "synthesize", 40.0)
    assert expect(records(tmp_path / "run"), params(override), 1, "synthesize") is None


def test_another_number_format_is_another_trait(tmp_path: Path) -> None:
    record(tmp_path / "run", "synthesize", 40.0, "model.inference_dtype:bfloat16 model.numerics:plain")
    assert cost(tmp_path / "run", "synthesize").differs == ("inference_dtype", "numerics")


def test_numbers_of_items_are_units_and_other_benchmarks_are_another_trait(tmp_path: Path) -> None:
    record(tmp_path / "run", "evaluate", 40.0, 'evaluate.tasks:["ifeval:10"]')
    assert cost(tmp_path / "run", "evaluate", 'evaluate.tasks:["ifeval:50"]').differs == ()
    assert cost(tmp_path / "run", "evaluate", 'evaluate.tasks:["ifeval:50"]').units == 50
    assert cost(tmp_path / "run", "evaluate", 'evaluate.tasks:["mmlu:50"]').differs == ("tasks",)


def test_what_a_filter_kept_is_what_the_training_learns_from(tmp_path: Path) -> None:
    record(tmp_path / "run", "train", 40.0)
    wanted = params("synthesize.instructions:100 train.epochs:1")
    assert estimate.units_of(wanted, 1, "train", estimate.kept_share(records(tmp_path / "run"))) == 100
    record(tmp_path / "run", "filter", 1.0)
    assert estimate.units_of(wanted, 1, "train", estimate.kept_share(records(tmp_path / "run"))) == 50


def test_answers_are_counted_and_writing_the_tasks_is_not_dearer_for_them(tmp_path: Path) -> None:
    counts = {"in": 25, "kept": 18, "dropped": {"same_answer": 2, "too_short": 5}}  # two answers to each of ten tasks
    more = {"tokens": {"instructions": 300, "responses": 700}, "counts": counts}
    record(tmp_path / "run", "synthesize", 100.0, "synthesize.answers:2", more=more)
    same = cost(tmp_path / "run", "synthesize", "synthesize.instructions:50 synthesize.answers:2")
    assert (same.seconds, same.tokens, same.differs) == (5 + 500, 5000, ())
    eight = cost(tmp_path / "run", "synthesize", "synthesize.instructions:50 synthesize.answers:8")
    assert eight.tokens == pytest.approx(50 * (30 + 70 * 4))
    assert eight.differs == ("answers",)


def test_every_answer_is_assessed_and_filtered_and_the_best_of_each_task_is_learned() -> None:
    wanted = params("synthesize.instructions:50 synthesize.answers:4 train.epochs:1")
    assert [estimate.units_of(wanted, 1, stage, 0.5) for stage in ("synthesize", "assess", "filter", "train")] == [
        *(50, 200, 200, 100)
    ]
    chosen = params("synthesize.instructions:50 synthesize.answers:4 train.epochs:1 filter.steps:[rules,best_answer]")
    assert [estimate.units_of(chosen, 1, "train", kept) for kept in (1.0, 0.5, 0.1)] == [50, 50, 20]


@pytest.mark.parametrize("damage", ["{}", "[]", '{"stage": "synthesize"}', "not json"])
def test_a_damaged_record_is_left_out(tmp_path: Path, damage: str) -> None:
    record(tmp_path / "a", "synthesize", 40.0)
    (tmp_path / "a/iter-1/synthesize/manifest.json").write_text(damage)
    assert not [found for found in records(tmp_path / "run") if str(tmp_path) in found.name]


def test_the_time_left_is_that_of_the_present_stage_and_all_that_follow(tmp_path: Path, monkeypatch) -> None:
    now = [100.0]
    monkeypatch.setattr(estimate.time, "monotonic", lambda: now[0])
    run = tmp_path / "run"
    steps = [(2, "filter"), (2, "train"), (2, "evaluate")]
    override = 'evaluate.tasks:["ifeval:20"] synthesize.instructions:20 train.epochs:1'
    for stage, seconds in (("filter", 10.0), ("train", 50.0), ("evaluate", 100.0)):
        record(run, stage, seconds, override)
    left = countdown(run, params(override), steps)
    assert left(State("")) == (5 + 10) + (5 + 25) + (5 + 100)  # the filter kept half
    now[0] += 12
    assert left(State("")) == 3 + 30 + 105
    now[0] += 100
    assert left(State("")) == 30 + 105  # the present stage takes longer than before
    assert left(State("x", 10, 30, "it", elapsed=5.0)) == 10 + 30 + 105  # its own work says so
    record(run, "evaluate", 100.0, override, iteration=2)
    assert countdown(run, params(override), steps)(State("")) == 15 + 30


@pytest.mark.parametrize(
    ("override", "machine"),
    [
        ('evaluate.tasks:["mmlu:20"]', {}),  # other work
        ('evaluate.tasks:["ifeval:20"]', {"cores": 1000}),  # another machine
        ('evaluate.tasks:["ifeval:20"]', {"processor": "another"}),
    ],
)
def test_no_time_left_is_told_rather_than_a_wrong_one(tmp_path: Path, override: str, machine: dict[str, Any]) -> None:
    record(tmp_path / "run", "train", 50.0, **machine)
    record(tmp_path / "run", "evaluate", 100.0, 'evaluate.tasks:["ifeval:20"]', **machine)
    assert countdown(tmp_path / "run", params(override), [(2, "train"), (2, "evaluate")])(State("")) is None


def test_a_place_counts_the_stages_of_its_iteration() -> None:
    assert place_of(1, "filter", 1, False) == "filter, stage 3 of 5 of iteration 1"
    assert place_of(2, "judge", 3, True) == "judge, stage 6 of 6 of iteration 2 of 3"
    assert place_of(0, "evaluate", 3, False) == "evaluate, stage 1 of 1 of iteration 0 of 3"


def test_every_stage_has_traits_and_units() -> None:
    assert set(estimate.TRAITS) == set(estimate.UNITS) == set(stages.ORDER)
    run = params()
    for stage, names in estimate.TRAITS.items():
        assert set(names) <= set(type(run.stage(stage, 1)).model_fields), stage
