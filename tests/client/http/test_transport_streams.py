"""Responses that are read as they come: by each transport, from the same servers."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from support.hosts import wait_until
from support.tiny_server import Connection, TinyServer, echo
from support.transports import TIMEOUT_S, Connect, post, to

from jshost.client.host import DeadlinePassed
from jshost.client.http.async_plain_transport import AsyncPlainTransport
from jshost.client.http.http_request import HttpRequest
from jshost.client.http.transport import OpenResponse, Transport
from jshost.exceptions import ConnectionError, UnexpectedResponse

pytestmark = pytest.mark.real

__all__ = ["to"]  # a fixture

CHUNKED = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
)


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def opened(transport: Transport, timeout_s: float | None = TIMEOUT_S) -> OpenResponse:
    return transport.stream(HttpRequest("POST", "/function/f", {"X": "y"}, b"{}", timeout_s))


def read_all(response: OpenResponse) -> bytes:
    return b"".join(iter(response.read, b""))


class Steps:
    """Lets a server's script and a test take turns."""

    def __init__(self) -> None:
        self._turn = threading.Semaphore(0)

    def go(self) -> None:
        self._turn.release()

    def wait(self) -> None:
        assert self._turn.acquire(timeout=TIMEOUT_S)


@pytest.fixture
def steps() -> Steps:
    return Steps()


def test_what_has_come_is_read_before_the_rest_is_sent(to: Connect, steps: Steps) -> None:
    def script(connection: Connection) -> None:
        request = connection.read_request()
        assert request is not None
        assert (request.body, request.headers["x"]) == (b"{}", "y")
        connection.send(CHUNKED)
        for text in (b"one", b"two"):
            steps.wait()
            connection.send(chunk(text))
        steps.wait()
        connection.send(b"0\r\n\r\n")
        echo(connection)

    with TinyServer(script) as server:
        transport = to(server.url)
        response = opened(transport)
        assert (response.status_code, response.headers["content-type"]) == (
            200,
            "text/event-stream",
        )
        for text in (b"one", b"two"):
            steps.go()
            assert response.read() == text
        steps.go()
        assert [response.read(), response.read()] == [b"", b""]
        assert post(transport, b"kept") == b"kept"
    assert server.connections == 1


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwhole",
        CHUNKED + b"5\r\nwhole\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nwhole",
        b"HTTP/1.0 200 OK\r\n\r\nwhole",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwhole",
    ],
)
@pytest.mark.parametrize("step", [1, 10_000], ids=["byte by byte", "at once"])
def test_a_response_that_is_no_stream(to: Connect, answer: bytes, step: int) -> None:
    def script(connection: Connection) -> None:
        connection.read_request()
        for index in range(0, len(answer), step):
            connection.send(answer[index : index + step])

    with TinyServer(script) as server:
        response = opened(to(server.url))
        assert (response.status_code, read_all(response)) == (200, b"whole")


def test_an_empty_body_is_at_its_end(to: Connect) -> None:
    def script(connection: Connection) -> None:
        connection.read_request()
        connection.answer(503)
        echo(connection)

    with TinyServer(script) as server:
        transport = to(server.url)
        response = opened(transport)
        assert (response.status_code, response.read()) == (503, b"")
        assert post(transport) == b"{}"
    assert server.connections == 1


def test_megabytes_come_whole(to: Connect) -> None:
    part = os.urandom(100_000)

    def script(connection: Connection) -> None:
        connection.read_request()
        connection.send(CHUNKED + chunk(part) * 200 + b"0\r\n\r\n")
        connection.wait_for_end()

    with TinyServer(script) as server:
        assert read_all(opened(to(server.url))) == part * 200


def test_who_leaves_early_is_noticed(to: Connect, steps: Steps) -> None:
    def script(connection: Connection) -> None:
        connection.read_request()
        if connection.number == 1:
            connection.send(CHUNKED + chunk(b"one"))
            connection.wait_for_end()
            steps.go()
        else:
            connection.answer(200, b"new")

    with TinyServer(script) as server:
        transport = to(server.url)
        response = opened(transport)
        assert response.read() == b"one"
        response.close()
        steps.wait()
        response.close()
        assert post(transport) == b"new", "the rest of a stream must not be taken for an answer"


def test_who_forgets_the_response_is_noticed(steps: Steps) -> None:
    """As ``async for`` does that is left with ``break``."""

    def script(connection: Connection) -> None:
        connection.read_request()
        connection.send(CHUNKED + chunk(b"one"))
        connection.wait_for_end()
        steps.go()

    async def leave(url: str) -> None:
        response = await AsyncPlainTransport(url).stream(
            HttpRequest("GET", "/", timeout_s=TIMEOUT_S)
        )
        assert await response.read() == b"one"
        del response
        gc.collect()
        await asyncio.to_thread(steps.wait)

    with TinyServer(script) as server:
        asyncio.run(leave(server.url))


def end_in_the_chunk(connection: Connection) -> None:
    connection.send(b"5\r\nha")


def end_after_a_chunk(connection: Connection) -> None:
    connection.send(chunk(b"half"))


def end_at_once(connection: Connection) -> None:
    """Send nothing more."""


@pytest.mark.parametrize("script", [end_in_the_chunk, end_after_a_chunk, end_at_once])
def test_a_stream_that_breaks_is_a_connection_error(
    to: Connect, script: Callable[[Connection], None]
) -> None:
    def begin(connection: Connection) -> None:
        connection.read_request()
        connection.send(CHUNKED + chunk(b"begun "))
        script(connection)

    with TinyServer(begin) as server:
        response = opened(to(server.url))
        with pytest.raises(ConnectionError, match="the connection broke"):
            read_all(response)
        response.close()


