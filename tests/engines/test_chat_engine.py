"""The chat engine against a scripted chat server: what is sent, what is made of answers, and every way to fail."""

import json
import logging
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import pytest
from tenacity import wait_fixed, wait_random_exponential

from isheep_lib.engines.chat_engine import ChatEngine, preflight
from isheep_lib.engines.generate import ask
from isheep_lib.engines.protocol import Completion, Request
from isheep_lib.errors import EngineError

KEY = "a-key-that-nobody-may-see"
DROP, DIE = "drop", "die"
UNREACHABLE = "http://127.0.0.1:1/v1"
NEW_NAME = "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead."


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # head and body are written apart, and each answer would wait 40 ms

    def do_GET(self):
        if self.server.chat.allows(self):
            self.server.chat.send(self, *self.server.chat.models)

    def do_POST(self):
        self.server.chat.post(self, json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

    def log_message(self, *args):
        pass


class ChatServer:
    """A judge named "judge" that repeats what it is asked, unless `script(number of the request, body)` tells otherwise."""

    def __init__(self, script=None, names=("judge",), models=None, key=None, reports="judge-2024", seconds=0.0):
        self.script, self.key, self.reports, self.seconds = script or (lambda number, body: None), key, reports, seconds
        self.models = models or (200, {"data": [{"id": name} for name in names]})
        self.asked, self.answered, self.paths, self.dead, self.lock = [], [], [], False, threading.Lock()
        self.flying = self.most_flying = self.refused = 0
        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads, self.http.chat = True, self
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

    def allows(self, handler):
        given = handler.headers.get("Authorization")
        if self.dead:
            self.refused += 1
            handler.close_connection = True
        elif self.key is not None and given != f"Bearer {self.key}":
            self.send(handler, 401, {"error": {"message": f"bad {given}"}})
        else:
            return True
        return False

    def post(self, handler, body):
        if not self.allows(handler):
            return
        with self.lock:
            self.paths.append(handler.path)
            self.asked.append(body)
            told = self.script(len(self.asked) - 1, body)
            self.dead = self.dead or told == DIE
            self.flying += 1
            self.most_flying = max(self.most_flying, self.flying)
        time.sleep(self.seconds)
        with self.lock:
            self.flying -= 1
            if not told:
                self.answered.append(body)
        if told == DROP or self.dead:
            handler.close_connection = True
        else:
            self.send(handler, *(told or (200, says(f"re: {body['messages'][0]['content']}", model=self.reports))))


def says(text, finish="stop", **more):
    message = {"role": "assistant", "content": text}
    return {"choices": [{"index": 0, "message": message, "finish_reason": finish}], "usage": {"completion_tokens": 3}, **more}


@pytest.fixture(autouse=True)
def no_key(monkeypatch):
    monkeypatch.delenv("ISHEEP_SERVER_KEY", raising=False)


@pytest.fixture
def serve():
    started = []

    def start(*args, **options):
        started.append(ChatServer(*args, **options))
        return started[-1]

    yield start
    for server in started:
        server.http.shutdown()
        server.http.server_close()


@pytest.fixture
def engine():
    opened = []

    def start(*servers, **values):
        opened.append(ChatEngine("judge", settings(*servers, **values), wait_random_exponential(0.01, 0.05)))
        return opened[-1]

    yield start
    for each in opened:
        each.close()


def settings(*servers, **values):
    urls = [server if isinstance(server, str) else server.url for server in servers]
    given = {"base_urls": urls, "concurrency": 3, "request_seconds": 30, "timeout_seconds": 30}
    return SimpleNamespace(**{**given, **values})


def requests(count):
    return [Request(f"r{i}", f"question {i}", 8, 0.7, 0.9, seed=i) for i in range(count)]


def generate(engine, wanted):
    return [completion for group in engine.generate(engine.batches(wanted)) for completion in group]


def everything(engine, count):
    """Every request answered exactly once, with the text that belongs to it."""
    found = generate(engine, requests(count))
    assert sorted((c.id, c.text) for c in found) == sorted((f"r{i}", f"re: question {i}") for i in range(count))
    return found


def until_it_fails(engine, count, seconds=0.0):
    """What was yielded before the error, and the error."""
    kept = []
    with pytest.raises(EngineError) as caught:
        for group in engine.generate(engine.batches(requests(count))):
            kept += group
            time.sleep(seconds)
    return kept, str(caught.value)


def of(seed, told):
    """Tell something of one record alone."""
    return lambda number, body: told if body["seed"] == seed else None


def test_the_words_travel_as_one_user_message_with_their_sampling(engine, serve):
    server = serve()
    request = Request("r1", "Which is better?\n ß", 16, 0.7, 0.9, 5, stop=("", "###"))
    assert ask(engine(server), request) == Completion("r1", "re: Which is better?\n ß", "end", 3)
    assert server.paths == ["/v1/chat/completions"]
    assert server.asked == [
        {
            "model": "judge",
            "messages": [{"role": "user", "content": "Which is better?\n ß"}],
            "max_tokens": 16,
            "temperature": 0.7,
            "top_p": 0.9,
            "seed": 5,
            "stop": ["###"],
        }
    ]


def test_no_stop_texts_are_not_sent_as_an_empty_list(engine, serve):
    server = serve()
    ask(engine(server), Request("r1", "Hello", 4))
    assert "stop" not in server.asked[0]


@pytest.mark.parametrize(
    ("answer", "text", "finish", "tokens"),
    [
        (says("8||good"), "8||good", "end", 3),
        (says("8||goo", "length"), "8||goo", "length", 3),
        (says(" 8\n"), " 8\n", "end", 3),
        (says("half of a", "content_filter"), "", "refused", 3),
        (says(None, "content_filter"), "", "refused", 3),
        (says("half of a", "SAFETY"), "", "refused", 3),
        ({"choices": [{"message": {"content": None, "refusal": "I may not."}, "finish_reason": "stop"}]}, "", "refused", 0),
        *((says("8", whole), "8", "end", 3) for whole in ("eos_token", "stop_sequence", "end_turn", "STOP", "stop", "", None)),
        *((says("8", cut), "8", "length", 3) for cut in ("max_tokens", "MAX_TOKENS", "model_length")),
        (says("8", None, usage={"completion_tokens": 8}), "8", "length", 8),  # all tokens that it was allowed
        (says([{"type": "text", "text": "8||"}, {"type": "text", "text": "good"}]), "8||good", "end", 3),
        (
            says([{"type": "thinking", "thinking": [{"type": "text", "text": "3?"}]}, {"type": "text", "text": "8"}]),
            "8",
            "end",
            3,
        ),
        (says([{"type": "output_text", "text": "8"}]), "8", "end", 3),
        (says(["8"]), "8", "end", 3),
        (says([]), "", "end", 3),
        (says(""), "", "end", 3),
        (says(" \n"), "", "end", 3),
        (says(None), "", "end", 3),
        (says("", "length"), "", "length", 3),  # all tokens went into thinking
        (says("8", usage=None), "8", "end", 0),
        (says("8", usage={"completion_tokens": None}), "8", "end", 0),
    ],
)
def test_an_answer_is_its_text_and_why_it_ended(engine, serve, answer, text, finish, tokens):
    opened = engine(serve(lambda number, body: (200, answer)))
    assert generate(opened, requests(1)) == [Completion("r0", text, finish, tokens)]


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ({"choices": [], "prompt_filter_results": ["hate"]}, "without any choice (its list is empty); it says {'prompt_filter"),
        ({}, "holds no message of text"),
        ({"choices": 5}, "holds no message of text"),
        ({"choices": ["text"]}, "holds no message of text"),
        ({"choices": [{"text": "8", "finish_reason": "stop"}]}, "holds no message of text"),
        (says([{"type": "text", "text": 8}]), "holds no message of text"),
        (says({"text": "8"}), "holds no message of text"),
        (says("8", "tool_calls"), "ended by 'tool_calls', which asks for a tool"),
        (says("8", "flummoxed"), "ended by 'flummoxed', which tells neither whether it is whole or cut"),
    ],
)
def test_an_answer_that_is_no_text_stops_the_stage_after_the_others_were_handed_over(engine, serve, answer, said):
    # All but the first are handed over together.
    kept, error = until_it_fails(engine(serve(of(3, (200, answer))), concurrency=1), 4, seconds=0.3)
    assert said in error
    assert "r3" in error
    assert [c.id for c in kept] == ["r0", "r1", "r2"]


