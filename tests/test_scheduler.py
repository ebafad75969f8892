"""The scheduler's rules for calls: who gets which, who waits, who is refused, what is cancelled.

Its rules for workers are in test_scheduler_workers, its invariants in test_scheduler_properties.
"""

from __future__ import annotations

import math

import pytest
from scheduling import LATER, NEVER, ready_scheduler

from jshost.workers.decisions import Cancel, Fail, Ping, Policy, Refused, Send
from jshost.workers.scheduler import Scheduler

# Who gets a call


def test_a_call_goes_to_the_worker_with_the_fewest() -> None:
    scheduler = ready_scheduler(3)
    assert [scheduler.submit(call, NEVER, LATER) for call in (1, 2, 3)] == [1, 2, 3]
    scheduler.finished(2, LATER)
    assert scheduler.submit(4, NEVER, LATER) == 2
    scheduler.finished(3, LATER)
    scheduler.finished(1, LATER)
    assert {scheduler.submit(call, NEVER, LATER) for call in (5, 6)} == {1, 3}


def test_calls_wait_while_no_worker_is_ready() -> None:
    scheduler = Scheduler(Policy())
    scheduler.start(0.0)
    assert scheduler.submit(1, NEVER, 0.0) is None
    assert scheduler.submit(2, NEVER, 0.0) is None
    assert scheduler.worker_ready(1, 0.2) == [Send(1, 1), Send(1, 2)]


def test_a_worker_gets_no_more_than_its_concurrency() -> None:
    scheduler = ready_scheduler(2, concurrency=2)
    assert [scheduler.submit(call, NEVER, LATER) for call in range(1, 6)] == [1, 2, 1, 2, None]


def test_the_longest_waiting_call_goes_first() -> None:
    scheduler = ready_scheduler(1, concurrency=1)
    for call in (1, 2, 3):
        scheduler.submit(call, NEVER, LATER)
    assert scheduler.finished(1, LATER) == [Send(1, 2)]
    assert scheduler.finished(2, LATER) == [Send(1, 3)]
    assert scheduler.finished(3, LATER) == []


def test_waiting_calls_are_spread_over_workers_as_they_become_ready() -> None:
    scheduler = Scheduler(Policy(workers=2, concurrency=1))
    scheduler.start(0.0)
    for call in (1, 2, 3):
        scheduler.submit(call, NEVER, 0.0)
    assert Send(1, 1) in scheduler.worker_ready(1, 0.1)
    assert scheduler.worker_ready(2, 0.2) == [Send(2, 2)]
    assert list(scheduler.queue) == [3]


def test_an_answer_to_a_call_that_nobody_knows_changes_nothing() -> None:
    scheduler = ready_scheduler(1)
    assert scheduler.finished(99, LATER) == []
    assert scheduler.cancel(99, LATER) == []


def test_more_room_is_used_at_once() -> None:
    """A config that allows a worker more calls than before must not leave calls waiting."""
    scheduler = ready_scheduler(1, concurrency=1)
    for call in (1, 2, 3):
        scheduler.submit(call, NEVER, LATER)
    assert scheduler.set_policy(Policy(concurrency=2), LATER) == [Send(1, 2)]


# Who is refused


def test_the_queue_is_bounded() -> None:
    scheduler = ready_scheduler(1, concurrency=1, max_queue=2)
    for call in (1, 2, 3):
        scheduler.submit(call, NEVER, LATER)
    with pytest.raises(Refused) as caught:
        scheduler.submit(4, NEVER, LATER)
    assert caught.value.code == "queue_full"
    assert 4 not in scheduler.calls
    scheduler.finished(1, LATER)
    scheduler.submit(5, NEVER, LATER)
    assert list(scheduler.queue) == [3, 5]


def test_without_a_queue_only_free_workers_take_calls() -> None:
    scheduler = ready_scheduler(1, concurrency=1, max_queue=0)
    assert scheduler.submit(1, NEVER, LATER) == 1
    with pytest.raises(Refused):
        scheduler.submit(2, NEVER, LATER)


