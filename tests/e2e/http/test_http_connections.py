"""The host's side of HTTP/1.1: what clients send in which pieces, and what they may not."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest
from support.hosts import RunningHost, wait_until

LIMIT = 1024 * 1024
CONFIG = {
    "host.config.js": f"""
exports.requestDataLimit = {LIMIT};
exports.functions = {{
  echo: (data) => data,
  size: (data) => JSON.stringify(data).length,
  large: ({{bytes}}) => 'x'.repeat(bytes),
  later: (data, cb) => {{ setTimeout(() => cb(null, data), data.ms); }},
  async *stream({{count, bytes}}) {{
    for (let i = 0; i < count; i++) yield 'x'.repeat(bytes);
  }},
}};
"""
}
TIMEOUT_S = 10.0


class Client:
    """A socket that reads whole responses."""

    def __init__(self, host: RunningHost, sock: socket.socket | None = None) -> None:
        address = ("127.0.0.1", host.status["config"]["port"])
        self.socket = sock or socket.create_connection(address, TIMEOUT_S)
        self._file = self.socket.makefile("rb")
        self.head = b""

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def status(self) -> int:
        """Read a response's head; it stays in `head`."""
        self.head = b""
        while not self.head.endswith(b"\r\n\r\n"):
            line = self._file.readline()
            assert line, f"the connection was closed after {self.head!r}"
            self.head += line
        return int(self.head.split()[1])

    def header(self, name: str) -> str | None:
        for line in self.head.decode().split("\r\n")[1:]:
            key, _, value = line.partition(": ")
            if key.lower() == name:
                return value
        return None

    def answer(self) -> tuple[int, bytes]:
        """Read a whole response."""
        status = self.status()
        return status, self._file.read(int(self.header("content-length") or 0))

    def is_closed(self) -> bool:
        """Wait for the end of the connection; nothing may come before it."""
        try:
            return self._file.read(1) == b""
        except ConnectionResetError:
            return True

    def close(self) -> None:
        self._file.close()
        self.socket.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


@pytest.fixture
def client(shared_host: RunningHost) -> Iterator[Client]:
    with Client(shared_host) as client:
        yield client


def post(
    name: str, body: bytes = b"{}", *headers: str, version: str = "1.1", length: int | None = None
) -> bytes:
    lines = [
        f"POST /function/{name} HTTP/{version}",
        "Host: localhost",
        "Content-Type: application/json",
        *headers,
        f"Content-Length: {len(body) if length is None else length}",
    ]
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + body


def test_pipelined_requests_are_answered_in_order(client: Client) -> None:
    count = 200
    client.send(b"".join(post("echo", b'{"n":%d}' % n) for n in range(count)))
    for number in range(count):
        assert client.answer() == (200, b'{"n":%d}' % number)


def test_an_answer_that_takes_long_holds_up_the_ones_behind_it(client: Client) -> None:
    client.send(post("later", b'{"ms":100}') + post("echo") + post("missing") + post("echo"))
    answers = [client.answer() for _ in range(4)]
    assert [status for status, _ in answers] == [200, 200, 404, 200]
    assert answers[0][1] == b'{"ms":100}'


def test_pipelining_that_is_refused_in_the_middle(client: Client) -> None:
    """Behind a call that is not answered yet: by its length, by its chunks, by its path."""
    too_large = b'{"a":"%s"}' % (b"x" * LIMIT)
    chunks = post("echo").replace(b"Content-Length: 2\r\n\r\n{}", b"Transfer-Encoding: chunked\r\n")
    chunked = chunks + b"\r\n" + b"%x\r\n%s\r\n0\r\n\r\n" % (len(too_large), too_large)
    client.send(post("later", b'{"ms":100}') + post("echo", too_large) + post("echo"))
    assert [client.answer()[0] for _ in range(3)] == [200, 413, 200]
    client.send(post("later", b'{"ms":100}') + chunked + post("echo"))
    assert [client.answer()[0] for _ in range(2)] == [200, 413]


