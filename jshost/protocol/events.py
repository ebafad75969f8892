"""The events of a stream: written out of frame payloads, and read again. Runs in: host, callers.

They are ``text/event-stream`` as the HTML standard has it (section 9.2).
"""

from __future__ import annotations

import base64
import json

from jshost.exceptions import RemoteError
from jshost.protocol import values

__all__ = ["Event", "EventParser", "error_event", "event"]

Event = tuple[str, bytes]
"""An event's name and its data."""


def event(name: bytes, payload: bytes) -> bytes:
    """A CHUNK's or RESULT's payload as one event; bytes travel as base64 in ``<name>-bytes``, a
    value that holds some in ``<name>-multipart``."""
    if payload[0] != values.JSON[0]:
        kind = b"bytes" if payload[0] == values.BYTES[0] else b"multipart"
        return b"event: %s-%s\ndata: %s\n\n" % (name, kind, base64.b64encode(payload[1:]))
    return b"event: %s\ndata: %s\n\n" % (name, payload[1:])


def error_event(error: RemoteError) -> bytes:
    return b"event: error\ndata: %s\n\n" % json.dumps(error.envelope()).encode()


class EventParser:
    """Bytes in, events out. Line ends are LF, as hosts write them."""

    def __init__(self) -> None:
        self._rest: list[bytes] = []

    def feed(self, data: bytes) -> list[Event]:
        """The events that `data` completes, in order."""
        *blocks, rest = data.split(b"\n\n")
        if self._rest and (blocks or self._rest[-1].endswith(b"\n")):
            *blocks, rest = b"".join([*self._rest, data]).split(b"\n\n")
            self._rest.clear()
        if rest:
            self._rest.append(rest)
        return [parsed for block in blocks if (parsed := _parse(block)) is not None]


def _parse(block: bytes) -> Event | None:
    if block.startswith(b"event: chunk\ndata: "):
        return "chunk", block[19:]
    name, data = "message", []
    for line in block.split(b"\n"):
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field == b"event":
            name = value.decode("utf-8", "replace")
        elif field == b"data":
            data.append(value)
    return (name, b"\n".join(data)) if data else None
