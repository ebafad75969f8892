"""The workers of one pool, and which one follows which: only decisions, no I/O.

Runs in: host (and whoever owns a pool). The part of the scheduler that is not about calls.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from jshost.pool.scheduling.decisions import (
    TRANSITIONS,
    Action,
    Drain,
    Fail,
    Halt,
    IllegalTransition,
    Kill,
    Policy,
    Recycled,
    Send,
    Spawn,
    State,
)
from jshost.pool.scheduling.recycling import Tries, own_limits
from jshost.pool.scheduling.respawns import Respawns

__all__ = ["Call", "Succession", "Worker"]


_READY = State.READY
"""A name of our own: an enum's members take a while to look up."""


@dataclass(slots=True)
class Call:
    deadline: float
    worker: int | None = None
    drop_by: float | None = None
    """Set once the call was cancelled: when its worker must have dropped it."""


@dataclass(slots=True)
class Worker:
    number: int
    since: float
    """When it entered its state."""
    state: State = State.STARTING
    calls: set[int] = field(default_factory=set)
    responsive: bool = True
    """False from a PING, sent with every Cancel, until its PONG: it may be in an endless loop."""
    replacement: int | None = None
    doomed: bool = False
    """Its end was begun, or its channel is closed: it gets no calls."""
    superseded: bool = False
    """It was still starting when its code changed: its end says nothing of the code."""
    end_by: float | None = None
    """Set once it was asked to end: when it is killed instead."""
    calls_left: int | None = None
    """How many more calls it answers before it is recycled."""
    age_by: float | None = None
    """When it is recycled."""
    reason: str = ""
    """Why it is to be recycled; until another one has taken its place."""
    patient: bool = False
    """Whether it retires because it was recycled: its last calls are waited for."""
    base_rss: int | None = None
    """What memory it used before its first call."""
    held_rss: int | None = None
    """What memory it used at last, since it gets no more calls."""


