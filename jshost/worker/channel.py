"""A Python worker's way to its host: frames, log records and printed lines.

Runs in: Python workers.
"""

from __future__ import annotations

import json
import logging
import os
import socket
import sys
import threading
from collections import deque
from typing import Any

from jshost.platform.lifeline import guard_myself
from jshost.protocol import frames
from jshost.worker import context
from jshost.worker.output import MarkedStream

__all__ = ["Channel", "FrameHandler", "prepare_process"]

COPY_LIMIT_BYTES = 64 * 1024
SOCKET_BUFFER_BYTES = 1 << 20
HELD_FRAMES = 32
"""So many frames are held back at most."""
HELD_PAYLOAD_BYTES = 2048
"""A larger frame is sent at once."""


class Channel:
    """Our end of the socket pair: frames out from any thread, one whole frame at a time."""

    def __init__(self, descriptor: int) -> None:
        self.socket = socket.socket(fileno=descriptor)
        self.socket.setblocking(True)
        self._lock = threading.Lock()
        self._held: deque[bytes] = deque()

    def send(self, kind: int, call_id: int, payload: bytes) -> None:
        """Send a frame, and those that are held. Raises: OSError: the host is gone."""
        if len(payload) <= COPY_LIMIT_BYTES:
            self._send(frames.encode(kind, call_id, payload))
        else:
            header = frames.encode_header(kind, call_id, len(payload))
            self.send_pieces([header, payload], len(payload))

    def hold(self, kind: int, call_id: int, payload: bytes) -> None:
        """Have a frame go with the next one, for it wakes the host as well. Who holds sees to it
        that there is a next one soon, or a `flush`. Raises: OSError: the host is gone."""
        self._held.append(frames.encode(kind, call_id, payload))
        if len(payload) > HELD_PAYLOAD_BYTES or len(self._held) >= HELD_FRAMES:
            self.flush()

    def flush(self) -> None:
        """Send what is held. Raises: OSError: the host is gone."""
        if self._held:
            self._send(b"")

    def send_pieces(self, pieces: list[bytes], size: int) -> None:
        """Whole frames in pieces, `size` bytes in all; only the last piece may be large.

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
                # Others append while we take: what they append then is taken as well, or stays.
                data = b"".join([*(self._held.popleft() for _ in range(len(self._held))), data])
            self.socket.sendall(data)
            if more:
                self.socket.sendall(more)

    def send_json(self, kind: int, call_id: int, value: object) -> None:
        self.send(kind, call_id, json.dumps(value).encode())


class FrameHandler(logging.Handler):
    """Log records of the user's code as LOG frames, with the call they belong to."""

    def __init__(self, channel: Channel) -> None:
        super().__init__()
        self._channel = channel

    def emit(self, record: logging.LogRecord) -> None:
        call = context.running_call()
        try:
            entry = {
                "level": record.levelname.lower(),
                "message": self.format(record),
                "function": call.name if call else "",
                "requestId": call.request_id if call else "",
            }
            self._channel.send_json(frames.LOG, 0, entry)
        except Exception:  # noqa: BLE001  as in logging's own handlers: a log line fails no call
            self.handleError(record)


def prepare_process(settings: dict[str, Any]) -> tuple[Channel, list[MarkedStream]]:
    """Keep our descriptors from child processes, and mark what is printed."""
    for descriptor in (settings["channel"], settings["lifeline"]):
        os.set_inheritable(descriptor, False)
    channel = Channel(settings["channel"])
    if settings.get("guard"):
        guard_myself(settings["lifeline"])
        channel.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SOCKET_BUFFER_BYTES)
    streams = [MarkedStream(1), MarkedStream(2)]
    sys.stdout, sys.stderr = streams
    root = logging.getLogger()
    handler = FrameHandler(channel)
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    os.register_at_fork(after_in_child=lambda: _after_fork(channel, streams, handler))
    logging.getLogger("host").setLevel(logging.DEBUG)  # what a function logs, the host filters
    return channel, streams


def _after_fork(channel: Channel, streams: list[MarkedStream], handler: FrameHandler) -> None:
    """In a forked child: it would hold the channel open after us, and another thread of ours may
    have held any lock when it was forked."""
    channel.socket.close()  # not os.close: a grandchild's number may be another file's by now
    for stream in streams:
        stream.after_fork()
    root = logging.getLogger()
    if handler in root.handlers:
        root.removeHandler(handler)
        root.addHandler(logging.StreamHandler(sys.stderr))
