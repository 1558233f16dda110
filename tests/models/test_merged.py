"""Merged models, and what is told about vLLM before it starts; neither needs vLLM."""

import json
import subprocess
import sys

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from isheep_lib.engines.vllm_setup import check_gpus, check_installed
from isheep_lib.errors import EngineError, ModelError
from isheep_lib.models.base import ModelRef, find_model
from isheep_lib.models.merged import merged_folder

GIB = 2**30


@pytest.fixture(scope="module")
def adapters(tiny_model, tmp_path_factory):
    """Two adapters of random weights, ranks 2 and 9."""
    from peft import LoraConfig, get_peft_model

    folders = []
    for seed, rank in ((1, 2), (2, 9)):
        torch.manual_seed(seed)
        base = AutoModelForCausalLM.from_pretrained(tiny_model)
        config = LoraConfig(r=rank, target_modules="all-linear", init_lora_weights=False)
        folder = tmp_path_factory.mktemp("trained") / "adapter"
        get_peft_model(base, config).save_pretrained(folder)
        folders.append(folder)
    return folders


@pytest.fixture
def model(tiny_model, tmp_path, monkeypatch):
    monkeypatch.setenv("ISHEEP_CACHE", str(tmp_path))
    return find_model(str(tiny_model))


def with_adapters(model, adapters):
    return ModelRef(model.name, model.path, model.digest, tuple(adapters))


def test_a_bare_base_is_its_own_folder(model):
    assert merged_folder(model) == model.path


def test_adapters_are_merged_in_order_and_the_folder_loads_by_itself(model, adapters):
    from peft import PeftModel

    expected = AutoModelForCausalLM.from_pretrained(model.path, dtype=torch.float32)
    for adapter in adapters:
        expected = PeftModel.from_pretrained(expected, adapter).merge_and_unload(safe_merge=True)
    folder = merged_folder(with_adapters(model, adapters))
    found = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, use_safetensors=True)
    for name, weights in expected.state_dict().items():
        assert torch.equal(found.state_dict()[name], weights), name
    ours, base = (AutoTokenizer.from_pretrained(path).get_vocab() for path in (folder, model.path))
    assert ours == base
    assert json.loads((folder / "config.json").read_text())["dtype"] == "float32"


def test_the_folder_follows_from_base_and_adapters_and_is_made_once(model, adapters):
    first = merged_folder(with_adapters(model, adapters[:1]))
    made = (first / "model.safetensors").stat().st_mtime_ns
    assert merged_folder(with_adapters(model, adapters[:1])) == first
    assert (first / "model.safetensors").stat().st_mtime_ns == made
    others = [merged_folder(with_adapters(model, kind)) for kind in (adapters, adapters[::-1], adapters[1:])]
    assert len({first, *others}) == 4
    assert not list(first.parent.glob("*.partial"))


def test_an_adapter_without_weights_is_refused(model, tmp_path):
    with pytest.raises(ModelError, match="weights are not here"):
        merged_folder(with_adapters(model, [tmp_path]))


@pytest.mark.parametrize(
    ("weights", "gpus", "share", "wanted", "told"),
    [
        (60, [80], 0.9, 1, None),
        (130, [80, 80], 0.95, 2, None),
        (130, [80, 80], 0.85, 2, "set tensor_parallel to 4"),
        (70, [80], 0.85, 1, "set tensor_parallel to 2"),
        (14, [24, 16], 0.5, 2, "weights of up to 13.9 GiB"),
        (1, [80], 0.9, 2, "2 GPUs are asked for and 1 are here"),
    ],
)
def test_weights_that_do_not_fit_the_gpus_are_refused_with_what_would(weights, gpus, share, wanted, told):
    sizes = [gpu * GIB for gpu in gpus]
    if told is None:
        check_gpus(weights * GIB, sizes, share, wanted)
        return
    with pytest.raises(EngineError, match=told):
        check_gpus(weights * GIB, sizes, share, wanted)


def test_without_vllm_the_command_that_installs_it_is_named(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(EngineError, match=r"pip install -c constraints.txt -e '.\[vllm\]'(.|\n)*make setup-vllm"):
        check_installed()


def test_importing_the_engine_loads_neither_vllm_nor_torch():
    code = "import sys, isheep_lib.engines.vllm_engine; print([m for m in ('vllm', 'torch') if m in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
