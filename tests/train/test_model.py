"""The model that learns: its number formats and trained weights, peft's configuration, and what is refused before."""

import json
import shutil

import pytest
import torch
from peft import PeftModel
from transformers import BloomConfig, GPT2Config, GPTNeoXConfig, MambaConfig, MiniMaxConfig, OPTConfig

from isheep_lib.errors import TrainingError
from isheep_lib.iterate.run_params import TrainParams
from isheep_lib.train import model as train_model
from isheep_lib.train.job import Job
from isheep_lib.train.loss import tensors, token_losses
from isheep_lib.train.model import check_packing, check_targets, four_bits, load_trainable, lora_config

LINEAR = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
# Of the tiny model: inputs + outputs of each layer, with heads of 8 and half as many for keys as for queries.
SIZES = {"q_proj": 64, "k_proj": 48, "v_proj": 48, "o_proj": 64, "gate_proj": 96, "up_proj": 96, "down_proj": 96}
LAYERS = 2


def job(folder, tmp_path, seed=3, dtype="float32", **params):
    return Job(folder, TrainParams(dtype=dtype, **params), seed, tmp_path)


def trained(model):
    return {name: weight for name, weight in model.named_parameters() if weight.requires_grad}


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_an_adapter_is_float32_on_a_base_in_the_format_asked_for(tiny_model, tmp_path, dtype):
    model = load_trainable(job(tiny_model, tmp_path, dtype=dtype, method="lora"))
    assert isinstance(model, PeftModel)
    assert {weight.dtype for weight in trained(model).values()} == {torch.float32}
    base = {weight.dtype for name, weight in model.named_parameters() if "lora_" not in name}
    assert base == {getattr(torch, dtype)}
    assert all("lora_" in name for name in trained(model))
    assert sum(weight.numel() for weight in trained(model).values()) == 8 * LAYERS * sum(SIZES.values())


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_all_weights_are_trained_in_float32(tiny_model, tmp_path, dtype):
    model = load_trainable(job(tiny_model, tmp_path, dtype=dtype, method="full"))
    weights = dict(model.named_parameters())
    assert trained(model).keys() == weights.keys()
    assert {weight.dtype for weight in weights.values()} == {torch.float32}
    assert not isinstance(model, PeftModel)


@pytest.mark.parametrize(
    ("targets", "rank", "layers"),
    [(["all-linear"], 4, LINEAR), (["q_proj", "v_proj"], 3, ["q_proj", "v_proj"]), (["mlp.up_proj"], 2, ["up_proj"])],
)
def test_the_adapter_is_on_the_layers_asked_for(tiny_model, tmp_path, targets, rank, layers):
    model = load_trainable(job(tiny_model, tmp_path, target_modules=targets, lora_rank=rank))
    weights = trained(model)
    assert {name.split(".lora_")[0].rpartition(".")[2] for name in weights} == set(layers)
    assert sum(weight.numel() for weight in weights.values()) == rank * LAYERS * sum(SIZES[name] for name in layers)


def test_dora_adds_a_size_for_each_output_of_a_layer(tiny_model, tmp_path):
    plain, dora = (load_trainable(job(tiny_model, tmp_path, dora=on)) for on in (False, True))
    more = {name: weight for name, weight in trained(dora).items() if name not in trained(plain)}
    assert len(more) == LAYERS * len(LINEAR)
    assert sum(weight.numel() for weight in more.values()) == LAYERS * (32 + 16 + 16 + 32 + 64 + 64 + 32)


def test_a_new_adapter_changes_nothing_and_its_random_part_follows_from_the_seed(tiny_model, tmp_path):
    tokens = torch.tensor([[5, 9, 3, 7]])
    weights = []
    for seed in (3, 3, 4):
        torch.rand(seed)  # whatever was drawn before
        model = load_trainable(job(tiny_model, tmp_path, seed)).eval()
        with torch.inference_mode(), model.disable_adapter():
            base = model(input_ids=tokens).logits
        with torch.inference_mode():
            assert torch.equal(model(input_ids=tokens).logits, base)
        weights.append(torch.cat([weight.flatten() for weight in trained(model).values()]))
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_peft_is_told_what_the_parameters_say():
    given = {"lora_rank": 4, "lora_alpha": 32, "lora_dropout": 0.2, "target_modules": ["q_proj", "o_proj"]}
    found = lora_config(TrainParams(**given, dora=True, rslora=True))
    assert (found.r, found.lora_alpha, found.lora_dropout) == (4, 32, 0.2)
    assert set(found.target_modules) == {"q_proj", "o_proj"}
    assert (found.use_dora, found.use_rslora, found.task_type) == (True, True, "CAUSAL_LM")
    plain = lora_config(TrainParams())
    assert (plain.target_modules, plain.use_dora, plain.use_rslora) == ("all-linear", False, False)


@pytest.mark.parametrize(
    "targets",
    [["all-linear"], ["q_proj"], LINEAR, ["self_attn.q_proj"], ["layers.1.mlp.up_proj"], ["model.layers.0.self_attn.k_proj"]],
)
def test_layers_that_a_model_has_are_accepted_by_the_end_of_their_name(tiny_model, targets):
    check_targets(tiny_model, TrainParams(target_modules=targets))


