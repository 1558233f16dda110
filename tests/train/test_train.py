"""What a training will do and what it left: the layout, what is refused before weights load, verdict and files."""

import importlib.util
import json

import pytest
from transformers import OPTConfig

from isheep_lib.errors import ModelError, TrainingError
from isheep_lib.iterate.run_params import TrainParams
from isheep_lib.models.base import ModelRef, find_model
from isheep_lib.train import model as train_model
from isheep_lib.train.dataset import Data, PairRow, TrainRow
from isheep_lib.train.job import clean
from isheep_lib.train.objectives.table import OBJECTIVES
from isheep_lib.train.params import Train
from isheep_lib.train.run import _take, held_out_change, lay_out, verdict
from tests.trainings import PAIRS


@pytest.fixture
def model(tiny_model, tmp_path, monkeypatch):
    monkeypatch.setenv("ISHEEP_CACHE", str(tmp_path / "cache"))
    return find_model(str(tiny_model))


@pytest.fixture
def no_weights(monkeypatch):
    """Let nothing read weights."""
    monkeypatch.setattr(train_model.AutoModelForCausalLM, "from_pretrained", None)


def data(*lengths):
    return Data([TrainRow(f"r{i}", [3] * length, 1) for i, length in enumerate(lengths)], [TrainRow("h", [3, 4], 1)], {}, [])


def laid_out(model, rows=(10, 4, 10, 4, 8), **params):
    return lay_out(model, data(*rows), TrainParams(dtype="float32", **params), 1)


def table(layout):
    return {row["fact"]: row["value"] for row in layout.rows()}


def test_a_layout_says_what_will_happen_and_reads_no_weights(model, no_weights):
    found = table(laid_out(model, train_batch=4, micro_batch=2, epochs=3))
    assert found == {
        "minimised": "sft: The mean loss of the learned tokens of kept answers.",
        "trained": "LoRA of rank 8 on all-linear",
        "number format": "float32, what is trained in float32",
        "processes": "1, this kernel",
        "rows per optimizer step": "4 = 2 a pass x 1 process(es) x 2 accumulated pass(es)",
        "optimizer steps": "6 = 2 x 3 epoch(s)",
        "padding": found["padding"],
    }
    assert found["padding"].endswith("% of the positions computed (grouped)")


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"target_modules": ["q_proj", "v_proj"], "lora_rank": 4}, "LoRA of rank 4 on q_proj, v_proj"),
        ({"dora": True}, "DoRA of rank 8 on all-linear"),
        ({"dora": True, "rslora": True}, "DoRA and rsLoRA of rank 8 on all-linear"),
        ({"method": "full"}, "all weights"),
    ],
)
def test_a_layout_says_what_is_trained(model, no_weights, params, said):
    assert table(laid_out(model, **params))["trained"] == said


def test_a_layout_says_the_grid_of_an_exact_training(model, no_weights):
    layout = laid_out(model, numerics="exact", learning_rate=1e-2)
    assert table(layout)["number format"] == "float64, recorded in float32 on a grid of 0.0009765625"


def test_packed_rows_have_no_padding(model, no_weights):
    layout = laid_out(model, batching="packed", micro_batch=2, train_batch=4)
    assert table(layout)["padding"] == "0.0% of the positions computed (packed)"


def test_rows_beyond_the_models_context_are_refused_before_weights_are_read(model, no_weights):
    laid_out(model, rows=(2048, 4), max_length=4096)
    with pytest.raises(TrainingError, match=r"2 row\(s\) are longer than the model's context, such as r1") as caught:
        laid_out(model, rows=(2048, 2049, 3000), max_length=4096)
    assert caught.value.allowed == "at most 2048 tokens" and caught.value.where == "train.max_length"


def test_a_layer_that_is_not_there_is_refused_before_weights_are_read(model, no_weights):
    with pytest.raises(TrainingError, match="No layer of the model is called W_pack, query"):
        laid_out(model, target_modules=["q_proj", "W_pack", "query"])
    laid_out(model, target_modules=["W_pack"], method="full")  # has no adapter


def test_a_model_that_mixes_packed_rows_is_refused_only_for_packed_rows(tmp_path, no_weights):
    OPTConfig(
        vocab_size=64, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, ffn_dim=64, word_embed_proj_dim=32
    ).save_pretrained(tmp_path)
    model = ModelRef("opt", tmp_path, "0")
    laid_out(model, batching="grouped")
    with pytest.raises(TrainingError, match="Packed rows would see one another"):
        laid_out(model, batching="packed")


