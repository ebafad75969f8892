"""One way to call a function per row, behind one interface. Runs in: a row's driver.

Each caller may be used from many threads. A result is whatever the row's own client gives. What
some rows' clients can do besides is in `AsyncCaller`, `Batcher` and `Streamer`; see `rows.Row.can`.
"""

import asyncio
import http.client
import json
import socket
import threading
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

__all__ = ["CALLERS", "AsyncCaller", "Batcher", "Caller", "Streamer"]

ADDRESS = "127.0.0.1"
TIMEOUT_S = 10.0
HEAD_BYTES = 64 * 1024
"""What is read first: asking for 128 KiB or more makes malloc map and unmap pages, 15 µs each."""
REST_BYTES = 256 * 1024
HEAD_END = b"\r\n\r\n"
LENGTH_FIELD = b"Content-Length: "


class Caller(Protocol):
    """What the load generator calls through."""

    def call(self, function: str, /, **data: object) -> object:
        """Call ``function`` with ``data`` and return its result."""
        ...


class AsyncCaller(Protocol):
    """A caller for asyncio programs."""

    def acall(self, function: str, /, **data: object) -> Awaitable[object]:
        """As ``call``, on the running loop."""
        ...


class Batcher(Protocol):
    """A caller that can send many calls at once."""

    def map(self, function: str, /, calls: list[dict[str, object]]) -> list[object]:
        """Call ``function`` once for each of ``calls``; the results in order."""
        ...


class Streamer(Protocol):
    """A caller that gives a function's values as they come."""

    def stream(self, function: str, /, **data: object) -> Iterator[object]:
        """Call ``function`` and iterate over what it yields."""
        ...


class RawCaller:
    """The floor: prebuilt request bytes over kept-alive sockets, one per thread or task."""

    def __init__(self, port: int = 0, path: str = "") -> None:
        self._port = port
        self._path = path
        self._local = threading.local()
        self._heads: dict[str, bytes] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._idle: list[RawProtocol] = []

    def call(self, function: str, /, **data: object) -> object:
        """Write one request and read one response; both ends speak JSON."""
        connection = self._connection()
        connection.sendall(self._request(function, data))
        return json.loads(_read_body(connection))

    async def acall(self, function: str, /, **data: object) -> object:
        """The same over an asyncio protocol; a task that finds no idle connection opens one."""
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            self._loop, self._idle = loop, []  # the last loop took its connections along
        connection = self._idle.pop() if self._idle else await self._open(loop)
        body = await connection.exchange(self._request(function, data))
        self._idle.append(connection)
        return json.loads(body)

    async def _open(self, loop: asyncio.AbstractEventLoop) -> "RawProtocol":
        if self._path:
            _, connection = await loop.create_unix_connection(RawProtocol, self._path)
        else:
            _, connection = await loop.create_connection(RawProtocol, ADDRESS, self._port)
        return connection  # its TCP_NODELAY is set: asyncio and uvloop do

    def _request(self, function: str, data: dict[str, object]) -> bytes:
        body = json.dumps(data).encode()
        return b"%b%d%b%b" % (self._head(function), len(body), HEAD_END, body)

    def _head(self, function: str) -> bytes:
        head = self._heads.get(function)
        if head is None:
            request = f"POST /function/{function} HTTP/1.1\r\nHost: {ADDRESS}\r\n"
            head = self._heads[function] = request.encode() + LENGTH_FIELD
        return head

    def _connection(self) -> socket.socket:
        connection: socket.socket | None = getattr(self._local, "connection", None)
        if connection is None:
            if self._path:
                connection = socket.socket(socket.AF_UNIX)
                connection.settimeout(TIMEOUT_S)
                connection.connect(self._path)
            else:
                connection = socket.create_connection((ADDRESS, self._port), TIMEOUT_S)
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._local.connection = connection
        return connection


