"""A model that is trained on short answers learns to end them, also where its end token is its pad token."""

import shutil

import pytest
from transformers import AutoTokenizer

from isheep_lib.engines.params import Model
from isheep_lib.engines.protocol import Request
from isheep_lib.engines.transformers_engine import TransformersEngine
from isheep_lib.iterate.run_params import TrainParams
from isheep_lib.models.base import ModelRef, find_model
from isheep_lib.prompting.chat import get_frame, user_words
from isheep_lib.record.rows import Pair, Task
from isheep_lib.train.dataset import prepare
from isheep_lib.train.run import fine_tune, lay_out

THINGS = ["river", "garden", "kitchen", "window", "bread"]
PAIRS = [(f"describe the {thing}", "old red small") for thing in THINGS] + [
    (f"count the {thing}", "three words about the quiet city") for thing in THINGS
]
LONG = 40  # tokens; an answer that does not end runs to here


def rows(pairs):
    return [{"id": f"p{i}", "instruction": asked, "input": "", "output": said} for i, (asked, said) in enumerate(pairs)]


def answers(model, frame, pairs, tokens=LONG):
    """Let a model answer greedily; only its end tokens and the frame's end stop it."""
    asked = [
        Request(row["id"], frame.prompt(user_words(Task(row["id"], row["instruction"]))), tokens, stop=(frame.end,))
        for row in rows(pairs)
    ]
    engine = TransformersEngine(model, Model(inference_dtype="float32", cache_tokens=4096))
    found = {said.id: said for part in engine.generate(engine.batches(asked)) for said in part}
    engine.close()
    return [found[request.id] for request in asked]


def learn(model, frame, pairs, folder, **params):
    """Train on the pairs and return the model that came out."""
    tokenizer = AutoTokenizer.from_pretrained(model.path)
    wanted = TrainParams(dtype="float32", save_steps=1000, **params)
    data = prepare([Pair.from_row(row) for row in rows(pairs)], frame, tokenizer, wanted, 0)
    (folder / "work").mkdir()
    fine_tune(lay_out(model, data, wanted, 0), folder / "work", folder / "out")
    if wanted.method == "full":
        return find_model(str(folder / "out" / "model"))
    return ModelRef(model.name, model.path, model.digest, (folder / "out" / "adapter",))


@pytest.fixture
def padding_otherwise(tiny_model, tmp_path):
    """Return the tiny model with a pad token that is not the end token."""
    folder = shutil.copytree(tiny_model, tmp_path / "other-pad")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.pad_token = "<unk>"
    tokenizer.save_pretrained(folder)
    return folder


@pytest.mark.parametrize(
    ("pad", "params"),
    [
        ("<|im_end|>", {"batching": "grouped", "micro_batch": 5}),
        ("<unk>", {"batching": "grouped", "micro_batch": 5}),
        ("<|im_end|>", {"batching": "packed", "micro_batch": 5}),
    ],
)
def test_a_model_that_ran_on_ends_its_answers_after_training(tmp_path, monkeypatch, request, pad, params):
    monkeypatch.setenv("ISHEEP_CACHE", str(tmp_path / "cache"))
    folder = request.getfixturevalue("tiny_model" if pad == "<|im_end|>" else "padding_otherwise")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert (tokenizer.pad_token, tokenizer.eos_token) == (pad, "<|im_end|>")
    model, frame = find_model(str(folder)), get_frame("chatml", "", tokenizer)
    assert {said.finish for said in answers(model, frame, PAIRS)} == {"length"}
    recipe = {"method": "full", "learning_rate": 0.01, "warmup_steps": 0, "epochs": 20, "train_batch": 5}
    after = answers(learn(model, frame, PAIRS, tmp_path, **recipe, **params), frame, PAIRS)
    assert [(said.finish, said.stopped_by) for said in after] == [("end", frame.end)] * len(PAIRS)
    assert [said.text for said in after] == [expected for _, expected in PAIRS]


@pytest.mark.slow
def test_the_embedded_model_learns_with_an_adapter_to_end_short_answers(tmp_path):
    model = find_model("embedded:smollm2-135m-instruct")
    frame = get_frame("alpaca", "", AutoTokenizer.from_pretrained(model.path))
    assert "length" in {said.finish for said in answers(model, frame, PAIRS, 24)}
    recipe = {"learning_rate": 1e-3, "warmup_steps": 2, "epochs": 8, "train_batch": 3, "micro_batch": 3}
    after = answers(learn(model, frame, PAIRS, tmp_path, **recipe), frame, PAIRS, 24)
    assert [(said.finish, said.stopped_by) for said in after] == [("end", frame.end)] * len(PAIRS)
