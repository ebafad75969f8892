"""The connections of one transport, and which of them are idle. Runs in: callers."""

from __future__ import annotations

import weakref
from typing import Generic, Protocol, TypeVar

from jshost.client.http.forks import call_after_fork

__all__ = ["MAX_IDLE", "KeptConnections"]

MAX_IDLE = 64
"""Connections kept for later; a burst of more calls opens more, and closes them afterwards."""


class Keepable(Protocol):
    def send_first(self, data: bytes, deadline: float | None) -> bool:
        """Send a request as far as the socket takes it at once; False: nothing could be sent."""

    def is_quiet(self) -> bool:
        """Whether a request may be sent: nothing came since the last answer, and no end."""

    def rest(self) -> bool:
        """The response is whole. Returns whether the connection can be kept."""

    def close(self) -> None: ...

    def abandon(self) -> None:
        """In a forked child: close our copy of the socket, and nothing else."""


C = TypeVar("C", bound=Keepable)


class KeptConnections(Generic[C]):
    """Connections that wait for the next request, and those that are in use.

    Attributes:
        idle: kept for later; closed when this object goes.
    """

    def __init__(self) -> None:
        self.idle: list[C] = []
        self._all: weakref.WeakSet[C] = weakref.WeakSet()
        weakref.finalize(self, _close_all, self.idle)
        call_after_fork(self)

    def sent(self, data: bytes, deadline: float | None) -> C | None:
        """Send a request over an idle connection; None: there is none that is still open.

        One that the host has closed meanwhile is dropped: none of the request was sent there.
        """
        while True:
            try:
                connection = self.idle.pop()
            except IndexError:
                return None
            if connection.is_quiet() and connection.send_first(data, deadline):
                return connection
            connection.close()

    def add(self, connection: C) -> None:
        """A new connection, which is in use."""
        self._all.add(connection)

    def keep(self, connection: C) -> None:
        """Keep a connection whose answer is whole, or close it."""
        if connection.rest() and len(self.idle) < MAX_IDLE:
            self.idle.append(connection)
        else:
            connection.close()

    def close(self) -> None:
        """Close the idle ones."""
        _close_all(self.idle)

    def after_fork(self) -> None:
        """The connections are the parent's. Close our copies, unread, or hosts would not see it
        when the parent closes its own."""
        self.idle.clear()
        for connection in list(self._all):
            connection.abandon()


def _close_all(connections: list[C]) -> None:
    while connections:
        connections.pop().close()