@pytest.mark.parametrize("code", ["content_filter", "content_policy_violation"])
def test_a_prompt_that_the_server_filters_is_answered_with_nothing(engine, serve, code):
    server = serve(of(2, (400, {"error": {"message": "The prompt was filtered.", "code": code}})))
    found = {c.id: c for c in generate(engine(server), requests(5))}
    assert found.pop("r2") == Completion("r2", "", "refused", 0)
    assert {c.text for c in found.values()} == {f"re: question {i}" for i in (0, 1, 3, 4)}
    assert len(server.asked) == 5


def test_the_new_name_of_the_limit_is_taken_once_it_is_wanted_and_kept(engine, serve):
    refuse = lambda number, body: (400, {"error": {"message": NEW_NAME}}) if "max_tokens" in body else None  # noqa: E731
    server = serve(refuse)
    opened = engine(server)
    everything(opened, 40)
    everything(opened, 5)
    refused = [body for body in server.asked if "max_tokens" in body]
    assert 1 <= len(refused) <= 3  # those in flight together
    assert {body["max_completion_tokens"] for body in server.answered} == {8}
    assert len(server.answered) == 45


def test_what_was_answered_before_the_name_of_the_limit_changed_is_not_asked_again(engine, serve):
    later = lambda number, body: (400, {"error": {"message": NEW_NAME}}) if number > 9 and "max_tokens" in body else None  # noqa: E731
    server = serve(later)
    everything(engine(server, concurrency=1), 20)
    assert len(server.answered) == 20


