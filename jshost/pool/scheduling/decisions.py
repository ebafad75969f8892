"""The words that the scheduler speaks: its numbers, a worker's states, and its actions.

Runs in: host (and whoever owns a pool). A worker's states, and what moves it on::

                          ┌──────keep──────┐
                          ▼                │
    STARTING ──ready──▶ READY ──replace──▶ RETIRING
        └───────gone──────┴────────gone───────┴──▶ (forgotten)
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

__all__ = [
    "RESTART_REASONS",
    "TRANSITIONS",
    "Action",
    "Cancel",
    "Drain",
    "Fail",
    "Halt",
    "IllegalTransition",
    "Kill",
    "Ping",
    "Policy",
    "Recycled",
    "Refused",
    "Send",
    "Spawn",
    "State",
]


@dataclass(frozen=True, slots=True)
class Policy:
    """The numbers that decisions are made by; times in seconds."""

    workers: int = 1
    concurrency: int = 1024
    """Calls that one worker is given at once; more wait in the queue."""
    max_queue: int = 1024
    """Calls that wait for a worker; more are refused."""
    cancel_grace_s: float = 0.5
    """How long a worker may take to drop a cancelled call before it is replaced."""
    unresponsive_s: float = 1.0
    """How long a worker that is being replaced may go on without answering its PING."""
    drain_s: float = 10.0
    """How long a worker that is being replaced, and still answers, may finish its other calls."""
    end_s: float = 2.0
    """How long a worker may take to end after DRAIN before it is killed."""
    start_timeout_s: float = 60.0
    max_start_failures: int = 5
    backoff_s: float = 0.1
    """The first pause before a respawn after a failed start; it doubles up to `max_backoff_s`."""
    max_backoff_s: float = 5.0
    settled_s: float = 1.0
    """A worker that died sooner than this after it was ready counts as a failed respawn."""
    respawn: bool = True
    max_requests: int | None = None
    """Calls after which a worker is recycled: another one is started, and takes its place."""
    max_memory: int | None = None
    """Bytes of memory that a worker may use before it is recycled."""
    max_age_s: float | None = None
    """How long a worker serves before it is recycled."""
    jitter: float = 0.1
    """A worker's own `max_requests` and `max_age_s` are smaller by up to this share of them, so
    that those that started together are not recycled together."""
    max_retiring: int = 10
    """Recycled workers that may be busy with their last calls before the next one is recycled."""
    last_calls_s: float = 3600.0
    """How long a recycled worker may be busy with its last calls; most have deadlines."""
    max_recycle_backoff_s: float = 60.0
    """The longest pause before another try when the workers that are to take places fail to
    start."""
    reload: bool = False
    """Whether a worker that does not start waits for its code to be mended, as in development."""


class State(enum.Enum):
    STARTING = "starting"
    READY = "ready"
    RETIRING = "retiring"


TRANSITIONS: dict[tuple[State, str], State | None] = {
    (State.STARTING, "ready"): State.READY,
    (State.STARTING, "gone"): None,
    (State.READY, "replace"): State.RETIRING,
    (State.READY, "gone"): None,
    (State.RETIRING, "keep"): State.READY,
    (State.RETIRING, "gone"): None,
}


RESTART_REASONS = ("died", "unresponsive", "reload", "max_requests", "max_memory", "max_age")
"""Why a worker is followed by another one. A worker that did not start has died, too."""


class IllegalTransition(Exception):
    """An event that a worker's state does not allow: a bug in whoever sent the event."""


class Refused(Exception):
    """The call is not taken; `code` is "queue_full" or "draining"."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@dataclass(frozen=True, slots=True)
class Spawn:
    worker: int


@dataclass(frozen=True, slots=True)
class Send:
    worker: int
    call: int


@dataclass(frozen=True, slots=True)
class Cancel:
    """Tell the worker to drop the call."""

    worker: int
    call: int


@dataclass(frozen=True, slots=True)
class Fail:
    """Answer the call's caller with an error; `worker` is the one that died, where one did."""

    call: int
    code: str
    worker: int | None = None


@dataclass(frozen=True, slots=True)
class Ping:
    worker: int


@dataclass(frozen=True, slots=True)
class Drain:
    """Ask the worker to end in good order: it has no calls any more."""

    worker: int


@dataclass(frozen=True, slots=True)
class Kill:
    worker: int
    reason: str


@dataclass(frozen=True, slots=True)
class Recycled:
    """For the log: another worker has taken the worker's place; `reason` is a restart reason."""

    worker: int
    reason: str


@dataclass(frozen=True, slots=True)
class Halt:
    """The pool cannot go on; `reason` is "start_failures" or "no_respawn"."""

    reason: str
    worker: int


Action = Spawn | Send | Cancel | Fail | Ping | Drain | Kill | Recycled | Halt
