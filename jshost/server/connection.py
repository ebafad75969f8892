"""One client's HTTP/1.1 connection: bytes in, requests out, answers back. Runs in: host.

There is no ASGI between it and a call, because every microsecond of a call is a caller's: what is
read becomes a `Request`, and whoever answers it, an `Exchange`, writes bytes.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from typing import Protocol, cast

import httptools

from jshost.exceptions import RemoteError, from_envelope
from jshost.server.requests import Request
from jshost.server.responses import CONTINUE, error_parts, result_head, simple_response

__all__ = ["Connection", "Exchange", "Handler"]

access_logger = logging.getLogger("jshost.access")

MAX_HEAD_BYTES = 64 * 1024
"""What a request's first line and headers may have, and trailers; a body has its own limit."""
MAX_WAITING = 16
"""Requests sent before the answers to earlier ones (pipelining); reading pauses beyond."""
HEAD_S = 30.0
"""How long a request's head may take to arrive, and how long its body may pause."""
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
        """What was written has been taken, after `Connection.is_full`."""


class Handler(Protocol):
    """Who decides what is done with a request."""

    def admit(self, request: Request) -> int:
        """Look at a request's head. Returns the largest body, in bytes, that it may have.

        Raises:
            RemoteError: it is refused, whatever its body says.
        """

    def begin(self, request: Request, connection: Connection) -> Exchange | None:
        """Answer a whole request, now (None) or later.

        Raises:
            RemoteError: it is refused.
        """


