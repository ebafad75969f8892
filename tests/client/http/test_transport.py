"""All transports against the same servers: what comes back, what breaks, what is never repeated.

How connections are kept, shared and inherited is in test_transport_connections, responses that are
read as they come in test_transport_streams.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import tempfile
from base64 import b64encode
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from support.tiny_server import Connection, TinyServer, echo, unix_url
from support.transports import TIMEOUT_S, Connect, LoopThread, OnLoop, post, to, to_tcp

from jshost.client.host import DeadlinePassed
from jshost.client.http.async_plain_transport import AsyncPlainTransport
from jshost.client.http.errors import raise_translated
from jshost.client.http.http_request import HttpRequest
from jshost.client.http.httpx_transport import AsyncHttpxTransport, HttpxTransport
from jshost.client.http.plain_transport import PlainTransport
from jshost.client.http.transport import Transport
from jshost.client.http.transport_choice import connect, connect_async
from jshost.exceptions import ConnectionError, UnexpectedResponse

pytestmark = pytest.mark.real

__all__ = ["to", "to_tcp"]  # fixtures


# What goes out, what comes back


@pytest.mark.parametrize("prefix", ["", "/js/hosts"])
@pytest.mark.parametrize(
    "target",
    [
        "/function/f?hash=bc4919c6adf7168088eaea06e27a5b23f0f9f9da",
        "/function/a%2Fb%20c%25?hash=1",
        "/function/gr%C3%B6%C3%9Fe%E2%80%A8?hash=1",
        "/function/%5B%7C%5D%5E%60%22%3C%3E?hash=1",
        "/function/~a.b_c-d?x=1&y=%2B+",
    ],
)
def test_a_request_arrives_as_it_was_sent(to_tcp: Connect, prefix: str, target: str) -> None:
    with TinyServer(echo) as server:
        headers = {"Content-Type": "application/json", "JSHost-Timeout": "10.0"}
        to_tcp(server.url + prefix).request(
            HttpRequest("POST", target, headers, b'{"a": 1}', TIMEOUT_S)
        )
    (request,) = server.requests
    assert (request.method, request.target) == ("POST", prefix + target)
    assert request.headers["host"] == f"127.0.0.1:{server.port}"
    assert request.headers["content-type"] == "application/json"
    assert request.headers["jshost-timeout"] == "10.0"
    assert request.headers["content-length"] == "8"
    assert request.body == b'{"a": 1}'


def test_headers_are_those_of_the_request_and_not_of_the_last(to: Connect) -> None:
    with TinyServer(echo) as server:
        transport = to(server.url)
        headers = {"X-Number": "1"}
        transport.request(HttpRequest("GET", "/", headers, timeout_s=TIMEOUT_S))
        headers["X-Number"] = "2"
        transport.request(HttpRequest("GET", "/", headers, timeout_s=TIMEOUT_S))
    assert [request.headers["x-number"] for request in server.requests] == ["1", "2"]


def test_a_name_and_a_password_in_the_url_are_sent(to_tcp: Connect) -> None:
    """A proxy in front of the host may ask for them; over http as over https."""
    with TinyServer(echo) as server:
        url = server.url.replace("http://", "http://jane:p%40ss@")
        to_tcp(url).request(HttpRequest("GET", "/", timeout_s=TIMEOUT_S))
    (request,) = server.requests
    assert request.headers["authorization"] == "Basic " + b64encode(b"jane:p@ss").decode()
    assert request.headers["host"] == f"127.0.0.1:{server.port}"


ANSWERS: dict[str, tuple[bytes, int, bytes]] = {
    "plain": (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", 200, b"ok"),
    "an error": (b"HTTP/1.1 500 Oh\r\nContent-Length: 2\r\n\r\nno", 500, b"no"),
    "a redirection is not followed": (
        b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n",
        302,
        b"",
    ),
    "chunks": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\no\r\n1\r\nk\r\n0\r\n\r\n",
        200,
        b"ok",
    ),
    "100 Continue first": (
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        200,
        b"ok",
    ),
    "no content": (b"HTTP/1.1 204 No Content\r\n\r\n", 204, b""),
    "the end of the connection ends it": (
        b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nok until the end",
        200,
        b"ok until the end",
    ),
    "HTTP/1.0": (b"HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\nok", 200, b"ok"),
}


@pytest.mark.parametrize("step", [1, 10_000], ids=["byte by byte", "at once"])
@pytest.mark.parametrize("name", ANSWERS)
def test_an_answer_is_read(to: Connect, name: str, step: int) -> None:
    answer, status, content = ANSWERS[name]

    def script(connection: Connection) -> None:
        connection.read_request()
        for index in range(0, len(answer), step):
            connection.send(answer[index : index + step])

    with TinyServer(script) as server:
        response = to(server.url).request(HttpRequest("POST", "/", body=b"{}", timeout_s=TIMEOUT_S))
    assert (response.status_code, response.content) == (status, content)


def test_headers_of_an_answer_have_lower_case_names_and_are_joined(to: Connect) -> None:
    def script(connection: Connection) -> None:
        connection.read_request()
        connection.send(b"HTTP/1.1 200 OK\r\nVary: Accept\r\nX-ID: 7-1 \r\nVary: Origin\r\n")
        connection.send(b"Content-Length: 0\r\n\r\n")

    with TinyServer(script) as server:
        headers = to(server.url).request(HttpRequest("GET", "/", timeout_s=TIMEOUT_S)).headers
    assert dict(headers) == {"vary": "Accept, Origin", "x-id": "7-1", "content-length": "0"}


def test_megabytes_go_both_ways(to: Connect) -> None:
    body = bytes(range(256)) * (20 * 1024 * 4)
    with TinyServer(echo) as server:
        assert post(to(server.url), body) == body


# What breaks


def test_nobody_listens(to_tcp: Connect) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(ConnectionError, match=f"No host answers at {url}"):
            post(to_tcp(url))


def test_there_is_no_such_name(to_tcp: Connect) -> None:
    with pytest.raises(ConnectionError, match=r"No host answers at http://no-such-host.invalid:1"):
        post(to_tcp("http://no-such-host.invalid:1"))


@pytest.fixture(params=[PlainTransport, AsyncPlainTransport])
def to_socket(request: pytest.FixtureRequest) -> Iterator[Callable[[Path], Transport]]:
    """A transport to a unix socket's path."""
    if request.param is PlainTransport:
        yield lambda path: PlainTransport(f"unix://{path}")
        return
    thread = LoopThread()
    yield lambda path: OnLoop(AsyncPlainTransport(f"unix://{path}"), thread)
    thread.close()


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("missing.sock", "No such file"),
        ("file", "Connection refused"),
        ("stale.sock", "Connection refused"),
        ("x" * 120, "too long"),
    ],
)
def test_nobody_listens_on_a_unix_socket(
    to_socket: Callable[[Path], Transport], name: str, said: str
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "file").touch()
        with socket.socket(socket.AF_UNIX) as left:
            left.bind(f"{folder}/stale.sock")
        path = Path(folder) / name
        with pytest.raises(ConnectionError, match=f"No host answers at unix://{path}.*{said}"):
            post(to_socket(path))


