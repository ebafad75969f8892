"""What a host takes at most, and the status that says so."""

from __future__ import annotations

import socket
import threading

import pytest
from support.hosts import RunningHost, StartHost, wait_until

CONFIG = """
import time

def hello():
    return "Hello"

def nap(seconds):
    time.sleep(seconds)
    return "rested"

def length(text):
    return len(text)

functions = {"hello": hello, "nap": nap, "length": length}
"""


def connect(host: RunningHost) -> socket.socket:
    return socket.create_connection(("127.0.0.1", host.status["config"]["port"]), 10)


def read_answer(sock: socket.socket) -> tuple[int, dict[str, str], bytes]:
    """One answer, as far as its Content-Length says."""
    file = sock.makefile("rb")
    status = int(file.readline().split()[1])
    headers = {}
    while line := file.readline().strip():
        name, _, value = line.partition(b": ")
        headers[name.decode()] = value.decode()
    return status, headers, file.read(int(headers.get("content-length", "0")))


def request(path: str = "/function/hello", *lines: str, body: bytes = b"") -> bytes:
    head = [f"POST {path} HTTP/1.1", "Host: localhost", *lines, f"Content-Length: {len(body)}"]
    if body:
        head.append("Content-Type: application/json")
    return "\r\n".join([*head, "", ""]).encode() + body


# Connections


def test_connections(serve: StartHost) -> None:
    host = serve("host.config.py", CONFIG, "--max-connections", "3")
    held = [connect(host) for _ in range(3)]
    for sock in held:
        sock.sendall(request())
        assert read_answer(sock)[2] == b"Hello"
    with connect(host) as late:
        late.sendall(request())
        status, headers, body = read_answer(late)
        assert (status, headers["retry-after"], headers["connection"]) == (503, "1", "close")
        assert b"maxConnections" in body
        assert late.recv(1) == b""
    for sock in held:
        sock.sendall(request())
        assert read_answer(sock)[2] == b"Hello", "those who were there are served"
    held.pop().close()

    def is_served() -> bool:
        with connect(host) as again:
            again.sendall(request())
            return read_answer(again)[0] == 200

    wait_until(is_served, 5, "room for another connection")
    for sock in held:
        sock.close()


# Heads


@pytest.mark.parametrize("size", [70_000, 200_000, 260_000])
@pytest.mark.parametrize("kind", ["a header", "many headers", "the URL"])
def test_heads_that_are_too_long(serve: StartHost, size: int, kind: str) -> None:
    host = serve("host.config.py", CONFIG)
    if kind == "the URL":
        data = request("/function/hello?x=" + "x" * size)
    elif kind == "a header":
        data = request("/function/hello", "X: " + "x" * size)
    else:
        data = request("/function/hello", *["X: " + "x" * 1000] * (size // 1000))
    for pieces in (1, 2, 3):
        with connect(host) as sock:
            step = len(data) // pieces + 1
            for start in range(0, len(data), step):
                sock.sendall(data[start : start + step])
            status, headers, body = read_answer(sock)
            assert (status, headers["connection"]) == (431, "close")
            assert b"65536" in body


def test_heads_that_are_not(serve: StartHost) -> None:
    host = serve("host.config.py", CONFIG)
    long = request("/function/hello", "X: " + "x" * 60_000)
    with connect(host) as sock:
        sock.sendall(long)
        assert read_answer(sock)[2] == b"Hello"
        body = b'{"text": "' + b"x" * 300_000 + b'"}'
        sock.sendall(request("/function/length", body=body))
        assert read_answer(sock)[2] == b"300000"
        sock.sendall(request("/function/length", body=body) * 2 + long * 3)
        assert [answer(sock) for _ in range(5)] == [b"300000"] * 2 + [b"Hello"] * 3


def answer(sock: socket.socket) -> bytes:
    """As `read_answer`, byte by byte: others may follow at once."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += sock.recv(1)
    length = int(head.lower().partition(b"content-length: ")[2].split()[0])
    body = b""
    while len(body) < length:
        body += sock.recv(length - len(body))
    return body


# Bodies


def test_bodies(serve: StartHost) -> None:
    host = serve("host.config.py", CONFIG, "--request-data-limit", "1kb")
    with connect(host) as sock:
        sock.sendall(request("/function/length", body=b'{"text": "' + b"x" * 1013 + b'"}'))
        status, _, body = read_answer(sock)
        assert (status, b"requestDataLimit" in body) == (413, True)


# Queues


def test_the_queue(serve: StartHost) -> None:
    host = serve("host.config.py", CONFIG, "--concurrency", "1", "--max-queue", "1")
    answers: list[int] = []

    def call() -> None:
        with connect(host) as sock:
            sock.sendall(request("/function/nap", body=b'{"seconds": 1}'))
            answers.append(read_answer(sock)[0])

    threads = [threading.Thread(target=call) for _ in range(2)]
    for index, thread in enumerate(threads):
        thread.start()
        wait_until(lambda wanted=index: waiting(host) == wanted, 5, "call")  # type: ignore[misc]
    with connect(host) as sock:
        sock.sendall(request())
        status, headers, body = read_answer(sock)
        assert (status, headers["retry-after"]) == (503, "1")
        assert b"queue" in body
    for thread in threads:
        thread.join()
    assert answers == [200, 200]


def waiting(host: RunningHost) -> int:
    """How many calls wait, once one runs."""
    workers = host.host.request_status()["workers"]
    return -1 if not workers[0]["calls"] else host.host.request_status()["queued"]


# Expect: 100-continue


def test_who_waits_to_be_told_behind_a_running_call_is_told(serve: StartHost) -> None:
    host = serve("host.config.py", CONFIG)
    body = b'{"text": "12345"}'
    expecting = request("/function/length", "Expect: 100-continue", body=body)
    with connect(host) as sock:
        first = request("/function/nap", body=b'{"seconds": 0.3}')
        sock.sendall(first + expecting.removesuffix(body))
        assert answer(sock) == b"rested"
        told = b""
        while not told.endswith(b"\r\n\r\n"):
            told += sock.recv(1)
        assert told == b"HTTP/1.1 100 Continue\r\n\r\n"
        sock.sendall(body)
        assert answer(sock) == b"5"
        sock.sendall(first + expecting)
        assert [answer(sock), answer(sock)] == [b"rested", b"5"], "it did not wait: it is not told"
