"""The floors' callers: nothing between them and a socket. Runs in: a row's driver."""

import asyncio
import json
import socket
import struct
import subprocess
import threading
from typing import Any

__all__ = ["ADDRESS", "TIMEOUT_S", "PairCaller", "RawCaller"]

ADDRESS = "127.0.0.1"
TIMEOUT_S = 10.0
HEAD_BYTES = 64 * 1024
"""What is read first: asking for 128 KiB or more makes malloc map and unmap pages, 15 µs each."""
REST_BYTES = 256 * 1024
HEAD_END = b"\r\n\r\n"
LENGTH_FIELD = b"Content-Length: "
LENGTH = struct.Struct("<I")


class PairCaller:
    """The floor without HTTP: length-prefixed JSON over a socket pair, to a bare Node of its own.

    One call at a time, whichever thread makes it.
    """

    def __init__(self, script: str) -> None:
        self._lock = threading.Lock()
        self._socket, theirs = socket.socketpair()
        self._socket.settimeout(TIMEOUT_S)
        with theirs:
            self._node = subprocess.Popen(  # it ends when our end of the pair does
                ["node", script, str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
            )

    def call(self, function: str, /, **data: object) -> object:
        """Write one frame and read one."""
        body = json.dumps([function, data]).encode()
        with self._lock:
            self._socket.sendall(LENGTH.pack(len(body)) + body)
            received = _read_some(self._socket, HEAD_BYTES)
            while len(received) < LENGTH.size:
                received += _read_some(self._socket, HEAD_BYTES)
            left = LENGTH.unpack_from(received)[0] - (len(received) - LENGTH.size)
            chunks = [received[LENGTH.size :]]
            while left > 0:
                chunks.append(_read_some(self._socket, REST_BYTES))
                left -= len(chunks[-1])
        return json.loads(b"".join(chunks))


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
