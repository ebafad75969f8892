"""A host as the ledger knows it: its state, its holders, its waiters. Runs in: manager.

The states and the events that change them::

    ──start──▶ STARTING ──started──▶ RUNNING ──released──▶ IDLE
                  │                     │    ◀────held────   │
            stop, expire               stop            stop, expire
                  └──────────────▶ STOPPING ◀────────────────┘
                                        └──exited──▶ (forgotten)

A host that was taken over is RUNNING at once. A process that ends or fails to start is forgotten
from every state: after `exited` and `start_failed` nothing of it is left.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import TypedDict

__all__ = [
    "TRANSITIONS",
    "Holder",
    "HolderStatus",
    "HostState",
    "HostStatus",
    "IllegalHostEvent",
    "ManagedHost",
]


@dataclass(frozen=True, slots=True, order=True)
class Holder:
    """A client process. Its start time distinguishes it from a later one with the same id."""

    pid: int
    started_at: float


class HostState(enum.Enum):
    STARTING = "starting"
    RUNNING = "running"
    """It listens, and clients hold it."""
    IDLE = "idle"
    """It listens, no client holds it, and it has a deadline."""
    STOPPING = "stopping"


TRANSITIONS: dict[tuple[HostState | None, str], HostState | None] = {
    (None, "start"): HostState.STARTING,
    (None, "take_over"): HostState.RUNNING,
    (HostState.STARTING, "started"): HostState.RUNNING,
    (HostState.STARTING, "start_failed"): None,
    (HostState.STARTING, "exited"): None,
    (HostState.STARTING, "expire"): HostState.STOPPING,
    (HostState.STARTING, "stop"): HostState.STOPPING,
    (HostState.RUNNING, "released"): HostState.IDLE,
    (HostState.RUNNING, "exited"): None,
    (HostState.RUNNING, "stop"): HostState.STOPPING,
    (HostState.IDLE, "held"): HostState.RUNNING,
    (HostState.IDLE, "exited"): None,
    (HostState.IDLE, "expire"): HostState.STOPPING,
    (HostState.IDLE, "stop"): HostState.STOPPING,
    (HostState.STOPPING, "stop"): HostState.STOPPING,
    (HostState.STOPPING, "started"): HostState.STOPPING,  # its report crossed our `StopHost`
    (HostState.STOPPING, "start_failed"): None,
    (HostState.STOPPING, "exited"): None,
}


class IllegalHostEvent(Exception):
    """An event that a host's state does not allow: a bug in the supervisor."""

    def __init__(self, config: str, state: HostState | None, event: str) -> None:
        name = state.name if state is not None else "no"
        super().__init__(f"host of {config!r} in {name} state cannot take {event!r}")
        self.config = config
        self.state = state
        self.event = event


class HolderStatus(TypedDict):
    pid: int
    started_at: float


class HostStatus(TypedDict):
    config: str
    state: str
    holders: list[HolderStatus]
    waiting: int
    """Requests that wait until it listens, or until it has ended."""
    idle_s_left: float | None
    """None: it is not idle, or may be idle for ever."""


@dataclass(slots=True)
class ManagedHost:
    """One host. Its process may be starting, listening, or ending."""

    config: str
    state: HostState = HostState.STARTING
    due: float = math.inf
    """When it is stopped: in STARTING if it does not listen by then, in IDLE if still idle."""
    timeout_s: float = math.inf
    """How long it may be idle; known once it listens."""
    holders: set[Holder] = field(default_factory=set)
    """In STOPPING: the holders of the next process."""
    waiters: dict[Hashable, Holder | None] = field(default_factory=dict)
    """Requests that wait until it listens. In STOPPING: if there are any, it starts again."""
    stop_waiters: list[Hashable] = field(default_factory=list)
    again: bool = False
    """In STOPPING: the next process takes over port and log."""

    def describe(self, now: float) -> HostStatus:
        """The host as data that JSON can carry."""
        is_limited = self.state is HostState.IDLE and math.isfinite(self.due)
        return HostStatus(
            config=self.config,
            state=self.state.value,
            holders=[
                HolderStatus(pid=holder.pid, started_at=holder.started_at)
                for holder in sorted(self.holders)
            ],
            waiting=len(self.waiters) + len(self.stop_waiters),
            idle_s_left=max(0.0, self.due - now) if is_limited else None,
        )
