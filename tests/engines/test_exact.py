"""Exact decisions: texts are those of a plain loop in float64, however rough the fast pass is, whoever shares the batch."""

import ast
import os
import subprocess
import sys

import numpy as np
import pytest
import torch

from isheep_lib.engines import transformers_engine
from isheep_lib.engines.exact.double import DoubleModel
from isheep_lib.engines.params import Model
from isheep_lib.engines.protocol import Request
from isheep_lib.engines.transformers_engine import TransformersEngine
from isheep_lib.errors import ModelError
from isheep_lib.models.base import find_model
from isheep_lib.models.load import load_model
from tests.engines.test_decisions import by_hand

PROMPTS = [
    "write three words",
    "why is the river",
    "compare the old bread and the small city",
    "list",
    "a song for one",
]
REQUESTS = [
    Request(f"r{number}-{temperature}", prompt, 24, temperature, top_p, number)
    for number, prompt in enumerate(PROMPTS * 3)
    for temperature, top_p in ((0.0, 1.0), (1.0, 0.95), (0.7, 0.9), (1.3, 1.0))
]


def settings(**changed):
    return Model(**{"inference_dtype": "float32", "numerics": "exact", **changed})


def texts(engine):
    return {done.id: done.text for batch in engine.generate(engine.batches(REQUESTS)) for done in batch}


@pytest.fixture(scope="module")
def exact(tiny_model):
    """The texts by float64 alone, one row and one token at a time."""
    double, engine = DoubleModel(find_model(str(tiny_model))), TransformersEngine(find_model(str(tiny_model)), settings())
    found = {}
    for request in REQUESTS:
        draws = np.random.default_rng(request.seed).random(request.max_new_tokens)
        before, new = engine.vocabulary.encode(request.prompt), []
        while len(new) < request.max_new_tokens and (not new or new[-1] not in engine.vocabulary.ends):
            logits = double.logits(before + new)[0].tolist()
            new.append(by_hand(logits, draws[len(new)], request.temperature, request.top_p))
        found[request.id] = engine.vocabulary.completion(request, new).text
    return found


@pytest.mark.parametrize("sizes", [{}, {"batch_tokens": 32, "cache_tokens": 120}, {"cache_tokens": 1}])
def test_texts_are_those_of_float64_in_any_batch(tiny_model, exact, sizes):
    engine = TransformersEngine(find_model(str(tiny_model)), settings(**sizes))
    assert texts(engine) == exact
    counts = engine.facts()["numerics"]
    assert counts["undecided"] == []
    assert counts["again"] < counts["decided"] / 100


def rough(size):
    def load(*arguments):
        model, tokenizer = load_model(*arguments)
        torch.manual_seed(1)
        for weight in model.parameters():
            weight.data *= 1 + size * torch.randn_like(weight)
        return model, tokenizer

    return load


def test_a_rough_fast_pass_costs_time_and_changes_nothing(tiny_model, exact, monkeypatch):
    plain = TransformersEngine(find_model(str(tiny_model)), settings(numerics="plain"))
    monkeypatch.setattr(transformers_engine, "load_model", rough(1e-2))
    with_control = TransformersEngine(find_model(str(tiny_model)), settings(numerics="plain"))
    assert texts(with_control) != texts(plain), "too little to change anything"
    engine = TransformersEngine(find_model(str(tiny_model)), settings())
    assert texts(engine) == exact
    counts = engine.facts()["numerics"]
    assert counts["again"] > counts["changed"] > 0


def test_equal_logits_are_named_as_undecided_and_the_smaller_id_is_taken(tiny_model, monkeypatch):
    def twins(*arguments):
        model, tokenizer = load_model(*arguments)
        model.lm_head.weight.data[:] = 0
        return model, tokenizer

    monkeypatch.setattr(transformers_engine, "load_model", twins)
    monkeypatch.setattr("isheep_lib.engines.exact.double.load_model", twins)
    engine = TransformersEngine(find_model(str(tiny_model)), settings())
    (batch,) = engine.generate(engine.batches([Request("r0", "why", 2)]))
    assert batch[0].text == engine.tokenizer.decode([0, 0], skip_special_tokens=True)
    assert engine.facts()["numerics"]["undecided"] == ["r0, after 1 tokens", "r0, after 2 tokens"]


def test_an_architecture_that_leaves_float64_is_refused(tiny_model, monkeypatch):
    model = DoubleModel(find_model(str(tiny_model)))
    head = model.model.lm_head.forward
    monkeypatch.setattr(model.model.lm_head, "forward", lambda given: head(given).type("torch.FloatTensor"))
    with pytest.raises(ModelError, match="float32"):
        model.logits([3, 4])


def test_such_an_architecture_is_refused_at_loading_before_anything_is_asked(tiny_model, monkeypatch):
    def short(*arguments):
        model, tokenizer = load_model(*arguments)
        head = model.lm_head.forward
        model.lm_head.forward = lambda given: head(given).type("torch.FloatTensor")
        return model, tokenizer

    monkeypatch.setattr("isheep_lib.engines.exact.double.load_model", short)
    with pytest.raises(ModelError) as caught:
        TransformersEngine(find_model(str(tiny_model)), settings())
    assert caught.value.where == "LlamaForCausalLM"
    assert "model.numerics to plain" in caught.value.do


OTHER = (
    "from tests.engines.test_exact import *; import sys; print(texts(TransformersEngine(find_model(sys.argv[1]), settings())))"
)


def test_other_instruction_sets_and_threads_give_the_same_texts(tiny_model, exact):
    lesser = {"ATEN_CPU_CAPABILITY": "default", "ONEDNN_MAX_CPU_ISA": "SSE41", "MKL_ENABLE_INSTRUCTIONS": "SSE4_2"}
    command = [sys.executable, "-c", OTHER, str(tiny_model)]
    found = subprocess.run(
        command, env={**os.environ, **lesser, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, check=True
    )
    assert ast.literal_eval(found.stdout) == exact
