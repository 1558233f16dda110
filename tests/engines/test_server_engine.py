"""The server engine against a scripted server: what is sent, what is made of answers, and every way to fail."""

import asyncio
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from tenacity import wait_random_exponential

from isheep_lib.engines.generate import ask
from isheep_lib.engines.open import open_engine, preflight
from isheep_lib.engines.parity import PROBES
from isheep_lib.engines.protocol import Request
from isheep_lib.engines.server_engine import ServerEngine
from isheep_lib.engines.servers.discovery import served_name
from isheep_lib.errors import DataError, EngineError, ModelError
from isheep_lib.iterate import run_params
from isheep_lib.models.base import ModelRef, find_model
from isheep_lib.record.rows import digest_file, digest_text

KEY = "a-key-that-nobody-may-see"
DROP, DIE = "drop", "die"
END = 2


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # head and body are written apart, and each answer would wait 40 ms

    def do_GET(self):
        self.server.scripted.get(self)

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.scripted.post(self, body)

    def log_message(self, *args):
        pass


class Scripted:
    """A server that answers like vLLM, unless `script(number of the request, body)` returns something else."""

    def __init__(self, name="tiny", script=None, models=None, key=None, shift=0.0, text_only=False, seconds=0.0):
        self.script, self.key, self.shift = script or (lambda number, body: None), key, shift
        self.text_only, self.seconds = text_only, seconds
        self.models = (200, {"data": [{"id": name, "max_model_len": 512}]}) if models is None else models
        self.asked, self.answered, self.dead, self.lock = [], [], False, threading.Lock()
        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads, self.http.scripted = True, self
        self.http.handle_error = lambda *_: None  # a client that went away
        self.url = f"http://127.0.0.1:{self.http.server_port}/v1"
        threading.Thread(target=self.http.serve_forever, args=(0.02,), daemon=True).start()

    def send(self, handler, status, content, headers=()):
        data = content.encode() if isinstance(content, str) else json.dumps(content).encode()
        handler.send_response(status)
        for name, value in [*headers, ("Content-Length", str(len(data)))]:
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(data)

    def allowed(self, handler):
        if self.dead:
            handler.close_connection = True
        elif self.key is not None and handler.headers.get("Authorization") != f"Bearer {self.key}":
            self.send(handler, 401, {"error": f"bad {handler.headers.get('Authorization')}"})
        else:
            return True
        return False

    def get(self, handler):
        if handler.path == "/version":
            self.send(handler, 200, {"version": "0.0.1"})
        elif self.allowed(handler):
            self.send(handler, *self.models)

    def post(self, handler, body):
        if not self.allowed(handler):
            return
        with self.lock:
            probing = "prompt_logprobs" in body
            number = len(self.asked)
            if not probing:
                self.asked.append(body)
            told = None if probing else self.script(number, body)
            self.dead = self.dead or told == DIE
        time.sleep(0.0 if probing else self.seconds)
        if told in (DROP, DIE) or self.dead:
            handler.close_connection = True
            return
        self.send(handler, *(told or (200, self.answer(handler.path, body))))
        if not told and not probing:
            with self.lock:
                self.answered.append(body)

    def answer(self, path, body):
        if path.endswith("/embeddings"):
            return {"data": [{"embedding": [float(len(body["input"])), 0.5, -2.0]}]}
        if "prompt_logprobs" in body:
            listed = [None, *({str(t): {"logprob": logp(t) + self.shift}} for t in body["prompt"][1:])]
            return {"choices": [{"text": "", "finish_reason": "length", "prompt_logprobs": listed}]}
        if "logprob_token_ids" in body:
            top = {} if self.text_only else {f"token_id:{t}": logp(t) for t in body["logprob_token_ids"]}
            return {"choices": [{"text": "", "finish_reason": "length", "logprobs": {"top_logprobs": [top]}}]}
        tokens = [*written(body["prompt"], body["seed"]), END]
        choice = {"text": " ".join(WORDS[t] for t in tokens[:-1]), "finish_reason": "stop"}
        extra = {} if self.text_only else {"token_ids": tokens, "stop_reason": None}
        return {"choices": [{**choice, **extra}], "usage": {"completion_tokens": len(tokens)}}


def logp(token):
    return -0.1 - 0.01 * token


def written(prompt, seed):
    """Some words that depend on prompt and seed alone."""
    return [20 + (sum(prompt) + seed + i) % 30 for i in range(3)]


