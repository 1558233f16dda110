"""What every engine must do, as tests: a module of tests that defines the fixture `engine` imports them all.

    from tests.claims import *  # with fixtures: engine (float32), folder (of its model), words (that its tokenizer knows)

The reference is the plainest computation: transformers, one text at a time, float32, eager attention. Greedy texts are
equal up to a position where the two best tokens are within 1e-3 nats; log-probabilities agree to 1e-3 in sum.
"""

import random
from typing import get_args

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from isheep_lib.engines.generate import ask, overlong
from isheep_lib.engines.params import EngineName
from isheep_lib.engines.protocol import Request
from isheep_lib.engines.tokens import encode, encode_rest
from isheep_lib.errors import DataError

CLOSE = 1e-3
NUMBERS = [str(number) for number in range(1, 11)]


@pytest.fixture(scope="module")
def plain(folder):
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()


@pytest.fixture(scope="module")
def prompts(words):
    rng = random.Random(1)
    return [" ".join(rng.choices(words, k=rng.randint(3, 14))) for _ in range(9)]


def requests(prompts, temperature=1.0, tokens=20, stop=()):
    return [Request(f"r{i}", text, tokens, temperature, 0.95, 100 + i, stop) for i, text in enumerate(prompts)]


def run(engine, asked):
    return {c.id: c for group in engine.generate(engine.batches(asked)) for c in group}


def logs_after(plain, tokens):
    with torch.inference_mode():
        return plain(torch.tensor([tokens])).logits[0].log_softmax(-1)


def test_greedy_text_is_that_of_the_library_up_to_ties(engine, plain, prompts):
    for request in requests(prompts[:5], temperature=0.0):
        before = encode(engine.tokenizer, request.prompt)
        given = torch.tensor([before])
        whole = plain.generate(given, attention_mask=torch.ones_like(given), max_new_tokens=20, do_sample=False, pad_token_id=0)
        expected = whole[0, len(before) :].tolist()
        text = ask(engine, request).text
        if text != engine.tokenizer.decode(expected, skip_special_tokens=True):
            found = encode_rest(engine.tokenizer, text)
            at = next(i for i, (a, b) in enumerate(zip(expected, found, strict=False)) if a != b)
            logs = logs_after(plain, before + expected[:at])[-1]
            assert abs(logs[expected[at]] - logs[found[at]]) < CLOSE


def test_a_text_depends_on_its_request_alone(engine, prompts):
    asked = requests(prompts)
    together = run(engine, asked)
    assert run(engine, asked[::-1]) == together
    assert {r.id: ask(engine, r) for r in asked[:3]} == {r.id: together[r.id] for r in asked[:3]}
    assert len({c.text for c in together.values()}) > 4


def test_many_long_prompts_at_once_are_answered_by_their_seeds(engine, words):
    """More than is read in one step, so that an engine must divide them."""
    long = [" ".join(words[(i + j) % len(words)] for j in range(300)) for i in range(12)]
    asked = [Request(f"l{i}", text, 3, 1.0, 0.95, i) for i, text in enumerate(long)]
    together = run(engine, asked)
    assert together["l7"] == ask(engine, asked[7])
    assert len(together) == 12


def test_another_seed_gives_another_text(engine, prompts):
    first, *_ = requests(prompts, tokens=30)
    others = {ask(engine, Request(first.id, first.prompt, 30, 1.0, 0.95, seed)).text for seed in (1, 2, 3)}
    assert len(others) > 1


def test_a_stop_text_ends_the_text_is_not_part_of_it_and_is_named(engine, prompts):
    for request in requests(prompts, tokens=40):
        whole = ask(engine, request)
        word = next((w for w in whole.text.split()[3:] if len(w) > 2), None)
        if word is None:
            continue
        stopped = ask(engine, Request(request.id, request.prompt, 40, 1.0, 0.95, request.seed, (word, "never said")))
        assert stopped.text == whole.text[: whole.text.index(word)]
        assert (stopped.finish, stopped.stopped_by) == ("stop", word)
        assert stopped.num_tokens < whole.num_tokens or whole.text.endswith(word)
        return
    pytest.fail("no text with a word to stop at")


