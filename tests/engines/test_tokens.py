"""What engines and training make of a tokenizer that closes every text by itself: the same as of one that does not."""

import math
import shutil

import pytest
from tokenizers.processors import TemplateProcessing
from transformers import AutoTokenizer

from isheep_lib.engines.generate import overlong
from isheep_lib.engines.params import Model
from isheep_lib.engines.protocol import Request
from isheep_lib.engines.tokens import Labels, digest_own_frame
from isheep_lib.engines.transformers_engine import TransformersEngine
from isheep_lib.errors import ParameterError
from isheep_lib.models.base import find_model
from isheep_lib.params.check import check

DATED = (
    "{% for m in messages %}{% if loop.first %}Today is {{ strftime_now('%d %b %Y') }}.{% endif %}"
    "<|im_start|>{{ m['content'] }}<|im_end|>{% endfor %}"
)


@pytest.fixture
def closing(tiny_model, tmp_path):
    """Return the tiny model with a tokenizer that puts an end token behind every text."""
    folder = shutil.copytree(tiny_model, tmp_path / "closing")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    end = TemplateProcessing(
        single="$A <|im_end|>", pair="$A $B <|im_end|>", special_tokens=[("<|im_end|>", tokenizer.eos_token_id)]
    )
    tokenizer.backend_tokenizer.post_processor = end
    tokenizer.save_pretrained(folder)
    assert AutoTokenizer.from_pretrained(folder)("the river")["input_ids"][-1] == tokenizer.eos_token_id
    return folder


def test_a_tokenizer_that_closes_texts_changes_nothing_that_an_engine_computes(tiny_model, closing):
    settings = Model(inference_dtype="float32", cache_tokens=4096)
    plain, other = (TransformersEngine(find_model(str(folder)), settings) for folder in (tiny_model, closing))
    pairs = [("describe the river", " old red small"), ("", "the quiet city"), ("count", " three")]
    asked = [Request("a", "describe the river", 12, 1.0, seed=3), Request("b", "name one garden", 12)]

    def computed(engine):
        written = {c.id: c for part in engine.generate(engine.batches(asked)) for c in part}
        return (
            engine.logprobs(pairs),
            written,
            engine.choices(["give a number"], ["1", "2"]),
            engine.embed(["the city"]).tolist(),
        )

    assert computed(other) == computed(plain)


def test_what_leaves_no_room_in_the_context_is_named_with_its_tokens(tiny_model):
    engine = TransformersEngine(find_model(str(tiny_model)), Model(inference_dtype="float32", context_tokens=10))
    assert engine.context == 10
    texts = {"short": "the river", "fits": "the " * 6, "long": "the " * 7}
    assert overlong(engine, texts, 4) == {"long": "7 tokens and 4 more, the model's context is 10"}


@pytest.fixture
def dated(tiny_model, tmp_path):
    """Return the tiny model with a template that writes today's date."""
    folder = shutil.copytree(tiny_model, tmp_path / "dated")
    (folder / "chat_template.jinja").write_text(DATED)
    return find_model(str(folder))


def test_a_models_own_frame_has_a_digest_that_changes_with_the_day_where_it_writes_the_day(dated):
    assert digest_own_frame(dated, "", "2024-07-26") != digest_own_frame(dated, "", "2024-07-27")
    (dated.path / "chat_template.jinja").write_text(DATED.replace("Today is {{ strftime_now('%d %b %Y') }}.", ""))
    undated = find_model(dated.name)
    assert digest_own_frame(undated, "", "2024-07-26") == digest_own_frame(undated, "", "2024-07-27")


@pytest.mark.parametrize("value", ["", "today", "26.7.2024", "2024-7-26", "20240726", "2024-02-30", 20240726, None])
def test_a_template_date_is_a_day_written_in_one_way(value):
    with pytest.raises(ParameterError, match=r"template_date"):
        check(Model, {"template_date": value}, "x.yaml")


def test_a_small_difference_of_probabilities_says_how_uncertain_it_is():
    labels = Labels((5,), ((5,), (6,), (5, 7)))  # "1", "2" and "10"
    log = math.log
    known = {(0, 0, 5): log(0.5), (0, 0, 6): log(0.5), (0, 1, 7): log(1 - 1e-6)}
    logs, grown = labels.combined(known, 1)
    assert logs[0] == pytest.approx([log(0.5e-6), log(0.5), log(0.5) + log(1 - 1e-6)], rel=1e-9)
    assert grown[0] == pytest.approx([2e6, 1.0, 2.0], rel=1e-3)  # 1 of 5e-7 is left of two times 0.5; two tokens, two errors
    moved, _ = labels.combined({**known, (0, 0, 5): log(0.5) + 1e-12}, 1)
    assert abs(moved - logs)[0][0] < 1e-12 * grown[0][0]
