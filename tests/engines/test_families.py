"""Models of families that name limits, caches and positions in their own ways: what serves one serves all."""

import json
import shutil
from pathlib import Path

import pytest
from transformers import AutoTokenizer

from isheep_lib.engines import parity
from isheep_lib.engines.params import Model
from isheep_lib.engines.protocol import Request
from isheep_lib.engines.tokens import load_vocabulary
from isheep_lib.engines.transformers_engine import TransformersEngine
from isheep_lib.errors import ModelError
from isheep_lib.models.base import find_model
from isheep_lib.prompting.chat import get_frame
from isheep_lib.record.rows import Pair
from isheep_lib.train.dataset import encode_row
from tests.claims import (  # noqa: F401 - the tests that hold engines against plain forward passes
    plain,
    prompts,
    test_a_text_depends_on_its_request_alone,
    test_greedy_text_is_that_of_the_library_up_to_ties,
    test_labels_get_their_probability_and_ten_is_not_one,
    test_log_probabilities_are_those_of_one_text_at_a_time,
    test_vectors_are_the_mean_of_the_final_layer,
)
from tests.conftest import WORDS
from tests.families import FAMILIES, SIZE, save_family
from tests.trainings import fine_tuned, laid_out

TRAINED = {"family-bloom": ["all-linear"], "family-gpt2": ["c_attn"], "family-mamba": ["in_proj", "x_proj"]}


@pytest.fixture(scope="module", params=FAMILIES)
def folder(request, once):
    return once(f"family-{request.param}", lambda path: save_family(path, request.param))


@pytest.fixture(scope="module")
def words():
    return WORDS


@pytest.fixture(scope="module")
def engine(folder):
    settings = Model(inference_dtype="float32", context_tokens=400, batch_tokens=256, cache_tokens=200)
    return TransformersEngine(find_model(str(folder)), settings)


def test_every_family_can_be_exact(folder, engine):
    exact = TransformersEngine(find_model(str(folder)), Model(inference_dtype="float32", numerics="exact", context_tokens=400))
    pairs = [("why the river", " the city"), ("why the river", " bread"), ("", "the old garden")]
    found, close = (one.logprobs(pairs) for one in (exact, engine))
    assert [number for _, number in found] == [number for _, number in close]
    assert [total for total, _ in found] == pytest.approx([total for total, _ in close], abs=3e-4)
    assert exact.facts()["numerics"]["undecided"] == []


def test_an_adapter_is_learned_and_merged_and_says_the_same(folder, tmp_path):
    layers = TRAINED.get(folder.name)
    if layers is None:
        pytest.skip("trains like Llama, see tests/train")
    layout = laid_out(folder, epochs=1)
    trained = fine_tuned(folder, tmp_path, epochs=1, target_modules=layers)
    assert trained.trainable > 0
    assert any("loss" in row for row in trained.log)
    probes = parity.check_trained(layout.model, tmp_path / "out" / "adapter")  # an EngineError where merging changes texts
    assert any(abs(probe.adapter - probe.base) > 1e-4 for probe in probes)


def write(folder, name, **changes):
    path = folder / name
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def own_context(folder, asked=0):
    return load_vocabulary(find_model(str(folder)), asked).context


@pytest.mark.parametrize("family", ["mpt", "gpt2", "phi3"])
def test_the_limit_is_found_under_the_familys_own_name(once, family):
    folder = once(f"family-{family}", lambda path: save_family(path, family))
    assert own_context(folder) == 512
    with pytest.raises(ModelError, match="context_tokens is 513"):
        own_context(folder, 513)


def test_a_model_without_a_limit_takes_the_one_given_and_asks_for_it_otherwise(once):
    folder = once("family-bloom", lambda path: save_family(path, "bloom"))
    assert own_context(folder, 3000) == 3000
    with pytest.raises(ModelError, match="names no limit") as caught:
        own_context(folder)
    assert str(folder / "config.json") in caught.value.where
    assert "model.context_tokens" in caught.value.do


@pytest.fixture
def copied(once, tmp_path):
    made = once("family-phi3", lambda path: save_family(path, "phi3"))
    return Path(shutil.copytree(made, tmp_path / "model"))


