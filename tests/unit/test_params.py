"""Parameters: every problem at once, with the nearest name, the line and what to do."""

import pathlib

import pytest
import yaml

from isheep_lib.errors import ParameterError
from isheep_lib.params import (
    SECTIONS,
    STAGE_PARAMS,
    EvaluateParams,
    FilterParams,
    IterateParams,
    Place,
    Shard,
    SynthesizeParams,
    TrainParams,
    is_execution,
)
from isheep_lib.params_check import check
from isheep_lib.params_file import load_run

ROOT = pathlib.Path(__file__).parents[2]
DEFAULT = ROOT / "params" / "smollm2-135m.yaml"
FILES = sorted((ROOT / "params").rglob("*.yaml"))


def refusal(kind=None, values=None, *, path=DEFAULT, override="", run=""):
    with pytest.raises(ParameterError) as caught:
        check(kind, values, "x.ipynb") if kind else load_run(path, override, run)
    return str(caught.value)


def written(tmp_path, text):
    path = tmp_path / "p.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def edited(tmp_path, old, new):
    text = DEFAULT.read_text()
    assert old in text
    return written(tmp_path, text.replace(old, new, 1))


def line_of(path, text):
    return next(number for number, line in enumerate(path.read_text().splitlines(), start=1) if text in line)


def test_there_is_a_params_file():
    assert DEFAULT in FILES


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_params_file_of_the_repository_loads(path):
    run = load_run(path)
    for stage, kind in STAGE_PARAMS.items():
        check(kind, run.stage(stage, 1), str(path))


def test_the_default_params_file_says_the_defaults_of_the_classes():
    run = load_run(DEFAULT).model_dump()
    place = Place()
    assert run == {"run": place.run, "seed": place.seed, **{name: kind().model_dump() for name, kind in SECTIONS.items()}}


@pytest.mark.parametrize("stage", STAGE_PARAMS)
def test_a_stage_gets_exactly_its_own_parameters(stage):
    run = load_run(DEFAULT, "model.dtype:bfloat16 filter.threshold:0.5 train.epochs:7 evaluate.answer_tokens:9", "mine")
    flat = run.stage(stage, 3)
    assert set(flat) == set(STAGE_PARAMS[stage].model_fields) - set(Shard.model_fields)  # a shard is a worker's own
    assert (flat["run"], flat["iteration"], flat["seed"]) == ("mine", 3, 2408)
    changed = {"dtype": "bfloat16", "threshold": 0.5, "epochs": 7, "answer_tokens": 9}
    assert {name: flat[name] for name in changed if name in flat} == {n: v for n, v in changed.items() if n in flat}


def test_batching_alone_may_change_within_a_run():
    names = {f"{s}.{n}" for s, kind in SECTIONS.items() for n in kind.model_fields if is_execution(kind, n)}
    ours = {"batch_tokens", "cache_tokens"}
    theirs = {"tensor_parallel", "gpu_memory", "base_urls", "concurrency", "request_seconds", "patience_seconds"}
    assert names == {f"model.{name}" for name in ours | theirs}
    assert all(is_execution(STAGE_PARAMS["assess"], name) for name in Shard.model_fields)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ("model.engine:server", "base_urls: the engine server needs at least one address"),
        ("model.base_urls:[ftp://a.b/v1]", "'ftp://a.b/v1' is no http or https address"),
        ("model.base_urls:[here]", "'here' is no http or https address"),
        ("model.base_urls:[http://a.b/v1,http://a.b/v1/]", "none twice"),
        ("model.base_urls:[http://me:secret@a.b/v1]", "must hold no key or password"),
        ("model.engine:llama", "transformers"),
    ],
)
def test_engine_settings_that_cannot_work_are_refused_before_anything_runs(change, complaint):
    with pytest.raises(ParameterError) as caught:
        load_run(DEFAULT, change)
    assert complaint in str(caught.value)


