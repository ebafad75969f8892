"""Connections that send a byte a second do not keep anybody else from being answered."""

from __future__ import annotations

import resource
import select
import socket
import statistics
import time

import pytest
from support.extent import Gain, by_hand, report
from support.hosts import StartHost, wait_until

from jshost.function import Function

pytestmark = pytest.mark.timeout(120)

SENDERS = 500
SECONDS = by_hand(45, 4)
HEAD_S = 30
"""How long a host waits for a head (reading.HEAD_S); it looks every 5 s."""

HEAD = b"POST /function/hello HTTP/1.1\r\nHost: localhost\r\nX-Slow: " + b"s" * 1000
BODY = (
    b"POST /function/hello HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n" + b"{" * 999
)
JS = "module.exports = {functions: {hello: () => 'Hello!'}};"


def send_slowly(senders: list[socket.socket], data: bytes, place: int) -> None:
    """One more byte from each that has not been hung up on."""
    for sender in senders:
        try:
            sender.sendall(data[place : place + 1])
        except OSError:
            continue


def closed(senders: list[socket.socket]) -> int:
    poll = select.poll()
    for sender in senders:
        poll.register(sender, select.POLLRDHUP)
    return len(poll.poll(0))


@pytest.mark.parametrize("slow", ["head", "body"])
def test_slow_senders_stop_nobody(serve: StartHost, slow: str) -> None:
    wanted = SENDERS + 200
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    host = serve("host.config.js", JS)
    hello = host.function("hello", timeout=5)
    quiet = _latencies(hello, 0.5)
    gain = Gain(host.pid)
    address = ("127.0.0.1", host.status["config"]["port"])
    senders = [socket.create_connection(address, 10) for _ in range(SENDERS)]
    try:
        data = HEAD if slow == "head" else BODY
        at_once = 30 if slow == "head" else data.index(b"{")
        for sender in senders:
            sender.sendall(data[:at_once])
        busy = []
        for second in range(SECONDS):
            send_slowly(senders, data, at_once + second)
            busy += _latencies(hello, 1)
        ended = closed(senders)
        wait_until(lambda: host.host.request_status()["ready"], 5, "ready host")
        before, median = statistics.median(quiet) * 1000, statistics.median(busy) * 1000
        report(
            f"{SENDERS} senders of a {slow}, {len(busy)} calls meanwhile: {median:.2f} ms each "
            f"(before {before:.2f}), {max(busy) * 1000:.0f} ms at most; {ended} were hung up on; "
            f"{gain.megabytes:+.1f} MB"
        )
        if slow == "head" and SECONDS > HEAD_S + 10:
            assert ended == SENDERS
    finally:
        for sender in senders:
            sender.close()
    wait_until(lambda: gain.files <= 2, 10, "end of all connections")
    assert hello.call() == "Hello!"


def _latencies(hello: Function, seconds: float) -> list[float]:
    """Call one after the other for so long."""
    found, end = [], time.monotonic() + seconds
    while (began := time.monotonic()) < end:
        assert hello.call() == "Hello!"
        found.append(time.monotonic() - began)
    return found
