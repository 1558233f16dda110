"""A model's folder before a run begins: every fault is named with its file and what to do, and nothing hangs."""

import json
import os
import shutil
import socket
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from isheep_lib.errors import ModelError
from isheep_lib.models.base import digest_model, find_model
from isheep_lib.models.contents import content_faults, weight_faults
from isheep_lib.models.folder import folder_faults, refuse_faults, weight_files

POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:0123\nsize 4\n"
WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"


@pytest.fixture
def folder(tiny_model, tmp_path):
    return Path(shutil.copytree(tiny_model, tmp_path / "model"))


def write(folder, name, text):
    (folder / name).write_text(text)


def configure(folder, **changed):
    write(folder, "config.json", json.dumps(json.loads((folder / "config.json").read_text()) | changed))


def change_weights(folder, change):
    save_file(change(load_file(folder / WEIGHTS)), folder / WEIGHTS, metadata={"format": "pt"})


def spoil(number):
    def change(weights):
        weights["model.norm.weight"][3] = number
        return weights

    return change


def shard(folder, files=("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")):
    """Divide the weights into two files with an index."""
    weights = load_file(folder / WEIGHTS)
    parts = [dict(list(weights.items())[i::2]) for i in range(2)]
    for name, part in zip(files, parts, strict=True):
        save_file(part, folder / name, metadata={"format": "pt"})
    (folder / WEIGHTS).unlink()
    index = {name: file for file, part in zip(files, parts, strict=True) for name in part}
    write(folder, INDEX, json.dumps({"metadata": {}, "weight_map": index}))


def without_shard(folder):
    shard(folder)
    (folder / "model-00002-of-00002.safetensors").unlink()


def without_index(folder):
    shard(folder)
    (folder / INDEX).unlink()


def open_socket(folder):
    place = os.getcwd()
    os.chdir(folder)  # a socket's whole path must be short
    try:
        socket.socket(socket.AF_UNIX).bind("vocab.json")
    finally:
        os.chdir(place)


def replaced(name, make):
    def change(folder):
        (folder / name).unlink()
        make(folder / name)

    return change


def adapter(folder):
    for path in folder.iterdir():
        path.unlink()
    write(folder, "adapter_config.json", '{"base_model_name_or_path": "org/base"}')
    (folder / "adapter_model.safetensors").touch()


def only(name):
    def change(folder):
        (folder / WEIGHTS).rename(folder / name)

    return change