def test_answers_that_nobody_reads_do_not_pile_up(shared_host: RunningHost) -> None:
    """A client that pipelines and reads nothing: it is waited for, not its answers stored."""
    process = psutil.Process(shared_host.pid)
    with Client(shared_host) as client:
        client.send(post("large", b'{"bytes":1000000}'))
        assert client.answer()[0] == 200
        before = process.memory_info().rss
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        client.send(post("large", b'{"bytes":1000000}') * 200)
        with Client(shared_host) as other:  # the host has had its turn when this one is through
            for _ in range(50):
                other.send(post("large", b'{"bytes":1000000}'))
                assert other.answer()[0] == 200
        assert process.memory_info().rss - before < 60e6
        for _ in range(200):
            assert len(client.answer()[1]) == 1_000_000


def test_a_body_is_asked_for(client: Client) -> None:
    """Expect: 100-continue, as curl sends it for large bodies."""
    body = b'{"a":"%s"}' % (b"x" * 100_000)
    head = post("size", b"", "Expect: 100-continue", length=len(body))
    for _ in range(2):
        client.send(head)
        assert client.status() == 100
        client.send(body)
        assert client.answer() == (200, str(len(body)).encode())


@pytest.mark.parametrize(("name", "length", "status"), [("gone", 10, 404), ("echo", 10**9, 413)])
def test_a_refused_body_is_not_asked_for(
    client: Client, name: str, length: int, status: int
) -> None:
    client.send(post(name, b"", "Expect: 100-continue", length=length))
    assert client.answer()[0] == status
    assert client.header("connection") == "close"
    assert client.is_closed()


@pytest.mark.parametrize("size", [100, LIMIT + 1, 8 * LIMIT, 64 * LIMIT])
def test_a_body_that_is_refused_does_not_cost_its_sender_the_answer(
    shared_host: RunningHost, size: int
) -> None:
    """It is sent by a client that writes it all before it reads."""
    name = "gone" if size <= LIMIT else "echo"
    with Client(shared_host) as client:
        with contextlib.suppress(ConnectionError):  # after the answer it may be cut off
            client.send(post(name, b"x" * size))
        status, body = client.answer()
    assert (status, b"not found" in body.lower() or b"over the limit" in body) == (
        404 if name == "gone" else 413,
        True,
    )


def test_a_small_refused_body_leaves_the_connection(client: Client) -> None:
    for _ in range(3):
        client.send(post("gone", b"x" * 30_000)[:-20_000])
        assert client.answer()[0] == 404
        client.send(b"x" * 20_000)
        client.send(post("echo"))
        assert client.answer() == (200, b"{}")


@pytest.mark.parametrize("step", [1, 7])
def test_a_request_that_comes_in_pieces(client: Client, step: int) -> None:
    request = post("echo", b'{"a":[1,2,3]}')
    for _ in range(2):
        for index in range(0, len(request), step):
            client.send(request[index : index + step])
        assert client.answer() == (200, b'{"a":[1,2,3]}')


def test_a_body_in_chunks(client: Client) -> None:
    head = post("echo").replace(
        b"Content-Length: 2\r\n\r\n{}", b"Transfer-Encoding: chunked\r\n\r\n"
    )
    client.send(head + b'4\r\n{"a"\r\n')
    client.send(b'4;name="value"\r\n: 1}\r\n0\r\nX-Trailer: 1\r\n\r\n')
    assert client.answer() == (200, b'{"a":1}')
    client.send(head + b"0\r\n\r\n")
    assert client.answer() == (200, b"{}")


def test_http_1_0(shared_host: RunningHost) -> None:
    for headers in ((), ("Connection: keep-alive",)):
        with Client(shared_host) as client:
            client.send(post("echo", b'{"a":1}', *headers, version="1.0"))
            assert client.answer() == (200, b'{"a":1}')
            assert client.is_closed()


def test_a_stream_for_http_1_0_ends_with_its_connection(client: Client) -> None:
    body = b'{"count": 3, "bytes": 1}'
    client.send(post("stream", body, "Accept: text/event-stream", version="1.0"))
    assert client.status() == 200
    assert client.header("transfer-encoding") is None
    events = client._file.read()
    assert events == b'event: chunk\ndata: "x"\n\n' * 3 + b"event: result\ndata: null\n\n"


