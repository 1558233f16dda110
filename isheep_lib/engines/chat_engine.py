"""The chat engine: a judge behind OpenAI-compatible chat servers, whose weights and tokenizer we do not have.

    engine = ChatEngine("gpt-4", settings)
    list(engine.generate(engine.batches([Request("r1", "Which answer is better?", 16)])))  # [[Completion("r1", …)]]

A prompt is the user's words; the server frames them with its own chat template.
Covers what is asked, what an answer means, and which addresses have the judge. Does not cover sending and failing over
(`engines.server_pool`), HTTP and the key (`engines.http`), or how a verdict is read.
"""

import difflib
from collections.abc import Callable, Iterator
from itertools import chain
from typing import Any, NoReturn

import numpy as np

from isheep_lib.engines.http import Call, Endpoint, RequestRefused, Trouble
from isheep_lib.engines.protocol import Completion, Request, quiet
from isheep_lib.engines.server_discovery import connect, read_models
from isheep_lib.engines.server_pool import Replicas
from isheep_lib.errors import EngineError

PATH = "/chat/completions"
OLD_LIMIT, NEW_LIMIT = "max_tokens", "max_completion_tokens"  # models that think before they answer want the new name
FILTERED = ("content_filter", "content_policy_violation")  # codes of a refusal that is about the prompt's words alone
FINISH = {"stop": "end", "length": "length", "content_filter": "end"}
SHOWN = 5  # names of models in an error, as an address may list hundreds


def preflight(served: str, settings: Any) -> None:
    """Raise if no address answers, or none lists the model.

    Args:
        served: the judge's name at its servers.
        settings: base_urls, concurrency, request_seconds, patience_seconds.

    Raises:
        EngineError: with what each address lists, and the nearest names.
    """
    servers = connect(settings)
    try:
        _find(servers, served)
    finally:
        servers.close()


class ChatEngine:
    """One judge behind servers; of the protocol `isheep_lib.engines.protocol.Engine` it knows what needs no tokens."""

    tokenizer: Any = None

    def __init__(self, served: str, settings: Any, **pauses: float) -> None:
        """Find the servers that have the judge.

        Args:
            served: the judge's name at its servers.
            settings: base_urls, concurrency, request_seconds, patience_seconds.
            pauses: seconds of `replicas.Limits` other than its defaults.

        Raises:
            EngineError: no server is reachable, or none lists the judge.
        """
        self.name = served
        self._reported: set[str] = set()
        self._limit = OLD_LIMIT
        self._servers = connect(settings, **pauses)
        try:
            self._lists, away = _find(self._servers, served)
            self._servers.use([*self._lists, *away], self._admit)
        except BaseException:
            self._servers.close()
            raise
        for url in away:
            self._servers.lose(url)

    def facts(self) -> dict[str, Any]:
        """Name the judge as asked for and as replies call it ("" before the first), and say what nobody told."""
        return {
            "engine": "chat",
            "requested": self.name,
            "served": ", ".join(sorted(self._reported)),
            "servers": len(self._lists),
            "servers_without_list": sum(not listed for listed in self._lists.values()),
            "weights": "unknown",
            "dtype": "unknown",
        }

    async def _admit(self, endpoint: Endpoint) -> None:
        """Check a server that comes back: it may have been started again with another model."""
        listed = _listed(endpoint.url, await endpoint.get("/models"))
        if listed is not None and self.name not in listed:
            raise Trouble(f"{endpoint.url} lists other models than {self.name!r}", lost=True)
        self._lists[endpoint.url] = listed is not None

    def batches(self, requests: list[Request]) -> list[list[Request]]:
        """Return one request a batch; prompts that are too long are known to the server alone, which refuses them."""
        return [[request] for request in requests]

    def generate(self, batches: list[list[Request]], tick: Callable[[float], None] = quiet) -> Iterator[list[Completion]]:
        """Ask every prompt; see the protocol. Servers tell nothing of unfinished answers: `tick` is not called.

        An answer's text is "" where the server filtered it or wrote nothing; its tokens are 0 where nobody counted them.

        Raises:
            RequestRefused: a request that no server will ever answer; what was finished before was yielded.
            NoServer: no server answered for as long as patience lasts; what was finished before was yielded.
            EngineError: an answer is no chat completion.
        """
        waiting = (request for batch in batches for request in batch)
        unanswered: dict[str, Request] = {}
        while True:
            try:
                for answers in self._servers.ask(self._calls(waiting, unanswered)):
                    yield from self._read(answers, unanswered)
                return
            except RequestRefused as refusal:
                if not self._renames_limit(refusal):
                    raise _explained(refusal) from refusal
                # Servers of one model refuse the old name alike, so no answer was on its way.
                waiting = chain(list(unanswered.values()), waiting)

    def _calls(self, waiting: Iterator[Request], unanswered: dict[str, Request]) -> Iterator[Call]:
        for request in waiting:
            unanswered[request.id] = request
            yield Call(request.id, PATH, self._body(request), request, _filtered)

    def _body(self, request: Request) -> dict[str, Any]:
        body = {
            "model": self.name,
            "messages": [{"role": "user", "content": request.prompt}],
            self._limit: request.max_new_tokens,
            "temperature": request.temperature,
            "top_p": request.top_p,
            "seed": request.seed,
        }
        stops = [stop for stop in request.stop if stop]
        return {**body, "stop": stops} if stops else body  # an empty list is refused by some servers

    def _read(self, answers: list[tuple[Call, dict]], unanswered: dict[str, Request]) -> Iterator[list[Completion]]:
        """Yield what can be read, and only then raise what cannot."""
        done, problems = [], []
        for call, answer in answers:
            try:
                done.append(read_message(call.about, answer))
            except EngineError as error:
                problems.append(error)
                continue
            del unanswered[call.id]
            if isinstance(answer.get("model"), str):
                self._reported.add(answer["model"])
        if done:
            yield done
        if problems:
            raise problems[0]

    def _renames_limit(self, refusal: RequestRefused) -> bool:
        """Take the limit's new name, once, if that is what a server wants."""
        if self._limit == NEW_LIMIT or not all(name in refusal.what for name in ("status 400", OLD_LIMIT, NEW_LIMIT)):
            return False
        self._limit = NEW_LIMIT
        return True

    def logprobs(self, pairs: list[tuple[str, str]]) -> list[tuple[float, int]]:
        """Raise: a chat server scores no text."""
        self._only_writes("log-probabilities of a text")

    def choices(self, prompts: list[str], labels: list[str]) -> list[list[float]]:
        """Raise: a chat server scores no labels."""
        self._only_writes("log-probabilities of labels")

    def embed(self, texts: list[str]) -> np.ndarray:
        """Raise: a chat server gives no vectors."""
        self._only_writes("vectors")

    def _only_writes(self, wanted: str) -> NoReturn:
        raise EngineError(
            f"A chat server judges in writing only: {self.name} gives no {wanted}",
            allowed="written verdicts",
            do="set judge_verdicts: written, or take a judge whose weights are here",
        )

    def close(self) -> None:
        """Close all connections; a second time does nothing."""
        self._servers.close()