WORDS: dict[int, str] = {}


@pytest.fixture(scope="module")
def model(tiny_model):
    found = find_model(str(tiny_model))
    from transformers import AutoTokenizer

    WORDS.update({i: word for word, i in AutoTokenizer.from_pretrained(tiny_model).get_vocab().items()})
    return found


@pytest.fixture(autouse=True)
def no_key(monkeypatch):
    monkeypatch.delenv("ISHEEP_SERVER_KEY", raising=False)


@pytest.fixture
def serve():
    started = []

    def start(**options):
        started.append(Scripted(**options))
        return started[-1]

    yield start
    for server in started:
        server.http.shutdown()
        server.http.server_close()


@pytest.fixture
def engine(model):
    opened = []

    def start(*servers, **values):
        opened.append(ServerEngine(model, settings(*servers, **values), wait_random_exponential(0.01, 0.05)))
        return opened[-1]

    yield start
    for each in opened:
        each.close()


def settings(*servers, **values):
    urls = [server if isinstance(server, str) else server.url for server in servers]
    given = {"engine": "server", "base_urls": urls, "served_model": "tiny", "inference_dtype": "float32"}
    return run_params.Model(**{**given, "concurrency": 3, "timeout_seconds": 30, "request_seconds": 30, **values})


def requests(count, **more):
    return [Request(f"r{i}", f"write {i % 9 + 1} ideas", 8, 0.7, 0.9, seed=i, **more) for i in range(count)]


def generate(engine, wanted):
    return [completion for group in engine.generate(engine.batches(wanted)) for completion in group]


def everything(engine, wanted):
    """Every request answered exactly once, with the text that belongs to it."""
    found = generate(engine, wanted)
    assert sorted(c.id for c in found) == sorted(r.id for r in wanted)
    texts = {c.id: c.text for c in found}
    for request in wanted:
        expected = " ".join(WORDS[t] for t in written(engine.vocabulary.encode(request.prompt), request.seed))
        assert texts[request.id] == expected
    return found


def unreachable():
    return "http://127.0.0.1:1/v1"


def test_a_request_travels_as_token_ids_with_its_sampling_and_comes_back_by_token_ids(engine, serve, model):
    server = serve()
    opened = engine(server)
    completion = ask(opened, Request("r1", "write three ideas", 8, 0.7, 0.9, 5, stop=("<|im_end|>", "###")))
    (body,) = server.asked
    assert body["prompt"] == opened.vocabulary.encode("write three ideas")
    sent = {k: body[k] for k in ("model", "max_tokens", "temperature", "top_p", "seed", "stop", "stop_token_ids")}
    assert sent == {
        "model": "tiny",
        "max_tokens": 8,
        "temperature": 0.7,
        "top_p": 0.9,
        "seed": 5,
        "stop": ["<|im_end|>", "###"],
        "stop_token_ids": [END],
    }
    # The model's generation_config must not add to a request.
    assert (body["top_k"], body["repetition_penalty"], body["add_special_tokens"]) == (-1, 1.0, False)
    assert (completion.finish, completion.num_tokens, completion.stopped_by) == ("end", 4, "<|im_end|>")


