"""HTTP/1.1 without I/O: requests as bytes, responses out of bytes however they arrive."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import h11
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jshost.client.http.http1 import (
    Endpoint,
    ResponseParser,
    request_line,
    request_tail,
)
from jshost.client.http.http_request import FrozenHeaders
from jshost.client.response import Response

# Requests


def test_a_request_is_what_a_server_reads() -> None:
    body = b'{"name": "Foo"}'
    head = request_line("POST", "/function/gr%C3%B6%C3%9Fe?hash=ab")
    tail = request_tail("127.0.0.1:9009", {"Content-Type": "application/json", "X-Name": "ü"})
    server = h11.Connection(h11.SERVER)
    server.receive_data(head + tail + b"%d\r\n\r\n%s" % (len(body), body))
    request, data, end = (server.next_event() for _ in range(3))
    assert isinstance(request, h11.Request)
    assert (request.method, request.target) == (b"POST", b"/function/gr%C3%B6%C3%9Fe?hash=ab")
    assert list(request.headers) == [
        (b"host", b"127.0.0.1:9009"),
        (b"content-type", b"application/json"),
        (b"x-name", "ü".encode("latin-1")),
        (b"content-length", b"15"),
    ]
    assert isinstance(data, h11.Data)
    assert data.data == body
    assert isinstance(end, h11.EndOfMessage)


@pytest.mark.parametrize(
    "target", ["/a b", "/a\r\nX: y", "/a\nb", "/a\tb", "/a\x00", "/größe", "/a\u2028b"]
)
def test_a_target_that_must_be_escaped_is_refused(target: str) -> None:
    with pytest.raises(ValueError):
        request_line("GET", target)


@pytest.mark.parametrize(
    "headers", [{"X": "a\r\nEvil: yes"}, {"X": "a\nb"}, {"X\r\nEvil": "a"}, {"X": "a\rb"}]
)
def test_a_header_with_a_line_end_is_refused(headers: dict[str, str]) -> None:
    with pytest.raises(ValueError):
        request_tail("localhost", headers)


# Endpoints


@pytest.mark.parametrize(
    ("url", "unix_path", "address", "first_lines"),
    [
        ("http://h.example:81", None, ("h.example", 81), b"GET /x HTTP/1.1\r\nHost: h.example:81"),
        ("http://h.example", None, ("h.example", 80), b"GET /x HTTP/1.1\r\nHost: h.example\r"),
        ("http://h.example/js/", None, ("h.example", 80), b"GET /js/x HTTP/1.1\r\nHost: h.example"),
        ("http://[::1]:9009", None, ("::1", 9009), b"GET /x HTTP/1.1\r\nHost: [::1]:9009"),
        ("unix:///run/a.sock", "/run/a.sock", ("", 0), b"GET /x HTTP/1.1\r\nHost: localhost"),
        ("unix:///a%20b%25", "/a b%", ("", 0), b"GET /x HTTP/1.1\r\nHost: localhost"),
    ],
)
def test_an_endpoint(
    url: str, unix_path: str | None, address: tuple[str, int], first_lines: bytes
) -> None:
    endpoint = Endpoint(url)
    assert (endpoint.unix_path, endpoint.address) == (unix_path, address)
    assert endpoint.request("GET", "/x", {}, b"").startswith(first_lines)


@pytest.mark.parametrize("frozen", [False, True])
def test_prepared_headers_are_those_of_their_request(frozen: bool) -> None:
    endpoint = Endpoint("http://name:p%40ss@h.example")
    make = FrozenHeaders if frozen else dict
    for number in range(200):  # ids of objects that are gone come again
        headers = make({"X-Number": str(number)})
        request = endpoint.request("POST", "/", headers, b"{}")
        assert f"\r\nX-Number: {number}\r\n".encode() in request
        assert b"\r\nAuthorization: Basic bmFtZTpwQHNz\r\n" in request
        assert request.endswith(b"\r\nContent-Length: 2\r\n\r\n{}")
        assert endpoint.request("POST", "/", headers, b"{}") == request


# Responses

Wanted = tuple[int, dict[str, str], bytes, bool]
"""Status, headers, body, and whether the connection can be kept."""

OK = b"HTTP/1.1 200 OK\r\n"
RESPONSES: dict[str, tuple[bytes, Wanted]] = {
    "a length": (
        OK + b"Content-Type: text/plain\r\nContent-Length: 5\r\n\r\nHello",
        (200, {"content-type": "text/plain", "content-length": "5"}, b"Hello", True),
    ),
    "an empty body": (
        OK + b"Content-Length: 0\r\n\r\n",
        (200, {"content-length": "0"}, b"", True),
    ),
    "chunks": (
        OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nHello\r\n7;x=1\r\n, World\r\n0\r\n\r\n",
        (200, {"transfer-encoding": "chunked"}, b"Hello, World", True),
    ),
    "chunks and a trailer": (
        OK + b"Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nServer-Timing: 1\r\n\r\n",
        (200, {"transfer-encoding": "chunked", "server-timing": "1"}, b"x", True),
    ),
    "bytes that look like a head": (
        OK + b"Content-Length: 19\r\n\r\nHTTP/1.1 500 No\r\n\r\n",
        (200, {"content-length": "19"}, b"HTTP/1.1 500 No\r\n\r\n", True),
    ),
    "a close": (
        b"HTTP/1.1 413 Too Large\r\nConnection: close\r\nContent-Length: 2\r\n\r\nno",
        (413, {"connection": "close", "content-length": "2"}, b"no", False),
    ),
    "HTTP/1.0": (
        b"HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\n1",
        (200, {"content-length": "1"}, b"1", False),
    ),
    "no reason": (
        b"HTTP/1.1 404 \r\nContent-Length: 0\r\n\r\n",
        (404, {"content-length": "0"}, b"", True),
    ),
    "no content": (b"HTTP/1.1 204 No Content\r\n\r\n", (204, {}, b"", True)),
    "headers in all spellings": (
        OK + b"CONTENT-length:1\r\nX-Empty:\r\nX-Name: gr\xf6\xdfe  \r\n\r\n1",
        (200, {"content-length": "1", "x-empty": "", "x-name": "größe"}, b"1", True),
    ),
    "100 Continue first": (
        b"HTTP/1.1 100 Continue\r\nX-Hint: 1\r\n\r\n" + OK + b"Content-Length: 1\r\n\r\n1",
        (200, {"content-length": "1"}, b"1", True),
    ),
    "103 Early Hints twice": (
        b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" * 2 + OK + b"Content-Length: 1\r\n\r\n1",
        (200, {"content-length": "1"}, b"1", True),
    ),
    "a header twice": (
        OK + b"Vary: Accept\r\nVary: Origin\r\nContent-Length: 0\r\n\r\n",
        (200, {"vary": "Accept, Origin", "content-length": "0"}, b"", True),
    ),
}
cases = pytest.mark.parametrize(("sent", "wanted"), RESPONSES.values(), ids=RESPONSES)


def parsed(parser: ResponseParser) -> Wanted:
    response = parser.response()
    return response.status_code, dict(response.headers), response.content, parser.keep_alive


@cases
def test_a_response_is_parsed(sent: bytes, wanted: Wanted) -> None:
    parser = ResponseParser()
    assert parser.feed(sent)
    assert parser.complete
    assert parsed(parser) == wanted


@cases
def test_a_response_is_parsed_byte_by_byte(sent: bytes, wanted: Wanted) -> None:
    """And it is whole at its last byte: neither before nor after."""
    parser = ResponseParser()
    for index in range(len(sent)):
        assert parser.feed(sent[index : index + 1]) == (index == len(sent) - 1)
    assert parsed(parser) == wanted


@settings(deadline=None)
@given(data=st.data(), case=st.sampled_from(list(RESPONSES.values())))
def test_a_response_is_parsed_however_it_is_split(
    data: st.DataObject, case: tuple[bytes, Wanted]
) -> None:
    sent, wanted = case
    cuts = data.draw(st.lists(st.integers(0, len(sent)), max_size=10).map(sorted))
    parser = ResponseParser()
    for start, end in pairwise([0, *cuts, len(sent)]):
        if end > start:
            parser.feed(sent[start:end])
    assert parsed(parser) == wanted


@pytest.mark.parametrize(
    "sent",
    [
        b"SSH-2.0-OpenSSH_9.2p1\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01",
        b"HTTP/1.1 two hundred\r\n\r\n",
        OK + b"Content-Length: many\r\n\r\n",
        OK + b"Transfer-Encoding: chunked\r\n\r\nfive\r\nHello",
        OK + b"no colon\r\n\r\n",
    ],
)
@pytest.mark.parametrize("step", [1, 1000], ids=["byte by byte", "at once"])
def test_what_is_not_http_is_a_value_error(sent: bytes, step: int) -> None:
    parser = ResponseParser()
    with pytest.raises(ValueError, match="not an HTTP response"):
        any(parser.feed(sent[index : index + step]) for index in range(0, len(sent), step))


LATER = b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 4\r\nX-Late: 1\r\n\r\nlate"


@pytest.mark.parametrize("later", [LATER, b"garbage"])
def test_what_comes_after_the_response_does_not_change_it(later: bytes) -> None:
    """A proxy that closes an idle connection may say so in the same packet."""
    parser = ResponseParser()
    assert parser.feed(OK + b"Content-Length: 5\r\n\r\nHello" + later)
    status, headers, content, keep_alive = parsed(parser)
    assert (status, headers, content) == (200, {"content-length": "5"}, b"Hello")
    assert not keep_alive, "nobody knows what else is on its way"


def test_a_body_is_taken_as_it_comes() -> None:
    parser = ResponseParser()
    assert not parser.feed(OK)
    assert not parser.has_head
    assert not parser.feed(b"Transfer-Encoding: chunked\r\n\r\n")
    assert parser.has_head
    assert parser.take() == b""
    parser.feed(b"3\r\none\r\n3\r\nt")
    assert parser.take() == b"onet"
    assert parser.feed(b"wo\r\n0\r\n\r\n")
    assert [parser.take(), parser.take()] == [b"wo", b""]
    assert parser.keep_alive


def test_a_head_that_is_no_answer_yet_is_none() -> None:
    parser = ResponseParser()
    parser.feed(b"HTTP/1.1 100 Continue\r\n\r\n")
    assert not parser.has_head
    parser.feed(OK + b"Content-Length: 0\r\n\r\n")
    assert parser.has_head


def test_a_response_is_read_as_text_and_as_json() -> None:
    response = Response(200, {}, '{"größe": 1}'.encode())
    assert response.text == '{"größe": 1}'
    assert response.json() == {"größe": 1}
    assert repr(response) == "<Response 200, 14 bytes>"


@pytest.mark.parametrize("content", [b"", b"{", b"\xff"])
def test_what_is_no_json_is_a_value_error(content: bytes) -> None:
    with pytest.raises(ValueError):
        Response(200, {}, content).json()


def test_text_that_is_not_utf_8_is_shown_as_far_as_it_is() -> None:
    found: Any = Response(500, {}, b"a\xffb").text
    assert found == "a\ufffdb"