@pytest.mark.parametrize(("shard", "num_shards", "fits"), [(0, 1, True), (63, 64, True), (1, 1, False), (64, 64, False)])
def test_a_shard_counts_from_zero_below_their_number(shard, num_shards, fits):
    values = {"shard": shard, "num_shards": num_shards}
    if fits:
        assert check(STAGE_PARAMS["synthesize"], values, "x").shard == shard
    else:
        with pytest.raises(ParameterError, match="shards count from 0"):
            check(STAGE_PARAMS["synthesize"], values, "x")


@pytest.mark.parametrize(
    ("given", "suggested"),
    [
        ("treshold", "threshold"),
        ("max_copyshare", "max_copy_share"),
        ("Scorer", "scorer"),
        ("min_keep", "min_kept"),
        ("iterations", "iteration"),
    ],
)
def test_an_unknown_name_gets_the_nearest_one_suggested(given, suggested):
    message = refusal(FilterParams, {given: 1})
    assert f"{given}: no such parameter; did you mean {suggested}?" in message
    assert "where: x.ipynb" in message
    assert "docs/parameters.md" in message


def test_a_name_unlike_any_other_gets_no_suggestion():
    assert refusal(FilterParams, {"qqqqqq": 1}).count("did you mean") == 0


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("epochs:3", "epochs: no such parameter; did you mean train.epochs?"),
        ("filter.epochs:3", "did you mean train.epochs?"),
        ("train.epoch:3", "train.epoch: no such parameter; did you mean train.epochs?"),
        ("training.epochs:3", "training: no such parameter"),
        ("a.b.c:1", "a.b: no such parameter"),
    ],
)
def test_a_name_in_the_wrong_section_is_shown_the_right_one(override, said):
    assert said in refusal(override=override)


@pytest.mark.parametrize(
    ("kind", "values", "said"),
    [
        (TrainParams, {"iteration": 0}, "iteration: 0 should be greater than or equal to 1"),
        (TrainParams, {"iteration": -1}, "iteration: -1 should be greater than or equal to 1"),
        (IterateParams, {"iteration": 0}, "iteration: 0 should be greater than or equal to 1"),
        (EvaluateParams, {"iteration": -1}, "iteration: -1 should be greater than or equal to 0"),
        (TrainParams, {"seed": 2**31}, f"seed: {2**31} should be less than"),
        (TrainParams, {"seed": -1}, "seed: -1 should be"),
        (TrainParams, {"learning_rate": 0.0}, "learning_rate: 0.0 should be greater than 0"),
        (TrainParams, {"held_out": 1.0}, "held_out: 1.0 should be less than 1"),
        (TrainParams, {"epochs": 0}, "epochs: 0 should be"),
        (TrainParams, {"epochs": "2"}, "epochs: '2' should be a valid integer"),
        (TrainParams, {"epochs": 2.0}, "epochs: 2.0 should be a valid integer"),
        (TrainParams, {"epochs": True}, "epochs: True should be a valid integer"),
        (TrainParams, {"epochs": None}, "epochs: None should be"),
        (TrainParams, {"dtype": "float16"}, "dtype: 'float16' should be 'float32' or 'bfloat16'"),
        (TrainParams, {"aligned_frame": "vicuna"}, "aligned_frame: 'vicuna' should be 'plain', 'alpaca', 'chatml'"),
        (TrainParams, {"run": ""}, "run: '' "),
        (FilterParams, {"rules": "yes"}, "rules: 'yes' should be a valid boolean"),
        (FilterParams, {"max_copy_share": 1.01}, "max_copy_share: 1.01 should be less than or equal to 1"),
        (FilterParams, {"max_copy_share": float("nan")}, "max_copy_share: nan"),
        (FilterParams, {"threshold": float("nan")}, "threshold: nan"),
        (FilterParams, {"threshold": float("inf")}, "threshold: inf"),
        (FilterParams, {"threshold": "half"}, "threshold: 'half' should be a valid number"),
        (EvaluateParams, {"ifeval_prompts": 542}, "ifeval_prompts: 542 should be less than or equal to 541"),
        (STAGE_PARAMS["assess"], {"scorers": []}, "scorers: [] at least one, none twice"),
        (STAGE_PARAMS["assess"], {"scorers": ["text", "text"]}, "at least one, none twice"),
        (STAGE_PARAMS["assess"], {"checked_pairs": 3}, "checked_pairs: 3 should be"),
        (STAGE_PARAMS["assess"], {"scorers": ["writen"]}, "'writen' should be 'mutual_information', 'expected' or 'text'"),
        (IterateParams, {"stale": "ignore"}, "stale: 'ignore' should be 'stop', 'redo' or 'keep'"),
    ],
)
def test_a_bad_value_is_named_with_what_is_allowed(kind, values, said):
    assert said in refusal(kind, values)


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        (EvaluateParams, {"iteration": 0}),
        (EvaluateParams, {"ifeval_prompts": 0}),
        (TrainParams, {"iteration": 1, "seed": 0}),
        (FilterParams, {"max_copy_share": 1, "threshold": -2}),
        (SynthesizeParams, {"instruction_temperature": 0.0, "max_rouge": 1.0}),
    ],
)
def test_the_edges_of_a_range_are_allowed(kind, values):
    checked = check(kind, values, "x")
    assert {name: getattr(checked, name) for name in values} == values


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("synthesize.demonstrations:12", "tasks_per_prompt: must be more than demonstrations"),
        ("synthesize.min_instructions:81", "min_instructions: must be at most instructions"),
        ("train.micro_batch:3", "micro_batch: must divide train_batch"),
        ("filter.scorer:text", "filter.scorer: 'text' is not run on all pairs; assess.scorers are ['mutual_information']"),
    ],
)
def test_values_that_contradict_one_another_are_refused(override, said):
    assert said in refusal(override=override)


