"""Sweep files: what runs they become, what these share, and every problem at once."""

import csv
import json
import re
import tarfile
from pathlib import Path

import nbformat
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from isheep_lib.ablate import runs, sweep
from isheep_lib.ablate.table import ablation_table
from isheep_lib.assess.judges import kinds_table
from isheep_lib.display.save import save_table
from isheep_lib.errors import ModelError, ParameterError, StageFailed
from isheep_lib.iterate import claims
from isheep_lib.iterate.run_params import load_run
from isheep_lib.record import manifests

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted((ROOT / "params/ablations").glob("*.yaml"))
COMMITTED = sorted((ROOT / "results/reference").glob("small-*"))
PACKED = "runs.tar.xz"
PARAMS = "params/smollm2-135m.yaml"


def written(folder: Path, **changes: object) -> str:
    values = {"name": str(folder / "s"), "params": PARAMS, "iterations": 1, "axes": {"filter.threshold": [0.1, 0.5]}}
    path = folder / "sweep.yaml"
    path.write_text(yaml.safe_dump({**values, **changes}, sort_keys=False))
    return str(path)


def opened(folder: Path, **changes: object) -> sweep.Sweep:
    return sweep.open_sweep(written(folder, **changes))


def committed(folder: Path, place: Path) -> sweep.Sweep:
    """Open a committed sweep, whose runs lie beside its tables or are packed there."""
    name = f"reference/{folder.name}"
    if (folder / PACKED).is_file():
        with tarfile.open(folder / PACKED) as packed:
            packed.extractall(place, filter="data")
        name = str(place / folder.name)
    return sweep.open_sweep(str(ROOT / f"params/ablations/{folder.name}.yaml"), name=name)


def names(found: sweep.Sweep) -> list[str]:
    return [point.name for point in found.points]


def test_runs_are_all_combinations_for_every_seed_each_filter_with_a_control_of_its_own(tmp_path):
    axes = {"filter.threshold": [0.1, 0.5], "setting": {"base": "train.setting:one_base", "rules": "filter.steps:[rules]"}}
    found = opened(tmp_path, axes=axes, seeds=[1, 2])
    twelve = [
        f"threshold-{c}-{kind}-seed-{n}" for n in (1, 2) for c in (0.1, 0.5) for kind in ("base", "base-control", "rules")
    ]
    assert sorted(names(found)) == sorted(re.sub("-control(.*)", r"\1-control", name) for name in twelve)
    for point in found.points:
        assert point.params.seed in (1, 2)
        assert point.params.filter.random_control == point.control == point.name.endswith("-control")
        assert point.control or point.params.filter.threshold == float(point.values["filter.threshold"].split("-")[1])


def test_rules_alone_have_no_control_and_none_is_made_where_none_is_wanted(tmp_path):
    axes = {"c": {"rules": "filter.steps:[rules]", "all": "filter.steps:[]", "mi": "filter.threshold:0.3"}}
    assert names(opened(tmp_path, axes=axes)) == ["rules", "all", "mi", "mi-control"]
    assert names(opened(tmp_path, axes=axes, control=False)) == ["rules", "all", "mi"]


def test_pairs_of_answers_have_a_control_that_orders_them_by_chance(tmp_path):
    axes = {
        "c": {"rules": "filter.steps:[rules]", "pairs": "filter.steps:[rules] filter.preferences:[cut] train.objective:dpo"}
    }
    assert names(opened(tmp_path, axes=axes)) == ["rules", "pairs", "pairs-control"]


def test_a_value_may_have_iterations_of_its_own_and_overrides_add_up(tmp_path):
    axes = {"setting": {"one": "train.setting:one_base", "direct": {"override": "synthesize.instructions:99", "iterations": 1}}}
    path = written(tmp_path, axes=axes, iterations=3, override="train.epochs:5", control=False)
    found = sweep.open_sweep(path, override="train.lora_rank:3")
    assert [(p.name, p.iterations, p.params.train.epochs, p.params.train.lora_rank) for p in found.points] == [
        ("one", 3, 5, 3),
        ("direct", 1, 5, 3),
    ]
    assert found.points[1].params.synthesize.instructions == 99


def test_changes_of_the_command_replace_those_of_the_file_and_values_of_axes_replace_both(tmp_path):
    axes = {"train.epochs": [3, 4]}
    path = written(tmp_path, axes=axes, override="train.epochs:1 train.lora_rank:2", control=False)
    found = sweep.open_sweep(path, override='train.lora_rank:3 model.system_prompt:"You are brief."')
    assert [(p.params.train.epochs, p.params.train.lora_rank) for p in found.points] == [(3, 3), (4, 3)]
    assert {p.params.model.system_prompt for p in found.points} == {"You are brief."}
    assert found.points[0].override == 'train.lora_rank:3 model.system_prompt:"You are brief." train.epochs:3'


