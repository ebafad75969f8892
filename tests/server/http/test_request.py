"""What is read from a request's head and its URL."""

from __future__ import annotations

import pytest
from support.fake_service import request_of

from jshost.exceptions import RequestError
from jshost.protocol.values import body_hash
from jshost.server.http.request import IncomingRequest, RequestHead, check_hash, data_of

HASH = body_hash(b"{}").encode()


@pytest.mark.parametrize(
    ("target", "path", "query", "function"),
    [
        (b"/function/f", "/function/f", b"", "f"),
        (b"/function/f?hash=1", "/function/f", b"hash=1", "f"),
        (b"/function/caf%C3%A9", "/function/café", b"", "café"),
        (b"/function/a%2Fb", "/function/a/b", b"", "a/b"),
        (b"/function/", "/function/", b"", ""),
        (b"/functions", "/functions", b"", None),
        (b"http://localhost:9009/function/f?a=1", "/function/f", b"a=1", "f"),
        (b"/function/%FF", "/function/\ufffd", b"", "\ufffd"),
    ],
)
def test_a_target(target: bytes, path: str, query: bytes, function: str | None) -> None:
    head = RequestHead("POST", target, [], True)
    assert (head.path, head.query, head.function) == (path, query, function)


def test_a_shared_head_has_the_target_of_another_request() -> None:
    head = RequestHead("POST", b"/function/f?hash=1", [], True)
    request = IncomingRequest(head, b"POST /function/f?hash=2 HTTP/1.1\r\nhost: x")
    assert request.target == b"/function/f?hash=1"
    request.call = object()  # type: ignore[assignment]
    assert request.target == b"/function/f?hash=2"


@pytest.mark.parametrize(("given", "seconds"), [(b"", None), (b"2", 2.0), (b"0.25", 0.25)])
def test_a_timeout(given: bytes, seconds: float | None) -> None:
    assert request_of(jshost_timeout=given).headers.timeout_s() == seconds


@pytest.mark.parametrize("given", [b"0", b"-1", b"soon", b"nan", b"inf", b"1e9"])
def test_a_timeout_that_is_none(given: bytes) -> None:
    with pytest.raises(RequestError, match="JSHost-Timeout must be a number of seconds"):
        request_of(jshost_timeout=given).headers.timeout_s()


@pytest.mark.parametrize(
    ("given", "kind"),
    [
        (b"application/json", None),
        (b"Application/JSON ; charset=UTF-8", None),
        (b'application/json; charset="utf-8"', None),
        (b"multipart/form-data; boundary=Aa", "multipart/form-data; boundary=Aa"),
    ],
)
def test_which_arguments_come(given: bytes, kind: str | None) -> None:
    assert request_of(content_type=given).headers.arguments_type() == kind


@pytest.mark.parametrize("given", [b"", b"text/csv", b"application/json; charset=latin-1"])
def test_arguments_of_another_kind_are_refused(given: bytes) -> None:
    with pytest.raises(RequestError) as caught:
        request_of(content_type=given).headers.arguments_type()
    assert caught.value.code == "not_json"


@pytest.mark.parametrize(
    ("given", "taken"),
    [(b"abc-1", "abc-1"), (b"x" * 128, "x" * 128), (b"x" * 129, ""), (b"a\nb", ""), (b"\xe9", "")],
)
def test_an_id_is_taken_if_it_is_safe(given: bytes, taken: str) -> None:
    assert request_of(x_request_id=given).headers.request_id == taken


@pytest.mark.parametrize(
    ("query", "has_hash"),
    [
        (b"hash=" + HASH, True),
        (b"hash=" + HASH.upper(), True),
        (b"a=1&hash=" + HASH, True),
        (b"a=1", False),
    ],
)
def test_a_hash_that_fits(query: bytes, has_hash: bool) -> None:
    assert check_hash(query, b"{}") == has_hash


@pytest.mark.parametrize(
    "query", [b"hash=", b"hash=" + b"0" * 40, b"hash=%s&hash=%s" % (HASH, b"0" * 40)]
)
def test_a_hash_that_does_not_fit(query: bytes) -> None:
    with pytest.raises(RequestError) as caught:
        check_hash(query, b"{}")
    assert caught.value.code == "wrong_hash"


@pytest.mark.parametrize(
    ("query", "data"),
    [
        (b"", b""),
        (b"hash=1", b""),
        (b"data=%7B%22a%22:1%7D", b'{"a":1}'),
        (b"data=%22a+b%20c%2Bd%22&x=1", b'"a b c+d"'),
    ],
)
def test_arguments_in_the_url(query: bytes, data: bytes) -> None:
    assert data_of(query) == data
