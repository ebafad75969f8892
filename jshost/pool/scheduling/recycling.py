"""Which workers are recycled, and when.

Runs in: host, programs that embed. A worker is recycled once it has answered its number of calls,
uses more memory than it may, or has served for long enough: another one is started, and takes its
place when it is ready. Until then the worker goes on taking calls, unless its memory grows too
fast. One worker is recycled at a time.
"""

from __future__ import annotations

import enum
from collections.abc import Callable

from jshost.pool.scheduling.backoff import Backoff
from jshost.pool.scheduling.policy import Policy
from jshost.pool.scheduling.roster import Roster, Worker
from jshost.pool.scheduling.states import SERVING, Phase, State

__all__ = ["MemoryVerdict", "Recycling", "judge_memory"]

HOLD_AT = 1.5
"""From this share of `max_memory` on, a worker that waits for its successor gets no more calls."""
KILL_AT = 2.0
"""Past this share, a worker that grows though it gets no more calls is killed."""


class MemoryVerdict(enum.Enum):
    """What to do about a worker's use of memory."""

    FINE = "fine"
    RECYCLE = "recycle"
    HOLD = "hold"
    """Recycle it, and give it no more calls meanwhile."""
    KILL = "kill"


def judge_memory(rss: int, limit: int, held_rss: int | None) -> MemoryVerdict:
    """What to do about a worker that uses `rss` bytes.

    Args:
        limit: the bytes that it may use.
        held_rss: the bytes that it used before, since it gets no more calls; None: it gets calls.
    """
    if held_rss is not None and rss > held_rss and rss >= KILL_AT * limit:
        return MemoryVerdict.KILL
    if rss >= HOLD_AT * limit:
        return MemoryVerdict.HOLD
    return MemoryVerdict.RECYCLE if rss >= limit else MemoryVerdict.FINE


class Recycling:
    """The workers that are to be recycled.

    Attributes:
        reasons: why each of them is, by number, until another has taken its place.
        backoff: delays the next attempt when a new worker fails to start.
    """

    def __init__(self, roster: Roster, random: Callable[[], float]) -> None:
        self.reasons: dict[int, str] = {}
        self.backoff = Backoff()
        self._roster = roster
        self._random = random

    def set_limits(self, worker: Worker, policy: Policy, now: float) -> None:
        """How many calls the worker answers from now on, and until when it serves."""
        share = 1.0 - policy.jitter * self._random()
        calls, age_s = policy.max_requests, policy.max_age_s
        worker.calls_left = None if calls is None else max(int(calls * share), 1)
        worker.age_by = None if age_s is None else now + age_s * share

    def next_worker(self, policy: Policy, now: float) -> Worker | None:
        """The worker that another may be started for now."""
        if not self.reasons or now < self.backoff.until:
            return None
        workers = self._roster.workers.values()
        busy = sum(bool(each.calls) for each in workers if each.state.phase is Phase.RETIRING)
        waiting = [each for each in workers if each.number in self.reasons]
        if busy >= policy.max_retiring or any(map(self._roster.successor_of, waiting)):
            return None
        return next((each for each in waiting if each.state in SERVING), None)

    def predecessor_of(self, number: int) -> Worker | None:
        """The worker whose place the worker `number` is to take."""
        for each in self.reasons:
            if self._roster.workers[each].successor == number:
                return self._roster.workers[each]
        return None

    @property
    def staying(self) -> int:
        """How many workers there are that no other has replaced, or is to replace."""
        workers = self._roster.workers.values()
        return sum(self._stays(worker) for worker in workers if worker.state is not State.OUTDATED)

    def _stays(self, worker: Worker) -> bool:
        if worker.number in self.reasons:
            return self._roster.successor_of(worker) is None
        return worker.state.phase is not Phase.RETIRING

    def has_successor(self, worker: Worker) -> bool:
        """Whether another worker is to take the worker's place."""
        return worker.number in self.reasons and self._roster.successor_of(worker) is not None

    def may_hold(self, worker: Worker) -> bool:
        """Whether the worker can be given no more calls: while attempts fail, it may be all that
        there is."""
        return self.has_successor(worker) and not self.backoff.failures
