"""The scheduler's rules, as tests/vectors/scheduler.json has them, for every implementation of it.

Its invariants are in test_scheduler_properties.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
from collections.abc import Callable
from typing import Any

import pytest
from support.paths import VECTORS_FOLDER

from jshost.pool.options import camel_case
from jshost.pool.scheduling.actions import RESTART_REASONS, Action, Fail, Refused, Spawn
from jshost.pool.scheduling.policy import Policy
from jshost.pool.scheduling.scheduler import Scheduler
from jshost.pool.scheduling.states import TRANSITIONS, IllegalTransition, State

VECTORS = json.loads((VECTORS_FOLDER / "scheduler.json").read_text())


def policy(numbers: dict[str, Any]) -> Policy:
    known = {camel_case(field.name): field.name for field in dataclasses.fields(Policy)}
    return Policy(**{known[name]: value for name, value in numbers.items()})


def time(value: float | None) -> float:
    return math.inf if value is None else value


def submit(scheduler: Scheduler, call: int, deadline: float | None, now: float) -> list[Any]:
    try:
        worker = scheduler.submit(call, time(deadline), now)
    except Refused as refused:
        return [["refuse", refused.code]]
    return [] if worker is None else [["send", worker, call]]


EVENTS: dict[str, Callable[..., list[Action] | list[Any] | None]] = {
    "start": Scheduler.start,
    "policy": lambda scheduler, numbers, now: scheduler.set_policy(policy(numbers), now),
    "submit": submit,
    "finished": Scheduler.finished,
    "cancel": Scheduler.cancel,
    "ready": Scheduler.worker_ready,
    "pong": Scheduler.pong,
    "memory": Scheduler.memory,
    "lost": Scheduler.worker_lost,
    "gone": Scheduler.worker_gone,
    "reload": Scheduler.reload,
    "tick": lambda scheduler, now: scheduler.tick(time(now)),
    "drain": Scheduler.drain,
    "halt": Scheduler.halt,
}


def as_json(action: Action | list[Any]) -> list[Any]:
    if isinstance(action, list):
        return action
    values = [getattr(action, field.name) for field in dataclasses.fields(action)]
    while values[-1] is None:
        values.pop()
    return [type(action).__name__.lower(), *values]


def state_of(scheduler: Scheduler) -> dict[str, Any]:
    wake = scheduler.next_wake
    return {
        "workers": {str(number): w.state.phase.value for number, w in scheduler.workers.items()},
        "queue": list(scheduler.queue),
        "ready": scheduler.ready,
        "idle": scheduler.idle,
        "broken": scheduler.broken,
        "nextWake": None if wake == math.inf else pytest.approx(wake),
        "restarts": scheduler.restarts,
    }


@pytest.mark.parametrize("case", VECTORS["cases"], ids=lambda case: case["name"])
def test_the_vectors(case: dict[str, Any]) -> None:
    scheduler = Scheduler(policy(case["policy"]), lambda: float(case.get("random", 0)))
    for event, arguments, expected, *state in case["steps"]:
        try:
            actions = [as_json(each) for each in EVENTS[event](scheduler, *arguments) or []]
        except IllegalTransition:
            actions = [["illegal"]]
        assert actions == expected, (event, arguments)
        known = state_of(scheduler)
        for name, value in state[0].items() if state else ():
            assert known[name] == value, (event, arguments, name)


def test_the_vectors_speak_of_everything() -> None:
    """Each event and each action that the file explains, and every move of the table."""
    steps = [step for case in VECTORS["cases"] for step in case["steps"]]
    assert {step[0] for step in steps} == set(VECTORS["events"]) == set(EVENTS)
    assert {action[0] for step in steps for action in step[2]} == set(VECTORS["actions"])
    assert {name for step in steps for name in (step[3:] or [{}])[0]} == set(VECTORS["state"])
    restarts = [(step[3:] or [{}])[0].get("restarts", {}) for step in steps]
    assert {reason for counts in restarts for reason in counts} == set(RESTART_REASONS)
    defaults = {camel_case(name): value for name, value in dataclasses.asdict(Policy()).items()}
    assert VECTORS["defaults"] == defaults


def test_each_move_of_the_table_is_in_a_case() -> None:
    seen = set()
    for case in VECTORS["cases"]:
        scheduler = Scheduler(policy(case["policy"]))
        for event, arguments, *_ in case["steps"]:
            before = {number: worker.state for number, worker in scheduler.workers.items()}
            with contextlib.suppress(IllegalTransition):
                EVENTS[event](scheduler, *arguments)
            seen |= {(before.get(n), worker.state) for n, worker in scheduler.workers.items()}
    moves = {(state, target) for state, row in TRANSITIONS.items() for target in row.values()}
    assert moves - seen == set()


@pytest.mark.parametrize("event", ["ready", "gone"])
def test_an_illegal_event_names_the_worker_its_state_and_the_event(event: str) -> None:
    scheduler = Scheduler(Policy())
    with pytest.raises(IllegalTransition, match=rf"worker 1 in no state .*'{event}'"):
        EVENTS[event](scheduler, 1, 0.0)
    scheduler.start(0.0)
    scheduler.worker_ready(1, 0.0)
    assert "ready" not in TRANSITIONS[State.READY]
    with pytest.raises(IllegalTransition, match=r"worker 1 in READY state .*'ready'"):
        scheduler.worker_ready(1, 1.0)


def test_a_day_of_early_deaths() -> None:
    scheduler = Scheduler(Policy(max_backoff_s=5.0))
    scheduler.start(0.0)
    now, pause = 0.0, 0.0
    for number in range(1, 3000):
        scheduler.worker_ready(number, now)
        now += 0.5
        actions = scheduler.worker_gone(number, now)
        pause = 0.0 if actions else scheduler.next_wake - now
        now += pause
        assert (actions or scheduler.tick(now)) == [Spawn(number + 1)]
    assert pause == pytest.approx(5.0)


def test_a_worker_goes_whose_call_was_half_ended() -> None:
    """Ctrl-C may strike between the two places where a call is noted."""
    scheduler = Scheduler(Policy())
    scheduler.start(0.0)
    scheduler.worker_ready(1, 1.0)
    for call in (1, 2, 3):
        assert scheduler.submit(call, math.inf, 1.0) == 1
    del scheduler.calls[2]
    actions = scheduler.worker_gone(1, 2.0)
    assert [action.call for action in actions if isinstance(action, Fail)] == [1, 3]
    actions += scheduler.tick(scheduler.next_wake)
    assert Spawn(2) in actions