OF_METHODS = {
    "method": {
        "magpie": "",
        "evol": {"params": "params/methods/evol-instruct.yaml", "override": "synthesize.options.rounds:2"},
        "lamini": {"params": "params/methods/lamini.yaml"},
    }
}


def test_a_value_may_name_a_params_file_of_its_own_to_which_the_changes_of_the_sweep_apply(tmp_path):
    path = written(tmp_path, axes=OF_METHODS, override="train.epochs:5 synthesize.instructions:60", seeds=[1, 2])
    found = sweep.open_sweep(path, override="train.lora_rank:3")
    assert len(found.points) == 2 * 2 * 3  # each filters, so each has a control
    files = {"magpie": PARAMS, "evol": "params/methods/evol-instruct.yaml", "lamini": "params/methods/lamini.yaml"}
    methods = {"magpie": "magpie", "evol": "evol_instruct", "lamini": "lamini"}
    for point in found.points:
        kind, params = point.values["method"], point.params
        assert point.file == files[kind]
        assert params.synthesize.method == methods[kind]
        assert (params.train.epochs, params.train.lora_rank, params.synthesize.instructions) == (5, 3, 60)
        assert params.run == point.run
    evol, lamini = (next(p.params for p in found.points if p.values["method"] == name) for name in ("evol", "lamini"))
    assert evol.synthesize.options.rounds == 2
    assert lamini.synthesize.instruction_tokens == 384  # what the sweep does not change is the file's


def test_a_run_is_started_from_its_own_params_file_and_the_plan_names_it(tmp_path, monkeypatch):
    found, files = opened(tmp_path, axes=OF_METHODS, control=False), []
    monkeypatch.setattr(runs.runner, "execute_watched", lambda _, __, params, ___: files.append(params["params"]))
    runs.run_all(found, "stop")
    assert files == [PARAMS, "params/methods/evol-instruct.yaml", "params/methods/lamini.yaml"]
    assert [row["params file"] for row in runs.plan_table(found).rows] == files
    assert "params file" not in runs.plan_table(opened(tmp_path)).rows[0]


def test_two_axes_that_each_name_a_params_file_are_refused(tmp_path):
    axes = OF_METHODS | {"other": {"list": {"params": "params/methods/list.yaml"}, "none": ""}}
    with pytest.raises(ParameterError) as raised:
        opened(tmp_path, axes=axes)
    said = "s/evol-list: two of its values name a params file, params/methods/evol-instruct.yaml and params/methods/list.yaml"
    assert said in str(raised.value)
    assert "2 problem(s)" in str(raised.value)


def test_params_files_of_values_that_are_absent_or_do_not_take_a_change_are_named_with_all_other_problems(tmp_path):
    axes = {
        "method": {
            "none": {"params": "params/methods/none.yaml"},
            "folder": {"params": "params/methods"},
            "lamini": {"params": "params/methods/lamini.yaml", "override": "synthesize.options.rounds:2"},
            "list": {"params": "params/methods/list.yaml", "override": "train.epochs:0"},
            "empty": {"params": "params/methods/udit.yaml"},
        }
    }
    with pytest.raises(ParameterError) as raised:
        opened(tmp_path, axes=axes)
    said = str(raised.value)
    assert "s/none (params/methods/none.yaml): params/methods/none.yaml does not exist" in said
    assert "s/folder (params/methods): params/methods is a folder" in said
    assert "s/lamini (params/methods/lamini.yaml): synthesize.options" in said
    assert "the method lamini has no rounds" in said
    assert "s/list (params/methods/list.yaml): train.epochs" in said
    assert "s/empty" not in said
    assert "4 problem(s)" in said


def test_two_axes_that_change_the_same_parameter_are_refused(tmp_path):
    axes = {"train.epochs": [3, 4], "a": {"one": "train.epochs:1", "two": "train.epochs:2"}}
    with pytest.raises(ParameterError, match=r"train\.epochs: given twice, as train\.epochs:3 and as train\.epochs:1"):
        opened(tmp_path, axes=axes)


def test_values_of_an_axis_may_hold_blanks_and_look_like_numbers(tmp_path):
    axes = {"model.system_prompt": ["You are brief.", "010", "it's: [x"]}
    found = opened(tmp_path, axes=axes, control=False)
    assert [p.params.model.system_prompt for p in found.points] == axes["model.system_prompt"]


