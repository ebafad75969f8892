"""An HTTP server that does what a test tells it, byte by byte: for clients' unit tests."""

from __future__ import annotations

import contextlib
import socket
import tempfile
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from urllib.parse import urlsplit

__all__ = ["Connection", "Request", "TinyServer", "echo", "unix_url"]

TIMEOUT_S = 20.0
"""A test whose client never comes fails, rather than hang."""


@dataclass
class Request:
    """What a client sent; `connection` numbers the connections in the order they came."""

    connection: int
    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes = b""


@dataclass
class Connection:
    """One client's connection, as a script sees it."""

    number: int
    socket: socket.socket
    server: TinyServer
    _received: bytes = field(default=b"", repr=False)

    def read_head(self) -> Request | None:
        """A request up to its body, which stays unread; None: the client has gone."""
        while b"\r\n\r\n" not in self._received:
            data = self._receive()
            if not data:
                return None
            self._received += data
        head, _, self._received = self._received.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        method, target, _ = first.split(" ")
        pairs = (line.split(": ", 1) for line in lines)
        headers = {name.lower(): value for name, value in pairs}
        request = Request(self.number, method, target, headers)
        self.server.requests.append(request)
        return request

    def read_request(self) -> Request | None:
        """A whole request; None: the client has gone."""
        request = self.read_head()
        if request is None:
            return None
        chunks = [self._received]
        missing = int(request.headers.get("content-length", "0")) - len(self._received)
        self._received = b""
        while missing > 0:
            chunks.append(self._receive())
            if not chunks[-1]:
                return None
            missing -= len(chunks[-1])
        request.body = b"".join(chunks)
        return request

    def _receive(self) -> bytes:
        try:
            return self.socket.recv(256 * 1024)
        except OSError:  # a reset; the server may have been closed, too
            return b""

    def answer(
        self, status: int, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> None:
        head = {
            "Content-Type": "application/json",
            "Content-Length": str(len(body)),
            **(headers or {}),
        }
        lines = "".join(f"{name}: {value}\r\n" for name, value in head.items())
        self.send(f"HTTP/1.1 {status} Status\r\n{lines}\r\n".encode("latin-1") + body)

    def send(self, data: bytes) -> None:
        with contextlib.suppress(OSError):  # the client has gone
            self.socket.sendall(data)

    def close(self) -> None:
        self.socket.close()

    def wait_for_end(self) -> None:
        """Until the client closes its end."""
        while self._receive():
            pass


def echo(connection: Connection) -> None:
    """Answer each request with its body."""
    while (request := connection.read_request()) is not None:
        connection.answer(200, request.body)


_sockets: dict[int, str] = {}
"""The unix sockets of the servers that run, by their TCP ports."""


def unix_url(url: str) -> str:
    """The URL of the same server's unix socket; of one that nobody listens on where there is no
    server."""
    return "unix://" + _sockets.get(urlsplit(url).port or 0, "/nowhere/socket")


class TinyServer:
    """Runs `script` once per connection, in a thread of its own; what a script raises fails it.

    It listens on a TCP port and on a unix socket, see `unix_url`.

    Example:
        >>> with TinyServer(echo) as server:
        ...     urlopen(server.url)
    """

    def __init__(self, script: Callable[[Connection], None]) -> None:
        self._script = script
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self._folder = tempfile.TemporaryDirectory(prefix="tiny")
        self._unix = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._unix.bind(f"{self._folder.name}/socket")
        self._unix.listen(256)
        self._threads: list[threading.Thread] = []
        self._sockets: list[socket.socket] = []
        self._errors: list[BaseException] = []
        self.requests: list[Request] = []
        self.closing = threading.Event()
        """Set when the test is over: what a script waits for, where it waits for nothing else."""
        self.port: int = self._listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        _sockets[self.port] = f"{self._folder.name}/socket"

    @property
    def connections(self) -> int:
        """How many connections there were."""
        return len(self._sockets)

    @property
    def open(self) -> int:
        """How many of them are open at this end."""
        return sum(sock.fileno() != -1 for sock in self._sockets)

    def __enter__(self) -> TinyServer:
        listeners = (self._listener, self._unix)
        self._accepting = [threading.Thread(target=self._accept, args=[each]) for each in listeners]
        for thread in self._accepting:
            thread.start()
        return self

    def __exit__(
        self,
        cls: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.closing.set()
        for listener in (self._listener, self._unix):
            listener.shutdown(socket.SHUT_RDWR)  # ends accept()
        for thread in self._accepting:
            thread.join(TIMEOUT_S)
        self._listener.close()
        self._unix.close()
        del _sockets[self.port]
        self._folder.cleanup()
        for sock in self._sockets:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)  # ends recv()
        for thread in self._threads:
            thread.join(TIMEOUT_S)
        for sock in self._sockets:
            sock.close()
        if error is None and self._errors:
            raise self._errors[0]

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            sock.settimeout(TIMEOUT_S)
            if listener is self._listener:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._sockets.append(sock)
            connection = Connection(len(self._sockets), sock, self)
            thread = threading.Thread(target=self._run, args=[connection])
            self._threads.append(thread)
            thread.start()

    def _run(self, connection: Connection) -> None:
        try:
            self._script(connection)
        except BaseException as error:  # noqa: BLE001  the test's thread raises it
            self._errors.append(error)
        finally:
            connection.close()