def read_message(request: Request, answer: dict[str, Any]) -> Completion:
    """Make a completion of an answer; what the server filtered or left empty is "".

    Raises:
        EngineError: it holds no message, or ended in a way that has no meaning here.
    """
    choices = answer.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices else None
    message = choice.get("message") if isinstance(choice, dict) else None
    content = (message.get("content") or "") if isinstance(message, dict) else None
    if not isinstance(content, str):
        raise EngineError(f"The answer to {request.id} holds no message of text", do="check that base_urls are chat servers")
    reason = choice.get("finish_reason")
    if reason not in FINISH:
        raise EngineError(f"The answer to {request.id} ended by {str(reason)[:40]!r}", allowed=", ".join(FINISH))
    usage = answer.get("usage")
    counted = usage.get("completion_tokens") if isinstance(usage, dict) else None
    text = "" if reason == "content_filter" or not content.strip() else content
    return Completion(request.id, text, FINISH[reason], counted if isinstance(counted, int) else 0)


def _filtered(refusal: Any) -> dict[str, Any] | None:
    """Answer for a server that filters prompts: with nothing, like one that filters what it wrote."""
    error = refusal.get("error") if isinstance(refusal, dict) else None
    if not isinstance(error, dict) or error.get("code") not in FILTERED:
        return None
    return {"choices": [{"message": {"content": ""}, "finish_reason": "content_filter"}]}


def _explained(refusal: RequestRefused) -> RequestRefused:
    """Say what to compare; a refused key is explained already."""
    if not refusal.where.endswith(PATH):
        return refusal
    do = "check that base_urls end in /v1, the judge's name, and that it takes these limits, temperatures and stop texts"
    return RequestRefused(refusal.what, where=refusal.where, do=do)


def _find(servers: Replicas, served: str) -> tuple[dict[str, bool], list[str]]:
    """Ask every address which models it has.

    Returns:
        The addresses that have the judge, each with whether it lists its models, and those not reachable now.

    Raises:
        EngineError: no address has the judge, one wants another key, or one is no such server.
    """
    found: dict[str, bool] = {}
    away, seen, others = [], [], []
    for url, answer in servers.survey("/models").items():
        if isinstance(answer, EngineError):
            raise answer
        if isinstance(answer, Trouble):
            away.append(url)
            seen.append(str(answer))
            continue
        listed = _listed(url, answer)
        if listed is None or served in listed:
            found[url] = listed is not None
            continue
        others += listed
        more = f" and {len(listed) - SHOWN} more" if len(listed) > SHOWN else ""
        seen.append(f"{url} lists {', '.join(listed[:SHOWN]) or 'nothing'}{more}")
    if not found:
        raise _nowhere(served, seen, others, reached=len(away) < len(seen))
    return found, away


def _listed(url: str, response: Any) -> list[str] | None:
    """Return the names of a server's models, None for a server that has no such list."""
    return None if response.status_code == 404 else list(read_models(url, response))


def _nowhere(served: str, seen: list[str], others: list[str], *, reached: bool) -> EngineError:
    where = "; ".join(seen) or "base_urls is empty"
    if not reached:
        return EngineError("No server is reachable", where=where, do="check base_urls and the network, or start the server")
    near = difflib.get_close_matches(served, sorted(set(others)), n=1, cutoff=0.5)
    do = f"did you mean {near[0]!r}?" if near else "give the judge's name as its server lists it"
    return EngineError(f"No server lists {served!r}", where=where, do=do)
