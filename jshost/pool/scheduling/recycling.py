"""When a worker is to be recycled: only decisions, no I/O.

Runs in: host (and whoever owns a pool). A worker that has answered its number of calls, uses more
memory than it may, or has served for long enough is recycled: another one is started, and takes its
place once it is ready. Until then it goes on taking calls, unless its memory grows too fast.
"""

from __future__ import annotations

import enum
from collections.abc import Callable

from jshost.pool.scheduling.decisions import Policy
from jshost.pool.scheduling.respawns import pause_s

__all__ = ["Memory", "Tries", "judge_memory", "own_limits"]

HOLD_AT = 1.5
"""From this share of `max_memory` on, a worker that waits for its successor gets no more calls."""
KILL_AT = 2.0
"""Past this share, a worker that grows though it gets no more calls is killed."""


def own_limits(
    policy: Policy, random: Callable[[], float], ready_at: float
) -> tuple[int | None, float | None]:
    """How many calls a worker answers, and until when it serves; None: no limit."""
    share = 1.0 - policy.jitter * random()
    calls, age_s = policy.max_requests, policy.max_age_s
    return (
        None if calls is None else max(int(calls * share), 1),
        None if age_s is None else ready_at + age_s * share,
    )


class Memory(enum.Enum):
    """What a worker's use of memory calls for."""

    FINE = "fine"
    RECYCLE = "recycle"
    HOLD = "hold"
    """Recycle it, and give it no more calls meanwhile."""
    KILL = "kill"


def judge_memory(rss: int, limit: int, held_rss: int | None) -> Memory:
    """What to do about a worker that uses `rss` bytes.

    Args:
        limit: what it may use.
        held_rss: what it used before, at a time when it got no more calls; None: it gets calls.
    """
    if held_rss is not None and rss > held_rss and rss >= KILL_AT * limit:
        return Memory.KILL
    if rss >= HOLD_AT * limit:
        return Memory.HOLD
    return Memory.RECYCLE if rss >= limit else Memory.FINE


class Tries:
    """Whether another worker may be started to take one's place, after such ones have failed."""

    def __init__(self) -> None:
        self.failures = 0
        self.at = 0.0
        """Not before then."""

    def succeeded(self) -> None:
        self.failures, self.at = 0, 0.0

    def failed(self, policy: Policy, now: float) -> None:
        self.failures += 1
        self.at = now + pause_s(self.failures, policy.backoff_s, policy.max_recycle_backoff_s)
