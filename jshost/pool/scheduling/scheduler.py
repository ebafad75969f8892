"""Which worker gets which call, and when a worker is replaced.

Runs in: host, programs that embed. It does no I/O and has no clock: events and the time go in as
method calls, and what must be done comes out as a list of actions, which `pool` carries out. Times
are seconds of one monotonic clock. `next_wake` says when `tick` wants to be called.

`states` explains the life of a worker.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable

from jshost.pool.scheduling.actions import (
    Action,
    Cancel,
    Fail,
    Halt,
    Kill,
    Ping,
    Recycled,
    Refused,
    Spawn,
)
from jshost.pool.scheduling.assignments import Assignment, Assignments
from jshost.pool.scheduling.policy import Policy
from jshost.pool.scheduling.recycling import MemoryVerdict, Recycling
from jshost.pool.scheduling.respawns import Respawns
from jshost.pool.scheduling.retirement import Retirement
from jshost.pool.scheduling.roster import Roster, Worker
from jshost.pool.scheduling.states import (
    HELD_BACK,
    RECYCLING,
    REPLACEABLE,
    SERVING,
    Phase,
    State,
)

__all__ = ["Scheduler"]

_RETIRING = Phase.RETIRING


class Scheduler:
    """Decides for one pool. Every method that takes `now` may be called in any order of events.

    Attributes:
        workers: the workers that there are, by number.
        calls: the calls that wait or run, by number; `queue` has those that wait.
        draining: it takes no more calls.
        halted: it starts no more workers.
        broken: with `Policy.reload`, the code does not load; `reload` ends it.
        next_wake: when `tick` is due.
        restarts: how many workers were followed by another, by reason; see `RESTART_REASONS`.
    """

    def __init__(self, policy: Policy, random: Callable[[], float] = lambda: 0.0) -> None:
        self.policy = policy
        self.roster = Roster()
        self.assignments = Assignments()
        self.recycling = Recycling(self.roster, random)
        self.respawns = Respawns()
        self.retirement = Retirement(self.roster, self.assignments)
        self.workers = self.roster.workers
        self.calls = self.assignments.calls
        self.queue = self.assignments.queue
        self.draining = False
        self.halted = False
        self.broken = False
        self.next_wake = math.inf
        self.restarts: Counter[str] = Counter()

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
        worker = self.roster.least_loaded(self.policy.concurrency)
        if worker is not None:
            number: int | None = worker.number
            worker.calls.add(call)
            self.calls[call] = Assignment(deadline, number)
        else:
            if len(self.queue) >= self.policy.max_queue:
                raise Refused("queue_full")
            number = None
            self.calls[call] = self.queue[call] = Assignment(deadline)
        if deadline < self.next_wake:
            self.next_wake = deadline
        return number

    def finished(self, call: int, now: float) -> list[Action]:
        """The worker answered the call, or dropped it after a Cancel."""
        assignment = self.calls.pop(call, None)
        if assignment is None or assignment.worker is None:
            return []
        worker = self.workers[assignment.worker]
        worker.calls.discard(call)
        if assignment.drop_by is not None:
            self.roster.note(worker, "pong")  # what can drop a call can take one
        if worker.state.phase is _RETIRING:
            return self._end_if_done(worker, now)
        if worker.calls_left is not None:
            worker.calls_left -= 1
            if worker.calls_left <= 0:
                return self._recycle(worker, "max_requests", now) + self._send_queued()
        return self._send_queued() if self.queue else []

    def cancel(self, call: int, now: float) -> list[Action]:
        """The caller left."""
        assignment = self.calls.get(call)
        if assignment is None or assignment.drop_by is not None:
            return []
        if assignment.worker is None:
            self.assignments.forget_queued(call)
            return []
        return self._cancel(call, assignment, now)

    def worker_of(self, call: int) -> int | None:
        """The worker that runs the call, or None: it waits, or has ended."""
        assignment = self.calls.get(call)
        return None if assignment is None else assignment.worker

    @property
    def idle(self) -> bool:
        """Whether no call waits or runs for a caller who still listens."""
        return self.assignments.idle

    # The life of the pool

    def start(self, now: float) -> list[Action]:
        """Spawn the first worker; the others follow once it has shown that the code loads."""
        return [self._spawn(now)]

    def set_policy(self, policy: Policy, now: float) -> list[Action]:
        """Use other numbers from now on, with as many workers as they say."""
        self.policy = policy
        for worker in self.workers.values():
            if worker.state in SERVING:
                self._set_limits(worker, now)
        return self._spawn_missing(now) + self._send_queued()

    def reload(self, now: float) -> list[Action]:
        """The code has changed: new workers for new calls, and the old ones finish theirs."""
        if self.draining or self.halted:
            return []
        self.broken = False
        self.respawns.due.clear()
        actions: list[Action] = []
        for worker in list(self.workers.values()):
            state = worker.state
            if state in SERVING:
                worker.successor = None  # one that was started before loads the old code
                actions += self._replace(worker, "reload", now)
            elif state in (State.STARTING, State.FAILED):
                if state is State.STARTING:
                    reason = "had begun to load what has changed since"
                    actions.append(Kill(worker.number, reason))
                self.roster.move(worker, "outdate", now)
            elif state in HELD_BACK or state is State.HELD_LOST:
                self.roster.move(worker, "take_over", now)
                del self.recycling.reasons[worker.number]
        return actions + self._spawn_missing(now)

    def drain(self) -> None:
        """Take no more calls; those there are go on."""
        self.draining = True

    def halt(self) -> list[Action]:
        """Start no more workers; calls that still wait for one are refused."""
        self.halted = True
        return self.assignments.fail_queued("draining", 0)

    @property
    def serving(self) -> int:
        """How many workers take calls."""
        return self.roster.serving

    @property
    def ready(self) -> bool:
        """Whether a worker takes calls now, or when one has room."""
        return not (self.draining or self.halted) and self.roster.serving > 0

    # Workers

    def worker_ready(self, number: int, now: float) -> list[Action]:
        """The worker has loaded its config."""
        worker = self.roster.get(number, "ready")
        self.roster.move(worker, "ready", now)
        self.respawns.worker_started()
        self._set_limits(worker, now)
        actions: list[Action] = []
        for other in list(self.workers.values()):
            if other.successor == number and worker.state is State.READY:
                actions += self._take_over(other, now)
            actions += self._end_if_done(other, now)
        actions += self._spawn_missing(now) + self._recycle_next(now)
        return actions + self._send_queued()

    def memory(self, number: int, rss: int, now: float) -> list[Action]:
        """The worker uses so many bytes of memory; the first time, before it gets calls.

        It counts while there is a `max_memory`, unless a worker needs more from the beginning.
        """
        worker = self.workers.get(number)
        if worker is None:
            return []
        verdict = self.recycling.judge_memory(worker, rss, self.policy.max_memory)
        if verdict is MemoryVerdict.FINE:
            return []
        if verdict is MemoryVerdict.KILL:
            return [self._kill(worker, "grew past twice maxMemory while it got no more calls", now)]
        actions = self._recycle(worker, "max_memory", now)
        may_hold = self.recycling.may_hold(worker) and not self.draining
        if verdict is MemoryVerdict.HOLD and may_hold:
            self.roster.move(worker, "hold", now)
        return actions

    def pong(self, number: int) -> list[Action]:
        """The worker answered a PING: its event loop is alive, and it can take calls."""
        if number in self.workers:
            self.roster.note(self.workers[number], "pong")
        return self._send_queued()

    def worker_lost(self, number: int) -> None:
        """The worker's channel is closed: no more calls, though its process may not have ended."""
        self.roster.note(self.workers[number], "lost")

    def worker_gone(self, number: int, now: float) -> list[Action]:
        """The worker's process has ended, or broke the protocol and was killed."""
        worker = self.roster.get(number, "gone")
        has_successor = self.recycling.has_successor(worker)
        reason = self.recycling.reasons.pop(number, "")
        del self.workers[number]
        actions = self.assignments.fail_assigned(worker.calls, number)
        state = worker.state
        if state is State.OUTDATED:
            return actions
        old = self.recycling.predecessor_of(number)
        if old is not None:
            return actions + self._keep(old, now)
        if state.phase is _RETIRING and not reason:  # another has taken its place
            return actions + self._recycle_next(now)
        if not self._wants_workers:
            return actions
        if state.phase is Phase.STARTING and self.policy.reload and not self.ready:
            self.broken = True
            return actions + self.assignments.fail_queued("load_failed", number)
        if state.phase is Phase.READY and not self.policy.respawn:
            return actions + self._halt("no_respawn", number)
        if has_successor:
            self.restarts[reason if state.phase is _RETIRING else "died"] += 1
            return actions
        return actions + self._respawn(worker, now)

    # Time

    def tick(self, now: float) -> list[Action]:
        """Do what is due: deadlines, graces, respawns, start timeouts."""
        actions = self._check_calls(now) + self._check_workers(now)
        due = self.respawns.take_due(now)
        if self._wants_workers:
            actions += [self._spawn(now) for _ in range(due)]
        actions += self._recycle_next(now)
        self._plan_wake(now)
        return actions

    def _check_calls(self, now: float) -> list[Action]:
        actions: list[Action] = []
        for call, assignment in list(self.calls.items()):
            if assignment.drop_by is not None:
                if assignment.drop_by <= now and assignment.worker is not None:
                    actions += self._give_up(self.workers[assignment.worker], now)
            elif assignment.deadline <= now:
                actions.append(Fail(call, "timeout"))
                if assignment.worker is None:
                    self.assignments.forget_queued(call)
                else:
                    actions += self._cancel(call, assignment, now)
        return actions

    def _check_workers(self, now: float) -> list[Action]:
        actions: list[Action] = []
        for worker in list(self.workers.values()):
            if worker.state.phase is _RETIRING:
                actions += self._end_if_done(worker, now)
            elif worker.state is State.STARTING:
                if now - worker.since >= self.policy.start_timeout_s:
                    actions.append(self._kill(worker, "did not start in time", now))
            elif worker.age_by is not None and worker.age_by <= now:
                actions += self._recycle(worker, "max_age", now)
        return actions

    def _wake_by(self, at: float) -> None:
        self.next_wake = min(self.next_wake, at)

    def _plan_wake(self, now: float) -> None:
        wakes = self.assignments.wakes() + self.respawns.due + self.recycling.wakes(self.policy)
        self.next_wake = min((at for at in wakes if at > now), default=math.inf)

    # Calls go to workers

    def _send_queued(self) -> list[Action]:
        return self.assignments.send_queued(self.roster, self.policy.concurrency)

    def _cancel(self, call: int, assignment: Assignment, now: float) -> list[Action]:
        """Have the call dropped; until the worker answers the PING it gets no other calls."""
        assert assignment.worker is not None
        assignment.drop_by = now + self.policy.cancel_grace_s
        self._wake_by(assignment.drop_by)
        self.roster.note(self.workers[assignment.worker], "ping")
        return [Cancel(assignment.worker, call), Ping(assignment.worker)]

    # Workers start

    @property
    def _wants_workers(self) -> bool:
        """Whether a worker that is gone is to be followed by another."""
        return not self.halted and (not self.draining or bool(self.queue))

    def _spawn(self, now: float) -> Spawn:
        self._wake_by(now + self.policy.start_timeout_s)
        return Spawn(self.roster.add(now).number)

    def _spawn_missing(self, now: float) -> list[Action]:
        if self.draining or self.halted:
            return []
        there = self.recycling.staying + len(self.respawns.due)
        return [self._spawn(now) for _ in range(self.policy.workers - there)]

    def _spawn_successor(self, worker: Worker, now: float) -> list[Action]:
        spawn = self._spawn(now)
        worker.successor = spawn.worker
        return [spawn]

    def _set_limits(self, worker: Worker, now: float) -> None:
        self.recycling.set_limits(worker, self.policy, now)
        self._wake_by(worker.age_by or math.inf)

    def _respawn(self, worker: Worker, now: float) -> list[Action]:
        """At once after the first death, later and later while workers die early."""
        due = self.respawns.plan(worker, self.policy, now)
        if due is None:
            return self._halt("start_failures", worker.number)
        self.restarts["died"] += 1
        if due <= now:
            return [self._spawn(now)]
        self._wake_by(due)
        return []

    def _halt(self, reason: str, number: int) -> list[Action]:
        self.halted = True
        return [*self.assignments.fail_queued("worker_died", number), Halt(reason, number)]

    # Workers are recycled: each goes on until the new one is ready

    def _recycle(self, worker: Worker, reason: str, now: float) -> list[Action]:
        """Have another worker take its place."""
        return self._recycle_next(now) if self.recycling.request(worker, reason) else []

    def _recycle_next(self, now: float) -> list[Action]:
        if self.draining or self.halted:
            return []
        worker = self.recycling.next_worker(self.policy, now)
        return [] if worker is None else self._spawn_successor(worker, now)

    def _take_over(self, old: Worker, now: float) -> list[Action]:
        """The worker that was started for it is ready."""
        if self.draining or self.halted:
            return []
        reason = self.recycling.take_over(old, now)
        if reason is None:
            return []
        self._wake_by(now + self.policy.last_calls_s)
        self.restarts[reason] += 1
        return [Recycled(old.number, reason)]

    def _keep(self, old: Worker, now: float) -> list[Action]:
        """The worker that was to take its place is gone."""
        self.recycling.keep(old, self.policy, now)
        self._wake_by(self.recycling.backoff.until)
        return self._send_queued()

    # Workers are replaced, and end

    def _give_up(self, worker: Worker, now: float) -> list[Action]:
        """It has not dropped a cancelled call in time."""
        if worker.state in RECYCLING:
            self.roster.move(worker, "replace", now)
            return []
        return self._replace(worker, "unresponsive", now)

    def _replace(self, worker: Worker, reason: str, now: float) -> list[Action]:
        """A new worker first; the old one gets no more calls."""
        if worker.state not in REPLACEABLE or self.draining or self.halted:
            return []
        self.roster.move(worker, "replace", now)
        self.restarts[reason] += 1
        self.recycling.reasons.pop(worker.number, None)
        self._wake_by(now + self.policy.unresponsive_s)
        if self.roster.successor_of(worker) is not None:
            return []
        return self._spawn_successor(worker, now)

    def _kill(self, worker: Worker, reason: str, now: float) -> Kill:
        self.roster.move(worker, "kill", now)
        return Kill(worker.number, reason)

    def _end_if_done(self, worker: Worker, now: float) -> list[Action]:
        actions, wake = self.retirement.end_if_done(worker, self.policy, now)
        self._wake_by(wake)
        return actions
