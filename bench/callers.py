"""One way to call a function per row, behind one interface. Runs in: a row's driver.

Each caller may be used from many threads. A result is whatever the row's own client gives.
"""

import http.client
import json
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

__all__ = ["CALLERS", "Caller"]

ADDRESS = "127.0.0.1"
TIMEOUT_S = 10.0
READ_BYTES = 256 * 1024
HEAD_END = b"\r\n\r\n"
LENGTH_FIELD = b"Content-Length: "


class Caller(Protocol):
    """What the load generator calls through."""

    def call(self, function: str, /, **data: object) -> object:
        """Call ``function`` with ``data`` and return its result."""
        ...


class RawCaller:
    """The floor: prebuilt request bytes over one kept-alive TCP socket per thread."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._local = threading.local()
        self._heads: dict[str, bytes] = {}

    def call(self, function: str, /, **data: object) -> object:
        """Write one request and read one response; both ends speak JSON."""
        body = json.dumps(data).encode()
        connection = self._connection()
        connection.sendall(b"%b%d%b%b" % (self._head(function), len(body), HEAD_END, body))
        return json.loads(_read_body(connection))

    def _head(self, function: str) -> bytes:
        head = self._heads.get(function)
        if head is None:
            request = f"POST /function/{function} HTTP/1.1\r\nHost: {ADDRESS}\r\n"
            head = self._heads[function] = request.encode() + LENGTH_FIELD
        return head

    def _connection(self) -> socket.socket:
        connection: socket.socket | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = socket.create_connection((ADDRESS, self._port), TIMEOUT_S)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._local.connection = connection
        return connection


def _read_body(connection: socket.socket) -> bytes:
    """Read one response of the bare server: a 200 with a Content-Length."""
    received = _read_some(connection)
    while (end := received.find(HEAD_END)) < 0:
        received += _read_some(connection)
    if not received.startswith(b"HTTP/1.1 200"):
        raise ConnectionError(f"the bare server answered {received[:60]!r}")
    at = received.index(LENGTH_FIELD) + len(LENGTH_FIELD)
    length = int(received[at : received.index(b"\r\n", at)])
    start = end + len(HEAD_END)
    chunks, left = [received[start:]], length - (len(received) - start)
    while left > 0:
        chunks.append(_read_some(connection))
        left -= len(chunks[-1])
    return b"".join(chunks)


def _read_some(connection: socket.socket) -> bytes:
    received = connection.recv(READ_BYTES)
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

    def __init__(self, port: int) -> None:
        from jshost.conf import settings

        settings.configure(ROOT_URL=f"http://{ADDRESS}:{port}")
        from jshost.function import Function

        self._make: Any = Function
        self._functions: dict[str, Any] = {}

    def call(self, function: str, /, **data: object) -> object:
        """Call the kept Function."""
        called = self._functions.get(function)
        if called is None:
            called = self._functions[function] = self._make(function)
        return called.call(**data)


CALLERS: dict[str, Callable[..., Caller]] = {
    "raw": RawCaller,
    "http.client": HttpClientCaller,
    "jspybridge": BridgeCaller,
    "js-host": JsHostCaller,
    "jshost": JshostCaller,
}
