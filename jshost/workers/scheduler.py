"""Which worker gets which call, and when a worker is replaced: only decisions, no I/O.

Runs in: host (and whoever owns a pool). Events and the time go in as method calls; what must be
done comes out as a list of actions, which `pool` carries out. Times are seconds of one monotonic
clock. `next_wake` says when `tick` wants to be called.

The words it uses stand in `decisions`.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field

from jshost.workers.decisions import (
    TRANSITIONS,
    Action,
    Cancel,
    Drain,
    Fail,
    Halt,
    IllegalTransition,
    Kill,
    Ping,
    Policy,
    Refused,
    Send,
    Spawn,
    State,
)

__all__ = ["Scheduler"]


@dataclass(slots=True)
class _Call:
    deadline: float
    worker: int | None = None
    drop_by: float | None = None
    """Set once the call was cancelled: when its worker must have dropped it."""


@dataclass(slots=True)
class _Worker:
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


class Scheduler:
    """Decides for one pool. Every method that takes `now` may be called in any order of events."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self.workers: dict[int, _Worker] = {}
        self.calls: dict[int, _Call] = {}
        self.queue: dict[int, _Call] = {}
        self.draining = False
        self.halted = False
        self.broken = False
        """With `Policy.reload`: the code does not load; `reload` ends it."""
        self.next_wake = math.inf
        self.restarts: Counter[str] = Counter()
        """How many workers were followed by another, by reason; see `decisions.RESTART_REASONS`."""
        self._spawned = 0
        self._failed_starts = 0
        self._early_deaths = 0
        self._respawns: list[float] = []

    # Calls

    def submit(self, call: int, deadline: float, now: float) -> int | None:
        """Take a call. Returns the worker to send it to, or None: it waits in the queue.

        Raises:
            Refused: the queue is full, the pool is draining or halted, or its code does not load.
        """
        if self.draining or self.halted:
            raise Refused("draining")
        if self.broken:
            raise Refused("load_failed")
        worker = self._least_loaded()
        record = _Call(deadline)
        if worker is None:
            if len(self.queue) >= self.policy.max_queue:
                raise Refused("queue_full")
            self.queue[call] = record
        else:
            record.worker = worker.number
            worker.calls.add(call)
        self.calls[call] = record
        if deadline < self.next_wake:
            self.next_wake = deadline
        return record.worker

    def finished(self, call: int, now: float) -> list[Action]:
        """The worker answered the call, or dropped it after a Cancel."""
        record = self.calls.pop(call, None)
        if record is None or record.worker is None:
            return []
        worker = self.workers[record.worker]
        worker.calls.discard(call)
        if record.drop_by is not None:
            worker.responsive = True  # what can drop a call can take one
        if worker.state is State.RETIRING:
            return self._retire_if_done(worker, now)
        return self._send_queued() if self.queue else []

    def cancel(self, call: int, now: float) -> list[Action]:
        """The caller left: nobody waits for the answer any more."""
        record = self.calls.get(call)
        if record is None or record.drop_by is not None:
            return []
        if record.worker is None:
            del self.calls[call], self.queue[call]
            return []
        return self._cancel(call, record, now)

    def worker_of(self, call: int) -> int | None:
        """The worker that runs the call, or None: it waits, or has ended."""
        record = self.calls.get(call)
        return record.worker if record is not None else None

    # Workers

    def start(self, now: float) -> list[Action]:
        """Spawn the first worker; the others follow once it has shown that the config loads."""
        return [self._spawn(now)]

    def set_policy(self, policy: Policy, now: float) -> list[Action]:
        """Go by other numbers from now on, with as many workers as they say."""
        self.policy = policy
        return self._spawn_missing(now) + self._send_queued()

    def worker_ready(self, number: int, now: float) -> list[Action]:
        self._move(number, "ready", now)
        self._failed_starts = 0
        actions: list[Action] = []
        for other in list(self.workers.values()):
            if other.state is State.RETIRING:
                actions += self._retire_if_done(other, now)
        return actions + self._spawn_missing(now) + self._send_queued()

    def reload(self, now: float) -> list[Action]:
        """The code has changed: new workers for new calls, and the old ones finish theirs."""
        if self.draining or self.halted:
            return []
        self.broken = False
        self._respawns.clear()
        actions: list[Action] = []
        for worker in list(self.workers.values()):
            if worker.state is State.READY and not worker.doomed:
                actions += self._replace(worker, "reload", now)
            elif worker.state is State.STARTING and not worker.superseded:
                if not worker.doomed:
                    reason = "had begun to load what has changed since"
                    actions.append(Kill(worker.number, reason))
                worker.doomed = worker.superseded = True
        return actions + self._spawn_missing(now)

    def pong(self, number: int) -> list[Action]:
        """The worker answered a PING: its event loop is alive, and it can take calls."""
        if number in self.workers:
            self.workers[number].responsive = True
        return self._send_queued()

    def worker_lost(self, number: int) -> None:
        """The worker's channel is closed: no more calls, though its process may not have ended."""
        self.workers[number].doomed = True

    def worker_gone(self, number: int, now: float) -> list[Action]:
        """The worker's process has ended, or broke the protocol and was killed."""
        worker = self._move(number, "gone", now)
        state = worker.state
        del self.workers[number]
        actions: list[Action] = []
        for call in worker.calls:
            record = self.calls.pop(call)
            if record.drop_by is None:  # else its caller was answered long ago
                actions.append(Fail(call, "worker_died", number))
        if state is State.RETIRING or worker.superseded or not self._wants_workers:
            return actions
        if state is State.STARTING and self.policy.reload and not self.ready:
            self.broken = True
            return actions + self._fail_queued("load_failed", number)
        if state is State.READY and not self.policy.respawn:
            return actions + self._halt("no_respawn", number)
        return actions + self._respawn(worker, now)

    # Time

    def tick(self, now: float) -> list[Action]:
        """Whatever has fallen due: deadlines, graces, respawns, start timeouts."""
        actions: list[Action] = []
        for call, record in list(self.calls.items()):
            if record.drop_by is not None:
                if record.drop_by <= now and record.worker is not None:
                    actions += self._replace(self.workers[record.worker], "unresponsive", now)
            elif record.deadline <= now:
                actions.append(Fail(call, "timeout"))
                if record.worker is None:
                    del self.calls[call], self.queue[call]
                else:
                    actions += self._cancel(call, record, now)
        for worker in list(self.workers.values()):
            if worker.state is State.RETIRING:
                actions += self._retire_if_done(worker, now)
            elif (
                worker.state is State.STARTING
                and now - worker.since >= self.policy.start_timeout_s
                and not worker.doomed
            ):
                worker.doomed = True
                actions.append(Kill(worker.number, "did not start in time"))
        due = [at for at in self._respawns if at <= now]
        self._respawns = [at for at in self._respawns if at > now]
        if self._wants_workers:
            actions += [self._spawn(now) for _ in due]
        self._plan_wake(now)
        return actions

    # The end

    def drain(self) -> None:
        """Take no more calls; those there are go on."""
        self.draining = True

    def halt(self) -> list[Action]:
        """Start no more workers; calls that still wait for one are refused."""
        self.halted = True
        return self._fail_queued("draining", 0)

    @property
    def idle(self) -> bool:
        """Whether no call waits or runs for a caller who still listens."""
        return all(record.drop_by is not None for record in self.calls.values())

    @property
    def ready(self) -> bool:
        """Whether a worker can take a call now."""
        if self.draining or self.halted:
            return False
        return any(w.state is State.READY and not w.doomed for w in self.workers.values())

    # Decisions

    @property
    def _wants_workers(self) -> bool:
        """Whether a worker that is gone is to be followed by another."""
        return not self.halted and (not self.draining or bool(self.queue))

    def _least_loaded(self) -> _Worker | None:
        best: _Worker | None = None
        fewest = self.policy.concurrency
        for worker in self.workers.values():
            if worker.state is not State.READY or worker.doomed or not worker.responsive:
                continue
            if len(worker.calls) < fewest:
                best, fewest = worker, len(worker.calls)
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

    def _cancel(self, call: int, record: _Call, now: float) -> list[Action]:
        """Have the call dropped; until the worker answers the PING it gets no other calls."""
        assert record.worker is not None
        record.drop_by = now + self.policy.cancel_grace_s
        self.next_wake = min(self.next_wake, record.drop_by)
        self.workers[record.worker].responsive = False
        return [Cancel(record.worker, call), Ping(record.worker)]

    def _replace(self, worker: _Worker, reason: str, now: float) -> list[Action]:
        """A new worker first; the old one gets no more calls."""
        if worker.state is not State.READY or self.draining or self.halted:
            return []
        self._move(worker.number, "replace", now)
        self.restarts[reason] += 1
        spawn = self._spawn(now)
        worker.replacement = spawn.worker
        self.next_wake = min(self.next_wake, now + self.policy.unresponsive_s)
        return [spawn]

    def _retire_if_done(self, worker: _Worker, now: float) -> list[Action]:
        """End a retiring worker when nothing holds it, or when its time is over."""
        successor = self.workers.get(worker.replacement or 0)
        if worker.doomed:
            if worker.end_by is None or worker.end_by > now:
                return []
            worker.end_by = None
            return [Kill(worker.number, "did not end when it was asked to")]
        if successor is not None and successor.state is State.STARTING:
            return []
        stuck = [call for call in worker.calls if self.calls[call].drop_by is not None]
        waited = now - worker.since
        limit = self.policy.drain_s if worker.responsive else self.policy.unresponsive_s
        if len(stuck) < len(worker.calls) and waited < limit:
            self.next_wake = min(self.next_wake, worker.since + limit)
            return []
        worker.doomed = True
        if worker.calls:
            return [Kill(worker.number, "did not drop a cancelled call")]
        worker.end_by = now + self.policy.end_s
        self.next_wake = min(self.next_wake, worker.end_by)
        return [Drain(worker.number)]

    def _respawn(self, worker: _Worker, now: float) -> list[Action]:
        """At once after the first death, later and later while they come early."""
        if worker.state is State.STARTING:
            self._failed_starts += 1
            if self._failed_starts >= self.policy.max_start_failures:
                return self._halt("start_failures", worker.number)
        elif now - worker.since < self.policy.settled_s:
            self._early_deaths += 1
        else:
            self._early_deaths = 0
        self.restarts["died"] += 1
        failures = self._failed_starts + self._early_deaths
        if worker.state is State.READY and failures <= 1:
            return [self._spawn(now)]
        pause = self.policy.backoff_s * 2.0 ** min(failures - 1, 30)
        due = now + min(pause, self.policy.max_backoff_s)
        self._respawns.append(due)
        self.next_wake = min(self.next_wake, due)
        return []

    def _halt(self, reason: str, number: int) -> list[Action]:
        self.halted = True
        return [*self._fail_queued("worker_died", number), Halt(reason, number)]

    def _fail_queued(self, code: str, number: int) -> list[Action]:
        fails: list[Action] = [Fail(call, code, number) for call in self.queue]
        for call in self.queue:
            del self.calls[call]
        self.queue.clear()
        return fails

    def _spawn_missing(self, now: float) -> list[Action]:
        if self.draining or self.halted:
            return []
        there = sum(
            worker.state is not State.RETIRING and not worker.superseded
            for worker in self.workers.values()
        )
        missing = self.policy.workers - there - len(self._respawns)
        return [self._spawn(now) for _ in range(missing)]

    def _spawn(self, now: float) -> Spawn:
        self._spawned += 1
        self.workers[self._spawned] = _Worker(self._spawned, now)
        self.next_wake = min(self.next_wake, now + self.policy.start_timeout_s)
        return Spawn(self._spawned)

    def _move(self, number: int, event: str, now: float) -> _Worker:
        worker = self.workers.get(number)
        state = worker.state if worker is not None else None
        if worker is None or state is None or (state, event) not in TRANSITIONS:
            name = state.name if state is not None else "no"
            raise IllegalTransition(f"worker {number} in {name} state cannot take {event!r}")
        target = TRANSITIONS[state, event]
        if target is not None:
            worker.state, worker.since = target, now
        return worker

    def _plan_wake(self, now: float) -> None:
        wakes = [r.deadline if r.drop_by is None else r.drop_by for r in self.calls.values()]
        for worker in self.workers.values():
            if worker.state is State.STARTING:
                wakes.append(worker.since + self.policy.start_timeout_s)
            elif worker.state is State.RETIRING:
                wakes.append(worker.since + self.policy.unresponsive_s)
                wakes.append(worker.since + self.policy.drain_s)
                wakes.append(worker.end_by or math.inf)
        self.next_wake = min((at for at in [*wakes, *self._respawns] if at > now), default=math.inf)
