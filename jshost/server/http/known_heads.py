"""A cache of parsed request heads. Runs in: host.

A client's calls of one function differ in the hash, the length of the body and the body itself.
The first one is parsed and checked as any request is; later ones are recognized by their bytes.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from jshost.protocol import values
from jshost.server.http.request import IncomingRequest, KnownCall, RequestHead

__all__ = ["KnownHeads"]

MAX_HEADS = 256
MAX_BYTES = 4096
"""A longer head is parsed each time, so that the cache is bounded."""
LINE_END = b" HTTP/1.1"
LINE = re.compile(rb"POST /[^ ?]*\?hash=[0-9a-f]{40} HTTP/1\.1")
HASH_END = -len(LINE_END)
HASH_START = HASH_END - 40


class _Known(NamedTuple):
    head: RequestHead
    call: KnownCall


class KnownHeads:
    """The heads that a host has admitted; all its connections share them."""

    def __init__(self) -> None:
        self._known: dict[tuple[bytes, bytes], _Known] = {}

    def recognize(self, data: bytes) -> IncomingRequest | None:
        """The request in `data` if that is exactly one request, its head is known and its hash is
        right; None: it has to be parsed."""
        head, _, body = data.partition(b"\r\n\r\n")
        line, _, fields = head.partition(b"\r\n")
        fields, _, length = fields.rpartition(b" ")
        known = self._known.get((line[:HASH_START], fields))
        if (
            known is None
            or line[HASH_START:] != values.body_hash(body).encode() + LINE_END
            or length != b"%d" % len(body)
            or len(body) > known.call.body_limit
        ):
            return None
        request = IncomingRequest(known.head, head, body)
        request.call = known.call
        return request

    def learn(self, request: IncomingRequest, call: KnownCall) -> None:
        """Remember a request's head, if it holds nothing that is special to this request."""
        head, data = request.head, request.head_bytes
        if not data or len(data) > MAX_BYTES or not request.keep_alive:
            return
        headers = head.headers
        if headers.request_id or headers.traceparent or headers.if_none_match:
            return
        if headers.is_chunked or headers.expects_more:
            return
        if not headers.content_type:
            return  # that is allowed without a body only
        line, _, fields = data.partition(b"\r\n")
        if line != b"POST " + head.target + LINE_END or LINE.fullmatch(line) is None:
            return
        if not _is_plain(fields, head.raw_headers):
            return
        fields, _, length = fields.rpartition(b" ")
        if not fields.lower().endswith(b"\r\ncontent-length:") or not length.isdigit():
            return
        if len(self._known) >= MAX_HEADS:
            self._known.clear()
        self._known[line[:HASH_START], fields] = _Known(head, call)

    def forget(self) -> None:
        """Forget all heads: with other options they may be refused."""
        self._known.clear()


def _is_plain(fields: bytes, parsed: list[tuple[bytes, bytes]]) -> bool:
    """Whether the lines are exactly the headers that httptools found."""
    lines = fields.split(b"\r\n")
    if len(lines) != len(parsed) or b"\n" in fields.replace(b"\r\n", b""):
        return False
    for line, (name, value) in zip(lines, parsed, strict=True):
        written, colon, rest = line.partition(b":")
        if not colon or written.lower() != name or rest.strip(b" \t") != value:
            return False
    return True