def test_an_end_token_ends_the_text_and_the_limit_is_told_apart(engine, prompts, plain):
    finished = [ask(engine, r) for r in requests(prompts, tokens=60, stop=("<|im_end|>",))]
    for completion in finished:
        assert "<|im_end|>" not in completion.text
        assert completion.finish in ("end", "length")
        assert completion.stopped_by == ("<|im_end|>" if completion.finish == "end" else "")
        assert (completion.num_tokens == 60) or completion.finish == "end"
    short = ask(engine, Request("short", prompts[0], 2, 0.0))
    assert (short.finish, short.num_tokens, short.stopped_by) == ("length", 2, "")


def test_prompts_beyond_the_context_are_named_before_anything_runs(engine, words):
    long = " ".join(words[i % len(words)] for i in range(9000))
    with pytest.raises(DataError, match=r"long-one: \d+ \+ 5") as caught:
        engine.batches([Request("fits", words[0], 5), Request("long-one", long, 5)])
    assert "fits:" not in str(caught.value)


def test_progress_never_counts_more_than_what_is_asked(engine, prompts):
    asked, seen = requests(prompts), []
    for group in engine.generate(engine.batches(asked), seen.append):
        assert group
    assert all(0 <= units <= len(asked) for units in seen)


def test_log_probabilities_are_those_of_one_text_at_a_time(engine, plain, prompts):
    pairs = [(text, " " + " ".join(prompts[i - 1].split()[: i % 5])) for i, text in enumerate(prompts)]
    pairs += [(prompts[0], ""), ("", prompts[1])]
    for (context, rest), (value, number) in zip(pairs, engine.logprobs(pairs), strict=True):
        before, after = encode(engine.tokenizer, context), encode_rest(engine.tokenizer, rest)
        before = before or [engine.tokenizer.bos_token_id]
        logs = logs_after(plain, before + after)
        assert number == len(after)
        assert value == pytest.approx(sum(logs[len(before) - 1 + i, t].item() for i, t in enumerate(after)), abs=CLOSE)


def test_labels_get_their_probability_and_ten_is_not_one(engine, plain, prompts):
    asked = [f"{text} 7 out of 10, that is " for text in prompts[:4]]
    paths = [encode_rest(engine.tokenizer, label) for label in NUMBERS]
    for prompt, found in zip(asked, engine.choices(asked, NUMBERS), strict=True):
        before = encode(engine.tokenizer, prompt)
        whole = []
        for path in paths:
            logs = logs_after(plain, before + path)
            whole.append(sum(logs[len(before) - 1 + i, t].item() for i, t in enumerate(path)))
        whole = np.exp(whole)
        if len(paths[9]) > 1:  # "10" begins with the token of "1"
            whole[0] -= whole[9]
        assert np.exp(found) == pytest.approx(whole, rel=5e-3, abs=1e-7)


def test_vectors_are_the_mean_of_the_final_layer(engine, plain, prompts):
    found = engine.embed(prompts)
    assert found.dtype == np.float32
    for text, vector in zip(prompts, found, strict=True):
        with torch.inference_mode():
            last = plain.base_model(torch.tensor([encode(engine.tokenizer, text)])).last_hidden_state[0]
        assert vector == pytest.approx(last.mean(0).numpy(), abs=2e-3)


def test_the_record_learns_what_computed(engine):
    facts = engine.facts()
    assert facts["engine"] in get_args(EngineName)
    assert facts["dtype"] == "float32"


def test_texts_beyond_the_context_are_named_before_any_is_scored(engine, words):
    long = " ".join(words[i % len(words)] for i in range(9000))
    with pytest.raises(DataError, match=r"text 1: \d+ \+"):
        engine.logprobs([(words[0], words[1]), (long, words[1])])


def test_what_leaves_no_room_in_the_context_is_told_before_it_would_be_refused(engine, words):
    long = " ".join([words[0]] * engine.context)
    assert list(overlong(engine, {"short": words[0], "long": long}, 4)) == ["long"]
    with pytest.raises(DataError):
        engine.batches([Request("long", long, 4)])
