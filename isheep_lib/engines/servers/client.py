"""One server's address: requests to it by the client of the package `openai`, and what a failure means.

Covers the key, timeouts, the list of models, and telling what passes (`Trouble`) from what does not (`RequestRefused`).
Does not cover what to do then (`pool`) or what an answer says (`responses`, `engines.chat_engine`).
"""

import asyncio
import json
import logging
import math
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from email.utils import mktime_tz, parsedate_tz
from typing import TYPE_CHECKING, Any

from isheep_lib.errors import EngineError
from isheep_lib.server_key import KEY, MARK, struck

if TYPE_CHECKING:  # it takes half a second to import
    from httpx2 import Request
    from openai import APIStatusError, AsyncOpenAI

CONNECT_SECONDS = 10.0
# What is sent beside the key; others come from variables of the environment that are meant for other services.
HEADERS = {"accept", "accept-encoding", "connection", "content-length", "content-type", "host", "user-agent"}


class RequestRefused(EngineError):
    """A request that a server will never answer, with the HTTP status that says so."""

    def __init__(self, what: str, *, status: int, where: str, do: str) -> None:
        super().__init__(what, where=where, do=do)
        self.status = status


class Trouble(Exception):
    """A server that cannot answer now.

    Attributes:
        lost: it may be another process, with another model, when it answers again.
        limited: it answers too many requests of ours, or others', and will do so again later.
        wait: seconds that it asked for.
    """

    def __init__(self, text: str, *, lost: bool = False, limited: bool = False, wait: float = 0.0) -> None:
        super().__init__(text)
        self.lost, self.limited, self.wait = lost, limited, wait

    @property
    def advice(self) -> str:
        """Say what to do about a server that limits requests, "" for others."""
        if not self.limited:
            return ""
        after = f"in {math.ceil(self.wait)} s" if 0 < self.wait < math.inf else "later"
        more = f"timeout_seconds to more than {math.ceil(self.wait)}" if 0 < self.wait < math.inf else "timeout_seconds"
        return f"the server limits requests: run the same command again {after}, or raise {more}; lower concurrency asks less"


@dataclass(frozen=True)
class Call:
    """One request."""

    id: str  # record id, for errors
    send: "Callable[[AsyncOpenAI], Awaitable[Any]]"  # makes the request with a server's client
    # Makes the result of an answer, a model object of the client, in the thread of the servers.
    read: Callable[[Any], Any] = lambda answer: answer
    # What to do where a server refuses it.
    do: str = "check base_urls and the server's model"


