"""What two trainings may differ by where neither is exact: rounding, but not another training."""

import json

import numpy as np
import pytest
from safetensors.numpy import save_file

from isheep_lib.record.rows import write_jsonl
from isheep_lib.rerun.noise import training_difference, vector_difference, weight_distance
from isheep_lib.rerun.notebook_diff import Change

WEIGHTS = {"a": np.arange(1, 7, dtype=np.float32).reshape(2, 3), "b": np.full(4, -2, dtype=np.float32)}
LOG = [{"step": 0, "eval_loss": 1.5}, {"step": 1, "loss": 1.2, "grad_norm": 0.4}]
PARITY = {"probes": [{"text": "x", "base": -1.0, "adapter": -0.9, "merged": -0.9}]}

REFERENCE = [{"id": "p", "chosen": -12.0, "rejected": -9.0, "chosen_tokens": 9, "rejected_tokens": 5}]


def change(path):
    return Change(path.name, "other bytes", "before", "after")


def written(folder, scale, more, said):
    folder.mkdir()
    save_file({name: value * np.float32(scale) for name, value in WEIGHTS.items()}, folder / "adapter_model.safetensors")
    write_jsonl(folder / "log.jsonl", [{k: v + more * ("loss" in k) for k, v in row.items()} for row in LOG])
    probes = [{**probe, "adapter": probe["adapter"] + said} for probe in PARITY["probes"]]
    (folder / "parity.json").write_text(json.dumps({"probes": probes}))
    write_jsonl(folder / "reference.jsonl", [{**row, "chosen": row["chosen"] + 9 * said} for row in REFERENCE])
    return folder


def test_the_distance_of_weights_is_a_share_of_their_length(tmp_path):
    one, other = written(tmp_path / "one", 1, 0, 0), written(tmp_path / "other", 1.25, 0, 0)
    assert weight_distance(one / "adapter_model.safetensors", other / "adapter_model.safetensors") == pytest.approx(0.25)
    save_file({"a": WEIGHTS["a"]}, other / "adapter_model.safetensors")
    assert weight_distance(one / "adapter_model.safetensors", other / "adapter_model.safetensors") == float("inf")


@pytest.mark.parametrize(
    ("scale", "more", "said", "decides"), [(1.001, 0.001, 0.001, False), (1.5, 0.5, 0.5, True)], ids=["noise", "another"]
)
@pytest.mark.parametrize("name", ["adapter_model.safetensors", "log.jsonl", "parity.json", "reference.jsonl"])
def test_noise_decides_nothing_and_another_training_does(tmp_path, name, scale, more, said, decides):
    one, other = written(tmp_path / "one", 1, 0, 0), written(tmp_path / "other", scale, more, said)
    found = training_difference(one / name, other / name, change(one / name))
    assert found.decides is decides
    assert ("of the weights' length" if name.endswith("tensors") else "nats per token") in found.after


@pytest.mark.parametrize("other", [[], [{**REFERENCE[0], "id": "q"}], [{**REFERENCE[0], "chosen_tokens": 8}], REFERENCE * 2])
def test_a_reference_of_other_answers_is_no_noise(tmp_path, other):
    write_jsonl(tmp_path / "reference.jsonl", REFERENCE)
    (tmp_path / "other").mkdir()
    write_jsonl(tmp_path / "other/reference.jsonl", other)
    paths = tmp_path / "reference.jsonl", tmp_path / "other/reference.jsonl"
    assert training_difference(*paths, change(paths[0])).decides


def test_what_no_noise_explains_stays_a_difference_and_weights_that_are_not_at_hand_are_none(tmp_path):
    one, other = written(tmp_path / "one", 1, 0, 0), written(tmp_path / "other", 1, 0, 0)
    for folder, text in ((one, "{}"), (other, "[]")):
        (folder / "adapter_config.json").write_text(text)
    assert training_difference(one / "adapter_config.json", other / "adapter_config.json", change(one / "x")).decides
    weights = "adapter_model.safetensors"
    (one / weights).unlink()
    assert not training_difference(one / weights, other / weights, change(one / weights)).decides
    (other / weights).unlink()
    assert training_difference(one / weights, other / weights, change(one / weights)).decides


@pytest.mark.parametrize(("scale", "decides"), [(1.0001, False), (1.2, True)], ids=["noise", "others"])
def test_vectors_of_an_engine_that_is_not_exact_may_differ_by_noise(tmp_path, scale, decides):
    for name, value in (("one.npy", WEIGHTS["a"]), ("other.npy", WEIGHTS["a"] * scale)):
        np.save(tmp_path / name, value)
    found = vector_difference(tmp_path / "one.npy", tmp_path / "other.npy", change(tmp_path / "one.npy"))
    assert found.decides is decides