def test_connection_close(client: Client) -> None:
    client.send(post("echo", b"{}", "Connection: close"))
    assert client.answer() == (200, b"{}")
    assert client.header("connection") == "close"
    assert client.is_closed()


def test_head_has_no_body(client: Client) -> None:
    for path, status in [
        ("/status", 200),
        ("/health", 200),
        ("/gone", 404),
        ("/function/echo", 405),
    ]:
        client.send(f"HEAD {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        assert client.status() == status
        assert int(client.header("content-length") or 0) > 0
    client.send(post("echo"))
    assert client.answer() == (200, b"{}")


@pytest.mark.parametrize("upgrade", ["h2c", "websocket"])
def test_an_offer_to_upgrade_is_not_taken(client: Client, upgrade: str) -> None:
    """As Java's and some other clients make it with their first request (RFC 9110, 7.8)."""
    offer = (
        "Connection: Upgrade, HTTP2-Settings",
        f"Upgrade: {upgrade}",
        "HTTP2-Settings: AAMAAABk",
    )
    client.send(post("echo", b'{"a":1}', *offer))
    assert client.answer() == (200, b'{"a":1}')
    client.send(post("echo", b'{"a":2}'))
    assert client.answer() == (200, b'{"a":2}')
    client.send(post("echo", b'{"a":3}', *offer) + post("echo", b'{"a":4}'))
    assert [client.answer() for _ in range(2)] == [(200, b'{"a":3}'), (200, b'{"a":4}')]
    client.send(post("gone", b'{"a":5}', *offer) + post("echo", b'{"a":6}'))
    assert [client.answer()[0] for _ in range(2)] == [404, 200]
    get = "\r\n".join(["GET /health HTTP/1.1", "Host: localhost", *offer]) + "\r\n\r\n"
    client.send(get.encode() + post("echo", b'{"a":5}'))
    assert [client.answer() for _ in range(2)] == [(200, b"ok\n"), (200, b'{"a":5}')]


@pytest.mark.parametrize(
    "target",
    [
        "http://localhost/function/echo",
        "http://localhost:9009/function/echo?hash=bf21a9e8fbc5a3846fb05b4fa0859e0917b2202f",
        "HTTP://LOCALHOST/function/ech%6F",
    ],
)
def test_targets_as_proxies_send_them(client: Client, target: str) -> None:
    request = post("echo").replace(b"/function/echo", target.encode())
    client.send(request)
    assert client.answer() == (200, b"{}")


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"POST /function/echo HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: 1e3\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nfive\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nhost: localhost\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nX : y\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nX: a\x00b\r\n\r\n", 400),
        (b"GET http://[::1/ HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
        (b"CONNECT localhost:80 HTTP/1.1\r\nHost: localhost\r\n\r\n", 404),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
        (b"BREW /status HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
    ],
)
def test_what_is_wrong_in_a_head_is_refused(
    shared_host: RunningHost, client: Client, head: bytes, status: int
) -> None:
    client.send(head)
    assert client.answer()[0] == status
    assert "Traceback" not in shared_host.log_text()
    with Client(shared_host) as other:
        other.send(post("echo"))
        assert other.answer() == (200, b"{}")


@pytest.mark.parametrize(
    "endless",
    [
        pytest.param((b"GET /", b"x" * 16384), id="target"),
        pytest.param((b"GET / HTTP/1.1\r\nX: ", b"y" * 16384), id="value"),
        pytest.param((b"GET / HTTP/1.1\r\n", b"X: y\r\n" * 2000), id="headers"),
        pytest.param(
            (
                b"POST /function/echo HTTP/1.1\r\nHost: localhost\r\n"
                b"Transfer-Encoding: chunked\r\n\r\n0\r\n",
                b"X: y\r\n" * 2000,
            ),
            id="trailers",
        ),
        pytest.param(
            (
                b"POST /function/echo HTTP/1.1\r\nHost: localhost\r\n"
                b"Transfer-Encoding: chunked\r\n\r\n0\r\nX: ",
                b"y" * 16384,
            ),
            id="trailer",
        ),
    ],
)
def test_a_head_without_an_end_is_refused(client: Client, endless: tuple[bytes, bytes]) -> None:
    begin, part = endless
    client.send(begin)
    client.socket.setblocking(False)
    sent = 0
    with contextlib.suppress(ConnectionError):
        while sent < 3_000_000:
            try:
                sent += client.socket.send(part)
            except BlockingIOError:
                break
            with contextlib.suppress(BlockingIOError):
                if client.socket.recv(1, socket.MSG_PEEK):
                    break
    client.socket.settimeout(TIMEOUT_S)
    assert client.status() == 431


