"""Responses, byte for byte."""

from __future__ import annotations

import json

import pytest

from jshost.exceptions import CODES, FunctionError, RemoteError, RequestError, from_envelope
from jshost.server.http.responses import (
    content_type_of,
    error_parts,
    http_chunk,
    origin_headers,
    plain_refusal,
    result_head,
    simple_response,
    stream_head,
)


@pytest.mark.parametrize(
    ("payload", "kind"),
    [
        (b'j{"a": 1}', b"application/json"),
        (b"thello", b"text/plain; charset=utf-8"),
        (b"b\x00\x01", b"application/octet-stream"),
    ],
)
def test_the_head_of_a_result(payload: bytes, kind: bytes) -> None:
    assert content_type_of(payload) == kind
    assert result_head(payload, "id-1", True) == (
        b"HTTP/1.1 200 OK\r\ncontent-type: %s\r\nx-content-type-options: nosniff\r\n"
        b"cache-control: no-store\r\ncontent-length: %d\r\nx-request-id: id-1\r\n\r\n"
        % (kind, len(payload) - 1)
    )
    assert result_head(payload, "id-1", False).endswith(b"\r\nconnection: close\r\n\r\n")


def test_an_answer_to_head_has_no_body() -> None:
    assert simple_response(200, [(b"a", b"b")], b"body", True, has_body=False) == (
        b"HTTP/1.1 200 OK\r\na: b\r\n\r\n"
    )
    assert simple_response(204, [], b"", False) == (
        b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n"
    )


def test_a_refusal_closes_and_is_not_cached() -> None:
    response = plain_refusal(503, "full", (b"retry-after", b"1"))
    assert response.startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
    head, _, body = response.partition(b"\r\n\r\n")
    assert body == b"full\n"
    for line in (b"cache-control: no-store", b"retry-after: 1", b"connection: close"):
        assert line in head.split(b"\r\n")


@pytest.mark.parametrize("code", CODES)
def test_an_error_has_the_status_of_its_code(code: str) -> None:
    status, headers, body = error_parts(from_envelope({"code": code, "message": "no"}), False)
    assert status == CODES[code][0]
    names = dict(headers)
    assert names[b"cache-control"] == b"no-store"
    assert int(names[b"content-length"]) == len(body)
    assert (b"retry-after" in names) == (status == 503)
    assert (b"www-authenticate" in names) == (status == 401)
    assert (b"allow" in names) == (status == 405)


def test_an_error_as_text_has_its_causes() -> None:
    error = FunctionError("no", name="f", stack="Error: no\n    at f", error_name="Error")
    error.__cause__ = FunctionError("deep", stack="TypeError: deep\n    at g")
    _, headers, body = error_parts(error, False)
    assert body == b"Error: no\n    at f\n\nCaused by: TypeError: deep\n    at g\n"
    assert dict(headers)[b"content-type"] == b"text/plain; charset=utf-8"


def test_an_error_as_json_is_its_envelope() -> None:
    error = FunctionError("no", name="f", request_id="id-1")
    _, headers, body = error_parts(error, True)
    assert json.loads(body) == json.loads(json.dumps(error.envelope()))
    assert dict(headers)[b"x-request-id"] == b"id-1"


def test_a_lone_surrogate_in_a_message_is_escaped() -> None:
    assert error_parts(RemoteError("\ud800"), False)[2] == b"\\ud800\n"


def test_a_refused_method_names_those_that_are_allowed() -> None:
    error = RequestError("Use POST, not PUT", code="method_not_allowed")
    error.allow = "POST"
    assert (b"allow", b"POST") in error_parts(error, False)[1]


def test_the_head_of_a_stream() -> None:
    head = stream_head("id-1", True)
    assert b"\r\ncontent-type: text/event-stream\r\n" in head
    assert head.endswith(b"transfer-encoding: chunked\r\n\r\n")
    assert stream_head("id-1", False).endswith(b"connection: close\r\n\r\n")
    page = stream_head("id-1", True, b"https://a.example")
    for name, value in origin_headers(b"https://a.example"):
        assert b"\r\n%s: %s\r\n" % (name, value) in page


def test_a_chunk_has_its_length_in_hexadecimal() -> None:
    assert http_chunk(b"x" * 26) == b"1a\r\n" + b"x" * 26 + b"\r\n"
