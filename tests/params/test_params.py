"""Parameters: every problem at once, with the nearest name, the line and what to do."""

import os
import pathlib
import warnings

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from isheep_lib.benchmarks.catalogue import BENCHMARKS, asked_in, parse_entry
from isheep_lib.errors import ParameterError
from isheep_lib.filter.steps.table import STEPS
from isheep_lib.iterate.run_params import (
    SECTIONS,
    STAGE_PARAMS,
    EvaluateParams,
    FilterParams,
    IterateParams,
    SynthesizeParams,
    TrainParams,
    load_run,
)
from isheep_lib.params.check import check
from isheep_lib.params.kinds import Place, Shard, is_execution, is_routing
from isheep_lib.params.overrides import layered, read_overrides, write_change
from isheep_lib.params.yaml_file import dump_yaml, read_yaml
from isheep_lib.scorers.table import SCORERS
from isheep_lib.synthesize.lists import ListOptions

ROOT = pathlib.Path(__file__).parents[2]
DEFAULT = ROOT / "params" / "smollm2-135m.yaml"
LIST = ROOT / "params" / "methods" / "list.yaml"  # the method whose options are checked against one another
FILES = sorted([*(ROOT / "params").glob("*.yaml"), *(ROOT / "params/methods").glob("*.yaml")])  # those of sweeps: test_sweep


# Nine lists, each of the one before it ten times: a million values in 200 bytes.
LAUGHS = "a0: &a0 [x,x]\n" + "".join(f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 9))


def refusal(kind=None, values=None, *, path=LIST, override="", run=""):
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
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # an old name
        run = load_run(path)
    for stage, kind in STAGE_PARAMS.items():
        check(kind, run.stage(stage, 1).model_dump(), str(path))


def test_the_default_params_file_says_the_defaults_of_the_classes_but_for_its_aligned_model_and_few_rows():
    run = load_run(DEFAULT).model_dump()
    place = Place()
    own = {
        "model": {"numerics": "exact"},
        "synthesize": {
            **{"method": "magpie", "options": {"prompts_per_batch": 32, "max_batches": 4}},
            **{"instructions": 48, "response_tokens": 512},
        },
        "assess": {"checked_scorers": ["pmi", "expected"], "checked_pairs": 8},
        "filter": {"threshold": 0.1, "min_kept": 12},
        "train": {
            **{"learning_rate": 2e-4, "warmup_steps": 2, "train_batch": 8, "micro_batch": 2, "max_length": 768},
            **{"save_steps": 4, "numerics": "exact", "batching": "packed"},
        },
        "evaluate": {"tasks": ["ifeval:96", "arc_easy:48", "piqa:48"]},
    }
    defaults = {name: kind().model_dump() for name, kind in SECTIONS.items()}
    for section, values in own.items():
        assert all(defaults[section][name] != value for name, value in values.items())
        defaults[section] |= values
    assert run == {"run": place.run, "seed": place.seed, **defaults}


@pytest.mark.parametrize("stage", STAGE_PARAMS)
def test_a_stage_gets_exactly_its_own_parameters(stage):
    change = "model.dtype:bfloat16 filter.threshold:0.5 train.epochs:7 train.numerics:plain evaluate.answer_tokens:9"
    run = load_run(DEFAULT, change, "mine")
    flat = run.stage(stage, 3).model_dump(exclude=set(Shard.model_fields))
    assert set(flat) == set(STAGE_PARAMS[stage].model_fields) - set(Shard.model_fields)  # a shard is a worker's own
    assert (flat["run"], flat["iteration"], flat["seed"]) == ("mine", 3, 2408)
    changed = {"dtype": "bfloat16", "threshold": 0.5, "epochs": 7, "answer_tokens": 9}
    assert {name: flat[name] for name in changed if name in flat} == {n: v for n, v in changed.items() if n in flat}


