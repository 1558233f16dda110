"""Old names of parameters: params files, overrides, notebooks and records that use them keep working."""

import shutil
import warnings
from pathlib import Path

import pytest
import yaml

from isheep_lib.errors import ParameterError
from isheep_lib.iterate.chain import prepare
from isheep_lib.iterate.claims import complete_params
from isheep_lib.iterate.run_params import SECTIONS, STAGE_PARAMS, AssessParams, TrainParams, load_run, recorded_params
from isheep_lib.params.check import check
from isheep_lib.params.notebook import cell_values
from isheep_lib.params.old_names import NAMES_SCORERS, REMOVED, REMOVED_VALUES, RENAMED, SCORERS, renew
from isheep_lib.params.run_file import params_path, run_params
from isheep_lib.record.manifests import all_manifests, run_folder, write_manifest

ROOT = Path(__file__).resolve().parents[2]
DEFAULT = ROOT / "params" / "smollm2-135m.yaml"
RECORDS = ROOT / "results" / "reference"
OLD = "reference/small-setting/one_base"  # from before the renaming


def with_old_names(tmp_path: Path) -> Path:
    """Write the default params file as it was before the renaming."""
    text = DEFAULT.read_text(encoding="utf-8").replace("max_length:", "cutoff:").replace("pmi", "mutual_information")
    path = tmp_path / "old.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_every_new_name_is_a_parameter_and_no_old_one_is() -> None:
    for parameter, new in RENAMED.items():
        section, _, old = parameter.partition(".")
        assert new in SECTIONS[section].known_names() and old not in SECTIONS[section].model_fields
    for parameter in REMOVED:
        section, _, old = parameter.partition(".")
        assert old not in SECTIONS[section].model_fields
    for parameter in (*REMOVED_VALUES, *NAMES_SCORERS):
        section, _, name = parameter.partition(".")
        assert name in SECTIONS[section].model_fields


def test_a_params_file_with_old_names_is_the_same_run_and_says_the_new_names_once(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="Old names in the parameters") as told:
        found = load_run(with_old_names(tmp_path))
    assert found == load_run(DEFAULT)
    (warning,) = told
    said = str(warning.message)
    assert said.count("train.cutoff is now train.max_length") == 1
    assert said.count("the scorer mutual_information is now pmi") == 1


@pytest.mark.parametrize(
    ("override", "new"),
    [
        ("train.cutoff:64", "train.max_length:64"),
        ("assess.judge:base", "assess.assessor:base"),
        ("filter.axes:quality", "filter.criteria:quality"),
        ("model.patience_seconds:3", "model.timeout_seconds:3"),
        ("filter.top_scorer:mutual_information", "filter.top_scorer:pmi"),
        ("assess.scorers:[mutual_information,expected]", "assess.scorers:[pmi,expected]"),
    ],
)
def test_an_override_takes_the_old_name(override: str, new: str) -> None:
    with pytest.warns(UserWarning, match="is now"):
        found = load_run(DEFAULT, override)
    assert found == load_run(DEFAULT, new)


def test_new_names_are_no_reason_to_warn() -> None:
    with warnings.catch_warnings(action="error"):
        load_run(DEFAULT, "train.max_length:64 assess.assessor:base")


def test_what_is_there_no_more_is_accepted_with_the_one_value_that_is_left() -> None:
    given = " ".join(f"{parameter}:{only}" for parameter, (only, _) in REMOVED.items())
    assert load_run(DEFAULT, given) == load_run(DEFAULT)
    for parameter, (_, why) in REMOVED.items():
        with pytest.raises(ParameterError) as caught:
            load_run(DEFAULT, f"{parameter}:other")
        assert f"{parameter}: 'other' is no longer there: {why}" in caught.value.what


def test_a_parameter_that_is_given_under_both_names_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "both.yaml"
    path.write_text(DEFAULT.read_text(encoding="utf-8").replace("  max_length:", "  cutoff: 64\n  max_length:"))
    with pytest.raises(ParameterError) as caught:
        load_run(path)
    numbers = [n for n, line in enumerate(path.read_text().splitlines(), 1) if "cutoff" in line or " max_length" in line]
    said = "train.cutoff (line {}): is now train.max_length (line {}), which is given too; keep that one"
    assert said.format(*numbers) in caught.value.what


@pytest.mark.parametrize("options", ["abc", "3", "true", "[a]"])
def test_an_old_name_whose_new_place_is_no_section_is_left_to_the_check(tmp_path: Path, options: str) -> None:
    path = tmp_path / "odd.yaml"
    text = DEFAULT.read_text(encoding="utf-8").replace(
        "synthesize:", f"synthesize:\n  options: {options}\n  demonstrations: 3", 1
    )
    path.write_text(text[: text.index("  options:\n")] + text[text.index("assess:") :])
    with pytest.raises(ParameterError, match=r"synthesize\.options \(line"):
        load_run(path)


def test_a_problem_with_an_old_name_is_told_with_the_line_of_the_file(tmp_path: Path) -> None:
    path = with_old_names(tmp_path)
    path.write_text(path.read_text(encoding="utf-8").replace("cutoff: 768", "cutoff: 1"), encoding="utf-8")
    line = next(i for i, text in enumerate(path.read_text().splitlines(), 1) if "cutoff" in text)
    with pytest.warns(UserWarning), pytest.raises(ParameterError) as caught:
        load_run(path)
    assert f"train.max_length (line {line}): 1 should be" in caught.value.what


