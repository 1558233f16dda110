"""The transformers engine, with a tiny model: the claims on every engine, and what only this one has."""

import random

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM

from isheep_lib.engines import parity
from isheep_lib.engines.batching.prefix_cache import Reader, clusters, common_prefix
from isheep_lib.engines.exact.decisions import decide
from isheep_lib.engines.generate import generate_all, overlong
from isheep_lib.engines.params import Model
from isheep_lib.engines.protocol import Request
from isheep_lib.engines.transformers_engine import TransformersEngine
from isheep_lib.errors import EngineError, ModelError
from isheep_lib.models.base import ModelRef, find_model
from isheep_lib.models.load import ATTENTION, load_model
from isheep_lib.record.journal import Journal
from tests import claims
from tests.claims import *  # noqa: F403 - the tests of every engine
from tests.conftest import WORDS


@pytest.fixture(scope="module")
def folder(tiny_model):
    return tiny_model


@pytest.fixture(scope="module")
def words():
    return WORDS


def with_settings(**changes):
    return Model(**{"inference_dtype": "float32", "batch_tokens": 256, "cache_tokens": 200, **changes})


@pytest.fixture(scope="module")
def engine(folder):
    return TransformersEngine(find_model(str(folder)), with_settings())


def test_batches_hold_one_kind_of_sampling_within_the_cache(engine, prompts):
    asked = claims.requests(prompts) + [Request(f"g{i}", text, 9) for i, text in enumerate(prompts)]
    batches = engine.batches(asked)
    assert sorted(r.id for batch in batches for r in batch) == sorted(r.id for r in asked)
    for batch in batches:
        assert len({(r.max_new_tokens, r.temperature) for r in batch}) == 1
        widest = max(len(engine.vocabulary.encode(r.prompt)) for r in batch) + batch[0].max_new_tokens
        assert widest * len(batch) <= 200
    assert engine.batches(asked[::-1]) == batches


def test_a_text_that_cannot_be_scored_is_named_by_its_record_before_any_is(engine):
    said = "2045 tokens and 4 more, the model's context is 2048"
    texts = {"i1-r0-p001/quality": "the " * 2044, "i1-r0-p003/quality": "the " * 2045}
    assert overlong(engine, texts) == {"i1-r0-p003/quality": said}


def test_attention_by_groups_equals_the_library_attention(engine, plain):
    assert engine.model.config._attn_implementation == ATTENTION
    tokens = torch.tensor([[5, 6, 7, 8], [9, 10, 11, 12]])
    for model_input in (tokens, tokens[:, :1]):
        with torch.inference_mode():
            ours, theirs = engine.model(model_input).logits, plain(model_input).logits
        assert torch.allclose(ours, theirs, atol=1e-5)


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


def test_labels_without_a_common_stem_are_refused_by_name(engine):
    with pytest.raises(ModelError, match="share no stem"):
        engine.choices(["the"], ["river bread", "bread river"])


@pytest.mark.parametrize("top_p", [1.0, 0.8, 0.3])
def test_sampling_follows_the_renormalised_nucleus(top_p):
    shares = torch.tensor([0.4, 0.3, 0.2, 0.1])
    grid = (torch.arange(20_000) + 0.5) / 20_000
    drawn = decide(shares.log().repeat(len(grid), 1), grid, 1.0, top_p).tokens
    found = torch.bincount(drawn, minlength=4) / len(grid)
    kept = {1.0: 4, 0.8: 3, 0.3: 1}[top_p]
    expected = torch.where(torch.arange(4) < kept, shares, 0) / shares[:kept].sum()
    assert torch.allclose(found, expected, atol=1e-3)


def test_a_resumed_generation_asks_only_for_unfinished_batches(engine, prompts, tmp_path):
    asked = claims.requests(prompts + prompts[::-1])
    with Journal(tmp_path / "whole.jsonl", "f") as journal:
        whole = generate_all(engine, asked, journal, "all")
    lines = (tmp_path / "whole.jsonl").read_bytes().splitlines(keepends=True)
    (tmp_path / "torn.jsonl").write_bytes(b"".join(lines[:7]) + lines[7][:20])
    with Journal(tmp_path / "torn.jsonl", "f") as journal:
        assert len(journal.rows) == 6
        assert generate_all(engine, asked, journal, "rest") == whole
    assert (tmp_path / "torn.jsonl").read_bytes() == (tmp_path / "whole.jsonl").read_bytes()


class Counted(Reader):
    """A reader that knows how many tokens it has read."""

    def _forward(self, past, rows, keep, use_cache, width=0):
        self.tokens = getattr(self, "tokens", 0) + sum(map(len, rows))
        return super()._forward(past, rows, keep, use_cache, width)


def shared_rows(number, root, head, tail, seed=0):
    """Make pairs of rows: all begin alike, each pair goes on alike, and every row ends on its own."""
    rng = random.Random(seed)
    draw = lambda n: [rng.randint(3, 40) for _ in range(n)]  # noqa: E731
    begin = draw(root)
    return [begin + middle + draw(tail + i) for middle in (draw(head) for _ in range(number)) for i in range(2)]


