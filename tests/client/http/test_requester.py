"""Requests to a host that may move: from threads and asyncio loops alike."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from support.tiny_server import Connection, TinyServer

from jshost.client.http.http_request import HttpRequest
from jshost.client.http.locator import Location
from jshost.client.http.requester import Requester
from jshost.client.response import Response
from jshost.exceptions import ConnectionError

REQUEST = HttpRequest("POST", "/function/f", body=b"{}", timeout_s=10)
Send = Callable[[Requester], Response]


class Places:
    """A locator that has moved each time it is asked, up to the last place."""

    def __init__(self, *urls: str, moves: bool = True) -> None:
        self.urls = list(urls)
        self.moves = moves

    def locate(self) -> Location:
        url = self.urls.pop(0) if len(self.urls) > 1 else self.urls[0]
        return Location(url, url, "")


class Managed:
    def __init__(self, held: dict[str, Any] | None = None) -> None:
        self.held = held


def requester(places: Places, held: dict[str, Any] | None = None) -> Requester:
    return Requester(places, Managed(held))  # type: ignore[arg-type]


@pytest.fixture(params=["thread", "loop"])
def send(request: pytest.FixtureRequest) -> Send:
    if request.param == "thread":
        return lambda requester: requester.send(REQUEST)
    return lambda requester: asyncio.run(requester.asend(REQUEST))


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port that is taken, so that no other program gets it, and refuses connections."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


def answers(status: str, body: bytes) -> Callable[[Connection], None]:
    def script(connection: Connection) -> None:
        while connection.read_request() is not None:
            head = f"HTTP/1.1 {status}\r\ncontent-length: {len(body)}\r\n\r\n"
            connection.socket.sendall(head.encode() + body)

    return script


DRAINING = answers("503 Service Unavailable", b'{"code": "draining"}')
OK = answers("200 OK", b"1")


def test_a_host_that_was_restarted_elsewhere_is_found_again(send: Send, closed_port: int) -> None:
    with TinyServer(OK) as server:
        places = Places(f"http://127.0.0.1:{closed_port}", server.url)
        assert send(requester(places)).content == b"1"


def test_a_host_that_does_not_move_is_not_asked_again(send: Send, closed_port: int) -> None:
    with TinyServer(OK) as server:
        places = Places(f"http://127.0.0.1:{closed_port}", server.url, moves=False)
        with pytest.raises(ConnectionError):
            send(requester(places))
        assert server.requests == []


def test_a_managed_host_that_stops_is_followed_by_another(send: Send) -> None:
    with TinyServer(DRAINING) as old, TinyServer(OK) as new:
        held = {"logfile": "host.log"}
        assert send(requester(Places(old.url, new.url), held)).content == b"1"
        assert len(old.requests) == 1


def test_a_host_that_stops_and_is_not_managed_says_so(send: Send) -> None:
    with TinyServer(DRAINING) as old, TinyServer(OK) as new:
        assert send(requester(Places(old.url, new.url))).status_code == 503
        assert new.requests == []


def test_what_was_sent_and_not_answered_is_not_sent_again(send: Send) -> None:
    def hang_up(connection: Connection) -> None:
        connection.read_request()

    with TinyServer(hang_up) as broken, TinyServer(OK) as other:
        there = requester(Places(broken.url, other.url))
        with pytest.raises(ConnectionError, match="the call may have run"):
            send(there)
        assert (len(broken.requests), other.requests) == (1, [])
        assert send(there).content == b"1", "the next call looks for it again"