def test_garbage_behind_a_request_ends_the_connection_after_its_answer(client: Client) -> None:
    client.send(post("later", b'{"ms":100}') + b"\x00garbage\r\n\r\n")
    assert client.answer() == (200, b'{"ms":100}')
    assert client.is_closed()


def test_a_client_that_half_closes_frees_its_connection(shared_host: RunningHost) -> None:
    def connections() -> int:
        return len(psutil.Process(shared_host.pid).net_connections("tcp4"))

    before = connections()
    clients = [Client(shared_host) for _ in range(20)]
    for each in clients:
        each.send(post("echo")[:-10])
        each.socket.shutdown(socket.SHUT_WR)
    wait_until(lambda: connections() <= before, TIMEOUT_S, "end of half-closed connections")
    for each in clients:
        each.close()


def test_many_connections(shared_host: RunningHost) -> None:
    count = 500
    clients = [Client(shared_host) for _ in range(count)]
    try:
        for number, each in enumerate(clients):
            each.send(post("later", json.dumps({"ms": 50, "n": number}).encode()))
        for number, each in enumerate(clients):
            assert json.loads(each.answer()[1])["n"] == number
    finally:
        for each in clients:
            each.close()
    assert shared_host.function("echo").call(a=1) == {"a": 1}


def test_many_half_sent_heads_hold_up_nobody(shared_host: RunningHost) -> None:
    slow = [Client(shared_host) for _ in range(200)]
    try:
        for each in slow:
            each.send(post("echo")[:30])
        assert shared_host.function("echo").call(a=1) == {"a": 1}
        for each in slow:
            each.send(post("echo")[30:])
            assert each.answer() == (200, b"{}")
    finally:
        for each in slow:
            each.close()


STREAMED_MB = int(os.environ.get("JSHOST_STREAMED_MB", "100"))
"""1000 for the full figure: JSHOST_STREAMED_MB=1000 pytest tests/e2e/http -k connections"""


def test_the_hosts_memory_is_bounded_while_a_stream_goes_through_it(
    shared_host: RunningHost,
) -> None:
    """By a reader that stops for a while, then reads on; the host's memory is looked at all the
    time."""
    process = psutil.Process(shared_host.pid)
    largest, over = 0, threading.Event()

    def watch() -> None:
        nonlocal largest
        while not over.wait(0.01):
            largest = max(largest, process.memory_info().rss)

    size = 100_000
    count = STREAMED_MB * 1_000_000 // size
    timeout_s = 30 + STREAMED_MB / 5
    with ThreadPoolExecutor(1) as threads:
        watching = threads.submit(watch)
        try:
            stream = shared_host.function("stream", timeout=timeout_s).stream(
                count=count, bytes=size
            )
            got = 0
            for chunk in stream:
                got += len(chunk)
                if got == 100 * size:
                    time.sleep(0.3)  # long enough for a worker that nobody slows down
        finally:
            over.set()
        watching.result()
    assert got == count * size
    assert largest < 150e6


def test_slow_readers_of_streams_cost_a_bounded_memory_each(shared_host: RunningHost) -> None:
    process = psutil.Process(shared_host.pid)
    before = process.memory_info().rss
    clients = [Client(shared_host) for _ in range(20)]
    body = b'{"count": 1000, "bytes": 100000}'  # 100 MB each
    try:
        for each in clients:
            each.send(post("stream", body, "Accept: text/event-stream"))
        for each in clients:
            assert each.status() == 200
        call = shared_host.function("echo")
        for number in range(200):  # meanwhile others are served, and the streams have their turns
            assert call.call(n=number) == {"n": number}
        assert process.memory_info().rss - before < 60e6
    finally:
        for each in clients:
            each.close()
