"""When the scheduler is asked again."""

from __future__ import annotations

import math
import time

import pytest
from support.fake_workers import FakeLoop

from jshost.pool.alarm import Alarm


class Planner:
    """Wants to be asked when a test says so, and counts how often it was."""

    def __init__(self) -> None:
        self.next_wake = math.inf
        self.asked = 0
        self.loop = FakeLoop()
        self.alarm = Alarm(self, self.loop, self._ring)

    def _ring(self) -> None:
        self.asked += 1
        self.next_wake = math.inf

    def want(self, in_s: float) -> None:
        self.next_wake = time.monotonic() + in_s
        self.alarm.set()

    @property
    def timers(self) -> int:
        return sum(not timer.is_cancelled for timer in self.loop.timers)


@pytest.fixture
def planner() -> Planner:
    return Planner()


def test_it_is_not_set_for_nothing(planner: Planner) -> None:
    planner.alarm.set()
    assert (planner.timers, planner.alarm.at) == (0, math.inf)


def test_it_rings_once(planner: Planner) -> None:
    planner.want(5.0)
    assert planner.alarm.at == planner.next_wake
    planner.loop.fire(3)
    assert (planner.asked, planner.timers, planner.alarm.at) == (1, 0, math.inf)


def test_the_earliest_time_counts(planner: Planner) -> None:
    planner.want(5.0)
    planner.want(1.0)
    at = planner.alarm.at
    planner.want(3.0)
    assert planner.alarm.at == at
    assert planner.timers == 1


def test_it_can_be_set_while_it_rings(planner: Planner) -> None:
    planner.want(1.0)
    planner.loop.fire()
    planner.want(5.0)
    assert planner.timers == 1
    planner.loop.fire()
    assert planner.asked == 2


def test_stop(planner: Planner) -> None:
    planner.alarm.stop()
    planner.want(1.0)
    planner.alarm.stop()
    planner.loop.fire()
    assert planner.asked == 0
