"""One kept-alive connection to a host, for threads. Runs in: callers."""

from __future__ import annotations

import math
import os
import select
import socket
import struct
import threading
import time

from jshost.client.http.errors import Translating
from jshost.client.http.http1 import Endpoint, ResponseParser
from jshost.platform.unread import can_look, nothing_came

__all__ = [
    "LARGE_READ_BYTES",
    "MAX_IDLE_S",
    "QUEUE_POLL_S",
    "READ_BYTES",
    "WARM_S",
    "ClientConnection",
    "connect_unix",
]

READ_BYTES = 64 * 1024
"""What is read at once. From 128 KB on, malloc maps new memory for every read (M_MMAP_THRESHOLD),
which costs more than the read itself; a large body is worth it."""
LARGE_READ_BYTES = 512 * 1024
MAX_IDLE_S = 30.0
"""A connection that was idle for longer is not used again: hosts close theirs after 75 s, and a
request that is on its way at that moment would be lost."""
WARM_S = 0.01
"""A connection over a unix socket that was used within this time is not checked: sending fails at
once if the other end is closed, and proxies, which close their half only, do so after seconds."""
QUEUE_POLL_S = 0.005
CLOCK_S = 0.05
"""How much longer than its limit a request may take, so that all of them can share one clock."""
NO_WAIT = socket.MSG_DONTWAIT


def connect_unix(path: str, timeout_s: float | None) -> socket.socket:
    """A connected socket. Where the host's queue of new connections is full, it says EAGAIN."""
    deadline = None if timeout_s is None else time.monotonic() + timeout_s
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        while True:
            try:
                sock.connect(path)
            except BlockingIOError:
                left_ms(deadline)
                time.sleep(QUEUE_POLL_S)
            else:
                return sock
    except BaseException:
        sock.close()
        raise


class ClientConnection(Translating):
    """One kept-alive connection.

    Waiting gives up the interpreter's lock and takes it back, which costs more than anything else
    where threads call. So it waits once, and looks only where it must.
    """

    __slots__ = (
        "__weakref__",
        "_broken",
        "_can_look",
        "_deadline",
        "_is_unix",
        "_poll",
        "_rested_at",
        "_root_url",
        "_socket",
        "_timeout_s",
        "parser",
        "unsent",
    )

    def __init__(self, sock: socket.socket, endpoint: Endpoint) -> None:
        sock.setblocking(True)
        self._root_url = endpoint.root_url
        self._socket = sock
        self._poll: select.poll | None = None
        self._is_unix = sock.family == socket.AF_UNIX
        self._can_look = can_look(sock)
        self._rested_at = 0.0
        self._deadline: float | None = None
        self._timeout_s: float | None = None
        self._broken: OSError | None = None
        self.unsent: memoryview | None = None
        """What the socket's buffer has not taken of a request."""
        self.parser = ResponseParser()

    def is_quiet(self) -> bool:
        """Whether it is worth sending a request: nothing is known to have come since the last
        answer, no end either, and it is not too old."""
        age_s = time.monotonic() - self._rested_at
        if age_s >= MAX_IDLE_S:
            return False
        if self._is_unix and age_s < WARM_S:
            return True
        if self._can_look:
            return nothing_came(self._socket)
        return not self._polled().poll(0)

    def rest(self) -> bool:
        """The response is whole. Returns whether the connection can be kept."""
        self._rested_at = time.monotonic()
        return self.parser.keep_alive and self._broken is None

    def send_first(self, data: bytes, deadline: float | None) -> bool:
        """Send a request, as far as the socket's buffer takes it at once, and expect its response
        until the deadline (monotonic seconds).

        Returns False where the connection is closed already, and nothing was sent.
        """
        self.parser.begin()
        self._deadline = deadline
        try:
            sent = self._socket.send(data, NO_WAIT)
        except BlockingIOError:
            sent = 0
        except OSError as error:
            self._broken = error
            return False
        if sent < len(data):
            self.unsent = memoryview(data)[sent:]
        return True

    def receive_first(self, timeout_s: float | None) -> bool:
        """As `receive`, for the first part of a response, usually all of it. The socket's own
        clock limits it, which starts again at every signal; only the main thread gets signals."""
        limit_s = math.inf if timeout_s is None else timeout_s
        left_s = math.inf if self._deadline is None else self._deadline - time.monotonic()
        if (
            self._broken is not None
            or threading.get_ident() == _main_thread
            or left_s < limit_s - CLOCK_S  # some of it went for connecting, or sending
        ):
            return self.receive()
        if timeout_s != self._timeout_s:
            self._set_timeout(timeout_s)
        try:
            return self._take(self._socket.recv(READ_BYTES))
        except BlockingIOError:
            raise TimeoutError from None

    def receive(self) -> bool:
        """Wait for some of the response; True once it is whole.

        Raises:
            TimeoutError, OSError: the deadline passed, the connection broke.
            ValueError: what came is not HTTP.
        """
        size = LARGE_READ_BYTES if self.parser.has_head else READ_BYTES
        poll = self._poll or self._polled()
        while True:
            poll.poll(left_ms(self._deadline))
            try:
                return self._take(self._socket.recv(size, NO_WAIT))
            except BlockingIOError:
                continue

    def close(self) -> None:
        self._broken = self._broken or OSError("closed")
        self._socket.close()

    abandon = close

    def send_rest(self) -> None:
        """Send what the socket's buffer did not take, unless the host answers already.

        Raises: TimeoutError: the deadline passed.
        """
        rest, self.unsent = self.unsent, None
        poll = select.poll()
        poll.register(self._socket, select.POLLIN | select.POLLOUT)
        while rest:
            for _, events in poll.poll(left_ms(self._deadline)):
                if events & ~select.POLLOUT:
                    self._broken = OSError("answered before the request was whole")
                    return
                try:
                    rest = rest[self._socket.send(rest, NO_WAIT) :]
                except BlockingIOError:
                    continue
                except OSError as error:
                    # The host may have answered (413, say) and closed before it read it all.
                    self._broken = error
                    return

    def _take(self, received: bytes) -> bool:
        if received:
            return self.parser.feed(received)
        if self.parser.end():
            return True
        raise self._broken or OSError("closed by the host")

    def _polled(self) -> select.poll:
        self._poll = select.poll()
        self._poll.register(self._socket, select.POLLIN)
        return self._poll

    def _set_timeout(self, timeout_s: float | None) -> None:
        limit_us = 0 if timeout_s is None else max(int(timeout_s * 1e6), 1)  # 0: no limit
        time_value = struct.pack("@ll", *divmod(limit_us, 1_000_000))
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, time_value)
        self._timeout_s = timeout_s


def left_ms(deadline: float | None) -> float | None:
    """Milliseconds until the deadline. Raises: TimeoutError: there are none."""
    if deadline is None:
        return None
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    # poll rounds down: without the 1 the last millisecond would spin; and it takes a C int
    return min(left * 1000 + 1, 2**31 - 1)


_main_thread = threading.main_thread().ident


def _after_fork() -> None:
    global _main_thread
    _main_thread = threading.get_ident()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
