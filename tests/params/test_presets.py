"""The params files: every one is a complete, valid run, and the presets are what their names say."""

from pathlib import Path

import pytest
import yaml

from isheep_lib.assess.params import Assess
from isheep_lib.benchmarks.catalogue import ALL, asked_in
from isheep_lib.filter.steps.table import STEPS
from isheep_lib.iterate.claims import flatten
from isheep_lib.iterate.run_params import SECTIONS, load_run
from isheep_lib.params.kinds import is_execution
from isheep_lib.synthesize.constrained.params import Constraining

FOLDER = Path(__file__).resolve().parents[2] / "params"
FILES = sorted(FOLDER.glob("*.yaml"))
FULL_SIZE = ["qwen1.5-1.8b", "qwen1.5-4b", "qwen1.5-7b", "qwen1.5-14b", "qwen1.5-32b", "qwen1.5-72b", "llama-3-70b"]
OWN = {
    "base_model",
    "aligned_frame",
    "tensor_parallel",
    "num_processes",
    "parallel",
    "gradient_checkpointing",
}  # what a full-size file may choose for its model


def values(name: str) -> dict[str, object]:
    """Return a params file's values by dotted name."""
    return flatten(load_run(FOLDER / f"{name}.yaml").model_dump(exclude={"run", "seed"}))


def differences(one: str, other: str) -> dict[str, tuple[object, object]]:
    a, b = values(one), values(other)
    return {name: (a[name], b[name]) for name in a if a[name] != b[name]}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_params_file_is_valid_named_like_its_run_and_downloads_nothing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda *_, **__: pytest.fail("a download was tried"))
    run = load_run(path)
    assert run.run == path.stem
    head = path.read_text(encoding="utf-8").split("\n\n")[0]
    assert all(f"# {word}: " in head for word in ("Needs", "Command", "Takes")), "the header says what it needs"
    assert f"--params params/{path.name}" in head or path.stem == "smollm2-135m"


def not_chosen(steps: list[str]) -> set[str]:
    """Name the parameters of the filter's other steps, which decide nothing."""
    every, own = ({n for name in names for n in STEPS[name].options.model_fields} for names in (STEPS, steps))
    return every - own


# Of pairs of answers and of other objectives than sft, which no preset has.
NO_TEACHER = {"synthesize": {"teacher"}}  # a foreign model, which no preset has
NO_PAIRS = {"filter": {"pair_scorer", "min_margin", "min_pairs"}, "train": {"objective_options"}}


def not_learned(assess: dict) -> set[str]:
    """Name the parameters of the scorer learned where it is not used, so that they decide nothing."""
    learns = "learned" in [*assess["scorers"], *assess["checked_scorers"]]
    return set() if learns else {name for name in Assess.model_fields if name.startswith("learned_")}


@pytest.mark.parametrize("path", [path for path in FILES if path.stem != "smollm2-135m"], ids=lambda path: path.stem)
def test_a_preset_spells_out_every_parameter_that_can_change_a_result(path: Path) -> None:
    given = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert (given["filter"]["preferences"], given["train"]["objective"]) == ([], "sft")
    for section, kind in SECTIONS.items():
        absent = {n for n in kind.model_fields if not is_execution(kind, n)} - set(given[section]) - {"served_model"}
        absent -= not_chosen(given["filter"]["steps"]) if section == "filter" else set()
        absent -= NO_PAIRS.get(section, set()) | NO_TEACHER.get(section, set())
        absent -= set(Constraining.model_fields) if given["synthesize"]["constraints"] == "none" else set()
        absent -= not_learned(given["assess"]) if section == "assess" else set()
        assert not absent, f"{section} leaves {sorted(absent)} to the defaults"


@pytest.mark.parametrize("name", FULL_SIZE)
def test_a_full_size_file_is_the_papers_preset_with_another_model(name: str) -> None:
    assert {n.split(".")[1] for n in differences("isheep-paper", name)} <= OWN


def test_the_papers_preset_carries_the_papers_hyper_parameters() -> None:
    found = values("isheep-paper")
    expected = {
        "synthesize.instructions": 10000,
        "synthesize.options.demonstrations": 5,
        "synthesize.options.tasks_per_prompt": 20,
        "synthesize.instruction_temperature": 1.0,
        "synthesize.instruction_top_p": 0.95,
        "synthesize.instruction_tokens": 1000,
        "synthesize.max_rouge": 0.7,
        "assess.assessment_prompt": "combined",
        "assess.level": "both",
        "assess.assessor": "current",
        "filter.steps": ["rules", "threshold"],
        "filter.threshold": 8.0,
        "filter.comparison": "above",
        "filter.criteria": "both",
        "train.setting": "one_base",
        "train.lora_rank": 8,
        "train.lora_alpha": 16,
        "train.lora_dropout": 0.05,
        "train.learning_rate": 5e-5,
        "train.warmup_steps": 20,
        "train.epochs": 2,
        "train.train_batch": 16,
        "train.max_length": 1024,
        "train.max_rows": 3000,
        "train.held_out": 0.1,
        "train.save_steps": 100,
    }
    assert {name: found[name] for name in expected} == expected


def test_as_released_differs_from_the_paper_by_the_releases_quirks_alone() -> None:
    assert differences("isheep-paper", "isheep-as-released") == {
        "synthesize.options.instruction_stops": ([], ["17"]),
        "synthesize.dedup_scope": ("run", "batch"),
        "synthesize.options.prompts_per_batch": (256, 5),
        "synthesize.options.max_batches": (16, 600),
        "assess.assessor": ("current", "base"),
        "assess.max_unread": (0.5, 1.0),
        "filter.placeholders": ("to_fill_in", "any_tag"),
        "filter.other_languages": ("mismatch", "chinese"),
    }


def test_fixed_stops_at_no_number_judges_without_chance_and_drops_duplicates_everywhere() -> None:
    found = values("isheep-fixed")
    assert found["synthesize.options.instruction_stops"] == []
    assert found["synthesize.dedup_scope"] == "run"
    assert set(found["assess.scorers"]).isdisjoint({"sampled"})
    assert found["assess.checked_scorers"]
    assert found["filter.max_copy_share"] < 1.0


def test_the_papers_preset_evaluates_all_items_of_every_known_benchmark() -> None:
    assert set(values("isheep-paper")["evaluate.tasks"]) == set(asked_in("en"))  # no entry ends with a number


def test_the_papers_preset_lists_repetitions_of_benchmark_items_and_drops_none() -> None:
    found = values("isheep-paper")
    assert found["filter.decontaminate"] == "list"
    assert found["filter.decontaminate_against"] == [ALL]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_params_file_runs_programs_of_a_model_in_a_sandbox_alone(path: Path) -> None:
    assert load_run(path).evaluate.code_sandbox == "required"