def test_batching_addresses_and_reuse_alone_may_change_within_a_run():
    names = {f"{s}.{n}" for s, kind in SECTIONS.items() for n in kind.model_fields if is_execution(kind, n)}
    ours = {"batch_tokens", "cache_tokens"}
    theirs = {"tensor_parallel", "gpu_memory", "base_urls", "concurrency", "request_seconds", "timeout_seconds"}
    training = {"gradient_checkpointing", "num_processes", "num_machines", "parallel", "main_address"}
    other = {"evaluate.reuse_answers", "judge.judge_urls", *(f"train.{name}" for name in training)}
    assert names == {f"model.{name}" for name in ours | theirs} | other
    assert all(is_execution(STAGE_PARAMS["assess"], name) for name in Shard.model_fields)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ("model.dtype:bfloat16", "train.numerics: exact training records float32, but model.dtype is bfloat16; set that,"),
        ("model.engine:server", "base_urls: the engine server needs at least one address"),
        (
            "model.numerics:exact model.inference_dtype:bfloat16",
            "numerics: exact answers come from the engine transformers in float32",
        ),
        (
            "model.numerics:exact model.engine:vllm model.inference_dtype:float32",
            "not from vllm in float32; set numerics to plain",
        ),
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
        ("filter.level:quality", "did you mean assess.level?"),
        ("synthesize.max_rounds:3", "synthesize.max_rounds: no such parameter"),
        ("synthesize.prompts_per_round:3", "did you mean synthesize.options.prompts_per_batch?"),
        ("train.epoch:3", "train.epoch: no such parameter; did you mean train.epochs?"),
        ("training.epochs:3", "training: no such parameter"),
        ("a.b.c:1", "a: no such parameter"),
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
        (FilterParams, {"max_copy_share": 1.01}, "max_copy_share: 1.01 should be less than or equal to 1"),
        (FilterParams, {"max_copy_share": float("nan")}, "max_copy_share: nan"),
        (FilterParams, {"threshold": float("nan")}, "threshold: nan"),
        (FilterParams, {"threshold": float("inf")}, "threshold: inf"),
        (FilterParams, {"threshold": "half"}, "threshold: 'half' should be a valid number"),
        (STAGE_PARAMS["assess"], {"scorers": ["greedy", "greedy"]}, "none twice"),
        (STAGE_PARAMS["assess"], {"checked_pairs": 3}, "checked_pairs: 3 should be"),
        (STAGE_PARAMS["assess"], {"scorers": ["writen"]}, "'writen' should be 'greedy', 'sampled', 'expected',"),
        (IterateParams, {"stale": "ignore"}, "stale: 'ignore' should be 'stop', 'redo' or 'keep'"),
    ],
)
def test_a_bad_value_is_named_with_what_is_allowed(kind, values, said):
    assert said in refusal(kind, values)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"instructions": 0}, "instructions: 0 should be greater than or equal to 1"),
        ({"min_instructions": 0}, "min_instructions: 0 should be greater than or equal to 1"),
        ({"options": {"demonstrations": 0}}, "demonstrations: 0 should be greater than or equal to 1"),
        ({"options": {"generated_demonstrations": -1}}, "generated_demonstrations: -1 should be greater than or equal to 0"),
        (
            {"options": {"demonstration_choice": "random"}},
            "demonstration_choice: 'random' should be 'uniform', 'inverse_perplexity', 'perplexity' or 'one_a_cluster'",
        ),
        ({"options": {"prompts_per_batch": 0}}, "prompts_per_batch: 0 should be greater than or equal to 1"),
        ({"options": {"max_batches": 0}}, "max_batches: 0 should be greater than or equal to 1"),
        ({"options": {"max_batches": 1.5}}, "max_batches: 1.5 should be a valid integer"),
        ({"options": {"instruction_stops": [""]}}, "instruction_stops: [''] an empty text would stop everything"),
        ({"options": {"instruction_stops": ["16.", "16."]}}, "instruction_stops: ['16.', '16.'] none twice"),
        ({"options": {"instruction_stops": "16."}}, "instruction_stops: '16.' should be a valid list"),
        ({"options": {"instruction_stops": ["16.", 16]}}, "instruction_stops.1: 16 should be a valid string"),
        ({"instruction_rules": "no"}, "instruction_rules: 'no' should be a valid boolean"),
        ({"instruction_rules": 0}, "instruction_rules: 0 should be a valid boolean"),
        ({"max_rouge": 1.1}, "max_rouge: 1.1 should be less than or equal to 1"),
        ({"dedup_scope": "iteration"}, "dedup_scope: 'iteration' should be 'batch', 'round' or 'run'"),
        ({"seeds": ""}, "seeds: ''"),
        ({"seed_fields": ["question"]}, "'question' should have the form ours=theirs, such as instruction=question"),
        ({"seed_fields": ["prompt=question"]}, "'prompt' should be one of id, instruction, input, output, kind"),
        ({"seed_fields": ["input=a", "input=b"]}, "input is named twice"),
    ],
)
def test_a_bad_value_of_synthesis_is_named_with_what_is_allowed(values, said):
    assert said in refusal(SynthesizeParams, values)


