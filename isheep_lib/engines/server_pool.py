"""Several servers of one model: every request is answered once, by whichever server is free.

    replicas = Replicas(urls, key, limits)
    for answers in replicas.ask(calls):        # [(call, JSON answer), …], in the order of arrival

Covers requests in flight, waiting, failing over, patience. Does not cover HTTP (`engines.http`) or what a request and an
answer mean (`server_engine`).
"""

import asyncio
import concurrent.futures
import queue
import random
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import httpx

from isheep_lib.engines.http import Call, Endpoint, RequestRefused, Trouble
from isheep_lib.errors import EngineError

GROUP = 64  # answers handed over together at most


class NoServer(EngineError):
    """No server answered for too long."""


@dataclass(frozen=True)
class Limits:
    """How much is asked of servers at once, and how long to wait, in seconds.

    Attributes:
        concurrency: requests in flight at each address.
        request: longest time for one answer.
        patience: longest time without any server.
        first_pause: wait after a server's first failure; doubles with each further one.
        longest_pause: limit of that.
        group: longest time that an answer waits for others before it is handed over.
    """

    concurrency: int
    request: float
    patience: float
    first_pause: float = 0.5
    longest_pause: float = 30.0
    group: float = 1.0


@dataclass
class _Replica:
    """One server and its health; failures of requests that were in flight together count once."""

    endpoint: Endpoint
    lost: bool = False
    epoch: int = 0
    failures: int = 0
    resume_at: float = 0.0
    failing_since: float | None = None
    gate: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def resting(self) -> bool:
        return self.lost or self.resume_at > time.monotonic()

    def failed(self, trouble: Trouble, epoch: int, limits: Limits) -> None:
        self.lost = self.lost or trouble.lost
        self.failing_since = self.failing_since or time.monotonic()
        if epoch == self.epoch:
            self.epoch, self.failures = epoch + 1, self.failures + 1
            pause = min(limits.longest_pause, limits.first_pause * 2 ** min(self.failures - 1, 20))
            # Servers that failed together must not be asked together again.
            self.resume_at = time.monotonic() + max(trouble.wait, pause * random.uniform(0.5, 1.0))  # noqa: S311

    def answered(self, epoch: int) -> None:
        self.failing_since = None
        if epoch == self.epoch:
            self.failures = 0


@dataclass(eq=False)
class _Round:
    """One `ask`: what waits, what was answered, and the last thing that went wrong."""

    started: float = field(default_factory=time.monotonic)
    waiting: asyncio.Queue[Call] = field(default_factory=asyncio.Queue)
    answers: queue.SimpleQueue[tuple[Call, dict] | None] = field(default_factory=queue.SimpleQueue)
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    problem: str = ""


