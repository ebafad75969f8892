"""What the host answers to a request. Runs in: host.

Calls go straight to a pool; the other paths are a Starlette application.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request as PageRequest
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from jshost.exceptions import RemoteError, RequestError, from_envelope
from jshost.pool.batch import Batch
from jshost.protocol.multipart import decode_runs
from jshost.server.http.access_control import AccessControl, is_preflight, preflight_headers
from jshost.server.http.access_log import REFUSALS, log_refusal
from jshost.server.http.asgi import AsgiExchange
from jshost.server.http.caching import CacheableExchange, CacheScope
from jshost.server.http.connection import Exchange, ServerConnection
from jshost.server.http.exchanges import BatchExchange, CallExchange, StreamExchange
from jshost.server.http.known_heads import KnownHeads
from jshost.server.http.request import (
    Headers,
    IncomingRequest,
    KnownCall,
    check_hash,
    data_of,
)
from jshost.server.http.responses import RETRY_AFTER_S, error_parts
from jshost.server.metrics import HostMetrics
from jshost.server.service import Route as FunctionRoute
from jshost.server.service import Service

__all__ = ["App"]

FUNCTION_PREFIX = "/function/"
BATCH_PATH = "/batch"
NO_STORE = {"Cache-Control": "no-store"}
PAGE_BODY_BYTES = 64 * 1024


class App:
    """The host's answers; a `connection.Handler`."""

    def __init__(self, service: Service, version: str, token: str = "") -> None:
        self._token = token
        self.metrics = HostMetrics(version)
        self.use(service)
        self._version = version
        self._started_at = time.time()
        self.draining = False
        """Whether we are stopping: each answer is its connection's last. Calls that come until the
        pools refuse them are run, for a proxy may not ask another host once it has sent one."""
        self.reload_status: Callable[[], dict[str, Any]] = dict
        self._request_ids = _request_ids()
        self._soon = asyncio.get_running_loop().call_soon
        self._pages = Starlette(
            routes=[
                Route("/status", self._status),
                Route("/health", self._health),
                Route("/ready", self._ready),
                Route("/metrics", self._metrics),
            ],
            exception_handlers={404: self._page_error, 405: self._page_error},
        )

    def use(self, service: Service) -> None:
        """Hand calls to these pools from now on, by their options."""
        self._service = service
        self.known_heads = KnownHeads()
        for pool in service.pools:
            pool.calls.statistics = self.metrics.statistics
        self._gate = AccessControl(service.options, self._token, self.metrics.refused)
        self.conceal = self._gate.conceal
        self._kept = CacheScope.of(bool(self._token), bool(service.options.allowed_origins))

    # connection.Handler

    def count_refusal(self, status: int) -> None:
        self.metrics.refused[REFUSALS[status]] += 1
        log_refusal(status)

    def recognize(self, data: bytes) -> IncomingRequest | None:
        """The request in `data`, if one with the same head has been admitted before."""
        request = self.known_heads.recognize(data)
        if request is not None:
            request.request_id = next(self._request_ids)
        return request

    def admit(self, request: IncomingRequest) -> int:
        """Refuse what is refused whatever its body says; returns the limit of the body.

        Of `known_heads` it is asked once: what it says must depend on the head and the options
        only, but for what `begin` looks at, too.
        """
        if not request.request_id:
            request.request_id = next(self._request_ids)
        self._gate.check(request)
        if is_preflight(request):
            return PAGE_BODY_BYTES
        path = request.head.path
        if path.startswith(FUNCTION_PREFIX):
            name = path[len(FUNCTION_PREFIX) :]
            if self._service.reloader is None:
                self._check_call(request, name)
        elif path == BATCH_PATH:
            self._check_call(request, None)
        else:
            return PAGE_BODY_BYTES
        return self._service.options.request_data_limit

    def begin(self, request: IncomingRequest, connection: ServerConnection) -> Exchange | None:
        if self.draining:
            request.keep_alive = False
        call = request.call
        if call is not None and self._service.reloader is None:
            return self._begin_call(request, call, connection)
        if is_preflight(request):
            connection.send_response(204, preflight_headers(request), b"")
            return None
        path = request.head.path
        if path.startswith(FUNCTION_PREFIX):
            name: str | None = path[len(FUNCTION_PREFIX) :]
        elif path == BATCH_PATH:
            name = None
        else:
            return AsgiExchange(self._pages, request, connection)
        if self._service.reloader is not None:
            return Freshening(self, request, name, connection)
        return self.begin_calls(request, name, connection)

    # Calls

    def begin_calls(
        self, request: IncomingRequest, name: str | None, connection: ServerConnection
    ) -> Exchange | None:
        """Hand a request's call, or its batch of calls (name None), to the pools."""
        if request.call is not None:
            return self._begin_call(request, request.call, connection)
        headers = request.headers
        content_type: str | None = None
        is_addressed = request.head.method != "POST"
        if is_addressed:
            request.body = data_of(request.head.query)
        elif request.body or headers.content_type:
            content_type = headers.arguments_type()
        if request.head.query:
            is_addressed |= check_hash(request.head.query, request.body)
        timeout_s = headers.timeout_s()
        if name is None:
            return self._begin_batch(request, content_type, timeout_s, connection)
        limit = self._service.options.request_data_limit
        wants_stream = headers.wants_stream and request.head.method != "HEAD"
        call = KnownCall(name, content_type, timeout_s, limit, wants_stream, is_addressed)
        self._gate.check(request)  # again, where the options are others than `admit` knew
        self.known_heads.learn(request, call)
        return self._begin_call(request, call, connection)

    def _begin_call(
        self, request: IncomingRequest, call: KnownCall, connection: ServerConnection
    ) -> Exchange | None:
        name, content_type, timeout_s, _, wants_stream, is_addressed = call
        route = self._service.routes.get(name) or self._route(name)
        pool, request_id = route.pool, request.request_id
        exchange: CallExchange | StreamExchange
        if wants_stream:
            exchange = StreamExchange(connection, pool, request_id, request.keep_alive, self._soon)
        elif is_addressed and name in pool.max_ages:
            max_age_s = pool.max_ages[name]
            exchange = CacheableExchange(connection, pool, request, max_age_s, self._kept)
            if exchange.answer_unchanged():
                self.metrics.statistics[name].others["not_modified"] += 1
                return None
        else:
            exchange = CallExchange(connection, pool)
        exchange.pending = pool.call(
            name,
            request.body,
            route.limit_s(timeout_s),
            request_id,
            exchange,
            content_type,
            wants_stream,
            request.headers.traceparent,
        )
        return exchange

    def _begin_batch(
        self,
        request: IncomingRequest,
        content_type: str | None,
        timeout_s: float | None,
        connection: ServerConnection,
    ) -> Exchange:
        headers = request.headers
        try:
            kind = content_type or headers.content_type.decode("latin-1")
            runs = decode_runs(kind, request.body)
        except ValueError as error:
            message = (
                f"A batch is multipart/form-data, one part for each call, named by its function: "
                f"{error}"
            )
            raise from_envelope({"code": "bad_request", "message": message}) from error
        request_id, traceparent = request.request_id, headers.traceparent
        return BatchExchange(
            connection,
            request_id,
            lambda tell: Batch(runs, self._route, request_id, timeout_s, traceparent, tell),
        )

    def _check_call(self, request: IncomingRequest, name: str | None) -> None:
        """Raises: RemoteError: a method that is not for this, or no such function."""
        method = request.head.method
        if method == "POST" and name is None:
            return
        is_cacheable = name is not None and name in self._route(name).pool.max_ages
        if method != "POST" and not (is_cacheable and method in ("GET", "HEAD")):
            raise _method_refusal(method, "GET, HEAD, POST" if is_cacheable else "POST", name)

    def _route(self, name: str) -> FunctionRoute:
        route = self._service.routes.get(name)
        if route is None:
            message = f'Not found. Unknown function "{name}"'
            raise from_envelope({"code": "unknown_function", "message": message}, name=name)
        return route

    async def freshen(self, request: IncomingRequest, name: str | None) -> None:
        """With --reload: return once the code is as the files are now.

        Raises:
            RemoteError: it does not load, or the call is refused.
        """
        assert self._service.reloader is not None
        await self._service.reloader.fresh()
        if self._service.problem:
            message = self._service.problem
            raise from_envelope({"code": "load_failed", "message": message}, name=name)
        self._check_call(request, name)

    # Pages

    def status(self) -> dict[str, Any]:
        """What `/status` answers."""
        return {
            "type": "Host",
            "version": self._version,
            "config": self._service.describe(),
            "pid": os.getpid(),
            "ready": self._service.ready and not self.draining,
            "uptime": round(time.time() - self._started_at, 3),
            "queued": self._service.queued,
            "workers": self._service.workers(),
            "reload": self.reload_status(),
        }

    async def _status(self, request: PageRequest) -> Response:
        return JSONResponse(self.status(), headers=NO_STORE)

    async def _health(self, request: PageRequest) -> Response:
        return PlainTextResponse("ok\n", headers=NO_STORE)

    async def _ready(self, request: PageRequest) -> Response:
        if self._service.ready and not self.draining:
            return PlainTextResponse("ready\n", headers=NO_STORE)
        state = "draining" if self.draining else "starting"
        return PlainTextResponse(f"{state}\n", 503, {**NO_STORE, "Retry-After": str(RETRY_AFTER_S)})

    async def _metrics(self, request: PageRequest) -> Response:
        if request.scope["raw_path"] != b"/metrics":  # what proxies look at, who keep callers off
            raise HTTPException(404)
        body, content_type = await self.metrics.page(self._service)
        return Response(body, headers={**NO_STORE, "Content-Type": content_type})

    async def _page_error(self, request: PageRequest, error: Exception) -> Response:
        status = getattr(error, "status_code", 404)
        problem: RemoteError
        if status == 405:
            problem = _method_refusal(request.method, "GET, HEAD")
        else:
            message = (
                f"Not found. There are /function/<name>, /batch, /status, /metrics, /health and "
                f"/ready, not {request.url.path}"
            )
            problem = from_envelope({"code": "not_found", "message": message})
        self.metrics.refused[problem.code] += 1
        wants_json = Headers(request.scope["headers"]).wants_json
        _, headers, body = error_parts(problem, wants_json)
        return Response(body, status, {name.decode(): value.decode() for name, value in headers})