@pytest.mark.parametrize(
    ("targets", "absent"),
    [
        (["W_pack"], "W_pack"),
        (["q_proj", "query", "v_proj", "c_attn"], "query, c_attn"),
        (["proj"], "proj"),  # the end of a word is not the end of a name
        (["mlp.q_proj"], "mlp.q_proj"),
        (["layers.2.mlp.up_proj"], "layers.2.mlp.up_proj"),
        (["embed_tokens"], "embed_tokens"),
        (["mlp"], "mlp"),
    ],
)
def test_all_layers_that_a_model_lacks_are_named_with_those_it_has(tiny_model, targets, absent):
    with pytest.raises(TrainingError) as caught:
        check_targets(tiny_model, TrainParams(target_modules=targets))
    assert caught.value.what.endswith(f" {absent}")
    assert caught.value.where == "train.target_modules"
    assert caught.value.allowed == f"all-linear, {', '.join(LINEAR)}, lm_head"


def test_layers_are_checked_without_reading_weights(tiny_model, tmp_path):
    shutil.copyfile(tiny_model / "config.json", tmp_path / "config.json")
    check_targets(tmp_path, TrainParams(target_modules=["q_proj"]))
    check_packing(tmp_path)


def test_packed_rows_stay_apart_in_the_tiny_model_and_nothing_is_drawn_from_the_seed(tiny_model):
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    check_packing(tiny_model)
    assert torch.rand(1) == expected


SMALL = {"vocab_size": 64, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
OTHERS = {
    "gpt_neox": (GPTNeoXConfig(**SMALL, intermediate_size=64), True),
    "opt": (OPTConfig(**SMALL, ffn_dim=64, word_embed_proj_dim=32, pad_token_id=1), False),  # counts places by the mask
    "mamba": (MambaConfig(**SMALL, state_size=4), False),  # reads from left to right and knows no positions
    "bloom": (BloomConfig(vocab_size=64, hidden_size=32, n_head=4, n_layer=2), False),
    # Its first layer keeps rows apart, its second does not.
    "minimax": (
        MiniMaxConfig(
            **SMALL, intermediate_size=64, num_key_value_heads=2, head_dim=8, num_local_experts=2, num_experts_per_tok=1
        ),
        False,
    ),
}


def test_layers_that_transformers_writes_its_own_way_can_be_trained(tmp_path):
    GPT2Config(vocab_size=64, n_embd=32, n_head=4, n_layer=2).save_pretrained(tmp_path)
    check_targets(tmp_path, TrainParams(target_modules=["c_attn"]))


def test_layers_that_take_no_adapter_are_told_before_anything_is_read(tmp_path):
    MambaConfig(**SMALL, state_size=4).save_pretrained(tmp_path)
    check_targets(tmp_path, TrainParams(target_modules=["in_proj", "x_proj"]))
    with pytest.raises(TrainingError, match="'out_proj' is incompatible with Mamba") as caught:
        check_targets(tmp_path, TrainParams())
    assert "in_proj" in caught.value.allowed
    assert "leave these out" in caught.value.do


@pytest.mark.parametrize("name", OTHERS)
def test_models_that_cannot_keep_packed_rows_apart_are_refused(tmp_path, name):
    config, apart = OTHERS[name]
    config.save_pretrained(tmp_path)
    if apart:
        check_packing(tmp_path)
        return
    with pytest.raises(TrainingError, match="Packed rows would see one another") as caught:
        check_packing(tmp_path)
    assert caught.value.do == "set train.batching to grouped"


def without_positions(rows, packed):
    inputs = tensors(rows, packed)
    inputs.pop("position_ids", None)
    return inputs


def test_the_check_sees_rows_that_see_one_another(tiny_model, monkeypatch):
    monkeypatch.setattr(train_model, "tensors", without_positions)
    with pytest.raises(TrainingError, match=r"their losses change by up to \d\.\d+ nats per token") as caught:
        check_packing(tiny_model)
    assert caught.value.where.startswith("train.batching packed, attention ")


def test_a_loss_that_is_no_number_is_no_proof_that_rows_stay_apart(tiny_model, monkeypatch):
    def not_numbers(model, inputs, whole_logits):
        losses, learned = token_losses(model, inputs, whole_logits)
        return losses * float("nan"), learned

    monkeypatch.setattr(train_model, "token_losses", not_numbers)
    with pytest.raises(TrainingError):
        check_packing(tiny_model)


def test_a_base_in_4_bits_is_asked_for_as_the_paper_of_qlora_has_it():
    pytest.importorskip("bitsandbytes")
    found = json.loads(four_bits("bfloat16").to_json_string())
    assert (found["load_in_4bit"], found["bnb_4bit_quant_type"], found["bnb_4bit_use_double_quant"]) == (True, "nf4", True)
    assert found["bnb_4bit_compute_dtype"] == "bfloat16"
