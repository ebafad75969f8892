"""Heads that need no parsing: only those that mean what the parser made of the same bytes."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.extent import examples

from jshost.client.http.http1 import Endpoint
from jshost.exceptions import RemoteError
from jshost.protocol import values
from jshost.server.http.connection import ServerConnection
from jshost.server.http.known_heads import MAX_HEADS, KnownHeads
from jshost.server.http.request import IncomingRequest, KnownCall, RequestHead
from jshost.server.http.request_parser import RequestParser, UnreadableRequest

BODY = b'{"x": 1}'
CALL = KnownCall("tiny", None, 10.0, 1000, False, True)
HEADERS = {"Content-Type": "application/json", "JSHost-Timeout": "10.0"}


class Owner:
    """Learns every request that is read."""

    def __init__(self, known: KnownHeads) -> None:
        self.known = known
        self.requests: list[IncomingRequest] = []

    def on_head(self, request: IncomingRequest) -> int:
        return 1 << 20

    def on_continue(self) -> None:
        pass

    def on_refusal(
        self, request: IncomingRequest, error: RemoteError, expects_continue: bool
    ) -> bool:
        return False

    def on_request(self, request: IncomingRequest, refusal: RemoteError | None) -> None:
        self.requests.append(request)
        self.known.learn(request, CALL)


def request(
    body: bytes = BODY,
    *,
    path: str = "/function/tiny",
    headers: Mapping[str, str] = HEADERS,
    root_url: str = "http://127.0.0.1:9009",
) -> bytes:
    target = f"{path}?hash={values.body_hash(body)}"
    return Endpoint(root_url).request("POST", target, headers, body)


def known_after(*data: bytes) -> KnownHeads:
    known = KnownHeads()
    reader = RequestParser(Owner(known))
    for each in data:
        reader.feed(each, 0.0)
    return known


def test_the_next_call_of_a_function_is_recognized() -> None:
    known = known_after(request())
    found = known.recognize(request(b'{"x": 100}'))
    assert found is not None
    assert (found.body, found.call, found.request_id) == (b'{"x": 100}', CALL, "")
    assert (found.head.path, found.keep_alive) == ("/function/tiny", True)
    assert found.target == b"/function/tiny?hash=" + values.body_hash(b'{"x": 100}').encode()


def test_an_empty_memory_recognizes_nothing() -> None:
    assert KnownHeads().recognize(request()) is None


@pytest.mark.parametrize(
    "data",
    [
        request(path="/function/other"),
        request(path="/function/tiny", headers={**HEADERS, "Accept": "text/event-stream"}),
        request(headers={**HEADERS, "JSHost-Timeout": "1.0"}),
        request(root_url="http://example.com:9009"),
        request()[:-1],
        request() + b" ",
        request() * 2,
        request().replace(b"hash=c", b"hash=d"),
        request().replace(b"HTTP/1.1", b"HTTP/1.0"),
        request().replace(b"Content-Length: 8", b"Content-Length: 08"),
        request().replace(b"Content-Length: 8", b"Content-Length: +8"),
        request().replace(b"Content-Length: 8", b"Content-Length:  8"),
        request().replace(b'"x": 1', b'"x": 2'),
        request(b'{"x": "' + b"1" * 1000 + b'"}'),
        b"",
        b"\r\n\r\n",
    ],
)
def test_what_is_not_quite_the_same_is_parsed(data: bytes) -> None:
    assert data != request()
    assert known_after(request()).recognize(data) is None


@pytest.mark.parametrize(
    "data",
    [
        (request(headers={**HEADERS, "X-Request-ID": "1"}),),
        (request(headers={**HEADERS, "traceparent": "1"}),),
        (request(headers={**HEADERS, "Expect": "100-continue"}),),
        (request(headers={**HEADERS, "Upgrade": "h2c", "Connection": "upgrade"}),),
        (request(headers={**HEADERS, "Connection": "close"}),),
        (request(headers={**HEADERS, "X-Long": "x" * 5000}),),
        (request(b"", headers={"JSHost-Timeout": "10.0"}),),
        (b"\r\n" + request(),),
        (request()[:50], request()[50:]),
        (
            request().replace(
                b"Content-Length: 8\r\n\r\n", b"Content-Length: 8\r\nAccept: */*\r\n\r\n"
            ),
        ),
    ],
)
def test_heads_that_say_more_are_not_remembered(data: tuple[bytes, ...]) -> None:
    known = known_after(*data)
    assert known.recognize(b"".join(data)) is None


def test_only_the_first_of_pipelined_requests_is_remembered() -> None:
    known = known_after(request() + request(path="/function/other"))
    assert known.recognize(request()) is not None
    assert known.recognize(request(path="/function/other")) is None


def test_the_hash_is_all_that_the_query_says() -> None:
    """Else a body of another hash could come in the place of the one that the URL names."""
    path = f"/function/tiny?hash={values.body_hash(BODY)}&x="
    known = known_after(request(path=path))
    assert known.recognize(request(b'{"x": 2}', path=path)) is None


def test_what_is_forgotten_is_parsed_again() -> None:
    known = known_after(request())
    known.forget()
    assert known.recognize(request()) is None


def test_the_memory_is_bounded() -> None:
    paths = [f"/function/f{number}" for number in range(MAX_HEADS + 1)]
    known = known_after(*(request(path=path) for path in paths))
    assert known.recognize(request(path=paths[-1])) is not None
    assert sum(known.recognize(request(path=path)) is not None for path in paths) <= MAX_HEADS


edits = st.lists(
    st.tuples(st.integers(0, len(request())), st.integers(0, 3), st.binary(max_size=3)), max_size=4
)


@settings(deadline=None, max_examples=examples(500))
@given(edits)
def test_whatever_is_recognized_the_parser_reads_alike(
    changes: list[tuple[int, int, bytes]],
) -> None:
    data = request()
    for start, length, inserted in changes:
        data = data[:start] + inserted + data[start + length :]
    found = known_after(request(), request(path="/function/b")).recognize(data)
    if found is None:
        return
    owner = Owner(KnownHeads())
    RequestParser(owner).feed(data, 0.0)
    (parsed,) = owner.requests
    assert (parsed.body, parsed.head.path, parsed.keep_alive) == (
        found.body,
        found.head.path,
        found.keep_alive,
    )
    assert parsed.head.raw_headers == [
        (name, b"%d" % len(data.partition(b"\r\n\r\n")[2]) if name == b"content-length" else value)
        for name, value in found.head.raw_headers
    ]


@settings(deadline=None, max_examples=examples(500))
@given(edits)
def test_whatever_is_learned_says_what_the_parser_said(
    changes: list[tuple[int, int, bytes]],
) -> None:
    data = request()
    for start, length, inserted in changes:
        data = data[:start] + inserted + data[start + length :]
    known = KnownHeads()
    owner = Owner(known)
    with contextlib.suppress(UnreadableRequest):
        RequestParser(owner).feed(data, 0.0)
    found = known.recognize(data)
    if found is not None:
        assert found.body == owner.requests[0].body
        assert found.target == owner.requests[0].target


class Transport:
    """Where a connection writes to."""

    closed = False

    def write(self, data: bytes) -> None:
        pass

    def get_write_buffer_size(self) -> int:
        return 0

    def close(self) -> None:
        self.closed = True


class Recognizing:
    """Knows every request, and answers at once."""

    def recognize(self, data: bytes) -> IncomingRequest | None:
        return IncomingRequest(RequestHead("POST", b"/function/tiny", [], True))

    def admit(self, request: IncomingRequest) -> int:
        raise AssertionError("it was parsed")

    def begin(self, request: IncomingRequest, connection: ServerConnection) -> None:
        connection.send_result(b"j1")


def test_a_connection_whose_requests_are_recognized_is_not_idle() -> None:
    connection = ServerConnection(Recognizing(), set())
    transport = Transport()
    connection.connection_made(transport)  # type: ignore[arg-type]
    connection.data_received(b"")
    connection.sweep(time.monotonic(), 75.0)
    assert not transport.closed
    connection.sweep(time.monotonic() + 76, 75.0)
    assert transport.closed