def test_a_server_that_refuses_both_names_of_the_limit_is_asked_no_further(engine, serve):
    server = serve(lambda number, body: (400, {"error": {"message": NEW_NAME}}))
    _, error = until_it_fails(engine(server, concurrency=1), 3)
    assert NEW_NAME in error
    assert [sorted(body)[0] for body in server.asked] == ["max_tokens", "max_completion_tokens"]


def refusing(names, tell):
    """A script that refuses these parameters as `tell` says it of those that were sent."""

    def script(number, body):
        sent = [name for name in names if name in body]
        return tell(sent) if sent else None

    return script


REFUSALS = {
    "by param": lambda sent: (400, {"error": {"message": "Unsupported value.", "param": sent[0], "code": "unsupported_value"}}),
    "by message": lambda sent: (400, {"error": {"message": f"Unsupported parameter: '{sent[0]}' is not supported."}}),
    "all at once": lambda sent: (400, {"message": f"{', '.join(sent)}: extra fields not permitted"}),
    "by pydantic": lambda sent: (
        422,
        {"detail": [{"loc": ["body", n], "msg": "Extra inputs are not permitted"} for n in sent]},
    ),
    "in camel case": lambda sent: (400, {"error": {"message": f"Unknown name {sent[0].replace('top_p', 'topP')}"}}),
    "in no word": lambda sent: (422, {"error": "unprocessable"}),
}