def listed(names):
    *first, last = (repr(name) for name in names)
    return f"{', '.join(first)} or {last}"


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"steps": ["rule"]}, f"steps.0: 'rule' should be {listed(STEPS)}"),
        ({"steps": ["rules", "top", "rules"]}, "steps: ['rules', 'top', 'rules'] none twice"),
        ({"steps": "rules"}, "steps: 'rules' should be a valid list"),
        ({"rules": True}, "rules: no such parameter"),
        ({"scorer": "text"}, f"scorer: 'text' should be {listed(SCORERS)}"),
        ({"top_scorer": "best"}, f"top_scorer: 'best' should be {listed(SCORERS)}"),
        ({"best_scorer": "best"}, f"best_scorer: 'best' should be {listed(SCORERS)}"),
        ({"length_correction": "median"}, "length_correction: 'median' should be 'mean' or 'none'"),
        ({"criteria": "all"}, "criteria: 'all' should be 'both', 'quality', 'following' or 'none'"),
        ({"comparison": ">"}, "comparison: '>' should be 'above', 'at_least', 'below' or 'at_most'"),
        ({"max_output_perplexity": 0.0}, "max_output_perplexity: 0.0 should be greater than 0"),
        ({"max_output_perplexity": float("inf")}, "max_output_perplexity: inf should be a finite number"),
        ({"max_pair_perplexity": -1.0}, "max_pair_perplexity: -1.0 should be greater than 0"),
        ({"clusters": -1}, "clusters: -1 should be greater than or equal to 0"),
        ({"clusters": 0.3}, "clusters: 0.3 should be a valid integer"),
        ({"rows_per_cluster": 0}, "rows_per_cluster: 0 should be greater than or equal to 1"),
        ({"top_share": 0.0}, "top_share: 0.0 should be greater than 0"),
        ({"top_share": 1.01}, "top_share: 1.01 should be less than or equal to 1"),
        ({"top_share": float("nan")}, "top_share: nan"),
        ({"random_control": "yes"}, "random_control: 'yes' should be a valid boolean"),
        ({"min_kept": 0}, "min_kept: 0 should be greater than or equal to 1"),
    ],
)
def test_a_bad_value_of_the_filter_is_named_with_what_is_allowed(values, said):
    assert said in refusal(FilterParams, values)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"ifeval_prompts": 64}, "ifeval_prompts: no such parameter"),
        ({"tasks": "ifeval"}, "tasks: 'ifeval' should be a valid list"),
        ({"tasks": ["arc_esay"]}, "'arc_esay' is no benchmark; did you mean arc_easy?"),
        (
            {"tasks": ["arc_easy:many"]},
            "'arc_easy:many' should be a name, or a name and a number of items, such as arc_easy:64",
        ),
        ({"tasks": ["arc_easy:-1"]}, "such as arc_easy:64"),
        ({"tasks": ["arc_easy", "arc_easy:4"]}, "none twice"),
        (
            {"data": ["dev-v2.0.json"]},
            "'dev-v2.0.json' should have the form benchmark=file, such as squadv2=squad/dev-v2.0.json",
        ),
        ({"data": ["squad=dev-v2.0.json"]}, "'squad' is no benchmark; did you mean squadv2?"),
        ({"data": ["squadv2=a", "squadv2=b"]}, "none twice"),
        ({"few_shot": 6}, "few_shot: 6 should be less than or equal to 5"),
        ({"few_shot": -1}, "few_shot: -1 should be greater than or equal to 0"),
        ({"subset_seed": -1}, "subset_seed: -1 should be greater than or equal to 0"),
        ({"answer_tokens": 0}, "answer_tokens: 0 should be greater than or equal to 1"),
        ({"code_sandbox": "docker"}, "code_sandbox: 'docker' should be 'required' or 'unconfined'"),
        ({"reuse_answers": "no"}, "reuse_answers: 'no' should be a valid boolean"),
    ],
)
def test_a_bad_value_of_the_evaluation_is_named_with_what_is_allowed(values, said):
    assert said in refusal(EvaluateParams, values)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"decontaminate": "keep"}, "decontaminate: 'keep' should be 'drop', 'list' or 'ignore'"),
        ({"decontaminate_against": ["arc_esay"]}, "'arc_esay' is no benchmark; did you mean arc_easy?"),
        ({"decontaminate_against": ["squadv2", "squadv2=dev-v2.0.json"]}, "none twice"),
        ({"decontaminate_against": ["arc_easy:64"]}, "'arc_easy:64' should be a name alone"),
    ],
)
def test_a_bad_value_of_decontamination_is_named_with_what_is_allowed(values, said):
    assert said in refusal(FilterParams, values)


def test_pairs_are_held_against_every_known_benchmark_unless_told_otherwise():
    found = FilterParams()
    assert found.decontaminate == "drop"
    assert list(found.benchmarks()) == asked_in("en")


def test_all_benchmarks_may_be_named_at_once_with_own_data_for_some():
    found = FilterParams(decontaminate_against=["all", "squadv2=mine.json"]).benchmarks()
    assert set(found) == set(asked_in("en"))
    assert {name: own for name, own in found.items() if own} == {"squadv2": "mine.json"}
    assert "none twice" in refusal(FilterParams, {"decontaminate_against": ["all", "all"]})


def test_the_default_suite_names_known_benchmarks_whose_data_come_with_the_setup():
    entries = dict(parse_entry(entry) for entry in EvaluateParams().tasks)
    assert all(BENCHMARKS[name].package and 0 < number <= BENCHMARKS[name].items for name, number in entries.items())
    assert {BENCHMARKS[name].kind for name in entries} == {"instructions", "choice", "answer", "code"}