@pytest.mark.parametrize(
    ("choice", "finish", "text", "by"),
    [
        ({"text": "two red", "finish_reason": "stop", "stop_reason": None}, "end", "two red", "<|im_end|>"),
        ({"text": "two red", "finish_reason": "stop", "stop_reason": END}, "end", "two red", "<|im_end|>"),
        ({"text": "two red", "finish_reason": "stop", "stop_reason": "###"}, "stop", "two red", "###"),
        ({"text": "two### red", "finish_reason": "stop"}, "stop", "two", "###"),
        ({"text": "two### red", "finish_reason": "length"}, "stop", "two", "###"),
        ({"text": "two red", "finish_reason": "stop"}, "stop", "two red", ""),
        ({"text": "two<|im_end|> red", "finish_reason": "length"}, "end", "two", "<|im_end|>"),
        ({"text": "two red", "finish_reason": "length"}, "length", "two red", ""),
        ({"text": "x", "finish_reason": "length", "token_ids": [20] * 8}, "length", " ".join(["letter"] * 8), ""),
        ({"text": "two red", "finish_reason": "eos_token"}, "end", "two red", "<|im_end|>"),
        ({"text": "two red", "finish_reason": None}, "length", "two red", ""),  # all tokens that it was allowed
        # The server ended it by a token that is none of our ends.
        ({"text": "x", "finish_reason": "stop", "token_ids": [20, 21], "stop_reason": 21}, "end", "x", "number"),
    ],
)
def test_answers_mean_the_same_with_and_without_token_ids(engine, serve, choice, finish, text, by):
    answer = {"choices": [choice], "usage": {"completion_tokens": 8}}
    opened = engine(serve(script=lambda number, body: (200, answer)))
    decoded = {20: opened.tokenizer.decode([20]), 21: opened.tokenizer.decode([21])}
    found = ask(opened, Request("r1", "write", 8, stop=("###", "<|im_end|>")))
    assert (found.finish, found.text, found.stopped_by, found.num_tokens) == (
        finish,
        text.replace("letter", decoded[20]),
        by.replace("number", decoded[21]),
        8,
    )


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ({"choices": [{"text": "x", "finish_reason": "content_filter"}]}, "ended by 'content_filter'"),
        ({"choices": []}, "without any choice"),
        ({"choices": [{"text": "x", "finish_reason": "odd"}]}, "tells neither whether it is whole or cut"),
        ({"choices": [{"text": "x", "finish_reason": "length", "token_ids": [20, 21]}]}, "after 2 of 8 tokens"),
    ],
)
def test_an_answer_that_means_something_else_stops_the_stage_and_names_the_record(engine, serve, answer, said):
    opened = engine(serve(script=lambda number, body: (200, answer)))
    with pytest.raises(EngineError, match=said) as caught:
        generate(opened, requests(1))
    assert "r0" in str(caught.value)


def test_a_server_without_token_ids_gives_the_same_texts(engine, serve):
    everything(engine(serve(text_only=True)), requests(5))


def once(*told):
    """Answer the first requests by what is told, all later ones normally."""
    return lambda number, body: told[number] if number < len(told) else None


@pytest.mark.parametrize(
    "first",
    [
        (429, {"error": {"message": "busy"}}, [("Retry-After", "0.05")]),
        (429, {"error": {"message": "busy"}}, [("Retry-After", "Wed, 21 Oct 2015 07:28:00 GMT")]),
        (408, "late"),
        (500, "<html>oops</html>"),
        (503, {"detail": "loading"}),
        (200, "this is no JSON"),
        (200, '{"choices": ' + "[" * 100_000, [("Content-Type", "application/json")]),
        (200, '{"choices": ' + "[" * 100_000 + "]" * 100_000 + "}", [("Content-Type", "application/json")]),
        (200, '{"created": ' + "9" * 5000 + "}", [("Content-Type", "application/json")]),
        (200, '{"choices": [', [("Content-Type", "application/json")]),
        (200, {"choices": [{"text": "", "finish_reason": "abort"}]}),
        DROP,
    ],
)
def test_what_passes_is_tried_again(engine, serve, first):
    everything(engine(serve(script=once(first, first))), requests(6))


def test_retry_after_is_waited_for_while_the_other_server_works(engine, serve):
    busy = serve(script=lambda number, body: (429, "busy", [("Retry-After", "60")]))
    free = serve()
    everything(engine(busy, free), requests(30))
    assert len(free.answered) == 30
    assert len(busy.asked) <= 3  # those in flight together


def test_two_servers_share_the_work_and_a_slow_one_does_not_hold_the_others(engine, serve):
    slow, quick = serve(seconds=0.4), serve(seconds=0.01)
    everything(engine(slow, quick), requests(40))
    assert slow.answered
    assert len(quick.answered) > 3 * len(slow.answered)


def test_all_requests_of_a_server_that_dies_midway_are_answered_by_the_other_each_once(engine, serve):
    dying = serve(script=lambda number, body: DIE if number == 5 else None, seconds=0.01)
    living = serve(seconds=0.01)
    everything(engine(dying, living), requests(60))
    assert len(dying.answered) + len(living.answered) == 60
    assert len(dying.answered) <= 5


def test_a_server_that_comes_back_is_used_again_after_its_weights_were_checked(engine, serve):
    first, second = serve(seconds=0.02), serve(seconds=0.02)
    opened = engine(first, second)
    opened.probe()
    first.dead = True
    found = opened.generate(opened.batches(requests(80)))
    done = len(next(found))
    first.dead, before = False, len(first.answered)
    done += sum(len(group) for group in found)
    assert done == 80
    assert len(first.answered) > before