@pytest.mark.parametrize("tell", REFUSALS.values(), ids=REFUSALS)
@pytest.mark.parametrize(
    "names", [["temperature"], ["top_p"], ["seed"], ["temperature", "top_p", "seed"]], ids=lambda names: "+".join(names)
)
def test_what_a_judge_refuses_is_left_out_told_once_and_recorded(engine, serve, capsys, names, tell):
    server = serve(refusing(names, tell))
    opened = engine(server, concurrency=1)
    everything(opened, 6)
    everything(opened, 6)
    assert len(server.answered) == 12
    assert len(server.asked) - 12 <= 7
    kept = {"temperature", "top_p", "seed"} - set(names)
    assert all({name for name in ("temperature", "top_p", "seed") if name in body} == kept for body in server.answered)
    assert opened.facts()["left_out"] == sorted(names)
    assert capsys.readouterr().out.count("judge refuses") == 1


def test_of_two_parameters_that_may_not_stand_together_the_temperature_stays(engine, serve):
    both = "`temperature` and `top_p` cannot both be specified for this model. Please use only one."
    told = lambda number, body: (400, {"message": both}) if {"temperature", "top_p"} <= set(body) else None  # noqa: E731
    server = serve(told)
    opened = engine(server)
    everything(opened, 4)
    assert opened.facts()["left_out"] == ["top_p"]


@pytest.mark.parametrize("words", ["Extra inputs are not permitted: max_tokens", NEW_NAME])
def test_a_judge_that_refuses_the_old_limit_and_the_temperature_is_asked_without_both(engine, serve, words):
    def script(number, body):
        if "max_tokens" in body:
            return 422, {"detail": words}
        return (400, {"error": {"message": "temperature may only be 1"}}) if "temperature" in body else None

    opened = engine(serve(script))
    everything(opened, 4)
    assert opened.facts()["left_out"] == ["temperature"]


def test_a_refusal_that_is_not_about_parameters_leaves_them_and_ends_with_its_own_words(engine, serve):
    server = serve(lambda number, body: (400, {"error": {"message": f"no such model (try {number})"}}))
    opened = engine(server, concurrency=1)
    _, error = until_it_fails(opened, 3)
    assert "no such model (try 0)" in error
    assert opened.facts()["left_out"] == []
    assert len(server.asked) <= 8


def test_once_it_has_answered_a_server_is_not_asked_without_what_it_took(engine, serve):
    server = serve(of(2, (400, {"error": {"message": "bad request"}})))
    until_it_fails(engine(server, concurrency=1), 5)
    assert len(server.asked) == 3


def test_another_refusal_does_not_change_the_name_of_the_limit(engine, serve):
    server = serve(lambda number, body: (400, {"error": {"message": "max_tokens is too large"}}))
    _, error = until_it_fails(engine(server, concurrency=1), 3)
    assert "max_tokens is too large" in error
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    "first",
    [
        (429, {"error": {"message": "rate limit"}}, [("Retry-After", "0")]),
        (429, {"error": {"message": "rate limit"}}, [("Retry-After", "0.05")]),
        (429, {"error": {"message": "rate limit"}}),
        (408, "late"),
        (500, "<html>oops</html>"),
        (503, {"detail": "loading"}),
        (200, "this is no JSON"),
        (200, '{"choices": ' + "[" * 100_000, [("Content-Type", "application/json")]),
        (200, '{"choices": ' + "[" * 100_000 + "]" * 100_000 + "}", [("Content-Type", "application/json")]),
        (200, '{"created": ' + "9" * 5000 + "}", [("Content-Type", "application/json")]),
        (200, '["no object"]'),
        (200, {"error": {"message": "upstream failed", "code": 502}}),
        (200, says("half", "error")),
        DROP,
    ],
)
def test_what_passes_is_tried_again(engine, serve, first):
    server = serve(lambda number, body: first if number < 2 else None)
    everything(engine(server), 6)
    assert len(server.asked) == 8


def test_retry_after_is_waited_for_while_the_other_server_works(engine, serve):
    busy = serve(lambda number, body: (429, "busy", [("Retry-After", "60")]))
    free = serve()
    everything(engine(busy, free), 30)
    assert len(free.answered) == 30
    assert len(busy.asked) <= 3  # those in flight together


