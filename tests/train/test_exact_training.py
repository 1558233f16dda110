"""Exact training: the same bytes on machines played here, float64 to the last operation, a grid that says what is proven."""

import dataclasses
import json
import subprocess
import sys

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from peft import PeftModel
from transformers.models.llama import modeling_llama

from isheep_lib.engines import parity
from isheep_lib.errors import TrainingError
from isheep_lib.models.base import find_model
from isheep_lib.models.load import load_model
from isheep_lib.train import exact, trainer
from isheep_lib.train import model as train_model
from isheep_lib.train.run import fine_tune, lay_out
from tests.families import save_family
from tests.machines import MACHINES
from tests.trainings import DATA, SEED, fine_tuned, laid_out, train_params

OTHERS = [machine for machine in MACHINES if machine.environment and not machine.batches]
WAYS = {
    "plain": {"numerics": "plain"},
    "exact": {"numerics": "exact"},
    "dora": {"numerics": "exact", "dora": True, "rslora": True, "batching": "packed", "micro_batch": 2},
    "dpo": {"numerics": "exact", "objective": "dpo", "objective_options": {"sft_weight": 0.5}},
    "orpo": {"numerics": "exact", "objective": "orpo", "batching": "packed", "micro_batch": 2},
}
EXACT = ("exact", "dora", "dpo", "orpo", "last")
CHECKPOINT = "work/checkpoints/checkpoint-4/adapter_model.safetensors"  # before rounding
ADAPTER = "out/adapter/adapter_model.safetensors"
CODE = "import pathlib, sys; from tests.train import test_exact_training as t; t.train_all(*map(pathlib.Path, sys.argv[1:]))"


def train_all(model, folder):
    """Train in every way, and further from the model that the way "exact" has made; write down what they say."""
    said = {way: said_of(fine_tuned(model, folder / way, **changed)) for way, changed in WAYS.items()}
    base = laid_out(model, **WAYS["exact"])
    made = dataclasses.replace(base.model, adapters=(folder / "exact/out/adapter",))
    said["last"] = said_of(fine_tune(dataclasses.replace(base, model=made), folder / "last/work", folder / "last/out"))
    probes = parity.check_trained(base.model, folder / "exact/out/adapter", exact=True)
    (folder / "said.json").write_text(json.dumps([said, parity.document(probes)]))
    return folder


def said_of(trained):
    return [trained.log, trained.best, trained.rounding, trained.start]


def said(folder):
    return json.loads((folder / "said.json").read_text())