def test_another_name_moves_every_run(tmp_path):
    found = sweep.open_sweep(written(tmp_path), name=str(tmp_path / "elsewhere"))
    assert {manifests.run_folder(point.run).parent for point in found.points} == {tmp_path / "elsewhere"}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"axes": {}}, "at least 1"),
        ({"axes": {"filter.threshold": []}}, "has no value"),
        ({"axes": {"filter.threshold": [0.5, 0.5]}}, "none twice"),
        ({"axes": {"threshold": [0.5]}}, "section.name"),
        ({"axes": {"c": {"-1": "filter.steps:[]"}}}, "names a folder"),
        ({"axes": {"c": {"a/b": ""}}}, "names a folder"),
        ({"axes": {"filter.treshold": [0.5]}}, "did you mean filter.threshold"),
        ({"axes": {"filter.threshold": ["much"]}}, "valid number"),
        ({"axes": {"c": {"a": "train.epochs:2", "b": "train.epochs:2"}}, "control": False}, "are the same run"),
        ({"reference": ["none"]}, "no run has the values"),
        ({"name": "../up"}, "folder under results"),
        ({"seeds": [-1]}, "greater than or equal to 0"),
        ({"seed": [1]}, "did you mean seeds"),
        ({"params": "params/none.yaml"}, "does not exist"),
        ({"axes": {"c": {"a": {"params": ""}}}}, "at least 1 character"),
        ({"iterations": 0}, "greater than or equal to 1"),
    ],
)
def test_what_is_wrong_with_a_file_is_said(tmp_path, changes, said):
    with pytest.raises(ParameterError) as raised:
        opened(tmp_path, **changes)
    assert said in str(raised.value)


def test_the_problems_of_all_runs_are_said_at_once(tmp_path):
    axes = {"c": {"a": "train.epochs:0", "b": "filter.nothing:1", "c": "train.lora_rank:4"}}
    with pytest.raises(ParameterError) as raised:
        opened(tmp_path, axes=axes)
    assert "2 problem(s)" in str(raised.value)
    assert "s/a: train.epochs" in str(raised.value)
    assert "s/b: filter.nothing" in str(raised.value)


def test_the_settings_share_all_before_their_second_training_and_direct_shares_the_base_model(tmp_path):
    found = sweep.open_sweep(str(ROOT / "params/ablations/small-setting.yaml"), name=str(tmp_path / "x"))
    own = {point.name: [(w.iteration, w.stage) for w in runs.work(found) if w.point is point] for point in found.points}
    assert len(own["one_base"]) == 11
    assert own["one_last"] == own["total_base"] == [(2, "train"), (2, "evaluate")]
    assert own["direct"] == [(1, stage) for stage in ("synthesize", "assess", "filter", "train", "evaluate")]


@pytest.mark.parametrize(
    ("change", "first_own"),
    [
        ("synthesize.instructions:57", "synthesize"),
        ("assess.bootstrap:200", "assess"),
        ("filter.threshold:0.7", "filter"),
        ("train.epochs:3", "train"),
        ("seed:3", "evaluate of the base"),
        ("model.batch_tokens:9", ""),  # speed only
        ("assess.assessor:base", ""),  # in the first iteration both judges are the base model
        ("train.setting:one_last", ""),
    ],
)
def test_a_change_leaves_everything_before_it_shared(change, first_own):
    one = runs.stage_keys(load_run(ROOT / PARAMS), 1)
    other = runs.stage_keys(load_run(ROOT / PARAMS, change), 1)
    differing = [step for step in one if one[step] != other[step]]
    order = ["synthesize", "assess", "filter", "train", "evaluate"]
    if first_own == "evaluate of the base":
        assert differing == list(one)
    else:
        assert [stage for _, stage in differing] == (order[order.index(first_own) :] if first_own else [])
        assert (0, "evaluate") not in differing


@given(st.sampled_from(["one_base", "one_last", "total_base"]), st.integers(1, 4), st.integers(1, 4))
def test_a_longer_run_has_the_same_stages_as_a_shorter_one_and_more(setting, few, more):
    params = load_run(ROOT / PARAMS, f"train.setting:{setting}")
    short, long = runs.stage_keys(params, few), runs.stage_keys(params, few + more)
    assert short.items() <= long.items()
    assert len(set(long.values())) == len(long)


@pytest.mark.parametrize("folder", COMMITTED, ids=lambda p: p.name)
def test_what_the_plan_shares_is_what_the_records_share(folder, tmp_path):
    found = committed(folder, tmp_path)
    prints: dict[str, set[str]] = {}
    stages: dict[str, dict[str, str]] = {}
    for point in found.points:
        for step, key in runs.stage_keys(point.params, point.iterations).items():
            manifest = manifests.read_manifest(manifests.stage_folder(manifests.run_folder(point.run), *step))
            if manifest:
                prints.setdefault(key, set()).add(manifest["fingerprint"])
                stages.setdefault(manifest["fingerprint"], {})[key] = step[1]
    assert prints
    assert all(len(found) == 1 for found in prints.values()), "a stage was planned as shared and was not"
    more = {stage for keys in stages.values() if len(keys) > 1 for stage in keys.values()}
    # Two filters may keep the same pairs, which nobody can know before.
    assert more <= {"train", "evaluate"}, "a stage was shared and was not planned so"