def test_a_base_in_4_bits_without_its_package_is_refused_before_weights_are_read(model, no_weights, monkeypatch):
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "bitsandbytes" else found(name))
    with pytest.raises(TrainingError, match="The package bitsandbytes is not installed") as caught:
        laid_out(model, method="qlora")
    assert caught.value.where == "train.method qlora"
    assert caught.value.do == "pip install -c constraints.txt -e '.[qlora]', in the clone"


def test_an_adapter_that_is_not_there_is_refused_before_weights_are_read(model, no_weights, tmp_path):
    with pytest.raises(ModelError, match="The adapter's weights are not here"):
        laid_out(ModelRef(model.name, model.path, model.digest, (tmp_path / "adapter",)))


def checkpoint(folder, *names):
    folder.mkdir()
    for name in names:
        (folder / name).write_text(f"trained {name}")
    return folder


def test_an_adapter_is_taken_with_its_base_named_and_its_layers_in_order(model, tmp_path):
    folder = checkpoint(tmp_path / "checkpoint-4", "adapter_model.safetensors", "optimizer.pt", "trainer_state.json")
    config = {"target_modules": ["v_proj", "q_proj"], "base_model_name_or_path": "/a/machine/model", "r": 8}
    (folder / "adapter_config.json").write_text(json.dumps(config))
    out = tmp_path / "out"
    (out / "adapter").mkdir(parents=True)
    (out / "adapter" / "left over").touch()
    files = _take(folder, laid_out(model), out)
    assert files == ("adapter/adapter_config.json", "adapter/adapter_model.safetensors")
    assert sorted(path.name for path in (out / "adapter").iterdir()) == ["adapter_config.json", "adapter_model.safetensors"]
    assert (out / "adapter" / "adapter_model.safetensors").read_text() == "trained adapter_model.safetensors"
    written = json.loads((out / "adapter" / "adapter_config.json").read_text())
    assert written == {"base_model_name_or_path": model.name, "r": 8, "target_modules": ["q_proj", "v_proj"]}


def test_the_name_for_all_layers_stays_a_name(model, tmp_path):
    folder = checkpoint(tmp_path / "checkpoint-4", "adapter_model.safetensors")
    (folder / "adapter_config.json").write_text('{"target_modules": "all-linear"}')
    _take(folder, laid_out(model), tmp_path / "out")
    assert json.loads((tmp_path / "out/adapter/adapter_config.json").read_text())["target_modules"] == "all-linear"


def test_whole_weights_are_taken_with_the_tokenizer_they_were_trained_with(model, tmp_path):
    names = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors", "model.safetensors.index.json"]
    folder = checkpoint(tmp_path / "checkpoint-4", *names, "config.json", "optimizer.pt", "training_args.bin")
    files = _take(folder, laid_out(model, method="full"), tmp_path / "out")
    tokenizer = sorted(path.name for path in model.path.glob("tokenizer*"))
    assert tokenizer
    assert files == tuple(sorted(f"model/{name}" for name in [*names, *tokenizer, "config.json"]))
    for name in tokenizer:
        assert (tmp_path / "out/model" / name).read_bytes() == (model.path / name).read_bytes()
    assert (tmp_path / "out/model/config.json").read_text() == "trained config.json"


LOG = [
    {"step": 0, "eval_loss": 2.0},
    {"step": 1, "loss": 1.9},
    {"step": 4, "eval_loss": 1.5},
    {"step": 8, "eval_loss": 1.7},
]


def test_the_held_out_change_compares_the_best_step_with_the_base_model():
    assert held_out_change(LOG) == {"before": 2.0, "best": 1.5, "at step": 4, "improved": True}


@pytest.mark.parametrize(("before", "improved"), [(1.6, True), (1.5, False), (1.0, False)])
def test_the_loss_before_training_is_never_the_best_one(before, improved):
    log = [{"step": 0, "eval_loss": before}, *LOG[1:]]
    assert held_out_change(log) == {"before": before, "best": 1.5, "at step": 4, "improved": improved}


def test_the_verdict_warns_where_the_held_out_loss_did_not_fall():
    assert verdict(LOG, Train()) == "The held-out loss fell from 2.0000 to 1.5000 nats per token."
    said = verdict([{"step": 0, "eval_loss": 1.2}, *LOG[1:]], Train())
    assert said.startswith("WARNING: the held-out loss did not fall: 1.2000 before, 1.5000 at its best.")


