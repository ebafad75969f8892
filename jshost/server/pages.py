"""The pages of a host: /status, /health, /ready and /metrics. Runs in: host."""

from __future__ import annotations

import enum
from typing import Any, Protocol

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from jshost.exceptions import RemoteError, from_envelope
from jshost.server.dispatcher import method_refusal
from jshost.server.http.request import Headers
from jshost.server.http.responses import RETRY_AFTER_S, error_parts

__all__ = ["Pages", "PagesOwner", "Readiness"]

NO_STORE = {"Cache-Control": "no-store"}


class Readiness(enum.Enum):
    """Whether a host takes calls."""

    READY = "ready"
    STARTING = "starting"
    DRAINING = "draining"


class PagesOwner(Protocol):
    """The host that the pages show."""

    @property
    def readiness(self) -> Readiness: ...

    def status(self) -> dict[str, Any]:
        """The JSON of `/status`."""

    async def metrics_text(self) -> tuple[bytes, str]:
        """The text of `/metrics`, and its content type."""

    def count_refused(self, code: str) -> None:
        """A request was refused with the error of this code."""


class Pages:
    """The ASGI application for requests that are not calls."""

    def __init__(self, owner: PagesOwner) -> None:
        self._owner = owner
        self.application = Starlette(
            routes=[
                Route("/status", self._status),
                Route("/health", self._health),
                Route("/ready", self._ready),
                Route("/metrics", self._metrics),
            ],
            exception_handlers={404: self._error, 405: self._error},
        )

    async def _status(self, request: Request) -> Response:
        return JSONResponse(self._owner.status(), headers=NO_STORE)

    async def _health(self, request: Request) -> Response:
        return PlainTextResponse("ok\n", headers=NO_STORE)

    async def _ready(self, request: Request) -> Response:
        readiness = self._owner.readiness
        if readiness is Readiness.READY:
            return PlainTextResponse("ready\n", headers=NO_STORE)
        headers = {**NO_STORE, "Retry-After": str(RETRY_AFTER_S)}
        return PlainTextResponse(f"{readiness.value}\n", 503, headers)

    async def _metrics(self, request: Request) -> Response:
        if request.scope["raw_path"] != b"/metrics":  # proxies block the page by its exact path
            raise HTTPException(404)
        body, content_type = await self._owner.metrics_text()
        return Response(body, headers={**NO_STORE, "Content-Type": content_type})

    async def _error(self, request: Request, error: Exception) -> Response:
        status = getattr(error, "status_code", 404)
        problem: RemoteError
        if status == 405:
            problem = method_refusal(request.method, "GET, HEAD")
        else:
            message = (
                f"Not found. There are /function/<name>, /batch, /status, /metrics, /health and "
                f"/ready, not {request.url.path}"
            )
            problem = from_envelope({"code": "not_found", "message": message})
        self._owner.count_refused(problem.code)
        wants_json = Headers(request.scope["headers"]).wants_json
        _, headers, body = error_parts(problem, wants_json)
        return Response(body, status, {name.decode(): value.decode() for name, value in headers})
