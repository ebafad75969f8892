"""What carries requests to one root URL, and the responses that still come. Runs in: callers.

Four classes do it: `PlainTransport`, `AsyncPlainTransport` (our own HTTP/1.1), `HttpxTransport` and
`AsyncHttpxTransport`. `transport_choice` chooses one for a URL. Only transports own sockets.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from jshost.client.http.http_request import HttpRequest
from jshost.client.response import Response

__all__ = [
    "AsyncOpenResponse",
    "AsyncTransport",
    "OpenResponse",
    "Transport",
    "aread_whole",
    "read_whole",
]


class OpenResponse(Protocol):
    """A response whose body is read as it comes."""

    status_code: int
    headers: Mapping[str, str]

    def read(self) -> bytes:
        """Some more of the body; b"": that was all, and the connection is kept.

        Raises:
            ConnectionError, DeadlinePassed, UnexpectedResponse: as `Transport.request`.
        """

    def close(self) -> None:
        """Stop reading: the host sees the connection close."""


class Transport(Protocol):
    """Requests from any thread. A forked child gets connections of its own."""

    def request(self, request: HttpRequest) -> Response:
        """Send a request and wait for its answer.

        Raises:
            ConnectionError: nothing listens, or the connection broke.
            DeadlinePassed: its `timeout_s` is over.
            UnexpectedResponse: the answer is not HTTP.
        """

    def stream(self, request: HttpRequest) -> OpenResponse:
        """As `request`, returning as soon as the head of the answer has come."""

    def close(self) -> None:
        """Close the idle connections."""


class AsyncOpenResponse(Protocol):
    """As `OpenResponse`, for an asyncio loop."""

    status_code: int
    headers: Mapping[str, str]

    async def read(self) -> bytes: ...
    async def close(self) -> None: ...


class AsyncTransport(Protocol):
    """As `Transport`, for one asyncio loop: the first that uses it."""

    async def request(self, request: HttpRequest) -> Response: ...

    async def stream(self, request: HttpRequest) -> AsyncOpenResponse: ...

    def close(self) -> None:
        """Close the idle connections; on the loop, or once it is closed."""


def read_whole(answer: OpenResponse) -> Response:
    """Read a response to its end."""
    content = b"".join(iter(answer.read, b""))
    return Response(answer.status_code, answer.headers, content)


async def aread_whole(answer: AsyncOpenResponse) -> Response:
    """As `read_whole`, from asyncio."""
    content = []
    while data := await answer.read():
        content.append(data)
    return Response(answer.status_code, answer.headers, b"".join(content))
