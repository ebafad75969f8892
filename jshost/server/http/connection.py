"""One client's HTTP/1.1 connection: its requests are answered one after the other. Runs in: host.

There is no ASGI between it and a call, because every microsecond of a call is a caller's: what is
read becomes an `IncomingRequest`, and whoever answers it, an `Exchange`, writes bytes.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from typing import Protocol, cast

from jshost.exceptions import RemoteError
from jshost.server.http.access_log import log_access
from jshost.server.http.request import IncomingRequest
from jshost.server.http.request_parser import RequestParser, UnreadableRequest
from jshost.server.http.responses import (
    CONTINUE,
    Header,
    content_type_of,
    error_parts,
    origin_headers,
    plain_refusal,
    result_head,
    simple_response,
)

__all__ = ["Exchange", "RequestHandler", "ServerConnection"]

MAX_WAITING = 16
"""Requests sent before the answers to earlier ones (pipelining); reading pauses beyond."""
LINGER_S = 2.0
"""How long a refused body is read on, so that its sender gets to read the refusal."""
SMALL_BYTES = 64 * 1024
"""Bodies up to this size are copied behind their head, and refused ones are read to the end."""
CLIENT_GONE = 499
"""nginx's number for a client that hung up; nobody reads it but the log."""


class Exchange(Protocol):
    """Who answers one request, with the connection's `send_...` methods."""

    def abandon(self) -> None:
        """The client has gone: nobody reads the answer."""

    def resume(self) -> None:
        """What was written has been taken, after `ServerConnection.is_full`."""


class RequestHandler(Protocol):
    """Who decides what is done with a request."""

    def recognize(self, data: bytes) -> IncomingRequest | None:
        """The request in `data`, where that is one that needs no look at its head; or None."""

    def admit(self, request: IncomingRequest) -> int:
        """Look at a request's head. Returns the largest body, in bytes, that it may have.

        Raises:
            RemoteError: it is refused, whatever its body says.
        """

    def begin(self, request: IncomingRequest, connection: ServerConnection) -> Exchange | None:
        """Answer a whole request, now (None) or later.

        Raises:
            RemoteError: it is refused.
        """

    def conceal(self, error: RemoteError, request_id: str) -> RemoteError:
        """What the caller is told of an error, with the request's id."""

    def count_refusal(self, status: int) -> None:
        """Somebody was refused before there was a request."""