def test_a_unix_sockets_path_is_escaped_as_in_every_url() -> None:
    with TinyServer(echo) as server, tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "größe 100%"
        path.symlink_to(unix_url(server.url).removeprefix("unix://"))
        transport = PlainTransport(f"unix://{quote(str(path))}")
        assert post(transport, b"there") == b"there"
        transport.close()
    assert server.requests[0].headers["host"] == "localhost"


def close_unread(connection: Connection) -> None:
    """Accept, and close at once."""


def close_unanswered(connection: Connection) -> None:
    connection.read_request()


def close_in_the_head(connection: Connection) -> None:
    connection.read_request()
    connection.send(b"HTTP/1.1 200 OK\r\nContent-")


def close_in_the_body(connection: Connection) -> None:
    connection.read_request()
    connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")


def close_in_a_chunk(connection: Connection) -> None:
    connection.read_request()
    connection.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nha")


def reset(connection: Connection) -> None:
    connection.read_request()
    connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")


@pytest.mark.parametrize(
    "script",
    [
        close_unread,
        close_unanswered,
        close_in_the_head,
        close_in_the_body,
        close_in_a_chunk,
        reset,
    ],
)
def test_a_connection_that_breaks_is_a_connection_error_and_nothing_is_sent_again(
    to: Connect, script: Callable[[Connection], None]
) -> None:
    text = "://.*: the connection broke.*may have run"
    with TinyServer(script) as server, pytest.raises(ConnectionError, match=text):
        post(to(server.url))
    assert server.connections == 1
    assert len(server.requests) <= 1


def test_nothing_is_sent_again_on_a_connection_that_was_kept(to: Connect) -> None:
    """The host may have run the call before it died."""

    def script(connection: Connection) -> None:
        connection.read_request()
        connection.answer(200, b"first")
        connection.read_request()

    with TinyServer(script) as server:
        transport = to(server.url)
        assert post(transport) == b"first"
        with pytest.raises(ConnectionError):
            post(transport)
    assert [request.connection for request in server.requests] == [1, 1]