@pytest.fixture(scope="module")
def here(tiny_model, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ISHEEP_CACHE", str(tmp_path_factory.mktemp("cache")))
        return train_all(tiny_model, tmp_path_factory.mktemp("here"))


@pytest.fixture(scope="module", params=OTHERS, ids=[machine.title for machine in OTHERS])
def elsewhere(request, tiny_model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("elsewhere")
    environment = {**request.param.told(), "ISHEEP_CACHE": str(folder / "cache")}
    subprocess.run([sys.executable, "-c", CODE, str(tiny_model), str(folder)], env=environment, capture_output=True, check=True)
    return folder


def apart(one, other, way):
    """Return the largest difference of two machines' weights before rounding, in learning rates."""
    a, b = (exact.load_file(folder / way / CHECKPOINT) for folder in (one, other))
    return max((a[name] - b[name]).abs().max().item() for name in a) / train_params().learning_rate


@pytest.mark.long
def test_another_machine_writes_the_same_bytes_where_training_is_exact_and_others_where_it_is_plain(here, elsewhere):
    for way in EXACT:
        assert (here / way / ADAPTER).read_bytes() == (elsewhere / way / ADAPTER).read_bytes()
        assert 0 < apart(here, elsewhere, way) < exact.BOUND / 20, "the bound's factor of safety is gone"
    assert (here / "plain" / ADAPTER).read_bytes() != (elsewhere / "plain" / ADAPTER).read_bytes()
    (ours, probes), (theirs, others) = said(here), said(elsewhere)
    assert {way: ours[way] for way in EXACT} == {way: theirs[way] for way in EXACT}  # losses, steps, counts
    assert probes == others


def test_the_record_says_the_grid_and_how_many_weights_lie_near_an_edge(here):
    rounding = said(here)[0]["exact"][2]
    assert rounding == {"grid": 2**-10, "bound": exact.BOUND * 1e-2, "weights": 2048, "near_edge": 0}
    recorded = exact.load_file(here / "exact" / ADAPTER)
    assert {weight.dtype for weight in recorded.values()} == {torch.float32}
    assert all(torch.equal(weight, (weight * 2**10).round() / 2**10) for weight in recorded.values())
    assert said(here)[0]["plain"][2] == {}


@pytest.mark.parametrize(("near", "shown"), [(0, "0, so proven"), (3, "3, so not proven")])
def test_the_result_says_whether_the_bytes_are_proven(near, shown):
    result = exact_result(near)
    assert result["weights near a rounding edge"].startswith(shown)


def exact_result(near):
    from isheep_lib.train.run import Trained

    speed = {"tokens_a_second": 1.0, "peak_memory_mb": 1}
    return Trained([{"step": 1}], 1, 2048, 10, speed, (), {"near_edge": near}).rows()[0]


def test_held_out_losses_are_those_of_the_recorded_adapter(here, tiny_model):
    base, _ = load_model(find_model(str(tiny_model)), "float64")
    model = PeftModel.from_pretrained(base, here / "exact/out/adapter").eval()
    total = 0.0
    for row in DATA.held_out:
        logs = model(input_ids=torch.tensor([row.input_ids])).logits[0].log_softmax(-1)
        total -= sum(logs[i - 1, row.input_ids[i]].item() for i in range(row.read, len(row.input_ids)))
    log, best, *_ = said(here)[0]["exact"]
    found = next(row["eval_loss"] for row in log if "eval_loss" in row and row["step"] == best)
    assert found == pytest.approx(total / sum(row.learned for row in DATA.held_out), abs=1e-6)


@pytest.mark.parametrize("way", ["exact", "dpo", "orpo"])
def test_no_operation_of_a_training_is_shorter_than_float64(here, tiny_model, tmp_path, monkeypatch, way):
    plain = trainer.Learner.train

    def watched(learner, **how):
        with exact.watch():
            return plain(learner, **how)

    monkeypatch.setattr(trainer.Learner, "train", watched)
    fine_tuned(tiny_model, tmp_path, **WAYS[way], gradient_checkpointing=True)
    assert (tmp_path / CHECKPOINT).read_bytes() == (here / way / CHECKPOINT).read_bytes()
    with pytest.raises(TrainingError, match="in float32"):
        fine_tuned(tiny_model, tmp_path / "plain", **WAYS[way] | {"numerics": "plain"})


@pytest.mark.long
def test_the_reference_of_an_exact_training_is_the_same_wherever_it_is_computed(here, elsewhere):
    for way in ("dpo", "orpo"):
        ours, theirs = (said(folder)[0][way][3] for folder in (here, elsewhere))
        assert ours == theirs
        assert bool(ours) == (way == "dpo")


class Killed(BaseException):
    """Stands for a kill: nothing of the project catches it."""


@pytest.mark.parametrize("way", ["exact", "dpo"])
def test_an_exact_training_that_is_killed_and_started_again_gives_the_same_bytes(here, tiny_model, tmp_path, monkeypatch, way):
    plain = trainer.Learner.log

    def log(learner, logs, *more):
        if "loss" in logs and learner.state.global_step == 3:
            raise Killed
        plain(learner, logs, *more)

    with monkeypatch.context() as patch:
        patch.setattr(trainer.Learner, "log", log)
        with pytest.raises(Killed):
            fine_tuned(tiny_model, tmp_path, **WAYS[way])
    assert torch.get_default_dtype() is torch.float32
    found = fine_tuned(tiny_model, tmp_path, **WAYS[way])
    assert found.speed["began_after_step"] == 2
    assert said_of(found) == said(here)[0][way]
    for path in (CHECKPOINT, ADAPTER):
        assert (tmp_path / path).read_bytes() == (here / way / path).read_bytes()


def test_parity_is_computed_in_float64(tiny_model, here, monkeypatch):
    seen, plain = [], parity.plain_values
    monkeypatch.setattr(parity, "plain_values", lambda model, *more: seen.append(model) or plain(model, *more))
    parity.check_trained(find_model(str(tiny_model)), here / "exact/out/adapter", exact=True)
    assert {weight.dtype for model in seen for weight in model.parameters()} == {torch.float64}


@given(st.floats(-4, 4), st.floats(-1, 1), st.sampled_from([1e-2, 2e-4, 5e-5]))
@example(0.0, -1.0, 2e-4)
@example(2**-12, 1.0, 2e-4)
@example(0.5, 1.0, 2e-4)
def test_weights_that_are_not_near_an_edge_are_rounded_alike_wherever_they_lie_within_the_bound(weight, share, rate):
    step, bound = exact.spacing(rate), exact.BOUND * rate
    assert rate / 16 < step <= rate / 8
    here, elsewhere = (torch.tensor([value], dtype=torch.float64) for value in (weight, weight + 0.99 * share * bound))
    rounded = exact.to_grid(here, step)
    assert abs(rounded - here) <= step / 2
    assert exact.near_edge(here, step, bound) or bytes_of(rounded) == bytes_of(exact.to_grid(elsewhere, step))


def bytes_of(weight):
    return weight.numpy().tobytes()


def test_weights_near_an_edge_are_counted():
    distances = torch.tensor([0.0, 0.9, -0.9, 1.1, -1.1], dtype=torch.float64) * 1e-10
    for edge in (0.5, -0.5, 7.5, -1.5):
        assert exact.near_edge((edge + distances) * 0.25, 0.25, 0.25e-10) == 3
    assert exact.near_edge(torch.arange(9.0), 1.0, 0.4) == 0


def test_a_share_of_the_values_is_dropped_and_the_others_are_raised():
    given_ = torch.ones(200, 200, dtype=torch.float64, requires_grad=True)
    with exact.arithmetic(train_params(numerics="exact")):
        torch.manual_seed(SEED)
        found = torch.nn.Dropout(0.2)(given_)
        torch.manual_seed(SEED)
        assert torch.equal(found > 0, torch.rand(200, 200) >= 0.2)
        assert torch.equal(torch.nn.Dropout(0.2).eval()(given_), given_)
    assert set(found.unique().tolist()) == {0.0, 1.25}
    found.sum().backward()
    assert torch.equal(given_.grad, found)


@pytest.fixture
def no_weights(monkeypatch):
    """Let nothing read weights."""
    monkeypatch.setattr(train_model.AutoModelForCausalLM, "from_pretrained", None)


def test_a_model_that_leaves_float64_is_refused_before_weights_are_read(tiny_model, no_weights, monkeypatch):
    model, params = find_model(str(tiny_model)), train_params(numerics="exact", micro_batch=1)
    lay_out(model, DATA, params, SEED)
    plain = modeling_llama.LlamaMLP.forward
    monkeypatch.setattr(modeling_llama.LlamaMLP, "forward", lambda layer, x: plain(layer, x).type("torch.FloatTensor").double())
    with pytest.raises(TrainingError, match=r"_to_copy(.|\n)* in float32(.|\n)*train.numerics to plain"):
        lay_out(model, DATA, params, SEED)


def test_a_model_with_dropout_inside_attention_is_refused_before_weights_are_read(tmp_path, no_weights):
    save_family(tmp_path, "gpt2")
    params = train_params(numerics="exact", micro_batch=1, target_modules=["c_attn"])
    with pytest.raises(TrainingError, match=r"no dropout inside attention(.|\n)*train.numerics to plain"):
        lay_out(find_model(str(tmp_path)), DATA, params, SEED)