def of_pairs(step, loss, accuracy, margin, chosen, rejected):
    return {"step": step, **dict(zip(PAIR_FIGURES, (loss, accuracy, margin, chosen, rejected), strict=True))}


PAIR_FIGURES = [f"eval_{name}" for name in OBJECTIVES["dpo"].figures]
START = of_pairs(0, 0.6931, 0.5, 0.0, -1.2, -1.5)


@pytest.mark.parametrize(
    ("objective", "after", "said"),
    [
        (
            "dpo",
            of_pairs(4, 0.6, 0.75, 0.25, -1.1, -1.6),
            "The held-out loss fell from 0.6931 to 0.6000 nats per pair.\n"
            "Of held-out pairs 75% have a margin for the chosen answer (50% before); the mean margin went from 0.0000 to "
            "0.2500. The mean log-probability of a token went: chosen answers -1.2000 to -1.1000, rejected ones -1.5000 to "
            "-1.6000.",
        ),
        (
            "dpo",
            of_pairs(4, 0.6, 0.75, 0.25, -1.3, -1.9),
            "WARNING: Chosen and rejected answers both grew less likely, in the mean log-probability of a token: chosen "
            "answers -1.2000 to -1.3000, rejected ones -1.5000 to -1.9000. Lower train.learning_rate, or raise "
            "train.objective_options.sft_weight.",
        ),
        ("orpo", of_pairs(4, 0.6, 0.75, 0.25, -1.3, -1.9), "-1.5000 to -1.9000. Lower train.learning_rate."),
        ("dpo", of_pairs(4, 0.6, 0.25, 0.1, -1.3, -1.4), "WARNING: Chosen answers grew less likely, in the mean"),
        ("dpo", of_pairs(4, 0.7, 0.25, -0.1, -1.2, -1.4), "WARNING: the held-out loss did not fall: 0.6931 before, 0.7000"),
    ],
)
def test_the_verdict_on_pairs_says_accuracy_and_margin_and_warns_where_chosen_answers_fall(objective, after, said):
    assert said in verdict([START, {"step": 1, "loss": 0.7}, after], Train(objective=objective))


def test_the_held_out_change_of_pairs_has_every_figure_before_and_at_the_kept_step():
    worse = of_pairs(8, 0.65, 0.25, 0.1, -1.3, -1.4)
    found = held_out_change([START, of_pairs(4, 0.6, 0.75, 0.25, -1.1, -1.6), worse])
    assert found == {
        "before": 0.6931,
        "best": 0.6,
        "at step": 4,
        "improved": True,
        "accuracy before": 0.5,
        "accuracy at best": 0.75,
        "margin before": 0.0,
        "margin at best": 0.25,
        "chosen before": -1.2,
        "chosen at best": -1.1,
        "rejected before": -1.5,
        "rejected at best": -1.6,
    }


def test_a_layout_of_pairs_says_what_is_minimised_and_counts_pairs(model, no_weights):
    params = TrainParams(dtype="float32", objective="dpo", objective_options={"beta": 0.2}, train_batch=4)
    found = table(lay_out(model, PAIRS, params, 1))
    assert found["minimised"].startswith("dpo (beta 0.2, sft_weight 0.0): The logistic loss of how much likelier")
    assert found["pairs of answers per optimizer step"].startswith("4 = 1 a pass x 1 process(es) x 4")
    assert found["optimizer steps"] == "4 = 2 x 2 epoch(s)"
    long = Data([PairRow("p", TrainRow("a", [3] * 9, 1), TrainRow("b", [3] * 2049, 1))], PAIRS.held_out, {}, [])
    with pytest.raises(TrainingError, match="longer than the model's context, such as b"):
        lay_out(model, long, params, 1)


def test_an_evaluation_that_a_resume_repeats_is_kept_once():
    history = [
        {"step": 4, "eval_loss": 1.5, "eval_runtime": 3.2, "epoch": 1.0},
        {"step": 4, "eval_loss": 1.6, "eval_runtime": 9.9, "epoch": 0.4},
        {"step": 5, "loss": 1.0, "learning_rate": 1e-4, "grad_norm": 0.5},
        {"step": 5, "train_runtime": 12.0},
    ]
    assert clean(history, 4) == [
        {"step": 4.0, "epoch": 1.0, "eval_loss": 1.5},
        {"step": 5.0, "epoch": 1.25, "loss": 1.0, "grad_norm": 0.5, "learning_rate": 1e-4},
    ]
