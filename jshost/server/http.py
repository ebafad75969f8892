"""uvicorn, told to serve our way. Runs in: host."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from jshost.server.app import App

__all__ = ["make_server"]


class Connection(HttpToolsProtocol):
    """One client's connection, which can tell the call in flight that the client has gone.

    ASGI's own way, awaiting `receive()` beside the call, costs a task for every call.
    """

    on_lost: Callable[[], None] | None = None

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["jshost.connection"] = self  # type: ignore[typeddict-unknown-key]

    def connection_lost(self, exc: Exception | None) -> None:
        if self.on_lost is not None:
            self.on_lost()
        super().connection_lost(exc)


class Server(uvicorn.Server):
    """A server whose process handles its signals itself."""

    def install_signal_handlers(self) -> None:
        """Not here: `serve` drains before it stops the server."""

    def capture_signals(self) -> Any:
        import contextlib

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
        date_header=False,
        timeout_keep_alive=keep_alive_s,
        timeout_graceful_shutdown=2,
    )
    return Server(config)