class Connection(asyncio.Protocol):
    """Reads requests and has them answered one after the other."""

    def __init__(self, handler: Handler, connections: set[Connection]) -> None:
        self.is_full = False
        """Whether the client takes what is written to it more slowly than it comes."""
        self._handler = handler
        self._connections = connections
        self._transport: asyncio.Transport = cast(asyncio.Transport, None)
        self._parser = httptools.HttpRequestParser(self)
        self._last_read = time.monotonic()
        self._closing = False
        # The request that is being read
        self._target = b""
        self._headers: list[tuple[bytes, bytes]] = []
        self._incoming: Request | None = None
        self._in_head = False
        self._head_began = 0.0
        self._head_bytes = 0
        self._expects_continue = False
        self._chunks: list[bytes] = []
        self._body_bytes = 0
        self._body_limit = 0
        self._unparsed_bytes = 0
        """So much of a body comes that the parser leaves to us: see `_ignore_upgrade`."""
        self._refusal: RemoteError | None = None
        self._is_answered = False
        """Whether it was refused already; the rest of it is read and dropped."""
        # The requests that are being answered
        self._waiting: deque[tuple[Request, RemoteError | None]] = deque()
        self._answering: Request | None = None
        self._exchange: Exchange | None = None
        self._began = 0.0

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._connections.add(self)

    def data_received(self, data: bytes) -> None:
        if self._closing:
            return
        self._last_read = time.monotonic()
        self._head_bytes += len(data)
        if self._unparsed_bytes:
            data = self._take_unparsed(data)
        while data:
            try:
                self._parser.feed_data(data)
                break
            except httptools.HttpParserUpgrade as offer:
                data = self._ignore_upgrade(data[offer.args[0] :])
            except httptools.HttpParserError as error:
                self._refuse_bytes(400, f"not an HTTP/1.1 request: {error}")
                break
        if self._head_bytes > MAX_HEAD_BYTES and (self._in_head or self._incoming is not None):
            self._refuse_bytes(431, f"the headers have more than {MAX_HEAD_BYTES} bytes")

    def connection_lost(self, exc: Exception | None) -> None:
        self._connections.discard(self)
        self._closing = True
        self._waiting.clear()
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            exchange.abandon()
        if self._answering is not None:
            self._log(self._answering, CLIENT_GONE)
            self._answering = None

    def pause_writing(self) -> None:
        self.is_full = True

    def resume_writing(self) -> None:
        self.is_full = False
        if self._exchange is not None:
            self._exchange.resume()
        elif self._waiting:
            self._answer_next()

    # httptools calls these

    def on_message_begin(self) -> None:
        self._target = b""
        self._headers = []
        self._incoming = None
        self._in_head, self._head_began, self._head_bytes = True, self._last_read, 0
        self._expects_continue = False
        self._chunks = []
        self._body_bytes = 0
        self._refusal = None
        self._is_answered = False

    def on_url(self, url: bytes) -> None:
        self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._in_head:
            return  # a trailer: nobody reads it
        name = name.lower()
        if name == b"expect" and value.lower() == b"100-continue":
            self._expects_continue = True
        self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        parser = self._parser
        self._in_head = False
        keep_alive = parser.get_http_version() != "1.0" and parser.should_keep_alive()
        method = parser.get_method().decode("latin-1")
        request = self._incoming = Request(method, self._target, self._headers, keep_alive)
        is_offer = parser.should_upgrade()
        if is_offer:
            self._unparsed_bytes = request.headers.content_length
        try:
            self._body_limit = self._handler.admit(request)
            if is_offer and request.headers.is_chunked:
                raise _no_upgrade()
            if request.headers.content_length > self._body_limit:
                raise _too_large(request.headers.content_length, self._body_limit)
        except RemoteError as error:
            self._refuse(request, error)
            return
        if self._expects_continue and self._answering is None:
            self._transport.write(CONTINUE)

    def on_body(self, body: bytes) -> None:
        self._head_bytes = 0
        self._body_bytes += len(body)
        if self._closing:
            return
        if self._refusal is None:
            self._chunks.append(body)
            if self._body_bytes > self._body_limit:
                self._chunks = []
                if self._incoming is not None:
                    self._refuse(self._incoming, _too_large(self._body_bytes, self._body_limit))

    def on_message_complete(self) -> None:
        if self._unparsed_bytes:
            return
        request, self._incoming = self._incoming, None
        if request is None or self._closing or self._is_answered:
            return
        chunks, self._chunks = self._chunks, []
        request.body = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        if self._answering is None and not self.is_full:
            self._answer(request, self._refusal)
            return
        self._waiting.append((request, self._refusal))
        if len(self._waiting) == MAX_WAITING:
            self._transport.pause_reading()

    def _ignore_upgrade(self, rest: bytes) -> bytes:
        """"Upgrade" is an offer (h2c, websocket) that nobody has to take. The parser takes what
        follows for another protocol's, the request's body too; begin anew behind it."""
        self._parser = httptools.HttpRequestParser(self)
        return self._take_unparsed(rest) if self._unparsed_bytes else rest

    def _take_unparsed(self, data: bytes) -> bytes:
        """Take the body's bytes; returns what is behind them."""
        body = data[: self._unparsed_bytes]
        if body:
            self._unparsed_bytes -= len(body)
            self.on_body(body)
            if not self._unparsed_bytes:
                self.on_message_complete()
        return data[len(body) :]

    # Answering

    def _answer(self, request: Request, refusal: RemoteError | None) -> None:
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
        head = result_head(payload, request.headers.request_id, request.keep_alive)
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
        error.request_id = self._answering.headers.request_id
        status, headers, body = error_parts(error, self._answering.headers.wants_json)
        self.send_response(status, headers, body)

    def send_response(self, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
        """Answer with whatever it is, whole."""
        request = self._answering
        if request is None:
            return
        has_body = request.method != "HEAD"
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
        self._log(request, status)
        if not request.keep_alive:
            self._closing = True
            self._transport.close()
        elif self._waiting:
            asyncio.get_running_loop().call_soon(self._answer_next)
        elif self._closing:
            self._transport.close()

    def _answer_next(self) -> None:
        """Unless the client does not take what was written: then it waits, too."""
        if self._waiting and self._answering is None and not self.is_full:
            if len(self._waiting) == MAX_WAITING:
                self._transport.resume_reading()
            self._answer(*self._waiting.popleft())

    def _refuse(self, request: Request, error: RemoteError) -> None:
        """Answer before the body has come. A small one is read and dropped; a larger one, or one
        that is sent only when we say so, is the connection's last."""
        self._refusal = error
        if self._answering is not None:
            return  # pipelined behind another: it is refused when it is whole
        self._is_answered = True
        has_more = request.headers.content_length > SMALL_BYTES or request.headers.is_chunked
        if has_more or self._expects_continue:
            request.keep_alive = False
            self._answering = request
            error.request_id = request.headers.request_id
            status, headers, body = error_parts(error, request.headers.wants_json)
            self._transport.write(simple_response(status, headers, body, False))
            self._log(request, status)
            self._linger()
        else:
            self._answer(request, error)

    def _refuse_bytes(self, status: int, message: str) -> None:
        """Answer bytes that are no request, and close."""
        if self._answering is None and not self._closing:
            body = (message + "\n").encode("utf-8", "backslashreplace")
            headers = [
                (b"content-type", b"text/plain; charset=utf-8"),
                (b"content-length", b"%d" % len(body)),
                (b"cache-control", b"no-store"),
            ]
            self._transport.write(simple_response(status, headers, body, False))
            self._linger()
        else:
            self._closing = True

    def _linger(self) -> None:
        self._answering, self._closing = None, True
        loop = asyncio.get_running_loop()
        loop.call_later(LINGER_S, self._transport.close)
        if self._transport.can_write_eof():
            self._transport.write_eof()

    def _log(self, request: Request, status: int) -> None:
        if not access_logger.isEnabledFor(logging.INFO):
            return
        access_logger.info(
            "%s %s %d %.1f ms %s",
            request.method,
            request.target.decode("latin-1"),  # as sent: an escaped line end stays one
            status,
            (time.monotonic() - self._began) * 1000,
            request.headers.request_id,
        )

    # The server

    def sweep(self, now: float, keep_alive_s: float) -> None:
        """Close it when nothing has come for too long."""
        if self._answering is not None:
            return
        if self._closing:
            if now - self._last_read > keep_alive_s:
                self._transport.abort()  # its client does not take its last bytes
            return
        silent_s = now - self._last_read
        if self._in_head:
            is_over = now - self._head_began > HEAD_S
        else:
            is_over = silent_s > (HEAD_S if self._incoming is not None else keep_alive_s)
        if is_over:
            self._closing = True
            self._transport.close()

    def shut_down(self) -> None:
        """Close it, once the answers to what was asked are written."""
        if self._answering is None:
            self._transport.close()
        else:
            self._answering.keep_alive = False

    def abort(self) -> None:
        self._transport.abort()


def _no_upgrade() -> RemoteError:
    message = "A request that offers an upgrade needs a Content-Length, or no body."
    return from_envelope({"code": "bad_request", "message": message})


def _too_large(size: int, limit: int) -> RemoteError:
    message = (
        f"The body has {size} bytes or more, over the limit of {limit}. Raise the option "
        "requestDataLimit (request_data_limit in Python) if it should be allowed."
    )
    return from_envelope({"code": "body_too_large", "message": message})
