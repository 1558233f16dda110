"""Several servers of one model: every request is answered once, by whichever server is free.

    replicas = Replicas(settings, "qwen-72b", advise)
    for results in replicas.ask(calls):        # [Completion("r7", …), …], in the order of arrival

Covers which addresses have the model, requests in flight, failing over, giving up. Does not cover HTTP (`client`) or
what a request and an answer mean (`server_engine`, `chat_engine`).
"""

import asyncio
import queue
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator
from itertools import islice
from typing import Any

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, wait_exception, wait_random_exponential
from tenacity.wait import wait_base

from isheep_lib.engines.params import Model
from isheep_lib.engines.servers.client import Call, Endpoint, Trouble
from isheep_lib.errors import EngineError
from isheep_lib.server_key import server_key

PAUSE = wait_random_exponential(multiplier=0.5, max=30.0)  # in seconds, after failures in a row
SHOWN = 5  # names of models in an error, as an address may list hundreds


class NoServer(EngineError):
    """No server answered for too long."""


class Replicas:
    """Servers of one model, in a thread with an event loop of its own: a notebook's main thread has one already."""

    def __init__(
        self,
        settings: Model,
        name: str,
        advise: Callable[[list[str]], str],
        check: Callable[[Endpoint], Awaitable[None]] | None = None,
        *,
        may_lack_list: bool = False,
        pause: wait_base = PAUSE,
    ) -> None:
        """Connect to all addresses that have a model; the key comes from the environment alone.

        Args:
            advise: says what to do where no address has it, given the names that they have.
            check: made, after that of the name, before a server that comes back is asked again; raises Trouble.
            may_lack_list: take a server that lists no models.
            pause: of `tenacity`, between failures of a server.

        Raises:
            EngineError: no address has the model, one wants another key or is no such server, or the key cannot be sent.
        """
        key, seconds = server_key(), settings.request_seconds
        self._servers = {url: Endpoint(url, key, seconds) for url in (given.rstrip("/") for given in settings.base_urls)}
        self.name, self.concurrency, self.timeout = name, settings.concurrency, settings.timeout_seconds
        self._pause, self._check, self._may_lack_list = pause, check, may_lack_list
        self._verb = "lists" if may_lack_list else "serves"
        self.lists: dict[str, dict[str, int] | None] = {}  # name to context in tokens, of each address that has the model
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="isheep-servers", daemon=True)
        self._thread.start()
        try:
            self._find(advise)
        except BaseException:
            self.close()
            raise

    def _find(self, advise: Callable[[list[str]], str]) -> None:
        """Keep the addresses that have the model, and those that are not reachable now."""
        seen, others, away, advice = [], [], 0, ""
        for url, listed in self.survey(lambda server: server.models(may_lack=self._may_lack_list)).items():
            if isinstance(listed, Trouble):
                away += 1
                seen.append(str(listed))
                advice = advice or listed.advice
            elif listed is None or self.name in listed:
                self.lists[url] = listed
            else:
                self._call(self._servers.pop(url).close())
                others += listed
                more = f" and {len(listed) - SHOWN} more" if len(listed) > SHOWN else ""
                seen.append(f"{url} {self._verb} {', '.join(list(listed)[:SHOWN]) or 'nothing'}{more}")
        if not self.lists:
            what = "No server is reachable" if away == len(seen) else f"No server {self._verb} {self.name!r}"
            where = "; ".join(seen) or "base_urls is empty"
            raise EngineError(
                what,
                where=where,
                allowed=f"a server of {self.name!r}",
                do=(advice if away == len(seen) else "") or advise(others),
            )

    def retrying(self, **more: Any) -> AsyncRetrying:
        """Make what tries again as long as it is `Trouble`, with pauses that grow with failures in a row."""
        wait = self._pause + wait_exception(lambda error: error.wait if isinstance(error, Trouble) else 0.0)
        return AsyncRetrying(retry=retry_if_exception_type(Trouble), wait=wait, reraise=True, **more)

    async def admit(self, server: Endpoint) -> None:
        """Check a server that comes back, or raise Trouble: it may have been started again with another model."""
        listed = await server.models(may_lack=self._may_lack_list)
        if listed is not None and self.name not in listed:
            raise Trouble(f"{server.url} {self._verb} other names than {self.name!r}", lost=True)
        if self._check:
            await self._check(server)
        self.lists[server.url] = listed

    def survey(self, ask: Callable[[Endpoint], Coroutine[Any, Any, Any]]) -> dict[str, Any]:
        """Ask something of every server that is not lost, at once; one that cannot answer is lost, until it is admitted.

        Returns:
            Address to answer, or to the `Trouble`.
        """
        servers = [server for server in self._servers.values() if not server.lost]

        async def each() -> list[Any]:
            return await asyncio.gather(*map(ask, servers), return_exceptions=True)

        answers = self._call(each())
        for server, answer in zip(servers, answers, strict=True):
            server.lost = isinstance(answer, Trouble)
            if isinstance(answer, BaseException) and not server.lost:
                raise answer
        return {server.url: answer for server, answer in zip(servers, answers, strict=True)}

    def ask(self, calls: Iterable[Call]) -> Iterator[list[Any]]:
        """Send requests to whichever server is free; yield each result once, with others that are there by then.

        Raises:
            RequestRefused: a request is wrong or not allowed; as everything here, after what was finished was yielded.
            EngineError: an answer means nothing here.
            NoServer: no server answered for as long as the timeout lasts.
        """
        source, current, unanswered = iter(calls), _Round(self, list(self._servers.values())), 0
        fresh = list(islice(source, 4 * self.concurrency * len(self._servers)))
        task = self._call(current.start())
        try:
            while unanswered := unanswered + len(fresh):
                for call in fresh:
                    self._loop.call_soon_threadsafe(current.waiting.put_nowait, call)
                group = [current.answers.get()]
                while not current.answers.empty():
                    group.append(current.answers.get())
                answered = [item for item in group if not isinstance(item, BaseException)]
                unanswered -= len(answered)
                if answered:
                    yield answered
                for error in group:
                    if isinstance(error, BaseException):
                        raise error
                fresh = list(islice(source, len(answered)))
        finally:
            if not self._loop.is_closed():
                self._call(_cancel({task}))

    def _call(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def close(self) -> None:
        """Cancel what is in flight, close all connections and end the thread; a second time does nothing."""
        if self._loop.is_closed():
            return
        self._call(_cancel(asyncio.all_tasks(self._loop)))
        for server in self._servers.values():
            self._call(server.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


async def _cancel(tasks: set[asyncio.Task]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


class _Round:
    """One `ask`: what waits, what was answered or ended it, which servers fail since when, and the last failure."""

    def __init__(self, replicas: Replicas, servers: list[Endpoint]) -> None:
        self._replicas, self._servers = replicas, servers
        self.waiting: asyncio.Queue[Call] = asyncio.Queue()
        self.answers: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._failing = {server.url: time.monotonic() for server in servers if server.lost}
        self._problem, self._advice = "", ""
        self._until: dict[str, float] = {}  # address to when it may be asked again
        self._flying = 0  # requests that were sent and not answered yet

    async def start(self) -> asyncio.Task:
        return asyncio.create_task(self._run())

    async def _run(self) -> None:
        try:
            async with asyncio.timeout(None) as self._deadline, asyncio.TaskGroup() as workers:
                self._give_time()
                # Waiting workers get requests in this order, so neighbours must be of different servers.
                for server in self._servers * self._replicas.concurrency:
                    workers.create_task(self._work(server))
        except TimeoutError:
            what = f"No server answered for {self._replicas.timeout:g} s; the last failure was {self._problem}"
            if back := self._back():
                what = f"No server may be asked for {back - time.monotonic():.0f} s; the last failure was {self._problem}"
            where = ", ".join(server.url for server in self._servers)
            do = self._advice or "start a server and run again (timeout_seconds says how long to wait)"
            self.answers.put(NoServer(what, where=where, do=f"what was finished is kept: {do}"))
        except BaseExceptionGroup as failed:
            self.answers.put(failed.exceptions[0])

    def _give_time(self) -> None:
        """End the round some time after all servers have begun to fail, and now if none may be asked again by then."""
        if not self._deadline.expired():
            none = len(self._failing) == len(self._servers)
            self._deadline.reschedule((time.monotonic() if self._back() else self._end()) if none else None)

    def _end(self) -> float:
        return max(self._failing.values()) + self._replicas.timeout

    def _back(self) -> float:
        """Return when the first server may be asked again where that is after the end, else 0."""
        first = min((self._until.get(url, 0.0) for url in self._failing), default=0.0)
        return first if len(self._failing) == len(self._servers) and not self._flying and first > self._end() else 0.0

    def _note(self, state: RetryCallState) -> None:
        self._problem = self._problem or str(state.outcome and state.outcome.exception())

    async def _work(self, server: Endpoint) -> None:
        while True:
            await self._replicas.retrying(before_sleep=self._note)(self._answer_one, server)

    async def _answer_one(self, server: Endpoint) -> None:
        async with server.gate:  # one worker alone asks a lost server
            if server.lost:
                await self._replicas.retrying(before_sleep=self._note)(self._replicas.admit, server)
                server.lost = False
        call = await self.waiting.get()
        if server.lost:  # it failed while this worker waited for work
            self.waiting.put_nowait(call)
            return
        self._flying += 1
        try:
            self.answers.put(await server.ask(call))
            self._failing.pop(server.url, None)
        except Trouble as trouble:
            # To the end: a request that brings servers down must not hold up the others.
            self.waiting.put_nowait(call)
            self._problem, self._advice = f"{call.id}: {trouble}", trouble.advice
            self._until[server.url] = time.monotonic() + trouble.wait
            server.lost = server.lost or trouble.lost
            self._failing.setdefault(server.url, time.monotonic())
            raise
        finally:
            self._flying -= 1
            self._give_time()