class Replicas:
    """Servers of one model, in a thread with an event loop of its own: a notebook's main thread has one already."""

    def __init__(self, urls: list[str], key: str, limits: Limits) -> None:
        """Connect to nothing yet.

        Args:
            urls: addresses below which paths lie.
            key: sent as bearer token; "" sends none.
            limits: requests in flight and seconds.

        Raises:
            EngineError: the key cannot be sent.
        """
        endpoints = [Endpoint(url.rstrip("/"), key, limits.request) for url in urls]
        self._replicas = {endpoint.url: _Replica(endpoint) for endpoint in endpoints}
        self._limits = limits
        self._admit: Callable[[Endpoint], Awaitable[None]] | None = None
        self._rounds: list[tuple[_Round, concurrent.futures.Future]] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="isheep-servers", daemon=True)
        self._thread.start()

    @property
    def urls(self) -> list[str]:
        """The addresses that are used."""
        return list(self._replicas)

    def use(self, urls: list[str], admit: Callable[[Endpoint], Awaitable[None]]) -> None:
        """Use only these addresses.

        Args:
            urls: the addresses.
            admit: called before a lost server is asked again; raises Trouble to leave it out for now.
        """
        self._admit = admit
        for url in self._replicas.keys() - set(urls):
            self._run(self._replicas.pop(url).endpoint.close())

    def lose(self, url: str) -> None:
        """Leave out a server until it is admitted."""
        self._replicas[url].lost, self._replicas[url].failing_since = True, time.monotonic()

    def survey(self, path: str, *, root: bool = False) -> dict[str, httpx.Response | EngineError | Trouble]:
        """GET a path from every address at once; what went wrong stands for the answer."""

        async def one(endpoint: Endpoint) -> httpx.Response | EngineError | Trouble:
            try:
                return await endpoint.get(path, root=root)
            except (Trouble, RequestRefused) as problem:
                return problem

        async def each() -> list[httpx.Response | EngineError | Trouble]:
            return await asyncio.gather(*(one(replica.endpoint) for replica in self._replicas.values()))

        return dict(zip(self._replicas, self._run(each()), strict=True))

    def ask(self, calls: Iterable[Call], urls: list[str] | None = None) -> Iterator[list[tuple[Call, dict]]]:
        """Send requests to whichever server is free; yield each answer once, in small groups as they arrive.

        Args:
            calls: requests; they are taken as they are needed.
            urls: the servers to ask, all if None.

        Raises:
            RequestRefused: a request is wrong or not allowed.
            NoServer: no server answered for as long as patience lasts.
        """
        chosen = [self._replicas[url] for url in (self._replicas if urls is None else urls)]
        source, current = iter(calls), _Round()
        future = asyncio.run_coroutine_threadsafe(self._serve(current, chosen), self._loop)
        future.add_done_callback(lambda _: current.answers.put(None))
        self._rounds.append((current, future))
        try:
            unanswered = self._feed(current, islice(source, 4 * self._limits.concurrency * len(chosen)))
            while unanswered:
                group, ended = self._collect(current, unanswered)
                unanswered += self._feed(current, islice(source, len(group))) - len(group)
                if group:
                    yield group
                if ended:
                    future.result()
        finally:
            self._end(current, future)

    def _end(self, current: _Round, future: concurrent.futures.Future) -> None:
        """Cancel what a round has in flight; it may have ended, or been ended by `close`, before."""
        if (current, future) in self._rounds:
            self._rounds.remove((current, future))
            self._loop.call_soon_threadsafe(current.stop.set)
            concurrent.futures.wait([future])

    def _feed(self, current: _Round, calls: Iterable[Call]) -> int:
        fresh = list(calls)
        for call in fresh:
            self._loop.call_soon_threadsafe(current.waiting.put_nowait, call)
        return len(fresh)

    def _collect(self, current: _Round, most: int) -> tuple[list[tuple[Call, dict]], bool]:
        """Wait for an answer and those that follow soon; tell whether the round has ended."""
        group: list[tuple[Call, dict]] = []
        item = current.answers.get()
        deadline = time.monotonic() + self._limits.group
        while item is not None:
            group.append(item)
            if len(group) >= min(GROUP, most):
                return group, False
            try:
                item = current.answers.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                return group, False
        return group, True

    async def _serve(self, current: _Round, replicas: list[_Replica]) -> None:
        # Waiting workers get requests in this order, so neighbours must be of different servers.
        workers = [self._work(current, replica) for _ in range(self._limits.concurrency) for replica in replicas]
        tasks = [asyncio.create_task(work) for work in (*workers, self._watch(current, replicas), current.stop.wait())]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        for task in done:
            task.result()

    async def _work(self, current: _Round, replica: _Replica) -> None:
        while True:
            while replica.resting:
                await self._rest(current, replica)
            call = await current.waiting.get()
            if replica.resting:  # it failed while this worker waited for work
                current.waiting.put_nowait(call)
                continue
            epoch = replica.epoch
            try:
                answer = await replica.endpoint.post(call)
            except Trouble as trouble:
                # To the end: a request that brings servers down must not hold up the others.
                current.waiting.put_nowait(call)
                current.problem = f"{call.id}: {trouble}"
                replica.failed(trouble, epoch, self._limits)
            else:
                replica.answered(epoch)
                current.answers.put((call, answer))

    async def _rest(self, current: _Round, replica: _Replica) -> None:
        pause = replica.resume_at - time.monotonic()
        if pause > 0:
            await asyncio.sleep(pause)
            return
        async with replica.gate:
            if not replica.lost or replica.resume_at > time.monotonic():
                return
            try:
                if self._admit:
                    await self._admit(replica.endpoint)
                replica.lost = False
            except Trouble as trouble:
                current.problem = current.problem or str(trouble)
                replica.failed(trouble, replica.epoch, self._limits)

    async def _watch(self, current: _Round, replicas: list[_Replica]) -> None:
        while True:
            await asyncio.sleep(min(1.0, self._limits.patience / 10))
            since = [replica.failing_since for replica in replicas]
            if None in since or time.monotonic() - max(current.started, *since) < self._limits.patience:
                continue
            raise NoServer(
                f"No server answered for {self._limits.patience:g} s; the last failure was {current.problem}",
                where=", ".join(replica.endpoint.url for replica in replicas),
                do="what was finished is kept: start a server and run again (patience_seconds says how long to wait)",
            )

    def _run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def close(self) -> None:
        """Close all connections and end the thread; a second time does nothing."""
        if self._loop.is_closed():
            return
        for current, future in list(self._rounds):
            self._end(current, future)
        for replica in self._replicas.values():
            self._run(replica.endpoint.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
