"""Our own HTTP/1.1 over TCP or a unix socket, for an asyncio loop. Runs in: callers.

The twin of `plain_transport`. Its connections are plain sockets, not asyncio transports: nothing
has to be closed before the loop is.
"""

from __future__ import annotations

import asyncio
import socket
import time

from jshost.client.http.async_connection import (
    AsyncClientConnection,
    connected,
    connected_unix,
)
from jshost.client.http.errors import no_host, raise_translated
from jshost.client.http.http1 import Endpoint
from jshost.client.http.http_request import HttpRequest
from jshost.client.http.kept_connections import KeptConnections
from jshost.client.http.transport import AsyncOpenResponse
from jshost.client.response import Response

__all__ = ["AsyncPlainTransport"]


class AsyncPlainTransport:
    """An `AsyncTransport` for ``http://`` and ``unix://``."""

    def __init__(self, root_url: str, token: str = "") -> None:
        self._endpoint = Endpoint(root_url, token)
        self._kept: KeptConnections[AsyncClientConnection] = KeptConnections()

    async def request(self, request: HttpRequest) -> Response:
        method, target, headers, body, timeout_s = request
        data = self._endpoint.request(method, target, headers, body)
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        connection = self._kept.sent(data, deadline)
        if connection is None:
            connection = await self._opened(data, deadline, timeout_s)
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
        self._kept.keep(connection)
        return response

    async def stream(self, request: HttpRequest) -> AsyncOpenResponse:
        method, target, headers, body, timeout_s = request
        data = self._endpoint.request(method, target, headers, body)
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        connection = self._kept.sent(data, deadline)
        if connection is None:
            connection = await self._opened(data, deadline, timeout_s)
        with connection:
            if connection.unsent:
                await connection.send_rest()
            while not connection.parser.has_head:
                await connection.more()
        return _AsyncOpenResponse(self._kept, connection)

    def close(self) -> None:
        self._kept.close()

    async def _opened(
        self, data: bytes, deadline: float | None, timeout_s: float | None
    ) -> AsyncClientConnection:
        """Send a request over a new connection."""
        connection = await self._open(timeout_s)
        connection.send_first(data, deadline)
        return connection

    async def _open(self, timeout_s: float | None) -> AsyncClientConnection:
        endpoint = self._endpoint
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(timeout_s):
                if endpoint.unix_path is not None:
                    sock = await connected_unix(endpoint.unix_path)
                else:
                    sock = await self._open_tcp(loop)
                connection = AsyncClientConnection(sock, endpoint, loop)
                self._kept.add(connection)
                return connection
        except OSError as error:
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


class _AsyncOpenResponse:
    """A response that is still coming."""

    def __init__(
        self, kept: KeptConnections[AsyncClientConnection], connection: AsyncClientConnection
    ) -> None:
        head = connection.parser.response()
        self.status_code = head.status_code
        self.headers = head.headers
        self._kept = kept
        self._connection: AsyncClientConnection | None = connection

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
                    self._kept.keep(connection)
                    return b""
                await connection.more()

    async def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def __del__(self) -> None:
        if self._connection is not None:  # it was not closed: the host must see that it is left
            self._connection.close_soon()
