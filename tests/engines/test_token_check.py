"""A record held against the weights: what is honest is explained, and what is not is found, without generating."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from isheep_lib.engines.exact.decisions import decide
from isheep_lib.engines.exact.distance import miss
from isheep_lib.engines.exact.token_check import hold
from isheep_lib.engines.exact.verdict import EXPLAINED, NOT_CHECKED, NOT_EXPLAINED, Sample, together
from isheep_lib.engines.params import Model
from isheep_lib.engines.protocol import Request
from isheep_lib.engines.transcript import key_of, row_of, tokens_of
from isheep_lib.engines.transformers_engine import TransformersEngine
from isheep_lib.models.base import find_model

EXACT = Model(inference_dtype="float32", numerics="exact")
PLAIN = Model(inference_dtype="float32")
SHORT = Model(inference_dtype="bfloat16")
REQUESTS = [
    Request(f"r{seed}", prompt, 24, temperature, top_p, seed)
    for seed, prompt in enumerate(["write three words", "why is the river", "list", "a song for one"] * 4)
    for temperature, top_p in ((0.0, 1.0), (1.0, 0.95), (1.3, 1.0))
]


@given(
    st.lists(st.floats(-4, 4, width=32), min_size=3, max_size=12),
    st.floats(0, 1, exclude_max=True),
    st.sampled_from([(0.0, 1.0), (0.7, 0.9), (1.0, 0.5), (1.0, 1.0)]),
)
def test_the_distance_is_none_for_the_token_that_is_taken_and_some_for_others(values, uniform, sampling):
    logits = torch.tensor(values, dtype=torch.float64)
    taken = int(decide(logits[None], torch.tensor([uniform]), *sampling).tokens[0])
    assert miss(logits, taken, uniform, *sampling) <= 1e-12
    for token in range(len(values)):
        assert token == taken or miss(logits, token, uniform, *sampling) >= 0
    if sampling[0] == 0:
        others = [value for token, value in enumerate(values) if token != taken]
        worst = int(np.argmin(values))
        assert worst == taken or math.isclose(miss(logits, worst, 0, 0, 1), max(values) - min(others))


def test_a_token_outside_the_nucleus_lies_as_far_away_as_the_mass_beyond_it():
    logits = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64).log()
    assert math.isclose(miss(logits, 2, 0.999, 1.0, 0.6), 0.2, abs_tol=2e-3)


def written(model, settings, requests):
    engine = TransformersEngine(model, settings)
    rows = {}
    by_id = {key_of(request): request for request in requests}
    for batch in engine.generate(engine.batches([replace(request, id=key) for key, request in by_id.items()])):
        rows |= {one.id: row_of(by_id[one.id], one, engine.vocabulary) for one in batch}
    return rows


def held(model, settings, requests, rows, sample=0):
    return hold({key_of(r): r for r in requests}, rows, model, settings, Sample(sample))


@pytest.fixture(scope="module")
def model(tiny_model):
    return find_model(str(tiny_model))


@pytest.fixture(scope="module")
def honest(model):
    return written(model, EXACT, REQUESTS)


@pytest.mark.parametrize("settings", [EXACT, PLAIN, SHORT], ids=["exact", "float32", "bfloat16"])
def test_an_honest_record_is_explained_to_the_last_token(model, settings):
    rows = written(model, settings, REQUESTS)
    found = held(model, settings, REQUESTS, rows)
    assert (found["verdict"], found["outside"]) == (EXPLAINED, 0)
    assert found["tokens"] == sum(len(tokens_of(row)) for row in rows.values())
    assert settings is SHORT or found["same"] == found["tokens"]


def test_one_edited_token_is_found_at_its_place(model, honest):
    request = next(r for r in REQUESTS if len(tokens_of(honest[key_of(r)])) > 4)
    row = honest[key_of(request)]
    tokens = tokens_of(row)
    tokens[3] = (tokens[3] + 7) % 60
    other = " ".join(map(str, tokens))
    found = held(model, EXACT, REQUESTS, {**honest, row["id"]: {**row, "tokens": other}})
    assert found["verdict"] == NOT_EXPLAINED
    assert (found["first"][0]["id"], found["first"][0]["token"]) == (request.id, 4)


def test_another_temperature_another_seed_and_another_model_are_found(model, honest, tmp_path):
    sampled = [r for r in REQUESTS if r.temperature > 0]
    claimed = [(replace(r, temperature=r.temperature * 1.3), r) for r in sampled]
    hotter = {key_of(r): honest[key_of(other)] for r, other in zip(sampled, sampled, strict=True)}
    for made in ([replace(r, seed=r.seed + 1) for r in sampled], [one for one, _ in claimed]):
        rows = {key_of(one): hotter[key_of(r)] for one, r in zip(made, sampled, strict=True)}
        assert held(model, EXACT, made, rows)["verdict"] == NOT_EXPLAINED
    from tests.conftest import save_tiny_model

    torch.manual_seed(99)
    save_tiny_model(tmp_path)
    from safetensors.torch import load_file, save_file

    weights = load_file(tmp_path / "model.safetensors")
    save_file({name: value * 1.01 for name, value in weights.items()}, tmp_path / "model.safetensors", {"format": "pt"})
    assert held(find_model(str(tmp_path)), EXACT, REQUESTS, honest)["verdict"] == NOT_EXPLAINED


def test_draws_of_another_generator_are_held_against_their_likelihood(model):
    sampled = [replace(r, seed=r.seed + 500) for r in REQUESTS if r.temperature > 0]
    rows = written(model, PLAIN, sampled)
    claims = [replace(r, seed=1) for r in sampled]  # vLLM draws otherwise: our numbers say nothing
    claims = [replace(r, seed=number) for number, r in enumerate(claims)]
    renamed = {key_of(claim): rows[key_of(r)] for claim, r in zip(claims, sampled, strict=True)}
    vllm = PLAIN.model_copy(update={"engine": "vllm"})
    found = held(model, vllm, claims, renamed)
    assert (found["verdict"], found["by_likelihood"]) == (EXPLAINED, found["tokens"])
    scrambled = {
        key: {**row, "tokens": " ".join(str((token + 11) % 60) for token in tokens_of(row))} for key, row in renamed.items()
    }
    assert held(model, vllm, claims, scrambled)["verdict"] == NOT_EXPLAINED


@pytest.mark.parametrize("settings", [EXACT, PLAIN, SHORT], ids=["exact", "float32", "bfloat16"])
def test_scores_are_computed_again(model, settings):
    engine = TransformersEngine(model, settings)
    pair, prompt, labels = ("write three", "words"), "compare", ("1", "2")
    (value, number), logs = engine.logprobs([pair])[0], engine.choices([prompt], list(labels))[0]
    asked = {key_of(one): one for one in (pair, (prompt, labels))}
    rows = {key_of(pair): {"logprob": value, "num_tokens": number}, key_of((prompt, labels)): {"logs": logs}}
    assert hold(asked, rows, model, settings, Sample())["verdict"] == EXPLAINED
    rows[key_of(pair)]["logprob"] += 0.5
    found = hold(asked, rows, model, settings, Sample())
    assert (found["verdict"], found["scores"]["outside"]) == (NOT_EXPLAINED, 1)


def test_a_sample_is_the_same_rows_each_time_and_no_weights_are_no_verdict(model, honest):
    found = [held(model, EXACT, REQUESTS, honest, 5) for _ in range(2)]
    assert found[0] == found[1]
    assert found[0]["answers_checked"] == 5
    assert held(None, EXACT, REQUESTS, honest)["verdict"] == NOT_CHECKED


SAID = {"tokens": 4, "same": 3, "explained": 1, "number_format": "float32", "scores": {"checked": 2}, "why": ""}
SERVED = {"verdict": NOT_CHECKED, "why": "only a server has the weights"}


@pytest.mark.parametrize(
    ("found", "verdict", "tokens", "why"),
    [
        ([EXPLAINED, EXPLAINED], EXPLAINED, 8, ""),
        ([EXPLAINED, NOT_EXPLAINED], NOT_EXPLAINED, 8, ""),
        ([NOT_EXPLAINED, SERVED], NOT_EXPLAINED, 4, SERVED["why"]),
        ([SERVED, EXPLAINED], NOT_CHECKED, 4, SERVED["why"]),
        ([SERVED, SERVED], NOT_CHECKED, 0, SERVED["why"]),
    ],
)
def test_of_two_models_the_one_that_does_not_hold_decides_and_counts_are_added(found, verdict, tokens, why):
    each = [SAID | {"verdict": one} if isinstance(one, str) else one for one in found]
    said = together(each)
    assert (said["verdict"], said["tokens"], said["why"], said["models"]) == (verdict, tokens, why, each)


def test_what_is_said_of_one_model_or_none_stays_as_it_is():
    assert (together([SERVED]), together([])) == (SERVED, {})
