"""Requests to a host over kept-alive connections. Runs in: callers.

`connect` chooses by the URL: a plain ``http://`` one and a unix socket get our own short path,
everything else httpx (`transport_httpx`). What is here may be used from several threads, and leaves
a forked child connections of its own; `transport_async` is the same for an asyncio loop.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time
import weakref
from collections.abc import Mapping
from typing import Any, Protocol
from urllib.parse import urlsplit

from jshost.client.http.connection import Connection, connect_unix, no_host, raise_translated
from jshost.client.http.http1 import UNIX_SCHEME, Endpoint
from jshost.client.http.messages import DeadlinePassed, Request, Response

__all__ = ["DeadlinePassed", "OpenResponse", "PlainTransport", "Transport", "connect", "is_plain"]

MAX_IDLE = 64
"""Connections kept for later; a burst of more threads opens more, and closes them afterwards."""


class OpenResponse(Protocol):
    """A response whose body is read as it comes."""

    status_code: int
    headers: Mapping[str, str]

    def read(self) -> bytes:
        """Some more of the body; b"": that was all, and the connection is kept.

        Raises:
            ConnectionError, DeadlinePassed, UnexpectedResponse: as `Transport.request`.
        """

    def close(self) -> None:
        """Stop reading: the host learns that nobody listens any more."""


class Transport(Protocol):
    """Where requests to one root URL go."""

    def request(self, request: Request) -> Response:
        """Send a request and wait for its answer.

        Raises:
            ConnectionError: nobody listens, or the connection broke.
            DeadlinePassed: its `timeout_s` is over.
            UnexpectedResponse: the answer is not HTTP.
        """

    def stream(self, request: Request) -> OpenResponse:
        """As `request`, returning as soon as the head of the answer has come."""

    def close(self) -> None:
        """Close the idle connections."""


def connect(root_url: str, token: str = "") -> Transport:
    """The transport for a root URL ("http://127.0.0.1:9009", with or without a path)."""
    if is_plain(root_url):
        return PlainTransport(root_url, token)
    from jshost.client.http.httpx_transport import HttpxTransport  # 90 ms, which few have to pay

    return HttpxTransport(root_url, token)


def is_plain(root_url: str) -> bool:
    """Whether our own path leads there: unencrypted, without a proxy in between."""
    if root_url.startswith(UNIX_SCHEME):
        return True
    return root_url.startswith("http://") and not _proxy_for(root_url)


def _proxy_for(root_url: str) -> bool:
    if not any(name.lower() in ("http_proxy", "all_proxy") for name in os.environ):
        return False
    from urllib.request import getproxies, proxy_bypass

    host = urlsplit(root_url).hostname or ""
    if host in ("localhost", "127.0.0.1", "::1"):
        return False
    return bool(getproxies().get("http") or getproxies().get("all")) and not proxy_bypass(host)


class PlainTransport:
    """HTTP/1.1 over TCP or a unix socket, by `http1`."""

    def __init__(self, root_url: str, token: str = "") -> None:
        self._endpoint = Endpoint(root_url, token)
        self._idle: list[Connection] = []
        self._connections: weakref.WeakSet[Connection] = weakref.WeakSet()
        """All that there are, those that wait for an answer, too."""
        weakref.finalize(self, _close_all, self._idle)
        _all.add(self)

    def request(self, request: Request) -> Response:
        timeout_s = request.timeout_s
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        connection = self._sent(request, deadline)
        try:
            if not connection.receive_first(deadline, timeout_s):
                while not connection.receive(deadline):
                    pass
            response = connection.parser.response()
        except BaseException as error:
            connection.close()
            raise_translated(self._endpoint.root_url, error)
            raise
        self.keep(connection)
        return response

    def stream(self, request: Request) -> OpenResponse:
        timeout_s = request.timeout_s
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        connection = self._sent(request, deadline)
        with connection:
            while not connection.parser.has_head:
                connection.receive(deadline)
        return _OpenResponse(self, connection, deadline)

    def close(self) -> None:
        _close_all(self._idle)

    def forget(self) -> None:
        """In a forked child: the connections are the parent's; close our copies, unread, or hosts
        would not hear when the parent hangs up."""
        self._idle.clear()
        for connection in list(self._connections):
            connection.close()

    def keep(self, connection: Connection) -> None:
        """Keep a connection whose answer is whole, or close it."""
        if connection.rest() and len(self._idle) < MAX_IDLE:
            self._idle.append(connection)
        else:
            connection.close()

    def _sent(self, request: Request, deadline: float | None) -> Connection:
        """Send a request; returns the connection that its answer comes on."""
        method, target, headers, body, timeout_s = request
        data = self._endpoint.request(method, target, headers, body)
        connection = self._idle_connection()
        if connection is not None and not connection.send_first(data):
            connection.close()  # by the host, before any of it was sent: so it is sent once
            connection = None
        if connection is None:
            connection = self._open(timeout_s)
            connection.send_first(data)
        if connection.unsent:
            with connection:
                connection.send_rest(deadline)
        return connection

    def _idle_connection(self) -> Connection | None:
        """A kept connection that the host has not closed meanwhile."""
        while True:
            try:
                connection = self._idle.pop()
            except IndexError:
                return None
            if connection.is_quiet():
                return connection
            connection.close()  # EOF, or bytes that nobody asked for

    def _open(self, timeout_s: float | None) -> Connection:
        endpoint = self._endpoint
        try:
            if endpoint.unix_path is None:
                sock = socket.create_connection(endpoint.address, timeout_s)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            else:
                sock = connect_unix(endpoint.unix_path, timeout_s)
        except OSError as error:
            if isinstance(error, TimeoutError) and error.errno is None:
                raise DeadlinePassed from None
            raise no_host(endpoint.root_url, error) from error
        connection = Connection(sock, endpoint)
        self._connections.add(connection)
        return connection


def _close_all(connections: list[Connection]) -> None:
    while connections:
        connections.pop().close()


class _OpenResponse:
    """A response that is still coming."""

    def __init__(
        self,
        transport: PlainTransport,
        connection: Connection,
        deadline: float | None,
    ) -> None:
        head = connection.parser.response()
        self.status_code = head.status_code
        self.headers = head.headers
        self._transport = transport
        self._connection: Connection | None = connection
        self._deadline = deadline

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
                    self._transport.keep(connection)
                    return b""
                connection.receive(self._deadline)

    def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


_all: weakref.WeakSet[Any] = weakref.WeakSet()


def forget_after_fork(transport: Any) -> None:
    """Have `transport.forget()` called in forked children."""
    _all.add(transport)


def _forget_all() -> None:
    with contextlib.suppress(RuntimeError):
        for transport in list(_all):
            transport.forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_all)
