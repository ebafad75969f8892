"""Responses as bytes: results, errors, streams. Runs in: host."""

from __future__ import annotations

import http
import json
from collections.abc import Iterable

from jshost.exceptions import RemoteError, RequestError
from jshost.protocol import values

__all__ = [
    "CONTINUE",
    "LAST_CHUNK",
    "RETRY_AFTER_S",
    "Header",
    "content_type_of",
    "error_parts",
    "http_chunk",
    "origin_headers",
    "plain_refusal",
    "result_head",
    "simple_response",
    "stream_head",
]

Header = tuple[bytes, bytes]

RETRY_AFTER_S = 1
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
LAST_CHUNK = b"0\r\n\r\n"

_STATUS_LINES = {
    status.value: b"HTTP/1.1 %d %s\r\n" % (status.value, status.phrase.encode())
    for status in http.HTTPStatus
}
_TYPES = {
    values.JSON[0]: b"application/json",
    values.TEXT[0]: b"text/plain; charset=utf-8",
    values.BYTES[0]: b"application/octet-stream",
}
_RESULT = (
    b"HTTP/1.1 200 OK\r\ncontent-type: %s\r\nx-content-type-options: nosniff\r\n"
    b"cache-control: no-store\r\ncontent-length: "
)
_RESULT_HEADS = {form: _RESULT % kind for form, kind in _TYPES.items()}


def content_type_of(payload: bytes) -> bytes:
    """The content type of a RESULT frame's payload, by its first byte."""
    return _TYPES.get(payload[0]) or values.content_type_of(payload).encode()


def result_head(payload: bytes, request_id: str, keep_alive: bool) -> bytes:
    """The head of a response whose body is a RESULT frame's payload without its first byte."""
    head = _RESULT_HEADS.get(payload[0]) or _RESULT % content_type_of(payload)
    return b"%s%d\r\nx-request-id: %s\r\n%s\r\n" % (
        head,
        len(payload) - 1,
        request_id.encode(),
        b"" if keep_alive else b"connection: close\r\n",
    )


def origin_headers(origin: bytes) -> list[Header]:
    """The headers that let a page of another origin read a response (Fetch, section 3.2.3)."""
    return [
        (b"access-control-allow-origin", origin),
        (b"access-control-expose-headers", b"retry-after, x-request-id"),
    ]


def simple_response(
    status: int, headers: Iterable[Header], body: bytes, keep_alive: bool, has_body: bool = True
) -> bytes:
    """Any other response; `has_body` is False for the answer to a HEAD request."""
    lines = [_STATUS_LINES[status]]
    for name, value in headers:
        lines += [name, b": ", value, b"\r\n"]
    if not keep_alive:
        lines.append(b"connection: close\r\n")
    lines.append(b"\r\n")
    if has_body:
        lines.append(body)
    return b"".join(lines)


def plain_refusal(status: int, text: str, *more: Header) -> bytes:
    """A whole response in plain text, the last one of its connection."""
    body = f"{text}\n".encode("utf-8", "backslashreplace")
    headers = [
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"content-length", b"%d" % len(body)),
        (b"cache-control", b"no-store"),
        (b"x-content-type-options", b"nosniff"),
        *more,
    ]
    return simple_response(status, headers, body, False)


def error_parts(error: RemoteError, wants_json: bool) -> tuple[int, list[Header], bytes]:
    """An error as (status, headers, body): a JSON envelope, or its stack as plain text."""
    if wants_json:
        body, content_type = json.dumps(error.envelope()).encode(), b"application/json"
    else:
        text = error.stack if error.stack.startswith(error.error_name or "\0") else str(error)
        cause = error.__cause__
        while isinstance(cause, RemoteError):
            text += f"\n\nCaused by: {cause.stack or cause}"
            cause = cause.__cause__
        body = (text + "\n").encode("utf-8", "backslashreplace")
        content_type = b"text/plain; charset=utf-8"
    headers = [
        (b"content-type", content_type),
        (b"content-length", b"%d" % len(body)),
        (b"cache-control", b"no-store"),
        (b"x-content-type-options", b"nosniff"),
    ]
    if error.request_id:
        headers.append((b"x-request-id", error.request_id.encode()))
    if error.status == 503:
        headers.append((b"retry-after", b"%d" % RETRY_AFTER_S))
    if error.status == 401:
        headers.append((b"www-authenticate", b'Bearer realm="jshost"'))
    if error.status == 405 and isinstance(error, RequestError):
        headers.append((b"allow", error.allow.encode()))
    return error.status, headers, body


# Streams: text/event-stream, as the HTML standard defines it (section 9.2)


def stream_head(request_id: str, chunked: bool, origin: bytes = b"") -> bytes:
    """The head of a stream. Without `chunked` (HTTP/1.0) closing the connection ends the stream."""
    lines = b"".join(b"%s: %s\r\n" % header for header in origin_headers(origin) if origin)
    return (
        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncache-control: no-store\r\n"
        b"x-accel-buffering: no\r\nx-content-type-options: nosniff\r\nx-request-id: %s\r\n%s%s\r\n"
        % (
            request_id.encode(),
            b"transfer-encoding: chunked\r\n" if chunked else b"connection: close\r\n",
            lines,
        )
    )


def http_chunk(data: bytes) -> bytes:
    """One chunk of a body whose length is not known yet (RFC 9112, section 7.1)."""
    return b"%x\r\n%s\r\n" % (len(data), data)
