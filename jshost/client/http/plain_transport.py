"""Our own HTTP/1.1 over TCP or a unix socket, for threads. Runs in: callers.

`async_plain_transport` is its twin for asyncio. What they share is in `KeptConnections` and
`ResponseParser`; what is left differs in how it waits. One flow with two drivers (a
generator) costs 6 % more of the caller's time for a small request, so they stay two.
"""

from __future__ import annotations

import socket
import time

from jshost.client.http.connection import ClientConnection, connect_unix
from jshost.client.http.errors import no_host, raise_translated
from jshost.client.http.http1 import Endpoint
from jshost.client.http.http_request import HttpRequest
from jshost.client.http.kept_connections import KeptConnections
from jshost.client.http.transport import OpenResponse
from jshost.client.response import Response

__all__ = ["PlainTransport"]


class PlainTransport:
    """A `Transport` for ``http://`` and ``unix://``."""

    def __init__(self, root_url: str, token: str = "") -> None:
        self._endpoint = Endpoint(root_url, token)
        self._kept: KeptConnections[ClientConnection] = KeptConnections()

    def request(self, request: HttpRequest) -> Response:
        connection = self._sent(request)
        try:
            if not connection.receive_first(request.timeout_s):
                while not connection.receive():
                    pass
            response = connection.parser.response()
        except BaseException as error:
            connection.close()
            raise_translated(self._endpoint.root_url, error)
            raise
        self._kept.keep(connection)
        return response

    def stream(self, request: HttpRequest) -> OpenResponse:
        connection = self._sent(request)
        with connection:
            while not connection.parser.has_head:
                connection.receive()
        return _OpenResponse(self._kept, connection)

    def close(self) -> None:
        self._kept.close()

    def _sent(self, request: HttpRequest) -> ClientConnection:
        """Send a request; returns the connection that its answer comes on."""
        method, target, headers, body, timeout_s = request
        data = self._endpoint.request(method, target, headers, body)
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        connection = self._kept.sent(data, deadline)
        if connection is None:
            connection = self._open(timeout_s)
            connection.send_first(data, deadline)
        if connection.unsent:
            with connection:
                connection.send_rest()
        return connection

    def _open(self, timeout_s: float | None) -> ClientConnection:
        endpoint = self._endpoint
        try:
            if endpoint.unix_path is None:
                sock = socket.create_connection(endpoint.address, timeout_s)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            else:
                sock = connect_unix(endpoint.unix_path, timeout_s)
        except OSError as error:
            raise no_host(endpoint.root_url, error) from error
        connection = ClientConnection(sock, endpoint)
        self._kept.add(connection)
        return connection


class _OpenResponse:
    """A response that is still coming."""

    def __init__(
        self, kept: KeptConnections[ClientConnection], connection: ClientConnection
    ) -> None:
        head = connection.parser.response()
        self.status_code = head.status_code
        self.headers = head.headers
        self._kept = kept
        self._connection: ClientConnection | None = connection

    def read(self) -> bytes:
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
                connection.receive()

    def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()