def test_a_limit_that_only_the_file_or_the_tokenizer_names_is_taken(once, tmp_path):
    made = once("family-bloom", lambda path: save_family(path, "bloom"))
    folder = Path(shutil.copytree(made, tmp_path / "model"))
    write(folder, "tokenizer_config.json", model_max_length=700)
    assert own_context(folder) == 700
    write(folder, "config.json", seq_length=900)
    assert own_context(folder) == 900


@pytest.mark.parametrize("pad", [SIZE, SIZE + 5, -1, None])
def test_a_pad_token_beyond_the_embedding_disturbs_nothing(copied, pad):
    expected = answers(copied)
    write(copied, "config.json", pad_token_id=pad)
    assert answers(copied) == expected


def test_a_pad_token_that_the_tokenizer_added_beyond_the_embedding_disturbs_nothing(copied, tmp_path):
    expected = answers(copied)
    tokenizer = AutoTokenizer.from_pretrained(copied)
    tokenizer.add_special_tokens({"pad_token": "[PAD]"})
    tokenizer.save_pretrained(copied)
    assert tokenizer.pad_token_id == SIZE
    assert answers(copied) == expected
    fine_tuned(copied, tmp_path, epochs=1)


def answers(folder):
    engine = TransformersEngine(find_model(str(folder)), Model(inference_dtype="float32", context_tokens=200))
    asked = [Request(f"r{i}", " ".join(WORDS[i : 2 * i + 3]), 8, 0.0) for i in range(4)]
    texts = [c for group in engine.generate(engine.batches(asked)) for c in group]
    return texts, engine.logprobs([("the", "a one"), ("red small old", "two")]), engine.embed(["the", "a one two"]).tolist()


PHI3 = (
    "{% for m in messages %}{{ '<|' + m['role'] + '|>\\n' + m['content'] + '<|end|>\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>\\n' }}{% else %}{{ eos_token }}{% endif %}"
)


def with_template(folder, template, tokens=("<|end|>",)):
    """Put tokens in the place of words, so that the embedding still has them."""
    path = folder / "tokenizer.json"
    text = path.read_text()
    for word, token in zip(("steps", "reasons"), tokens, strict=False):
        text = text.replace(f'"{word}"', json.dumps(token))
    path.write_text(text)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.add_special_tokens({"additional_special_tokens": list(tokens)})
    tokenizer.chat_template = template
    tokenizer.save_pretrained(folder)
    return tokenizer


@pytest.mark.parametrize("generation", [True, False])
def test_the_token_that_a_template_puts_after_an_answer_ends_it_whatever_other_files_say(copied, generation):
    if not generation:
        (copied / "generation_config.json").unlink()
    tokenizer = with_template(copied, PHI3)
    end = tokenizer.convert_tokens_to_ids("<|end|>")
    assert end < SIZE
    assert get_frame("tokenizer", "", tokenizer).end == "<|end|>"
    vocabulary = load_vocabulary(find_model(str(copied)))
    assert vocabulary.ends == (2, end)
    completion = vocabulary.completion(Request("r", "the", 9), [20, 21, end])
    assert (completion.finish, completion.stopped_by) == ("end", "<|end|>")
    row = encode_row(Pair("p", "the", "", "a one"), get_frame("tokenizer", "", tokenizer), tokenizer, 100)
    assert row.input_ids[-1] == end
    assert row.input_ids[row.read :] == [tokenizer.convert_tokens_to_ids(word) for word in ("a", "one", "<|end|>")]


def test_every_file_that_names_an_end_is_heard_and_none_at_all_is_told(copied):
    write(copied, "generation_config.json", eos_token_id=[7, SIZE + 3])
    write(copied, "config.json", eos_token_id=8)
    assert load_vocabulary(find_model(str(copied))).ends == (7, 8, 2)
    (copied / "generation_config.json").unlink()
    write(copied, "config.json", eos_token_id=None)
    write(copied, "tokenizer_config.json", eos_token=None)
    with pytest.raises(ModelError, match="Nothing ends an answer") as caught:
        load_vocabulary(find_model(str(copied)))
    assert "generation_config.json" in caught.value.where
