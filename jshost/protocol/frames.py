"""The frames between a host and a worker, without I/O. Runs in: host, Python workers.

A frame is ``length u32 · call id u32 · kind u8 · payload``, integers big-endian, where length
counts the payload's bytes. docs/protocol.md says what each kind's payload holds;
tests/vectors/frames.json holds this codec and its JavaScript twin (js/protocol/frames.mjs) to
the same bytes.
"""

from __future__ import annotations

import functools
import struct
from json.encoder import encode_basestring_ascii as _quoted

from jshost.protocol.results import decode_json

__all__ = [
    "CALL",
    "CANCEL",
    "CHUNK",
    "DRAIN",
    "ERROR",
    "LOG",
    "MAX_PAYLOAD_BYTES",
    "PING",
    "PONG",
    "READY",
    "RESULT",
    "STREAM_WINDOW_BYTES",
    "Decoder",
    "Frame",
    "FrameError",
    "call_frame",
    "call_header",
    "encode",
    "encode_header",
    "split_call",
]

HEADER = struct.Struct(">IIB")
CALL_HEADER = struct.Struct(">IIBH")
MAX_PAYLOAD_BYTES = 1 << 30
STREAM_WINDOW_BYTES = 256 * 1024
"""How many bytes of a call's CHUNK frames a worker may send before its reader has taken any."""

READY, CALL, RESULT, CHUNK, ERROR, CANCEL, LOG, PING, PONG, DRAIN = range(1, 11)
Frame = tuple[int, int, bytes]
"""(kind, call id, payload); the call id is 0 for a frame that belongs to no call."""


class FrameError(Exception):
    """The bytes are not frames; what follows cannot be trusted."""


def encode(kind: int, call_id: int, payload: bytes = b"") -> bytes:
    """One frame's bytes.

    Raises:
        FrameError: the payload is larger than `MAX_PAYLOAD_BYTES`.
    """
    size = len(payload)
    if size > MAX_PAYLOAD_BYTES:
        raise FrameError(f"a payload of {size} bytes is over the {MAX_PAYLOAD_BYTES} of a frame")
    return HEADER.pack(size, call_id, kind) + payload


def encode_header(kind: int, call_id: int, size: int) -> bytes:
    """The header of a payload of `size` bytes, for payloads that are too large to copy."""
    return HEADER.pack(size, call_id, kind)


class Decoder:
    """Bytes in, frames out.

    `feed` takes pieces of any size and returns the frames that they complete. The pieces of an
    unfinished frame are joined only when it is whole: joining at every piece is quadratic.
    """

    def __init__(self) -> None:
        self._chunks: list[bytes] = []
        self._size = 0
        self._need = HEADER.size

    def feed(self, data: bytes) -> list[Frame]:
        """The frames that `data` completes, in order.

        Raises:
            FrameError: an unknown kind or an impossible length.
        """
        if self._chunks:
            self._chunks.append(data)
            self._size += len(data)
            if self._size < self._need:
                return []
            data = b"".join(self._chunks)
            self._chunks = []
        frames: list[Frame] = []
        offset, end = 0, len(data)
        while end - offset >= HEADER.size:
            size, call_id, kind = HEADER.unpack_from(data, offset)
            if not READY <= kind <= DRAIN or size > MAX_PAYLOAD_BYTES:
                raise FrameError(f"no frame begins like this: kind {kind}, length {size}")
            stop = offset + HEADER.size + size
            if stop > end:
                self._need = stop - offset
                break
            frames.append((kind, call_id, data[offset + HEADER.size : stop]))
            offset = stop
        else:
            self._need = HEADER.size
        if offset < end:
            rest = data[offset:]
            self._chunks = [rest]
            self._size = len(rest)
        return frames

    @property
    def pending_bytes(self) -> int:
        """How many bytes of an unfinished frame are held."""
        return self._size if self._chunks else 0

    @property
    def missing_bytes(self) -> int:
        """How many bytes an unfinished frame still needs, as far as its header says; else 0."""
        return self._need - self._size if self._chunks else 0


def call_frame(call_id: int, header: bytes, body: bytes) -> bytes:
    """A CALL frame; its payload is ``header length u16 · header · body``, the body untouched.

    Raises:
        FrameError: as `encode`, or the header is too long.
    """
    size = 2 + len(header) + len(body)
    if size > MAX_PAYLOAD_BYTES:
        raise FrameError(f"a payload of {size} bytes is over the {MAX_PAYLOAD_BYTES} of a frame")
    try:
        return CALL_HEADER.pack(size, call_id, CALL, len(header)) + header + body
    except struct.error:
        raise FrameError(f"a CALL's header of {len(header)} bytes is over 65535") from None


def call_header(
    name: str,
    timeout_s: float | None,
    request_id: str,
    *,
    content_type: str | None = None,
    stream: bool = False,
    traceparent: str = "",
) -> bytes:
    """A CALL's header, a JSON object.

    Args:
        timeout_s: seconds, or None: no limit.
        content_type: the body's, where it is not JSON.
        stream: whether the caller takes values as they come, in CHUNK frames.
        traceparent: the caller's trace context (W3C), or "".
    """
    if content_type is None and not traceparent:
        before, behind = _usual_header(name, timeout_s, stream)
        return f"{before}{_quoted(request_id)}{behind}".encode("ascii")
    timeout = _written_timeout(timeout_s)
    more = "" if content_type is None else f',"type":{_quoted(content_type)}'
    if stream:
        more += ',"stream":true'
    if traceparent:
        more += f',"traceparent":{_quoted(traceparent)}'
    text = f'{{"name":{_quoted(name)},"requestId":{_quoted(request_id)},"timeout":{timeout}{more}}}'
    return text.encode("ascii")


@functools.lru_cache(maxsize=256)
def _usual_header(name: str, timeout_s: float | None, stream: bool) -> tuple[str, str]:
    """The parts before and after the request id of a header without further fields."""
    timeout = _written_timeout(timeout_s)
    more = ',"stream":true' if stream else ""
    return f'{{"name":{_quoted(name)},"requestId":', f',"timeout":{timeout}{more}}}'


def _written_timeout(timeout_s: float | None) -> str:
    # Not `repr` alone: True is a number as well, and numpy's are written as np.float64(0.5).
    return "null" if timeout_s is None else repr(float(timeout_s))


def split_call(payload: bytes) -> tuple[dict[str, object], bytes]:
    """A CALL's payload as (header, body).

    Raises:
        FrameError: the payload is too short or its header is not a JSON object.
    """
    size = int.from_bytes(payload[:2], "big")
    if len(payload) < 2 + size:
        raise FrameError("a CALL is shorter than its header")
    return _parse_header(payload[2 : 2 + size]), payload[2 + size :]


def _parse_header(data: bytes) -> dict[str, object]:
    try:
        header = decode_json(data)
    except (ValueError, RecursionError) as error:
        raise FrameError(f"a CALL's header is not JSON: {error}") from error
    if not isinstance(header, dict):
        raise FrameError("a CALL's header is not an object")
    return header