def test_a_server_that_comes_back_with_other_weights_stops_the_stage(engine, serve):
    first, second = serve(seconds=0.02), serve(seconds=0.02)
    opened = engine(first, second)
    opened.probe()
    first.dead = True
    found = opened.generate(opened.batches(requests(200)))
    next(found)
    first.dead, first.shift = False, -0.5
    with pytest.raises(EngineError, match=f"{first.url} serves other weights"):
        list(found)


def test_closing_the_generator_cancels_what_is_in_flight(engine, serve):
    server = serve(seconds=0.05)
    opened = engine(server)
    found = opened.generate(opened.batches(requests(100)))
    next(found)
    found.close()
    time.sleep(0.1)  # what was sent by then is read
    asked = len(server.asked)
    time.sleep(0.2)
    assert len(server.asked) == asked
    everything(opened, requests(2))


def test_closing_the_engine_ends_an_unfinished_generator(engine, serve):
    opened = engine(serve(seconds=0.05))
    found = opened.generate(opened.batches(requests(100)))
    next(found)
    opened.close()
    opened.close()
    found.close()


def test_requests_are_taken_as_they_are_needed(engine, serve):
    opened = engine(serve())
    taken = []

    def batches():
        for request in requests(500):
            taken.append(request.id)
            yield [request]

    found = opened.generate(batches())
    next(found)
    assert len(taken) < 100
    found.close()


def test_no_server_for_longer_than_patience_stops_the_stage_and_keeps_what_was_finished(engine, serve):
    server = serve(script=lambda number, body: DIE if number == 4 else None)
    opened = engine(server, timeout_seconds=1, concurrency=1)
    kept = []
    with pytest.raises(EngineError, match="No server answered for 1 s") as caught:
        for group in opened.generate(opened.batches(requests(20))):
            kept += group
    assert len(kept) == 4
    assert all(part in str(caught.value) for part in (server.url, "not reachable", "run again"))


def test_a_request_that_no_server_survives_is_named_after_all_others_are_answered(engine, serve):
    poison = lambda number, body: (500, "engine is dead") if body["seed"] == 3 else None  # noqa: E731
    opened = engine(serve(script=poison), serve(script=poison), timeout_seconds=1)
    kept = []
    with pytest.raises(EngineError, match=r"r3: .*engine is dead"):
        for group in opened.generate(opened.batches(requests(20))):
            kept += group
    assert len(kept) == 19


def test_a_refused_request_stops_the_stage_at_once_with_record_and_message(engine, serve):
    refuse = lambda number, body: (400, {"error": {"message": "too long for me"}}) if body["seed"] == 2 else None  # noqa: E731
    with pytest.raises(EngineError, match=r"r2 with status 400: too long for me"):
        generate(engine(serve(script=refuse)), requests(5))


@pytest.mark.parametrize("name", ["seed", "temperature", "top_p"])
def test_a_server_that_refuses_a_parameter_is_not_asked_without_it(engine, serve, name):
    server = serve(script=lambda number, body: (400, {"error": {"message": f"Unknown: {name}", "param": name}}))
    with pytest.raises(EngineError, match=f"Unknown: {name}") as caught:
        generate(engine(server, concurrency=1), requests(1))
    assert "nothing is left out of what a record rests on" in str(caught.value)
    assert all(name in body for body in server.asked)


def test_a_server_that_is_away_at_the_start_is_tolerated(engine, serve):
    server = serve()
    opened = engine(unreachable(), server)
    everything(opened, requests(6))
    assert opened.facts()["servers"] == 1


def test_a_server_of_another_model_is_not_used(engine, serve):
    other, right = serve(name="other"), serve()
    everything(engine(other, right), requests(6))
    assert not other.asked


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            {"name": "other"},
            ["No server serves 'tiny'", "serves other", "vllm serve", "--served-model-name tiny", "--dtype float32"],
        ),
        ({"models": (200, {"data": []})}, ["serves nothing"]),
        ({"models": (200, "<html>hello</html>")}, ["no OpenAI-compatible server", "base_urls"]),
        ({"models": (200, {"models": []})}, ["no OpenAI-compatible server"]),
        ({"models": (404, {"detail": "Not Found"})}, ["no OpenAI-compatible server (status 404)", "/v1"]),
        ({"models": (503, "loading")}, ["No server is reachable", "503"]),
        ({"key": KEY}, ["ISHEEP_SERVER_KEY is not set", "401"]),
    ],
)
def test_a_wrong_server_is_refused_before_the_stage(model, serve, options, said):
    server = serve(**options)
    with pytest.raises(EngineError) as caught:
        preflight(model, settings(server))
    assert all(part in str(caught.value) for part in [*said, server.url]), caught.value