class RawProtocol(asyncio.Protocol):
    """One connection of the floor's asyncio client: one exchange at a time."""

    def __init__(self) -> None:
        self._transport: Any = None
        self._received = b""
        self._answer: asyncio.Future[bytes] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep what to write to."""
        self._transport = transport

    def exchange(self, request: bytes) -> "asyncio.Future[bytes]":
        """Write a request; the body of its answer."""
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return self._answer

    def data_received(self, data: bytes) -> None:
        """Take some of an answer, and say so once it is whole."""
        received = self._received = self._received + data if self._received else data
        end = received.find(HEAD_END)
        if end < 0 or self._answer is None:
            return
        start, length = _body_place(received, end)
        if len(received) >= start + length:
            self._received = b""
            self._answer.set_result(received[start:])

    def connection_lost(self, error: Exception | None) -> None:
        """Tell who waits."""
        if self._answer is not None and not self._answer.done():
            reason = error or ConnectionError("the bare server closed the connection")
            self._answer.set_exception(reason)


def _read_body(connection: socket.socket) -> bytes:
    """Read one response of the bare server: a 200 with a Content-Length."""
    received = _read_some(connection, HEAD_BYTES)
    while (end := received.find(HEAD_END)) < 0:
        received += _read_some(connection, HEAD_BYTES)
    start, length = _body_place(received, end)
    chunks, left = [received[start:]], length - (len(received) - start)
    while left > 0:
        chunks.append(_read_some(connection, REST_BYTES))
        left -= len(chunks[-1])
    return b"".join(chunks)


def _body_place(received: bytes, head_end: int) -> tuple[int, int]:
    """Where a body begins, and how long it is; from a head that is complete."""
    if not received.startswith(b"HTTP/1.1 200"):
        raise ConnectionError(f"the bare server answered {received[:60]!r}")
    at = received.index(LENGTH_FIELD) + len(LENGTH_FIELD)
    return head_end + len(HEAD_END), int(received[at : received.index(b"\r\n", at)])


def _read_some(connection: socket.socket, most: int) -> bytes:
    received = connection.recv(most)
    if not received:
        raise ConnectionError("the bare server closed the connection")
    return received


class HttpClientCaller:
    """The standard library's client, one kept-alive connection per thread."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._local = threading.local()

    def call(self, function: str, /, **data: object) -> object:
        """Make one request and read its response whole."""
        connection: http.client.HTTPConnection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = http.client.HTTPConnection(ADDRESS, self._port, timeout=TIMEOUT_S)
            self._local.connection = connection
        connection.request(
            "POST",
            f"/function/{function}",
            json.dumps(data).encode(),
            {"Content-Type": "application/json"},
        )
        response = connection.getresponse()
        body = response.read()
        if response.status != 200:
            raise ConnectionError(f"the bare server answered {response.status}: {body[:60]!r}")
        return json.loads(body)


class BridgeCaller:
    """JSPyBridge, with a reference kept to each function. It starts a Node of its own."""

    def __init__(self, functions_file: str) -> None:
        # An absolute path that does not exist would make JSPyBridge run npm install.
        if not Path(functions_file).is_file():
            raise FileNotFoundError("the file of JavaScript functions is missing")
        from javascript import require

        self._module: Any = require(functions_file)
        self._functions: dict[str, Any] = {}

    def call(self, function: str, /, **data: object) -> object:
        """Call the kept reference with one plain object."""
        called = self._functions.get(function)
        if called is None:
            called = self._functions[function] = getattr(self._module, function)
        return called(data)


class JsHostCaller:
    """python-js-host's Function, one kept per name. The port comes from BENCH_PORT."""

    def __init__(self, source_root: str, config_file: str) -> None:
        from js_host.conf import settings

        settings.configure(SOURCE_ROOT=source_root, CONFIG_FILE=config_file, VERBOSITY=0)
        from js_host.function import Function

        self._make: Any = Function
        self._functions: dict[str, Any] = {}

    def call(self, function: str, /, **data: object) -> object:
        """Call the kept Function; the result is text."""
        called = self._functions.get(function)
        if called is None:
            called = self._functions[function] = self._make(function)
        return called.call(**data)


class JshostCaller:
    """Our own Function, one kept per name."""

    def __init__(self, root_url: str) -> None:
        import jshost

        jshost.settings.configure(ROOT_URL=root_url)
        self._make: Any = jshost.Function
        self._functions: dict[str, Any] = {}

    def call(self, function: str, /, **data: object) -> object:
        """Call the kept Function."""
        return self._function(function).call(**data)

    def acall(self, function: str, /, **data: object) -> Awaitable[object]:
        """Call it from a task."""
        called: Awaitable[object] = self._function(function).acall(**data)
        return called

    def map(self, function: str, /, calls: list[dict[str, object]]) -> list[object]:
        """Call it many times in one request."""
        results: list[object] = self._function(function).map(calls)
        return results

    def stream(self, function: str, /, **data: object) -> Iterator[object]:
        """Iterate over what it yields."""
        stream: Iterator[object] = self._function(function).stream(**data)
        return stream

    def _function(self, name: str) -> Any:
        function = self._functions.get(name)
        if function is None:
            function = self._functions[name] = self._make(name)
        return function


CALLERS: dict[str, Callable[..., Caller]] = {
    "raw": RawCaller,
    "http.client": HttpClientCaller,
    "jspybridge": BridgeCaller,
    "js-host": JsHostCaller,
    "jshost": JshostCaller,
}
