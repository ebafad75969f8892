"""HTTP caching of results: ETags, max-age, and 304 for results that are still valid. Runs in: host.

An ETag names the arguments (their hash), the code that gave the result (the pool's fingerprint)
and the second it was given. So the host can confirm a result without calling the function and
without remembering anything, and no result is ever used for longer than its function allows.
"""

from __future__ import annotations

import re
import time
from typing import NamedTuple, Protocol

from jshost.exceptions import RemoteError
from jshost.protocol import values
from jshost.server.http.handler import Responder
from jshost.server.http.request import IncomingRequest
from jshost.server.http.responses import Header, content_type_of

__all__ = ["CacheScope", "CachingSender", "ResultTag"]

_TAG = re.compile(rb'"([0-9a-f]{40})-([0-9a-f]+)-([0-9a-f]{1,12})"')


class CacheScope(NamedTuple):
    """Which caches may share a result.

    Attributes:
        visibility: b"public, " if shared caches may keep it, else b"".
        vary: the request headers that select another response.
    """

    visibility: bytes
    vary: bytes

    @classmethod
    def of(cls, has_token: bool, has_origins: bool) -> CacheScope:
        """With a token, only its holder may have the result (RFC 9111, section 3.5)."""
        vary = b"accept"  # a stream is another response
        vary += b", authorization" if has_token else b""
        vary += b", origin" if has_origins else b""
        return cls(b"" if has_token else b"public, ", vary)


class ResultTag(NamedTuple):
    """An ETag: `arguments` is their SHA-1, `code` the fingerprint of the code that gave the result,
    `made_at_s` when it did, in seconds since the epoch."""

    arguments: bytes
    code: bytes
    made_at_s: int

    def header(self) -> bytes:
        """The value of the ETag header."""
        return b'W/"%s-%s-%x"' % self

    @staticmethod
    def all_in(if_none_match: bytes) -> list[ResultTag]:
        """The tags in an If-None-Match header that a host could have made."""
        found = _TAG.findall(if_none_match)
        return [ResultTag(arguments, code, int(made_at, 16)) for arguments, code, made_at in found]

    def fresh_s(self, max_age_s: int, now_s: int) -> int:
        """For how many seconds the result is still valid; 0 if it is not, or is from the future."""
        return max(self.made_at_s + max_age_s - now_s, 0) if self.made_at_s <= now_s else 0


class CodeVersion(Protocol):
    """A pool, as far as caching needs it.

    Attributes:
        fingerprint: names the code of its workers; "" while they run different versions.
    """

    @property
    def fingerprint(self) -> str: ...


class CachingSender:
    """Sends the result of a cacheable function, with the headers for caches.

    Args:
        connection: sends the response.
        request: its URL has the arguments or their hash.
        pool: knows the version of the code that answers.
        max_age_s: how old a result may be.
        scope: which caches may keep it.
    """

    __slots__ = ("_connection", "_hash", "_max_age_s", "_pool", "_request", "_scope")

    def __init__(
        self,
        connection: Responder,
        request: IncomingRequest,
        pool: CodeVersion,
        max_age_s: int,
        scope: CacheScope,
    ) -> None:
        self._connection = connection
        self._request = request
        self._pool = pool
        self._max_age_s = max_age_s
        self._scope = scope
        self._hash = values.body_hash(request.body).encode()

    def send_unchanged(self) -> bool:
        """Send 304 if the caller's cached result is still valid; returns whether it is."""
        given = self._request.headers.if_none_match
        code, now_s = self._pool.fingerprint.encode(), int(time.time())
        if not given or not code:
            return False
        for tag in ResultTag.all_in(given):
            rest_s = tag.fresh_s(self._max_age_s, now_s)
            if (tag.arguments, tag.code) == (self._hash, code) and rest_s:
                self._connection.send_response(304, self._caching(rest_s, tag), b"")
                return True
        return False

    def send_result(self, payload: bytes) -> None:
        headers: list[Header] = [
            (b"content-type", content_type_of(payload)),
            (b"content-length", b"%d" % (len(payload) - 1)),
        ]
        code = self._pool.fingerprint.encode()
        if code:
            tag = ResultTag(self._hash, code, int(time.time()))
            headers += self._caching(self._max_age_s, tag)
        else:  # some workers run old code, some new: which one answered is not known
            headers += self._common(b"no-store")
        self._connection.send_response(200, headers, payload[1:])

    def send_error(self, error: RemoteError) -> None:
        self._connection.send_error(error)

    def _caching(self, rest_s: int, tag: ResultTag) -> list[Header]:
        return [
            *self._common(b"%smax-age=%d" % (self._scope.visibility, rest_s)),
            (b"etag", tag.header()),
            (b"vary", self._scope.vary),
        ]

    def _common(self, cache_control: bytes) -> list[Header]:
        return [
            (b"cache-control", cache_control),
            (b"x-content-type-options", b"nosniff"),
            (b"x-request-id", self._request.request_id.encode()),
        ]
