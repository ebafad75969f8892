"""The ledger's decisions as values: actions, refusals; and its timeouts. Runs in: manager."""

from __future__ import annotations

import enum
from collections.abc import Hashable
from dataclasses import dataclass

__all__ = [
    "SENTENCES",
    "Action",
    "ExitManager",
    "Grant",
    "Refusal",
    "Refuse",
    "ReportStopped",
    "StartHost",
    "StopHost",
    "Timeouts",
]


@dataclass(frozen=True, slots=True)
class Timeouts:
    """The ledger's time limits."""

    disconnect_timeout_s: float = 5.0
    """How long a host stays after its last holder has left; a config file may set another time.
    Also how long the manager waits for its first request, and after a start that failed."""
    start_timeout_s: float = 60.0
    """How long a host may take until it listens; then it is stopped."""


class Refusal(enum.Enum):
    """Why a request for a host is refused."""

    START_FAILED = "start_failed"
    START_TIMEOUT = "start_timeout"
    STOPPED = "stopped"
    DISCONNECTED = "disconnected"
    NO_RESPAWN = "no_respawn"
    """The host that this client held has ended for good: it must not respawn its workers."""
    LEAVING = "leaving"
    """This manager is about to end: the client needs a new one."""


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
    """It is a restart: on the same port, with the same log file."""


@dataclass(frozen=True, slots=True)
class StopHost:
    """End the process, by force if necessary; answer with `exited`."""

    config: str


@dataclass(frozen=True, slots=True)
class Grant:
    """Answer the request: the host listens."""

    waiter: Hashable
    config: str
    restarted: bool = False
    """The host that this client held before has died: the state in its memory is lost."""


@dataclass(frozen=True, slots=True)
class Refuse:
    """Answer the request: it does not get the host.

    `error` is the argument of `start_failed`, or one of SENTENCES.
    """

    waiter: Hashable
    error: object
    why: Refusal


@dataclass(frozen=True, slots=True)
class ReportStopped:
    """Answer the request: the host, or all hosts, have ended."""

    waiter: Hashable


@dataclass(frozen=True, slots=True)
class ExitManager:
    """End the manager: nothing is left to do. It is the last action, and comes once."""


Action = StartHost | StopHost | Grant | Refuse | ReportStopped | ExitManager