@pytest.mark.parametrize("folder", [f for f in COMMITTED if (f / PACKED).is_file()], ids=lambda p: p.name)
def test_the_table_of_a_committed_sweep_follows_from_its_records(folder, tmp_path):
    found = committed(folder, tmp_path)
    save_table(ablation_table(found), tmp_path, "ablation")
    said, now = ([*csv.DictReader((place / "ablation.csv").open())] for place in (folder / "tables", tmp_path))
    columns = said[0].keys()  # a table may be older than a column
    assert {"percent", "against as many pairs by chance"} <= columns
    assert said == [{name: row[name] for name in columns} for row in now]


def test_the_table_of_judges_that_learned_follows_from_the_record_beside_the_experiment(tmp_path):
    folder = ROOT / "results/reference/small-helps"
    committed(folder, tmp_path)
    document = json.loads((tmp_path / "small-helps/judge/iter-1/assess/learned.json").read_text())
    save_table(kinds_table(document["auroc"]), tmp_path, "judge")
    assert (tmp_path / "judge.csv").read_bytes() == (folder / "tables/judge.csv").read_bytes()
    shown = nbformat.read(tmp_path / "small-helps/judge/iter-1/assess/assess.ipynb", as_version=4).cells
    (cell,) = (cell for cell in shown if cell.id == "learned-check")
    for row in csv.DictReader((folder / "tables/judge.csv").open()):
        assert all(value in cell.outputs[-1]["data"]["text/plain"] for value in row.values()), row


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_a_ready_file_opens_says_how_to_use_it_and_is_named_like_its_sweep(path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda *_, **__: pytest.fail("a download was tried"))
    found = sweep.open_sweep(str(path))
    assert found.file.name == path.stem
    assert found.reference is not None
    head = path.read_text().split("\n\n")[0]
    assert all(f"# {word}: " in head for word in ("Needs", "Command", "Takes"))
    assert f"isheep ablate params/ablations/{path.name}" in head
    assert found.file.params == ("params/smollm2-135m.yaml" if path.stem.startswith("small-") else "params/qwen1.5-72b.yaml")


def test_every_ablation_of_the_paper_has_a_file_and_a_small_one():
    wanted = {"threshold", "data-size", "setting", "filter", "level", "prompt", "judge"}
    assert {path.stem for path in FILES} == wanted | {f"small-{name}" for name in wanted} | {"small-helps", "small-methods"}


def test_the_machine_is_asked_before_anything_runs(tmp_path, monkeypatch):
    found = opened(tmp_path, override="model.base_model:nobody/nothing", control=False)
    with pytest.raises(ParameterError, match="every run: nobody/nothing has no commit, the hub was not reached"):
        runs.check_runs(found, "stop")
    monkeypatch.setattr(runs.hub_ids, "settle", lambda section, _: section)
    monkeypatch.setattr(runs.needs, "check", lambda *_: None)
    claims.claim_params(tmp_path / "s/threshold-0.1", {"seed": 1})
    with pytest.raises(ParameterError, match=r"threshold-0.1: .*\n?.*seed"):
        runs.check_runs(found, "stop")


def test_a_run_that_fails_is_named_at_the_end_and_stops_no_other(tmp_path, monkeypatch):
    found, ran, said = opened(tmp_path, control=False), [], []

    def run(notebook, output, params, title):
        ran.append(params["run"])
        if "0.1" in params["run"]:
            raise ModelError("no memory")

    monkeypatch.setattr(runs.runner, "execute_watched", run)
    with pytest.raises(StageFailed, match=r"1 of 2 run.*\n\n.*threshold-0.1: no memory"):
        runs.run_all(found, "stop", said.append)
    assert len(ran) == 2
    assert said == ["threshold-0.1 (1 of 2) failed"]


def test_the_plan_counts_what_is_done_and_what_is_shared(tmp_path):
    found = opened(tmp_path)
    rows = {row["run"]: row for row in runs.plan_table(found).rows}
    assert rows["threshold-0.5"]["shared with runs above"] == 3  # base, synthesis, assessment
    manifests.stage_folder(manifests.run_folder(found.points[0].run), 1, "synthesize").mkdir(parents=True)
    manifests.write_manifest(
        manifests.stage_folder(manifests.run_folder(found.points[0].run), 1, "synthesize"), {"stage": "synthesize"}
    )
    after = {row["run"]: row for row in runs.plan_table(found).rows}
    assert after["threshold-0.1"]["of its own still to run"] == rows["threshold-0.1"]["of its own still to run"] - 1
    assert "of which" in runs.plan_table(found).caption
