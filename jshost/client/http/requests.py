"""Requests to a host that may move, by threads and asyncio loops. Runs in: callers.

The two drivers differ in how they wait, and in nothing else.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

from jshost.client.http.messages import Request
from jshost.client.http.served import (
    STREAMED_ANSWERS,
    read_answer,
    read_batch_answer,
    write_batch,
    write_call,
)
from jshost.client.http.transport import OpenResponse, Transport, aread_whole, read_whole
from jshost.client.http.transport_choice import connect, connect_async
from jshost.client.response import Response
from jshost.exceptions import ConnectionError

if TYPE_CHECKING:
    import asyncio

    from jshost.client.host import (
        Answer,
        AnswerStream,
        AsyncAnswerStream,
        BatchAnswer,
        BatchRequest,
        CallRequest,
    )
    from jshost.client.http.transport import AsyncOpenResponse, AsyncTransport

__all__ = ["HostRequests"]

MOVING_S = 1.0
MOVING_POLL_S = 0.02


class HostRequests:
    """The calling side of `JSHost`."""

    def __init__(self) -> None:
        self._transport: Transport | None = None
        self._async_transports: dict[asyncio.AbstractEventLoop, AsyncTransport] = {}
        self._managed: dict[str, Any] | None = None
        """What the manager said of the host that this process holds."""
        self._lock = threading.Lock()

    def _locate(self) -> tuple[str, str, str]:
        """The root URL, the one by which this process gets there fastest, and the token."""
        raise NotImplementedError

    @property
    def _moves(self) -> bool:
        """Whether a restarted host may listen at another address than before."""
        raise NotImplementedError

    def after_fork(self) -> None:
        """In a forked child: connections and the hold on a managed host are the parent's."""
        self._lock = threading.Lock()
        self._transport = self._managed = None
        self._async_transports = {}

    # What a `Function` asks for; see `jshost.client.host.Host`

    @property
    def managed_logfile(self) -> str | None:
        """The log of the managed host that this process holds, as the manager named it."""
        return self._managed["logfile"] if self._managed is not None else None

    def call(self, request: CallRequest) -> Answer:
        response = self.request(write_call(request))
        return read_answer(request.name, response, self._managed)

    async def acall(self, request: CallRequest) -> Answer:
        response = await self.arequest(write_call(request))
        return read_answer(request.name, response, self._managed)

    def batch(self, request: BatchRequest) -> BatchAnswer:
        return read_batch_answer(self.request(write_batch(request)), self._managed)

    async def abatch(self, request: BatchRequest) -> BatchAnswer:
        return read_batch_answer(await self.arequest(write_batch(request)), self._managed)

    def stream(self, request: CallRequest) -> AnswerStream | Answer:
        from jshost.client.http.event_streams import EventStream, is_event_stream

        answer = self.open(write_call(request, STREAMED_ANSWERS))
        if not isinstance(answer, Response):
            if is_event_stream(answer):
                return EventStream(request.name, answer, self._managed)
            answer = read_whole(answer)
        return read_answer(request.name, answer, self._managed)

    async def astream(self, request: CallRequest) -> AsyncAnswerStream | Answer:
        from jshost.client.http.event_streams import AsyncEventStream, is_event_stream

        answer = await self.aopen(write_call(request, STREAMED_ANSWERS))
        if not isinstance(answer, Response):
            if is_event_stream(answer):
                return AsyncEventStream(request.name, answer, self._managed)
            answer = await aread_whole(answer)
        return read_answer(request.name, answer, self._managed)

    # Over HTTP

    def request(self, request: Request) -> Response:
        """One HTTP request to the host; see `Transport.request`."""
        moving: _Moving | None = None
        while True:
            transport = self._transport or self._connected()
            try:
                response = transport.request(request)
                if self._managed is None:
                    return response
                moving = moving or _Moving(self)
                if not moving.tries_again(response):
                    return response
            except ConnectionError as error:
                moving = moving or _Moving(self)
                if not moving.tries_again(error):
                    raise
            time.sleep(MOVING_POLL_S)

    def open(self, request: Request) -> OpenResponse | Response:
        """As `request`, with an answer of status 200 read as it comes; see `Transport.stream`."""
        moving = _Moving(self)
        while True:
            transport = self._transport or self._connected()
            try:
                answer = transport.stream(request)
                if answer.status_code == 200:
                    return answer
                response = read_whole(answer)
                if not moving.tries_again(response):
                    return response
            except ConnectionError as error:
                if not moving.tries_again(error):
                    raise
            time.sleep(MOVING_POLL_S)

    async def arequest(self, request: Request) -> Response:
        """As `request`, from any asyncio loop."""
        import asyncio

        moving: _Moving | None = None
        loop = asyncio.get_running_loop()
        while True:
            transport = self._async_transports.get(loop) or await self._connected_async(loop)
            try:
                response = await transport.request(request)
                if self._managed is None:
                    return response
                moving = moving or _Moving(self)
                if not moving.tries_again(response):
                    return response
            except ConnectionError as error:
                moving = moving or _Moving(self)
                if not moving.tries_again(error):
                    raise
            await _sleep(MOVING_POLL_S)

    async def aopen(self, request: Request) -> AsyncOpenResponse | Response:
        """As `open`, from any asyncio loop."""
        import asyncio

        moving = _Moving(self)
        loop = asyncio.get_running_loop()
        while True:
            transport = self._async_transports.get(loop) or await self._connected_async(loop)
            try:
                answer = await transport.stream(request)
                if answer.status_code == 200:
                    return answer
                response = await aread_whole(answer)
                if not moving.tries_again(response):
                    return response
            except ConnectionError as error:
                if not moving.tries_again(error):
                    raise
            await _sleep(MOVING_POLL_S)

    def _connected(self) -> Transport:
        with self._lock:
            self._transport = self._transport or connect(*self._locate()[1:])
            return self._transport

    async def _connected_async(self, loop: asyncio.AbstractEventLoop) -> AsyncTransport:
        import asyncio

        url, token = await asyncio.to_thread(self._locate_once)
        transport = self._async_transports.get(loop)
        if transport is None:
            for other in [each for each in self._async_transports if each.is_closed()]:
                self._async_transports.pop(other).close()
            transport = self._async_transports[loop] = connect_async(url, token)
        return transport

    def _locate_once(self) -> tuple[str, str]:
        """Where the host is, and its token; one thread at a time looks, or has it started."""
        with self._lock:
            return self._locate()[1:]

    def forget(self) -> None:
        """Find the host anew at the next call: the settings, or the host, have changed."""
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


