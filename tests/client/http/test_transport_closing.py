"""Closing a transport: idle connections end, calls in flight have their answers."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from jshost.client.http.async_plain_transport import AsyncPlainTransport
from jshost.client.http.http_request import HttpRequest
from jshost.client.http.httpx_transport import AsyncHttpxTransport, HttpxTransport
from jshost.client.http.plain_transport import PlainTransport

pytestmark = pytest.mark.real

WAIT_S = 10.0


class Server(ThreadingHTTPServer):
    """Answers at once, or, at /held, when it is told to."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.is_held, self.may_answer = threading.Event(), threading.Event()
        self.gone = threading.Semaphore(0)
        self.url = f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def do_POST(self) -> None:
        if self.path == "/held":
            self.server.is_held.set()
            self.server.may_answer.wait(WAIT_S)
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def finish(self) -> None:
        super().finish()
        self.server.gone.release()

    def log_message(self, format: str, *args: object) -> None: ...


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("cls", [PlainTransport, HttpxTransport])
def test_in_threads(server: Server, cls: type[PlainTransport] | type[HttpxTransport]) -> None:
    transport = cls(server.url)
    answers = []

    def ask(asked: PlainTransport | HttpxTransport) -> None:
        answers.append(asked.request(HttpRequest("POST", "/held", timeout_s=WAIT_S)).content)

    asking = threading.Thread(target=ask, args=(transport,))
    asking.start()
    assert server.is_held.wait(WAIT_S)
    assert transport.request(HttpRequest("POST", "/", timeout_s=WAIT_S)).content == b"ok"
    transport.close()
    server.may_answer.set()
    asking.join()
    assert answers == [b"ok"]
    del transport, asking
    gc.collect()
    for _ in range(2):
        assert server.gone.acquire(timeout=WAIT_S)


@pytest.mark.parametrize("cls", [AsyncPlainTransport, AsyncHttpxTransport])
def test_on_a_loop(
    server: Server, cls: type[AsyncPlainTransport] | type[AsyncHttpxTransport]
) -> None:
    async def main() -> None:
        transport = cls(server.url)
        asking = asyncio.create_task(
            transport.request(HttpRequest("POST", "/held", timeout_s=WAIT_S))
        )
        assert await asyncio.to_thread(server.is_held.wait, WAIT_S)
        assert (
            await transport.request(HttpRequest("POST", "/", timeout_s=WAIT_S))
        ).content == b"ok"
        transport.close()
        await asyncio.sleep(0.05)  # what closing has begun
        server.may_answer.set()
        assert (await asking).content == b"ok"
        del transport, asking
        gc.collect()
        for _ in range(2):
            assert await asyncio.to_thread(server.gone.acquire, timeout=WAIT_S)

    asyncio.run(main())
