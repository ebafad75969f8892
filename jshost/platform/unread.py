"""Whether a TCP socket holds unread bytes or its end. Runs in: callers.

Before a kept connection is used again, it must be known that the host has not closed it. `poll` can
tell, but gives up the interpreter's lock for it, which costs more than the look itself where
threads call at the same time. `getsockopt` keeps the lock, and takes a microsecond.

Linux only, see sock_diag(7); elsewhere `can_look` is False, and callers poll.
"""

from __future__ import annotations

import socket
import sys

__all__ = ["can_look", "nothing_came"]

SO_MEMINFO = 55 if sys.platform == "linux" else 0
"""Memory that a socket's queues take, in bytes; the first number is for received data."""
NOTHING_CAME = bytes(4)
ESTABLISHED = b"\x01"
"""The state of an open connection, the first byte of tcp(7)'s TCP_INFO."""


def can_look(sock: socket.socket) -> bool:
    """Whether `nothing_came` works for this socket: for TCP, on Linux. A sandbox that imitates
    Linux may not know the option."""
    if not SO_MEMINFO or sock.family == socket.AF_UNIX:
        return False
    try:
        nothing_came(sock)
    except OSError:
        return False
    return True


def nothing_came(sock: socket.socket) -> bool:
    """Whether a socket's queue is empty, and its end has not come.

    An end that came with the last bytes is in the queue only until those are read.
    """
    return (
        sock.getsockopt(socket.SOL_SOCKET, SO_MEMINFO, 4) == NOTHING_CAME
        and sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1) == ESTABLISHED
    )
