"""Which worker gets which call, and when a worker is replaced: only decisions, no I/O.

Runs in: host (and whoever owns a pool). Events and the time go in as method calls; what must be
done comes out as a list of actions, which `pool` carries out. Times are seconds of one monotonic
clock. `next_wake` says when `tick` wants to be called.

The words it uses stand in `decisions`.
"""

from __future__ import annotations

import math

from jshost.pool.scheduling.decisions import (
    Action,
    Cancel,
    Fail,
    Kill,
    Ping,
    Policy,
    Refused,
    State,
)
from jshost.pool.scheduling.recycling import Memory, judge_memory
from jshost.pool.scheduling.succession import Call, Succession

__all__ = ["Scheduler"]


class Scheduler(Succession):
    """Decides for one pool. Every method that takes `now` may be called in any order of events."""

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
        if worker is not None:
            number: int | None = worker.number
            worker.calls.add(call)
            self.calls[call] = Call(deadline, number)
        else:
            if len(self.queue) >= self.policy.max_queue:
                raise Refused("queue_full")
            number = None
            self.calls[call] = self.queue[call] = Call(deadline)
        if deadline < self.next_wake:
            self.next_wake = deadline
        return number

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
        if worker.calls_left is not None:
            worker.calls_left -= 1
            if worker.calls_left <= 0:
                return self._recycle(worker, "max_requests", now) + self._send_queued()
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
        for worker in self.workers.values():
            if worker.state is State.READY:
                self._set_limits(worker, now)
        return self._spawn_missing(now) + self._send_queued()

    def worker_ready(self, number: int, now: float) -> list[Action]:
        worker = self._move(number, "ready", now)
        self._respawns.started()
        self._set_limits(worker, now)
        actions: list[Action] = []
        for other in list(self.workers.values()):
            if other.replacement == number and other.reason and not worker.doomed:
                actions += self._take_place(other, now)
            if other.state is State.RETIRING:
                actions += self._retire_if_done(other, now)
        actions += self._spawn_missing(now) + self._recycle_next(now)
        return actions + self._send_queued()

    def memory(self, number: int, rss: int, now: float) -> list[Action]:
        """The worker uses so many bytes of memory; the first time, before it gets calls.

        It counts while there is a `max_memory`, unless a worker needs more from the beginning.
        """
        worker, limit = self.workers.get(number), self.policy.max_memory
        if worker is None or limit is None or worker.doomed:
            return []
        if worker.base_rss is None:
            worker.base_rss = rss
        if worker.state is State.STARTING or worker.base_rss >= limit:
            return []
        verdict = judge_memory(rss, limit, worker.held_rss)
        if worker.state is State.RETIRING:
            worker.held_rss = rss
            if verdict is Memory.KILL:
                worker.doomed = True
                return [Kill(number, "grew past twice maxMemory while it got no more calls")]
            return []
        if verdict is Memory.FINE:
            return []
        actions = self._recycle(worker, "max_memory", now)
        hopeful = worker.reason and self._successor(worker) and not self._tries.failures
        if verdict is Memory.HOLD and hopeful and not self.draining:
            self._move(number, "replace", now)
            worker.patient = True
        return actions

    def reload(self, now: float) -> list[Action]:
        """The code has changed: new workers for new calls, and the old ones finish theirs."""
        if self.draining or self.halted:
            return []
        self.broken = False
        self._respawns.due.clear()
        actions: list[Action] = []
        for worker in list(self.workers.values()):
            if worker.state is State.READY and not worker.doomed:
                worker.replacement = None  # one that was started before loads the old code
                actions += self._replace(worker, "reload", now)
            elif worker.state is State.STARTING and not worker.superseded:
                if not worker.doomed:
                    reason = "had begun to load what has changed since"
                    actions.append(Kill(worker.number, reason))
                worker.doomed = worker.superseded = True
            elif worker.state is State.RETIRING:
                worker.reason = ""
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
            record = self.calls.pop(call, None)  # None: Ctrl-C struck while it was taken or ended
            if record is not None and record.drop_by is None:  # else its caller has been answered
                actions.append(Fail(call, "worker_died", number))
        if worker.superseded:
            return actions
        old = next((w for w in self.workers.values() if w.replacement == number and w.reason), None)
        if old is not None:
            return actions + self._keep(old, now)
        if (state is State.RETIRING and not worker.reason) or not self._wants_workers:
            return actions + self._recycle_next(now)
        if state is State.STARTING and self.policy.reload and not self.ready:
            self.broken = True
            return actions + self._fail_queued("load_failed", number)
        if state is State.READY and not self.policy.respawn:
            return actions + self._halt("no_respawn", number)
        if worker.reason and self._successor(worker) is not None:
            self.restarts[worker.reason if state is State.RETIRING else "died"] += 1
            return actions
        return actions + self._respawn(worker, now)

    # Time

    def tick(self, now: float) -> list[Action]:
        """Whatever has fallen due: deadlines, graces, respawns, start timeouts."""
        actions: list[Action] = []
        for call, record in list(self.calls.items()):
            if record.drop_by is not None:
                if record.drop_by <= now and record.worker is not None:
                    actions += self._give_up(self.workers[record.worker], now)
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
            elif worker.age_by is not None and worker.age_by <= now:
                actions += self._recycle(worker, "max_age", now)
        due = self._respawns.take_due(now)
        if self._wants_workers:
            actions += [self._spawn(now) for _ in range(due)]
        actions += self._recycle_next(now)
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

    # Decisions

    def _cancel(self, call: int, record: Call, now: float) -> list[Action]:
        """Have the call dropped; until the worker answers the PING it gets no other calls."""
        assert record.worker is not None
        record.drop_by = now + self.policy.cancel_grace_s
        self.next_wake = min(self.next_wake, record.drop_by)
        self.workers[record.worker].responsive = False
        return [Cancel(record.worker, call), Ping(record.worker)]

    def _plan_wake(self, now: float) -> None:
        wakes = [r.deadline if r.drop_by is None else r.drop_by for r in self.calls.values()]
        for worker in self.workers.values():
            if worker.state is State.STARTING:
                wakes.append(worker.since + self.policy.start_timeout_s)
            elif worker.state is State.RETIRING:
                wakes.append(worker.since + self.policy.unresponsive_s)
                limit = self.policy.last_calls_s if worker.patient else self.policy.drain_s
                wakes.append(worker.since + limit)
                wakes.append(worker.end_by or math.inf)
            elif worker.reason:
                wakes.append(self._tries.at)
            else:
                wakes.append(worker.age_by or math.inf)
        wakes += self._respawns.due
        self.next_wake = min((at for at in wakes if at > now), default=math.inf)
