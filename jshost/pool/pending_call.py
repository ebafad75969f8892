"""A call that waits or runs, and its caller. Runs in: host, programs that embed."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Protocol

from jshost.exceptions import ProcessError, RemoteError, from_envelope

__all__ = ["Caller", "PendingCall", "remote_error"]


class Caller(Protocol):
    """Waits for a call's answer: `on_result` or `on_error`, once. A stream calls `on_chunk` any
    number of times before. After `Pool.cancel` nothing is called."""

    def on_chunk(self, payload: bytes) -> None:
        """A CHUNK frame's payload; `Pool.credit` lets the worker send more."""

    def on_result(self, payload: bytes) -> None:
        """A RESULT frame's payload."""

    def on_error(self, error: RemoteError) -> None: ...


@dataclass(slots=True)
class PendingCall:
    """A call that waits for a worker, or runs."""

    call_id: int
    name: str
    frame: bytes
    """The CALL frame, while it waits to be sent."""
    timeout_s: float | None
    request_id: str
    started: float
    caller: Caller


def remote_error(payload: bytes, pending: PendingCall) -> RemoteError:
    """The error in the payload of a worker's ERROR frame."""
    try:
        envelope = json.loads(payload)
    except (ValueError, RecursionError):
        envelope = None
    if not isinstance(envelope, dict):
        return ProcessError(f"the worker's error is not JSON: {payload[:200]!r}", name=pending.name)
    return from_envelope({**envelope, "requestId": pending.request_id}, name=pending.name)
