"""An HTTP/1.1 client's side of the wire, without I/O. Runs in: callers.

Request bytes come out, response bytes go in. It knows the one kind of request that calls are; https
and proxies are httpx's, see `transport_choice`.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from urllib.parse import unquote, urlsplit

import httptools

from jshost.client.http.http_request import FrozenHeaders
from jshost.client.response import Response, decoded_headers

__all__ = [
    "UNIX_SCHEME",
    "Endpoint",
    "ResponseParser",
    "bearer",
    "request_line",
    "request_tail",
]

UNIX_SCHEME = "unix://"
MAX_TAILS = 64


def request_line(method: str, target: str) -> bytes:
    """A request's first line. Raises: ValueError: `target` holds what must be escaped."""
    if " " in target or not target.isprintable():
        raise ValueError(f"not a request target: {target!r}")
    return f"{method} {target} HTTP/1.1\r\n".encode("ascii")


def request_tail(host: str, headers: Mapping[str, str]) -> bytes:
    """The headers behind a request's first line, up to where the body's length is written.

    Raises:
        ValueError: a line end in a name or a value, or a character beyond Latin-1.
    """
    lines = [f"Host: {host}"]
    for name, value in headers.items():
        line = f"{name}: {value}"
        if "\r" in line or "\n" in line:
            raise ValueError(f"the header {name!r} holds a line end")
        if max(line) > "\xff":
            raise ValueError(f"the header {name!r} holds a character outside Latin-1: {value!r}")
        lines.append(line)
    return ("\r\n".join([*lines, "Content-Length: "])).encode("latin-1")


class Endpoint:
    """Where the requests to one root URL go, and what their heads have in common.

    Attributes:
        root_url: ``http://host:port/prefix`` or ``unix:///path/of/a/socket``.
        unix_path: the socket's path, or None: TCP.
        address: host and port of the TCP socket.
    """

    def __init__(self, root_url: str, token: str = "") -> None:
        self.root_url = root_url
        self.unix_path: str | None = None
        self.address = ("", 0)
        self._prefix = ""
        self._authorization = bearer(token)
        self._tails: dict[int, tuple[Mapping[str, str], bytes]] = {}
        if root_url.startswith(UNIX_SCHEME):
            self.unix_path = unquote(root_url[len(UNIX_SCHEME) :])
            self._netloc = "localhost"
            return
        parts = urlsplit(root_url)
        self.address = (parts.hostname or "localhost", parts.port or 80)
        self._prefix = parts.path.rstrip("/")
        self._netloc = parts.netloc.rpartition("@")[2]
        if not token:
            self._authorization = _basic_authorization(parts.username, parts.password)

    def request(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> bytes:
        """A request's bytes. Raises: ValueError: see `request_line` and `request_tail`."""
        line = request_line(method, self._prefix + target)
        return b"%s%s%d\r\n\r\n%s" % (line, self._tail(headers), len(body), body)

    def _tail(self, headers: Mapping[str, str]) -> bytes:
        """What calls have in common is prepared once, for each mapping of headers they share."""
        known = self._tails.get(id(headers))
        if known is not None and known[0] is headers:
            return known[1]
        tail = request_tail(self._netloc, {**self._authorization, **headers})
        if isinstance(headers, FrozenHeaders) and len(self._tails) < MAX_TAILS:
            self._tails[id(headers)] = headers, tail
        return tail


def bearer(token: str) -> dict[str, str]:
    """The header for a token (RFC 6750); none for ""."""
    return {"Authorization": f"Bearer {token}"} if token else {}


def _basic_authorization(name: str | None, password: str | None) -> dict[str, str]:
    """The header for a name and a password in the URL (RFC 7617)."""
    if name is None:
        return {}
    pair = f"{unquote(name)}:{unquote(password or '')}".encode()
    return {"Authorization": f"Basic {base64.b64encode(pair).decode()}"}


class ResponseParser:
    """Bytes in, one response out; then `begin` is called for the connection's next one.

    It lasts as long as its connection: it and the parser that it uses refer to each other, which
    only the garbage collector can undo.
    """

    __slots__ = (
        "_body",
        "_headers",
        "_in_body",
        "_parser",
        "_status",
        "complete",
        "keep_alive",
    )

    def __init__(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self.begin()

    def begin(self) -> None:
        """Expect a response."""
        self.complete = False
        self.keep_alive = False
        self._headers: list[tuple[bytes, bytes]] = []
        self._body: list[bytes] = []
        self._in_body = False
        self._status = 0

    def feed(self, data: bytes) -> bool:
        """Take bytes; True once the response is whole.

        Raises:
            ValueError: the bytes are no HTTP response.
        """
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            if self.complete:  # unexpected bytes came right behind it
                self.keep_alive = False
                return True
            raise ValueError(f"not an HTTP response: {error}") from error
        return self.complete

    def end(self) -> bool:
        """The connection was closed: True where that is how the response says it is whole."""
        framed = decoded_headers(self._headers).keys() & {"content-length", "transfer-encoding"}
        self.complete = self._in_body and not framed
        return self.complete

    @property
    def has_head(self) -> bool:
        """Whether status and headers have come, and the body, or its end, is next."""
        return self._in_body or self.complete

    def take(self) -> bytes:
        """What has come of the body since the last `take`."""
        body, self._body = self._body, []
        return body[0] if len(body) == 1 else b"".join(body)

    def response(self) -> Response:
        """The response; before `complete`, with the body as far as it has come."""
        body = self._body
        content = body[0] if len(body) == 1 else b"".join(body)
        return Response(self._status, self._headers, content)

    # httptools calls these; after the response is whole, for unexpected bytes.

    def on_message_begin(self) -> None:
        if self.complete:
            self.keep_alive = False

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self.complete:
            self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        if not self.complete:
            self._status = self._parser.get_status_code()
            self._in_body = self._status >= 200

    def on_body(self, body: bytes) -> None:
        if not self.complete:
            self._body.append(body)

    def on_message_complete(self) -> None:
        if self.complete:
            return
        if self._status < 200:  # 100 Continue, 103 Early Hints
            self._headers = []
            return
        self.keep_alive = self._parser.should_keep_alive()
        self.complete = True
