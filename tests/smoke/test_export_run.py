"""The export of a whole run: it loads elsewhere and says what the run's own model says."""

import json
from pathlib import Path

import pytest
import torch

from isheep_lib.models import trained
from isheep_lib.models.merged import merged_folder
from tests.runs import BIN, call


@pytest.fixture(scope="module")
def exported(root: Path, finished: Path, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("export") / "two"
    result = call(root, str(BIN / "isheep"), "export", str(finished), "2", "--merged", "--out", str(out))
    assert result.returncode == 0, result.stderr[-3000:]
    assert f"Next: read {out}/README.md" in result.stdout
    return out


def test_plain_peft_beside_the_base_says_what_the_merged_model_says(exported, finished, tiny_model):
    from peft import AutoPeftModelForCausalLM, PeftModel
    from transformers import AutoModelForCausalLM

    def logits(model):
        with torch.inference_mode():
            return model(torch.arange(30)[None]).logits

    folder = merged_folder(trained.model_of(finished, str(tiny_model), 2))
    expected = logits(AutoModelForCausalLM.from_pretrained(folder))
    beside = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(tiny_model), exported / "adapter")
    assert torch.allclose(logits(beside), expected, atol=1e-5)
    assert torch.equal(logits(AutoPeftModelForCausalLM.from_pretrained(exported / "adapter")), logits(beside))
    assert torch.equal(logits(AutoModelForCausalLM.from_pretrained(exported / "merged")), expected)


def test_its_data_are_the_kept_pairs_with_what_training_did_with_each(exported, finished, tmp_path):
    from datasets import load_dataset

    kept = [json.loads(line) for line in (finished / "iter-2/filter/kept.jsonl").open(encoding="utf-8")]
    fates = [json.loads(line)["fate"] for line in (finished / "iter-2/train/rows.jsonl").open(encoding="utf-8")]
    pairs = load_dataset(str(exported / "data"), split="train", cache_dir=str(tmp_path))
    assert list(pairs["id"]) == [row["id"] for row in kept]
    assert list(pairs["fate"]) == fates
    assert {"learned", "held_out"} <= set(fates)
    path = str(exported / "data/messages.jsonl")
    messages = load_dataset("json", data_files=path, split="train", cache_dir=str(tmp_path))["messages"]
    assert [conversation[-1]["content"] for conversation in messages] == [row["output"] for row in kept]


def test_its_card_has_what_the_run_recorded(exported, finished):
    card = (exported / "README.md").read_text(encoding="utf-8")
    outputs = json.loads((finished / "iter-2/train/manifest.json").read_text())["outputs"]
    assert outputs["adapter/adapter_model.safetensors"]["sha256"] in card
    assert "M_0 (base)" in card
    assert f"all {len((finished / 'iter-2/filter/kept.jsonl').read_text().splitlines())} pairs" in card


@pytest.mark.long
def test_exporting_again_replaces_it_by_the_same_bytes(root, exported, finished):
    before = json.loads((exported / "export.json").read_text())["files"]
    result = call(root, str(BIN / "isheep"), "export", str(finished), "2", "--merged", "--out", str(exported))
    assert result.returncode == 0, result.stderr[-3000:]
    assert json.loads((exported / "export.json").read_text())["files"] == before
