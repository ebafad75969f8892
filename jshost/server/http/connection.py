"""One client's HTTP/1.1 connection. It answers requests one at a time. Runs in: host.

There is no ASGI between the connection and a call, because callers wait for every microsecond:
bytes become an `IncomingRequest`, and the `Exchange` that answers it writes bytes.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from typing import cast

from jshost.exceptions import RemoteError
from jshost.server.http.access_log import log_access
from jshost.server.http.handler import Exchange, RequestHandler
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

__all__ = ["ServerConnection"]

MAX_WAITING = 16
"""How many pipelined requests may wait for their turn before reading pauses."""
LINGER_S = 2.0
"""How long the rest of a refused body is read, so that its sender receives the refusal."""
SMALL_BYTES = 64 * 1024
"""Up to this size a body is copied behind its head; a refused one is read to its end."""
CLIENT_GONE = 499
"""nginx's status for a client that disconnected; it appears in the log only."""


class ServerConnection(asyncio.Protocol):
    """Reads requests, gives them to the handler and sends the answers, in order.

    Args:
        handler: decides how requests are answered.
        connections: the open connections of the server; this one adds and removes itself.
    """

    def __init__(self, handler: RequestHandler, connections: set[ServerConnection]) -> None:
        self.is_full = False
        """Whether the client reads more slowly than we write."""
        self._handler = handler
        self._connections = connections
        self._transport: asyncio.Transport = cast(asyncio.Transport, None)
        self._parser = RequestParser(self)
        self._parser.read_at = time.monotonic()
        self._closing = False
        self._unsent_bytes = 0
        # The request that is being answered, and those that wait for their turn
        self._waiting: deque[tuple[IncomingRequest, RemoteError | None]] = deque()
        self._answering: IncomingRequest | None = None
        self._exchange: Exchange | None = None
        self._owes_continue = False
        """Whether a client waits for "100 Continue" until earlier answers are sent."""
        self._began = 0.0

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._connections.add(self)

    def data_received(self, data: bytes) -> None:
        if self._closing:
            return
        now = self._parser.read_at = time.monotonic()
        if self._is_free and not self.is_full and self._parser.is_at_rest:
            request = self._handler.recognize(data)
            if request is not None:
                self._answer(request, None)
                return
        try:
            self._parser.feed(data, now)
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

    # ParserOwner

    def on_head(self, request: IncomingRequest) -> int:
        return self._handler.admit(request)

    @property
    def _is_free(self) -> bool:
        """Whether no answer is due. With pipelining, `_answering` alone is None between two."""
        return self._answering is None and not self._waiting

    def on_continue(self) -> None:
        self._owes_continue = not self._is_free
        if not self._owes_continue:
            self._transport.write(CONTINUE)

    def on_refusal(
        self, request: IncomingRequest, error: RemoteError, expects_continue: bool
    ) -> bool:
        """Answer before the body has arrived. A small body is read and dropped. After a large one,
        or one for which the client waits for "100 Continue", the connection closes."""
        if self._closing or not self._is_free:
            return False  # pipelined: it is refused in its turn, once it is complete
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
            logging.getLogger("jshost.host").exception("answering a request failed")
            self.send_error(RemoteError(f"a bug in the host: {error}"))

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
        redacted = self._handler.redact(error, request.request_id)
        return error_parts(redacted, request.headers.wants_json)

    def redact(self, error: RemoteError, request_id: str) -> RemoteError:
        """The error as the caller may see it, inside an answer."""
        return self._handler.redact(error, request_id)

    @property
    def origin(self) -> bytes:
        """The allowed origin of the page that reads the answer, or b""."""
        return self._answering.headers.allowed_origin if self._answering is not None else b""

    def send_response(self, status: int, headers: list[Header], body: bytes) -> None:
        """Answer with a whole response."""
        request = self._answering
        if request is None:
            return
        if request.headers.allowed_origin:
            headers = [*headers, *origin_headers(request.headers.allowed_origin)]
        has_body = request.head.method != "HEAD"
        self._transport.write(simple_response(status, headers, body, request.keep_alive, has_body))
        self.finish(status)

    def write(self, data: bytes) -> None:
        """Send a part of an answer; `finish` follows the last one."""
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
        """Begin the next answer, unless the client still has to read the last one."""
        if self._waiting and self._answering is None and not self.is_full:
            if len(self._waiting) == MAX_WAITING:
                self._transport.resume_reading()
            self._answer(*self._waiting.popleft())

    def _refuse_unreadable(self, error: UnreadableRequest) -> None:
        """Answer bytes that are not a request, and close."""
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

    # HttpServer

    def sweep(self, now: float, keep_alive_s: float) -> None:
        """Close the connection if nothing has arrived for too long."""
        if not self._is_free:
            self._parser.read_at = now  # idle time begins with the last answer
            return
        unsent = self._transport.get_write_buffer_size()
        if unsent != self._unsent_bytes:  # slow, but it reads its answer
            self._unsent_bytes, self._parser.read_at = unsent, now
            return
        if self._closing or unsent:
            if now - self._parser.read_at > keep_alive_s:
                self._transport.abort()  # the client does not read its last bytes
        elif self._parser.is_late(now, keep_alive_s):
            if self._parser.is_at_rest:
                self._closing = True
                self._transport.close()
            else:
                self._refuse_unreadable(
                    UnreadableRequest(408, "the request did not arrive in time")
                )

    def wind_down(self) -> None:
        """Make the answer to the last request received the connection's last."""
        if self._waiting:
            self._waiting[-1][0].keep_alive = False
        elif self._answering is not None:
            self._answering.keep_alive = False

    def shut_down(self) -> None:
        """Close the connection once its current answer is written."""
        if self._answering is None:
            self._transport.close()
        else:
            self._answering.keep_alive = False

    def abort(self) -> None:
        self._transport.abort()
