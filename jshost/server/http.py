"""uvicorn, told to serve our way. Runs in: host."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any, cast

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from jshost.server.app import App

__all__ = ["make_server"]


MAX_HEAD_BYTES = 64 * 1024
"""What a request's headers may have before they are whole; a body has its own limit."""
HEAD_TOO_LARGE = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\nContent-Length: 0\r\n"
    b"Connection: close\r\n\r\n"
)


class Corked:
    """A transport that can hold writes back and send them as one.

    ASGI sends a response's head and its body apart; two writes are two system calls here, and
    often two wake-ups at the caller's end.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._held: list[bytes] | None = None
        self._write = transport.write

    def write(self, data: bytes) -> None:
        if self._held is None:
            self._write(data)
        else:
            self._held.append(data)

    def cork(self) -> None:
        self._held = []

    def uncork(self) -> None:
        held, self._held = self._held, None
        if held:
            self._write(b"".join(held))

    def close(self) -> None:
        self.uncork()
        self._transport.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


class Connection(HttpToolsProtocol):
    """One client's connection, which can tell the call in flight that the client has gone.

    ASGI's own way, awaiting `receive()` beside the call, costs a task for every call.
    """

    on_lost: Callable[[], None] | None = None
    _in_head = False
    _head_bytes = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.corked = Corked(cast(asyncio.Transport, transport))
        super().connection_made(cast(asyncio.Transport, self.corked))

    def data_received(self, data: bytes) -> None:
        self._head_bytes += len(data)
        super().data_received(data)
        if self._in_head and self._head_bytes > MAX_HEAD_BYTES:
            self.transport.write(HEAD_TOO_LARGE)
            self.transport.close()

    def on_message_begin(self) -> None:
        self._in_head, self._head_bytes = True, 0
        super().on_message_begin()
        self.scope["jshost.connection"] = self  # type: ignore[typeddict-unknown-key]

    def on_headers_complete(self) -> None:
        self._in_head = False
        super().on_headers_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        if self.on_lost is not None:
            self.on_lost()
        super().connection_lost(exc)


class Server(uvicorn.Server):
    """A server whose process handles its signals itself."""

    def capture_signals(self) -> Any:
        return contextlib.nullcontext()


def make_server(app: App, keep_alive_s: int) -> Server:
    """A uvicorn server for the app, on a listener that the caller opens."""
    config = uvicorn.Config(
        app,
        http=Connection,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        date_header=False,
        timeout_keep_alive=keep_alive_s,
        timeout_graceful_shutdown=None,  # `serve` keeps the time
    )
    return Server(config)
