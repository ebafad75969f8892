"""Requests to a host from an asyncio loop. Runs in: callers.

The same connections as `transport` makes, with the loop's reader callbacks in place of `poll`. They
are plain sockets, not asyncio transports: nothing has to be closed before the loop is.
"""

from __future__ import annotations

import asyncio
import socket
import time
import weakref
from collections.abc import Mapping
from typing import Protocol

from jshost.client.http.async_connection import Connection, connected, connected_unix
from jshost.client.http.connection import no_host, raise_translated
from jshost.client.http.http1 import Endpoint, Response
from jshost.client.http.messages import Request
from jshost.client.http.transport import MAX_IDLE, DeadlinePassed, forget_after_fork, is_plain

__all__ = ["AsyncOpenResponse", "AsyncPlainTransport", "AsyncTransport", "connect"]


class AsyncOpenResponse(Protocol):
    """`transport.OpenResponse` for a loop."""

    status_code: int
    headers: Mapping[str, str]

    async def read(self) -> bytes: ...
    async def close(self) -> None: ...


class AsyncTransport(Protocol):
    """`transport.Transport` for a loop, and only the one that it is first used on."""

    async def request(self, request: Request) -> Response: ...

    async def stream(self, request: Request) -> AsyncOpenResponse: ...

    def close(self) -> None:
        """Close the idle connections; on the loop, or once it is closed."""


def connect(root_url: str, token: str = "") -> AsyncTransport:
    """The transport for a root URL, chosen as `transport.connect` does."""
    if is_plain(root_url):
        return AsyncPlainTransport(root_url, token)
    from jshost.client.http.httpx_transport import AsyncHttpxTransport

    return AsyncHttpxTransport(root_url, token)


class AsyncPlainTransport:
    """HTTP/1.1 over TCP or a unix socket, by `http1`."""

    def __init__(self, root_url: str, token: str = "") -> None:
        self._endpoint = Endpoint(root_url, token)
        self._idle: list[Connection] = []
        self._connections: weakref.WeakSet[Connection] = weakref.WeakSet()
        """All that there are, those that wait for an answer, too."""
        weakref.finalize(self, _close_all, self._idle)
        forget_after_fork(self)

    async def request(self, request: Request) -> Response:
        method, target, headers, body, timeout_s = request
        data = self._endpoint.request(method, target, headers, body)
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        connection = self._sent(data, deadline) or await self._opened(data, deadline, timeout_s)
        parser = connection.parser
        try:
            if connection.unsent:
                await connection.send_rest()
            while not parser.complete:
                await connection.more()
            response = parser.response()
        except BaseException as error:
            connection.close()
            raise_translated(self._endpoint.root_url, error)
            raise
        self.keep(connection)
        return response

    async def stream(self, request: Request) -> AsyncOpenResponse:
        method, target, headers, body, timeout_s = request
        data = self._endpoint.request(method, target, headers, body)
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        connection = self._sent(data, deadline) or await self._opened(data, deadline, timeout_s)
        with connection:
            if connection.unsent:
                await connection.send_rest()
            while not connection.parser.has_head:
                await connection.more()
        return _OpenResponse(self, connection)

    def close(self) -> None:
        _close_all(self._idle)

    def forget(self) -> None:
        """In a forked child: the loop and what it watches are the parent's; close our copies, or
        hosts would not hear when the parent hangs up."""
        self._idle.clear()
        for connection in list(self._connections):
            connection.abandon()

    def keep(self, connection: Connection) -> None:
        """Keep a connection whose answer is whole, or close it."""
        connection.rest()
        if connection.can_be_kept and len(self._idle) < MAX_IDLE:
            self._idle.append(connection)
        else:
            connection.close()

    def _sent(self, data: bytes, deadline: float | None) -> Connection | None:
        """Send a request over a kept connection, where one is open; what was closed by the host
        before any of it was sent is not counted."""
        while self._idle:
            connection = self._idle.pop()
            if connection.is_quiet() and connection.send_first(data, deadline):
                return connection
            connection.close()
        return None

    async def _opened(
        self, data: bytes, deadline: float | None, timeout_s: float | None
    ) -> Connection:
        """As `_sent`, over a new connection."""
        connection = await self._open(timeout_s)
        connection.send_first(data, deadline)
        return connection

    async def _open(self, timeout_s: float | None) -> Connection:
        endpoint = self._endpoint
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(timeout_s):
                if endpoint.unix_path is not None:
                    sock = await connected_unix(endpoint.unix_path)
                else:
                    sock = await self._open_tcp(loop)
                connection = Connection(sock, endpoint, loop)
                self._connections.add(connection)
                return connection
        except OSError as error:
            if isinstance(error, TimeoutError) and error.errno is None:
                raise DeadlinePassed from None
            raise no_host(endpoint.root_url, error) from error

    async def _open_tcp(self, loop: asyncio.AbstractEventLoop) -> socket.socket:
        """Try every address that the name has, in order."""
        host, port = self._endpoint.address
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        failure: OSError = OSError(f"{host} has no address")
        for family, _, _, _, address in found:
            try:
                sock = await connected(family, address)
            except OSError as error:
                failure = error
                continue
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return sock
        raise failure


def _close_all(connections: list[Connection]) -> None:
    while connections:
        connections.pop().close()


class _OpenResponse:
    """A response that is still coming."""

    def __init__(self, transport: AsyncPlainTransport, connection: Connection) -> None:
        head = connection.parser.response()
        self.status_code = head.status_code
        self.headers = head.headers
        self._transport = transport
        self._connection: Connection | None = connection

    async def read(self) -> bytes:
        connection = self._connection
        if connection is None:
            return b""
        with connection:
            while True:
                data = connection.parser.take()
                if data:
                    return data
                if connection.parser.complete:
                    self._connection = None
                    self._transport.keep(connection)
                    return b""
                await connection.more()

    async def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def __del__(self) -> None:
        if self._connection is not None:  # left without a word: the host must hear of it
            self._connection.close_soon()