OUTSIDE = {
    "pipe": (lambda f: os.mkfifo(f / "merges.txt"), "merges.txt", "merges.txt is a pipe", "move it away"),
    "pipe_config": (replaced("config.json", os.mkfifo), "config.json", "config.json is a pipe", "move it away"),
    "pipe_elsewhere": (lambda f: os.mkfifo(f / "notes"), "notes", "notes is a pipe", "move it away"),
    "socket": (open_socket, "vocab.json", "vocab.json is a socket", "move it away"),
    "device": (lambda f: (f / "added_tokens.json").symlink_to("/dev/zero"), "added_tokens.json", "is a device", "move it away"),
    "link": (
        replaced(WEIGHTS, lambda p: p.symlink_to("gone")),
        WEIGHTS,
        "cannot be read: No such",
        "fetch the model again",
    ),
    "pointer": (lambda f: write(f, WEIGHTS, POINTER), WEIGHTS, "A Git LFS pointer", "git lfs pull"),
    "pointer_words": (lambda f: write(f, "tokenizer.json", POINTER), "tokenizer.json", "A Git LFS pointer", "git lfs pull"),
    "adapter": (adapter, "adapter_config.json", "holds an adapter, not a model; its base is org/base", "merge_and_unload"),
    "adapter_beside": (
        lambda f: write(f, "adapter_config.json", '{"base_model_name_or_path": "org/base"}'),
        "adapter_config.json",
        "would load the adapter's base, org/base, instead",
        "a folder of their own",
    ),
    "no_config": (lambda f: (f / "config.json").unlink(), "config.json", "config.json is not here", "save_pretrained"),
    "no_weights": (lambda f: (f / WEIGHTS).unlink(), "", "holds no safetensors model", "save_pretrained"),
    "pickle": (only("pytorch_model.bin"), "pytorch_model.bin", "in torch's own form, which runs code", "writes safetensors"),
    "gguf": (only("model.Q4.gguf"), "model.Q4.gguf", "in another form", "fetch its safetensors"),
    "shard": (without_shard, INDEX, "1 of 2 files of weights are not here: model-00002", "fetch the model again"),
    "no_index": (without_index, INDEX, "The index is not here", "fetch the model again"),
    "bad_index": (lambda f: (shard(f), write(f, INDEX, "[]")), INDEX, "names no files", "fetch the model again"),
    "deep_index": (lambda f: (shard(f), write(f, INDEX, "[" * 100_000)), INDEX, "names no files", "fetch the model again"),
    "index_elsewhere": (
        lambda f: (shard(f), write(f, INDEX, '{"weight_map": {"a": "../x.safetensors"}}')),
        INDEX,
        "names no files of this folder",
        "fetch the model again",
    ),
}
INSIDE = {
    "cut": (
        lambda f: (f / WEIGHTS).write_bytes((f / WEIGHTS).read_bytes()[:-100]),
        WEIGHTS,
        "cut or damaged",
        "fetch the model again",
    ),
    "empty": (lambda f: (f / WEIGHTS).write_bytes(b""), WEIGHTS, "cut or damaged", "fetch the model again"),
    "config_text": (lambda f: write(f, "config.json", "{"), "config.json", "no JSON object", "fetch the model again"),
    "config_list": (lambda f: write(f, "config.json", "[]"), "config.json", "no JSON object", "fetch the model again"),
    "config_value": (lambda f: configure(f, hidden_size="wide"), "config.json", "'hidden_size'", "mend it"),
    "family": (lambda f: configure(f, model_type="nobody"), "config.json", "'nobody' model", "a family that this"),
    "no_family": (lambda f: configure(f, model_type=None), "config.json", "cannot read the config", "a family that this"),
    "code": (
        lambda f: configure(f, model_type="own", auto_map={"AutoConfig": "code.Config"}),
        "config.json: auto_map",
        "asks for Python code of its own",
        "is never run",
    ),
    "other_task": (lambda f: configure(f, model_type="t5"), "config.json", "no causal language model", "take such a model"),
    "layers": (
        lambda f: configure(f, num_hidden_layers=3),
        "config.json",
        "9 weights that the config asks for are not here: model.layers.2.input_layernorm.weight",
        "fetch the model again",
    ),
    "shape": (
        lambda f: configure(f, intermediate_size=48),
        "config.json",
        "model.layers.0.mlp.down_proj.weight is 32 x 64 and not 32 x 48",
        "mend the config",
    ),
    "bytes": (
        lambda f: change_weights(f, lambda w: {n: v.to(torch.float8_e4m3fn) if v.ndim > 1 else v for n, v in w.items()}),
        WEIGHTS,
        "numbers of F8_E4M3",
        "bfloat16",
    ),
    "no_tokenizer": (
        lambda f: [path.unlink() for path in f.glob("tokenizer*")],
        "tokenizer.json",
        "holds no tokenizer",
        "save it there too",
    ),
    "tokenizer_text": (lambda f: write(f, "tokenizer.json", "words"), "tokenizer.json", "no JSON object", "fetch the model"),
    "tokenizer_form": (lambda f: write(f, "tokenizer.json", "{}"), "tokenizer.json", "cannot read the tok", "fetch the model"),
    "words": (
        lambda f: (
            configure(f, vocab_size=60),
            change_weights(f, lambda w: {n: v[:60].clone() if v.shape[0] == 71 else v for n, v in w.items()}),
        ),
        "tokenizer.json",
        "11 tokens beyond the 60 rows of the model's embedding: are, can",
        "the tokenizer that it was trained with",
    ),
}
NUMBERS = {
    "nan": (
        lambda f: change_weights(f, spoil(float("nan"))),
        WEIGHTS,
        "1 weights hold values",
        "checkpoint",
    ),
    "infinite": (lambda f: change_weights(f, spoil(float("inf"))), WEIGHTS, "model.norm.weight", "checkpoint"),
}


