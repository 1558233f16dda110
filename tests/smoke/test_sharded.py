"""Weights in shards, by torch (fsdp2) and by DeepSpeed (zero3): two CPU processes train what one does, and go on from a kill.

On CPUs with gloo: what a GPU changes (NCCL, its arithmetic) is not looked at here.
"""

import importlib.util
import json
import os
import shutil
from pathlib import Path

import pytest
import yaml

from isheep_lib.train import launch
from tests.runs import BIN
from tests.trainings import assert_the_same, fine_tuned

pytestmark = pytest.mark.long

absent = importlib.util.find_spec("deepspeed") is None
installed = pytest.mark.skipif(absent, reason="DeepSpeed is not installed (make setup-deepspeed)")
kinds = pytest.mark.parametrize("two", ["fsdp2", pytest.param("zero3", marks=installed)], indirect=True)

CHECKPOINTING = {"gradient_checkpointing": True}
FULL = {"method": "full", "learning_rate": 1e-3}


@pytest.fixture
def two(request: pytest.FixtureRequest, monkeypatch, tmp_path: Path) -> dict[str, object]:
    """Return the settings of two processes with weights in shards, which start here as they do on GPUs."""
    monkeypatch.setenv("DS_ACCELERATOR", "cpu")
    monkeypatch.setenv("PATH", f"{BIN}{os.pathsep}{os.environ['PATH']}")  # DeepSpeed compiles a part with ninja at first use
    if request.param == "zero3":
        return {"num_processes": 2, "parallel": str(all_in_shards(tmp_path))}
    plain = launch.command
    ours = {"isheep_lib.train.trainer": "tests.fsdp_on_cpu"}
    monkeypatch.setattr(launch, "command", lambda *given: [ours.get(word, word) for word in plain(*given)])
    return {"num_processes": 2, "parallel": "fsdp2"}


def all_in_shards(folder: Path) -> Path:
    """Write the shipped config of zero3 with what accelerate's own file cannot hold: small weights are shared out, too."""
    values = yaml.safe_load(launch.config_file("zero3").read_text())
    shipped = values["deepspeed_config"]
    zero = {"stage": shipped.pop("zero_stage"), "stage3_param_persistence_threshold": 0}
    zero["stage3_gather_16bit_weights_on_model_save"] = shipped.pop("zero3_save_16bit_model")
    auto = ("train_batch_size", "train_micro_batch_size_per_gpu", "gradient_accumulation_steps", "gradient_clipping")
    (folder / "deepspeed.json").write_text(
        json.dumps({"zero_optimization": zero, "bf16": {"enabled": "auto"}, **dict.fromkeys(auto, "auto")})
    )
    kept = {name: value for name, value in shipped.items() if not name.startswith("offload")}
    values["deepspeed_config"] = {**kept, "deepspeed_config_file": str(folder / "deepspeed.json")}
    (folder / "zero3.yaml").write_text(yaml.safe_dump(values))
    return folder / "zero3.yaml"


@kinds
@pytest.mark.parametrize("settings", [CHECKPOINTING, FULL], ids=["lora", "full"])
def test_shards_train_what_one_process_does(two: dict, settings: dict, tiny_model: Path, tmp_path: Path) -> None:
    one = fine_tuned(tiny_model, tmp_path / "one", **settings)
    sharded = fine_tuned(tiny_model, tmp_path / "sharded", **settings, **two)
    assert_the_same((tmp_path / "one", one), (tmp_path / "sharded", sharded))
    assert sharded.trainable == one.trainable > 0


@kinds
def test_shards_go_on_from_a_checkpoint_with_the_same_bytes(two: dict, tiny_model: Path, tmp_path: Path) -> None:
    whole = fine_tuned(tiny_model, tmp_path / "whole", **two)
    work = tmp_path / "killed/work"
    shutil.copytree(tmp_path / "whole/work", work)
    shutil.rmtree(work / "checkpoints/checkpoint-4")
    (work / "result.json").unlink()
    again = fine_tuned(tiny_model, tmp_path / "killed", **two)
    assert again.speed["began_after_step"] == 2
    assert again.log == whole.log
    weights = "work/checkpoints/checkpoint-4/adapter_model.safetensors"
    assert (tmp_path / "killed" / weights).read_bytes() == (tmp_path / "whole" / weights).read_bytes()


@kinds
def test_an_adapter_stays_float32_on_a_base_in_bfloat16(two: dict, tiny_model: Path, tmp_path: Path) -> None:
    import torch
    from safetensors.torch import load_file

    found = fine_tuned(tiny_model, tmp_path, dtype="bfloat16", **two)
    saved = load_file(tmp_path / "out/adapter/adapter_model.safetensors")
    assert {weight.dtype for weight in saved.values()} == {torch.float32}
    assert any((weight != weight.bfloat16().float()).any() for weight in saved.values()), "rounded while it was trained"
    one = fine_tuned(tiny_model, tmp_path / "one", dtype="bfloat16")
    held = [[row["eval_loss"] for row in done.log if "eval_loss" in row] for done in (one, found)]
    assert held[1] == pytest.approx(held[0], abs=5e-4)
