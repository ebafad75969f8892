"""HTTP in front of a service. Runs in: host.

`POST /function/<name>` is answered by plain ASGI, because every microsecond of it is a caller's;
the other paths are a Starlette application.
"""

from __future__ import annotations

import logging
import os
import time
import uuid
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from jshost.exceptions import RemoteError, from_envelope
from jshost.server.requests import Headers, check_hash, is_allowed_host, too_large
from jshost.server.responses import (
    LARGE_BYTES,
    RETRY_AFTER_S,
    Send,
    error_response,
    send_error,
    send_result,
)
from jshost.server.service import Service

__all__ = ["App"]

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]

logger = logging.getLogger("jshost.access")

FUNCTION_PREFIX = "/function/"


class ClientGone(Exception):
    """The caller closed its connection before its request was whole."""


class App:
    """The host's ASGI application."""

    def __init__(self, service: Service, version: str) -> None:
        self._service = service
        self._version = version
        self._started_at = time.time()
        self.draining = False
        self._known_hosts: set[bytes] = set()
        self._request_ids = _request_ids()
        self._pages = Starlette(
            routes=[
                Route("/status", self._status),
                Route("/health", self._health),
                Route("/ready", self._ready),
            ],
            exception_handlers={404: self._page_error, 405: self._page_error},
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise NotImplementedError(f"jshost does not speak {scope['type']}")
        path: str = scope["path"]
        headers = Headers(scope["headers"])
        request_id = headers.request_id or next(self._request_ids)
        name = path[len(FUNCTION_PREFIX) :] if path.startswith(FUNCTION_PREFIX) else None
        began = time.monotonic()
        try:
            self._admit(headers)
            if name is None:
                await self._pages(scope, receive, send)
                return
            payload = await self._call(name, scope, headers, request_id, receive)
        except RemoteError as error:
            error.name = error.name or name
            error.request_id = request_id
            status = error.status
            await send_error(send, error, headers.wants_json)
        except ClientGone:
            status = 499  # nginx's number for it; nobody reads it but the log
        else:
            status = 200
            connection = scope.get("jshost.connection")
            if connection is None or len(payload) >= LARGE_BYTES:
                await send_result(send, payload, request_id)
            else:
                connection.corked.cork()
                try:
                    await send_result(send, payload, request_id)
                finally:
                    connection.corked.uncork()
        if logger.isEnabledFor(logging.INFO):
            spent_ms = (time.monotonic() - began) * 1000
            asked = scope["raw_path"].decode("latin-1")  # as sent: an escaped line end stays one
            logger.info("%s %s %d %.1f ms %s", scope["method"], asked, status, spent_ms, request_id)

    # Calls

    async def _call(
        self, name: str, scope: Scope, headers: Headers, request_id: str, receive: Receive
    ) -> bytes:
        """A call's RESULT payload.

        Raises:
            RemoteError: what the caller must be told instead.
            ClientGone: there is no caller any more.
        """
        if scope["method"] != "POST":
            raise from_envelope(
                {"code": "method_not_allowed", "message": f"Use POST, not {scope['method']}"}
            )
        if self._service.reloader is not None:
            await self._service.reloader.fresh()
            if self._service.problem:
                raise from_envelope({"code": "load_failed", "message": self._service.problem})
        route = self._service.routes.get(name)
        if route is None:
            message = f'Not found. Unknown function "{name}"'
            raise from_envelope({"code": "unknown_function", "message": message})
        if self.draining:
            message = "the host is stopping and takes no more calls"
            raise from_envelope({"code": "draining", "message": message})
        body = await self._read_body(headers, receive)
        if scope["query_string"]:
            check_hash(scope["query_string"], body)
        timeout_s = headers.timeout_s()
        if route.timeout_s is not None:
            timeout_s = route.timeout_s if timeout_s is None else min(timeout_s, route.timeout_s)
        pool = route.pool
        pending = pool.call(name, body, timeout_s, request_id)
        connection = scope.get("jshost.connection")
        if connection is None:
            return await pending.answer
        connection.on_lost = lambda: pool.cancel(pending)
        try:
            return await pending.answer
        except BaseException as error:
            if pending.answer.cancelled():
                raise ClientGone from error
            raise
        finally:
            connection.on_lost = None

    async def _read_body(self, headers: Headers, receive: Receive) -> bytes:
        limit = self._service.options.request_data_limit
        if headers.content_length > limit:
            raise too_large(headers.content_length, limit)
        message = await receive()
        body: bytes = message.get("body", b"")
        if message.get("more_body"):
            chunks, size = [body], len(body)
            while message.get("more_body"):
                message = await receive()
                chunks.append(message.get("body", b""))
                size += len(chunks[-1])
                if size > limit:
                    raise too_large(size, limit)
            body = b"".join(chunks)
        if message["type"] == "http.disconnect":
            raise ClientGone
        if len(body) > limit:
            raise too_large(len(body), limit)
        if body or headers.content_type:
            headers.require_json()
        return body

    # Who may ask

    def _admit(self, headers: Headers) -> None:
        """Refuse a foreign web page: by its Origin, or by the name that it rebound to us."""
        options = self._service.options
        if headers.origin and headers.origin.decode("latin-1") not in options.allowed_origins:
            message = (
                f"The origin {headers.origin.decode('latin-1')!r} may not call this host. "
                "List it in the option allowedOrigins if it should."
            )
            raise from_envelope({"code": "origin_not_allowed", "message": message})
        if headers.host not in self._known_hosts:
            name = headers.host.decode("latin-1")
            if not is_allowed_host(name, options):
                message = (
                    f"The Host header {name!r} is not one of this host's names. List it in the "
                    "option allowedHosts if it is."
                )
                raise from_envelope({"code": "host_not_allowed", "message": message})
            if len(self._known_hosts) < 100:
                self._known_hosts.add(headers.host)

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
            "workers": self._service.workers(),
        }

    async def _status(self, request: Request) -> Response:
        return JSONResponse(self.status(), headers={"Cache-Control": "no-store"})

    async def _health(self, request: Request) -> Response:
        return PlainTextResponse("ok\n", headers={"Cache-Control": "no-store"})

    async def _ready(self, request: Request) -> Response:
        headers = {"Cache-Control": "no-store"}
        if self._service.ready and not self.draining:
            return PlainTextResponse("ready\n", headers=headers)
        state = "draining" if self.draining else "starting"
        headers["Retry-After"] = str(RETRY_AFTER_S)
        return PlainTextResponse(f"{state}\n", 503, headers)

    async def _page_error(self, request: Request, error: Exception) -> Response:
        status = getattr(error, "status_code", 404)
        code = "method_not_allowed" if status == 405 else "not_found"
        message = (
            f"Use GET, not {request.method}"
            if status == 405
            else f"Not found. There are /function/<name>, /status, /health and /ready, not "
            f"{request.url.path}"
        )
        problem = from_envelope({"code": code, "message": message})
        wants_json = Headers(request.scope["headers"]).wants_json
        _, headers, body = error_response(problem, wants_json)
        return Response(body, status, {name.decode(): value.decode() for name, value in headers})


def _request_ids() -> Any:
    """Short ids, unique for this process: counting is twenty times cheaper than uuid4."""
    prefix, number = uuid.uuid4().hex[:8], 0
    while True:
        number += 1
        yield f"{prefix}-{number:x}"
