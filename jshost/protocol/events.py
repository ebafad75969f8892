"""A stream's events, as the HTML standard has them (section 9.2). Runs in: host, callers."""

from __future__ import annotations

import base64
import json

from jshost.exceptions import RemoteError
from jshost.protocol import values

__all__ = ["error_event", "event"]


def event(name: bytes, payload: bytes) -> bytes:
    """A CHUNK's or RESULT's payload as one event; bytes travel as base64 in ``<name>-bytes``, a
    value that holds some in ``<name>-multipart``."""
    if payload[0] != values.JSON[0]:
        kind = b"bytes" if payload[0] == values.BYTES[0] else b"multipart"
        return b"event: %s-%s\ndata: %s\n\n" % (name, kind, base64.b64encode(payload[1:]))
    return b"event: %s\ndata: %s\n\n" % (name, payload[1:])


def error_event(error: RemoteError) -> bytes:
    return b"event: error\ndata: %s\n\n" % json.dumps(error.envelope()).encode()