def assert_told(folder, faults, file, words, do):
    with pytest.raises(ModelError) as caught:
        refuse_faults(folder, faults)
    assert caught.value.where == str(folder / file)
    assert words in caught.value.what
    assert do in caught.value.do


@pytest.mark.parametrize("name", OUTSIDE)
def test_what_a_folder_shows_from_outside_is_found_with_the_model(folder, name):
    change, *told = OUTSIDE[name]
    change(folder)
    assert_told(folder, folder_faults(folder), *told)
    with pytest.raises(ModelError):
        find_model(str(folder))


@pytest.mark.parametrize("name", INSIDE)
def test_files_that_are_not_one_model_are_found_without_reading_weights(folder, name):
    change, *told = INSIDE[name]
    change(folder)
    assert folder_faults(folder) == []
    assert_told(folder, content_faults(folder), *told)


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_values_that_are_no_numbers_are_found_by_reading_the_weights_once(folder, name, dtype):
    change_weights(folder, lambda weights: {n: v.to(dtype) for n, v in weights.items()})
    assert weight_faults(folder) == []
    change, *told = NUMBERS[name]
    change(folder)
    assert content_faults(folder) == []
    assert_told(folder, weight_faults(folder), *told)


def test_a_value_is_found_wherever_it_stands_and_in_a_weight_without_dimensions(folder, monkeypatch):
    monkeypatch.setattr("isheep_lib.models.contents.SLICE", 64)  # rows are looked at a few at a time
    change_weights(folder, lambda weights: weights | {"scale": torch.tensor(1.0), "none": torch.zeros(0, 4)})
    assert weight_faults(folder) == []
    for name, place in (("lm_head.weight", (70, 31)), ("model.embed_tokens.weight", (0, 0)), ("scale", ())):
        weights = load_file(folder / WEIGHTS)
        weights[name][place] = float("nan")
        save_file(weights, folder / "other.safetensors", metadata={"format": "pt"})
        os.replace(folder / "other.safetensors", folder / WEIGHTS)
    (fault,) = weight_faults(folder)
    assert fault.what.endswith("lm_head.weight, model.embed_tokens.weight, scale")


def test_a_good_folder_has_no_fault_whole_or_in_shards(folder):
    for change in (lambda _: None, shard):
        change(folder)
        assert folder_faults(folder) == content_faults(folder) == weight_faults(folder) == []
    save_file({"again": torch.zeros(2)}, folder / "consolidated.safetensors")
    assert [path.name for path in weight_files(folder)] == sorted(path.name for path in folder.glob("model-*"))


def test_all_faults_of_a_folder_are_told_at_once(folder):
    configure(folder, num_hidden_layers=3)
    write(folder, "tokenizer.json", "words")
    with pytest.raises(ModelError, match="2 faults of a model's folder") as caught:
        refuse_faults(folder, content_faults(folder), "org/name")
    assert "config.json: 9 weights" in caught.value.what
    assert "tokenizer.json: The file is no JSON object; fetch" in caught.value.what
    assert caught.value.where == f"org/name, {folder}"


def test_nothing_of_what_is_found_is_shown_beside_the_message(folder, capfd, recwarn):
    configure(folder, num_hidden_layers=3)
    content_faults(folder)
    assert capfd.readouterr() == ("", "")


def test_named_templates_in_a_folder_of_their_own_belong_to_the_model(folder, tmp_path):
    before = digest_model(folder)
    (folder / "additional_chat_templates").mkdir()
    assert digest_model(folder) == before
    write(folder, "additional_chat_templates/rag.jinja", "{{ messages[0]['content'] }}")
    assert digest_model(folder) != before
