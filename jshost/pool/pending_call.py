"""A call as its pool has it, and who waits for it. Runs in: host (and whoever owns a pool)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Protocol

from jshost.exceptions import ProcessError, RemoteError, from_envelope

__all__ = ["REFUSALS", "Caller", "PendingCall", "remote_error"]

REFUSALS = {
    "queue_full": "the queue is full: {queue} calls wait already; try again later",
    "draining": "the host is stopping and takes no more calls",
}


class Caller(Protocol):
    """Who waits for a call. It hears `on_chunk` any number of times, where the call is a stream,
    and then one of the other two; nothing after `Pool.cancel`."""

    def on_chunk(self, payload: bytes) -> None:
        """A CHUNK frame's payload; `Pool.credit` lets the worker send more."""

    def on_result(self, payload: bytes) -> None:
        """A RESULT frame's payload."""

    def on_error(self, error: RemoteError) -> None: ...


@dataclass(slots=True)
class PendingCall:
    """One call on its way."""

    call_id: int
    name: str
    frame: bytes
    """The CALL frame, while it waits to be sent."""
    timeout_s: float | None
    request_id: str
    started: float
    caller: Caller


def remote_error(payload: bytes, pending: PendingCall) -> RemoteError:
    """What a worker's ERROR frame says."""
    try:
        envelope = json.loads(payload)
    except (ValueError, RecursionError):
        envelope = None
    if not isinstance(envelope, dict):
        return ProcessError(f"the worker's error is not JSON: {payload[:200]!r}", name=pending.name)
    return from_envelope({**envelope, "requestId": pending.request_id}, name=pending.name)
