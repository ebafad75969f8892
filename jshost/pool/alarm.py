"""Asks the scheduler again when something falls due. Runs in: host, programs that embed."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Protocol

from jshost.pool.loop import Handle, Loop

__all__ = ["Alarm"]


class Planner(Protocol):
    """The scheduler."""

    @property
    def next_wake(self) -> float:
        """When it wants to be asked next, in monotonic seconds."""


class Alarm:
    """One timer, set to when the scheduler wants to be asked next.

    Args:
        ring: called at that time; it lets the scheduler decide.

    Attributes:
        at: when it rings; infinity while it is not set.
    """

    def __init__(self, scheduler: Planner, loop: Loop, ring: Callable[[], None]) -> None:
        self.at = math.inf
        self._scheduler = scheduler
        self._loop = loop
        self._ring = ring
        self._timer: Handle | None = None

    def set(self) -> None:
        """Set it to the scheduler's `next_wake`, if that is earlier than it rings now."""
        at = self._scheduler.next_wake
        if at >= self.at:
            return
        self.stop()
        self._timer = self._loop.call_later(max(at - time.monotonic(), 0), self._on_time)
        self.at = at  # last: after Ctrl-C in between it is set again

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _on_time(self) -> None:
        self.at = math.inf
        self._ring()
