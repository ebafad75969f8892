"""A host's service without workers, and a connection without a socket."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from jshost.exceptions import RemoteError, from_envelope
from jshost.pool.options import HostOptions
from jshost.pool.pending_call import Caller, PendingCall
from jshost.pool.registry import Route
from jshost.pool.statistics import Statistics
from jshost.protocol.values import body_hash
from jshost.server.http.request import IncomingRequest, RequestHead
from jshost.server.http.responses import Header


@dataclass
class FakeCall:
    """A call that a pool was given."""

    pending: PendingCall
    body: bytes
    content_type: str | None
    stream: bool
    traceparent: str

    @property
    def caller(self) -> Caller:
        return self.pending.caller


class FakePool:
    """Takes calls; the test answers them."""

    def __init__(self, **max_ages: int) -> None:
        self.calls = SimpleNamespace(statistics=None, in_flight=Counter)
        self.max_ages = max_ages
        self.fingerprint = "abc123"
        self.begun: list[FakeCall] = []
        self.cancelled: list[PendingCall] = []
        self.credits: list[int] = []
        self.refusal: RemoteError | None = None

    def call(
        self,
        name: str,
        body: bytes,
        timeout_s: float | None,
        request_id: str,
        caller: Caller,
        content_type: str | None = None,
        stream: bool = False,
        traceparent: str = "",
    ) -> PendingCall:
        if self.refusal is not None:
            raise self.refusal
        pending = PendingCall(len(self.begun), name, b"", timeout_s, request_id, 0.0, caller)
        self.begun.append(FakeCall(pending, body, content_type, stream, traceparent))
        return pending

    def call_many(
        self,
        name: str,
        bodies: list[bytes],
        timeout_s: float | None,
        request_id: str,
        callers: list[Caller],
        content_type: str | None = None,
        traceparent: str = "",
    ) -> tuple[list[PendingCall], RemoteError | None]:
        pairs = zip(bodies, callers, strict=True)
        return [
            self.call(name, body, timeout_s, request_id, caller, content_type)
            for body, caller in pairs
        ], None

    def cancel(self, pending: PendingCall) -> None:
        self.cancelled.append(pending)

    def credit(self, pending: PendingCall, size: int) -> None:
        self.credits.append(size)


class FakeRegistry:
    """Functions by name, all in one pool."""

    def __init__(self, pool: FakePool, options: HostOptions, *names: str) -> None:
        self.config_file = Path("/app/host.config.py")
        self.options = options
        self.pools: list[Any] = [pool]
        self.routes = {name: Route(name, pool, None) for name in names}  # type: ignore[arg-type]
        self.loaded: list[Any] = []
        self.ready = True
        self.idle = True
        self.queued = 0
        self.problem = ""

    def route(self, name: str) -> Route:
        if name not in self.routes:
            raise from_envelope({"code": "unknown_function", "message": "unknown"}, name=name)
        return self.routes[name]

    def describe(self) -> dict[str, Any]:
        return {"functions": sorted(self.routes)}


class FakeReloader:
    """Counts how often calls have waited for the files."""

    def __init__(self) -> None:
        self.waits = 0

    async def fresh(self) -> None:
        self.waits += 1


@dataclass
class FakeService:
    """What an `App` serves."""

    registry: FakeRegistry
    reloader: FakeReloader | None = None
    older: list[Any] = field(default_factory=list)

    @classmethod
    def of(cls, pool: FakePool, *names: str, **options: Any) -> FakeService:
        return cls(FakeRegistry(pool, HostOptions(**options), *names))

    def workers(self) -> list[dict[str, Any]]:
        return []


class FakeResponder:
    """A connection that keeps what it is told to send."""

    def __init__(self) -> None:
        self.is_full = False
        self.origin = b""
        self.results: list[bytes] = []
        self.errors: list[RemoteError] = []
        self.responses: list[tuple[int, dict[bytes, bytes], bytes]] = []
        self.written: list[bytes] = []
        self.finished: list[int] = []

    def send_result(self, payload: bytes) -> None:
        self.results.append(payload)

    def send_error(self, error: RemoteError) -> None:
        self.errors.append(error)

    def send_response(self, status: int, headers: list[Header], body: bytes) -> None:
        self.responses.append((status, dict(headers), body))

    def write(self, data: bytes) -> None:
        self.written.append(data)

    def finish(self, status: int) -> None:
        self.finished.append(status)

    def redact(self, error: RemoteError, request_id: str) -> RemoteError:
        error.request_id = request_id
        return error


def request_of(
    method: str = "POST",
    target: bytes = b"/function/f",
    body: bytes = b"",
    hashed: bool = False,
    **headers: bytes,
) -> IncomingRequest:
    """A request; header names are written with underscores."""
    if hashed:
        target += b"?hash=" + body_hash(body).encode()
    if body and "content_type" not in headers:
        headers["content_type"] = b"application/json"
    headers.setdefault("host", b"localhost")
    pairs = [(name.replace("_", "-").encode(), value) for name, value in headers.items()]
    return IncomingRequest(RequestHead(method, target, pairs, True), body=body)


def statistics_of(name: str) -> Statistics:
    """Statistics with two calls of the function, one of which has failed."""
    statistics = Statistics()
    statistics[name].succeeded(0.002)
    statistics[name].failed(math.pi, "function_failed")
    return statistics
