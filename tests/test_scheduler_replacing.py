"""The scheduler's rules for a worker that does not drop a cancelled call: a new one first."""

from __future__ import annotations

import math

from scheduling import LATER, NEVER, ready_scheduler
from scheduling import retiring_scheduler as retiring

from jshost.workers.decisions import Cancel, Drain, Fail, Kill, Ping, Send, Spawn, State


def test_a_worker_that_drops_its_call_in_time_is_kept() -> None:
    scheduler = ready_scheduler(1, cancel_grace_s=0.5)
    scheduler.submit(1, NEVER, LATER)
    scheduler.cancel(1, LATER)
    scheduler.finished(1, 10.49)
    assert scheduler.tick(10.5) == []
    assert scheduler.workers[1].state is State.READY


def test_a_pong_does_not_save_a_worker_that_keeps_its_cancelled_call() -> None:
    scheduler = ready_scheduler(1)
    scheduler.submit(1, NEVER, LATER)
    scheduler.cancel(1, LATER)
    scheduler.pong(1)
    assert scheduler.tick(10.5) == [Spawn(2)]


def test_the_new_worker_is_ready_before_the_old_one_ends() -> None:
    scheduler = retiring(unresponsive_s=1.0)
    assert scheduler.submit(3, NEVER, 10.6) is None, "the old one gets no more calls"
    assert scheduler.tick(20.0) == [], "the new one is still starting"
    actions = scheduler.worker_ready(2, 21.0)
    assert set(actions) == {Kill(1, "did not drop a cancelled call"), Send(2, 3)}
    assert scheduler.worker_gone(1, 21.1) == [Fail(2, "worker_died", 1)], "and no respawn"


def test_a_hanging_worker_is_killed_soon() -> None:
    scheduler = retiring(unresponsive_s=1.0, drain_s=10.0)
    assert scheduler.worker_ready(2, 10.7) == []
    assert scheduler.next_wake == 11.5
    assert scheduler.tick(11.4) == []
    assert scheduler.tick(11.5) == [Kill(1, "did not drop a cancelled call")]
    assert scheduler.tick(11.6) == []


def test_a_worker_that_still_answers_may_finish_its_other_calls() -> None:
    scheduler = retiring(unresponsive_s=1.0, drain_s=10.0)
    scheduler.pong(1)
    assert scheduler.worker_ready(2, 10.7) == []
    assert scheduler.tick(11.6) == []
    assert scheduler.finished(2, 15.0) == [Kill(1, "did not drop a cancelled call")]


def test_even_a_worker_that_answers_is_killed_in_the_end() -> None:
    scheduler = retiring(drain_s=10.0)
    scheduler.pong(1)
    scheduler.worker_ready(2, 10.7)
    assert scheduler.tick(20.4) == []
    assert scheduler.next_wake == 20.5
    assert scheduler.tick(20.5) == [Kill(1, "did not drop a cancelled call")]


def test_a_worker_with_nothing_left_but_the_dropped_call_is_killed_at_once() -> None:
    scheduler = ready_scheduler(1)
    scheduler.submit(1, NEVER, LATER)
    scheduler.cancel(1, LATER)
    scheduler.tick(10.5)
    assert scheduler.worker_ready(2, 10.7) == [Kill(1, "did not drop a cancelled call")]


def test_a_retiring_worker_that_dropped_everything_ends_in_good_order() -> None:
    scheduler = retiring()
    scheduler.worker_ready(2, 10.7)
    assert scheduler.finished(1, 10.8) == []
    assert scheduler.finished(2, 10.9) == [Drain(1)]
    assert scheduler.worker_gone(1, 11.0) == []
    assert list(scheduler.workers) == [2]


def test_a_retired_worker_that_does_not_end_is_killed() -> None:
    """A function may have answered and gone into a loop: it would hold a processor for ever."""
    scheduler = retiring(drain_s=10.0)
    scheduler.worker_ready(2, 10.7)
    scheduler.finished(1, 10.8)
    assert scheduler.finished(2, 10.9) == [Drain(1)]
    assert scheduler.next_wake < NEVER
    kills = []
    while scheduler.next_wake < NEVER:
        kills += scheduler.tick(scheduler.next_wake)
    assert [(type(kill), getattr(kill, "worker", None)) for kill in kills] == [(Kill, 1)]


def test_a_retiring_worker_waits_no_longer_when_its_successor_could_not_start() -> None:
    scheduler = retiring()
    scheduler.worker_gone(2, 10.6)
    assert scheduler.tick(scheduler.next_wake) == [Spawn(3)]
    assert Kill(1, "did not drop a cancelled call") in scheduler.tick(11.5)


def test_a_retiring_workers_deadlines_still_count() -> None:
    scheduler = ready_scheduler(1)
    scheduler.submit(1, NEVER, LATER)
    scheduler.submit(2, 10.6, LATER)
    scheduler.cancel(1, LATER)
    scheduler.tick(10.5)
    assert scheduler.tick(10.6) == [Fail(2, "timeout"), Cancel(1, 2), Ping(1)]


def test_a_draining_pool_replaces_nobody() -> None:
    scheduler = ready_scheduler(1)
    scheduler.submit(1, NEVER, LATER)
    scheduler.cancel(1, LATER)
    scheduler.drain()
    assert scheduler.tick(10.5) == []
    assert scheduler.next_wake == math.inf, "whoever drains it has a deadline of its own"


def test_a_pool_of_several_replaces_only_the_one_that_hangs() -> None:
    scheduler = ready_scheduler(2)
    assert [scheduler.submit(call, NEVER, LATER) for call in (1, 2)] == [1, 2]
    scheduler.cancel(1, LATER)
    assert scheduler.tick(10.5) == [Spawn(3)]
    assert scheduler.submit(3, NEVER, 10.6) == 2
    assert scheduler.worker_ready(3, 10.7) == [Kill(1, "did not drop a cancelled call")]
    assert scheduler.worker_gone(1, 10.8) == []
    assert sorted(scheduler.workers) == [2, 3]
