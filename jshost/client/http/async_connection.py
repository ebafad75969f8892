"""One kept-alive connection to a host, for an asyncio loop. Runs in: callers.

It is a plain socket, not an asyncio transport: nothing has to be closed before the loop is.
"""

from __future__ import annotations

import asyncio
import math
import os
import socket
import time

from jshost.client.http.connection import (
    LARGE_READ_BYTES,
    MAX_IDLE_S,
    QUEUE_POLL_S,
    READ_BYTES,
)
from jshost.client.http.errors import Translating
from jshost.client.http.http1 import Endpoint, ResponseParser
from jshost.platform.unread import can_look, nothing_came

__all__ = ["AsyncClientConnection", "connected", "connected_unix"]


async def connected(family: int, address: object) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, address)  # type: ignore[arg-type]
    except BaseException:
        sock.close()
        raise
    return sock


async def connected_unix(path: str) -> socket.socket:
    """As `connection.connect_unix`; asyncio takes its EAGAIN for a connection in progress."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        while True:
            try:
                sock.connect(path)
            except BlockingIOError:
                await asyncio.sleep(QUEUE_POLL_S)
            else:
                return sock
    except BaseException:
        sock.close()
        raise


class AsyncClientConnection(Translating):
    """One kept-alive connection, whose socket the loop watches as long as it is open."""

    def __init__(
        self, sock: socket.socket, endpoint: Endpoint, loop: asyncio.AbstractEventLoop
    ) -> None:
        self._root_url = endpoint.root_url
        self._can_look = can_look(sock)
        self.unsent: memoryview | None = None
        """What the socket's buffer has not taken of a request."""
        self.parser = ResponseParser()
        self._socket = sock
        self._loop = loop
        self._broken: OSError | None = None
        """Why nothing more can be sent. Answers that came before may still be read."""
        self._failure: BaseException | None = None
        """Why nothing more will come."""
        self._is_closed = False
        self._is_waiting = False
        self._paused = False
        self._waiter: asyncio.Future[None] | None = None
        self._rested_at = 0.0
        self._deadline = math.inf
        self._timer: asyncio.TimerHandle | None = None
        """One for many requests: it is set again when it fires before the current deadline."""
        self._timer_at = math.inf
        loop.add_reader(sock, self._on_readable)

    def is_quiet(self) -> bool:
        """Whether nothing came since the last answer, no end either, and it is not too old."""
        if not self.can_be_kept or self._loop.is_closed():
            return False
        if time.monotonic() - self._rested_at > MAX_IDLE_S:
            return False
        if self._can_look:
            return nothing_came(self._socket)
        try:
            self._socket.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return True
        except OSError:
            pass
        return False

    @property
    def can_be_kept(self) -> bool:
        return self.parser.keep_alive and self._broken is None and self._failure is None

    def send_first(self, data: bytes, deadline: float | None) -> bool:
        """Send a request, as far as the socket's buffer takes it at once, and expect its response
        until the deadline (monotonic seconds).

        Returns False where the connection is closed already, and nothing was sent.
        """
        self.parser.begin()
        self._is_waiting = True
        if deadline is not None:
            self._deadline = deadline
            if deadline < self._timer_at:
                self._set_timer()
        try:
            sent = self._socket.send(data)
        except BlockingIOError:
            sent = 0
        except OSError as error:
            self._broken = error
            return False
        if sent < len(data):
            self.unsent = memoryview(data)[sent:]
        return True

    async def send_rest(self) -> None:
        """Send what the socket's buffer did not take, unless the host answers already."""
        rest, self.unsent = self.unsent, None
        self._loop.add_writer(self._socket, self._wake)
        try:
            while rest and not self.parser.has_head and self._broken is None:
                if self._failure is not None:
                    return  # `more` raises it
                waiter = self._waiter = self._loop.create_future()
                await waiter
                try:
                    rest = rest[self._socket.send(rest) :]
                except BlockingIOError:
                    continue
                except OSError as error:
                    self._broken = error  # an answer (413, say) may have come before it
        finally:
            self._loop.remove_writer(self._socket)
        if rest and self._broken is None:
            self._broken = OSError("answered before the request was whole")

    def more(self) -> asyncio.Future[None]:
        """What is done once some more of the response has come; to be awaited at once.

        Raises, as awaiting it does:
            TimeoutError, OSError: the deadline passed, the connection broke.
            ValueError: what came is not HTTP.
        """
        if self._failure is not None or self._is_closed:
            raise self._failure or OSError("closed")
        if self._paused:
            self._paused = False
            self._loop.add_reader(self._socket, self._on_readable)
        waiter = self._waiter = self._loop.create_future()
        return waiter

    def _on_readable(self) -> None:
        try:
            size = LARGE_READ_BYTES if self.parser.has_head else READ_BYTES
            received = self._socket.recv(size)
        except BlockingIOError:
            return
        except OSError as error:
            self._fail(error)
            return
        if not self._is_waiting or self.parser.complete:  # an end, or unexpected bytes
            self._fail(OSError("closed by the host"))
            return
        if not received:
            if not self.parser.end():
                self._fail(self._broken or OSError("closed by the host"))
                return
            self._broken = OSError("closed by the host")  # which says that the response is whole
            self._loop.remove_reader(self._socket)
        else:
            try:
                self.parser.feed(received)
            except ValueError as error:
                self._fail(error)
                return
        if self._waiter is not None:
            self._wake()
        elif not self.parser.complete:  # a stream whose reader is busy: let the host wait
            self._paused = True
            self._loop.remove_reader(self._socket)

    def _wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = self._deadline
        left = max(self._deadline - time.monotonic(), 0)
        self._timer = self._loop.call_later(left, self._on_timer)

    def _on_timer(self) -> None:
        self._timer, self._timer_at = None, math.inf
        if self._deadline <= time.monotonic():
            self._fail(TimeoutError())
        elif self._deadline != math.inf:
            self._set_timer()

    def _fail(self, error: BaseException) -> None:
        self._failure = error
        self._loop.remove_reader(self._socket)
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_exception(error)

    def rest(self) -> bool:
        """The response is whole. Returns whether the connection can be kept."""
        self._is_waiting = False
        self._deadline = math.inf
        self._rested_at = time.monotonic()
        return self.can_be_kept

    def close(self) -> None:
        if self._is_closed:
            return
        self._is_closed = True
        self.rest()
        if self._timer is not None:
            self._timer.cancel()
        if not self._loop.is_closed():
            self._loop.remove_reader(self._socket)
        self._socket.close()

    def close_soon(self) -> None:
        """Close it on its loop, from whichever thread."""
        if self._is_closed or self._loop.is_closed():
            self.close()
        else:
            self._loop.call_soon_threadsafe(self.close)

    def abandon(self) -> None:
        """Close our copy of the socket, and leave the loop alone: after a fork, its selector is
        the parent's, too."""
        self._is_closed = True
        self._failure = OSError("closed")
        descriptor = self._socket.detach()  # uvloop would put `close` off until it is not watched
        if descriptor >= 0:
            os.close(descriptor)