class Endpoint:
    """Connections to one address; its coroutines belong to one event loop.

    Attributes:
        url: the address.
        lost: it failed, and must be checked before it is asked again.
        gate: held by whoever checks it.
    """

    def __init__(self, url: str, key: str, seconds: float) -> None:
        """Connect to nothing yet.

        Args:
            url: address below which paths lie, usually ending in /v1.
            key: sent as bearer token to this address alone, "" for none: no redirect is followed.
            seconds: longest time for one answer.

        Raises:
            EngineError: the key cannot be sent.
        """
        from openai import AsyncOpenAI, DefaultAsyncHttpxClient, Timeout

        if not (key.isascii() and key.isprintable()):
            raise EngineError("The key holds characters that cannot be sent", where=f"environment variable {KEY}")
        for name in ("httpx2", "httpcore2", "openai"):  # lines for each request would flood a notebook, and show headers
            logging.getLogger(name).setLevel(logging.WARNING)
        self.url, self.lost, self.gate = url, False, asyncio.Lock()
        self._key, self._seconds = key, seconds

        async def mend_headers(request: "Request") -> None:
            for name in set(request.headers) - HEADERS:
                del request.headers[name]
            if key:
                request.headers["Authorization"] = f"Bearer {key}"

        timeout = Timeout(None, connect=min(CONNECT_SECONDS, seconds))
        http = DefaultAsyncHttpxClient(follow_redirects=False, timeout=timeout, event_hooks={"request": [mend_headers]})
        # Retries are `replicas`', which asks another server. The client sends nothing without some key.
        self._client = AsyncOpenAI(base_url=url, api_key="none", max_retries=0, timeout=timeout, http_client=http)

    async def ask(self, call: Call) -> Any:
        """Send a request and return what it reads in the answer.

        Raises:
            Trouble: it cannot answer now.
            RequestRefused: it will never answer this.
            EngineError: the answer means nothing here.
        """
        answer = await self._send(call)
        if isinstance(answer, str):
            raise Trouble(f"{self.url} answered something that is no JSON object")
        choices = answer.choices if isinstance(getattr(answer, "choices", None), list) else []
        if getattr(answer, "error", None) and not choices:  # a gateway's, when the server behind it failed
            raise Trouble(f"{self.url} answered with an error: {self._shown(answer.error)}", lost=True)
        if any(getattr(choice, "finish_reason", "") in ("abort", "error") for choice in choices):
            raise Trouble(f"{self.url} aborted the request", lost=True)
        return call.read(answer)

    async def models(self, *, may_lack: bool) -> dict[str, int] | None:
        """Return what the server lists: name to context in tokens, 0 where it is not told; None, if it may lack such a list.

        Raises:
            Trouble: it cannot answer now.
            RequestRefused: it wants another key.
            EngineError: what it answers is no list of models.
        """
        try:
            status, cards = 200, getattr(await self._get("/models"), "data", None)
        except RequestRefused as refusal:
            if refusal.status in (401, 403) or 300 <= refusal.status < 400:
                raise
            if refusal.status == 404 and may_lack:
                return None
            status, cards = refusal.status, None
        if not isinstance(cards, list) or not all(isinstance(card, dict) and "id" in card for card in cards):
            raise EngineError(
                f"What answers at this address is no OpenAI-compatible server (status {status})",
                where=f"{self.url}/models",
                allowed='JSON with a list "data" of models',
                do="check base_urls: an address usually ends in /v1",
            )
        return {str(card["id"]): card.get("max_model_len") or 0 for card in cards}

    async def version(self) -> Any:
        """Return the version that a server names, as vLLM does outside /v1, or None."""
        try:
            return getattr(await self._get(f"{self.url.removesuffix('/v1')}/version"), "version", None)
        except (Trouble, RequestRefused):
            return None

    async def _get(self, path: str) -> Any:
        from openai import BaseModel

        return await self._send(Call(path, lambda client: client.get(path, cast_to=BaseModel)))

    async def _send(self, call: Call) -> Any:
        """Return an answer of status 200; the client leaves a text where that is no JSON object."""
        from openai import APIConnectionError, APIStatusError, BaseModel

        try:
            async with asyncio.timeout(self._seconds):
                answer = await call.send(self._client)
        except TimeoutError as error:
            raise Trouble(f"{self.url} gave no answer in {self._seconds:g} s", lost=True) from error
        except APIConnectionError as error:
            raise Trouble(f"{self.url} is not reachable ({type(error.__cause__).__name__})", lost=True) from error
        except json.JSONDecodeError as error:
            return error.doc
        except (ValueError, RecursionError) as error:  # a number of 5000 digits, nesting without end, other bytes than UTF-8
            return str(error)
        except APIStatusError as error:
            raise self._failure(call, error) from None  # its own text may show the key
        return _without_key(answer) if isinstance(answer, BaseModel) else struck(str(answer))

    def _failure(self, call: Call, error: "APIStatusError") -> Trouble | RequestRefused:
        status, said = error.status_code, self._shown(error.body or error.response.text)
        if status in (408, 429) or status >= 500:
            wait = _retry_after(error.response.headers.get("Retry-After", ""))
            what = f"{self.url} answered with status {status}: {said}"
            return Trouble(what, lost=status >= 500, limited=status == 429 or wait > 0, wait=wait)
        if 300 <= status < 400:
            to = error.response.headers.get("Location", "an address that it does not name")
            what = f"The server sends requests on to {to} (status {status})"
            do = "if you trust that address, give it in place of this one: prompts and the key go to no other than those given"
            return RequestRefused(what, status=status, where=self.url, do=do)
        if status not in (401, 403):
            what = f"The server refused the request of {call.id} with status {status}: {said}"
            return RequestRefused(what, status=status, where=str(error.request.url), do=call.do)
        # What comes with 401 often shows parts of the key; with 403 it says what the key may not do.
        what = f"The server wants a key, and {KEY} is {'refused' if self._key else 'not set'} (status {status})"
        do = f"set the environment variable {KEY} to the server's --api-key"
        return RequestRefused(what + (f": {said}" if status == 403 else ""), status=status, where=self.url, do=do)

    def _shown(self, said: Any) -> str:
        """Return what a server says about a failure, in at most 500 characters and without the key, however short."""
        for name in ("message", "detail"):
            said = said.get(name, said) if isinstance(said, dict) else said
        text = struck(" ".join(str(said).split()))
        return (text.replace(self._key, MARK) if self._key else text)[:500]

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()


def _without_key(answer: Any) -> Any:
    """Strike the key from every text of an answer, which is the client's model of JSON."""
    from openai import BaseModel

    if isinstance(answer, BaseModel):
        for name, value in list(answer):
            setattr(answer, name, _without_key(value))
        return answer
    if isinstance(answer, dict):
        return {struck(name): _without_key(value) for name, value in answer.items()}
    if isinstance(answer, list):
        return [_without_key(value) for value in answer]
    return struck(answer) if isinstance(answer, str) else answer


def _retry_after(text: str) -> float:
    """Read seconds or a date; 0 where it says neither."""
    try:
        return max(0.0, float(text))
    except ValueError:
        date = parsedate_tz(text)
        return max(0.0, mktime_tz(date) - time.time()) if date else 0.0
