"""The parameters of training: the paper's recipe by default, what is out of range, and what contradicts itself."""

import pytest

from isheep_lib.errors import ParameterError
from isheep_lib.iterate.run_params import TrainParams
from isheep_lib.params.check import check
from isheep_lib.record.code import code_digests
from isheep_lib.train.params import Train

PAPER = {
    "setting": "one_base",
    "method": "lora",
    "lora_rank": 8,
    "lora_alpha": 16,
    "lora_dropout": 0.05,
    "target_modules": ["all-linear"],
    "dora": False,
    "rslora": False,
    "learning_rate": 5e-5,
    "warmup_steps": 20,
    "epochs": 2,
    "train_batch": 16,
    "max_length": 1024,
    "max_rows": 3000,
    "held_out": 0.1,
}
HERE = {"num_processes": 1, "num_machines": 1, "parallel": "ddp", "gradient_checkpointing": False}


def refusal(**values):
    with pytest.raises(ParameterError) as caught:
        check(TrainParams, values, "params.yaml")
    return caught.value.what


def test_the_defaults_are_the_papers_recipe_on_one_process():
    found = Train().model_dump()
    assert {name: found[name] for name in PAPER} == PAPER
    assert {name: found[name] for name in HERE} == HERE


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"train_batch": 48, "micro_batch": 4, "num_processes": 6},
        {"train_batch": 8, "micro_batch": 8},
        {"train_batch": 8, "num_processes": 8, "num_machines": 4},
        {"train_batch": 1},
        {"method": "full"},
        {"method": "qlora", "dora": True, "num_processes": 2},
        {"method": "qlora", "parallel": "fsdp2"},  # one process needs no launcher
        {"dora": True, "rslora": True, "target_modules": ["q_proj", "v_proj"], "parallel": "fsdp2", "num_processes": 2},
        {"main_address": "node-1:4000"},
        {"numerics": "exact", "dtype": "float32", "dora": True, "rslora": True, "gradient_checkpointing": True},
    ],
)
def test_what_fits_together_is_taken_as_it_is(values):
    found = check(TrainParams, values, "params.yaml").model_dump()
    assert {name: found[name] for name in values} == values


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"micro_batch": 3}, "micro_batch: 3 x 1 process(es) does not divide train_batch 16; 1, 2, 4, 8, 16 would do"),
        ({"micro_batch": 32}, "micro_batch: 32 x 1 process(es) does not divide train_batch 16; 1, 2, 4, 8, 16 would do"),
        (
            {"micro_batch": 8, "num_processes": 4},
            "micro_batch: 8 x 4 process(es) does not divide train_batch 16; 1, 2, 4 would do",
        ),
        (
            {"num_processes": 3},
            "micro_batch: 1 x 3 process(es) does not divide train_batch 16; num_processes itself does not divide 16",
        ),
        (
            {"num_processes": 32},
            "micro_batch: 1 x 32 process(es) does not divide train_batch 16; num_processes itself does not divide 16",
        ),
        ({"num_processes": 4, "num_machines": 3}, "num_machines: 3 does not divide num_processes, 4"),
        ({"num_machines": 2}, "num_machines: 2 does not divide num_processes, 1"),
        ({"target_modules": ["all-linear", "q_proj"]}, "target_modules: all-linear stands alone, it is every layer already"),
        ({"method": "full", "dora": True}, "method: full trains all weights; dora and rslora are for adapters"),
        ({"method": "full", "rslora": True}, "method: full trains all weights; dora and rslora are for adapters"),
        (
            {"method": "qlora", "parallel": "fsdp2", "num_processes": 2},
            "parallel: a base in 4 bits is whole on every process; set ddp",
        ),
        (
            {"numerics": "exact", "dtype": "float32", "method": "full"},
            "numerics: exact training takes method lora and one process, not full and 1; set these, or numerics to plain",
        ),
        (
            {"numerics": "exact", "dtype": "float32", "num_processes": 2},
            "numerics: exact training takes method lora and one process, not lora and 2; set these, or numerics to plain",
        ),
        (
            {"numerics": "exact", "dtype": "bfloat16"},
            "numerics: exact training records float32, but model.dtype is bfloat16; set that, or numerics to plain",
        ),
        (
            {"method": "qlora", "parallel": "mine.yaml", "num_processes": 2},
            "parallel: a base in 4 bits is whole on every process; set ddp",
        ),
    ],
)
def test_what_contradicts_itself_is_refused_with_what_would_do(values, expected):
    said = refusal(**values)
    assert said == f"1 problem(s) with the parameters:\n  {expected}"