class Succession:
    """Calls and workers, and the decisions that follow from events; `Scheduler` has the events."""

    def __init__(self, policy: Policy, random: Callable[[], float] = lambda: 0.0) -> None:
        self.policy = policy
        self.workers: dict[int, Worker] = {}
        self.calls: dict[int, Call] = {}
        self.queue: dict[int, Call] = {}
        self.draining = False
        self.halted = False
        self.broken = False
        """With `Policy.reload`: the code does not load; `reload` ends it."""
        self.next_wake = math.inf
        self.restarts: Counter[str] = Counter()
        """How many workers were followed by another, by reason; see `decisions.RESTART_REASONS`."""
        self._random = random
        self._spawned = 0
        self._respawns = Respawns()
        self._tries = Tries()

    # Spawning

    @property
    def _wants_workers(self) -> bool:
        """Whether a worker that is gone is to be followed by another."""
        return not self.halted and (not self.draining or bool(self.queue))

    def _spawn(self, now: float) -> Spawn:
        self._spawned += 1
        self.workers[self._spawned] = Worker(self._spawned, now)
        self.next_wake = min(self.next_wake, now + self.policy.start_timeout_s)
        return Spawn(self._spawned)

    def _spawn_missing(self, now: float) -> list[Action]:
        if self.draining or self.halted:
            return []
        there = sum(
            not worker.superseded and self._is_missed(worker) for worker in self.workers.values()
        )
        missing = self.policy.workers - there - len(self._respawns.due)
        return [self._spawn(now) for _ in range(missing)]

    def _is_missed(self, worker: Worker) -> bool:
        """Whether there will be one less without it: no other has taken its place, or is to."""
        if worker.reason:
            return self._successor(worker) is None
        return worker.state is not State.RETIRING

    def _respawn(self, worker: Worker, now: float) -> list[Action]:
        """At once after the first death, later and later while they come early."""
        is_start = worker.state is State.STARTING
        if is_start:
            if self._respawns.start_failed() >= self.policy.max_start_failures:
                return self._halt("start_failures", worker.number)
        else:
            self._respawns.died(now - worker.since, self.policy)
        self.restarts["died"] += 1
        due = self._respawns.plan(is_start, self.policy, now)
        if due is None:
            return [self._spawn(now)]
        self.next_wake = min(self.next_wake, due)
        return []

    def _halt(self, reason: str, number: int) -> list[Action]:
        self.halted = True
        return [*self._fail_queued("worker_died", number), Halt(reason, number)]

    def _move(self, number: int, event: str, now: float) -> Worker:
        worker = self.workers.get(number)
        state = worker.state if worker is not None else None
        if worker is None or state is None or (state, event) not in TRANSITIONS:
            name = state.name if state is not None else "no"
            raise IllegalTransition(f"worker {number} in {name} state cannot take {event!r}")
        target = TRANSITIONS[state, event]
        if target is not None:
            worker.state, worker.since = target, now
        return worker

    # Replacing: the old one gets no more calls

    def _replace(self, worker: Worker, reason: str, now: float) -> list[Action]:
        """A new worker first; the old one gets no more calls."""
        if worker.state is not State.READY or self.draining or self.halted:
            return []
        self._move(worker.number, "replace", now)
        self.restarts[reason] += 1
        worker.reason = ""
        self.next_wake = min(self.next_wake, now + self.policy.unresponsive_s)
        if self._successor(worker) is not None:
            return []
        spawn = self._spawn(now)
        worker.replacement = spawn.worker
        return [spawn]

    def _give_up(self, worker: Worker, now: float) -> list[Action]:
        """It has not dropped a cancelled call in time."""
        if not worker.patient:
            return self._replace(worker, "unresponsive", now)
        worker.patient, worker.since = False, now
        return []

    def _retire_if_done(self, worker: Worker, now: float) -> list[Action]:
        """End a retiring worker when nothing holds it, or when its time is over."""
        successor = self.workers.get(worker.replacement or 0)
        if worker.doomed:
            if worker.end_by is None or worker.end_by > now:
                return []
            worker.end_by = None
            return [Kill(worker.number, "did not end when it was asked to")]
        if successor is not None and successor.state is State.STARTING:
            return []
        waited, limit = now - worker.since, self.policy.drain_s
        if worker.patient:
            limit = self.policy.last_calls_s
        elif not worker.responsive:
            limit = self.policy.unresponsive_s
        if waited < limit and not all(self._is_stuck(call, worker, now) for call in worker.calls):
            self.next_wake = min(self.next_wake, worker.since + limit)
            return []
        worker.doomed = True
        if worker.calls:
            late = "was busy with its last calls for too long"
            return [
                Kill(worker.number, late if worker.patient else "did not drop a cancelled call")
            ]
        worker.end_by = now + self.policy.end_s
        self.next_wake = min(self.next_wake, worker.end_by)
        return [Drain(worker.number)]

    def _is_stuck(self, call: int, worker: Worker, now: float) -> bool:
        """Whether nobody waits for the call, and nothing is to be hoped for."""
        drop_by = self.calls[call].drop_by
        return drop_by is not None and (drop_by <= now or not worker.patient)

    def _successor(self, worker: Worker) -> Worker | None:
        """The worker that was started to take its place."""
        successor = self.workers.get(worker.replacement or 0)
        return successor if successor is not None and not successor.superseded else None

    # Recycling: the old one goes on until the new one is ready

    def _set_limits(self, worker: Worker, now: float) -> None:
        worker.calls_left, worker.age_by = own_limits(self.policy, self._random, now)
        self.next_wake = min(self.next_wake, worker.age_by or math.inf)

    def _recycle(self, worker: Worker, reason: str, now: float) -> list[Action]:
        """Have another worker take its place; until that one is ready, it goes on."""
        if worker.state is not State.READY or worker.doomed or worker.reason:
            return []
        worker.reason = reason
        return self._recycle_next(now)

    def _recycle_next(self, now: float) -> list[Action]:
        """Start one worker that takes another's place, if one is to be recycled and may be."""
        waiting = [worker for worker in self.workers.values() if worker.reason]
        if not waiting or self.draining or self.halted or now < self._tries.at:
            return []
        retiring = sum(
            worker.state is State.RETIRING and bool(worker.calls)
            for worker in self.workers.values()
        )
        if retiring >= self.policy.max_retiring or any(map(self._successor, waiting)):
            return []
        for worker in waiting:
            if worker.state is State.READY and not worker.doomed:
                spawn = self._spawn(now)
                worker.replacement = spawn.worker
                return [spawn]
        return []

    def _take_place(self, old: Worker, now: float) -> list[Action]:
        """The worker that was started for it is ready."""
        if old.doomed or self.draining or self.halted:
            return []
        self._tries.succeeded()
        if old.state is State.READY:
            self._move(old.number, "replace", now)
            old.patient = True
            self.next_wake = min(self.next_wake, now + self.policy.last_calls_s)
        reason, old.reason = old.reason, ""
        self.restarts[reason] += 1
        return [Recycled(old.number, reason)]

    def _keep(self, old: Worker, now: float) -> list[Action]:
        """The worker that was to take its place is gone."""
        old.replacement = None
        self._tries.failed(self.policy, now)
        self.next_wake = min(self.next_wake, self._tries.at)
        if old.state is State.RETIRING and not old.doomed:
            self._move(old.number, "keep", now)
            old.patient, old.held_rss = False, None
        return self._send_queued()

    # Calls

    @property
    def ready(self) -> bool:
        """Whether a worker can take a call now."""
        if self.draining or self.halted:
            return False
        return any(w.state is State.READY and not w.doomed for w in self.workers.values())

    def _least_loaded(self) -> Worker | None:
        best: Worker | None = None
        fewest = self.policy.concurrency
        for worker in self.workers.values():
            load = len(worker.calls)
            if load < fewest and worker.responsive and not worker.doomed and worker.state is _READY:
                best, fewest = worker, load
        return best

    def _send_queued(self) -> list[Action]:
        actions: list[Action] = []
        while self.queue:
            worker = self._least_loaded()
            if worker is None:
                break
            call = next(iter(self.queue))
            record = self.queue.pop(call)
            record.worker = worker.number
            worker.calls.add(call)
            actions.append(Send(worker.number, call))
        return actions

    def _fail_queued(self, code: str, number: int) -> list[Action]:
        fails: list[Action] = [Fail(call, code, number) for call in self.queue]
        for call in self.queue:
            del self.calls[call]
        self.queue.clear()
        return fails
