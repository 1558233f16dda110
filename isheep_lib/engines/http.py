"""One server's address: requests to it, and what the HTTP status of an answer means.

Covers the connection, the key, timeouts, and telling what passes (`Trouble`) from what does not (`RequestRefused`).
Does not cover what to do then (`engines.server_pool`) or what an answer says (`server_engine`, `chat_engine`).
"""

import asyncio
import logging
import math
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cache
from typing import Any

import httpx

from isheep_lib.errors import EngineError

KEY = "ISHEEP_SERVER_KEY"
CONNECT_SECONDS = 10.0

# One line a request would flood a notebook.
logging.getLogger("httpx").setLevel(logging.WARNING)


class RequestRefused(EngineError):
    """A request that a server will never answer."""


class Trouble(Exception):
    """A server that cannot answer now.

    Attributes:
        lost: it may be another process, with another model, when it answers again.
        wait: seconds that it asked for.
    """

    def __init__(self, text: str, *, lost: bool = False, wait: float = 0.0) -> None:
        super().__init__(text)
        self.lost, self.wait = lost, wait


@dataclass(frozen=True)
class Call:
    """One request.

    Attributes:
        id: record id, for errors.
        path: below the address, like "/completions".
        body: JSON.
        about: whatever the caller wants back with the answer.
        instead: makes an answer of the JSON of a refusal, or None where the refusal stands.
    """

    id: str
    path: str
    body: dict[str, Any]
    about: Any = None
    instead: Callable[[Any], dict[str, Any] | None] = lambda refusal: None


@cache
def _certificates() -> ssl.SSLContext:
    """Return what HTTPS servers are checked by; made once, as that is slow."""
    return httpx.create_ssl_context()


class Endpoint:
    """Connections to one address; its coroutines belong to one event loop."""

    def __init__(self, url: str, key: str, seconds: float) -> None:
        """Connect to nothing yet.

        Args:
            url: address below which paths lie, usually ending in /v1.
            key: sent as bearer token; "" sends none.
            seconds: longest time for one answer.

        Raises:
            EngineError: the key cannot be sent.
        """
        if not (key.isascii() and key.isprintable()):
            raise EngineError("The key holds characters that cannot be sent", where=f"environment variable {KEY}")
        self.url, self._key, self._seconds = url, key, seconds
        self._client = httpx.AsyncClient(
            headers={"Authorization": f"Bearer {key}"} if key else {},
            verify=_certificates(),
            timeout=httpx.Timeout(seconds, connect=min(CONNECT_SECONDS, seconds), pool=None),
            # A server closes idle connections after some seconds; the client must be first.
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=None, keepalive_expiry=2.0),
        )

    async def get(self, path: str, *, root: bool = False) -> httpx.Response:
        """GET a path; `root` leaves out the address's /v1.

        Raises:
            Trouble: it cannot be reached, or not now.
            RequestRefused: it wants another key.
        """
        response = await self._send("GET", (self.url.removesuffix("/v1") if root else self.url) + path)
        self._check(response)
        return response

    async def post(self, call: Call) -> dict[str, Any]:
        """POST a request and return its JSON answer.

        Raises:
            Trouble: it cannot answer now.
            RequestRefused: it will never answer this.
        """
        response = await self._send("POST", self.url + call.path, json=call.body)
        self._check(response)
        if response.status_code != 200:
            instead = call.instead(as_json(response))
            if instead is not None:
                return instead
            raise RequestRefused(
                f"The server refused the request of {call.id} with status {response.status_code}: {self._message(response)}",
                where=self.url + call.path,
                do="compare the server's model and limits with base_model, context_tokens and the stage's parameters",
            )
        answer = as_json(response)
        if not isinstance(answer, dict):
            raise Trouble(f"{self.url} answered something that is no JSON object")
        choices = answer["choices"] if isinstance(answer.get("choices"), list) else []
        if answer.get("error") and not choices:  # a gateway's, when the server behind it failed
            raise Trouble(f"{self.url} answered with an error: {self._message(response)}", lost=True)
        if any(isinstance(choice, dict) and choice.get("finish_reason") in ("abort", "error") for choice in choices):
            raise Trouble(f"{self.url} aborted the request", lost=True)
        return answer

    async def _send(self, method: str, address: str, **content: Any) -> httpx.Response:
        try:
            async with asyncio.timeout(self._seconds):
                return await self._client.request(method, address, **content)
        except TimeoutError as error:
            raise Trouble(f"{self.url} gave no answer in {self._seconds:g} s", lost=True) from error
        except httpx.RequestError as error:
            raise Trouble(f"{self.url} is not reachable ({type(error).__name__})", lost=True) from error

    def _check(self, response: httpx.Response) -> None:
        status = response.status_code
        if status in (408, 429) or status >= 500:
            text = f"{self.url} answered with status {status}: {self._message(response)}"
            raise Trouble(text, lost=status >= 500, wait=_retry_after(response.headers.get("Retry-After", "")))
        if status in (401, 403):
            # What comes with 401 often shows parts of the key; with 403 it says what the key may not do.
            said = f": {self._message(response)}" if status == 403 else ""
            raise RequestRefused(
                f"The server wants a key, and {KEY} is {'refused' if self._key else 'not set'} (status {status}){said}",
                where=self.url,
                do=f"set the environment variable {KEY} to the server's --api-key",
            )

    def _message(self, response: httpx.Response) -> str:
        """Return what a server says about a failure, in at most 500 characters and without the key."""
        found = as_json(response)
        for name in ("error", "message", "detail"):
            found = found.get(name, found) if isinstance(found, dict) else found
        text = " ".join(str(found or response.text).split())
        return (text.replace(self._key, "(key)") if self._key else text)[:500]

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()


def as_json(response: httpx.Response) -> Any:
    """Return a response's JSON, None where it is none."""
    try:
        return response.json()
    except ValueError:
        return None


def _retry_after(text: str) -> float:
    """Read seconds or a date; 0 where it says neither."""
    try:
        seconds = float(text)
    except ValueError:
        try:
            seconds = (parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds()
        except (ValueError, TypeError):  # no date, or one without a zone
            return 0.0
    return max(0.0, seconds) if math.isfinite(seconds) else 0.0