def test_all_contradictions_are_listed_at_once():
    said = refusal(micro_batch=3, num_processes=4, num_machines=3, method="full", dora=True, numerics="exact", dtype="bfloat16")
    assert said.startswith("5 problem(s)")
    names = ["micro_batch", "num_machines", "method", "numerics", "numerics"]
    assert [line.split(":")[0].strip() for line in said.splitlines()[1:]] == names


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("method", "lora+"),
        ("lora_rank", 0),
        ("lora_alpha", 0),
        ("lora_dropout", 1.0),
        ("lora_dropout", -0.1),
        ("target_modules", []),
        ("target_modules", ["q_proj", "q_proj"]),
        ("learning_rate", 0.0),
        ("learning_rate", 1.0),
        ("warmup_steps", -1),
        ("epochs", 0),
        ("train_batch", 0),
        ("micro_batch", 0),
        ("batching", "sorted"),
        ("batching", "shuffled"),
        ("numerics", "float64"),
        ("max_length", 7),
        ("max_rows", 0),
        ("held_out", 0.0),
        ("held_out", 1.0),
        ("save_steps", 0),
        ("num_processes", 0),
        ("num_machines", 0),
        ("parallel", ""),
        ("main_address", "node-1"),
        ("setting", "base_one"),
    ],
)
def test_a_value_out_of_range_is_named(name, value):
    said = refusal(**{name: value})
    assert said.startswith("1 problem(s)")
    assert f"\n  {name}: {value!r} " in said


def test_an_objective_has_its_own_parameters_and_no_others():
    found = check(TrainParams, {"objective": "dpo", "objective_options": {"beta": 0.3}}, "x")
    assert found.objective_options.model_dump() == {"beta": 0.3, "sft_weight": 0.0}
    assert check(TrainParams, found.model_dump(), "x") == found
    assert check(TrainParams, {"objective": "orpo"}, "x").objective_options.model_dump() == {"odds_weight": 0.1}
    assert Train().objective_options.model_dump() == {}


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"objective_options": {"beta": 0.1}}, "the objective sft has no beta; it has no parameters of its own"),
        ({"objective": "orpo", "objective_options": {"beta": 0.1}}, "the objective orpo has no beta; its own are odds_weight"),
        ({"objective": "dpo", "objective_options": {"odds_weight": 0.1}}, "the objective dpo has no odds_weight"),
        ({"objective": "dpo", "objective_options": {"sft_wieght": 1.0}}, "did you mean sft_weight"),
        ({"objective": "dpo", "objective_options": {"beta": 0.0}}, "greater than 0"),
        ({"objective": "dpo", "objective_options": {"sft_weight": -1.0}}, "greater than or equal to 0"),
        ({"objective": "simpo"}, "'sft', 'dpo' or 'orpo'"),
    ],
)
def test_parameters_of_another_objective_are_refused(values, expected):
    assert expected in refusal(**values)


@pytest.mark.parametrize("objective", ["dpo", "orpo"])
@pytest.mark.parametrize(
    "values",
    [
        {"numerics": "exact", "dtype": "float32"},
        {"method": "full"},
        {"method": "qlora"},
        {"batching": "packed", "micro_batch": 4},
        {"num_processes": 2, "parallel": "fsdp2"},
        {"dora": True, "setting": "one_last"},
    ],
)
def test_pairs_are_learned_in_every_way_that_answers_are(objective, values):
    check(TrainParams, {"objective": objective, **values}, "x")


def test_the_loss_of_answers_decides_as_it_did_before_there_were_objectives():
    assert set(Train.model_fields) - set(Train().model_dump()) == set()
    assert {"objective", "objective_options"}.isdisjoint(Train().deciding())
    decided = Train(objective="dpo", objective_options={"beta": 0.3}).deciding()
    assert (decided["objective"], decided["objective_options"]) == ("dpo", {"beta": 0.3, "sft_weight": 0.0})


@pytest.mark.parametrize(
    ("setting", "objective", "expected"),
    [
        ("one_base", "sft", [(3, "filter", "kept.jsonl")]),
        ("one_last", "dpo", [(3, "filter", "pairs.jsonl")]),
        ("total_base", "orpo", [(k, "filter", "pairs.jsonl") for k in (1, 2, 3)]),
    ],
)
def test_a_training_reads_what_its_objective_learns_from(setting, objective, expected):
    assert Train(setting=setting, objective=objective).inputs(3) == expected


def test_only_the_chosen_objectives_code_counts():
    names = {o: set(code_digests(Train(objective=o).code())) for o in ("sft", "dpo", "orpo")}
    own = {"sft": {"Sft"}, "dpo": {"Dpo"}, "orpo": {"Orpo", "CERTAIN"}}
    for name, found in names.items():
        assert own[name] <= found
        assert all(others.isdisjoint(found) for other, others in own.items() if other != name)
