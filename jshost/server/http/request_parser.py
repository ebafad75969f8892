"""Parses a connection's bytes into HTTP/1.1 requests, without I/O. Runs in: host."""

from __future__ import annotations

from typing import Protocol

import httptools

from jshost.exceptions import RemoteError, from_envelope
from jshost.server.http.request import IncomingRequest, RequestHead

__all__ = ["ParserOwner", "RequestParser", "UnreadableRequest"]

MAX_HEAD_BYTES = 64 * 1024
"""The limit for a request's first line and headers, and for trailers."""
HEAD_S = 30.0
"""How long a head may take to arrive, and how long a body may pause."""


class UnreadableRequest(Exception):
    """The bytes are not a request, and later bytes cannot be trusted; `status` is the answer."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class ParserOwner(Protocol):
    """Receives the requests: the connection."""

    def on_head(self, request: IncomingRequest) -> int:
        """A head has arrived. Returns the largest body, in bytes, that it may have.

        Raises:
            RemoteError: the request is refused, whatever its body is.
        """

    def on_continue(self) -> None:
        """The client waits for "100 Continue" before it sends the body, and may send it."""

    def on_refusal(
        self, request: IncomingRequest, error: RemoteError, expects_continue: bool
    ) -> bool:
        """A request is refused before its body has arrived. Returns whether it was answered: then
        the rest of it is dropped. If not, `on_request` follows."""

    def on_request(self, request: IncomingRequest, refusal: RemoteError | None) -> None:
        """A request is complete."""


class RequestParser:
    """Takes bytes, and gives requests to its owner."""

    def __init__(self, owner: ParserOwner) -> None:
        self._owner = owner
        self._parser = httptools.HttpRequestParser(self)
        self._target = b""
        self._headers: list[tuple[bytes, bytes]] = []
        self._request: IncomingRequest | None = None
        self._in_head = False
        self.read_at = 0.0
        """When bytes last arrived. The owner sets it too, for bytes that it did not feed."""
        self._began_at = 0.0
        self._fed_bytes = 0
        self._first_bytes = 0
        """Bytes fed up to the request's beginning; some may belong to the request before it."""
        self._head_bytes = 0
        """Bytes fed since then, until its body begins."""
        self._has_long_head = False
        self._expects_continue = False
        self._first = b""
        """The bytes fed last, if a request began with them and its head is not complete."""
        self._chunks: list[bytes] = []
        self._body_bytes = 0
        self._body_limit = 0
        self._unparsed_bytes = 0
        """How much of a body httptools does not parse: see `_ignore_upgrade`."""
        self._refusal: RemoteError | None = None
        self._is_dropped = False
        """Whether the request was answered already: the rest of it is dropped."""

    def feed(self, data: bytes, now: float) -> None:
        """Parse bytes. Raises: UnreadableRequest: they are not requests."""
        self._first = data if self.is_at_rest else b""
        self.read_at = now
        self._fed_bytes = len(data)
        self._head_bytes += len(data)
        if self._unparsed_bytes:
            data = self._take_unparsed(data)
        while data:
            try:
                self._parser.feed_data(data)
                break
            except httptools.HttpParserUpgrade as offer:
                data = self._ignore_upgrade(data[offer.args[0] :])
            except httptools.HttpParserCallbackError as error:
                cause = error.__context__
                if not isinstance(cause, ValueError):  # a bug of ours
                    raise cause or error from None
                raise UnreadableRequest(400, f"not an HTTP/1.1 request: {cause}") from cause
            except httptools.HttpParserError as error:
                raise UnreadableRequest(400, f"not an HTTP/1.1 request: {error}") from error
        is_open = self._in_head or self._request is not None
        if self._has_long_head or (self._head_bytes > MAX_HEAD_BYTES and is_open):
            raise UnreadableRequest(431, f"the headers have more than {MAX_HEAD_BYTES} bytes")

    @property
    def is_at_rest(self) -> bool:
        """Whether the next byte begins a request."""
        return self._request is None and not self._in_head and not self._unparsed_bytes

    def is_late(self, now: float, keep_alive_s: float) -> bool:
        """Whether the next bytes did not arrive in time."""
        if self._in_head:
            return now - self._began_at > HEAD_S
        return now - self.read_at > (HEAD_S if self._request is not None else keep_alive_s)

    # httptools calls these

    def on_message_begin(self) -> None:
        self._target = b""
        self._headers = []
        self._request = None
        self._in_head, self._began_at, self._head_bytes = True, self.read_at, 0
        self._first_bytes = self._fed_bytes
        self._expects_continue = False
        self._chunks = []
        self._body_bytes = 0
        self._refusal = None
        self._is_dropped = False

    def on_url(self, url: bytes) -> None:
        self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._in_head:
            return  # a trailer: ignored
        name, value = name.lower(), value.strip(b" \t")  # httptools leaves blanks after a value
        if name == b"expect" and value.lower() == b"100-continue":
            self._expects_continue = True
        elif name == b"host" and any(known == b"host" for known, _ in self._headers):
            raise ValueError("it has more than one Host header")  # RFC 9112, section 3.2
        self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        parser = self._parser
        self._in_head = False
        if self._first_bytes + self._head_bytes > MAX_HEAD_BYTES and self._is_head_long():
            self._has_long_head = True
        if self._has_long_head:
            return  # `feed` raises
        keep_alive = parser.get_http_version() != "1.0" and parser.should_keep_alive()
        method = parser.get_method().decode("latin-1")
        head = RequestHead(method, self._target, self._headers, keep_alive)
        first, self._first = self._first, b""
        request = self._request = IncomingRequest(head, first[: max(first.find(b"\r\n\r\n"), 0)])
        is_offer = parser.should_upgrade()
        if is_offer:
            self._unparsed_bytes = request.headers.content_length
        try:
            self._body_limit = self._owner.on_head(request)
            if is_offer and request.headers.is_chunked:
                raise _no_upgrade()
            if request.headers.content_length > self._body_limit:
                raise _too_large(request.headers.content_length, self._body_limit)
        except RemoteError as error:
            self._refuse(request, error)
            return
        if self._expects_continue:
            self._owner.on_continue()

    def on_body(self, body: bytes) -> None:
        self._head_bytes = 0
        self._body_bytes += len(body)
        if self._refusal is None:
            self._chunks.append(body)
            if self._body_bytes > self._body_limit:
                self._chunks = []
                if self._request is not None:
                    self._refuse(self._request, _too_large(self._body_bytes, self._body_limit))

    def on_message_complete(self) -> None:
        if self._unparsed_bytes:
            return
        request, self._request = self._request, None
        if request is None or self._is_dropped:
            return
        chunks, self._chunks = self._chunks, []
        request.body = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        self._owner.on_request(request, self._refusal)

    def _is_head_long(self) -> bool:
        lines = sum(len(name) + len(value) + 4 for name, value in self._headers)
        return len(self._target) + lines > MAX_HEAD_BYTES

    def _refuse(self, request: IncomingRequest, error: RemoteError) -> None:
        self._refusal = error
        self._is_dropped = self._owner.on_refusal(request, error, self._expects_continue)

    def _ignore_upgrade(self, rest: bytes) -> bytes:
        """Go on after an "Upgrade" header: it is an offer (h2c, websocket), which we decline.

        httptools stops there, because another protocol could follow. So we take the request's body
        ourselves, and a new parser continues after it.
        """
        self._parser = httptools.HttpRequestParser(self)
        return self._take_unparsed(rest) if self._unparsed_bytes else rest

    def _take_unparsed(self, data: bytes) -> bytes:
        """Take the body's bytes; returns the bytes after them."""
        body = data[: self._unparsed_bytes]
        if body:
            self._unparsed_bytes -= len(body)
            self.on_body(body)
            if not self._unparsed_bytes:
                self.on_message_complete()
        return data[len(body) :]


def _no_upgrade() -> RemoteError:
    message = "A request that offers an upgrade needs a Content-Length, or no body."
    return from_envelope({"code": "bad_request", "message": message})


def _too_large(size: int, limit: int) -> RemoteError:
    message = (
        f"The body has {size} bytes or more, over the limit of {limit}. Raise the option "
        "requestDataLimit (request_data_limit in Python) if it should be allowed."
    )
    return from_envelope({"code": "body_too_large", "message": message})
