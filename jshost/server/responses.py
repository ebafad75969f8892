"""A result or an error as an HTTP response. Runs in: host."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from jshost import wire
from jshost.exceptions import RemoteError

__all__ = ["Send", "error_response", "send_error", "send_result"]

Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

CONTENT_TYPES = {
    wire.JSON[0]: b"application/json",
    wire.TEXT[0]: b"text/plain; charset=utf-8",
    wire.BYTES[0]: b"application/octet-stream",
}
LARGE_BYTES = 64 * 1024
RETRY_AFTER_S = 1


async def send_result(send: Send, payload: bytes, request_id: str) -> None:
    """Send a RESULT frame's payload: its first byte is the form, the rest the body."""
    body = payload[1:] if len(payload) < LARGE_BYTES else memoryview(payload)[1:]
    headers = [
        (b"content-type", CONTENT_TYPES[payload[0]]),
        (b"content-length", b"%d" % len(body)),
        (b"x-content-type-options", b"nosniff"),
        (b"x-request-id", request_id.encode()),
    ]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def error_response(
    error: RemoteError, wants_json: bool
) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
    """An error as (status, headers, body): a JSON envelope, or its stack as plain text."""
    if wants_json:
        body, content_type = json.dumps(error.envelope()).encode(), b"application/json"
    else:
        text = error.stack if error.stack.startswith(error.error_name or "\0") else str(error)
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
    if error.status == 405:
        headers.append((b"allow", b"POST" if error.name is not None else b"GET"))
    return error.status, headers, body


async def send_error(send: Send, error: RemoteError, wants_json: bool) -> None:
    status, headers, body = error_response(error, wants_json)
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
