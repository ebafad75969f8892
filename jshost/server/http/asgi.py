"""Requests that an ASGI application answers. Runs in: host."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from jshost.exceptions import RemoteError
from jshost.server.http.handler import Responder
from jshost.server.http.request import IncomingRequest

__all__ = ["AsgiExchange"]

Message = MutableMapping[str, Any]
Application = Callable[
    [Message, Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]],
    Awaitable[None],
]


class AsgiExchange:
    """A request answered by an ASGI application, with one small response (ASGI 3.0, HTTP 2.3)."""

    def __init__(
        self, application: Application, request: IncomingRequest, connection: Responder
    ) -> None:
        self._request = request
        self._connection = connection
        self._request_id = request.request_id.encode()
        self._status = 500
        self._headers: list[tuple[bytes, bytes]] = []
        self._body: list[bytes] = []
        self._task = asyncio.get_running_loop().create_task(self._run(application))

    def abandon(self) -> None:
        self._task.cancel()

    def resume(self) -> None:
        pass

    async def _run(self, application: Application) -> None:
        head = self._request.head
        scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": head.method,
            "scheme": "http",
            "path": head.path,
            "raw_path": head.target.partition(b"?")[0],
            "query_string": head.query,
            "root_path": "",
            "headers": head.raw_headers,
            "client": None,
            "server": None,
        }
        try:
            await application(scope, self._receive, self._send)
        except Exception as error:
            logging.getLogger("jshost.host").exception("%s failed", head.path)
            self._connection.send_error(RemoteError(f"a bug in the host: {error}"))

    async def _receive(self) -> Message:
        return {"type": "http.request", "body": self._request.body, "more_body": False}

    async def _send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._status = message["status"]
            self._headers = [*message.get("headers", ()), (b"x-request-id", self._request_id)]
            if b"x-content-type-options" not in dict(self._headers):
                self._headers.append((b"x-content-type-options", b"nosniff"))
            return
        self._body.append(message.get("body", b""))
        if not message.get("more_body"):
            self._connection.send_response(self._status, self._headers, b"".join(self._body))