@pytest.mark.parametrize("wait", ["60", "1e9"])
def test_a_rate_limit_longer_than_patience_ends_at_once_and_says_how_long_to_wait(engine, serve, wait):
    server = serve(lambda number, body: (429, "too many", [("Retry-After", wait)]) if number > 1 else None)
    start = time.monotonic()
    kept, error = until_it_fails(engine(server, concurrency=1), 5)
    assert [c.id for c in kept] == ["r0", "r1"]
    assert time.monotonic() - start < 20
    assert all(part in error for part in (f"again in {float(wait):.0f} s", "raise timeout_seconds", "is kept", "too many"))
    assert "start a server" not in error


def test_what_is_in_flight_when_a_server_limits_requests_is_still_taken(engine, serve):
    def script(number, body):
        if body["seed"] == 0:
            return 429, "too many", [("Retry-After", "60")]
        time.sleep(0.5)
        return None

    kept, error = until_it_fails(engine(serve(script), concurrency=3), 3)
    assert [c.id for c in kept] == ["r1", "r2"] or [c.id for c in kept] == ["r2", "r1"]
    assert "raise timeout_seconds" in error


def test_a_rate_limit_within_patience_is_waited_for(engine, serve):
    server = serve(lambda number, body: (429, "too many", [("Retry-After", "1")]) if number == 1 else None)
    everything(engine(server, concurrency=1, timeout_seconds=20), 4)
    assert len(server.asked) == 5


def test_a_rate_limit_of_the_list_of_models_is_told_as_one(serve):
    server = serve(models=(429, {"error": "too many"}))
    with pytest.raises(EngineError, match="the server limits requests") as caught:
        preflight("judge", settings(server))
    assert "start the server" not in str(caught.value)


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_no_redirect_is_followed_neither_with_the_key_nor_without(engine, serve, monkeypatch, status):
    monkeypatch.setenv("ISHEEP_SERVER_KEY", KEY)
    other = serve()
    server = serve(lambda number, body: (status, "", [("Location", f"{other.url}/chat/completions")]))
    _, error = until_it_fails(engine(server), 1)
    assert f"sends requests on to {other.url}/chat/completions" in error
    assert "give it in place of this one" in error
    assert not other.asked
    listing = serve()
    listing.send = lambda handler, status, content, headers=(): ChatServer.send(
        listing, handler, 307, "", [("Location", f"{other.url}/models")]
    )
    with pytest.raises(EngineError, match="sends requests on"):
        preflight("judge", settings(listing))


def test_an_answer_that_takes_too_long_is_asked_of_the_other_server(engine, serve):
    slow, quick = serve(seconds=1.5), serve()
    everything(engine(slow, quick, request_seconds=0.5), 6)
    assert slow.asked
    assert len(quick.answered) >= 6


def test_several_requests_are_in_flight_and_never_more_than_allowed(engine, serve):
    server = serve(seconds=0.1)
    everything(engine(server, concurrency=4), 20)
    assert server.most_flying == 4


def test_all_requests_of_a_server_that_dies_midway_are_answered_by_the_other_each_once(engine, serve):
    dying = serve(lambda number, body: DIE if number == 5 else None, seconds=0.01)
    living = serve(seconds=0.01)
    everything(engine(dying, living), 40)
    assert len(dying.answered) <= 7
    assert len(living.answered) >= 33


def test_a_server_that_dies_in_the_middle_and_comes_back_answers_the_rest(engine, serve):
    def once(number, body):
        if number == 4:
            threading.Timer(0.1, setattr, (server, "dead", False)).start()
            return DIE
        return None

    server = serve(once, seconds=0.01)
    everything(engine(server), 20)
    assert server.refused  # it was asked while it was dead


def test_a_dead_server_is_asked_whether_it_lives_once_a_pause_however_many_requests_it_may_have(serve):
    dead, slow = serve(), serve(seconds=0.1)
    opened = ChatEngine("judge", settings(dead, slow, concurrency=8), wait_fixed(0.2))
    dead.dead, start = True, time.monotonic()
    everything(opened, 80)
    opened.close()
    assert dead.refused <= 8 + 1 + (time.monotonic() - start) / 0.2  # those in flight together, and the checks


