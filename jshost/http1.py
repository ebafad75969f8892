"""An HTTP/1.1 client's side of the wire, without I/O. Runs in: callers.

Request bytes come out, response bytes go in. Made for the one kind of request that calls are; what
is unusual (https, proxies) goes through httpx, see `transport`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import httptools

__all__ = ["Response", "ResponseParser", "request_line", "request_tail"]


class Response:
    """A host's answer.

    Attributes:
        status_code: the HTTP status.
        headers: by lower-case name.
        content: the body's bytes.
    """

    __slots__ = ("content", "headers", "status_code")

    def __init__(self, status_code: int, headers: Mapping[str, str], content: bytes) -> None:
        self.status_code = status_code
        self.headers = headers
        self.content = content

    @property
    def text(self) -> str:
        return self.content.decode("utf-8", "replace")

    def json(self) -> Any:
        """The body as JSON. Raises: ValueError."""
        return json.loads(self.content)

    def __repr__(self) -> str:
        return f"<Response {self.status_code}, {len(self.content)} bytes>"


def request_line(method: str, target: str) -> bytes:
    """A request's first line. Raises: ValueError: `target` holds what must be escaped."""
    if " " in target or not target.isprintable():
        raise ValueError(f"not a request target: {target!r}")
    return f"{method} {target} HTTP/1.1\r\n".encode("ascii")


def request_tail(host: str, headers: Mapping[str, str]) -> bytes:
    """The headers behind a request's first line, up to where the body's length is written.

    Raises:
        ValueError: a line end in a name or a value.
    """
    lines = [f"Host: {host}", *(f"{name}: {value}" for name, value in headers.items())]
    if any("\r" in line or "\n" in line for line in lines):
        raise ValueError("a header holds a line end")
    return ("\r\n".join([*lines, "Content-Length: "])).encode("latin-1")


class ResponseParser:
    """Bytes in, one response out; then it is used up."""

    def __init__(self) -> None:
        self.complete = False
        self.keep_alive = False
        self._headers: dict[str, str] = {}
        self._body: list[bytes] = []
        self._in_body = False
        self._status = 0
        self._parser = httptools.HttpResponseParser(self)

    def feed(self, data: bytes) -> bool:
        """Take bytes; True once the response is whole.

        Raises:
            ValueError: the bytes are no HTTP response.
        """
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            if self.complete:  # bytes that nobody asked for came right behind it
                self.keep_alive = False
                return True
            raise ValueError(f"not an HTTP response: {error}") from error
        return self.complete

    def end(self) -> bool:
        """The connection was closed: True where that is how the response says it is whole."""
        framed = self._headers.keys() & {"content-length", "transfer-encoding"}
        self.complete = self._in_body and not framed
        return self.complete

    def response(self) -> Response:
        body = self._body
        content = body[0] if len(body) == 1 else b"".join(body)
        return Response(self._status, self._headers, content)

    # httptools calls these; after the response is whole, for bytes that nobody asked for.

    def on_message_begin(self) -> None:
        if self.complete:
            self.keep_alive = False

    def on_header(self, name: bytes, value: bytes) -> None:
        if self.complete:
            return
        key, text = name.decode("latin-1").lower(), value.decode("latin-1").strip()
        known = self._headers.get(key)
        self._headers[key] = text if known is None else f"{known}, {text}"

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
            self._headers = {}
            return
        self.keep_alive = self._parser.should_keep_alive()
        self.complete = True
