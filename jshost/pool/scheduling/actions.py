"""What the scheduler answers: actions for the pool to carry out, and refusals.

Runs in: host, programs that embed.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = [
    "RESTART_REASONS",
    "Action",
    "Cancel",
    "Drain",
    "Fail",
    "Halt",
    "Kill",
    "Ping",
    "Recycled",
    "Refused",
    "Send",
    "Spawn",
]

RESTART_REASONS = ("died", "unresponsive", "reload", "max_requests", "max_memory", "max_age")
"""Why a worker is followed by another one. A worker that did not start has died, too."""


class Refused(Exception):
    """The call is not taken; `code` is "queue_full", "draining" or "load_failed"."""

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
    """Have the worker drop the call."""

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
