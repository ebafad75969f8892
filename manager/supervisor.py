"""Starts, watches and stops hosts as the ledger decides. Runs in: manager."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import math
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import psutil

from jshost.exceptions import ConfigError, JSHostError, ProcessError

from .host_process import HostLaunch, HostProcess, RunningHost, StartFailed
from .ledger import Ledger
from .ledger_actions import (
    Action,
    ExitManager,
    Grant,
    Refusal,
    Refuse,
    ReportStopped,
    StartHost,
    StopHost,
    Timeouts,
)
from .liveness import Liveness
from .managed_host import Holder, HostState

__all__ = ["Leaving", "Supervisor"]

logger = logging.getLogger("jshost_manager")

GAVE_UP = 1
"""The exit code of a host whose pools cannot go on."""
HOLDER_POLL_S = 0.5
"""How often the holders' processes are checked: a killed one is noticed within a second."""


class Leaving(JSHostError):
    """The manager is about to end; its client must start another one."""


_REFUSALS: dict[Refusal, type[JSHostError]] = {
    Refusal.START_FAILED: ConfigError,
    Refusal.LEAVING: Leaving,
}


class Supervisor:
    """The host processes of one manager, and the requests that wait for them.

    Args:
        folder: the user's runtime directory, where hosts write their records.
        spawn: starts a host's process; raises `StartFailed`.
        find_dead: says which of these holders' processes have ended.
        timeouts: the ledger's.

    Attributes:
        over: set once the manager must end.
    """

    def __init__(
        self,
        folder: Path,
        spawn: Callable[[HostLaunch, int], Awaitable[RunningHost]] = HostProcess.spawn,
        find_dead: Callable[[set[Holder]], list[Holder]] | None = None,
        timeouts: Timeouts | None = None,
    ) -> None:
        self._folder = folder
        self._spawn = spawn
        self._find_dead = find_dead or Liveness().find_dead
        self.over = asyncio.Event()
        self._ledger = Ledger(timeouts or Timeouts(), time.monotonic())
        self._launches: dict[str, HostLaunch] = {}
        self._processes: dict[str, RunningHost] = {}
        self._ports: dict[str, int] = {}
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[bool]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._run(self._watch_holders())
        self._plan_tick()

    # Requests

    async def connect(self, launch: HostLaunch, holder: Holder | None) -> dict[str, Any]:
        """Start the host if it does not run, and add the holder (None: start it only).

        Returns:
            ``{config, url, pid, logfile, restarted}``

        Raises:
            ConfigError: its config does not load; the message is the host's.
            ProcessError: it was stopped meanwhile, did not start in time, or has ended for good;
                the message names its log.
        """
        config = launch.config
        if self._ledger.state(config) in (None, HostState.STOPPING):
            self._launches[config] = launch
        number, answer = self._wait()
        now = time.monotonic()
        if holder is None:
            self._act(self._ledger.start(config, number, now))
        else:
            self._act(self._ledger.connect(config, holder, number, now))
        try:
            restarted = await answer
            described = self._describe_process(config)
            if described["url"] is None:
                raise ProcessError(f"{config}: the host ended as soon as it had started.")
        except ProcessError as error:
            raise ProcessError(f"{error}\nThe host's log: {launch.logfile}") from None
        return {**described, "restarted": restarted}

    async def restart(self, launch: HostLaunch) -> dict[str, Any]:
        """Replace the host's process, on the same port. Raises: as `connect`."""
        if self._ledger.state(launch.config) in (None, HostState.STOPPING):
            self._launches[launch.config] = launch
        number, answer = self._wait()
        self._act(self._ledger.restart(launch.config, number, time.monotonic()))
        await answer
        return {**self._describe_process(launch.config), "restarted": True}

    async def stop(self, config: str) -> None:
        """Stop the host, even if clients hold it, and wait until it has ended."""
        number, answer = self._wait()
        self._act(self._ledger.stop(config, number, time.monotonic()))
        await answer

    async def stop_all(self) -> None:
        """Stop every host, then the manager."""
        number, answer = self._wait()
        self._act(self._ledger.stop_all(number, time.monotonic()))
        await answer

    def disconnect(self, config: str, holder: Holder) -> None:
        """The client no longer needs the host."""
        self._act(self._ledger.disconnect(config, holder, time.monotonic()))

    def describe(self) -> list[dict[str, Any]]:
        """Every host, for `/status` and `jshost ps`."""
        hosts = []
        for status in self._ledger.describe(time.monotonic()):
            config = status["config"]
            holders = [{**h, "name": _process_name(h["pid"])} for h in status["holders"]]
            hosts.append({**status, "holders": holders, **self._describe_process(config)})
        return hosts

    def _describe_process(self, config: str) -> dict[str, Any]:
        process = self._processes.get(config)
        launch = process.launch if process is not None else self._launches.get(config)
        listens = process is not None and bool(process.status)
        return {
            "config": config,
            "url": process.url if process is not None and listens else None,
            "pid": process.pid if process is not None else None,
            "uptime": round(process.uptime_s, 3) if process is not None else None,
            "logfile": launch.logfile if launch is not None else None,
        }

    def _wait(self) -> tuple[int, asyncio.Future[bool]]:
        number = next(self._numbers)
        future: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting[number] = future
        return number, future

    # Actions

    def _act(self, actions: list[Action]) -> None:
        for action in actions:
            match action:
                case StartHost(config, again):
                    self._run(self._start(config, self._ports.get(config, 0) if again else 0))
                case StopHost(config):
                    logger.info("stopping the host of %s", config)
                    if config in self._processes:
                        self._run(self._processes[config].stop())
                case Grant(waiter, _, restarted):
                    self._settle(waiter, restarted)
                case ReportStopped(waiter):
                    self._settle(waiter, False)
                case Refuse(waiter, error, why):
                    self._settle(waiter, _REFUSALS.get(why, ProcessError)(str(error)))
                case ExitManager():
                    self.over.set()
        self._plan_tick()

    def _settle(self, waiter: object, outcome: bool | JSHostError) -> None:
        assert isinstance(waiter, int)
        future = self._waiting.pop(waiter)
        if future.done():  # its client has disconnected
            return
        if isinstance(outcome, bool):
            future.set_result(outcome)
        else:
            future.set_exception(outcome)

    async def _start(self, config: str, port: int) -> None:
        """Start a host, and report to the ledger until it has ended."""
        launch = self._launches[config]
        try:
            process = await self._spawn(launch, port)
        except StartFailed as error:
            self._act(self._ledger.start_failed(config, str(error), time.monotonic()))
            return
        self._processes[config] = process
        logger.info("started host %d of %s", process.pid, config)
        if self._ledger.state(config) is HostState.STOPPING:  # decided before it had a process
            self._run(process.stop())
        try:
            await process.listening()
        except StartFailed as error:
            self._forget(config)
            logger.error("the host of %s did not start: %s", config, error)
            self._act(self._ledger.start_failed(config, str(error), time.monotonic()))
            return
        self._ports[config] = process.port
        timeout_s = process.status["config"].get("disconnectTimeout")
        self._act(self._ledger.started(config, time.monotonic(), timeout_s or math.inf))
        code = await process.ended()
        logger.info("host %d of %s has ended with %d", process.pid, config, code)
        self._forget(config)
        is_final = code == GAVE_UP and _may_not_respawn(process.status["config"])
        self._act(self._ledger.exited(config, time.monotonic(), is_final))

    def _forget(self, config: str) -> None:
        """Remove the files of an ended host from the runtime directory, if it left any."""
        process = self._processes.pop(config)
        for suffix in ("json", "sock"):
            for path in self._folder.glob(f"host-*-{process.pid}.{suffix}"):
                with contextlib.suppress(OSError):
                    path.unlink()

    # Time

    async def _watch_holders(self) -> None:
        while True:
            await asyncio.sleep(HOLDER_POLL_S)
            for holder in self._find_dead(self._ledger.holders()):
                logger.info("client %d is gone", holder.pid)
                self._act(self._ledger.holder_gone(holder, time.monotonic()))

    def _plan_tick(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        wake = self._ledger.next_wake
        if wake != math.inf:
            delay = max(wake - time.monotonic(), 0)
            self._timer = asyncio.get_running_loop().call_later(delay, self._tick)

    def _tick(self) -> None:
        self._timer = None
        self._act(self._ledger.tick(time.monotonic()))

    def _run(self, coroutine: Any) -> None:
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._on_done)

    def _on_done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            logger.critical("the manager has failed and ends", exc_info=task.exception())
            self.over.set()


def _may_not_respawn(config: dict[str, Any]) -> bool:
    """Whether the host, or one of its pools, must not replace a dead worker."""
    return any(each.get("respawn") is False for each in (config, *config.get("pools", ())))


def _process_name(pid: int) -> str:
    try:
        command = psutil.Process(pid).cmdline()
    except psutil.Error:
        return ""
    return " ".join(command)[:200]