def test_a_refused_call_plans_nothing() -> None:
    scheduler = ready_scheduler(1, concurrency=1, max_queue=0)
    scheduler.submit(1, NEVER, LATER)
    scheduler.tick(LATER)
    with pytest.raises(Refused):
        scheduler.submit(2, LATER + 1, LATER)
    assert scheduler.next_wake == math.inf


def test_a_draining_pool_takes_no_calls_and_ends_those_it_has() -> None:
    scheduler = ready_scheduler(1, concurrency=1)
    scheduler.submit(1, NEVER, LATER)
    scheduler.submit(2, NEVER, LATER)
    scheduler.drain()
    assert not scheduler.ready
    with pytest.raises(Refused) as caught:
        scheduler.submit(3, NEVER, LATER)
    assert caught.value.code == "draining"
    assert not scheduler.idle
    assert scheduler.finished(1, LATER) == [Send(1, 2)]
    assert scheduler.finished(2, LATER) == []
    assert scheduler.idle


def test_a_draining_pool_is_idle_when_nobody_listens_any_more() -> None:
    scheduler = ready_scheduler(1)
    scheduler.submit(1, NEVER, LATER)
    scheduler.drain()
    assert not scheduler.idle
    scheduler.cancel(1, LATER)
    assert scheduler.idle


def test_a_pool_that_is_halted_refuses_what_waits_and_starts_nothing() -> None:
    scheduler = ready_scheduler(1, concurrency=1)
    scheduler.submit(1, NEVER, LATER)
    scheduler.submit(2, NEVER, LATER)
    scheduler.drain()
    (refusal,) = scheduler.halt()
    assert isinstance(refusal, Fail)
    assert (refusal.call, refusal.code) == (2, "draining")
    assert scheduler.worker_gone(1, LATER) == [Fail(1, "worker_died", 1)]
    assert scheduler.tick(NEVER) == []
    assert scheduler.idle


# Deadlines


def test_a_running_call_fails_at_its_deadline_and_is_cancelled() -> None:
    scheduler = ready_scheduler(1)
    scheduler.submit(1, 12.0, LATER)
    assert scheduler.next_wake == 12.0
    assert scheduler.tick(11.999) == []
    assert scheduler.tick(12.0) == [Fail(1, "timeout"), Cancel(1, 1), Ping(1)]
    assert scheduler.tick(12.1) == []


def test_a_waiting_call_fails_at_its_deadline_and_no_worker_hears_of_it() -> None:
    scheduler = ready_scheduler(1, concurrency=1)
    scheduler.submit(1, NEVER, LATER)
    scheduler.submit(2, 12.0, LATER)
    assert scheduler.tick(12.0) == [Fail(2, "timeout")]
    assert scheduler.finished(1, 13.0) == []
    assert scheduler.calls == {}
    assert scheduler.queue == {}


def test_a_call_keeps_its_deadline_while_it_waits() -> None:
    scheduler = ready_scheduler(1, concurrency=1)
    scheduler.submit(1, NEVER, LATER)
    scheduler.submit(2, 12.0, LATER)
    assert scheduler.finished(1, 11.9) == [Send(1, 2)]
    assert scheduler.tick(12.0)[0] == Fail(2, "timeout")


def test_the_next_wake_is_the_earliest_deadline() -> None:
    scheduler = ready_scheduler(1)
    scheduler.tick(LATER)
    for call, deadline in enumerate((15.0, 12.0, NEVER, 13.0), 1):
        scheduler.submit(call, deadline, LATER)
    wakes = []
    while scheduler.next_wake < NEVER:
        wakes.append(scheduler.next_wake)
        for action in scheduler.tick(scheduler.next_wake):
            if isinstance(action, Cancel):
                scheduler.finished(action.call, wakes[-1])
        scheduler.tick(wakes[-1])
    assert wakes == [12.0, 13.0, 15.0]


