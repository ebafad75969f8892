"""The manager's endpoints. Runs in: manager.

Only who can read the state file knows the token; a web page does not get past its Origin or the
name in its Host header either.
"""

from __future__ import annotations

import contextlib
import hmac
import os
import time
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from jshost.exceptions import ConfigError, JSHostError

from .hosts import Launch
from .keeper import Keeper, Leaving
from .ledger_actions import Holder

__all__ = ["make_app", "make_server"]

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]

BODY_LIMIT_BYTES = 4 * 1024 * 1024
"""An environment is in the body of a start."""


class BadRequest(JSHostError):
    """A request that is not made as it must be."""


def make_app(keeper: Keeper, token: str, version: str) -> ASGIApp:
    """The application, with every path behind the token."""
    pages = Pages(keeper, version)
    routes = [
        Route("/status", pages.status),
        *(
            Route(path, page, methods=["POST"])
            for path, page in {
                "/manager/stop": pages.stop_manager,
                "/host/start": pages.start,
                "/host/stop": pages.stop,
                "/host/restart": pages.restart,
                "/host/status": pages.host_status,
                "/host/connect": pages.connect,
                "/host/disconnect": pages.disconnect,
            }.items()
        ),
    ]
    handlers: dict[Any, Any] = {
        ConfigError: lambda request, error: _error(422, "config", error),
        Leaving: lambda request, error: _error(503, "leaving", error),
        BadRequest: lambda request, error: _error(400, "bad_request", error),
        ClientDisconnect: lambda request, error: Response(status_code=400),
        JSHostError: lambda request, error: _error(502, "process", error),
    }
    return _guarded(Starlette(routes=routes, exception_handlers=handlers), token)


class Server(uvicorn.Server):
    """A server whose process handles its signals itself."""

    def capture_signals(self) -> Any:
        return contextlib.nullcontext()


def make_server(app: ASGIApp) -> Server:
    """A uvicorn server for the application, on a listener that the caller opens."""
    config = uvicorn.Config(
        app,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        timeout_graceful_shutdown=1,
    )
    return Server(config)


class Pages:
    """The endpoints; all but `/status` and `/manager/stop` take ``{"config": absolute path}``."""

    def __init__(self, keeper: Keeper, version: str) -> None:
        self._keeper = keeper
        self._version = version
        self._started_at = time.time()

    async def status(self, request: Request) -> Response:
        return JSONResponse(
            {
                "type": "Manager",
                "version": self._version,
                "pid": os.getpid(),
                "uptime": round(time.time() - self._started_at, 3),
                "hosts": self._keeper.describe(),
            }
        )

    async def stop_manager(self, request: Request) -> Response:
        await self._keeper.stop_all()
        return JSONResponse({"stopped": True})

    async def start(self, request: Request) -> Response:
        return JSONResponse(await self._keeper.connect(_launch(await _body(request)), None))

    async def connect(self, request: Request) -> Response:
        body = await _body(request)
        return JSONResponse(await self._keeper.connect(_launch(body), _holder(body)))

    async def disconnect(self, request: Request) -> Response:
        body = await _body(request)
        self._keeper.disconnect(_config(body), _holder(body))
        return JSONResponse({"disconnected": True})

    async def stop(self, request: Request) -> Response:
        await self._keeper.stop(_config(await _body(request)))
        return JSONResponse({"stopped": True})

    async def restart(self, request: Request) -> Response:
        return JSONResponse(await self._keeper.restart(_launch(await _body(request))))

    async def host_status(self, request: Request) -> Response:
        config = _config(await _body(request))
        hosts = [host for host in self._keeper.describe() if host["config"] == config]
        return JSONResponse({"running": bool(hosts), "host": hosts[0] if hosts else None})


def _guarded(app: ASGIApp, token: str) -> ASGIApp:
    expected = f"Bearer {token}".encode()

    async def guard(scope: Scope, receive: Receive, send: Send) -> None:
        headers = dict(scope.get("headers", []))
        host = headers.get(b"host", b"").decode("latin-1").rpartition(":")[0]
        if headers.get(b"origin") or host not in ("127.0.0.1", "localhost"):
            refusal = _error(403, "forbidden", BadRequest("The manager answers no web pages."))
            await refusal(scope, receive, send)
        elif not hmac.compare_digest(headers.get(b"authorization", b""), expected):
            refusal = _error(401, "no_token", BadRequest("The token is missing or wrong."))
            await refusal(scope, receive, send)
        else:
            await app(scope, receive, send)

    return guard


def _error(status: int, code: str, error: Exception) -> JSONResponse:
    return JSONResponse({"code": code, "message": str(error)}, status)


async def _body(request: Request) -> dict[str, Any]:
    if int(request.headers.get("content-length", "0")) > BODY_LIMIT_BYTES:
        raise BadRequest("The body is too large.")
    try:
        body = await request.json()
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise BadRequest("The body must be a JSON object.")
    return body


def _config(body: dict[str, Any]) -> str:
    config = body.get("config")
    if not isinstance(config, str) or not Path(config).is_absolute():
        raise BadRequest('"config" must be the absolute path of a config file.')
    return config


def _holder(body: dict[str, Any]) -> Holder:
    pid, started_at = body.get("pid"), body.get("started_at")
    if not isinstance(pid, int) or pid <= 0 or not isinstance(started_at, int | float):
        raise BadRequest('"pid" and "started_at" must name the client\'s process.')
    return Holder(pid, float(started_at))


def _launch(body: dict[str, Any]) -> Launch:
    values = [body.get(name) for name in ("python", "folder", "logfile")]
    environment, node = body.get("environment"), body.get("node")
    if not all(isinstance(value, str) for value in values) or not isinstance(environment, dict):
        raise BadRequest('"python", "folder", "logfile" and "environment" say how to start a host.')
    python, folder, logfile = map(str, values)
    reload = body.get("reload") is True
    return Launch(_config(body), python, environment, folder, node, logfile, reload)
