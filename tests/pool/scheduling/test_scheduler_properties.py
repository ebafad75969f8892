"""The scheduler under random events, held to what its owner knows and to what always holds."""

from __future__ import annotations

import dataclasses
import math

import hypothesis.strategies as st
import pytest
from hypothesis import settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)
from support.extent import examples
from support.scheduler_owner import QUEUED, Owner, Process

from jshost.pool.scheduling.actions import Kill, Refused
from jshost.pool.scheduling.policy import Policy
from jshost.pool.scheduling.scheduler import Scheduler
from jshost.pool.scheduling.states import HELD_BACK, LAST_CALLS, SERVING, STOPPING, Phase, State


class SchedulerMachine(Owner, RuleBasedStateMachine):
    """All that can happen, in any order."""

    def __init__(self) -> None:
        Owner.__init__(self)
        RuleBasedStateMachine.__init__(self)

    @initialize(
        workers=st.integers(1, 3),
        concurrency=st.integers(1, 3),
        max_queue=st.integers(0, 3),
        respawn=st.sampled_from([True, True, True, False]),
        max_start_failures=st.integers(1, 4),
        max_requests=st.sampled_from([None, 1, 1, 3]),
        max_memory=st.sampled_from([None, 100, 100]),
        max_age_s=st.sampled_from([None, None, 5.0]),
        max_retiring=st.integers(1, 3),
        reload=st.booleans(),
        share=st.floats(0.0, 1.0, exclude_max=True),
    )
    def begin(self, share: float, **numbers: int) -> None:
        self.scheduler = Scheduler(Policy(**numbers), lambda: share)  # type: ignore[arg-type]
        self.carry_out(self.scheduler.start(self.now))

    # What happens to it

    @rule(wait_s=st.sampled_from([0.0, 0.3, 1.0, 5.0, math.inf]))
    def submit(self, wait_s: float) -> None:
        self.last_call = call = self.last_call + 1
        queued = sum(place == QUEUED for place in self.places.values())
        try:
            number = self.scheduler.submit(call, self.now + wait_s, self.now)
        except Refused as refused:
            if refused.code == "queue_full":
                assert queued == self.scheduler.policy.max_queue
            elif refused.code == "load_failed":
                assert self.scheduler.broken
            else:
                assert self.scheduler.draining or self.is_over
            return
        assert not self.scheduler.draining
        self.deadlines[call] = self.now + wait_s
        self.places[call] = QUEUED
        if number is not None:
            fewest = min(len(self.processes[other].calls) for other in self.takers())
            assert len(self.processes[number].calls) == fewest
            self.put(number, call)

    @precondition(lambda self: any(self.places.values()))
    @rule(data=st.data())
    def finish(self, data: st.DataObject) -> None:
        """A worker answers a call, in time or not."""
        call = data.draw(st.sampled_from([call for call, at in self.places.items() if at]))
        self.finished(call)

    def finished(self, call: int) -> None:
        process = self.processes[self.places.pop(call)]
        process.calls.remove(call)
        if self.is_awaited(call):
            self.answers[call] += 1
        else:
            process.pinged = False  # it heard the Cancel, and acted on it
        self.carry_out(self.scheduler.finished(call, self.now))

    @precondition(lambda self: self.places)
    @rule(data=st.data())
    def hang_up(self, data: st.DataObject) -> None:
        """A caller leaves, also one that was answered in the same moment."""
        call = data.draw(st.sampled_from(sorted(self.places)))
        self.left.add(call)
        actions = self.scheduler.cancel(call, self.now)
        if self.places[call] == QUEUED:
            assert actions == []
            del self.places[call]
        self.carry_out(actions)

    @precondition(lambda self: any(not p.is_ready for p in self.processes.values()))
    @rule(data=st.data())
    def become_ready(self, data: st.DataObject) -> None:
        """Also of a worker that is being killed: its READY was on its way."""
        starting = [n for n, process in self.processes.items() if not process.is_ready]
        self.ready(data.draw(st.sampled_from(starting)))

    def ready(self, number: int) -> None:
        self.processes[number].is_ready = True
        self.carry_out(self.scheduler.worker_ready(number, self.now))

    @precondition(lambda self: self.processes)
    @rule(data=st.data())
    def lose(self, data: st.DataObject) -> None:
        """A worker closes its channel, and its process will end."""
        number = data.draw(st.sampled_from(sorted(self.processes)))
        self.processes[number].lost = True
        self.scheduler.worker_lost(number)

    @precondition(lambda self: self.processes)
    @rule(data=st.data())
    def die(self, data: st.DataObject) -> None:
        self.gone(data.draw(st.sampled_from(sorted(self.processes))))

    def gone(self, number: int) -> None:
        abandoned = {call for call in self.processes[number].calls if not self.is_awaited(call)}
        for call in abandoned:
            del self.places[call]
        was_broken = self.scheduler.broken
        self.carry_out(self.scheduler.worker_gone(number, self.now))
        del self.processes[number]
        if self.scheduler.broken and not was_broken:
            assert number not in self.outdated, "its end says nothing of the code as it is now"
        assert number not in self.places.values(), "its calls are answered"

    @precondition(lambda self: any(process.is_ready for process in self.processes.values()))
    @rule(data=st.data(), rss=st.sampled_from([50, 110, 160, 250, 300, 350]))
    def grow_in_memory(self, data: st.DataObject, rss: int) -> None:
        ready = [n for n, process in self.processes.items() if process.is_ready]
        number = data.draw(st.sampled_from(ready))
        process = self.processes[number]
        actions = self.scheduler.memory(number, rss, self.now)
        if any(isinstance(action, Kill) for action in actions):
            assert not self.can_be_given_calls(number)
            assert rss > max(process.rss, 2 * (self.scheduler.policy.max_memory or 0) - 1)
        process.rss = rss
        self.carry_out(actions)

    def can_be_given_calls(self, number: int) -> bool:
        return self.scheduler.workers[number].state in SERVING

    @precondition(lambda self: any(process.pinged for process in self.processes.values()))
    @rule(data=st.data())
    def pong(self, data: st.DataObject) -> None:
        pinged = [n for n, process in self.processes.items() if process.pinged]
        self.ponged(data.draw(st.sampled_from(pinged)))

    def ponged(self, number: int) -> None:
        self.processes[number].pinged = False
        self.carry_out(self.scheduler.pong(number))

    @rule(seconds=st.sampled_from([0.05, 0.5, 2.0, 40.0]))
    def time_passes(self, seconds: float) -> None:
        """The owner ticks when it was told to, or late."""
        self.now += seconds
        if self.scheduler.next_wake <= self.now:
            self.tick()

    @precondition(lambda self: self.scheduler.next_wake < math.inf)
    @rule()
    def wake(self) -> None:
        self.now = max(self.now, self.scheduler.next_wake)
        self.tick()

    def tick(self) -> None:
        self.carry_out(self.scheduler.tick(self.now))
        late = [c for c, at in self.deadlines.items() if at <= self.now and self.is_awaited(c)]
        assert late == []
        assert self.scheduler.next_wake > self.now

    @rule(workers=st.integers(1, 4), concurrency=st.integers(1, 4))
    def grow(self, workers: int, concurrency: int) -> None:
        old = self.scheduler.policy
        policy = Policy(
            workers=max(workers, old.workers),
            concurrency=max(concurrency, old.concurrency),
            max_queue=old.max_queue,
            max_requests=old.max_requests,
            max_memory=old.max_memory,
            max_age_s=old.max_age_s,
            max_retiring=old.max_retiring,
            respawn=old.respawn,
            reload=old.reload,
        )
        self.carry_out(self.scheduler.set_policy(policy, self.now))

    @precondition(lambda self: self.scheduler.policy.reload)
    @rule()
    def reload(self) -> None:
        """The code has changed, and perhaps it is mended."""
        old = set(self.processes)
        self.carry_out(self.scheduler.reload(self.now))
        if not (self.scheduler.draining or self.is_over):
            self.outdated = old
            assert old.isdisjoint(self.takers())

    @precondition(lambda self: self.last_call > 5)
    @rule()
    def drain(self) -> None:
        self.scheduler.drain()

    @precondition(lambda self: self.scheduler.draining)
    @rule()
    def stop(self) -> None:
        """The time for draining is over."""
        self.stopped = True
        self.carry_out(self.scheduler.halt())
        assert not self.scheduler.queue

    # What always holds

    @invariant()
    def each_call_is_in_one_place(self) -> None:
        scheduler = self.scheduler
        assert set(scheduler.calls) == set(self.places)
        assert set(scheduler.queue) == {call for call, at in self.places.items() if at == QUEUED}
        assert sorted(scheduler.workers) == sorted(self.processes)
        for number, process in self.processes.items():
            assert scheduler.workers[number].calls == process.calls

    @invariant()
    def states_are_what_the_owner_knows(self) -> None:
        for number, process in self.processes.items():
            state = self.scheduler.workers[number].state
            if process.killed or process.drained or process.lost:
                assert state in STOPPING
            elif process.is_ready:
                assert state in (*SERVING, *HELD_BACK, *LAST_CALLS)
                assert state.name.endswith("PINGED") == process.pinged
            else:
                assert state is State.STARTING

    @invariant()
    def nobody_is_answered_twice(self) -> None:
        assert all(count == 1 for count in self.answers.values() if count)

    @invariant()
    def bounds_are_kept(self) -> None:
        policy = self.scheduler.policy
        assert len(self.scheduler.queue) <= policy.max_queue
        assert all(len(p.calls) <= policy.concurrency for p in self.processes.values())
        workers = self.scheduler.workers
        there = [n for n, process in self.processes.items() if not (process.killed or process.lost)]
        serving = sum(workers[n].state.phase is not Phase.RETIRING for n in there)
        due = self.scheduler.recycling.reasons
        successors = {workers[n].successor for n in due} & set(there)
        assert len(successors) <= 1, "one is recycled at a time"
        assert serving <= policy.workers + len(successors)
        assert self.halts <= 1

    @invariant()
    def recycling_takes_nobody_away(self) -> None:
        """But for those who grow too fast, a worker takes calls until another one does."""
        for worker in self.scheduler.workers.values():
            if worker.state in HELD_BACK:
                assert self.scheduler.policy.max_memory is not None

    @invariant()
    def nothing_waits_while_there_is_room(self) -> None:
        if self.scheduler.queue:
            limit = self.scheduler.policy.concurrency
            assert all(len(self.processes[n].calls) >= limit for n in self.takers())

    @invariant()
    def it_wakes_in_time(self) -> None:
        awaited = (self.deadlines[call] for call in self.places if self.is_awaited(call))
        assert self.scheduler.next_wake <= min(awaited, default=math.inf)

    def teardown(self) -> None:
        """Once time has passed and workers behave, every caller that waited was answered."""
        if not hasattr(self, "scheduler"):
            return
        endless = {"max_requests": None, "max_memory": None, "max_age_s": None}
        policy = dataclasses.replace(self.scheduler.policy, **endless)
        self.carry_out(self.scheduler.set_policy(policy, self.now))
        self.behave()
        for _ in range(200):
            if self.scheduler.next_wake == math.inf:
                break
            self.wake()
            self.behave()
        assert self.scheduler.next_wake == math.inf, "it never comes to rest"
        assert self.places == {}
        assert all(self.answers[c] == 1 for c in self.deadlines if c not in self.left)
        if self.scheduler.policy.reload:
            self.reload()
            self.behave()
        if not (self.is_over or self.scheduler.draining):
            assert not self.scheduler.broken
            assert len(self.processes) == self.scheduler.policy.workers
            assert all(self.can_take(process) for process in self.processes.values())

    def behave(self) -> None:
        """Every worker does what is wanted of it, until nothing is."""
        for _ in range(200):
            wanting = [n for n, process in self.processes.items() if self.is_wanted(process)]
            if not wanting:
                return
            self.oblige(wanting[0])
        raise AssertionError("there is no end of it")

    def is_wanted(self, process: Process) -> bool:
        return bool(process.calls) or not self.can_take(process)

    def oblige(self, number: int) -> None:
        process = self.processes[number]
        if process.killed or process.drained or process.lost:
            self.gone(number)
        elif not process.is_ready:
            self.ready(number)
        elif process.pinged:
            self.ponged(number)
        else:
            self.finished(min(process.calls))


# A failure takes longer to be made small than to be found.
TestSchedulerMachine = pytest.mark.timeout(360)(SchedulerMachine.TestCase)
TestSchedulerMachine.settings = settings(
    max_examples=examples(300), stateful_step_count=40, deadline=None, print_blob=True
)
