"""Connections: the order of their answers, and clients that are slow."""

from __future__ import annotations

import asyncio
import re
import time

import pytest

from jshost.exceptions import RemoteError
from jshost.protocol.values import body_hash
from jshost.server.http.connection import ServerConnection
from jshost.server.http.handler import Exchange
from jshost.server.http.known_heads import KnownHeads
from jshost.server.http.request import IncomingRequest, KnownCall
from jshost.server.http.request_parser import HEAD_S

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


class RequestHandler:
    """Never gets a whole request."""

    def __init__(self) -> None:
        self.refused: list[int] = []

    def recognize(self, data: bytes) -> IncomingRequest | None:
        return None

    def admit(self, request: IncomingRequest) -> int:
        return 1000

    def begin(self, request: IncomingRequest, connection: ServerConnection) -> None:
        raise AssertionError("it is not whole")

    def conceal(self, error: RemoteError, request_id: str) -> RemoteError:
        return error

    def count_refusal(self, status: int) -> None:
        self.refused.append(status)


@pytest.mark.parametrize("sent", [b"POST /func", HEAD, HEAD + b"\r\n", HEAD + b"\r\n12345"])
def test_a_request_that_does_not_come_in_time(sent: bytes) -> None:
    async def main() -> None:
        handler, transport = RequestHandler(), Transport()
        connection = ServerConnection(handler, set())
        connection.connection_made(transport)  # type: ignore[arg-type]
        connection.data_received(sent)
        connection.sweep(time.monotonic() + HEAD_S - 1, KEEP_ALIVE_S)
        assert transport.written == b""
        connection.sweep(time.monotonic() + HEAD_S + 1, KEEP_ALIVE_S)
        head = transport.written.lower()
        assert head.startswith(b"http/1.1 408 request timeout\r\n")
        for line in (b"connection: close", b"cache-control: no-store", b"nosniff"):
            assert line in head
        assert handler.refused == [408]

    asyncio.run(main())


def test_a_head_in_small_pieces_has_no_more_time() -> None:
    async def main() -> None:
        connection, transport = ServerConnection(RequestHandler(), set()), Transport()
        connection.connection_made(transport)  # type: ignore[arg-type]
        connection.data_received(HEAD[:10])
        connection.data_received(HEAD[10:20])
        connection.sweep(time.monotonic() + HEAD_S + 1, KEEP_ALIVE_S)
        assert b" 408 " in transport.written

    asyncio.run(main())


def test_a_connection_that_asks_nothing_is_closed_without_a_word() -> None:
    connection, transport = ServerConnection(RequestHandler(), set()), Transport()
    connection.connection_made(transport)  # type: ignore[arg-type]
    connection.sweep(time.monotonic() + KEEP_ALIVE_S - 1, KEEP_ALIVE_S)
    assert not transport.closed
    connection.sweep(time.monotonic() + KEEP_ALIVE_S + 1, KEEP_ALIVE_S)
    assert (transport.closed, transport.written) == (True, b"")


class Answers:
    """Answers when it is told to, with the body that came."""

    def __init__(self, heads: KnownHeads | None = None) -> None:
        self.begun: list[tuple[IncomingRequest, ServerConnection]] = []
        self._heads = heads or KnownHeads()

    def recognize(self, data: bytes) -> IncomingRequest | None:
        return self._heads.recognize(data)

    def admit(self, request: IncomingRequest) -> int:
        return 1000

    def begin(self, request: IncomingRequest, connection: ServerConnection) -> Exchange:
        self.begun.append((request, connection))
        self._heads.learn(request, KnownCall("f", None, None, 1000, False, True))
        return Abandoned()

    def answer(self) -> None:
        request, connection = self.begun.pop(0)
        connection.send_response(200, [], b"<%s>" % request.body)

    def conceal(self, error: RemoteError, request_id: str) -> RemoteError:
        return error


class Abandoned:
    def abandon(self) -> None: ...
    def resume(self) -> None: ...


def call(body: bytes) -> bytes:
    return (
        b"POST /function/f?hash=%s HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json"
        b"\r\nContent-Length: %d\r\n\r\n%s" % (body_hash(body).encode(), len(body), body)
    )


def test_a_request_that_comes_right_behind_an_answer_waits_for_those_before_it() -> None:
    """In one turn of the loop: a worker's answer, then what the client sends on."""

    async def main() -> None:
        handler = Answers()
        connection, transport = ServerConnection(handler, set()), Transport()
        connection.connection_made(transport)  # type: ignore[arg-type]
        connection.data_received(call(b"1"))
        connection.data_received(call(b"2"))
        handler.answer()
        connection.data_received(call(b"3"))
        connection.data_received(call(b"4")[:-1])
        connection.data_received(b"4")
        for _ in range(3):
            await asyncio.sleep(0)
            handler.answer()
        assert re.findall(rb"<(.)>", transport.written) == [b"1", b"2", b"3", b"4"]

    asyncio.run(main())


def test_bytes_that_are_no_request_are_answered_in_their_turn() -> None:
    async def main() -> None:
        handler = Answers()
        connection, transport = ServerConnection(handler, set()), Transport()
        connection.connection_made(transport)  # type: ignore[arg-type]
        connection.data_received(call(b"1") + call(b"2"))
        handler.answer()
        connection.data_received(b"nonsense\r\n\r\n")
        await asyncio.sleep(0)
        handler.answer()
        assert re.findall(rb"<(.)>| (400) ", transport.written) == [(b"1", b""), (b"2", b"")]
        assert transport.closed

    asyncio.run(main())


def test_a_connection_is_idle_from_its_last_answer_on() -> None:
    """Callers use one again until 30 s after an answer: it must not be closed before."""

    async def main() -> None:
        handler = Answers()
        connection, transport = ServerConnection(handler, set()), Transport()
        connection.connection_made(transport)  # type: ignore[arg-type]
        connection.data_received(call(b"1"))
        later = time.monotonic() + KEEP_ALIVE_S
        connection.sweep(later, KEEP_ALIVE_S)
        handler.answer()
        connection.sweep(later + 30, KEEP_ALIVE_S)
        assert not transport.closed
        connection.sweep(later + KEEP_ALIVE_S + 1, KEEP_ALIVE_S)
        assert transport.closed

    asyncio.run(main())


@pytest.mark.parametrize("space", [b"", b" ", b"\t", b" \t "])
def test_the_body_behind_an_offered_upgrade_is_no_request(space: bytes) -> None:
    async def main() -> None:
        handler = Answers()
        connection, transport = ServerConnection(handler, set()), Transport()
        connection.connection_made(transport)  # type: ignore[arg-type]
        inner = b"POST /inner HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n"
        connection.data_received(
            b"POST /outer HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n"
            b"Content-Length: %d%s\r\n\r\n%s" % (len(inner), space, inner)
        )
        assert [(each.head.path, each.body) for each, _ in handler.begun] == [("/outer", inner)]
        handler.answer()
        await asyncio.sleep(0)
        assert handler.begun == []

    asyncio.run(main())
