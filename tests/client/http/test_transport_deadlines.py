"""Deadlines of requests: they hold whatever a server does."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import signal
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from support.tiny_server import Connection, TinyServer
from support.transports import TIMEOUT_S, Connect, post, to

from jshost.client.host import DeadlinePassed
from jshost.client.http.async_plain_transport import AsyncPlainTransport
from jshost.client.http.http_request import HttpRequest
from jshost.client.http.plain_transport import PlainTransport
from jshost.client.http.transport import Transport

pytestmark = pytest.mark.real

__all__ = ["to"]  # a fixture


def spent_until_deadline(transport: Transport, timeout_s: float, body: bytes = b"{}") -> float:
    began = time.monotonic()
    with pytest.raises(DeadlinePassed):
        post(transport, body, timeout_s)
    return time.monotonic() - began


def never_answer(connection: Connection) -> None:
    connection.read_request()
    connection.wait_for_end()


def never_read(connection: Connection) -> None:
    """The client fills both buffers and has to wait."""
    connection.server.closing.wait(TIMEOUT_S)


def drip(connection: Connection) -> None:
    """Something comes all the time, and it is never enough."""
    connection.read_request()
    connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
    while not connection.server.closing.wait(0.02):
        connection.send(b".")


@pytest.mark.parametrize("script", [never_answer, never_read, drip])
def test_a_deadline_holds_whatever_the_server_does(
    to: Connect, script: Callable[[Connection], None]
) -> None:
    with TinyServer(script) as server:
        spent_s = spent_until_deadline(to(server.url), 0.3, bytes(32 << 20))
    assert spent_s > 0.29


@pytest.mark.parametrize("script", [never_answer, never_read, drip])
def test_a_deadline_holds_in_a_thread(script: Callable[[Connection], None]) -> None:
    """Where answers are waited for in another way than in the main thread."""
    with TinyServer(script) as server, ThreadPoolExecutor(1) as threads:
        transport = PlainTransport(server.url)
        body = bytes(32 << 20) if script is never_read else b"{}"
        spent_s = threads.submit(spent_until_deadline, transport, 0.3, body).result(TIMEOUT_S)
    assert spent_s > 0.29


def test_a_thread_may_have_no_limit_after_one(to: Connect) -> None:
    released = threading.Event()

    def script(connection: Connection) -> None:
        connection.read_request()
        connection.answer(200, b"soon")
        connection.read_request()
        released.wait(TIMEOUT_S)
        connection.answer(200, b"late")
        connection.wait_for_end()

    with TinyServer(script) as server, ThreadPoolExecutor(1) as threads:
        transport = to(server.url)
        assert threads.submit(post, transport, b"{}", 0.2).result(TIMEOUT_S) == b"soon"
        late = threads.submit(post, transport, b"{}", None)
        with pytest.raises(TimeoutError):
            late.result(0.5)
        released.set()
        assert late.result(TIMEOUT_S) == b"late"


def test_a_deadline_costs_the_connection(to: Connect) -> None:
    """Its late answer must not be taken for the next one's."""
    late = threading.Event()

    def script(connection: Connection) -> None:
        connection.read_request()
        if connection.number == 1:
            late.wait(TIMEOUT_S)
            connection.answer(200, b"late")
        else:
            connection.answer(200, b"second")

    with TinyServer(script) as server:
        transport = to(server.url)
        spent_until_deadline(transport, 0.5)  # enough for the server to read it on a busy machine
        late.set()
        assert post(transport) == b"second"
    assert [request.connection for request in server.requests] == [1, 2]


def test_without_a_deadline_the_answer_may_take_its_time(to: Connect) -> None:
    def script(connection: Connection) -> None:
        connection.read_request()
        connection.server.closing.wait(0.1)
        connection.answer(200, b"at last")

    with TinyServer(script) as server:
        assert post(to(server.url), timeout_s=None) == b"at last"


def test_signals_do_not_put_the_deadline_off() -> None:
    """A wait that a signal interrupts is resumed, with what is left of its time (PEP 475)."""
    handler = signal.signal(signal.SIGALRM, lambda *_: None)
    signal.setitimer(signal.ITIMER_REAL, 0.05, 0.05)
    try:
        with TinyServer(never_answer) as server:
            assert spent_until_deadline(PlainTransport(server.url), 0.3) > 0.29
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, handler)


@pytest.mark.parametrize("kind", [PlainTransport, AsyncPlainTransport])
def test_a_full_queue_of_connections_is_waited_for(
    kind: type[PlainTransport] | type[AsyncPlainTransport], tmp_path: Path
) -> None:
    """A unix socket whose host accepts nobody for now refuses with EAGAIN, which is no refusal."""
    path = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX) as listener, contextlib.ExitStack() as stack:
        listener.bind(path)
        listener.listen(0)
        with contextlib.suppress(BlockingIOError):
            while True:
                waiting = stack.enter_context(socket.socket(socket.AF_UNIX))
                waiting.setblocking(False)
                waiting.connect(path)
        transport = kind(f"unix://{path}")

        def ask() -> None:
            outcome = transport.request(HttpRequest("GET", "/", timeout_s=0.2))
            if inspect.iscoroutine(outcome):
                asyncio.run(outcome)

        with pytest.raises(DeadlinePassed):
            ask()