@pytest.mark.parametrize("value", ["one-base", "last", "", None, 1])
def test_a_bad_setting_of_training_is_named_with_what_is_allowed(value):
    assert f"setting: {value!r} should be 'one_base', 'one_last' or 'total_base'" in refusal(TrainParams, {"setting": value})


def test_only_what_chooses_inputs_or_a_model_is_routing():
    names = {f"{s}.{n}" for s, kind in SECTIONS.items() for n in kind.model_fields if is_routing(kind, n)}
    assert names == {"assess.assessor", "train.setting", "model.template_date", "model.prompts", "synthesize.language"}


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        (EvaluateParams, {"iteration": 0}),
        (EvaluateParams, {"tasks": [], "data": [], "few_shot": 5, "subset_seed": 0}),
        (EvaluateParams, {"tasks": ["arc_easy:0", "mmlu:1"], "data": ["squadv2=squad/dev-v2.0.json", "nq_open=a/b@0123"]}),
        (FilterParams, {"decontaminate_against": []}),
        (FilterParams, {"decontaminate_against": ["arc_easy", "squadv2=squad/dev-v2.0.json"], "decontaminate": "list"}),
        (TrainParams, {"iteration": 1, "seed": 0}),
        (FilterParams, {"max_copy_share": 1, "threshold": -2}),
        (SynthesizeParams, {"instruction_temperature": 0.0, "max_rouge": 1.0}),
        (SynthesizeParams, {"seed_fields": ["input=a.0"], "min_instructions": 56}),
        (ListOptions, {"instruction_stops": ["16.", "\n16"], "generated_demonstrations": 4}),
        (FilterParams, {"steps": [], "clusters": 1, "top_share": 1.0, "min_kept": 1}),
        (FilterParams, {"steps": ["top", "density_perplexity", "perplexity", "threshold", "density", "rules"]}),
        (FilterParams, {"steps": ["rules", "density"], "random_control": True}),
        (FilterParams, {"criteria": "none", "scorer": "perplexity", "top_scorer": "ifd_loss"}),
    ],
)
def test_the_edges_of_a_range_are_allowed(kind, values):
    checked = check(kind, values, "x")
    assert {name: getattr(checked, name) for name in values} == values


NOT_RUN = "not run on all pairs; assess.scorers are ['pmi']"
ASKS = "assess.scorers:[expected,greedy,perplexity]"


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("synthesize.demonstrations:12", "tasks_per_prompt: must be more than demonstrations"),
        ("synthesize.tasks_per_prompt:5", "tasks_per_prompt: must be more than demonstrations"),
        ("synthesize.generated_demonstrations:5", "generated_demonstrations: must be fewer than demonstrations"),
        ("synthesize.min_instructions:81", "min_instructions: must be at most instructions"),
        ("train.micro_batch:3", "micro_batch: 3 x 1 process(es) does not divide train_batch 8; 1, 2, 4, 8 would do"),
        ("filter.scorer:expected", f"filter.scorer: the step threshold needs 'expected', {NOT_RUN}"),
        (
            "train.objective:dpo",
            "train.objective: dpo learns from pairs of answers, and filter.preferences names none; name score",
        ),
        ("train.objective:orpo", "train.objective: orpo learns from pairs of answers, and filter.preferences names none"),
        (
            "synthesize.answers:2 filter.preferences:[score] filter.pair_scorer:expected",
            f"filter.pair_scorer: pairs by score need 'expected', {NOT_RUN}",
        ),
        (
            "synthesize.answers:2 filter.preferences:[score] filter.pair_scorer:expected assess.scorers:[pmi,expected] "
            "assess.level:quality",
            "filter.criteria: 'both' are not all assessed; assess.level is 'quality'",
        ),
        (
            "filter.preferences:[score]",
            "filter.preferences: pairs by score need several answers to a task; synthesize.answers is 1",
        ),
        (
            "synthesize.answers:2 filter.preferences:[constraint]",
            "filter.preferences: constraint compares answers that keep and that break one, and synthesize.constraints is none",
        ),
        ("train.objective_options.beta:0.1", "the objective sft has no beta; it has no parameters of its own"),
        ("train.objective_option.beta:0.1", "did you mean train.objective_options?"),
        ("train.beta:0.1", "did you mean train.objective_options.beta?"),
        ("filter.steps:[top] filter.top_scorer:ifd_loss", f"filter.top_scorer: the step top needs 'ifd_loss', {NOT_RUN}"),
        (
            "filter.steps:[best_answer] filter.best_scorer:greedy",
            f"filter.best_scorer: the step best_answer needs 'greedy', {NOT_RUN}",
        ),
        (
            "synthesize.answers:4 synthesize.response_temperature:0.0",
            "synthesize.answers: at response_temperature 0 all 4 of a task",
        ),
        ("filter.steps:[perplexity]", f"filter.steps: the step perplexity needs 'perplexity', {NOT_RUN}"),
        (
            "filter.steps:[density_perplexity] assess.vectors:true",
            f"filter.steps: the step density_perplexity needs 'perplexity', {NOT_RUN}",
        ),
        ("assess.scorers:[]", "filter.scorer: the step threshold needs 'pmi', not run on all pairs"),
        ("filter.steps:[density]", "filter.steps: density needs the pairs' vectors; set assess.vectors to true"),
        (
            f"{ASKS} filter.steps:[density_perplexity]",
            "filter.steps: density_perplexity needs the pairs' vectors; set assess.vectors to true",
        ),
        (
            f"{ASKS} filter.scorer:expected assess.level:quality",
            "filter.criteria: 'both' are not all assessed; assess.level is 'quality'",
        ),
        (
            f"{ASKS} filter.steps:[top] filter.top_scorer:greedy filter.criteria:following assess.level:quality",
            "filter.criteria: 'following' are not all assessed; assess.level is 'quality'",
        ),
        (
            f"{ASKS} filter.scorer:greedy filter.criteria:none",
            "filter.criteria: none leaves the step threshold nothing to decide by",
        ),
        (
            f"{ASKS} filter.steps:[top] filter.top_scorer:expected filter.criteria:none",
            "filter.criteria: none leaves the step top nothing to decide by",
        ),
        (
            "assess.level:none assess.checked_scorers:[expected]",
            "level: none asks nothing, but expected must ask; take it out, or choose a level",
        ),
        ("filter.steps:[rules] filter.random_control:true", "filter.random_control: there is no step after the rules"),
        ("filter.steps:[] filter.random_control:true", "filter.random_control: there is no step after the rules"),
        ("model.vllm_adapters:lora", "model.vllm_adapters: 'lora' is no longer there: adapters are always merged"),
        ("filter.top_end:lowest", "filter.top_end: 'lowest' is no longer there: nothing keeps the worst pairs"),
        ("train.batching:shuffled", "train.batching: 'shuffled' is no longer there: grouped trains the same rows"),
    ],
)
def test_values_that_contradict_one_another_are_refused(override, said):
    message = refusal(override=override)
    assert said in message
    assert "1 problem(s)" in message


