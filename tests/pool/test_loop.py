"""Waiting for a condition in a loop."""

from __future__ import annotations

import math
import time

from support.fake_workers import FakeLoop

from jshost.pool.loop import when


def test_a_condition_that_holds() -> None:
    loop, done = FakeLoop(), [0]
    when(lambda: True, math.inf, lambda: done.append(1), loop)
    assert done == [0, 1]
    assert loop.timers == []


def test_a_condition_that_will_hold() -> None:
    loop, done, holds = FakeLoop(), [0], [False]
    when(lambda: holds[0], math.inf, lambda: done.append(1), loop)
    loop.fire(100)
    assert done == [0]
    holds[0] = True
    loop.fire(3)
    assert done == [0, 1]
    assert loop.timers == []


def test_the_deadline() -> None:
    loop, done = FakeLoop(), [0]
    when(lambda: False, time.monotonic(), lambda: done.append(1), loop)
    assert done == [0, 1]