def test_no_server_at_all_is_refused_with_the_command_that_starts_one(model):
    with pytest.raises(EngineError, match="No server is reachable") as caught:
        preflight(model, settings(unreachable(), served_model="", base_model=str(model.path)))
    assert f"vllm serve {model.path} --served-model-name {model.path}" in str(caught.value)


def test_one_right_server_passes_the_preflight(model, serve):
    preflight(model, settings(unreachable(), serve(name="other"), serve()))


def test_the_key_is_sent_and_never_shown(engine, serve, monkeypatch):
    monkeypatch.setenv("ISHEEP_SERVER_KEY", KEY)
    server = serve(key=KEY)
    opened = engine(server)
    everything(opened, requests(2))
    assert KEY not in json.dumps(opened.facts())
    echo = serve(key=KEY, script=lambda number, body: (400, {"error": {"message": f"what is {KEY}?"}}))
    with pytest.raises(EngineError, match=r"what is \[key\]") as refused:
        generate(engine(echo), requests(1))
    monkeypatch.setenv("ISHEEP_SERVER_KEY", KEY + "-old")
    with pytest.raises(EngineError, match="ISHEEP_SERVER_KEY is refused") as wrong:
        engine(server)
    monkeypatch.setenv("ISHEEP_SERVER_KEY", KEY + "é")
    with pytest.raises(EngineError, match="cannot be sent") as unsendable:
        engine(server)
    assert all(KEY not in str(caught.value) for caught in (refused, wrong, unsendable))


def test_a_server_that_repeats_the_key_in_its_version_names_and_texts_is_recorded_without_it(engine, serve, monkeypatch):
    monkeypatch.setenv("ISHEEP_SERVER_KEY", KEY)
    server = serve(key=KEY, models=(200, {"data": [{"id": "tiny", "max_model_len": 512}, {"id": f"tiny-{KEY}"}]}))
    listing = server.get
    told = (200, {"version": f"0.1 of {KEY}"})
    server.get = lambda handler: server.send(handler, *told) if handler.path == "/version" else listing(handler)
    server.script = lambda number, body: (200, {"choices": [{"text": f"I am {KEY}", "finish_reason": "stop"}], "usage": None})
    opened = engine(server)
    (found,) = generate(opened, requests(1))
    assert found.text == "I am [key]"
    assert opened.facts()["server_versions"] == ["0.1 of [key]"]


