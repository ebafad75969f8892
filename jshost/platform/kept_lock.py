"""send and recv that keep the interpreter's lock. Runs in: programs that embed a host.

`socket.send` and `socket.recv` give the lock away, though a call that does not block is over within
microseconds. Where other threads wait for the lock, one of them has it then, and the caller has to
be woken again, often on another core: with 8 threads that call all the time, 4.5 switches between
threads a call in place of 2.5. So a program of which two threads have waited at the same time
reads and writes its workers' channels by these from then on.
"""

from __future__ import annotations

import functools
import os
import socket
from typing import Any, Protocol

__all__ = ["SendReceive", "is_wanted", "kept_lock_socket", "want"]

BYTES = 64 * 1024
"""What is copied with the lock; for more of it, the socket's own way."""

_is_wanted = False


class SendReceive(Protocol):
    """The two methods of a socket that are meant here."""

    def send(self, data: bytes, flags: int, /) -> int: ...
    def recv(self, size: int, /) -> bytes: ...


def want() -> None:
    """Threads compete from now on."""
    global _is_wanted
    _is_wanted = True


def is_wanted() -> bool:
    return _is_wanted


def kept_lock_socket(usual: socket.socket) -> SendReceive:
    """`usual`, which must not block, with the lock kept; itself, where this Python cannot do it."""
    library = _library()
    return usual if library is None else _KeptLockSocket(usual, library)


@functools.cache
def _library() -> Any:
    try:
        import ctypes

        library = ctypes.PyDLL(None, use_errno=True)
        library.send.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_size_t, ctypes.c_int)
        library.recv.argtypes = (ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
        library.send.restype = library.recv.restype = ctypes.c_ssize_t
    except (ImportError, OSError, AttributeError):  # without ctypes, or linked without a libc
        return None
    return library


class _KeptLockSocket:
    """A socket for one thread at a time; see `kept_lock_socket`."""

    def __init__(self, usual: socket.socket, library: Any) -> None:
        import ctypes

        self._usual = usual
        self._fileno = usual.fileno  # -1 once it is closed, when its number may be another file's
        self._send = library.send
        self._recv = library.recv
        self._errno = ctypes.get_errno
        self._buffer = ctypes.create_string_buffer(BYTES)
        self._view = memoryview(self._buffer)

    def send(self, data: bytes, flags: int, /) -> int:
        """As `socket.send`. Raises: OSError."""
        if len(data) > BYTES:
            return self._usual.send(data, flags)
        sent: int = self._send(self._fileno(), data, len(data), flags | socket.MSG_DONTWAIT)
        if sent < 0:
            raise self._error()
        return sent

    def recv(self, size: int, /) -> bytes:
        """As `socket.recv`. Raises: OSError."""
        if size > BYTES:
            return self._usual.recv(size)
        received: int = self._recv(self._fileno(), self._buffer, size, socket.MSG_DONTWAIT)
        if received < 0:
            raise self._error()
        return self._view[:received].tobytes()

    def _error(self) -> OSError:
        number = self._errno()
        return OSError(number, os.strerror(number))  # of the class that means this number
