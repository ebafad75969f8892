"""Host processes as the ledger wants them, with processes that are none.

tests/e2e/manager has real ones.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from jshost_manager.host_process import HostLaunch, StartFailed
from jshost_manager.ledger_actions import Timeouts
from jshost_manager.managed_host import Holder
from jshost_manager.supervisor import GAVE_UP, Leaving, Supervisor

from jshost.exceptions import ConfigError, ProcessError

APP = HostLaunch("/app/host.config.py", "python", {}, "/app", None, "/app/host.log")
ANN, BEN = Holder(101, 1.5), Holder(102, 2.5)
PORT = 4711


class FakeProcess:
    """A host that listens, and ends, when the test wants."""

    def __init__(self, launch: HostLaunch, port: int, number: int) -> None:
        self.launch = launch
        self.wanted_port = port
        self.pid = 1000 + number
        self.uptime_s = 1.0
        self.status: dict[str, Any] = {}
        self.stops = 0
        self._listens: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._code: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    @property
    def port(self) -> int:
        return int(self.status["config"]["port"]) if self.status else 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def listen(self, **config: Any) -> None:
        self.status = {"config": {"port": self.wanted_port or PORT, **config}}
        self._listens.set_result(None)

    def fail(self, text: str) -> None:
        self._listens.set_exception(StartFailed(text))

    def end(self, code: int = 0) -> None:
        if not self._listens.done():
            self.fail("it was stopped")
        if not self._code.done():
            self._code.set_result(code)

    async def listening(self) -> None:
        await self._listens

    async def ended(self) -> int:
        return await self._code

    async def stop(self) -> None:
        self.stops += 1
        self.end()


class Manager:
    """A supervisor, its processes, and the holders that have ended."""

    def __init__(self, folder: Path, idle_s: float = 60.0, can_spawn: bool = True) -> None:
        self.processes: list[FakeProcess] = []
        self.dead: set[Holder] = set()
        self._can_spawn = can_spawn
        self.supervisor = Supervisor(
            folder,
            self._spawn,
            lambda holders: sorted(holders & self.dead),
            Timeouts(disconnect_timeout_s=idle_s),
        )

    async def _spawn(self, launch: HostLaunch, port: int) -> FakeProcess:
        if not self._can_spawn:
            raise StartFailed("python: cannot be run")
        process = FakeProcess(launch, port, len(self.processes))
        self.processes.append(process)
        return process

    async def process(self, number: int) -> FakeProcess:
        """The process of this number, once it is spawned."""
        while len(self.processes) <= number:
            await asyncio.sleep(0)
        return self.processes[number]

    async def running(self, *holders: Holder, **config: Any) -> FakeProcess:
        """The first process, once it listens for these holders."""
        requests = [asyncio.ensure_future(self.supervisor.connect(APP, each)) for each in holders]
        process = await self.process(0)
        process.listen(**config)
        await asyncio.gather(*requests)
        return process


def run(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    async def main() -> None:
        async with asyncio.timeout(10):
            await test()

    asyncio.run(main())


def test_who_comes_while_it_starts_gets_the_same_host(tmp_path: Path) -> None:
    async def main() -> None:
        manager = Manager(tmp_path)
        first = asyncio.ensure_future(manager.supervisor.connect(APP, ANN))
        second = asyncio.ensure_future(manager.supervisor.connect(APP, BEN))
        process = await manager.process(0)
        assert not first.done()
        process.listen()
        for answer in (await first, await second):
            assert answer["url"] == f"http://127.0.0.1:{PORT}"
            assert (answer["pid"], answer["restarted"]) == (process.pid, False)
        assert len(manager.processes) == 1
        [host] = manager.supervisor.describe()
        assert (host["state"], len(host["holders"])) == ("running", 2)

    run(main)


def test_a_host_that_does_not_start_says_why(tmp_path: Path) -> None:
    async def main() -> None:
        manager = Manager(tmp_path)
        request = asyncio.ensure_future(manager.supervisor.connect(APP, ANN))
        (await manager.process(0)).fail("host.config.py: no functions")
        with pytest.raises(ConfigError, match=r"^host\.config\.py: no functions$"):
            await request
        assert manager.supervisor.describe() == []

    run(main)


def test_an_interpreter_that_cannot_be_run_is_an_error(tmp_path: Path) -> None:
    async def main() -> None:
        manager = Manager(tmp_path, can_spawn=False)
        with pytest.raises(ConfigError, match="cannot be run"):
            await manager.supervisor.connect(APP, ANN)

    run(main)


def test_an_idle_host_is_stopped_and_then_the_manager_ends(tmp_path: Path) -> None:
    async def main() -> None:
        manager = Manager(tmp_path, idle_s=0.01)
        process = await manager.running(ANN, disconnectTimeout=0.01)
        manager.supervisor.disconnect(APP.config, ANN)
        await manager.supervisor.over.wait()
        assert process.stops == 1

    run(main)


def test_a_client_that_was_killed_holds_nothing(tmp_path: Path) -> None:
    async def main() -> None:
        manager = Manager(tmp_path, idle_s=0.01)
        process = await manager.running(ANN, disconnectTimeout=0.01)
        manager.dead.add(ANN)
        await manager.supervisor.over.wait()
        assert process.stops == 1

    run(main)


def test_a_restart_keeps_the_port(tmp_path: Path) -> None:
    async def main() -> None:
        manager = Manager(tmp_path)
        process = await manager.running(ANN)
        request = asyncio.ensure_future(manager.supervisor.restart(APP))
        follower = await manager.process(1)
        assert (process.stops, follower.wanted_port) == (1, PORT)
        follower.listen()
        assert (await request)["restarted"]

    run(main)


def test_after_a_crash_the_next_host_says_so(tmp_path: Path) -> None:
    async def main() -> None:
        manager = Manager(tmp_path)
        process = await manager.running(ANN)
        left = tmp_path / f"host-abc-{process.pid}.json"
        other = tmp_path / "host-abc-1.json"
        left.touch()
        other.touch()
        process.end(-9)
        while manager.supervisor.describe():
            await asyncio.sleep(0)
        assert (left.exists(), other.exists()) == (False, True)
        request = asyncio.ensure_future(manager.supervisor.connect(APP, ANN))
        (await manager.process(1)).listen()
        assert (await request)["restarted"]

    run(main)


@pytest.mark.parametrize(
    "config", [{"respawn": False}, {"respawn": True, "pools": [{"respawn": False}]}]
)
def test_without_respawn_a_host_that_gave_up_has_no_follower(
    tmp_path: Path, config: dict[str, Any]
) -> None:
    async def main() -> None:
        manager = Manager(tmp_path)
        process = await manager.running(ANN, **config)
        process.end(GAVE_UP)
        while manager.supervisor.describe():
            await asyncio.sleep(0)
        with pytest.raises(ProcessError, match=r"respawn is off(.|\n)*log: /app/host\.log"):
            await manager.supervisor.connect(APP, ANN)
        assert len(manager.processes) == 1

    run(main)


def test_stopping_all_refuses_who_waits_and_who_comes(tmp_path: Path) -> None:
    async def main() -> None:
        manager = Manager(tmp_path)
        waiting = asyncio.ensure_future(manager.supervisor.connect(APP, ANN))
        await manager.process(0)
        stopping = asyncio.ensure_future(manager.supervisor.stop_all())
        with pytest.raises(ProcessError, match="stopped by hand"):
            await waiting
        with pytest.raises(Leaving):
            await manager.supervisor.connect(APP, BEN)
        await stopping
        assert manager.supervisor.over.is_set()

    run(main)


def test_a_request_that_was_given_up_is_no_mistake(tmp_path: Path) -> None:
    async def main() -> None:
        manager = Manager(tmp_path)
        request = asyncio.ensure_future(manager.supervisor.connect(APP, ANN))
        process = await manager.process(0)
        request.cancel()
        await asyncio.sleep(0)
        process.listen()
        await manager.supervisor.stop(APP.config)
        assert process.stops == 1

    run(main)
