"""Sends requests to a host that may move, from threads and asyncio loops. Runs in: callers.

`send` and `asend` are two drivers of one decision, which `retry` makes; they differ in how they
wait.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Literal, overload

from jshost.client.http.forks import call_after_fork
from jshost.client.http.http_request import HttpRequest
from jshost.client.http.retry import RETRY_POLL_S, Next, Retry
from jshost.client.http.transport import OpenResponse, Transport, aread_whole, read_whole
from jshost.client.http.transport_choice import connect, connect_async
from jshost.client.response import Response
from jshost.exceptions import ConnectionError

if TYPE_CHECKING:
    import asyncio

    from jshost.client.http.host_hold import HostHold
    from jshost.client.http.locator import Locator
    from jshost.client.http.transport import AsyncOpenResponse, AsyncTransport

__all__ = ["Requester"]


class Requester:
    """Keeps the transports to one host."""

    def __init__(self, locator: Locator, managed: HostHold) -> None:
        self._locator = locator
        self._managed = managed
        self._transport: Transport | None = None
        self._async_transports: dict[asyncio.AbstractEventLoop, AsyncTransport] = {}
        self._lock = threading.Lock()
        call_after_fork(self)

    @overload
    def send(self, request: HttpRequest) -> Response: ...

    @overload
    def send(self, request: HttpRequest, is_open: Literal[True]) -> OpenResponse | Response: ...

    def send(self, request: HttpRequest, is_open: bool = False) -> OpenResponse | Response:
        """Send a request to the host.

        Args:
            is_open: return an answer of status 200 as soon as its head has come.

        Raises:
            ConnectionError, DeadlinePassed, UnexpectedResponse: see `Transport.request`.
            JSHostError: no host is found; see `Locator.locate`.
        """
        retry: Retry | None = None
        while True:
            transport = self._transport or self._connected()
            try:
                if is_open:
                    opened = transport.stream(request)
                    if opened.status_code == 200:
                        return opened
                    response = read_whole(opened)
                else:
                    response = transport.request(request)
                if self._managed.held is None:
                    return response
                retry = retry or Retry()
                if not self._sends_again(retry, response):
                    return response
            except ConnectionError as error:
                retry = retry or Retry()
                if not self._sends_again(retry, error):
                    raise
            time.sleep(RETRY_POLL_S)

    @overload
    async def asend(self, request: HttpRequest) -> Response: ...

    @overload
    async def asend(
        self, request: HttpRequest, is_open: Literal[True]
    ) -> AsyncOpenResponse | Response: ...

    async def asend(
        self, request: HttpRequest, is_open: bool = False
    ) -> AsyncOpenResponse | Response:
        """As `send`, from any asyncio loop."""
        import asyncio

        retry: Retry | None = None
        loop = asyncio.get_running_loop()
        while True:
            transport = self._async_transports.get(loop) or await self._connected_async(loop)
            try:
                if is_open:
                    opened = await transport.stream(request)
                    if opened.status_code == 200:
                        return opened
                    response = await aread_whole(opened)
                else:
                    response = await transport.request(request)
                if self._managed.held is None:
                    return response
                retry = retry or Retry()
                if not self._sends_again(retry, response):
                    return response
            except ConnectionError as error:
                retry = retry or Retry()
                if not self._sends_again(retry, error):
                    raise
            await asyncio.sleep(RETRY_POLL_S)

    def forget(self) -> None:
        """Look for the host again at the next request: the settings, or the host, have changed."""
        with self._lock:
            transport, self._transport = self._transport, None
            async_transports, self._async_transports = self._async_transports, {}
        if transport is not None:
            transport.close()
        for loop, each in async_transports.items():
            if loop.is_closed():
                each.close()
            else:
                loop.call_soon_threadsafe(each.close)

    def after_fork(self) -> None:
        """The connections are the parent's, and another thread may have held the lock."""
        self._lock = threading.Lock()
        self._transport = None
        self._async_transports = {}

    def _sends_again(self, retry: Retry, outcome: Response | ConnectionError) -> bool:
        is_managed = self._managed.held is not None
        step = retry.next(outcome, moves=self._locator.moves, is_managed=is_managed)
        if step is not Next.DELIVER:
            self.forget()
        return step is Next.SEND_AGAIN

    def _connected(self) -> Transport:
        with self._lock:
            self._transport = self._transport or connect(*self._locator.locate()[1:])
            return self._transport

    async def _connected_async(self, loop: asyncio.AbstractEventLoop) -> AsyncTransport:
        import asyncio

        url, token = await asyncio.to_thread(self._located)
        transport = self._async_transports.get(loop)
        if transport is None:
            for other in [each for each in self._async_transports if each.is_closed()]:
                self._async_transports.pop(other).close()
            transport = self._async_transports[loop] = connect_async(url, token)
        return transport

    def _located(self) -> tuple[str, str]:
        """The fastest URL, and the token; one thread at a time looks, or has the host started."""
        with self._lock:
            return self._locator.locate()[1:]
