"""The words that the ledger speaks: its numbers, a host's states, who holds it, and its actions.

Runs in: manager. A host's states, and what moves it on::

    ──start──▶ STARTING ──started──▶ RUNNING ──released──▶ IDLE
                  │                     │    ◀────held────   │
            stop, expire               stop            stop, expire
                  └──────────────▶ STOPPING ◀────────────────┘
                                        └──exited──▶ (forgotten)

A host that was taken over is RUNNING at once. A process that ends, or fails to start, is forgotten
from every state; `exited` and `start_failed` mean that nothing of it is left.
"""

from __future__ import annotations

import enum
from collections.abc import Hashable
from dataclasses import dataclass
from typing import TypedDict

__all__ = [
    "SENTENCES",
    "TRANSITIONS",
    "Action",
    "ExitManager",
    "Grant",
    "Holder",
    "HolderStatus",
    "HostState",
    "HostStatus",
    "IllegalTransition",
    "Refusal",
    "Refuse",
    "ReportStopped",
    "StartHost",
    "StopHost",
    "Timeouts",
]


@dataclass(frozen=True, slots=True)
class Timeouts:
    """The numbers that the ledger goes by; times in seconds."""

    disconnect_timeout_s: float = 5.0
    """How long a host stays when its last holder has left; a config file may name another time.
    Also how long a manager waits for the first request, and after a start that failed."""
    start_timeout_s: float = 60.0
    """How long a host may take until it listens, before it is stopped."""


@dataclass(frozen=True, slots=True, order=True)
class Holder:
    """A client process. The start time tells it from a later one with the same id."""

    pid: int
    started_at: float


class HostState(enum.Enum):
    STARTING = "starting"
    RUNNING = "running"
    """It listens, and somebody holds it."""
    IDLE = "idle"
    """It listens, nobody holds it, and it has a deadline."""
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
    (HostState.STOPPING, "started"): HostState.STOPPING,  # its report and our stop crossed
    (HostState.STOPPING, "start_failed"): None,
    (HostState.STOPPING, "exited"): None,
}


class IllegalTransition(Exception):
    """An event that a host's state does not allow: a bug in whoever sent the event."""

    def __init__(self, config: str, state: HostState | None, event: str) -> None:
        name = state.name if state is not None else "no"
        super().__init__(f"host of {config!r} in {name} state cannot take {event!r}")
        self.config = config
        self.state = state
        self.event = event


class Refusal(enum.Enum):
    """Why a caller that wanted a host does not get it."""

    START_FAILED = "start_failed"
    START_TIMEOUT = "start_timeout"
    STOPPED = "stopped"
    DISCONNECTED = "disconnected"
    NO_RESPAWN = "no_respawn"
    """The host that this client held has ended for good: it is not to respawn its workers."""
    LEAVING = "leaving"
    """The manager is on its way out: the caller needs a new one."""


SENTENCES: dict[Refusal, str] = {
    Refusal.START_FAILED: "{config}: the host's process ended while it started. Its log says why.",
    Refusal.START_TIMEOUT: "{config}: the host did not start in time and is stopped. "
    "Its log says how far it came.",
    Refusal.STOPPED: "{config}: the host was stopped by hand before it was ready. "
    "The next call starts it again.",
    Refusal.DISCONNECTED: "{config}: the client disconnected before the host was ready.",
    Refusal.NO_RESPAWN: "{config}: a worker died, and as respawn is off its host has ended. "
    "Restart this program to have another host.",
    Refusal.LEAVING: "{config}: this manager is stopping. Start another one and ask that.",
}


@dataclass(frozen=True, slots=True)
class StartHost:
    """Start a process for this config; answer with `started` or `start_failed`."""

    config: str
    again: bool = False
    """It is restarted: on the same port, with the same log file as before."""


@dataclass(frozen=True, slots=True)
class StopHost:
    """End the process, by force when it does not go; answer with `exited`."""

    config: str


@dataclass(frozen=True, slots=True)
class Grant:
    """Tell the caller that the host listens."""

    waiter: Hashable
    config: str
    restarted: bool = False
    """The host that this caller held before has died: what was in its memory is lost."""


@dataclass(frozen=True, slots=True)
class Refuse:
    """Tell the caller that it does not get the host.

    `error` is what `start_failed` was given, as it was given, or one of SENTENCES.
    """

    waiter: Hashable
    error: object
    why: Refusal


@dataclass(frozen=True, slots=True)
class ReportStopped:
    """Tell the caller that what it wanted stopped is gone."""

    waiter: Hashable


@dataclass(frozen=True, slots=True)
class ExitManager:
    """Nothing is left to do: end the manager. It comes once, as the last action."""


class HolderStatus(TypedDict):
    pid: int
    started_at: float


class HostStatus(TypedDict):
    config: str
    state: str
    holders: list[HolderStatus]
    waiting: int
    """Requests that wait until it listens, or until it is gone."""
    idle_s_left: float | None
    """None: it is not idle, or may be so for ever."""


Action = StartHost | StopHost | Grant | Refuse | ReportStopped | ExitManager
