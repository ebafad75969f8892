"""Results and chunks as payloads of frames. Runs in: Python workers."""

from __future__ import annotations

from typing import Any

from jshost.protocol import frames, values
from jshost.worker.errors import CallError

__all__ = ["encode_chunk", "encode_result"]


def encode_result(value: Any, *, force_json: bool = False, what: str = "result") -> bytes:
    """A RESULT frame's payload.

    Args:
        what: the first word of an error's message.

    Raises:
        CallError: the value cannot be encoded, or is too large.
    """
    try:
        form, data = values.encode_result(value, force_json=force_json, what=what)
    except (TypeError, ValueError) as error:
        raise CallError("unserializable_result", str(error), type(error).__name__) from error
    if len(data) >= frames.MAX_PAYLOAD_BYTES:
        message = f"{what}: {len(data)} bytes are over the {frames.MAX_PAYLOAD_BYTES} of a frame"
        raise CallError("unserializable_result", message, "ValueError")
    return form + data


def encode_chunk(chunk: Any) -> bytes:
    """A CHUNK frame's payload.

    Raises:
        CallError: the chunk cannot be encoded.
    """
    payload = encode_result(chunk, force_json=True, what="chunk")
    if payload.startswith(values.MULTIPART):
        message = (
            "chunk: bytes inside a value cannot be streamed; send them as a chunk of their own"
        )
        raise CallError("unserializable_result", message, "TypeError")
    return payload