@pytest.mark.parametrize(
    "override",
    [
        "filter.steps:[] assess.scorers:[]",
        "filter.steps:[rules] filter.scorer:expected filter.top_scorer:greedy assess.scorers:[]",
        "filter.steps:[density] assess.vectors:true assess.scorers:[]",
        "filter.steps:[top,density_perplexity,perplexity] assess.vectors:true assess.scorers:[pmi,perplexity]",
        f"{ASKS} filter.scorer:expected filter.criteria:quality assess.level:quality",
        f"{ASKS} filter.scorer:expected filter.criteria:following",
        "assess.level:none assess.checked_scorers:[ifd_loss]",
        "filter.criteria:none",
        "filter.steps:[top] filter.random_control:true",
        "filter.steps:[best_answer] filter.random_control:true synthesize.answers:8",
        "filter.steps:[rules] filter.preferences:[cut] filter.random_control:true",
        "synthesize.generated_demonstrations:4 synthesize.tasks_per_prompt:6",
        "model.vllm_adapters:merged filter.top_end:highest",
        "train.setting:one_last",
    ],
)
def test_values_that_fit_one_another_are_accepted(override):
    load_run(LIST, override)


@pytest.mark.parametrize(
    ("kind", "values", "said"),
    [
        (SynthesizeParams, {"options": {"demonstrations": 12}}, "tasks_per_prompt: must be more than demonstrations"),
        (
            SynthesizeParams,
            {"options": {"generated_demonstrations": 6}},
            "generated_demonstrations: must be fewer than demonstrations",
        ),
        (SynthesizeParams, {"instructions": 3}, "min_instructions: must be at most instructions"),
        (TrainParams, {"train_batch": 7, "micro_batch": 2}, "micro_batch: 2 x 1 process(es) does not divide train_batch 7"),
        (STAGE_PARAMS["assess"], {"level": "none"}, "level: none asks nothing, but greedy must ask"),
        (FilterParams, {"steps": ["rules"], "random_control": True}, "\n  random_control: there is no step after the rules"),
        (
            FilterParams,
            {"scorer": "sampled", "criteria": "none"},
            "\n  criteria: none leaves the step threshold nothing to decide by",
        ),
    ],
)
def test_a_stage_refuses_its_own_contradictions(kind, values, said):
    assert said in refusal(kind, values)


def test_all_problems_are_listed_at_once():
    message = refusal(override="train.epochs:0 filter.treshold:1 assess.bootstrap:x nonsense:1 train.held_out:2.0")
    assert "5 problem(s)" in message
    for name in ("train.epochs", "filter.treshold", "assess.bootstrap", "nonsense", "train.held_out"):
        assert f"\n  {name}" in message


