"""Which workers are recycled, and when.

Runs in: host, programs that embed. A worker is recycled once it has answered its number of calls,
uses more memory than it may, or has served for long enough: another one is started, and takes its
place when it is ready. Until then the worker goes on taking calls, unless its memory grows too
fast. One worker is recycled at a time.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Callable

from jshost.pool.scheduling.backoff import Backoff
from jshost.pool.scheduling.policy import Policy
from jshost.pool.scheduling.roster import Roster, Worker
from jshost.pool.scheduling.states import (
    HELD_BACK,
    RECYCLING,
    SERVING,
    STOPPING,
    Phase,
    State,
)

__all__ = ["MemoryVerdict", "Recycling"]

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

    def judge_memory(self, worker: Worker, rss: int, limit: int | None) -> MemoryVerdict:
        """What to do about a worker that uses `rss` bytes and may use `limit`; None: no limit."""
        if limit is None or worker.state in STOPPING:
            return MemoryVerdict.FINE
        if worker.base_rss is None:
            worker.base_rss = rss
        if worker.state is State.STARTING or worker.base_rss >= limit:
            return MemoryVerdict.FINE
        if worker.state.phase is Phase.RETIRING:
            before, worker.held_rss = worker.held_rss, rss
            grows = before is not None and rss > before
            return MemoryVerdict.KILL if grows and rss >= KILL_AT * limit else MemoryVerdict.FINE
        if rss >= HOLD_AT * limit:
            return MemoryVerdict.HOLD
        return MemoryVerdict.RECYCLE if rss >= limit else MemoryVerdict.FINE

    def request(self, worker: Worker, reason: str) -> bool:
        """Have the worker recycled when its turn comes; False: it cannot be, or is to be anyway."""
        if worker.state not in SERVING or worker.number in self.reasons:
            return False
        self.reasons[worker.number] = reason
        return True

    def take_over(self, old: Worker, now: float) -> str | None:
        """Another worker takes the place of `old`. Returns why, or None: it is not to be."""
        if old.number not in self.reasons or old.state in STOPPING:
            return None
        self.backoff.succeeded()
        self._roster.move(old, "take_over", now)
        return self.reasons.pop(old.number)

    def keep(self, old: Worker, policy: Policy, now: float) -> None:
        """The worker that was to take the place of `old` is gone: try again later."""
        self.backoff.failed(policy.backoff_s, policy.max_recycle_backoff_s, now)
        old.successor = None
        if old.state in HELD_BACK:
            self._roster.move(old, "keep", now)
            old.held_rss = None

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

    def wakes(self, policy: Policy) -> list[float]:
        """When something may be due for each worker."""
        wakes = []
        for worker in self._roster.workers.values():
            since = worker.since
            if worker.state.phase is Phase.STARTING:
                wakes.append(since + policy.start_timeout_s)
            elif worker.state.phase is Phase.RETIRING:
                limit_s = policy.last_calls_s if worker.state in RECYCLING else policy.drain_s
                by = worker.end_by or math.inf
                wakes += [since + policy.unresponsive_s, since + limit_s, by]
            elif worker.number in self.reasons:
                wakes.append(self.backoff.until)
            else:
                wakes.append(worker.age_by or math.inf)
        return wakes