@pytest.mark.parametrize(
    ("kind", "values", "said"),
    [
        (SynthesizeParams, {"demonstrations": 12}, "tasks_per_prompt: must be more than demonstrations"),
        (TrainParams, {"train_batch": 7}, "micro_batch: must divide train_batch"),
    ],
)
def test_a_stage_refuses_its_own_contradictions(kind, values, said):
    assert said in refusal(kind, values)


def test_all_problems_are_listed_at_once():
    message = refusal(override="train.epochs:0 filter.treshold:1 assess.bootstrap:x nonsense:1 train.held_out:2.0")
    assert "5 problem(s)" in message
    for name in ("train.epochs", "filter.treshold", "assess.bootstrap", "nonsense", "train.held_out"):
        assert f"\n  {name}" in message


def test_contradictions_are_listed_together():
    assert "2 problem(s)" in refusal(override="train.micro_batch:3 synthesize.demonstrations:50")


@pytest.mark.parametrize("number", ["1e-4", "2e5", "1E-4"])
def test_a_number_that_yaml_takes_for_text_is_explained(tmp_path, number):
    path = edited(tmp_path, "learning_rate: 2.0e-4", f"learning_rate: {number}")
    message = refusal(path=path)
    assert f"train.learning_rate (line {line_of(path, 'learning_rate')}): YAML reads {number} as text" in message
    assert "like 1.0e-4" in message


@pytest.mark.parametrize(
    ("old", "new", "name", "said"),
    [
        ("epochs: 2", "epochs: two", "train.epochs", "'two' should be a valid integer"),
        ("  min_kept: 16", "  min_kep: 16", "filter.min_kep", "did you mean filter.min_kept?"),
        ("seed: 2408", "seed: -5", "seed", "-5 should be"),
        ("dtype: float32", "dtype: fp32", "model.dtype", "'fp32' should be"),
        ("scorers: [mutual_information]", "scorers: [information]", "assess.scorers", "'information' should be"),
    ],
)
def test_a_problem_in_a_file_is_named_with_its_line(tmp_path, old, new, name, said):
    path = edited(tmp_path, old, new)
    message = refusal(path=path)
    assert f"(line {line_of(path, new)})" in message
    assert f"\n  {name}" in message
    assert said in message
    assert str(path) in message