def test_a_server_that_comes_back_with_another_model_is_not_asked(engine, serve):
    server = serve()
    opened = engine(server, timeout_seconds=0.5)
    server.models, server.script = (200, {"data": [{"id": "stranger"}]}), lambda number, body: (500, "restarting")
    _, error = until_it_fails(opened, 5)
    assert "restarting" in error
    assert len(server.asked) <= 3  # those in flight together


def test_a_server_that_was_away_at_the_start_is_asked_what_it_has_before_it_is_used(engine, serve):
    stranger, late, right = serve(names=["stranger"]), serve(), serve(seconds=0.05)
    stranger.dead = late.dead = True
    opened = engine(stranger, late, right)
    stranger.dead = late.dead = False
    everything(opened, 20)
    assert not stranger.asked
    assert late.answered
    assert opened.facts()["servers"] == 2


def test_a_server_that_stays_down_stops_the_stage_and_keeps_what_was_finished(engine, serve):
    server = serve(lambda number, body: DIE if number == 4 else None)
    kept, error = until_it_fails(engine(server, timeout_seconds=0.5, concurrency=1), 20)
    assert [c.id for c in kept] == ["r0", "r1", "r2", "r3"]
    assert all(part in error for part in ("No server answered for 0.5 s", server.url, "not reachable", "run again"))


def test_a_quota_that_is_used_up_ends_with_the_words_of_the_server(engine, serve):
    server = serve(lambda number, body: (429, {"error": {"message": "You exceeded your quota."}}))
    kept, error = until_it_fails(engine(server, timeout_seconds=0.3), 3)
    assert not kept
    assert "You exceeded your quota." in error


@pytest.mark.parametrize("status", [400, 404, 413, 422])
def test_a_refused_request_stops_the_stage_at_once_with_record_and_message(engine, serve, status):
    server = serve(of(2, (status, {"error": {"message": "the prompt is too long"}})))
    kept, error = until_it_fails(engine(server, concurrency=1), 5)
    assert f"r2 with status {status}: the prompt is too long" in error
    assert "base_urls end in /v1" in error
    assert [c.id for c in kept] == ["r0", "r1"]
    assert len(server.asked) == 3


def test_a_key_that_may_not_do_this_is_told_in_the_words_of_the_server(engine, serve):
    _, error = until_it_fails(engine(serve(lambda number, body: (403, {"error": {"message": "not your model"}}))), 1)
    assert "not your model" in error
    assert "ISHEEP_SERVER_KEY" in error


def test_the_key_is_sent_and_never_shown(engine, serve, monkeypatch, caplog, capfd):
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("ISHEEP_SERVER_KEY", KEY)
    server = serve(key=KEY)
    preflight("judge", settings(server))
    opened = engine(server)
    everything(opened, 2)
    shown = [json.dumps(opened.facts()), repr(vars(opened))]
    for told in ((400, f"what is {KEY}?"), (403, f"who is {KEY}?"), (500, f"oops {KEY}"), (200, {"error": KEY})):
        _, error = until_it_fails(engine(serve(lambda number, body, told=told: told), timeout_seconds=0.2), 1)
        shown.append(error)
    assert all("[key]" in error for error in shown[2:])
    monkeypatch.setenv("ISHEEP_SERVER_KEY", KEY + "-old")
    with pytest.raises(EngineError, match="ISHEEP_SERVER_KEY is refused") as refused:
        preflight("judge", settings(server))
    monkeypatch.delenv("ISHEEP_SERVER_KEY")
    with pytest.raises(EngineError, match="ISHEEP_SERVER_KEY is not set"):
        preflight("judge", settings(server))
    shown += [str(refused.value), caplog.text, *capfd.readouterr()]
    assert not any(KEY in text for text in shown)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            {"names": ["judge-mini", "other"]},
            ["No server lists 'judge'", "lists judge-mini, other", "did you mean 'judge-mini'?"],
        ),
        ({"names": ["zebra"]}, ["No server lists 'judge'", "as its server lists it"]),
        ({"names": [f"m{i}" for i in range(9)]}, ["lists m0, m1, m2, m3, m4 and 4 more"]),
        ({"names": []}, ["lists nothing"]),
        ({"models": (200, "<html>hello</html>")}, ["no OpenAI-compatible server", "base_urls"]),
        ({"models": (503, "loading")}, ["No server is reachable", "503"]),
        ({"key": KEY}, ["ISHEEP_SERVER_KEY is not set", "401"]),
    ],
)
def test_a_wrong_server_is_refused_before_the_stage(serve, options, said):
    server = serve(**options)
    with pytest.raises(EngineError) as caught:
        preflight("judge", settings(server))
    assert all(part in str(caught.value) for part in [*said, server.url]), caught.value
    assert not server.asked


