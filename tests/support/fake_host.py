"""A host without a wire, for tests of what calls it."""

from __future__ import annotations

import json
from typing import Any

from jshost.client.http.http1 import Response
from jshost.client.http.messages import Request
from jshost.client.http.transport import AsyncOpenResponse, OpenResponse
from jshost.exceptions import CODES, ConnectionError
from jshost.host import JSHost

__all__ = ["FakeHost", "Streaming", "failing_host"]


class FakeHost(JSHost):
    """A host without a wire: it keeps each request, and answers what the test gave it."""

    def __init__(
        self,
        content: bytes = b"null",
        status: int = 200,
        content_type: str = "application/json",
        error: Exception | None = None,
    ) -> None:
        super().__init__(root_url="http://fake.invalid")
        self.answer = Response(status, {"content-type": content_type}, content)
        self.error = error
        self.requests: list[dict[str, Any]] = []

    def request(self, request: Request) -> Response:
        self.requests.append({**request._asdict(), "headers": dict(request.headers)})
        if self.error is not None:
            raise self.error
        return self.answer

    async def arequest(self, request: Request) -> Response:
        return self.request(request)


class Streaming(FakeHost):
    """A host whose answer comes in the pieces that the test gave it; b"!" breaks it off.

    Attributes:
        closed: whether the reader left before the end.
    """

    def __init__(self, *pieces: bytes) -> None:
        super().__init__()
        self.pieces = list(pieces)
        self.closed = False
        self.status_code = 200
        self.headers = {"content-type": "text/event-stream"}

    def stream(self, request: Request) -> OpenResponse | Response:
        self.request(request)
        return self

    def read(self) -> bytes:
        piece = self.pieces.pop(0) if self.pieces else b""
        if piece == b"!":
            raise ConnectionError("the connection broke")
        return piece

    def close(self) -> None:
        self.closed = True

    async def astream(self, request: Request) -> AsyncOpenResponse | Response:
        self.request(request)
        return _Awaited(self)


class _Awaited:
    """A `Streaming` host's answer for a loop."""

    def __init__(self, host: Streaming) -> None:
        self.status_code, self.headers = host.status_code, host.headers
        self._host = host

    async def read(self) -> bytes:
        return self._host.read()

    async def close(self) -> None:
        self._host.close()


def failing_host(code: str = "function_failed", **fields: Any) -> FakeHost:
    """A host that answers with that error."""
    envelope = {"code": code, "message": "it broke", "function": "f", **fields}
    status = CODES[code][0] if code in CODES else 500
    return FakeHost(json.dumps(envelope).encode(), status)
