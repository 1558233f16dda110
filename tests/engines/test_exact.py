"""Exact decisions: texts and scores are those of a plain loop in float64, however rough the fast pass, in any batch."""

import ast
import math
import os
import subprocess
import sys

import numpy as np
import pytest
import torch

from isheep_lib.engines import transformers_engine
from isheep_lib.engines.exact.double import DoubleModel, NothingShorter
from isheep_lib.engines.exact.rounding import BITS
from isheep_lib.engines.params import Model
from isheep_lib.engines.protocol import Request
from isheep_lib.engines.tokens import label_paths, load_vocabulary
from isheep_lib.engines.transcript import key_of
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


PAIRS = [("write three words", " the river and the city"), ("why", ""), ("", " bread is old")]
PAIRS += [("which is small", rest) for rest in (" the city", " the old bread of the city", " words")]  # share a context
LABELS = ["1", "2", "10"]


def scores(engine):
    """Return everything that is not written: log p of texts and of labels, and vectors."""
    vectors = engine.embed([*PROMPTS, ""])
    assert vectors.dtype == np.float32
    return engine.logprobs(PAIRS), engine.choices(PROMPTS, LABELS), vectors.tolist()


@pytest.fixture(scope="module")
def exact_scores(tiny_model):
    """The scores by float64 alone, one text and one token at a time."""
    double, words = DoubleModel(find_model(str(tiny_model))), load_vocabulary(find_model(str(tiny_model)))

    def logs(tokens):
        return double.logits(tokens)[0].log_softmax(-1)

    totals, choices, vectors = [], [], []
    for pair in PAIRS:
        before, after = words.encode_pair(pair)
        total = sum(float(logs(before + after[:place])[token]) for place, token in enumerate(after))
        totals.append((round(total, 4), len(after)))
    for prompt in PROMPTS:
        tree, before = label_paths(words.tokenizer, LABELS), words.encode(prompt)
        whole = {}
        for label, path in zip(LABELS, tree.paths, strict=True):
            whole[label] = math.exp(sum(float(logs(before + list(path[:d]))[token]) for d, token in enumerate(path)))
        if tree.paths[2][:-1] == tree.paths[0]:
            whole["1"] -= whole["10"]
        choices.append([round(math.log(whole[label]), 6) for label in LABELS])
    for text in [*PROMPTS, ""]:
        with NothingShorter(), torch.inference_mode():
            hidden = double.model.base_model(torch.tensor([words.encode_start(text)]), use_cache=False).last_hidden_state[0]
        vectors.append(_on_grid(hidden.mean(0).tolist()))
    return totals, choices, vectors


def _on_grid(values):
    step = 2.0 ** (math.floor(math.log2(max(map(abs, values)))) + 1 - BITS)
    return [round(value / step) * step for value in values]


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


@pytest.mark.parametrize("sizes", [{}, {"batch_tokens": 32}])
def test_scores_are_those_of_float64_in_any_batch(tiny_model, exact_scores, sizes):
    engine = TransformersEngine(find_model(str(tiny_model)), settings(**sizes))
    assert scores(engine) == exact_scores
    counts = engine.facts()["numerics"]
    assert counts["undecided"] == []
    assert counts["scores"] == len(PAIRS) + len(PROMPTS) * len(LABELS) + len(PROMPTS) + 1


def test_a_score_whose_last_digit_is_open_is_named_by_its_row_in_the_transcript(tiny_model, monkeypatch):
    engine = TransformersEngine(find_model(str(tiny_model)), settings())
    monkeypatch.setattr(engine._scoring, "sums", lambda rows, starts: [-1.00005, -1.00001])
    assert engine.logprobs(PAIRS[:2]) == [(-1.0001, len(engine.vocabulary.encode_pair(PAIRS[0])[1])), (-1.0, 0)]
    (named,) = engine.facts()["numerics"]["undecided"]
    assert named == f"score {key_of(PAIRS[0])}: -1.00005 to 4 digits"


def rough(size):
    def load(*arguments):
        model, tokenizer = load_model(*arguments)
        torch.manual_seed(1)
        for weight in model.parameters():
            weight.data *= 1 + size * torch.randn_like(weight)
        return model, tokenizer

    return load


def test_a_rough_fast_pass_costs_time_and_changes_nothing(tiny_model, exact, exact_scores, monkeypatch):
    plain = TransformersEngine(find_model(str(tiny_model)), settings(numerics="plain"))
    monkeypatch.setattr(transformers_engine, "load_model", rough(1e-2))
    with_control = TransformersEngine(find_model(str(tiny_model)), settings(numerics="plain"))
    assert texts(with_control) != texts(plain), "too little to change anything"
    engine = TransformersEngine(find_model(str(tiny_model)), settings())
    assert texts(engine) == exact
    assert scores(engine) == exact_scores != scores(with_control)
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


def test_what_is_remembered_of_a_row_changes_nothing_and_is_forgotten_beyond_a_limit(tiny_model, monkeypatch):
    monkeypatch.setattr("isheep_lib.engines.exact.double.REMEMBERED", 20)
    model, draw = DoubleModel(find_model(str(tiny_model))), np.random.default_rng(2)
    rows = {name: draw.integers(3, 60, 18).tolist() for name in "abc"}
    read = [("a", rows["a"][:5]), ("b", rows["b"][:6]), ("a", rows["a"][:9]), ("a", rows["a"][:9]), ("a", rows["b"][:12])]
    read += [("c", rows["c"]), ("b", rows["b"][:7]), ("a", rows["a"][:4])]
    for row, tokens in read:
        assert torch.allclose(model.after(row, tokens), model.logits(tokens), rtol=0, atol=1e-12)
    assert {row: len(tokens) for row, (tokens, _) in model._read.items()} == {"b": 7, "a": 4}


def test_an_architecture_that_leaves_float64_is_refused_at_loading_before_anything_is_asked(tiny_model, monkeypatch):
    def short(*arguments):
        model, tokenizer = load_model(*arguments)
        norm = model.model.norm.forward
        model.model.norm.forward = lambda given: norm(given.type("torch.FloatTensor").type("torch.DoubleTensor"))
        return model, tokenizer

    monkeypatch.setattr("isheep_lib.engines.exact.double.load_model", short)
    with pytest.raises(ModelError) as caught:
        TransformersEngine(find_model(str(tiny_model)), settings())
    assert caught.value.where == "LlamaForCausalLM"
    assert caught.value.what.startswith("A pass in float64 computes") and caught.value.what.endswith("in float32")
    assert "model.numerics to plain" in caught.value.do


OTHER = """
import sys
from tests.engines.test_exact import *
engine = TransformersEngine(find_model(sys.argv[1]), settings())
print([texts(engine), *scores(engine)])
"""


def test_other_instruction_sets_and_threads_give_the_same_texts_and_scores(tiny_model, exact, exact_scores):
    lesser = {"ATEN_CPU_CAPABILITY": "default", "ONEDNN_MAX_CPU_ISA": "SSE41", "MKL_ENABLE_INSTRUCTIONS": "SSE4_2"}
    command, threads = [sys.executable, "-c", OTHER, str(tiny_model)], "2" if torch.get_num_threads() == 1 else "1"
    found = subprocess.run(
        command, env={**os.environ, **lesser, "OMP_NUM_THREADS": threads}, capture_output=True, text=True, check=True
    )
    assert ast.literal_eval(found.stdout) == [exact, *exact_scores]
