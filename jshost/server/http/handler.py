"""The protocols of connections, request handlers and answers. Runs in: host.

A connection reads a request and gives it to the `RequestHandler`. The handler returns an
`Exchange`, which sends the answer through the connection: its `Responder`.
"""

from __future__ import annotations

from typing import Protocol

from jshost.exceptions import RemoteError
from jshost.server.http.request import IncomingRequest
from jshost.server.http.responses import Header

__all__ = ["Exchange", "RequestHandler", "Responder", "ResultSender"]


class Exchange(Protocol):
    """One request that is being answered."""

    def abandon(self) -> None:
        """The client has disconnected: stop the work."""

    def resume(self) -> None:
        """The client reads again, after `Responder.is_full`."""


class ResultSender(Protocol):
    """Sends the one answer of a call."""

    def send_result(self, payload: bytes) -> None:
        """Answer with a RESULT frame's payload: its first byte is the form, the rest the body."""

    def send_error(self, error: RemoteError) -> None:
        """Answer with an error: an envelope or plain text, as the request asks."""


class Responder(ResultSender, Protocol):
    """A connection, as the answer to its current request uses it.

    Attributes:
        is_full: whether the client reads more slowly than we write.
        origin: the allowed origin of the page that reads the answer, or b"".
    """

    is_full: bool

    @property
    def origin(self) -> bytes: ...

    def send_response(self, status: int, headers: list[Header], body: bytes) -> None:
        """Answer with a whole response."""

    def write(self, data: bytes) -> None:
        """Send a part of an answer; `finish` follows the last one."""

    def finish(self, status: int) -> None:
        """The answer is written: go on with the next request."""

    def redact(self, error: RemoteError, request_id: str) -> RemoteError:
        """The error as the caller may see it."""


class RequestHandler(Protocol):
    """Decides how requests are answered."""

    def recognize(self, data: bytes) -> IncomingRequest | None:
        """The request in `data` if its head has been admitted before, else None."""

    def admit(self, request: IncomingRequest) -> int:
        """Check a request's head. Returns the largest body, in bytes, that it may have.

        Raises:
            RemoteError: the request is refused, whatever its body is.
        """

    def begin(self, request: IncomingRequest, connection: Responder) -> Exchange | None:
        """Answer a whole request, at once (None) or later.

        Raises:
            RemoteError: the request is refused.
        """

    def redact(self, error: RemoteError, request_id: str) -> RemoteError:
        """The error as the caller may see it, with the request's id."""

    def count_refusal(self, status: int) -> None:
        """A client was refused before there was a request."""