def test_all_problems_of_synthesis_filter_and_training_are_listed_at_once():
    changes = [
        "filter.steps:[rule]",
        "filter.comparison:over",
        "filter.clusters:-1",
        "filter.top_share:2.0",
        "train.setting:all",
    ]
    changes += ["synthesize.dedup_scope:all", "synthesize.options.demonstration_choice:best"]
    changes += ["synthesize.options.instruction_stops:['']"]
    message = refusal(override=" ".join(changes))
    assert "8 problem(s)" in message
    assert all(f"\n  {change.split(':')[0]}" in message for change in changes)


def test_contradictions_are_listed_together():
    assert "2 problem(s)" in refusal(override="train.micro_batch:3 synthesize.options.demonstrations:50")
    changes = ["filter.steps:[perplexity,density,top]", "filter.top_scorer:greedy", "synthesize.generated_demonstrations:9"]
    changes += ["train.micro_batch:5", "model.vllm_adapters:lora", "train.setting:one_last", "synthesize.min_instructions:99"]
    message = refusal(override=" ".join(changes))
    assert "7 problem(s)" in message
    named = [
        "filter.steps: the step perplexity",
        "filter.steps: density",
        "filter.top_scorer",
        "synthesize.options.generated_demonstrations",
    ]
    assert all(
        f"\n  {name}" in message for name in [*named, "train.micro_batch", "model.vllm_adapters", "synthesize.min_instructions"]
    )


def test_a_contradiction_of_two_steps_or_two_lists_is_told_once():
    scorers = "assess.scorers:[expected] assess.checked_scorers:[expected] assess.level:none"
    message = refusal(override=f"{scorers} filter.steps:[threshold,top] filter.scorer:expected filter.top_scorer:expected")
    assert "2 problem(s)" in message
    assert message.count("expected must ask") == message.count("filter.criteria: 'both' are not all assessed") == 1


@pytest.mark.parametrize(("text", "value"), [("1e-4", 1e-4), ("2.5E-5", 2.5e-5), (".5", 0.5), ("+1e-3", 1e-3)])
def test_a_number_may_be_written_in_every_decimal_way(tmp_path, text, value):
    assert load_run(edited(tmp_path, "learning_rate: 2.0e-4", f"learning_rate: {text}")).train.learning_rate == value


@pytest.mark.parametrize(
    "text", ["0x10", "0o17", "010", "1:30", "1_000", ".inf", "-.inf", ".nan", "1e", "1,5", "'2'", "٣", "２"]
)
@pytest.mark.parametrize(("old", "name"), [("epochs: 2", "train.epochs"), ("learning_rate: 2.0e-4", "train.learning_rate")])
def test_a_number_in_other_forms_is_text_and_refused_where_a_number_is_wanted(tmp_path, text, old, name):
    path = edited(tmp_path, old, f"{name.split('.')[1]}: {text}")
    message = refusal(path=path)
    given = text.strip("'")
    assert f"{name} (line {line_of(path, f'{text}')}): {given!r} should be a valid" in message
    assert "write a decimal number, without quotes, like 16 or 1.0e-4" in message


@pytest.mark.parametrize("text", ["yes", "no", "on", "off", "y", "1", "'true'"])
def test_only_true_and_false_are_truth_values(tmp_path, text):
    message = refusal(path=edited(tmp_path, "dora: false", f"dora: {text}"))
    assert "should be a valid boolean" in message
    assert ("write true or false, without quotes" in message) == (text != "1")


