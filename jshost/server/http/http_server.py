"""Accepts connections, limits them and closes idle ones. Runs in: host."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
import time
from typing import cast

from jshost.server.http.connection import ServerConnection
from jshost.server.http.handler import RequestHandler
from jshost.server.http.listeners import BACKLOG
from jshost.server.http.responses import RETRY_AFTER_S, plain_refusal

__all__ = ["HttpServer"]

SWEEP_S = 5.0
REFUSED_S = 0.5


class HttpServer:
    """The open connections of a host, and the sockets they are accepted from.

    Args:
        handler: answers their requests.
        keep_alive_s: how long a connection may wait for its next request.
        max_connections: how many may be open; further ones get a 503.
    """

    def __init__(
        self, handler: RequestHandler, keep_alive_s: float, max_connections: int = sys.maxsize
    ) -> None:
        self._handler = handler
        self._keep_alive_s = keep_alive_s
        self._max_connections = max_connections
        self._connections: set[ServerConnection] = set()
        self._servers: list[asyncio.Server] = []
        self._sweeper: asyncio.TimerHandle | None = None
        self._listeners: list[socket.socket] = []
        self._accepting: set[asyncio.Task[object]] = set()

    async def start(self, listeners: list[socket.socket], own: list[socket.socket]) -> None:
        """Accept connections from `listeners`, which are listening already.

        Args:
            own: those that close when this host ends; see `stop_accepting`.
        """
        loop = asyncio.get_running_loop()
        self._listeners = own
        for listener in listeners:
            create = (
                loop.create_unix_server if listener.family == socket.AF_UNIX else loop.create_server
            )
            self._servers.append(await create(self._connect, sock=listener, backlog=BACKLOG))
        self._plan_sweep()

    def stop_accepting(self) -> None:
        """Accept the connections in the backlog of our own sockets, then no more.

        The system resets connections that are still in the backlog when their socket closes: their
        clients could not know whether the host had read their requests.
        """
        loop = asyncio.get_running_loop()
        for listener in self._listeners:
            with contextlib.suppress(OSError):
                while True:
                    sock, _ = listener.accept()
                    sock.setblocking(False)
                    accepting = loop.connect_accepted_socket(self._connect, sock)
                    task = loop.create_task(accepting)
                    self._accepting.add(task)
                    task.add_done_callback(self._accepting.discard)
        self._listeners = []
        for server in self._servers:
            server.close()

    def wind_down(self) -> None:
        """Make the next answer on each connection its last."""
        for connection in list(self._connections):
            connection.wind_down()

    def shut_down(self) -> None:
        """Close each connection once its answers are written."""
        for connection in list(self._connections):
            connection.shut_down()

    def count(self) -> int:
        """How many connections are open."""
        return len(self._connections)

    @property
    def idle(self) -> bool:
        """Whether all connections are closed."""
        return not self._connections

    def abort(self) -> None:
        """Close everything at once."""
        self.stop_accepting()
        if self._sweeper is not None:
            self._sweeper.cancel()
        for connection in list(self._connections):
            connection.abort()

    def _connect(self) -> asyncio.Protocol:
        if len(self._connections) >= self._max_connections:
            self._handler.count_refusal(503)
            return RefusedConnection(self._max_connections)
        return ServerConnection(self._handler, self._connections)

    def _plan_sweep(self) -> None:
        self._sweeper = asyncio.get_running_loop().call_later(SWEEP_S, self._sweep)

    def _sweep(self) -> None:
        now = time.monotonic()
        for connection in list(self._connections):
            connection.sweep(now, self._keep_alive_s)
        self._plan_sweep()


class RefusedConnection(asyncio.Protocol):
    """A connection over the limit: it gets a 503 and is closed."""

    def __init__(self, limit: int) -> None:
        self._limit = limit

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        made = cast(asyncio.Transport, transport)
        text = (
            f"the host has {self._limit} connections, and takes no more. Raise the option "
            "maxConnections (max_connections in Python), or use fewer."
        )
        made.write(plain_refusal(503, text, (b"retry-after", b"%d" % RETRY_AFTER_S)))
        # Closing with a request unread would reset the connection and could lose the answer.
        asyncio.get_running_loop().call_later(REFUSED_S, made.close)
        if made.can_write_eof():
            made.write_eof()
