"""The parameters of training: the paper's recipe by default, what is out of range, and what contradicts itself."""

import pytest

from isheep_lib.errors import ParameterError
from isheep_lib.iterate.run_params import TrainParams
from isheep_lib.params.check import check
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
