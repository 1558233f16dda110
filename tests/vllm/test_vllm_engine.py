"""The vLLM engine with the real embedded model on a CPU, against transformers' own forward passes."""

import json

import psutil
import pytest
import torch
from transformers import AutoModelForCausalLM

from isheep_lib.engines import vllm_engine
from isheep_lib.engines.generate import ask
from isheep_lib.engines.params import Model
from isheep_lib.engines.protocol import Request
from isheep_lib.engines.vllm_engine import VllmEngine
from isheep_lib.engines.vllm_setup import check_installed
from isheep_lib.errors import EngineError
from isheep_lib.models.base import ModelRef, find_model
from isheep_lib.models.merged import merged_folder
from tests.claims import *  # noqa: F403 - the tests of every engine
from tests.conftest import WORDS

CONTEXT = 1024
TIE = 1e-3  # nats between the two best tokens


def installed():
    try:
        check_installed()
    except EngineError:
        return False
    return True


pytestmark = [pytest.mark.vllm, pytest.mark.skipif(not installed(), reason="vllm is not installed (make setup-vllm)")]


def settings(**changes):
    return Model(engine="vllm", inference_dtype="float32", context_tokens=CONTEXT, **changes)


@pytest.fixture(scope="module")
def model():
    return find_model("embedded:smollm2-135m-instruct")


@pytest.fixture(scope="module")
def folder(model):
    return model.path


@pytest.fixture(scope="module")
def words():
    return WORDS


@pytest.fixture(scope="module")
def engine(model):
    engine = VllmEngine(model, settings())
    yield engine
    engine.close()


@pytest.fixture(scope="module")
def adapted(model, tmp_path_factory):
    """A model with an adapter of random weights, large enough to change what it says."""
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(5)
    base = AutoModelForCausalLM.from_pretrained(model.path, dtype=torch.float32)
    adapted = get_peft_model(base, LoraConfig(r=4, lora_alpha=8, target_modules="all-linear"))
    for name, weights in adapted.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weights, std=0.01)
    folder = tmp_path_factory.mktemp("trained") / "adapter"
    adapted.save_pretrained(folder)
    config = json.loads((folder / "adapter_config.json").read_text())
    (folder / "adapter_config.json").write_text(json.dumps(config | {"base_model_name_or_path": model.name}))
    return ModelRef(model.name, model.path, model.digest, (folder,))


def chat(task):
    return f"<|im_start|>user\n{task}<|im_end|>\n<|im_start|>assistant\n"


def requests(number, temperature=1.0, tokens=24, stop=()):
    tasks = ["Name a river.", "Write a title for a book about bread.", "What is two plus two?", "Describe an old garden."]
    prompts = [chat(f"{tasks[i % 4]} Use at most {i + 3} words.") for i in range(number)]
    return [Request(f"r{i}", prompt, tokens, temperature, 0.95, 100 + i, stop) for i, prompt in enumerate(prompts)]


def run(engine, asked):
    return {c.id: c for group in engine.generate(engine.batches(asked)) for c in group}


def plain_logs(plain, tokens):
    with torch.inference_mode():
        return plain(torch.tensor([tokens])).logits[0].double().log_softmax(-1)


def assert_same_up_to_a_tie(plain, engine, request, ours, theirs):
    """Two greedy texts may part only where the two best tokens are as good as equal."""
    ours, theirs = (engine.tokenizer(text, add_special_tokens=False)["input_ids"] for text in (ours, theirs))
    parted = next((i for i, (a, b) in enumerate(zip(ours, theirs, strict=False)) if a != b), None)
    if parted is None:
        assert ours == theirs
        return
    best = plain_logs(plain, engine.vocabulary.encode(request.prompt) + theirs[:parted])[-1].topk(2).values
    assert best[0] - best[1] < TIE


def test_each_way_to_end_is_named(engine):
    (long,) = requests(1, 0.0, tokens=3)
    assert (ask(engine, long).finish, ask(engine, long).num_tokens, ask(engine, long).stopped_by) == ("length", 3, "")
    short = Request("short", chat("Name the capital of France."), 64)
    ended = ask(engine, short)
    assert (ended.finish, ended.stopped_by) == ("end", "<|im_end|>")
    assert "<|im_end|>" not in ended.text
    assert ended.num_tokens == len(engine.tokenizer(ended.text, add_special_tokens=False)["input_ids"]) + 1
    word = ended.text.split()[1]
    stopped = ask(engine, Request("stopped", short.prompt, 64, stop=("no such text", word)))
    assert (stopped.finish, stopped.stopped_by) == ("stop", word)
    assert stopped.text == ended.text[: ended.text.index(word)]
    assert stopped.num_tokens < ended.num_tokens
    special = ask(engine, Request("special", short.prompt, 64, stop=("<|im_end|>", "no such text")))
    assert (special.text, special.finish, special.stopped_by) == (ended.text, "end", "<|im_end|>")


def test_a_temperature_that_vllm_refuses_is_named_before_anything_runs(engine):
    with pytest.raises(EngineError, match="up to 2"):
        engine.batches(requests(2, temperature=2.5))


def test_work_is_told_and_an_abandoned_generation_is_aborted(engine, monkeypatch):
    monkeypatch.setattr(vllm_engine, "PAUSE_SECONDS", 0.0)
    monkeypatch.setattr(vllm_engine, "REPORT_TOKENS", 2)
    told = []
    asked = [*requests(2, 0.0, tokens=60), Request("first", chat("Name a river."), 3)]
    generation = engine.generate(engine.batches(asked), told.append)
    (first,) = next(generation)
    assert first.id == "first"
    assert 0 < told[-1] <= 1 + 2 * 6 / 60
    generation.close()
    assert not engine._open("generate").llm_engine.has_unfinished_requests()


def test_an_adapted_model_says_what_the_merged_model_says(engine, adapted, tmp_path, monkeypatch):
    monkeypatch.setenv("ISHEEP_CACHE", str(tmp_path))
    asked = requests(3, 0.0)
    bare, base = run(engine, asked), engine.logprobs([("a", "b")])
    engine.close()  # one vLLM at a time
    trained = VllmEngine(adapted, settings())
    texts = run(trained, asked)
    assert trained.facts()["adapters"] == "merged"
    assert trained.logprobs([("a", "b")]) != base
    trained.close()
    merged = AutoModelForCausalLM.from_pretrained(merged_folder(adapted), dtype=torch.float32)
    assert {c.text for c in texts.values()} != {c.text for c in bare.values()}
    for request in asked:
        tokens = engine.vocabulary.encode(request.prompt)
        found = merged.generate(torch.tensor([tokens]), max_new_tokens=request.max_new_tokens, do_sample=False)
        plain = engine.tokenizer.decode(found[0, len(tokens) :], skip_special_tokens=True)
        assert_same_up_to_a_tie(merged, engine, request, texts[request.id].text, plain)


def test_closing_leaves_no_process_and_no_model_behind(engine):
    run(engine, requests(1))
    before = psutil.Process().memory_info().rss
    engine.close()
    assert psutil.Process().children(recursive=True) == []
    assert psutil.Process().memory_info().rss < before - 2**30  # two gigabytes of cache, half of one of weights