def test_a_stream_that_breaks_while_its_reader_is_busy(to: Connect, steps: Steps) -> None:
    """The end comes when nobody waits for it; who reads on must not wait for ever."""

    def script(connection: Connection) -> None:
        connection.read_request()
        connection.send(CHUNKED + chunk(b"one"))
        steps.wait()

    with TinyServer(script) as server:
        response = opened(to(server.url), None)
        assert response.read() == b"one"
        steps.go()
        wait_until(lambda: server.open == 0, TIMEOUT_S, "end of the connection")
        time.sleep(0.05)  # so long a loop may take to see the end; the test holds without it
        with pytest.raises(ConnectionError):
            response.read()


def test_what_is_no_stream_of_chunks_is_unexpected(to: Connect) -> None:
    def script(connection: Connection) -> None:
        connection.read_request()
        connection.send(CHUNKED + b"seven\r\n")
        connection.wait_for_end()

    with TinyServer(script) as server, pytest.raises(UnexpectedResponse):
        read_all(opened(to(server.url)))


def test_the_deadline_counts_for_the_whole_stream(to: Connect) -> None:
    def script(connection: Connection) -> None:
        connection.read_request()
        connection.send(CHUNKED)
        while not connection.server.closing.wait(0.02):
            connection.send(chunk(b"."))

    with TinyServer(script) as server:
        began = time.monotonic()
        response = opened(to(server.url), 0.3)
        with pytest.raises(DeadlinePassed):
            read_all(response)
        assert time.monotonic() - began > 0.29


def test_the_deadline_holds_where_nothing_comes(to: Connect) -> None:
    def script(connection: Connection) -> None:
        connection.read_request()
        connection.send(CHUNKED + chunk(b"one"))
        connection.wait_for_end()

    with TinyServer(script) as server:
        response = opened(to(server.url), 0.3)
        with pytest.raises(DeadlinePassed):
            read_all(response)


def test_a_stream_without_a_limit_has_none(to: Connect) -> None:
    """The limit of the request before it, on the same connection, is over."""

    def script(connection: Connection) -> None:
        connection.read_request()
        connection.answer(200, b"first")
        connection.read_request()
        connection.send(CHUNKED)
        connection.server.closing.wait(0.3)
        connection.send(chunk(b"late") + b"0\r\n\r\n")

    with TinyServer(script) as server:
        transport = to(server.url)
        assert post(transport, timeout_s=0.2) == b"first"
        assert read_all(opened(transport, None)) == b"late"


@pytest.mark.filterwarnings(
    "ignore:coroutine method 'aclose' of 'HTTP11:RuntimeWarning"
)  # httpcore's
def test_a_reader_that_does_not_read_holds_up_the_server(to: Connect) -> None:
    """What it has not asked for stays where it is: at the other end."""
    sent = 0
    full = threading.Event()
    part = chunk(bytes(256 * 1024))

    def script(connection: Connection) -> None:
        nonlocal sent
        connection.read_request()
        connection.send(CHUNKED)
        connection.socket.settimeout(0.5)
        with contextlib.suppress(OSError):
            while sent < 400:
                connection.socket.sendall(part)
                sent += 1
        full.set()
        connection.wait_for_end()

    with TinyServer(script) as server:
        response = opened(to(server.url))
        assert response.read()
        assert full.wait(3 * TIMEOUT_S)
        response.close()
    assert sent < 100, "25 MB went to a reader that took a part of one chunk"


# asyncio: what is left when a loop ends


LEFT = """
import asyncio, gc, json, sys
from jshost.client.http.http_request import HttpRequest
from jshost.client.http.async_plain_transport import AsyncPlainTransport
from jshost.client.http.httpx_transport import AsyncHttpxTransport
cls, url, end = sys.argv[1:]

async def main():
    there = globals()[cls](url)
    asked = [HttpRequest("POST", "/", body=b"%d" % n, timeout_s=10) for n in range(3)]
    found = [(await there.request(request)).content.decode() for request in asked]
    response = await there.stream(HttpRequest("POST", "/", body=b"left", timeout_s=10))
    await response.read()
    kept.append(there)
    if end == "open":
        kept.append(response)
    elif end == "closed":
        await response.close()
        there.close()
    return found

for _ in range(3):
    kept = []
    print(json.dumps(asyncio.run(main())))
kept.clear()
gc.collect()
"""


@pytest.mark.parametrize("cls", ["AsyncPlainTransport", "AsyncHttpxTransport"])
@pytest.mark.parametrize("end", ["closed", "forgotten", "open"])
def test_a_loop_that_ends_leaves_nothing(cls: str, end: str) -> None:
    """No warning of unclosed sockets or of tasks that were never finished."""
    with TinyServer(echo) as server:
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", LEFT, cls, server.url, end],
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
    assert (done.returncode, done.stderr) == (0, "")
    assert [json.loads(line) for line in done.stdout.splitlines()] == [["0", "1", "2"]] * 3


def test_a_cancelled_request_costs_its_connection_and_nothing_else(steps: Steps) -> None:
    def script(connection: Connection) -> None:
        connection.read_request()
        if connection.number == 1:
            steps.go()
            connection.wait_for_end()
            steps.go()
        else:
            connection.answer(200, b"second")

    async def main(url: str) -> Any:
        transport = AsyncPlainTransport(url)
        first = asyncio.create_task(transport.request(HttpRequest("GET", "/", timeout_s=TIMEOUT_S)))
        await asyncio.to_thread(steps.wait)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        await asyncio.to_thread(steps.wait)
        return (await transport.request(HttpRequest("GET", "/", timeout_s=TIMEOUT_S))).content

    with TinyServer(script) as server:
        assert asyncio.run(main(server.url)) == b"second"