class Freshening:
    """With --reload: a request that waits until the code is as its files are now."""

    def __init__(
        self, app: App, request: IncomingRequest, name: str | None, connection: ServerConnection
    ) -> None:
        self._app = app
        self._request = request
        self._name = name
        self._connection = connection
        self._exchange: Exchange | None = None
        self._task = asyncio.get_running_loop().create_task(self._run())

    def abandon(self) -> None:
        self._task.cancel()
        if self._exchange is not None:
            self._exchange.abandon()

    def resume(self) -> None:
        if self._exchange is not None:
            self._exchange.resume()

    async def _run(self) -> None:
        try:
            await self._app.freshen(self._request, self._name)
            self._exchange = self._app.begin_calls(self._request, self._name, self._connection)
        except RemoteError as error:
            self._connection.send_error(error)
        except Exception as error:
            logging.getLogger("jshost.host").exception("a request could not be answered")
            self._connection.send_error(RemoteError(f"a mistake in the host itself: {error}"))


def _method_refusal(method: str, allowed: str, name: str | None = None) -> RequestError:
    message = f"Use {allowed.replace(', ', ' or ')}, not {method}"
    error = RequestError(message, code="method_not_allowed", name=name)
    error.allow = allowed
    return error


def _request_ids() -> Iterator[str]:
    """Short ids, unique for this process: counting is twenty times cheaper than uuid4."""
    prefix, number = uuid.uuid4().hex[:8], 0
    while True:
        number += 1
        yield f"{prefix}-{number:x}"
