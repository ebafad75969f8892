"""What the tests of all transports share: one way to make each of them, for the same tests.

Over a unix socket a test's URL is the same one: a `TinyServer` listens on both.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, TypeVar

import pytest
from support.hosts import wait_until
from support.tiny_server import unix_url

from jshost.client.http.async_plain_transport import AsyncPlainTransport
from jshost.client.http.http_request import HttpRequest
from jshost.client.http.httpx_transport import AsyncHttpxTransport, HttpxTransport
from jshost.client.http.plain_transport import PlainTransport
from jshost.client.http.transport import AsyncOpenResponse, AsyncTransport, OpenResponse, Transport
from jshost.client.response import Response

__all__ = ["KINDS", "TIMEOUT_S", "Connect", "LoopThread", "OnLoop", "post", "to", "to_tcp"]

TIMEOUT_S = 10.0

Connect = Callable[[str], Transport]
T = TypeVar("T")


class LoopThread:
    """An asyncio loop that runs in a thread of its own."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.complaints: list[str] = []
        """What the loop's exception handler was told."""
        self.loop.set_exception_handler(lambda _, told: self.complaints.append(str(told)))
        self._thread = threading.Thread(target=self.loop.run_forever)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(3 * TIMEOUT_S)

    def close(self) -> None:
        """Fails where a task is left."""
        wait_until(lambda: self.run(self._tasks()) == [], TIMEOUT_S, "end of the loop's tasks")
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(TIMEOUT_S)
        self.loop.run_until_complete(self._finish_generators())
        self.loop.run_until_complete(self.loop.shutdown_default_executor())
        self.loop.close()
        assert self.complaints == [], self.complaints

    async def _finish_generators(self) -> None:
        """As `asyncio.run` does: those that were collected after the last look have tasks, too."""
        await self.loop.shutdown_asyncgens()
        if tasks := asyncio.all_tasks() - {asyncio.current_task()}:
            await asyncio.wait(tasks, timeout=TIMEOUT_S)

    async def _tasks(self) -> list[str]:
        return [repr(task) for task in asyncio.all_tasks() - {asyncio.current_task()}]


class OnLoop:
    """An `AsyncTransport` for tests that are written for threads."""

    def __init__(self, there: AsyncTransport, thread: LoopThread) -> None:
        self._there = there
        self._thread = thread

    def request(self, request: HttpRequest) -> Response:
        return self._thread.run(self._there.request(request))

    def stream(self, request: HttpRequest) -> OpenResponse:
        opened = self._there.stream(request)
        return _OpenOnLoop(self._thread.run(opened), self._thread)

    def close(self) -> None:
        self._thread.run(self._close())

    async def _close(self) -> None:
        self._there.close()


class _OpenOnLoop:
    def __init__(self, response: AsyncOpenResponse, thread: LoopThread) -> None:
        self.status_code = response.status_code
        self.headers = response.headers
        self._response = response
        self._thread = thread

    def read(self) -> bytes:
        return self._thread.run(self._response.read())

    def close(self) -> None:
        self._thread.run(self._response.close())


KINDS: dict[str, Callable[[str], Any]] = {
    "plain": PlainTransport,
    "httpx": HttpxTransport,
    "async plain": AsyncPlainTransport,
    "async httpx": AsyncHttpxTransport,
    "unix": lambda url: PlainTransport(unix_url(url)),
    "async unix": lambda url: AsyncPlainTransport(unix_url(url)),
}


def _transports(kind: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Connect]:
    for name in ("HTTP_PROXY", "ALL_PROXY", "http_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    made: list[Any] = []
    thread = LoopThread() if kind.startswith("async") else None

    def make(root_url: str) -> Transport:
        transport = KINDS[kind](root_url)
        made.append(transport if thread is None else OnLoop(transport, thread))
        there: Transport = made[-1]
        return there

    yield make
    for transport in made:
        transport.close()
    if thread is not None:
        thread.close()


@pytest.fixture(params=list(KINDS))
def to(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Connect]:
    """Make a transport to a root URL; closed at the test's end."""
    yield from _transports(request.param, monkeypatch)


@pytest.fixture(params=[kind for kind in KINDS if "unix" not in kind])
def to_tcp(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Connect]:
    """As `to`, for what a URL of http says and one of a unix socket does not."""
    yield from _transports(request.param, monkeypatch)


def post(transport: Transport, body: bytes = b"{}", timeout_s: float | None = TIMEOUT_S) -> bytes:
    return transport.request(
        HttpRequest("POST", "/function/f", body=body, timeout_s=timeout_s)
    ).content
