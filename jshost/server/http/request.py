"""A parsed request: its head, its headers, its body. Runs in: host."""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import parse_qs, unquote_to_bytes, urlsplit

from jshost.exceptions import from_envelope
from jshost.protocol import values

__all__ = ["Headers", "IncomingRequest", "KnownCall", "RequestHead", "check_hash", "data_of"]


FUNCTION_PREFIX = "/function/"


class Headers:
    """The headers that a host reads, found in one pass over all headers."""

    __slots__ = (
        "_timeout",
        "accept",
        "allowed_origin",
        "authorization",
        "content_length",
        "content_type",
        "expects_more",
        "host",
        "if_none_match",
        "is_chunked",
        "origin",
        "request_id",
        "traceparent",
    )

    def __init__(self, headers: list[tuple[bytes, bytes]]) -> None:
        self.host = self.origin = self.accept = self.content_type = self._timeout = b""
        self.if_none_match = self.authorization = b""
        self.allowed_origin = b""
        """The origin of the page that calls, once `AccessControl` has allowed it."""
        self.request_id = self.traceparent = ""
        self.content_length = 0
        self.is_chunked = self.expects_more = False
        for name, value in headers:
            if name == b"host":
                self.host = value
            elif name == b"content-type":
                self.content_type = value
            elif name == b"content-length":
                self.content_length = int(value) if value.isdigit() else 0
            elif name == b"accept":
                self.accept = value
            elif name == b"jshost-timeout":
                self._timeout = value
            elif name == b"origin":
                self.origin = value
            elif name == b"x-request-id":
                self.request_id = _safe_id(value)
            elif name == b"transfer-encoding":
                self.is_chunked = True
            elif name == b"traceparent":
                self.traceparent = _safe_id(value)
            elif name == b"authorization":
                self.authorization = value
            elif name == b"if-none-match":
                self.if_none_match = value
            elif name == b"expect" or name == b"upgrade":
                self.expects_more = True  # "100 Continue", or another protocol

    def timeout_s(self) -> float | None:
        """The caller's limit in seconds, or None.

        Raises:
            RequestError: the header is not a number of seconds.
        """
        if not self._timeout:
            return None
        try:
            seconds = float(self._timeout)
        except ValueError:
            seconds = -1.0
        if not 0 < seconds < 1e9:
            value = self._timeout.decode("latin-1")
            message = f"The header JSHost-Timeout must be a number of seconds, not {value!r}"
            raise from_envelope({"code": "bad_request", "message": message})
        return seconds

    def arguments_type(self) -> str | None:
        """The content type if the arguments are multipart/form-data; None if they are JSON.

        Raises:
            RequestError: they are neither.
        """
        if self.content_type == b"application/json":
            return None
        given = self.content_type.decode("latin-1")
        kind, _, parameters = given.lower().partition(";")
        if kind.strip() == "multipart/form-data":
            return given
        charset = parameters.partition("charset=")[2].strip(' "')
        if kind.strip() != "application/json" or charset not in ("", "utf-8", "utf8"):
            message = (
                "Send a JSON object with Content-Type: application/json, or multipart/form-data, "
                f"not {given or 'no content type'}"
            )
            raise from_envelope({"code": "not_json", "message": message})
        return None

    @property
    def wants_json(self) -> bool:
        return b"application/json" in self.accept

    @property
    def wants_stream(self) -> bool:
        return b"text/event-stream" in self.accept


class RequestHead:
    """A request's first line and headers. Nothing changes it: several requests may share one.

    Attributes:
        function: the name of the function that the path calls, or None.
    """

    __slots__ = (
        "function",
        "headers",
        "keep_alive",
        "method",
        "path",
        "query",
        "raw_headers",
        "target",
    )

    def __init__(
        self,
        method: str,
        target: bytes,
        raw_headers: list[tuple[bytes, bytes]],
        keep_alive: bool,
    ) -> None:
        self.method = method
        self.target = target
        self.raw_headers = raw_headers
        self.headers = Headers(raw_headers)
        self.keep_alive = keep_alive
        if not target.startswith(b"/"):  # "http://host/path", the form for proxies
            parts = urlsplit(target)
            target = parts.path + (b"?" + parts.query if parts.query else b"")
        raw_path, _, self.query = target.partition(b"?")
        raw_path = unquote_to_bytes(raw_path) if b"%" in raw_path else raw_path
        self.path = path = raw_path.decode("utf-8", "replace")
        is_call = path.startswith(FUNCTION_PREFIX)
        self.function = path[len(FUNCTION_PREFIX) :] if is_call else None


class IncomingRequest:
    """One request; complete once `body` is set.

    Attributes:
        head_bytes: its head as sent, without the blank line; b"" if it arrived in pieces.
        call: the call it asks for, if `KnownHeads` recognized its head.
    """

    __slots__ = ("body", "call", "head", "head_bytes", "headers", "keep_alive", "request_id")

    def __init__(self, head: RequestHead, head_bytes: bytes = b"", body: bytes = b"") -> None:
        self.head = head
        self.headers = head.headers
        self.keep_alive = head.keep_alive
        self.head_bytes = head_bytes
        self.body = body
        self.request_id = head.headers.request_id
        self.call: KnownCall | None = None

    @property
    def target(self) -> bytes:
        """The target as it was sent."""
        if self.call is None:
            return self.head.target
        return self.head_bytes.split(b" ", 2)[1]  # `head` is shared, and has another hash


class KnownCall(NamedTuple):
    """The call that a request's head asks for; see `Dispatcher.begin`."""

    name: str
    content_type: str | None
    timeout_s: float | None
    body_limit: int
    wants_stream: bool
    is_addressed: bool
    """Whether the URL identifies the call: it has the hash of the body, or the arguments."""


def data_of(query: bytes) -> bytes:
    """The arguments in the URL of a GET: the bytes of the parameter `data`, or b"".

    A space is %20 or +, a + is %2B: as forms and `encodeURIComponent` write them.

    Raises:
        RequestError: the parameter is there more than once.
    """
    pairs = [pair.partition(b"=") for pair in query.split(b"&")]
    found = [value for name, _, value in pairs if name == b"data"]
    if len(found) > 1:
        message = "The URL has the parameter data more than once."
        raise from_envelope({"code": "bad_request", "message": message})
    return unquote_to_bytes(found[0].replace(b"+", b" ")) if found else b""


def check_hash(query: bytes, body: bytes) -> bool:
    """Whether the query has a hash, which must be the body's.

    Raises:
        RequestError: it is a different one.
    """
    actual = values.body_hash(body)
    if query == b"hash=" + actual.encode():
        return True
    given = parse_qs(query.decode("latin-1"), keep_blank_values=True).get("hash")
    if given is None:
        return False
    if all(value.lower() == actual for value in given):
        return True
    message = (
        f"The hash in the URL is {given[0][:64]!r}, but the body's SHA-1 is {actual}. Hash exactly "
        "the bytes that are sent."
    )
    raise from_envelope({"code": "wrong_hash", "message": message})


def _safe_id(value: bytes) -> str:
    """A caller's id if it is safe in a log line and in a header, else ""."""
    text = value.decode("latin-1")
    return text if len(text) <= 128 and text.isascii() and text.isprintable() else ""