@pytest.mark.parametrize(("urls", "said"), [([UNREACHABLE], UNREACHABLE), ([], "base_urls is empty")])
def test_no_server_at_all_is_refused(urls, said):
    with pytest.raises(EngineError, match="No server is reachable") as caught:
        preflight("judge", settings(*urls))
    assert said in str(caught.value)


def test_one_right_server_passes_and_the_others_are_not_asked(engine, serve):
    other, right = serve(names=["other"]), serve()
    servers = (UNREACHABLE, other, right)
    preflight("judge", settings(*servers))
    opened = engine(*servers)
    everything(opened, 6)
    assert not other.asked
    assert opened.facts()["servers"] == 1


def test_a_server_without_a_list_of_models_is_taken_and_the_facts_say_so(engine, serve):
    server = serve(lambda number, body: DROP if number == 1 else None, models=(404, {"detail": "Not Found"}))
    preflight("judge", settings(server))
    opened = engine(server, serve())
    everything(opened, 6)  # it is taken again after it failed, too
    assert (opened.facts()["servers"], opened.facts()["servers_without_list"]) == (2, 1)


def test_facts_name_the_judge_as_its_replies_do_and_what_is_not_known(engine, serve):
    opened = engine(serve(reports="judge-b"), serve(reports="judge-a"))
    unknown = {"weights": "unknown", "dtype": "unknown"}
    facts = {"engine": "chat", "requested": "judge", "served": "", "servers": 2, "servers_without_list": 0}
    facts |= {"left_out": [], **unknown}
    assert opened.facts() == facts
    everything(opened, 30)
    assert opened.facts() == {**facts, "served": "judge-a, judge-b"}


@pytest.mark.parametrize(("method", "given"), [("logprobs", [[]]), ("choices", [[], []]), ("embed", [[]])])
def test_what_a_chat_server_cannot_do_names_the_setting_that_can(engine, serve, method, given):
    with pytest.raises(EngineError, match="judges in writing only") as caught:
        getattr(engine(serve()), method)(*given)
    assert "judge_verdicts: written" in str(caught.value)


def test_it_has_no_tokenizer_and_puts_each_request_into_a_batch_of_its_own(engine, serve):
    opened = engine(serve())
    assert opened.tokenizer is None
    assert opened.batches(requests(3)) == [[request] for request in requests(3)]


def test_requests_are_taken_as_they_are_needed_and_closing_cancels_the_rest(engine, serve):
    server = serve(seconds=0.01)
    opened = engine(server)
    taken = []

    def batches():
        for request in requests(500):
            taken.append(request.id)
            yield [request]

    found = opened.generate(batches())
    next(found)
    found.close()
    assert len(taken) < 100
    time.sleep(0.1)  # what was sent by then is read
    asked = len(server.asked)
    time.sleep(0.1)
    assert len(server.asked) == asked
    opened.close()
    opened.close()