class _Moving:
    """One request to a host that may move: restarted hosts listen elsewhere."""

    __slots__ = ("_give_up", "_host")

    def __init__(self, host: HostRequests) -> None:
        self._host = host
        self._give_up = 0.0

    def tries_again(self, outcome: Response | ConnectionError) -> bool:
        """Whether the host is to be found anew and asked again; for a second at most.

        It is when nothing was sent, since nobody listens there: the host may have come back
        elsewhere, or, when it was killed just now, the manager may not have noticed yet. And when
        a managed host takes no more calls.
        """
        host = self._host
        if isinstance(outcome, ConnectionError):
            refused = isinstance(outcome.__cause__, ConnectionRefusedError | FileNotFoundError)
            again = refused and host._moves
            if host._moves and not refused:
                host.forget()  # it may have died: the next call looks for it anew
        else:
            again = host._managed is not None and _is_leaving(outcome)
        now = time.monotonic()
        if not again or (self._give_up and now >= self._give_up):
            return False
        self._give_up = self._give_up or now + MOVING_S
        host.forget()
        return True


async def _sleep(seconds: float) -> None:
    import asyncio

    await asyncio.sleep(seconds)


def _is_leaving(response: Response) -> bool:
    """Whether the host takes no more calls: it stops, or ends as its worker did. This call was
    not begun, and the manager knows what comes next."""
    if response.status_code != 503:
        return False
    try:
        envelope = response.json()
    except ValueError:
        return False
    return isinstance(envelope, dict) and envelope.get("code") == "draining"
