"""The transformers engine against brute force, with a tiny model: order, batches, sampling, scores, stops."""

import random

import pytest
import torch
from transformers import AutoModelForCausalLM

from isheep_lib.engines import Request, generate_all, open_engine
from isheep_lib.engines.decoding import ATTENTION, pick
from isheep_lib.engines.transformers_engine import encode, encode_rest
from isheep_lib.errors import DataError
from isheep_lib.journal import Journal
from isheep_lib.models import find_model


@pytest.fixture(scope="module")
def engine(tiny_model):
    return open_engine(find_model(str(tiny_model)), "float32", 4, 256)


def requests(number, temperature=1.0, tokens=24, stop=("<|im_end|>",)):
    words = "write explain compare describe the old river and two small cities".split()
    rng = random.Random(1)
    prompts = [" ".join(rng.choices(words, k=rng.randint(1, 12))) for _ in range(number)]
    return [Request(f"r{i}", prompt, tokens, temperature, 0.95, 100 + i, stop) for i, prompt in enumerate(prompts)]


def run(engine, asked):
    return {c.id: c for batch in engine.batches(asked) for c in engine.generate(batch)}


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_a_text_depends_on_its_request_alone(engine, temperature):
    asked = requests(13, temperature)
    together = run(engine, asked)
    alone = {r.id: engine.generate([r])[0] for r in asked}
    shuffled = run(engine, random.Random(2).sample(asked, len(asked)))
    assert together == alone == shuffled
    assert len({c.text for c in together.values()}) > 5
    assert {c.finish for c in together.values()} == {"end", "length"} or temperature == 0


def test_another_seed_gives_another_text(engine):
    (asked,) = requests(1)
    other = Request(asked.id, asked.prompt, asked.max_new_tokens, 1.0, 0.95, asked.seed + 1, asked.stop)
    assert engine.generate([asked])[0].text != engine.generate([other])[0].text


def test_greedy_text_equals_the_library_own_generate(engine, tiny_model):
    plain = AutoModelForCausalLM.from_pretrained(tiny_model, attn_implementation="eager")
    for request in requests(6, temperature=0.0):
        tokens = torch.tensor([encode(engine.tokenizer, request.prompt)])
        whole = plain.generate(tokens, attention_mask=torch.ones_like(tokens), max_new_tokens=24, do_sample=False)
        expected = engine.tokenizer.decode(whole[0, tokens.shape[1] :], skip_special_tokens=True)
        assert engine.generate([request])[0].text == expected


def test_attention_by_groups_equals_the_library_attention(engine, tiny_model):
    assert engine.model.config._attn_implementation == ATTENTION
    plain = AutoModelForCausalLM.from_pretrained(tiny_model, attn_implementation="eager")
    tokens = torch.tensor([[5, 6, 7, 8], [9, 10, 11, 12]])
    for model_input in (tokens, tokens[:, :1]):
        with torch.inference_mode():
            ours, theirs = engine.model(model_input).logits, plain(model_input).logits
        assert torch.allclose(ours, theirs, atol=1e-5)


def test_a_stop_text_ends_the_text_and_is_not_part_of_it(engine):
    (asked,) = requests(1, tokens=40, stop=())
    text = engine.generate([asked])[0].text
    word = text.split()[4]
    stopped = engine.generate([Request(asked.id, asked.prompt, 40, 1.0, 0.95, asked.seed, (word,))])[0]
    assert stopped.finish == "stop"
    assert stopped.text == text[: text.index(word)]
    assert stopped.num_tokens < 40


def test_a_prompt_beyond_the_context_is_named_before_anything_runs(engine):
    long = Request("too-long-one", "the " * 2100, 5)
    with pytest.raises(DataError, match=r"too-long-one: 2100 \+ 5"):
        engine.batches([*requests(2), long])


def test_log_probabilities_equal_one_text_at_a_time(engine):
    texts = [(r.prompt, " ".join(["bread"] * (i % 5))) for i, r in enumerate(requests(11))]
    for (context, rest), (value, number) in zip(texts, engine.logprobs(texts), strict=True):
        a, b = encode(engine.tokenizer, context), encode_rest(engine.tokenizer, rest)
        with torch.inference_mode():
            logs = engine.model(torch.tensor([a + b])).logits[0].log_softmax(-1)
        expected = sum(logs[len(a) - 1 + i, token].item() for i, token in enumerate(b))
        assert number == len(b)
        assert value == pytest.approx(expected, abs=1e-3)


def test_a_label_that_begins_another_excludes_it(engine):
    """Like "1" and "10" in tokenizers that spell numbers digit by digit."""
    labels = ["river", "river bread", "7"]
    (found,) = engine.choices(["compare the old"], labels)
    shares = [torch.tensor(value).exp().item() for value in found]
    (first, _), (longer, _), (seven, _) = engine.logprobs([("compare the old", label) for label in labels])
    whole, part = torch.tensor(first).exp().item(), torch.tensor(longer).exp().item()
    assert shares[0] == pytest.approx(whole - part, rel=1e-2)
    assert shares[1] == pytest.approx(part, rel=1e-2)
    assert shares[2] == pytest.approx(torch.tensor(seven).exp().item(), rel=1e-2)


@pytest.mark.parametrize("top_p", [1.0, 0.8, 0.3])
def test_sampling_follows_the_renormalised_nucleus(top_p):
    shares = torch.tensor([0.4, 0.3, 0.2, 0.1])
    grid = (torch.arange(20_000) + 0.5) / 20_000
    drawn = pick(shares.log().repeat(len(grid), 1), grid, 1.0, top_p)
    found = torch.bincount(drawn, minlength=4) / len(grid)
    kept = {1.0: 4, 0.8: 3, 0.3: 1}[top_p]
    expected = torch.where(torch.arange(4) < kept, shares, 0) / shares[:kept].sum()
    assert torch.allclose(found, expected, atol=1e-3)


def test_a_resumed_generation_asks_only_for_unfinished_batches(engine, tmp_path):
    asked = requests(10)
    with Journal(tmp_path / "whole.jsonl", "f") as journal:
        whole = generate_all(engine, asked, journal, "all")
    lines = (tmp_path / "whole.jsonl").read_bytes().splitlines(keepends=True)
    (tmp_path / "torn.jsonl").write_bytes(b"".join(lines[:7]) + lines[7][:20])
    with Journal(tmp_path / "torn.jsonl", "f") as journal:
        before = set(journal.rows)
        assert len(before) == 6
        assert generate_all(engine, asked, journal, "rest") == whole
    assert (tmp_path / "torn.jsonl").read_bytes() == (tmp_path / "whole.jsonl").read_bytes()