def test_a_late_tick_catches_up_with_everything() -> None:
    scheduler = ready_scheduler(1, concurrency=2)
    for call, deadline in enumerate((11.0, 12.0, 13.0), 1):
        scheduler.submit(call, deadline, LATER)
    fails = [action for action in scheduler.tick(100.0) if isinstance(action, Fail)]
    assert fails == [Fail(1, "timeout"), Fail(2, "timeout"), Fail(3, "timeout")]


def test_an_answer_after_the_deadline_answers_nobody() -> None:
    scheduler = ready_scheduler(1)
    scheduler.submit(1, 12.0, LATER)
    scheduler.tick(12.0)
    assert scheduler.finished(1, 12.1) == []
    assert scheduler.tick(NEVER) == []


# Callers who leave


def test_a_waiting_call_whose_caller_left_is_forgotten() -> None:
    scheduler = ready_scheduler(1, concurrency=1, max_queue=1)
    scheduler.submit(1, NEVER, LATER)
    scheduler.submit(2, NEVER, LATER)
    assert scheduler.cancel(2, LATER) == []
    scheduler.submit(3, NEVER, LATER)
    assert scheduler.finished(1, LATER) == [Send(1, 3)]


def test_a_running_call_whose_caller_left_is_cancelled_once() -> None:
    scheduler = ready_scheduler(1)
    scheduler.submit(1, 12.0, LATER)
    assert scheduler.cancel(1, LATER) == [Cancel(1, 1), Ping(1)]
    assert scheduler.cancel(1, LATER) == []
    scheduler.finished(1, 10.1)
    assert scheduler.tick(12.0) == []


def test_a_call_whose_caller_left_is_not_failed_when_its_worker_dies() -> None:
    scheduler = ready_scheduler(1)
    scheduler.submit(1, NEVER, LATER)
    scheduler.submit(2, NEVER, LATER)
    scheduler.cancel(1, LATER)
    fails = [a for a in scheduler.worker_gone(1, 10.1) if isinstance(a, Fail)]
    assert fails == [Fail(2, "worker_died", 1)]


# Workers that may hang


def test_a_worker_with_a_cancelled_call_gets_no_calls_until_its_pong() -> None:
    scheduler = ready_scheduler(1)
    scheduler.submit(1, NEVER, LATER)
    scheduler.cancel(1, LATER)
    assert scheduler.submit(2, NEVER, 10.1) is None
    assert scheduler.pong(1) == [Send(1, 2)]
    assert scheduler.submit(3, NEVER, 10.2) == 1


def test_a_worker_that_drops_the_call_gets_calls_again() -> None:
    scheduler = ready_scheduler(1)
    scheduler.submit(1, NEVER, LATER)
    scheduler.cancel(1, LATER)
    scheduler.submit(2, NEVER, 10.1)
    assert scheduler.finished(1, 10.2) == [Send(1, 2)]


def test_an_answer_to_another_call_proves_nothing() -> None:
    """It may have been on its way before the worker began to hang."""
    scheduler = ready_scheduler(1)
    scheduler.submit(1, NEVER, LATER)
    scheduler.submit(2, NEVER, LATER)
    scheduler.cancel(1, LATER)
    scheduler.submit(3, NEVER, 10.1)
    assert scheduler.finished(2, 10.2) == []
    assert list(scheduler.queue) == [3]


def test_other_workers_take_the_calls_meanwhile() -> None:
    scheduler = ready_scheduler(2)
    assert [scheduler.submit(call, NEVER, LATER) for call in (1, 2, 3, 4)] == [1, 2, 1, 2]
    scheduler.cancel(1, LATER)
    assert [scheduler.submit(call, NEVER, LATER) for call in (5, 6, 7)] == [2, 2, 2]


def test_a_pong_of_a_worker_that_is_gone_changes_nothing() -> None:
    scheduler = ready_scheduler(2)
    scheduler.submit(1, NEVER, LATER)
    scheduler.cancel(1, LATER)
    scheduler.worker_gone(1, 10.1)
    assert scheduler.pong(1) == []
