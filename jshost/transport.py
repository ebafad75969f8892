"""Requests to a host over kept-alive connections. Runs in: callers.

`connect` chooses by the URL: a plain ``http://`` one gets our own short path, everything else
httpx. Both are safe to use from several threads, and leave a forked child connections of its own.
"""

from __future__ import annotations

import base64
import contextlib
import os
import select
import socket
import threading
import time
import weakref
from collections.abc import Mapping
from typing import Any, Protocol
from urllib.parse import unquote, urlsplit

from jshost.exceptions import ConnectionError, UnexpectedResponse
from jshost.http1 import Response, ResponseParser, request_line, request_tail

__all__ = ["DeadlinePassed", "Transport", "connect"]

READ_BYTES = 256 * 1024
MAX_IDLE = 64
"""Connections kept for later; a burst of more threads opens more, and closes them afterwards."""


MAX_TAILS = 64


class DeadlinePassed(Exception):
    """No answer within the time that the request had."""


class Transport(Protocol):
    """Where requests to one root URL go."""

    def request(
        self,
        method: str,
        target: str,
        headers: Mapping[str, str],
        body: bytes,
        timeout_s: float | None,
    ) -> Response:
        """Send a request and wait for its answer.

        Args:
            target: path and query, percent-escaped, beginning with "/".
            timeout_s: seconds that all of it may take, or None.

        Raises:
            ConnectionError: nobody listens, or the connection broke.
            DeadlinePassed: `timeout_s` is over.
            UnexpectedResponse: the answer is not HTTP.
        """
        ...

    def close(self) -> None:
        """Close the idle connections."""
        ...


def connect(root_url: str) -> Transport:
    """The transport for a root URL ("http://127.0.0.1:9009", with or without a path)."""
    if root_url.startswith("http://") and not _proxy_for(root_url):
        return PlainTransport(root_url)
    return HttpxTransport(root_url)


def _proxy_for(root_url: str) -> bool:
    if not any(name.lower() in ("http_proxy", "all_proxy") for name in os.environ):
        return False
    from urllib.request import getproxies, proxy_bypass

    host = urlsplit(root_url).hostname or ""
    if host in ("localhost", "127.0.0.1", "::1"):
        return False
    return bool(getproxies().get("http") or getproxies().get("all")) and not proxy_bypass(host)


class PlainTransport:
    """HTTP/1.1 over TCP, by `http1`."""

    def __init__(self, root_url: str) -> None:
        parts = urlsplit(root_url)
        self._root_url = root_url
        self._prefix = parts.path.rstrip("/")
        self._netloc = parts.netloc.rpartition("@")[2]
        self._address = (parts.hostname or "localhost", parts.port or 80)
        self._idle: list[_Connection] = []
        weakref.finalize(self, _close_all, self._idle)
        self._authorization = _basic_authorization(parts.username, parts.password)
        self._tails: dict[tuple[tuple[str, str], ...], bytes] = {}
        _all.add(self)

    def _head(self, method: str, target: str, headers: Mapping[str, str]) -> bytes:
        """A request's head up to the length. What calls have in common is prepared once."""
        known = tuple(headers.items())
        tail = self._tails.get(known)
        if tail is None:
            tail = request_tail(self._netloc, {**self._authorization, **headers})
            if len(self._tails) < MAX_TAILS:
                self._tails[known] = tail
        return request_line(method, self._prefix + target) + tail

    def request(
        self,
        method: str,
        target: str,
        headers: Mapping[str, str],
        body: bytes,
        timeout_s: float | None,
    ) -> Response:
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        data = self._head(method, target, headers) + b"%d\r\n\r\n%s" % (len(body), body)
        connection = self._idle_connection() or self._open(timeout_s)
        try:
            response, keep = connection.exchange(data, deadline)
        except BaseException as error:
            connection.close()
            if isinstance(error, TimeoutError):
                raise DeadlinePassed from None
            if isinstance(error, OSError):
                raise ConnectionError(
                    f"{self._root_url}: the connection broke ({error.strerror or error}) before "
                    "the answer was whole; the call may have run."
                ) from error
            if isinstance(error, ValueError):
                raise UnexpectedResponse(f"{self._root_url}: {error}") from error
            raise
        if keep and len(self._idle) < MAX_IDLE:
            self._idle.append(connection)
        else:
            connection.close()
        return response

    def close(self) -> None:
        _close_all(self._idle)

    def forget(self) -> None:
        """In a forked child: the connections are the parent's; close our copies, unread."""
        self.close()

    def _idle_connection(self) -> _Connection | None:
        """A kept connection that the host has not closed meanwhile."""
        while True:
            try:
                connection = self._idle.pop()
            except IndexError:
                return None
            if connection.is_quiet():
                return connection
            connection.close()  # EOF, or bytes that nobody asked for

    def _open(self, timeout_s: float | None) -> _Connection:
        try:
            sock = socket.create_connection(self._address, timeout_s)
        except TimeoutError:
            raise DeadlinePassed from None
        except OSError as error:
            raise ConnectionError(
                f"No host answers at {self._root_url} ({error.strerror or error}). Start one with: "
                "jshost serve CONFIG"
            ) from error
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return _Connection(sock)