class ServerConnection(asyncio.Protocol):
    """Reads requests and has them answered one after the other."""

    def __init__(self, handler: RequestHandler, connections: set[ServerConnection]) -> None:
        self.is_full = False
        """Whether the client takes what is written to it more slowly than it comes."""
        self._handler = handler
        self._connections = connections
        self._transport: asyncio.Transport = cast(asyncio.Transport, None)
        self._reader = RequestParser(self)
        self._reader.read_at = time.monotonic()
        self._closing = False
        self._unsent_bytes = 0
        # The requests that are being answered
        self._waiting: deque[tuple[IncomingRequest, RemoteError | None]] = deque()
        self._answering: IncomingRequest | None = None
        self._exchange: Exchange | None = None
        self._owes_continue = False
        """Whether the client waits to be told to send its body, behind answers that are due."""
        self._began = 0.0

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._connections.add(self)

    def data_received(self, data: bytes) -> None:
        if self._closing:
            return
        now = self._reader.read_at = time.monotonic()
        if self._is_free and not self.is_full and self._reader.is_at_rest:
            request = self._handler.recognize(data)
            if request is not None:
                self._answer(request, None)
                return
        try:
            self._reader.feed(data, now)
        except UnreadableRequest as error:
            self._refuse_unreadable(error)

    def connection_lost(self, exc: Exception | None) -> None:
        self._connections.discard(self)
        self._closing = True
        self._waiting.clear()
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            exchange.abandon()
        if self._answering is not None:
            log_access(self._answering, CLIENT_GONE, self._began)
            self._answering = None

    def pause_writing(self) -> None:
        self.is_full = True

    def resume_writing(self) -> None:
        self.is_full = False
        if self._exchange is not None:
            self._exchange.resume()
        elif self._waiting:
            self._answer_next()

    # reading.ReaderOwner

    def on_head(self, request: IncomingRequest) -> int:
        return self._handler.admit(request)

    @property
    def _is_free(self) -> bool:
        """Whether no answer is due. Between two that are, nothing is being answered."""
        return self._answering is None and not self._waiting

    def on_continue(self) -> None:
        self._owes_continue = not self._is_free
        if not self._owes_continue:
            self._transport.write(CONTINUE)

    def on_refusal(
        self, request: IncomingRequest, error: RemoteError, expects_continue: bool
    ) -> bool:
        """Answer before the body has come. A small one is read and dropped; a larger one, or one
        that is sent only when we say so, is the connection's last."""
        if self._closing or not self._is_free:
            return False  # pipelined behind another: it is refused when it is whole
        has_more = request.headers.content_length > SMALL_BYTES or request.headers.is_chunked
        if has_more or expects_continue:
            request.keep_alive = False
            status, headers, body = self._refusal(request, error)
            self._began = time.monotonic()
            self._transport.write(simple_response(status, headers, body, False))
            log_access(request, status, self._began)
            self._linger()
        else:
            self._answer(request, error)
        return True

    def on_request(self, request: IncomingRequest, refusal: RemoteError | None) -> None:
        self._owes_continue = False
        if self._closing:
            return
        if self._is_free and not self.is_full:
            self._answer(request, refusal)
            return
        self._waiting.append((request, refusal))
        if len(self._waiting) == MAX_WAITING:
            self._transport.pause_reading()

    # Answering

    def _answer(self, request: IncomingRequest, refusal: RemoteError | None) -> None:
        self._answering = request
        self._began = time.monotonic()
        try:
            if refusal is not None:
                raise refusal
            exchange = self._handler.begin(request, self)
            if self._answering is request:
                self._exchange = exchange
        except RemoteError as error:
            self.send_error(error)
        except Exception as error:
            logging.getLogger("jshost.host").exception("a request could not be answered")
            self.send_error(RemoteError(f"a mistake in the host itself: {error}"))

    def send_result(self, payload: bytes) -> None:
        """Answer with a RESULT frame's payload: its first byte is the form, the rest the body."""
        request = self._answering
        if request is None:
            return
        if request.headers.allowed_origin:
            headers = [
                (b"content-type", content_type_of(payload)),
                (b"content-length", b"%d" % (len(payload) - 1)),
                (b"cache-control", b"no-store"),
                (b"x-content-type-options", b"nosniff"),
                (b"x-request-id", request.request_id.encode()),
            ]
            self.send_response(200, headers, payload[1:])
            return
        head = result_head(payload, request.request_id, request.keep_alive)
        if len(payload) <= SMALL_BYTES:
            self._transport.write(head + payload[1:])
        else:
            self._transport.write(head)
            self._transport.write(memoryview(payload)[1:])
        self.finish(200)

    def send_error(self, error: RemoteError) -> None:
        """Answer with an error: an envelope, or plain text, as the request asks."""
        if self._answering is None:
            return
        self.send_response(*self._refusal(self._answering, error))

    def _refusal(
        self, request: IncomingRequest, error: RemoteError
    ) -> tuple[int, list[Header], bytes]:
        told = self._handler.conceal(error, request.request_id)
        return error_parts(told, request.headers.wants_json)

    def conceal(self, error: RemoteError, request_id: str) -> RemoteError:
        """What the caller is told of an error that is part of an answer."""
        return self._handler.conceal(error, request_id)

    @property
    def origin(self) -> bytes:
        """The origin of the page that reads the answer, where it is another one."""
        return self._answering.headers.allowed_origin if self._answering is not None else b""

    def send_response(self, status: int, headers: list[Header], body: bytes) -> None:
        """Answer with whatever it is, whole."""
        request = self._answering
        if request is None:
            return
        if request.headers.allowed_origin:
            headers = [*headers, *origin_headers(request.headers.allowed_origin)]
        has_body = request.head.method != "HEAD"
        self._transport.write(simple_response(status, headers, body, request.keep_alive, has_body))
        self.finish(status)

    def write(self, data: bytes) -> None:
        """A part of an answer; `finish` follows the last one."""
        if not self._transport.is_closing():
            self._transport.write(data)

    def finish(self, status: int) -> None:
        """The answer is written: go on with the next request."""
        request, self._answering, self._exchange = self._answering, None, None
        if request is None:
            return
        log_access(request, status, self._began)
        if not request.keep_alive:
            self._closing = True
            self._transport.close()
        elif self._waiting:
            asyncio.get_running_loop().call_soon(self._answer_next)
        elif self._closing:
            self._transport.close()
        elif self._owes_continue:
            self.on_continue()

    def _answer_next(self) -> None:
        """Unless the client does not take what was written: then it waits, too."""
        if self._waiting and self._answering is None and not self.is_full:
            if len(self._waiting) == MAX_WAITING:
                self._transport.resume_reading()
            self._answer(*self._waiting.popleft())

    def _refuse_unreadable(self, error: UnreadableRequest) -> None:
        """Answer bytes that are no request, and close."""
        if self._is_free and not self._closing:
            self._transport.write(plain_refusal(error.status, str(error)))
            self._handler.count_refusal(error.status)
            self._linger()
        else:
            self._closing = True

    def _linger(self) -> None:
        self._answering, self._closing = None, True
        loop = asyncio.get_running_loop()
        loop.call_later(LINGER_S, self._transport.close)
        if self._transport.can_write_eof():
            self._transport.write_eof()

    # The server

    def sweep(self, now: float, keep_alive_s: float) -> None:
        """Close it when nothing has come for too long."""
        if not self._is_free:
            self._reader.read_at = now  # it is idle from its answer on
            return
        unsent = self._transport.get_write_buffer_size()
        if unsent != self._unsent_bytes:  # a slow client, but it takes its answer
            self._unsent_bytes, self._reader.read_at = unsent, now
            return
        if self._closing or unsent:
            if now - self._reader.read_at > keep_alive_s:
                self._transport.abort()  # its client does not take its last bytes
        elif self._reader.is_late(now, keep_alive_s):
            if self._reader.is_at_rest:
                self._closing = True
                self._transport.close()
            else:
                self._refuse_unreadable(UnreadableRequest(408, "the request did not come in time"))

    def wind_down(self) -> None:
        """Say in the answer to what was asked that it is the last one here."""
        if self._waiting:
            self._waiting[-1][0].keep_alive = False
        elif self._answering is not None:
            self._answering.keep_alive = False

    def shut_down(self) -> None:
        """Close it, once the answers to what was asked are written."""
        if self._answering is None:
            self._transport.close()
        else:
            self._answering.keep_alive = False

    def abort(self) -> None:
        self._transport.abort()
