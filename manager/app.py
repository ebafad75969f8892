"""The manager's HTTP endpoints. Runs in: manager.

The token is in the state file, which only this user can read. Web pages are refused by their Origin
or by the name in their Host header.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import json
import os
import time
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any, TypeGuard

import uvicorn
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from jshost.exceptions import ConfigError, JSHostError

from .host_process import HostLaunch
from .managed_host import Holder
from .supervisor import Leaving, Supervisor

__all__ = ["make_app", "make_server"]

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]

BODY_LIMIT_BYTES = 4 * 1024 * 1024
"""The body of a start holds an environment."""
MAX_TIME_S = 1e12


class BadRequest(JSHostError):
    """A malformed request."""


class TooLarge(BadRequest):
    """A body over the limit; the rest of it is not read."""

    def __str__(self) -> str:
        return f"The body is too large: the limit is {BODY_LIMIT_BYTES} bytes."


def make_app(supervisor: Supervisor, token: str, version: str) -> ASGIApp:
    """The ASGI application; every path needs the token."""
    pages = Endpoints(supervisor, version)
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


class ManagerServer(uvicorn.Server):
    """A uvicorn server that leaves signals to its process, and sleeps between requests."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._over = asyncio.Event()

    def leave(self) -> None:
        """Close the listener and the connections, then end."""
        self.should_exit = True
        self._over.set()

    async def main_loop(self) -> None:
        """Wait for `leave`; uvicorn's own loop looks ten times a second."""
        await self.on_tick(0)  # it also sets the default headers
        await self._over.wait()

    def capture_signals(self) -> Any:
        return contextlib.nullcontext()


def make_server(app: ASGIApp) -> ManagerServer:
    """A uvicorn server for the application; the caller opens its socket."""
    config = uvicorn.Config(
        app,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        date_header=False,  # uvicorn would set it once only
        proxy_headers=False,
        timeout_graceful_shutdown=1,
    )
    return ManagerServer(config)


class Endpoints:
    """The endpoints; all but `/status` and `/manager/stop` take ``{"config": absolute path}``."""

    def __init__(self, supervisor: Supervisor, version: str) -> None:
        self._supervisor = supervisor
        self._version = version
        self._started_at = time.time()

    async def status(self, request: Request) -> Response:
        return JSONResponse(
            {
                "type": "Manager",
                "version": self._version,
                "pid": os.getpid(),
                "uptime": round(time.time() - self._started_at, 3),
                "hosts": self._supervisor.describe(),
            }
        )

    async def stop_manager(self, request: Request) -> Response:
        await self._supervisor.stop_all()
        return JSONResponse({"stopped": True})

    async def start(self, request: Request) -> Response:
        return JSONResponse(await self._supervisor.connect(_launch(await _body(request)), None))

    async def connect(self, request: Request) -> Response:
        body = await _body(request)
        return JSONResponse(await self._supervisor.connect(_launch(body), _holder(body)))

    async def disconnect(self, request: Request) -> Response:
        body = await _body(request)
        self._supervisor.disconnect(_config(body), _holder(body))
        return JSONResponse({"disconnected": True})

    async def stop(self, request: Request) -> Response:
        await self._supervisor.stop(_config(await _body(request)))
        return JSONResponse({"stopped": True})

    async def restart(self, request: Request) -> Response:
        return JSONResponse(await self._supervisor.restart(_launch(await _body(request))))

    async def host_status(self, request: Request) -> Response:
        config = _config(await _body(request))
        hosts = [host for host in self._supervisor.describe() if host["config"] == config]
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
    headers = {"Connection": "close"} if isinstance(error, TooLarge) else None
    return JSONResponse({"code": code, "message": str(error)}, status, headers)


async def _body(request: Request) -> dict[str, Any]:
    if int(request.headers.get("content-length", "0")) > BODY_LIMIT_BYTES:
        raise TooLarge
    data = b""
    async for chunk in request.stream():
        data += chunk
        if len(data) > BODY_LIMIT_BYTES:
            raise TooLarge
    try:
        body = json.loads(data)
    except (ValueError, RecursionError):
        body = None
    if not isinstance(body, dict):
        raise BadRequest("The body must be a JSON object.")
    return body


def _config(body: dict[str, Any]) -> str:
    config = body.get("config")
    if not _is_text(config) or not Path(config).is_absolute():
        raise BadRequest('"config" must be the absolute path of a config file.')
    return config


def _holder(body: dict[str, Any]) -> Holder:
    pid: Any = body.get("pid")
    started_at: Any = body.get("started_at")
    fits = isinstance(started_at, int | float) and abs(started_at) < MAX_TIME_S
    if not fits or not isinstance(pid, int) or pid <= 0:
        raise BadRequest('"pid" and "started_at" must name the client\'s process.')
    return Holder(pid, float(started_at))


def _launch(body: dict[str, Any]) -> HostLaunch:
    config, node, environment = _config(body), body.get("node"), body.get("environment")
    for name in ("python", "folder", "logfile"):
        if not _is_text(body.get(name)):
            raise BadRequest(f'"{name}" must be a string, without a NUL, to start a host.')
    if node is not None and not _is_text(node):
        raise BadRequest('"node" must be the path of a Node, without a NUL, or null.')
    if not isinstance(environment, dict):
        raise BadRequest('"environment" must be an object of the variables that the host gets.')
    for name, value in environment.items():
        if not name or "=" in name or not _is_text(name) or not _is_text(value):
            raise BadRequest(
                f'"environment": {name!r} must be a name without "=", and its value a string, '
                "both without a NUL."
            )
    python, folder, logfile = body["python"], body["folder"], body["logfile"]
    reload = body.get("reload") is True
    return HostLaunch(config, python, environment, folder, node, logfile, reload)


def _is_text(value: Any) -> TypeGuard[str]:
    """Whether the value can be an argument or an environment variable of a process."""
    if not isinstance(value, str) or "\0" in value:
        return False
    try:
        os.fsencode(value)
    except UnicodeEncodeError:
        return False
    return True