def _basic_authorization(name: str | None, password: str | None) -> dict[str, str]:
    """The header for a name and a password in the URL (RFC 7617)."""
    if name is None:
        return {}
    pair = f"{unquote(name)}:{unquote(password or '')}".encode()
    return {"Authorization": f"Basic {base64.b64encode(pair).decode()}"}


def _close_all(connections: list[_Connection]) -> None:
    while connections:
        connections.pop().close()


class _Connection:
    """One kept-alive connection. The socket does not block; `poll` does, until the deadline."""

    __slots__ = ("_poll", "_socket")

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self._socket = sock
        self._poll = select.poll()
        self._poll.register(sock, select.POLLIN)

    def is_quiet(self) -> bool:
        """Whether nothing came since the last answer, no end either."""
        return not self._poll.poll(0)

    def exchange(self, data: bytes, deadline: float | None) -> tuple[Response, bool]:
        """Send, and read one response; also whether the connection can be kept.

        Raises:
            TimeoutError, OSError: the deadline passed, the connection broke.
            ValueError: what came is not HTTP.
        """
        broken: OSError | None = None
        try:
            sent = self._socket.send(data)
            if sent < len(data):
                self._send_rest(memoryview(data)[sent:], deadline)
        except TimeoutError:
            raise
        except OSError as error:
            broken = error  # the host may have answered (413, say) and closed before it read it all
        parser = ResponseParser()
        while True:
            self._poll.poll(_left_ms(deadline))
            try:
                received = self._socket.recv(READ_BYTES)
            except BlockingIOError:
                continue
            if not received:
                if parser.end():
                    return parser.response(), False
                raise broken or OSError("closed by the host")
            if parser.feed(received):
                return parser.response(), parser.keep_alive and broken is None

    def close(self) -> None:
        self._socket.close()

    def _send_rest(self, rest: memoryview, deadline: float | None) -> None:
        """Send what the socket's buffer did not take, unless the host answers already."""
        self._poll.modify(self._socket, select.POLLIN | select.POLLOUT)
        try:
            while rest:
                for _, events in self._poll.poll(_left_ms(deadline)):
                    if events & ~select.POLLOUT:
                        raise OSError("answered before the request was whole")
                    rest = rest[self._socket.send(rest) :]
        finally:
            self._poll.modify(self._socket, select.POLLIN)


def _left_ms(deadline: float | None) -> float | None:
    """Milliseconds until the deadline. Raises: TimeoutError: there are none."""
    if deadline is None:
        return None
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left * 1000 + 1  # poll rounds down: without it the last millisecond would spin


class HttpxTransport:
    """https, proxies and whatever else is unusual, by httpx."""

    def __init__(self, root_url: str) -> None:
        self._root_url = root_url
        self._client: Any = None
        self._lock = threading.Lock()
        _all.add(self)

    def request(
        self,
        method: str,
        target: str,
        headers: Mapping[str, str],
        body: bytes,
        timeout_s: float | None,
    ) -> Response:
        import httpx

        with self._lock:
            if self._client is None:
                limits = httpx.Limits(max_connections=None, max_keepalive_connections=MAX_IDLE)
                self._client = httpx.Client(limits=limits)
            client = self._client
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        try:
            with client.stream(
                method,
                self._root_url + target,
                content=body,
                headers=dict(headers),
                timeout=timeout_s,
            ) as answer:
                content = []
                for chunk in answer.iter_bytes():  # httpx limits each read, not their sum
                    _left_ms(deadline)
                    content.append(chunk)
        except (httpx.TimeoutException, TimeoutError):
            raise DeadlinePassed from None
        except httpx.ConnectError as error:
            raise ConnectionError(f"No host answers at {self._root_url} ({error}).") from error
        except httpx.HTTPError as error:
            is_protocol = isinstance(error, httpx.RemoteProtocolError)
            if is_protocol and not any(word in str(error) for word in ("closed", "disconnected")):
                raise UnexpectedResponse(f"{self._root_url}: {error}") from error
            raise ConnectionError(
                f"{self._root_url}: the connection broke ({error}) before the answer was whole; "
                "the call may have run."
            ) from error
        found = {name.lower(): value for name, value in answer.headers.items()}
        return Response(answer.status_code, found, b"".join(content))

    def close(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None

    def forget(self) -> None:
        """In a forked child: leave the parent's connections alone, and make our own."""
        self._client = None
        self._lock = threading.Lock()


_all: weakref.WeakSet[PlainTransport | HttpxTransport] = weakref.WeakSet()


def _forget_all() -> None:
    with contextlib.suppress(RuntimeError):
        for transport in list(_all):
            transport.forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_all)