def test_a_cell_that_holds_the_defaults_of_the_new_names_takes_an_old_one() -> None:
    given = {"max_length": 1024, "cutoff": 64, "lora_rank": 8}
    assert renew(given, "train", defaults={"max_length": 1024}).values == {"max_length": 64, "lora_rank": 8}
    assert renew(given | {"max_length": 99}, "train", defaults={"max_length": 1024}).problems


def test_a_notebook_that_is_given_an_old_name_finds_its_value() -> None:
    cell = "# Parameters\ncutoff = 64\n"
    given = cell_values({"In": [cell], "cutoff": 64, "max_length": 1024, "run": "mine"}, TrainParams)
    defaults = {name: field.default for name, field in TrainParams.model_fields.items()}
    found = renew(given, "model", "train", scorers=False, defaults=defaults)
    assert check(TrainParams, found.values, "train.ipynb").max_length == 64
    assert found.renamed == ["train.cutoff is now train.max_length"]


@pytest.mark.parametrize("path", sorted(RECORDS.rglob("params.yaml")), ids=lambda p: p.parent.name)
def test_the_params_of_a_committed_run_are_read_under_new_names_but_for_the_names_of_its_columns(path: Path) -> None:
    found, raw = run_params(path.parent), yaml.safe_load(params_path(path.parent).read_text(encoding="utf-8"))
    assert found["train"]["max_length"] == raw["train"].get("cutoff", raw["train"].get("max_length"))
    assert found["filter"]["scorer"] == raw["filter"]["scorer"]
    for section, kind in SECTIONS.items():
        assert set(found.get(section, {})) <= set(kind.model_fields)


@pytest.mark.parametrize(("folder", "manifest"), all_manifests(run_folder(OLD)), ids=lambda p: getattr(p, "name", ""))
def test_every_committed_manifest_is_read(folder: Path, manifest: dict) -> None:
    found = recorded_params(manifest, str(folder))
    if manifest["stage"] == "filter":
        assert found.scorer == "mutual_information" and found.scorer in SCORERS
        assert found.criteria == manifest["parameters"]["axes"]


OPEN = {"model": {"inference_dtype": "auto", "dtype": "auto"}}


def recorded_with(run: Path, stage: str, computed: str, device: str) -> dict:
    """Record a stage whose parameters left both formats open."""
    values = {**STAGE_PARAMS[stage]().model_dump(exclude={"run"})}
    values |= {name: "auto" for name in OPEN["model"] if name in values}
    engine = {"dtype": computed} if computed else {}
    manifest = {"stage": stage, "parameters": values, "engine": engine, "environment": {"device": device}}
    write_manifest(run / "iter-1" / stage, manifest)
    return manifest


def test_a_params_file_that_leaves_a_format_open_is_told_what_to_write_among_all_problems(tmp_path: Path) -> None:
    path = tmp_path / "open.yaml"
    text = DEFAULT.read_text(encoding="utf-8").replace("dtype: float32", "dtype: auto").replace("epochs: 2", "epochs: none")
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ParameterError) as caught:
        load_run(path)
    said = caught.value.what
    assert "3 problem(s)" in said and "train.epochs (line " in said
    for name in ("model.dtype", "model.inference_dtype"):
        line = next(i for i, row in enumerate(text.splitlines(), 1) if row.strip() == f"{name.removeprefix('model.')}: auto")
        assert f"{name} (line {line}): 'auto' is no longer there" in said
    assert said.count("set float32 or bfloat16") == 2


@pytest.mark.parametrize(
    ("computed", "device", "inference", "training"),
    [
        ("bfloat16", "cpu", "bfloat16", "float32"),
        ("float32", "cpu", "float32", "float32"),
        ("float32", "a GPU", "float32", "bfloat16"),
        ("unknown", "cpu", "bfloat16", "float32"),  # servers were taken to run it
    ],
)
def test_an_old_record_that_left_its_formats_open_is_read_with_those_it_settled_on(
    tmp_path: Path, computed: str, device: str, inference: str, training: str
) -> None:
    manifest = recorded_with(tmp_path, "synthesize", computed, device)
    params_path(tmp_path).write_text(yaml.safe_dump(OPEN))
    found = recorded_params(manifest, "manifest.json")
    assert (found.inference_dtype, found.dtype) == (inference, training)
    assert run_params(tmp_path)["model"] == {"inference_dtype": inference, "dtype": training}


def test_a_format_that_no_readable_stage_settled_is_not_given(tmp_path: Path) -> None:
    params_path(tmp_path).write_text(yaml.safe_dump(OPEN))
    (tmp_path / "iter-1" / "train").mkdir(parents=True)
    (tmp_path / "iter-1" / "train" / "manifest.json").write_text("[]")
    assert run_params(tmp_path)["model"] == {}


def test_a_run_with_a_settled_format_goes_on_with_it_and_another_is_refused(tmp_path: Path) -> None:
    shutil.copy(params_path(run_folder(OLD)), params_path(tmp_path))
    _, found, _ = prepare({"run": str(tmp_path), "params": str(params_path(tmp_path))})
    assert (found.model.inference_dtype, found.model.numerics) == ("bfloat16", "plain")
    with pytest.raises(ParameterError, match="inference_dtype: the run has 'bfloat16', now 'float32'"):
        prepare({"run": str(tmp_path), "params": str(DEFAULT)})
    by_hand = complete_params(AssessParams, {"run": str(tmp_path), "inference_dtype": "float32"}, "assess")
    assert by_hand["inference_dtype"] == "bfloat16"
