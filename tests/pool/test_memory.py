"""When the memory of workers is measured, and what is said of a limit that is too small."""

from __future__ import annotations

import types
from typing import Any

import pytest
from support.fake_workers import LAUNCH, FakeLoop

from jshost.pool.memory import BUSY_S, IDLE_S, MemoryWatch

MB = 1 << 20


class Worker:
    """A worker as it is measured."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.process = self
        self.is_ready = True
        self.is_gone = False
        self.is_measured = False
        self.rss: int | None = 50 * MB

    def memory(self) -> int | None:
        return self.rss


class Loop(FakeLoop):
    """Notes the delays of its timers."""

    def __init__(self) -> None:
        super().__init__()
        self.delays_s: list[float] = []

    def call_later(self, delay_s: float, callback: Any, /) -> Any:
        self.delays_s.append(delay_s)
        return super().call_later(delay_s, callback)


class Owner:
    """A pool with workers that a test makes."""

    def __init__(self, max_memory: int | None) -> None:
        self.launch = LAUNCH
        self.policy = types.SimpleNamespace(max_memory=max_memory)
        self.scheduler: Any = types.SimpleNamespace(policy=self.policy, idle=True)
        self.calls: Any = types.SimpleNamespace(last_id=0)
        self.workers: Any = {1: Worker(1), 2: Worker(2)}
        self.measured: list[tuple[int, int]] = []
        self.loop = Loop()
        self.watch = MemoryWatch(self, self.loop)

    def on_memory(self, worker: Any, rss: int) -> None:
        self.measured.append((worker.number, rss // MB))


def test_workers_are_measured() -> None:
    owner = Owner(100 * MB)
    owner.watch.start()
    owner.watch.start()
    assert owner.measured == [(1, 50), (2, 50)]
    owner.workers[1].rss = 60 * MB
    owner.workers[2].is_gone = True
    owner.loop.fire()
    assert owner.measured[2:] == [(1, 60)]
    owner.watch.stop()
    owner.loop.fire()
    assert len(owner.measured) == 3


def test_without_a_limit_nothing_is_measured() -> None:
    owner = Owner(None)
    owner.watch.start()
    owner.watch.measure(owner.workers[1])
    owner.watch.stop()
    assert owner.measured == []
    assert owner.loop.timers == []


def test_a_worker_that_has_ended() -> None:
    owner = Owner(100 * MB)
    owner.workers[1].rss = None
    owner.watch.start()
    assert owner.measured == [(2, 50)]


def test_it_measures_more_often_while_there_are_calls() -> None:
    owner = Owner(100 * MB)
    owner.watch.start()
    owner.calls.last_id = 5
    owner.loop.fire(2)
    owner.scheduler.idle = False
    owner.loop.fire()
    assert owner.loop.delays_s == [IDLE_S, BUSY_S, IDLE_S, BUSY_S]


def test_a_limit_that_is_too_small(caplog: pytest.LogCaptureFixture) -> None:
    owner = Owner(40 * MB)
    owner.watch.start()
    owner.loop.fire()
    ((_, _, message),) = caplog.record_tuples
    assert message.startswith(
        "host.config.py: a worker uses 50 MB before its first call, and maxMemory is 40 MB"
    )


def test_a_worker_that_grows_is_no_reason_to_warn(caplog: pytest.LogCaptureFixture) -> None:
    owner = Owner(100 * MB)
    owner.watch.start()
    owner.workers[1].rss = 150 * MB
    owner.loop.fire()
    assert owner.measured[-2:] == [(1, 150), (2, 50)]
    assert caplog.record_tuples == []
