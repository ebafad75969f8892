"""Answers that caches may keep, and calls by GET. Runs in: host.

An answer's ETag is made of what it is the answer to, of the code that gave it, and of when it did.
So the host can say that it still holds without asking the function again, or remembering anything;
and no answer is ever older than its function allows, whoever asks how often.
"""

from __future__ import annotations

import re
import time
from typing import NamedTuple

from jshost.pool.pool import Pool
from jshost.protocol import values
from jshost.server.http.connection import ServerConnection
from jshost.server.http.exchanges import CallExchange
from jshost.server.http.request import IncomingRequest
from jshost.server.http.responses import Header, content_type_of

__all__ = ["CacheScope", "CacheableExchange"]

TAG = re.compile(rb'"([0-9a-f]{40})-([0-9a-f]+)-([0-9a-f]{1,12})"')


class CacheScope(NamedTuple):
    """What caches are told beside the age: whether the answer is for everybody, and which headers
    of a request make it another one."""

    scope: bytes
    vary: bytes

    @classmethod
    def of(cls, has_token: bool, has_origins: bool) -> CacheScope:
        """Where there is a token, an answer is for who has it (RFC 9111, section 3.5)."""
        vary = b"accept"  # a stream is another answer
        vary += b", authorization" if has_token else b""
        vary += b", origin" if has_origins else b""
        return cls(b"" if has_token else b"public, ", vary)


class CacheableExchange(CallExchange):
    """One call of a cacheable function.

    Args:
        request: whose URL stands for its body, by its hash or as a whole.
        max_age_s: how old an answer may be.
        kept: for whom; see `CacheScope`.
    """

    __slots__ = ("_hash", "_kept", "_max_age_s", "_request")

    def __init__(
        self,
        connection: ServerConnection,
        pool: Pool,
        request: IncomingRequest,
        max_age_s: int,
        kept: CacheScope,
    ) -> None:
        super().__init__(connection, pool)
        self._request = request
        self._max_age_s = max_age_s
        self._kept = kept
        self._hash = values.body_hash(request.body).encode()

    def answer_unchanged(self) -> bool:
        """Say so (304) where the answer that the caller has still holds; returns whether it did."""
        given = self._request.headers.if_none_match
        code, now = self.pool.fingerprint.encode(), int(time.time())
        if not given or not code:
            return False
        for hash_, fingerprint, hexadecimal in TAG.findall(given):
            made_at = int(hexadecimal, 16)
            rest_s = made_at + self._max_age_s - now
            if hash_ == self._hash and fingerprint == code and rest_s > 0 and made_at <= now:
                headers = self._caching(rest_s, made_at)
                self._connection.send_response(304, headers, b"")
                return True
        return False

    def on_result(self, payload: bytes) -> None:
        self.pending = None
        headers: list[Header] = [
            (b"content-type", content_type_of(payload)),
            (b"content-length", b"%d" % (len(payload) - 1)),
        ]
        if self.pool.fingerprint:
            headers += self._caching(self._max_age_s, int(time.time()))
        else:  # workers with old and with new code: it is not known whose answer this is
            headers += self._common(b"no-store")
        self._connection.send_response(200, headers, payload[1:])

    def _caching(self, rest_s: int, made_at: int) -> list[Header]:
        tag = b'W/"%s-%s-%x"' % (self._hash, self.pool.fingerprint.encode(), made_at)
        return [
            *self._common(b"%smax-age=%d" % (self._kept.scope, rest_s)),
            (b"etag", tag),
            (b"vary", self._kept.vary),
        ]

    def _common(self, cache_control: bytes) -> list[Header]:
        return [
            (b"cache-control", cache_control),
            (b"x-content-type-options", b"nosniff"),
            (b"x-request-id", self._request.request_id.encode()),
        ]
