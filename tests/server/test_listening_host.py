"""What a host does from its first call to its end, in order; nothing of it is real.

tests/e2e/host/test_shutdown stops real hosts.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from support.fake_service import FakePool, FakeService

from jshost.server.listening_host import GAVE_UP, STOPPED, ListeningHost

URL = "http://127.0.0.1:4711"


class Steps(list[str]):
    """What has happened, in order: each fake notes the calls of its methods."""

    def note(self, name: str) -> Callable[..., None]:
        return lambda *args: self.append(name)


class FakeGenerations:
    def __init__(self, steps: Steps, **options: Any) -> None:
        self.current = FakeService.of(FakePool(), "f", **options)
        self.has_halted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.is_busy = False
        self.idle = True
        self.calls = 0
        self.on_change: Callable[[], None] = lambda: None
        self.watch_files = steps.note("watch files")
        self.settle = steps.note("settle")
        self.renew = steps.note("renew")
        self.status = dict
        self._steps = steps

    def in_flight(self) -> int:
        return self.calls

    async def end(self, timeout_s: float) -> None:
        self._steps.append(f"end workers within {timeout_s:g} s")


class FakeServer:
    def __init__(self, steps: Steps) -> None:
        self.idle = True
        self.wind_down = steps.note("last answers")
        self.stop_accepting = steps.note("stop accepting")
        self.shut_down = steps.note("close connections")
        self.abort = steps.note("abort")
        self._steps = steps

    async def start(self, listeners: Any, own: Any) -> None:
        self._steps.append("accept")


class FakeSystemd:
    def __init__(self, steps: Steps) -> None:
        self.ready = lambda status: steps.append(f"systemd: {status}")
        self.reloading = lambda status: steps.append("systemd: reloading")
        self.stopping = lambda status: steps.append("systemd: stopping")


class FakeListeners:
    def __init__(self, steps: Steps) -> None:
        self.sockets: list[Any] = []
        self.own: list[Any] = []
        self.url, self.port = URL, 4711
        self.turn_away = steps.note("turn away")


class FakeRecord:
    def __init__(self, steps: Steps, managed: bool) -> None:
        self.managed = managed
        self.remove = steps.note("remove record")
        self.problem: Exception | None = None
        self._steps = steps

    def write(self) -> None:
        if self.problem is not None:
            raise self.problem
        self._steps.append("write record")


class FakeSignals:
    def __init__(self) -> None:
        self.stop = asyncio.Event()
        self.stop_now = asyncio.Event()
        self.hang_up: Callable[[], None] = lambda: None

    def on_hang_up(self, reload: Callable[[], None]) -> None:
        self.hang_up = reload


class FakeApp:
    def __init__(self, steps: Steps) -> None:
        self.draining = False
        self.reload_status: Any = None
        self.use = steps.note("use")

    def status(self) -> dict[str, Any]:
        return {"type": "Host"}


class Parts:
    """A host made of fakes, and what it does."""

    def __init__(self, managed: bool = False, as_json: bool = False, **options: Any) -> None:
        self.steps = steps = Steps()
        self.generations = FakeGenerations(steps, **options)
        self.app = FakeApp(steps)
        self.server = FakeServer(steps)
        self.signals = FakeSignals()
        self.record = FakeRecord(steps, managed)
        listeners, systemd = FakeListeners(steps), FakeSystemd(steps)
        parts: Any = (self.generations, self.app, self.server, listeners, self.signals, systemd)
        record: Any = self.record
        self.host = ListeningHost(*parts, record, as_json)

    async def serving(self) -> asyncio.Task[int]:
        task = asyncio.create_task(self.host.run())
        while "use" not in self.steps:
            await asyncio.sleep(0)
        return task


def run(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    async def main() -> None:
        async with asyncio.timeout(10):
            await test()

    asyncio.run(main())


START = ["accept", "write record", "watch files", "use", f"systemd: serving 1 functions on {URL}"]
STOP = ["remove record", "systemd: stopping", "last answers", "turn away", "stop accepting"]
DRAIN = ["settle", "end workers within 2 s", "close connections", "remove record", "abort"]


def test_a_signal_stops_it_in_this_order(capfd: pytest.CaptureFixture[str]) -> None:
    async def main() -> None:
        parts = Parts()
        task = await parts.serving()
        assert not parts.app.draining
        parts.signals.stop.set()
        assert await task == STOPPED
        assert parts.steps == [*START, *STOP, *DRAIN]
        assert parts.app.draining
        assert parts.generations.current.registry.options.port == 4711

    run(main)
    assert capfd.readouterr().out.endswith(f" listens on {URL}, functions: f\n")


def test_pools_that_cannot_go_on_end_it_with_a_failure() -> None:
    async def main() -> None:
        parts = Parts(shutdown_delay=60.0)
        task = await parts.serving()
        parts.generations.has_halted.set_result(None)
        assert await task == GAVE_UP, "and it does not wait for the delay"
        assert parts.steps == [*START, *STOP, *DRAIN]

    run(main)


def test_a_managed_host_has_no_delay_and_says_its_status(capfd: pytest.CaptureFixture[str]) -> None:
    async def main() -> None:
        parts = Parts(managed=True, as_json=True, shutdown_delay=60.0)
        task = await parts.serving()
        parts.signals.stop.set()
        assert await task == STOPPED

    run(main)
    assert json.loads(capfd.readouterr().out) == {"type": "Host"}


def test_a_second_signal_cuts_calls_off(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        parts = Parts(shutdown_delay=60.0)
        parts.generations.idle, parts.generations.calls = False, 3
        task = await parts.serving()
        parts.signals.stop.set()
        while "last answers" not in parts.steps:
            await asyncio.sleep(0)
        parts.signals.stop_now.set()
        assert await task == STOPPED
        assert "end workers within 2 s" not in parts.steps

    run(main)
    assert "a second signal came; calls that have not finished: 3" in caplog.text


def test_calls_that_take_too_long_are_cut_off(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        parts = Parts(shutdown_timeout=0.02)
        parts.generations.idle, parts.generations.calls = False, 2
        task = await parts.serving()
        parts.signals.stop.set()
        assert await task == STOPPED
        assert "end workers within 0 s" in parts.steps

    run(main)
    assert "their time is over; calls that have not finished: 2" in caplog.text


def test_a_reload_is_told_to_systemd_and_the_app() -> None:
    async def main() -> None:
        parts = Parts()
        task = await parts.serving()
        parts.signals.hang_up()
        assert parts.steps[-1] == "renew"
        parts.generations.is_busy = True
        parts.generations.on_change()
        assert parts.steps[-1] == "systemd: reloading"
        parts.generations.is_busy = False
        parts.generations.on_change()
        assert parts.steps[-2:] == START[-2:]
        parts.signals.stop.set()
        await task

    run(main)


def test_without_a_record_it_serves_all_the_same(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        parts = Parts()
        parts.record.problem = PermissionError(13, "Permission denied")
        task = await parts.serving()
        parts.signals.stop.set()
        assert await task == STOPPED

    with caplog.at_level(logging.WARNING, "jshost.host"):
        run(main)
    assert "this host is found by ROOT_URL only" in caplog.text
