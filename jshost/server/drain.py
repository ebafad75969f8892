"""When a host that stops is done with its calls: only the decision. Runs in: host."""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass

__all__ = ["DrainLimits", "DrainState"]

GOODBYE_S = 0.1
"""How long open connections are still read after the last one was accepted, because requests may
be on their way."""


class DrainState(enum.Enum):
    WAIT = "wait"
    """Calls still run, or may still arrive."""
    DONE = "done"
    """All calls are finished."""
    TIME_OVER = "time over"
    """Calls that still run are cut off: their time is over."""
    STOP_NOW = "stop now"
    """Calls that still run are cut off: a second signal came."""


@dataclass(frozen=True, slots=True)
class DrainLimits:
    """The deadlines of a drain, in seconds of one monotonic clock."""

    goodbye: float
    """Until then a connection that is open may bring another call."""
    end: float
    """Then calls are cut off."""

    @classmethod
    def begin(cls, now: float, timeout_s: float | None) -> DrainLimits:
        """A drain that begins now and takes at most so long (None: no limit)."""
        return cls(now + GOODBYE_S, now + (math.inf if timeout_s is None else timeout_s))

    def state(
        self, now: float, *, calls_done: bool, connections_closed: bool, stop_now: bool
    ) -> DrainState:
        """Where the drain stands."""
        if stop_now:
            return DrainState.STOP_NOW
        if now >= self.end:
            return DrainState.TIME_OVER
        if calls_done and (connections_closed or now >= self.goodbye):
            return DrainState.DONE
        return DrainState.WAIT