@pytest.mark.parametrize(
    ("old", "new", "name", "said"),
    [
        ("epochs: 2", "epochs: two", "train.epochs", "'two' should be a valid integer"),
        ("  min_kept: 12", "  min_kep: 12", "filter.min_kep", "did you mean filter.min_kept?"),
        ("seed: 2408", "seed: -5", "seed", "-5 should be"),
        ("dtype: float32", "dtype: fp32", "model.dtype", "'fp32' should be"),
        ("scorers: [pmi]", "scorers: [information]", "assess.scorers", "'information' should be"),
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
    assert "judge" not in message  # a stage that may be left out


@pytest.mark.parametrize(
    ("override", "section", "field", "value"),
    [
        ("train.epochs:1", "train", "epochs", 1),
        ("filter.threshold:-0.5", "filter", "threshold", -0.5),
        ("filter.steps:[rules]", "filter", "steps", ["rules"]),
        ("filter.steps:[]", "filter", "steps", []),
        ("synthesize.instruction_rules:false", "synthesize", "instruction_rules", False),
        ("train.setting:one_last", "train", "setting", "one_last"),
        ("assess.scorers:[pmi,expected]", "assess", "scorers", ["pmi", "expected"]),
        ("model.base_model:embedded:other", "model", "base_model", "embedded:other"),
        ("model.base_model:org/name@0123", "model", "base_model", "org/name@0123"),
        ("train.epochs:4 \t", "train", "epochs", 4),
        ('model.system_prompt:"You are brief."', "model", "system_prompt", "You are brief."),
        ("model.system_prompt:'You''re brief: always.'", "model", "system_prompt", "You're brief: always."),
        ("'model.system_prompt:You are: brief.'", "model", "system_prompt", "You are: brief."),
        ('"model.system_prompt:Don\'t say [x"', "model", "system_prompt", "Don't say [x"),
        ("model.system_prompt:don't", "model", "system_prompt", "don't"),
        ("model.system_prompt:你\u3000好", "model", "system_prompt", "你\u3000好"),
        ('model.system_prompt:"#1, a=b"', "model", "system_prompt", "#1, a=b"),
        ('model.system_prompt:""', "model", "system_prompt", ""),
        ('model.system_prompt:"one\\ntwo \\"x\\""', "model", "system_prompt", 'one\ntwo "x"'),
        ("assess.scorers:[pmi, expected]", "assess", "scorers", ["pmi", "expected"]),
        ("assess.scorers:[ 'pmi' , \"expected\" ]", "assess", "scorers", ["pmi", "expected"]),
        ("synthesize.seed_fields:[instruction=my question]", "synthesize", "seed_fields", ["instruction=my question"]),
        ("train.learning_rate:1e-5", "train", "learning_rate", 1e-5),
    ],
)
def test_an_override_changes_one_value_and_no_other(override, section, field, value):
    found, before = load_run(LIST, override).model_dump(), load_run(LIST).model_dump()
    assert found[section].pop(field) == value
    before[section].pop(field)
    assert found == before


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        *[
            (name, name)
            for name in ("a", "my-run_2.1+x", "sweep/low", "盐-实验", "results/x", "it's a run", "{x}", "a..b", "console")
        ],
        *[(name, name) for name in ("/tmp/x", "/tmp/.hidden/-x", "~/x", "./x", "x" * 200, "盐" * 66)],
        ("sweep/low/", "sweep/low"),
    ],
)
def test_a_run_may_have_any_name_that_a_folder_below_results_or_elsewhere_can_have(name, kept):
    assert load_run(DEFAULT, run=name).run == kept
    assert check(TrainParams, {"run": name}, "train.ipynb").run == kept


def test_an_override_may_change_the_top_level():
    run = load_run(DEFAULT, "seed:5 run:a")
    assert (run.seed, run.run) == (5, "a")
    assert load_run(DEFAULT, "seed:5", run="b").run == "b"


@pytest.mark.parametrize(
    ("override", "run", "said"),
    [
        ("train.epochs:1 train.epochs:4", "", "train.epochs: given twice, as train.epochs:1 and as train.epochs:4"),
        ("train.epochs:1 train.epochs:1", "", "train.epochs: given twice"),
        ("train.cutoff:512 train.max_length:256", "", "given twice, as train.cutoff:512 and as train.max_length:256"),
        ("train:{epochs: 1} train.epochs:2", "", "given twice, as train:{epochs: 1} and as train.epochs:2"),
        ("synthesize.max_batches:1 synthesize.options.max_batches:2", "", "given twice, as synthesize.max_batches:1"),
        ("run:a", "b", "run: given twice, as run:a and as the run's name, b"),
    ],
)
def test_a_change_given_twice_is_named_in_both_places(override, run, said):
    assert said in refusal(override=override, run=run)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("run: a\nseed: 1\nrun: b\n", "run (line 3): given twice, on lines 1 and 3"),
        ("train:\n  epochs: 1\n  dtype: float32\n  epochs: 1\n", "train.epochs (line 4): given twice, on lines 2 and 4"),
        ("train: {epochs: 1,\n  epochs: 2}\n", "train.epochs (line 2): given twice, on lines 1 and 2"),
        ("judge:\n  x: [{a: 1, a: 2}]\n", "judge.x.0.a (line 2): given twice, on lines 2 and 2"),
        ("train: {epochs: 1}\ntrain: {dtype: float32}\n", "train (line 2): given twice, on lines 1 and 2"),
        (
            "train:\n  cutoff: 1\n  max_length: 2\n",
            "train.cutoff (line 2): is now train.max_length (line 3), which is given too; keep that one",
        ),
    ],
)
def test_a_name_given_twice_in_a_file_is_named_with_both_lines(tmp_path, text, said):
    assert said in refusal(path=written(tmp_path, text))


@pytest.mark.parametrize("override", ["train.epochs", "train.epochs=3", "seed.x:1", "train.epochs:1 junk"])
def test_an_override_that_is_no_assignment_is_shown_the_form(override):
    message = refusal(override=override)
    assert "write section.name:value" in message
    assert override.split()[-1] in message
    assert "where: override" in message