def test_a_key_for_other_services_is_not_sent(engine, serve, monkeypatch):
    for name in ("OPENAI_API_KEY", "OPENAI_ADMIN_KEY", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID"):
        monkeypatch.setenv(name, KEY)
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", f"X-Other: {KEY}\nAuthorization: Bearer {KEY}")
    server, sent = serve(), []
    allowed = server.allowed
    server.allowed = lambda handler: sent.append(str(handler.headers)) or allowed(handler)
    everything(engine(server), requests(2))
    assert len(sent) > 2
    assert not any(KEY in headers or "Authorization" in headers for headers in sent)


def test_servers_of_different_weights_are_refused_before_the_first_request(engine, serve):
    servers = [serve(), serve(shift=-0.2), serve()]
    with pytest.raises(EngineError, match=r"log p of a fixed text differs by 0.2000 nats per token") as caught:
        generate(engine(*servers), requests(3))
    assert servers[1].url in caught.value.what
    assert not any(server.asked for server in servers)


@pytest.mark.parametrize(("dtype", "agree"), [("float32", False), ("bfloat16", True)])
def test_the_tolerance_of_the_probe_is_that_of_the_number_format(engine, serve, dtype, agree):
    opened = engine(serve(), serve(shift=-0.01), inference_dtype=dtype)
    if agree:
        assert len(opened.probe()) == 2
    else:
        with pytest.raises(EngineError, match=r"0\.001 nats per token"):
            opened.probe()


def test_the_probe_is_part_of_the_facts_and_takes_other_texts(engine, serve):
    opened = engine(serve(), serve())
    assert "probe" not in opened.facts()
    values = opened.probe([("write three", "ideas")])
    assert list(values.values()) == [opened.logprobs([("write three", "ideas")])] * 2
    generate(opened, requests(1))
    assert opened.probe_values == values
    facts = {"engine": "server", "served": "tiny", "dtype": "float32", "servers": 2, "server_versions": ["0.0.1"]}
    assert opened.facts() == {**facts, "probe": [round(values[next(iter(values))][0][0], 4)]}
    assert len(opened.probe()[next(iter(values))]) == len(PROBES)


def test_log_probabilities_are_summed_over_the_continuation(engine, serve):
    opened = engine(serve())
    tokens = opened.vocabulary.encode_pair(("", "three ideas"))[1]
    expected = round(sum(logp(t) for t in tokens), 4)
    assert opened.logprobs([("write", "three ideas"), ("write", ""), ("", "three ideas")]) == [
        (expected, 2),
        (0.0, 0),
        (expected, 2),
    ]


@pytest.mark.parametrize("text_only", [False, True])
def test_choices_are_exact_with_and_without_the_extra_of_vllm(engine, serve, text_only):
    opened = engine(serve(text_only=text_only))
    found = opened.choices(["write", "count"], ["1", "2", "10"])
    tokens = [opened.tokenizer.convert_tokens_to_ids(label) for label in ("1", "2", "10")]
    assert found == [[round(logp(t), 6) for t in tokens]] * 2


def test_a_server_without_prompt_log_probabilities_is_refused(engine, serve, monkeypatch):
    monkeypatch.setattr(Scripted, "answer", lambda *_: {"choices": [{"text": "", "finish_reason": "length"}]})
    with pytest.raises(EngineError, match="no log-probabilities of a prompt"):
        engine(serve()).logprobs([("write", "three")])


def test_vectors_are_float32_in_the_order_of_the_texts(engine, serve):
    opened = engine(serve())
    vectors = opened.embed(["write", "write three ideas"])
    assert (vectors.dtype, vectors.shape) == ("float32", (2, 3))
    assert vectors[1, 0] > vectors[0, 0]


@pytest.mark.parametrize(
    "told", [(404, {"detail": "Not Found"}), (200, {"data": []}), (200, {"data": [{"embedding": [0.6, 0.8]}]})]
)
def test_a_server_that_does_not_embed_is_told_how_to(engine, serve, told):
    opened = engine(serve(script=lambda number, body: told))
    with pytest.raises(EngineError, match="--runner pooling --convert embed"):
        opened.embed(["write"])


def test_prompts_longer_than_the_server_takes_are_refused_before_anything_runs(engine, serve):
    opened = engine(serve())
    with pytest.raises(DataError, match=r"(?s)r0: .* at most 512"):
        opened.batches([Request("r0", "write " * 600, 8)])


def test_names_of_trained_models_hold_the_digest_of_their_adapters(tmp_path, model):
    base, adapters = settings("http://a/v1"), []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "adapter_model.safetensors").write_text(name)
        adapters.append(tmp_path / name)
    digests = [digest_file(adapter / "adapter_model.safetensors") for adapter in adapters]
    named = [served_name(ModelRef("x", model.path, "d", tuple(adapters[:count])), base) for count in range(3)]
    assert named == ["tiny", f"tiny-{digests[0][:12]}", f"tiny-{digest_text(''.join(digests))[:12]}"]
    with pytest.raises(ModelError, match="weights are not here"):
        served_name(ModelRef("x", model.path, "d", (tmp_path,)), base)


def test_a_trained_model_is_started_by_isheep_serve(tmp_path, model, serve):
    (tmp_path / "adapter_model.safetensors").write_text("weights")
    trained = ModelRef("x", model.path, "d", (tmp_path,))
    with pytest.raises(EngineError, match="isheep serve RUN ITERATION") as caught:
        preflight(trained, settings(serve()))
    assert served_name(trained, settings("http://a/v1")) in str(caught.value)


def test_it_works_where_an_event_loop_runs_already_as_in_a_notebook(engine, serve):
    async def cell():
        return everything(engine(serve()), requests(4))

    assert len(asyncio.run(cell())) == 4


def test_the_protocol_opens_it(model, serve):
    opened = open_engine(model, settings(serve()))
    assert opened.facts()["engine"] == "server"
    opened.close()
