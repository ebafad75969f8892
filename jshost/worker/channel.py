"""The channel to the host. Runs in: Python workers."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections import deque

from jshost.protocol import frames

__all__ = ["Channel"]

COPY_LIMIT_BYTES = 64 * 1024
HELD_FRAMES = 32
"""At most so many frames are held back."""
HELD_PAYLOAD_BYTES = 2048
"""A larger frame is sent at once."""


class Channel:
    """Our end of a socket pair. Any thread may send; frames stay whole.

    Attributes:
        socket: the socket, for the one that reads.
    """

    def __init__(self, socket: socket.socket) -> None:
        self.socket = socket
        self.socket.setblocking(True)
        self._lock = threading.Lock()
        self._held: deque[bytes] = deque()

    def send(self, kind: int, call_id: int, payload: bytes) -> None:
        """Send a frame behind those that are held. Raises: OSError: the host is gone."""
        if len(payload) <= COPY_LIMIT_BYTES:
            self._send(frames.encode(kind, call_id, payload))
        else:
            header = frames.encode_header(kind, call_id, len(payload))
            self.send_pieces([header, payload], len(payload))

    def hold(self, kind: int, call_id: int, payload: bytes) -> None:
        """Hold a frame back, to be sent with the next one: the host then wakes once for both.

        Use it only if there soon is a next frame or a `flush`.

        Raises:
            OSError: the host is gone.
        """
        self._held.append(frames.encode(kind, call_id, payload))
        if len(payload) > HELD_PAYLOAD_BYTES or len(self._held) >= HELD_FRAMES:
            self.flush()

    def flush(self) -> None:
        """Send the frames that are held. Raises: OSError: the host is gone."""
        if self._held:
            self._send(b"")

    def send_pieces(self, pieces: list[bytes], size: int) -> None:
        """Send whole frames in pieces, `size` bytes in all; only the last piece may be large.

        Raises:
            OSError: the host is gone.
        """
        if size <= COPY_LIMIT_BYTES:
            self._send(b"".join(pieces))
        else:
            self._send(b"".join(pieces[:-1]), pieces[-1])

    def _send(self, data: bytes, more: bytes = b"") -> None:
        with self._lock:
            if self._held:
                # Other threads may append meanwhile; their frames are taken too, or stay.
                data = b"".join([*(self._held.popleft() for _ in range(len(self._held))), data])
            self.socket.sendall(data)
            if more:
                self.socket.sendall(more)

    def send_json(self, kind: int, call_id: int, value: object) -> None:
        """Send a frame whose payload is the value's JSON. Raises: OSError: the host is gone."""
        self.send(kind, call_id, json.dumps(value).encode())

    def shut_down(self) -> None:
        """Neither send nor receive from now on: the host reads EOF, and `send` raises OSError."""
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)
