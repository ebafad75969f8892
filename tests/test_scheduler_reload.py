"""The scheduler's rules for code that has changed: new calls run the new code."""

from __future__ import annotations

import pytest
from scheduling import LATER, NEVER, ready_scheduler

from jshost.workers.decisions import Drain, Fail, Kill, Policy, Refused, Send, Spawn, State
from jshost.workers.scheduler import Scheduler


def test_new_calls_wait_for_new_workers() -> None:
    scheduler = ready_scheduler(2, reload=True)
    assert scheduler.reload(LATER) == [Spawn(3), Spawn(4)]
    assert scheduler.submit(1, NEVER, LATER) is None
    assert Send(3, 1) in scheduler.worker_ready(3, 10.1)


def test_old_workers_finish_their_calls_and_end() -> None:
    scheduler = ready_scheduler(1, reload=True)
    scheduler.submit(1, NEVER, LATER)
    assert scheduler.reload(LATER) == [Spawn(2)]
    assert scheduler.worker_ready(2, 10.1) == []
    assert scheduler.finished(1, 10.2) == [Drain(1)]
    assert scheduler.worker_gone(1, 10.3) == []
    assert list(scheduler.workers) == [2]


def test_a_worker_that_still_loads_the_old_code_is_replaced() -> None:
    scheduler = Scheduler(Policy(reload=True))
    scheduler.start(0.0)
    kill, spawn = scheduler.reload(0.1)
    assert isinstance(kill, Kill)
    assert (kill.worker, spawn) == (1, Spawn(2))
    assert scheduler.worker_gone(1, 0.2) == []
    assert not scheduler.broken
    assert list(scheduler.workers) == [2]


def test_code_that_does_not_load_is_not_tried_again_until_it_changes() -> None:
    scheduler = ready_scheduler(1, reload=True)
    scheduler.reload(LATER)
    scheduler.submit(1, NEVER, LATER)
    assert scheduler.worker_gone(2, 10.1) == [Fail(1, "load_failed", 2)]
    assert scheduler.broken
    with pytest.raises(Refused) as caught:
        scheduler.submit(2, NEVER, 10.2)
    assert caught.value.code == "load_failed"
    scheduler.worker_gone(1, 10.3)
    assert scheduler.tick(NEVER) == []
    assert scheduler.reload(20.0) == [Spawn(3)]
    assert not scheduler.broken
    assert scheduler.submit(3, NEVER, 20.0) is None
    assert scheduler.worker_ready(3, 20.1) == [Send(3, 3)]


def test_a_second_change_while_the_first_ones_worker_is_ending() -> None:
    """An editor that saves twice: the worker of the first save has failed, but is not gone yet."""
    scheduler = ready_scheduler(1, reload=True)
    scheduler.reload(LATER)
    scheduler.submit(1, NEVER, LATER)
    scheduler.worker_lost(2)
    assert scheduler.reload(10.1) == [Spawn(3)]
    assert Fail(1, "load_failed", 2) not in scheduler.worker_gone(2, 10.2)
    assert not scheduler.broken
    assert Send(3, 1) in scheduler.worker_ready(3, 10.3)


def test_a_change_ends_the_wait_for_a_respawn() -> None:
    scheduler = ready_scheduler(1, reload=True)
    scheduler.worker_gone(1, 0.1)
    scheduler.worker_ready(2, 0.2)
    assert scheduler.worker_gone(2, 0.3) == [], "it died early: the next one comes later"
    assert scheduler.reload(0.31) == [Spawn(3)]
    assert scheduler.tick(NEVER) == [Kill(3, "did not start in time")], "and no second one"


@pytest.mark.parametrize("end", ["draining", "halted"])
def test_a_pool_that_ends_reloads_nothing(end: str) -> None:
    scheduler = ready_scheduler(1, respawn=False, reload=True)
    if end == "draining":
        scheduler.drain()
    else:
        scheduler.worker_gone(1, LATER)
    assert scheduler.reload(LATER) == []
    assert all(worker.state is State.READY for worker in scheduler.workers.values())