def test_a_value_from_the_override_is_not_blamed_on_a_line_of_the_file():
    message = refusal(override="train.epochs:0")
    assert "train.epochs" in message
    assert "override" in message
    assert "(line" not in message


def test_missing_parameters_and_sections_are_named(tmp_path):
    message = refusal(path=written(tmp_path, "seed: 1\nmodel: {}\nfilter: {}\n"))
    for name in ("run", "synthesize", "assess", "train", "evaluate"):
        assert f"\n  {name}: missing" in message


@pytest.mark.parametrize(
    ("override", "section", "field", "value"),
    [
        ("train.epochs:1", "train", "epochs", 1),
        ("filter.threshold:-0.5", "filter", "threshold", -0.5),
        ("filter.rules:false", "filter", "rules", False),
        ("assess.scorers:[mutual_information,text]", "assess", "scorers", ["mutual_information", "text"]),
        ("model.base_model:embedded:other", "model", "base_model", "embedded:other"),
        ("model.base_model:org/name@0123", "model", "base_model", "org/name@0123"),
        ("train.epochs:1   train.epochs:4", "train", "epochs", 4),
    ],
)
def test_an_override_changes_one_value_and_no_other(override, section, field, value):
    found, before = load_run(DEFAULT, override).model_dump(), load_run(DEFAULT).model_dump()
    assert found[section].pop(field) == value
    before[section].pop(field)
    assert found == before


def test_an_override_may_change_the_top_level_and_run_wins_over_it():
    run = load_run(DEFAULT, "seed:5 run:a", run="b")
    assert (run.seed, run.run) == (5, "b")


@pytest.mark.parametrize("override", ["train.epochs", "train.epochs=3", "seed.x:1", "train.epochs:1 junk"])
def test_an_override_that_is_no_assignment_is_shown_the_form(override):
    message = refusal(override=override)
    assert "write section.name:value" in message
    assert override.split()[-1] in message
    assert "where: override" in message


@pytest.mark.parametrize("override", ["assess.scorers:[text", "train.epochs:{", "model.system_prompt:'x", "run:2024-02-30"])
def test_an_override_that_is_no_yaml_is_refused_as_a_parameter(override):
    assert override in refusal(override=override)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is not a mapping"),
        ("# only a comment\n", "is not a mapping"),
        ("- run\n- seed\n", "is not a mapping"),
        ("just words\n", "is not a mapping"),
        ("run: [1\n", "not YAML"),
        ("run: a\n  seed: 1\n", "not YAML"),
        ("a: !!python/object/apply:os.getcwd []\n", "not YAML"),
    ],
)
def test_a_file_that_is_no_yaml_mapping_is_refused(tmp_path, text, said):
    path = written(tmp_path, text)
    message = refusal(path=path)
    assert said in message
    assert str(path) in message


def test_a_file_that_is_not_utf8_is_refused(tmp_path):
    path = tmp_path / "p.yaml"
    path.write_bytes(b"run: caf\xe9\n")
    assert "not YAML" in refusal(path=path)


def test_an_absent_file_is_answered_with_those_beside_it(tmp_path):
    other = written(tmp_path, "run: x\n")
    message = refusal(path=tmp_path / "q.yaml")
    assert "does not exist" in message
    assert str(tmp_path / "q.yaml") in message
    assert f"allowed: {other}" in message


def test_a_folder_is_refused_as_a_params_file(tmp_path):
    assert str(tmp_path) in refusal(path=tmp_path)


def test_parameters_cannot_be_changed_after_the_check():
    with pytest.raises(ValueError, match="frozen"):
        FilterParams().threshold = 0.0


def test_a_params_file_round_trips_through_yaml(tmp_path):
    run = load_run(DEFAULT)
    assert load_run(written(tmp_path, yaml.safe_dump(run.model_dump()))) == run
