"""Requests out of bytes, whatever the pieces; no connection."""

from __future__ import annotations

import pytest

from jshost.exceptions import RemoteError, from_envelope
from jshost.server.http.request import IncomingRequest
from jshost.server.http.request_parser import (
    HEAD_S,
    MAX_HEAD_BYTES,
    RequestParser,
    UnreadableRequest,
)

LIMIT = 100
READ_BYTES = 16 * 1024


class Owner:
    """Keeps what it is told."""

    def __init__(self, answers_refusals: bool = False) -> None:
        self.requests: list[tuple[str, bytes]] = []
        self.refusals: list[str] = []
        self.continues = 0
        self._answers_refusals = answers_refusals

    def on_head(self, request: IncomingRequest) -> int:
        if request.head.path == "/refused":
            raise from_envelope({"code": "not_found", "message": "no"})
        return LIMIT

    def on_continue(self) -> None:
        self.continues += 1

    def on_refusal(
        self, request: IncomingRequest, error: RemoteError, expects_continue: bool
    ) -> bool:
        self.refusals.append(error.code)
        return self._answers_refusals

    def on_request(self, request: IncomingRequest, refusal: RemoteError | None) -> None:
        code = refusal.code if refusal is not None else request.head.path
        self.requests.append((code, request.body))


def post(path: str = "/f", body: bytes = b"", *lines: str) -> bytes:
    head = [f"POST {path} HTTP/1.1", "Host: localhost", f"Content-Length: {len(body)}", *lines]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body


CHUNKED = (
    b"POST /c HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"3\r\nabc\r\n2\r\nde\r\n0\r\nX-Trailer: t\r\n\r\n"
)


def feed_in_pieces(parser: RequestParser, data: bytes, size: int) -> None:
    for start in range(0, len(data), size):
        parser.feed(data[start : start + size], 0.0)


TWO = post("/a", b"12345") + CHUNKED


@pytest.mark.parametrize("size", [1, 2, 7, 50, len(TWO)])
def test_pieces_of_any_size(size: int) -> None:
    owner = Owner()
    parser = RequestParser(owner)
    feed_in_pieces(parser, TWO, size)
    assert owner.requests == [("/a", b"12345"), ("/c", b"abcde")]
    assert parser.is_at_rest


def test_a_head_that_came_in_one_piece_is_kept() -> None:
    kept: list[bytes] = []

    class Keeping(Owner):
        def on_request(self, request: IncomingRequest, refusal: RemoteError | None) -> None:
            kept.append(request.head_bytes)

    data = post("/a", b"1")
    RequestParser(Keeping()).feed(data, 0.0)
    parser = RequestParser(Keeping())
    parser.feed(data[:10], 0.0)
    parser.feed(data[10:], 0.0)
    assert kept == [data.partition(b"\r\n\r\n")[0], b""]


@pytest.mark.parametrize("answers", [True, False])
def test_a_refused_request_is_dropped_once_it_is_answered(answers: bool) -> None:
    owner = Owner(answers)
    parser = RequestParser(owner)
    parser.feed(post("/refused", b"12345") + post("/a"), 0.0)
    assert owner.refusals == ["not_found"]
    assert owner.requests == [*([] if answers else [("not_found", b"")]), ("/a", b"")]


@pytest.mark.parametrize(
    "data",
    [
        post("/a", b"x" * (LIMIT + 1)),
        b"POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n65\r\n"
        + b"x" * 101
        + b"\r\n0\r\n\r\n",
    ],
    ids=["with a length", "in chunks"],
)
def test_a_body_over_the_limit(data: bytes) -> None:
    owner = Owner()
    RequestParser(owner).feed(data, 0.0)
    assert owner.refusals == ["body_too_large"]
    assert owner.requests == [("body_too_large", b"")]


def test_a_body_is_asked_for_only_if_the_head_is_admitted() -> None:
    owner = Owner(answers_refusals=True)
    for path in ("/a", "/refused"):
        RequestParser(owner).feed(post(path, b"", "Expect: 100-continue"), 0.0)
    assert owner.continues == 1


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
        (post("/a", b"", "X-Long: " + "x" * MAX_HEAD_BYTES), 431),
        (b"GET /" + b"x" * (MAX_HEAD_BYTES + READ_BYTES), 431),
    ],
)
def test_what_is_no_request(data: bytes, status: int) -> None:
    parser = RequestParser(Owner())
    with pytest.raises(UnreadableRequest) as caught:
        feed_in_pieces(parser, data, READ_BYTES)
    assert caught.value.status == status


def test_an_offered_upgrade_is_declined() -> None:
    owner = Owner()
    upgrade = ("Connection: Upgrade", "Upgrade: h2c")
    RequestParser(owner).feed(post("/a", b"1", *upgrade) + post("/b"), 0.0)
    assert owner.requests == [("/a", b"1"), ("/b", b"")]


def test_when_the_next_bytes_are_late() -> None:
    parser = RequestParser(Owner())
    data = post("/a", b"12")
    assert (parser.is_late(70.0, 75), parser.is_late(76.0, 75)) == (False, True)
    parser.feed(data[:10], 100.0)
    parser.feed(data[10:20], 120.0)
    assert parser.is_late(100.0 + HEAD_S + 1, 75), "pieces give a head no more time"
    parser.feed(data[20:-1], 129.0)
    assert not parser.is_late(129.0 + HEAD_S - 1, 75)
    assert parser.is_late(129.0 + HEAD_S + 1, 75)
    parser.feed(data[-1:], 140.0)
    assert not parser.is_late(140.0 + HEAD_S + 1, 75)