def test_after_a_break_the_next_request_has_a_new_connection(to: Connect) -> None:
    def script(connection: Connection) -> None:
        connection.read_request()
        if connection.number > 1:
            connection.answer(200, b"second")

    with TinyServer(script) as server:
        transport = to(server.url)
        with pytest.raises(ConnectionError):
            post(transport)
        assert post(transport) == b"second"


@pytest.mark.parametrize("answer", [b"Invalid SSH identification string.\r\n\r\n", b"\x15\x03\x01"])
def test_what_is_not_http_is_unexpected(to: Connect, answer: bytes) -> None:
    def script(connection: Connection) -> None:
        connection.read_request()
        connection.send(answer)
        connection.wait_for_end()

    with TinyServer(script) as server, pytest.raises(UnexpectedResponse, match="://"):
        post(to(server.url))


@pytest.mark.parametrize("size", [1 << 20, 32 << 20])
def test_an_answer_to_a_body_that_was_not_read_is_read(to: Connect, size: int) -> None:
    """A host that refuses a body by its length does not wait for it."""
    # httpx on asyncio may report the broken connection, and drop what was answered.
    drops = "async httpx" in os.environ["PYTEST_CURRENT_TEST"]

    def script(connection: Connection) -> None:
        connection.read_head()
        connection.answer(413, b"too large", {"Connection": "close"})

    body = bytes(size)
    with TinyServer(script) as server:
        for _ in range(5):
            try:
                response = to(server.url).request(
                    HttpRequest("POST", "/", body=body, timeout_s=TIMEOUT_S)
                )
            except ConnectionError:
                assert drops
                continue
            assert (response.status_code, response.content) == (413, b"too large")
    assert len(server.requests) == 5


@pytest.mark.parametrize("kind", [PlainTransport, AsyncPlainTransport])
def test_an_answer_is_read_though_the_body_never_will_be(kind: Callable[[str], Any]) -> None:
    """Nor is the connection closed. (httpx sends all of a body before it reads.)"""

    def script(connection: Connection) -> None:
        connection.read_head()
        connection.answer(413, b"too large", {"Connection": "close"})
        connection.server.closing.wait(TIMEOUT_S)

    with TinyServer(script) as server:
        request = HttpRequest("POST", "/", body=bytes(32 << 20), timeout_s=TIMEOUT_S)
        if kind is PlainTransport:
            response = PlainTransport(server.url).request(request)
        else:
            response = asyncio.run(AsyncPlainTransport(server.url).request(request))
    assert (response.status_code, response.content) == (413, b"too large")


# Which transport


@pytest.mark.parametrize(
    ("url", "environment", "cls"),
    [
        ("http://host.example:9009", {}, PlainTransport),
        ("http://host.example/js", {}, PlainTransport),
        ("unix:///run/jshost.sock", {}, PlainTransport),
        (
            "unix:///run/jshost.sock",
            {"all_proxy": "http://proxy.example:8080"},
            PlainTransport,
        ),
        ("https://host.example", {}, HttpxTransport),
        ("http://host.example", {"HTTP_PROXY": "http://proxy.example:8080"}, HttpxTransport),
        ("http://host.example", {"all_proxy": "http://proxy.example:8080"}, HttpxTransport),
        (
            "http://host.example",
            {"http_proxy": "http://proxy.example:8080", "no_proxy": "host.example"},
            PlainTransport,
        ),
        ("http://127.0.0.1:9009", {"http_proxy": "http://proxy.example:8080"}, PlainTransport),
        ("http://localhost:9009", {"http_proxy": "http://proxy.example:8080"}, PlainTransport),
        ("http://[::1]:9009", {"http_proxy": "http://proxy.example:8080"}, PlainTransport),
    ],
)
def test_the_short_path_is_for_plain_http_without_a_proxy(
    monkeypatch: pytest.MonkeyPatch, url: str, environment: dict[str, str], cls: type[Any]
) -> None:
    for name in ("HTTP_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert type(connect(url)) is cls
    async_cls = AsyncPlainTransport if cls is PlainTransport else AsyncHttpxTransport
    assert type(connect_async(url)) is async_cls


def test_a_connection_that_the_system_gives_up_is_no_deadline() -> None:
    """ETIMEDOUT is a TimeoutError in Python; a call without a limit can meet it, too."""
    given_up = TimeoutError(errno.ETIMEDOUT, "Connection timed out")
    with pytest.raises(ConnectionError, match=r"the connection broke \(Connection timed out\)"):
        raise_translated("http://host.example", given_up)
    with pytest.raises(DeadlinePassed):
        raise_translated("http://host.example", TimeoutError())
