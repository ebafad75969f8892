"""Hosts without a process, for tests of what calls them.

`FakeHost` and `Streaming` answer with values; `FakeHttpHost` and `StreamingHttp` are served hosts
without a wire, for tests of what is sent and of what other servers answer.
"""

from __future__ import annotations

import json
from typing import Any

from jshost.client.host import (
    Answer,
    AnswerStream,
    AsyncAnswerStream,
    BatchAnswer,
    BatchRequest,
    CallRequest,
    Chunk,
)
from jshost.client.http.http_request import HttpRequest
from jshost.client.http.transport import AsyncOpenResponse, OpenResponse
from jshost.client.response import Response
from jshost.exceptions import CODES, ConnectionError, from_envelope
from jshost.host import JSHost

__all__ = [
    "FakeHost",
    "FakeHttpHost",
    "Streaming",
    "StreamingHttp",
    "failing_host",
    "failing_http_host",
]

JSON = "application/json"


class FakeHost:
    """A host that keeps each request, and answers what the test gave it.

    Args:
        content, content_type: the result.
        error: what is raised, in the place of an answer.
        envelope: the error that it answers with.
    """

    def __init__(
        self,
        content: bytes = b"null",
        content_type: str = JSON,
        error: Exception | None = None,
        envelope: dict[str, Any] | None = None,
    ) -> None:
        self.content, self.content_type = content, content_type
        self.error = error
        self.envelope = envelope
        self.requests: list[CallRequest | BatchRequest] = []

    def answer(self) -> Answer:
        if self.envelope is not None:
            return Answer.of_error(from_envelope(self.envelope))
        return Answer(self.content_type, self.content)

    def call(self, request: CallRequest) -> Answer:
        self.requests.append(request)
        if self.error is not None:
            raise self.error
        return self.answer()

    async def acall(self, request: CallRequest) -> Answer:
        return self.call(request)

    def stream(self, request: CallRequest) -> AnswerStream | Answer:
        return self.call(request)

    async def astream(self, request: CallRequest) -> AsyncAnswerStream | Answer:
        return self.call(request)

    def batch(self, request: BatchRequest) -> BatchAnswer:
        self.requests.append(request)
        if self.error is not None:
            raise self.error
        return BatchAnswer([])

    async def abatch(self, request: BatchRequest) -> BatchAnswer:
        return self.batch(request)


def failing_host(code: str = "function_failed", **fields: Any) -> FakeHost:
    """A host that answers with that error."""
    envelope = {"code": code, "message": "it broke", "function": "f", **fields}
    return FakeHost(envelope=envelope)


class Streaming(FakeHost):
    """A host that sends the values that the test gave it; an exception breaks the stream off.

    Attributes:
        closed: whether the reader left before the end.
    """

    def __init__(self, *items: Chunk | Answer | Exception) -> None:
        super().__init__()
        self.items = list(items)
        self.closed = False

    def stream(self, request: CallRequest) -> Streaming:
        self.call(request)
        return self

    async def astream(self, request: CallRequest) -> AsyncAnswerStream | Answer:
        self.call(request)
        return _Awaited(self)

    def read(self) -> list[Chunk | Answer]:
        item = self.items.pop(0)
        if isinstance(item, Exception):
            raise item
        return [item]

    def close(self) -> None:
        self.closed = True


class _Awaited:
    """A `Streaming` host's answer for a loop."""

    def __init__(self, host: Streaming) -> None:
        self._host = host

    async def read(self) -> list[Chunk | Answer]:
        return self._host.read()

    async def close(self) -> None:
        self._host.close()


class FakeHttpHost(JSHost):
    """A served host without a wire: it keeps each HTTP request, and answers what it was given."""

    def __init__(
        self,
        content: bytes = b"null",
        status: int = 200,
        content_type: str = JSON,
        error: Exception | None = None,
    ) -> None:
        super().__init__(root_url="http://fake.invalid")
        self._requester = self  # type: ignore[assignment]
        self.answer = Response(status, {"content-type": content_type}, content)
        self.error = error
        self.requests: list[dict[str, Any]] = []

    def send(self, request: HttpRequest, is_open: bool = False) -> OpenResponse | Response:
        self.requests.append({**request._asdict(), "headers": dict(request.headers)})
        if self.error is not None:
            raise self.error
        return self.answer

    async def asend(
        self, request: HttpRequest, is_open: bool = False
    ) -> AsyncOpenResponse | Response:
        answer = self.send(request, is_open)
        return answer if isinstance(answer, Response) else _AwaitedHttp(answer)

    def forget(self) -> None:
        pass


class StreamingHttp(FakeHttpHost):
    """A served host whose answer comes in the pieces that the test gave it; b"!" breaks it off.

    Attributes:
        closed: whether the reader left before the end.
    """

    def __init__(self, *pieces: bytes) -> None:
        super().__init__()
        self.pieces = list(pieces)
        self.closed = False
        self.status_code = 200
        self.headers = {"content-type": "text/event-stream"}

    def send(self, request: HttpRequest, is_open: bool = False) -> OpenResponse | Response:
        answer = super().send(request, is_open)
        return self if is_open else answer

    def read(self) -> bytes:
        piece = self.pieces.pop(0) if self.pieces else b""
        if piece == b"!":
            raise ConnectionError("the connection broke")
        return piece

    def close(self) -> None:
        self.closed = True


class _AwaitedHttp:
    """A `StreamingHttp` host's answer for a loop."""

    def __init__(self, opened: OpenResponse) -> None:
        self.status_code, self.headers = opened.status_code, opened.headers
        self._opened = opened

    async def read(self) -> bytes:
        return self._opened.read()

    async def close(self) -> None:
        self._opened.close()


def failing_http_host(code: str = "function_failed", **fields: Any) -> FakeHttpHost:
    """A served host that answers with that error."""
    envelope = {"code": code, "message": "it broke", "function": "f", **fields}
    status = CODES[code][0] if code in CODES else 500
    return FakeHttpHost(json.dumps(envelope).encode(), status)
