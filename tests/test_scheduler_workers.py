"""The scheduler's rules for workers: starting, replacing, ending, and giving up."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from scheduling import LATER, NEVER, ready_scheduler, retiring_scheduler

from jshost.workers.decisions import (
    RESTART_REASONS,
    TRANSITIONS,
    Action,
    Fail,
    Halt,
    IllegalTransition,
    Kill,
    Policy,
    Refused,
    Send,
    Spawn,
    State,
)
from jshost.workers.scheduler import Scheduler

# Transitions


def starting() -> Scheduler:
    scheduler = Scheduler(Policy())
    scheduler.start(0.0)
    return scheduler


STATES: dict[State, Callable[[], Scheduler]] = {
    State.STARTING: starting,
    State.READY: lambda: ready_scheduler(1),
    State.RETIRING: retiring_scheduler,
}
EVENTS: dict[str, Callable[[Scheduler], list[Action]]] = {
    "ready": lambda scheduler: scheduler.worker_ready(1, LATER + 1),
    "gone": lambda scheduler: scheduler.worker_gone(1, LATER + 1),
}


@pytest.mark.parametrize("event", EVENTS)
@pytest.mark.parametrize("state", STATES)
def test_transitions_are_those_of_the_table(state: State, event: str) -> None:
    scheduler = STATES[state]()
    assert scheduler.workers[1].state is state
    if (state, event) in TRANSITIONS:
        EVENTS[event](scheduler)
        worker = scheduler.workers.get(1)
        assert (worker.state if worker else None) is TRANSITIONS[state, event]
    else:
        with pytest.raises(IllegalTransition, match=rf"worker 1 in {state.name} .*'{event}'"):
            EVENTS[event](scheduler)
        assert scheduler.workers[1].state is state


@pytest.mark.parametrize("event", EVENTS)
def test_a_worker_that_is_not_there_can_do_nothing(event: str) -> None:
    scheduler = ready_scheduler(1)
    scheduler.worker_gone(1, LATER)
    with pytest.raises(IllegalTransition, match=rf"worker 1 in no state .*'{event}'"):
        EVENTS[event](scheduler)


# Starting


def test_one_worker_starts_first_and_the_others_once_it_is_ready() -> None:
    scheduler = Scheduler(Policy(workers=3))
    assert scheduler.start(0.0) == [Spawn(1)]
    assert not scheduler.ready
    assert scheduler.worker_ready(1, 0.1) == [Spawn(2), Spawn(3)]
    assert scheduler.ready
    assert scheduler.worker_ready(3, 0.2) == []


def test_workers_are_brought_up_to_the_policys_number() -> None:
    scheduler = ready_scheduler(1)
    assert scheduler.set_policy(Policy(workers=3), LATER) == [Spawn(2), Spawn(3)]
    assert scheduler.set_policy(Policy(workers=3), LATER) == []
    assert scheduler.set_policy(Policy(workers=1), LATER) == []


def test_a_draining_pool_spawns_nothing_for_its_number() -> None:
    scheduler = ready_scheduler(1)
    scheduler.drain()
    assert scheduler.set_policy(Policy(workers=3), LATER) == []


def test_a_worker_that_does_not_start_in_time_is_killed_once() -> None:
    scheduler = Scheduler(Policy(start_timeout_s=30))
    scheduler.start(0.0)
    assert scheduler.next_wake == 30.0
    assert scheduler.tick(29.9) == []
    assert scheduler.tick(30.0) == [Kill(1, "did not start in time")]
    assert scheduler.tick(31.0) == []
    assert scheduler.worker_gone(1, 31.1) == []
    assert scheduler.tick(scheduler.next_wake) == [Spawn(2)]


def test_a_worker_that_was_killed_gets_no_calls_though_its_ready_was_on_its_way() -> None:
    scheduler = Scheduler(Policy(start_timeout_s=30))
    scheduler.start(0.0)
    scheduler.submit(1, NEVER, 0.0)
    assert scheduler.tick(30.0) == [Kill(1, "did not start in time")]
    assert scheduler.worker_ready(1, 30.0) == []
    assert scheduler.submit(2, NEVER, 30.0) is None
    assert Fail(1, "worker_died", 1) not in scheduler.worker_gone(1, 30.1)


# Dying


def test_a_dead_workers_calls_fail_and_others_go_on() -> None:
    scheduler = ready_scheduler(2)
    assert [scheduler.submit(call, NEVER, LATER) for call in (1, 2, 3)] == [1, 2, 1]
    actions = scheduler.worker_gone(1, LATER)
    assert set(actions) == {Fail(1, "worker_died", 1), Fail(3, "worker_died", 1), Spawn(3)}
    assert scheduler.finished(2, LATER) == []


def test_a_worker_whose_channel_is_closed_gets_no_calls() -> None:
    """Its process has not ended yet; what is sent to it would be lost."""
    scheduler = ready_scheduler(1)
    scheduler.submit(1, NEVER, LATER)
    scheduler.worker_lost(1)
    assert not scheduler.ready
    assert scheduler.submit(2, NEVER, LATER) is None
    assert scheduler.finished(1, LATER) == []
    assert scheduler.worker_gone(1, LATER) == [Spawn(2)]
    assert scheduler.worker_ready(2, LATER) == [Send(2, 2)]


def test_waiting_calls_outlive_a_worker() -> None:
    scheduler = ready_scheduler(1, concurrency=1)
    scheduler.submit(1, NEVER, LATER)
    scheduler.submit(2, NEVER, LATER)
    assert scheduler.worker_gone(1, LATER) == [Fail(1, "worker_died", 1), Spawn(2)]
    assert scheduler.worker_ready(2, 10.2) == [Send(2, 2)]


def test_waiting_calls_of_a_draining_pool_do_not_wait_for_ever() -> None:
    """Its last worker died: a new one runs them, or they fail; nobody else will answer."""
    scheduler = ready_scheduler(1, concurrency=1)
    scheduler.submit(1, NEVER, LATER)
    scheduler.submit(2, NEVER, LATER)
    scheduler.drain()
    actions = scheduler.worker_gone(1, LATER)
    assert Fail(1, "worker_died", 1) in actions
    assert scheduler.idle or Spawn(2) in actions, "call 2 waits for a worker that never comes"


def test_a_draining_pool_with_nothing_to_do_does_not_respawn() -> None:
    scheduler = ready_scheduler(1)
    scheduler.submit(1, NEVER, LATER)
    scheduler.drain()
    assert scheduler.worker_gone(1, LATER) == [Fail(1, "worker_died", 1)]
    assert scheduler.tick(NEVER) == []


def test_a_worker_that_had_settled_is_respawned_at_once() -> None:
    scheduler = ready_scheduler(1, settled_s=1.0)
    assert scheduler.worker_gone(1, 1.0) == [Spawn(2)]


def respawn_pauses(scheduler: Scheduler, deaths: int, lifetime_s: float | None) -> list[float]:
    """How long each respawn waited; a lifetime of None: the worker dies while it starts."""
    pauses, now = [], LATER
    for _ in range(deaths):
        newest = max(scheduler.workers)
        if lifetime_s is not None:
            if scheduler.workers[newest].state is State.STARTING:
                scheduler.worker_ready(newest, now)
            now = scheduler.workers[newest].since + lifetime_s
        actions = scheduler.worker_gone(newest, now)
        if not actions:
            wake = scheduler.next_wake
            pauses.append(round(wake - now, 6))
            now, actions = wake, scheduler.tick(wake)
        else:
            pauses.append(0.0)
        assert [type(action) for action in actions] == [Spawn]
    return pauses


def test_early_deaths_are_respawned_later_and_later() -> None:
    scheduler = ready_scheduler(1, backoff_s=0.1, max_backoff_s=1.0, settled_s=1.0)
    pauses = respawn_pauses(scheduler, 7, lifetime_s=0.5)
    assert pauses == [0.0, 0.2, 0.4, 0.8, 1.0, 1.0, 1.0]
    assert respawn_pauses(scheduler, 1, lifetime_s=1.0) == [0.0], "this one had settled"
    assert respawn_pauses(scheduler, 3, lifetime_s=0.5) == [0.0, 0.2, 0.4]


def test_a_day_of_early_deaths() -> None:
    scheduler = ready_scheduler(1, max_backoff_s=5.0)
    assert respawn_pauses(scheduler, 3000, lifetime_s=0.5)[-1] == 5.0


def test_failed_starts_are_repeated_later_and_later_until_the_pool_halts() -> None:
    scheduler = starting()
    assert respawn_pauses(scheduler, 4, lifetime_s=None) == [0.1, 0.2, 0.4, 0.8]
    for call in (1, 2):
        scheduler.submit(call, NEVER, 12.0)
    assert scheduler.worker_gone(5, 12.0) == [
        Fail(1, "worker_died", 5),
        Fail(2, "worker_died", 5),
        Halt("start_failures", 5),
    ]
    assert scheduler.idle
    with pytest.raises(Refused):
        scheduler.submit(3, NEVER, 12.0)
    assert scheduler.tick(NEVER) == []


def test_a_start_that_succeeds_is_forgiven_the_ones_before() -> None:
    scheduler = starting()
    respawn_pauses(scheduler, 4, lifetime_s=None)
    scheduler.worker_ready(5, 20.0)
    assert scheduler.worker_gone(5, 30.0) == [Spawn(6)]
    assert respawn_pauses(scheduler, 4, lifetime_s=None) == [0.1, 0.2, 0.4, 0.8]


def test_a_planned_respawn_counts_as_a_worker() -> None:
    scheduler = ready_scheduler(2)
    scheduler.worker_gone(1, 0.1)
    scheduler.worker_gone(2, 0.1)
    assert scheduler.worker_ready(3, 0.15) == [], "the second respawn is still due"
    assert scheduler.tick(scheduler.next_wake) == [Spawn(4)]


def test_without_respawn_a_death_ends_the_pool() -> None:
    scheduler = ready_scheduler(1, concurrency=1, respawn=False)
    scheduler.submit(1, NEVER, LATER)
    scheduler.submit(2, NEVER, LATER)
    assert scheduler.worker_gone(1, LATER) == [
        Fail(1, "worker_died", 1),
        Fail(2, "worker_died", 1),
        Halt("no_respawn", 1),
    ]
    assert not scheduler.ready


def test_a_halted_pool_lets_its_other_calls_end() -> None:
    scheduler = ready_scheduler(2, respawn=False)
    assert [scheduler.submit(call, NEVER, LATER) for call in (1, 2)] == [1, 2]
    assert Halt("no_respawn", 1) in scheduler.worker_gone(1, LATER)
    assert scheduler.finished(2, LATER) == []
    assert scheduler.worker_gone(2, LATER) == [], "it is halted once"
    assert not scheduler.ready


def test_a_halted_pool_does_not_say_that_it_is_ready() -> None:
    """It refuses every call, so a load balancer must not send it any."""
    scheduler = ready_scheduler(2, respawn=False)
    scheduler.worker_gone(1, LATER)
    with pytest.raises(Refused):
        scheduler.submit(1, NEVER, LATER)
    assert not scheduler.ready


# What is counted


def test_restarts_are_counted_by_reason() -> None:
    scheduler = ready_scheduler(2, reload=True)
    scheduler.worker_gone(1, LATER)
    assert scheduler.restarts == {"died": 1}
    scheduler.worker_ready(3, LATER)
    scheduler.reload(LATER)
    assert scheduler.restarts == {"died": 1, "reload": 2}
    scheduler.worker_gone(4, LATER)
    scheduler.worker_gone(2, LATER)
    assert scheduler.restarts == {"died": 1, "reload": 2}, "it does not load: nothing follows it"
    retiring = retiring_scheduler()
    assert retiring.restarts == {"unresponsive": 1}
    assert set(retiring.restarts | scheduler.restarts) <= set(RESTART_REASONS)
