"""Accepting connections, up to a limit and to the end, on loopback sockets."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Coroutine
from typing import Any

from jshost.exceptions import RemoteError
from jshost.server.http.handler import Responder
from jshost.server.http.http_server import HttpServer
from jshost.server.http.request import IncomingRequest

REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"


class Handler:
    """Answers every request with 204."""

    def __init__(self) -> None:
        self.refused: list[int] = []

    def recognize(self, data: bytes) -> IncomingRequest | None:
        return None

    def admit(self, request: IncomingRequest) -> int:
        return 0

    def begin(self, request: IncomingRequest, connection: Responder) -> None:
        connection.send_response(204, [], b"")

    def redact(self, error: RemoteError, request_id: str) -> RemoteError:
        return error

    def count_refusal(self, status: int) -> None:
        self.refused.append(status)


Client = tuple[asyncio.StreamReader, asyncio.StreamWriter]


def with_server(
    test: Callable[[HttpServer, Handler, Callable[[], Coroutine[Any, Any, Client]]], Any],
    **options: int,
) -> None:
    async def main() -> None:
        handler = Handler()
        server = HttpServer(handler, 75, **options)
        with socket.create_server(("127.0.0.1", 0)) as listener:
            listener.setblocking(False)
            await server.start([listener], [listener])
            writers: list[asyncio.StreamWriter] = []

            async def connect() -> Client:
                reader, writer = await asyncio.open_connection(*listener.getsockname())
                writers.append(writer)
                return reader, writer

            try:
                async with asyncio.timeout(10):
                    await test(server, handler, connect)
                    for writer in writers:
                        writer.close()
                        await writer.wait_closed()
                    server.shut_down()
                    while not server.idle:
                        await asyncio.sleep(0)
            finally:
                server.abort()

    asyncio.run(main())


async def ask(client: Client) -> bytes:
    reader, writer = client
    writer.write(REQUEST)
    return await reader.readuntil(b"\r\n\r\n")


def test_a_connection_over_the_limit_gets_a_503() -> None:
    async def main(
        server: HttpServer, handler: Handler, connect: Callable[[], Coroutine[Any, Any, Client]]
    ) -> None:
        first = await connect()
        assert (await ask(first)).startswith(b"HTTP/1.1 204 ")
        assert server.count() == 1
        reader, _ = await connect()
        answer = await reader.read()
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert b"maxConnections" in answer
        assert b"\r\nretry-after: 1\r\n" in answer
        assert handler.refused == [503]
        assert (await ask(first)).startswith(b"HTTP/1.1 204 "), "the first one goes on"

    with_server(main, max_connections=1)


def test_who_waits_to_be_accepted_is_answered_before_the_end() -> None:
    async def main(
        server: HttpServer, handler: Handler, connect: Callable[[], Coroutine[Any, Any, Client]]
    ) -> None:
        clients = [await connect() for _ in range(3)]
        server.stop_accepting()
        for client in clients:
            assert (await ask(client)).startswith(b"HTTP/1.1 204 ")

    with_server(main)


def test_connections_are_closed_once_they_are_answered() -> None:
    async def main(
        server: HttpServer, handler: Handler, connect: Callable[[], Coroutine[Any, Any, Client]]
    ) -> None:
        client = await connect()
        await ask(client)
        server.shut_down()
        assert await client[0].read() == b""

    with_server(main)
