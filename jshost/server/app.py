"""Decides how a request is answered: by a pool, by a page, or with a refusal. Runs in: host."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

from jshost.exceptions import RemoteError
from jshost.server.dispatcher import Dispatcher
from jshost.server.fresh_exchange import FreshExchange
from jshost.server.http.access_control import AccessControl, is_preflight, preflight_headers
from jshost.server.http.access_log import REFUSALS, log_refusal
from jshost.server.http.asgi import AsgiExchange
from jshost.server.http.caching import CacheScope
from jshost.server.http.handler import Exchange, Responder
from jshost.server.http.redaction import redact
from jshost.server.http.request import IncomingRequest
from jshost.server.metrics import HostMetrics
from jshost.server.pages import Pages, Readiness
from jshost.server.service import Service

__all__ = ["App"]

BATCH_PATH = "/batch"
PAGE_BODY_BYTES = 64 * 1024
BEFORE_CALLS = frozenset(
    (
        *("bad_request", "wrong_hash", "host_not_allowed", "unauthorized", "origin_not_allowed"),
        *("unknown_function", "not_found", "method_not_allowed", "body_too_large", "not_json"),
    )
)
"""The codes of requests that reach no function. `/metrics` counts them apart from calls."""


class App:
    """A host's `RequestHandler`, and the `PagesOwner` of its pages.

    Args:
        service: has the functions.
        version: jshost's.
        token: the token that callers must send; "": none.

    Attributes:
        metrics: the numbers that `/metrics` shows.
        draining: whether the host is stopping. Each answer is then its connection's last. Calls
            still run until the pools refuse them: a proxy may not repeat them elsewhere.
        reload_status: gives the part of `/status` that is about reloads.
    """

    def __init__(self, service: Service, version: str, token: str = "") -> None:
        self.metrics = HostMetrics(version)
        self.draining = False
        self.reload_status: Callable[[], dict[str, Any]] = dict
        self._token = token
        self._version = version
        self._started_at = time.time()
        self._request_ids = _request_ids()
        self._dispatcher = Dispatcher(self.metrics.statistics)
        self._pages = Pages(self).application
        self.use(service)

    def use(self, service: Service) -> None:
        """Answer with this service and its options from now on."""
        self._service = service
        self._access = AccessControl(service.registry.options, self._token)
        scope = CacheScope.of(bool(self._token), bool(service.registry.options.allowed_origins))
        self._dispatcher.use(service, self._access, scope)

    # RequestHandler

    def recognize(self, data: bytes) -> IncomingRequest | None:
        request = self._dispatcher.known_heads.recognize(data)
        if request is not None:
            request.request_id = next(self._request_ids)
        return request

    def admit(self, request: IncomingRequest) -> int:
        """See `RequestHandler`. It is not called for known heads. So its answer may depend only on
        the head and the options, or on checks that `begin` makes too."""
        if not request.request_id:
            request.request_id = next(self._request_ids)
        self._access.check(request)
        head = request.head
        if (head.function is None and head.path != BATCH_PATH) or is_preflight(request):
            return PAGE_BODY_BYTES
        if head.function is None or self._service.reloader is None:
            self._dispatcher.check(request, head.function)
        return self._service.registry.options.request_data_limit

    def begin(self, request: IncomingRequest, connection: Responder) -> Exchange | None:
        if self.draining:
            request.keep_alive = False
        call, reloads = request.call, self._service.reloader is not None
        if call is not None and not reloads:
            return self._dispatcher.begin_call(request, call, connection)
        if is_preflight(request):
            connection.send_response(204, preflight_headers(request), b"")
            return None
        head = request.head
        if head.function is None and head.path != BATCH_PATH:
            return AsgiExchange(self._pages, request, connection)
        if reloads:
            return FreshExchange(self._dispatcher, request, head.function, connection)
        return self._dispatcher.begin(request, head.function, connection)

    def redact(self, error: RemoteError, request_id: str) -> RemoteError:
        error.request_id = request_id
        if error.code in BEFORE_CALLS:
            self.metrics.refused[error.code] += 1
        return error if self._service.registry.options.expose_errors else redact(error)

    def count_refusal(self, status: int) -> None:
        self.metrics.refused[REFUSALS[status]] += 1
        log_refusal(status)

    # PagesOwner

    @property
    def readiness(self) -> Readiness:
        if self.draining:
            return Readiness.DRAINING
        return Readiness.READY if self._service.registry.ready else Readiness.STARTING

    def status(self) -> dict[str, Any]:
        """The JSON of `/status`."""
        registry = self._service.registry
        return {
            "type": "Host",
            "version": self._version,
            "config": registry.describe(),
            "pid": os.getpid(),
            "ready": self.readiness is Readiness.READY,
            "uptime": round(time.time() - self._started_at, 3),
            "queued": registry.queued,
            "workers": self._service.workers(),
            "reload": self.reload_status(),
        }

    async def metrics_text(self) -> tuple[bytes, str]:
        return await self.metrics.page(self._service)

    def count_refused(self, code: str) -> None:
        self.metrics.refused[code] += 1


def _request_ids() -> Iterator[str]:
    """Short ids, unique for this process: counting is twenty times cheaper than uuid4."""
    prefix, number = uuid.uuid4().hex[:8], 0
    while True:
        number += 1
        yield f"{prefix}-{number:x}"