@pytest.mark.parametrize(
    ("root", "head", "batch_tokens"), [(0, 0, 999), (30, 0, 999), (0, 40, 999), (30, 40, 999), (30, 40, 60), (5, 3, 999)]
)
def test_what_prompts_share_is_read_once_and_gives_the_same_logits(engine, root, head, batch_tokens):
    rows = shared_rows(4, root, head, 6)
    reader = Counted(engine.model, 2, batch_tokens)
    logits, past = reader.read(rows, [2] * len(rows), keep=2)
    for row, found in zip(rows, logits, strict=True):
        with torch.inference_mode():
            alone = engine.model(torch.tensor([row])).logits[0, -2:]
        assert torch.allclose(found, alone, atol=1e-4)
    assert past.mask.shape[0] == len(rows)
    assert past.mask.sum(1).tolist() == [len(row) for row in rows]
    whole = sum(map(len, rows))
    spared = (root >= 16) * root * (len(rows) - 1 - 4 * (head > 16)) + (head > 16) * 4 * (head + (root if root < 16 else 0))
    assert reader.tokens <= whole - 0.9 * spared if spared else reader.tokens == whole


def test_a_beginning_that_the_last_batch_shared_is_not_read_again(engine):
    reader = Counted(engine.model, 2, 999)
    rows = shared_rows(3, 50, 0, 4)
    first, _ = reader.read(rows, [1] * 6, keep=1)
    before = reader.tokens
    again, _ = reader.read(rows, [1] * 6, keep=1)
    assert torch.equal(first, again)
    assert reader.tokens - before == before - common_prefix(rows)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.lists(st.integers(3, 5), min_size=1, max_size=12), min_size=1, max_size=12))
def test_clusters_divide_all_rows_and_their_members_begin_alike(rows):
    found = clusters(rows)
    assert sorted(i for group in found for i in group) == list(range(len(rows)))
    assert all(common_prefix([rows[i] for i in group]) > 0 for group in found if len(group) > 1)


def adapter_on(folder, place, seed):
    """Save a small LoRA adapter whose second matrix is not zero, so that it changes what the model says."""
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(seed)
    base = AutoModelForCausalLM.from_pretrained(folder)
    config = LoraConfig(r=2, lora_alpha=4, target_modules="all-linear", task_type="CAUSAL_LM", init_lora_weights=False)
    get_peft_model(base, config).save_pretrained(place)
    return place


def test_adapters_are_merged_in_their_order_and_held_against_the_adapter_beside_the_base(folder, tmp_path):
    model = find_model(str(folder))
    first, second = adapter_on(folder, tmp_path / "one", 1), adapter_on(folder, tmp_path / "two", 2)
    probes = parity.check_trained(model, first)
    assert max(abs(p.adapter - p.base) for p in probes) > 0.01
    assert max(abs(p.adapter - p.merged) for p in probes) < 1e-4
    both = ModelRef(model.name, model.path, model.digest, (first, second))
    engine = TransformersEngine(both, with_settings())
    with pytest.raises(EngineError, match=r"log p differs by \d"):
        parity.check_engine(engine, [p.adapter for p in probes], "float32")
    plain = load_model(ModelRef(model.name, model.path, model.digest, (first,)), "float32")
    assert parity.plain_values(*plain) == pytest.approx([p.adapter for p in probes], abs=1e-4)


def test_the_reference_of_a_base_is_computed_once(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("ISHEEP_CACHE", str(tmp_path))
    model = find_model(str(folder))
    first = parity.base_values(model)
    (kept,) = (tmp_path / "parity").glob("*.json")
    before = kept.stat().st_mtime_ns
    assert parity.base_values(model) == first
    assert kept.stat().st_mtime_ns == before
    whole = kept.read_bytes()
    for content in [b"", b"[]", b"null", b"{", b"\xff", b"[" * 100_000, b"9" * 5000, whole[:40]]:
        kept.write_bytes(content)
        assert parity.base_values(model) == first
        assert kept.read_bytes() == whole


@pytest.mark.parametrize("batch_tokens", [64, 4096])
def test_choices_of_one_question_score_as_each_does_alone(folder, batch_tokens):
    engine = TransformersEngine(find_model(str(folder)), with_settings(batch_tokens=batch_tokens))
    draw = random.Random(3)
    questions = [" ".join(draw.choices(WORDS, k=number)) for number in (1, 9, 30, 30, 45)]
    pairs = [(text, " " + " ".join(draw.choices(WORDS, k=k))) for text in questions for k in (1, 1, 4, 12)]
    alone = [engine.logprobs([pair])[0] for pair in pairs]
    order = draw.sample(range(len(pairs)), len(pairs))
    for number, (value, tokens) in zip(order, engine.logprobs([pairs[i] for i in order]), strict=True):
        assert (value, tokens) == (pytest.approx(alone[number][0], abs=2e-4), alone[number][1])


def test_scores_are_float32_where_the_weights_are_not(folder):
    whole, half = (
        TransformersEngine(find_model(str(folder)), with_settings(inference_dtype=dtype)) for dtype in ("float32", "bfloat16")
    )
    pairs = [("the old river", " " + word) for word in WORDS[:24]]
    values = [value for value, _ in half.logprobs(pairs)]
    assert len(set(values)) > 16, "logits near one another fell together"
    assert values == pytest.approx([value for value, _ in whole.logprobs(pairs)], abs=0.05)