@pytest.mark.parametrize(
    "override", ["assess.scorers:[text", "train.epochs:{", "model.system_prompt:'x", "run:*x", "run:!x", "run:@a"]
)
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
        ("a: !!python/object/apply:os.getcwd []\n", "a (line 1): the tag !!python/object/apply:os.getcwd is not read"),
        ("a: !!binary aGk=\n", "a (line 1): the tag !!binary is not read; write a plain value"),
        ("b: 1\na: !!set {x}\n", "a (line 2): the tag !!set is not read"),
        ("a: !!timestamp 2024-01-01\n", "a (line 1): the tag !!timestamp is not read"),
        ("a: !!int x\n", "a (line 1): the tag !!int is not read"),
        ("a: !own x\n", "a (line 1): the tag !own is not read"),
        ("a: &m {b: 1}\nc:\n  <<: *m\n", "c.<< (line 3): merge keys are not read"),
        ("? [a]\n: 1\n", "(line 1): a name must be a text"),
        ("a: 1\n---\nb: 2\n", "expected a single document"),
        ("a: *x\n", "found undefined alias 'x'"),
        ("a: &x [*x]\n", "a.0 (line 1): a list or mapping that holds itself"),
        ("a: &x {b: {c: *x}}\n", "a.b.c (line 1): a list or mapping that holds itself"),
        (f"a: {'[' * 100_000}\n", "lists and mappings are too deep inside one another"),
        (f"a: {'{b: ' * 40}{'}' * 40}\n", "more than 30 lists and mappings inside one another"),
        ("- " * 50_000 + "a\n", "lists and mappings are too deep inside one another"),
        ("a: 9" + "9" * 5000 + "\n", "a (line 1): a number of 5001 characters"),
        ("a: x\0y\n", "it holds a NUL (byte 4)"),
        ("\ta: 1\n", "found character '\\t' that cannot start any token"),
        (LAUGHS, "more than 20000 values, counting those that aliases (*name) repeat"),
        ("# " + "x" * 2**18, "The params file has 262146 bytes"),
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
    assert "p.yaml is not UTF-8 text (byte 8)" in refusal(path=path)
    path.write_bytes("run: x\n".encode("utf-16"))
    assert "p.yaml is not UTF-8 text (byte 0); it looks like UTF-16" in refusal(path=path)


def test_a_byte_order_mark_is_no_part_of_the_first_name(tmp_path):
    path = tmp_path / "p.yaml"
    path.write_bytes(b"\xef\xbb\xbf" + DEFAULT.read_bytes())
    assert load_run(path) == load_run(DEFAULT)


def test_a_pipe_is_refused_as_a_params_file_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "p.yaml")
    assert "p.yaml is a named pipe" in refusal(path=tmp_path / "p.yaml")


def test_aliases_repeat_a_value(tmp_path):
    text = DEFAULT.read_text().replace("lora_rank: 8", "lora_rank: &n 3").replace("epochs: 2", "epochs: *n")
    run = load_run(written(tmp_path, text))
    assert (run.train.epochs, run.train.lora_rank) == (3, 3)


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
    assert load_run(written(tmp_path, dump_yaml(run.model_dump()))) == run


yaml_text = st.text(st.characters(exclude_categories=["Cs", "Cc"])) | st.sampled_from(
    [
        "1e-4",
        "0x10",
        "0o17",
        "010",
        "08",
        "yes",
        "null",
        "~",
        "",
        "1:30",
        ".inf",
        "<<",
        "=",
        "2024-01-01",
        "1_000",
        "a: b",
        "#x",
    ]
)
yaml_leaves = st.none() | st.booleans() | st.integers(-(10**20), 10**20) | st.floats(allow_nan=False, allow_infinity=False)
yaml_values = st.recursive(
    yaml_leaves | yaml_text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(yaml_text.filter(lambda t: t != "<<"), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(st.text("abcdef_", min_size=1), yaml_values, max_size=3))
def test_any_values_are_read_as_they_were_written(tmp_path_factory, values):
    path = tmp_path_factory.mktemp("yaml") / "p.yaml"
    path.write_text(dump_yaml(values), encoding="utf-8")
    assert read_yaml(path)[0] == values


@settings(max_examples=100, deadline=None)
@given(yaml_values)
def test_any_value_is_changed_to_by_an_override_as_it_was_written(value):
    (change, other) = read_overrides(f"{write_change('a.b', value)} c:1")
    assert (change.name, change.value, other.value) == ("a.b", value, 1)


def test_later_layers_of_overrides_replace_what_they_change_too():
    layers = ['a.b:1 model.system_prompt:"x y"', "a.b:[2, 3] train.cutoff:5", "train.max_length:6"]
    assert layered(layers) == 'model.system_prompt:"x y" a.b:[2, 3] train.max_length:6'
    assert layered(["a.b:1", "a:{c: 2}"]) == "a:{c: 2}"
    assert layered(["", ""]) == ""
