"""Connections whose clients are slow: what they are told, and when."""

from __future__ import annotations

import asyncio
import time

import pytest

from jshost.exceptions import RemoteError
from jshost.server.connection import Connection
from jshost.server.reading import HEAD_S
from jshost.server.requests import Request

KEEP_ALIVE_S = 75.0
HEAD = b"POST /function/f HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n"


class Transport:
    """What a connection writes to."""

    def __init__(self) -> None:
        self.written = b""
        self.closed = False

    def write(self, data: bytes) -> None:
        self.written += data

    def get_write_buffer_size(self) -> int:
        return 0

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        pass

    def close(self) -> None:
        self.closed = True


class Handler:
    """Never gets a whole request."""

    def recognize(self, data: bytes) -> Request | None:
        return None

    def admit(self, request: Request) -> int:
        return 1000

    def begin(self, request: Request, connection: Connection) -> None:
        raise AssertionError("it is not whole")

    def conceal(self, error: RemoteError, request_id: str) -> RemoteError:
        return error


@pytest.mark.parametrize("sent", [b"POST /func", HEAD, HEAD + b"\r\n", HEAD + b"\r\n12345"])
def test_a_request_that_does_not_come_in_time(sent: bytes) -> None:
    async def main() -> None:
        connection, transport = Connection(Handler(), set()), Transport()
        connection.connection_made(transport)  # type: ignore[arg-type]
        connection.data_received(sent)
        connection.sweep(time.monotonic() + HEAD_S - 1, KEEP_ALIVE_S)
        assert transport.written == b""
        connection.sweep(time.monotonic() + HEAD_S + 1, KEEP_ALIVE_S)
        head = transport.written.lower()
        assert head.startswith(b"http/1.1 408 request timeout\r\n")
        for line in (b"connection: close", b"cache-control: no-store", b"nosniff"):
            assert line in head

    asyncio.run(main())


def test_a_head_in_small_pieces_has_no_more_time() -> None:
    async def main() -> None:
        connection, transport = Connection(Handler(), set()), Transport()
        connection.connection_made(transport)  # type: ignore[arg-type]
        connection.data_received(HEAD[:10])
        connection.data_received(HEAD[10:20])
        connection.sweep(time.monotonic() + HEAD_S + 1, KEEP_ALIVE_S)
        assert b" 408 " in transport.written

    asyncio.run(main())


def test_a_connection_that_asks_nothing_is_closed_without_a_word() -> None:
    connection, transport = Connection(Handler(), set()), Transport()
    connection.connection_made(transport)  # type: ignore[arg-type]
    connection.sweep(time.monotonic() + KEEP_ALIVE_S - 1, KEEP_ALIVE_S)
    assert not transport.closed
    connection.sweep(time.monotonic() + KEEP_ALIVE_S + 1, KEEP_ALIVE_S)
    assert (transport.closed, transport.written) == (True, b"")
