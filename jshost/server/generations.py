"""Zero-downtime reload: load a new service, switch calls to it, drain the old one. Runs in: host.

On SIGHUP everything is loaded again beside the running service: config files, what they include,
options. Once all new workers are ready, new calls go there, and the old service finishes the calls
it has. If something does not load, the old service goes on.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import time
from collections.abc import Callable
from typing import Any

from jshost.exceptions import ConfigError
from jshost.server.service import Service

__all__ = ["Generations"]

logger = logging.getLogger("jshost.host")

LAST_CALLS_S = 3600.0
"""How long an old service may take to finish its calls; most calls have deadlines of their own."""
END_S = 2.0
POLL_S = 0.01
NEEDS_RESTART = ("address", "port", "uds", "max_connections", "token", "token_file")


class Generations:
    """The current service of a host, and the older ones that still finish their calls.

    Args:
        make: makes a service that has not begun to load.

    Attributes:
        current: the service that new calls go to.
        has_halted: done once the current service cannot go on.
        is_busy: whether the next service is being loaded.
        on_change: called when a reload begins and when it is over; `current` may have changed.
    """

    def __init__(self, make: Callable[[], Service]) -> None:
        self._make = make
        self.current = make()
        self.has_halted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.is_busy = False
        self.on_change: Callable[[], None] = lambda: None
        self._is_settled = False
        self._watching: asyncio.Task[None] | None = None
        self._asked = 0
        self._done = 0
        self._error = ""
        self._task: asyncio.Task[None] | None = None
        self._endings: dict[asyncio.Task[None], Service] = {}
        self._watch_halt(self.current)

    def renew(self) -> None:
        """Reload everything. During a reload: once more, when that one is over."""
        self._asked += 1
        if self._task is None and not self._is_settled:
            self._task = asyncio.create_task(self._renew())

    def status(self) -> dict[str, Any]:
        """How many reloads were asked for and are over, and why the last one failed ("" if not)."""
        return {"asked": self._asked, "done": self._done, "error": self._error}

    @property
    def idle(self) -> bool:
        """Whether no call waits or runs."""
        return all(service.registry.idle for service in self._all())

    def in_flight(self) -> int:
        """How many calls wait or run, in all services."""
        pools = [pool for service in self._all() for pool in service.registry.pools]
        return sum(pool.calls.in_flight().total() for pool in pools)

    def watch_files(self) -> None:
        """With --reload: load code again when it is edited."""
        if self._watching is not None:
            self._watching.cancel()
        reloader = self.current.reloader
        self._watching = None if reloader is None else asyncio.create_task(reloader.watch())

    def settle(self) -> None:
        """The host stops: reload no more."""
        self._is_settled = True
        for task in (self._task, self._watching):
            if task is not None:
                task.cancel()

    async def end(self, timeout_s: float) -> None:
        """Let all calls finish, at most `timeout_s` seconds; then end all workers."""
        self.settle()
        if self._task is not None:
            await asyncio.wait([self._task], timeout=END_S)
        await asyncio.gather(*(service.end(timeout_s) for service in self._all()))
        if self._endings:
            await asyncio.wait(self._endings, timeout=END_S)

    def _all(self) -> list[Service]:
        return [self.current, *self._endings.values()]

    async def _renew(self) -> None:
        try:
            while self._done < self._asked:
                asked, self.is_busy = self._asked, True
                self.on_change()
                self._error = await self._swap()
                self._done, self.is_busy = asked, False
                self.on_change()
        finally:
            self._task = None

    async def _swap(self) -> str:
        """Load a new service and switch to it. Returns why that failed, or ""."""
        logger.info("reloading everything")
        began = time.monotonic()
        fresh = self._make()
        try:
            fresh.begin()
            await fresh.start()
            await _all_ready(fresh)
        except ConfigError as error:
            logger.error("the reload failed, the old workers go on: %s", error)
            await fresh.end(0)
            return str(error)
        except Exception as error:  # a bug, or a system call that failed: the host must go on
            logger.exception("the reload failed, the old workers go on")
            await fresh.end(0)
            return repr(error)
        except BaseException:
            await fresh.end(0)
            raise
        self._switch(fresh)
        logger.info("new calls go to fresh workers, after %.1f s", time.monotonic() - began)
        return ""

    def _switch(self, fresh: Service) -> None:
        old, self.current = self.current, fresh
        before, now = dataclasses.asdict(old.wanted), dataclasses.asdict(fresh.wanted)
        changed = [name for name in NEEDS_RESTART if before[name] != now[name]]
        if changed:
            logger.warning(
                "changed options that take effect when the host is restarted: %s",
                ", ".join(changed),
            )
        kept = {name: getattr(old.registry.options, name) for name in NEEDS_RESTART}
        fresh.registry.options = dataclasses.replace(fresh.registry.options, **kept)
        fresh.succeed(old)
        self._watch_halt(fresh)
        ending = asyncio.create_task(old.end(LAST_CALLS_S))
        self._endings[ending] = old
        if self._watching is not None:
            self.watch_files()
        ending.add_done_callback(self._ended)

    def _ended(self, ending: asyncio.Task[None]) -> None:
        self.current.older.remove(self._endings.pop(ending))

    def _watch_halt(self, service: Service) -> None:
        service.has_halted.add_done_callback(lambda _: self._on_halt(service))

    def _on_halt(self, service: Service) -> None:
        if service is self.current and not self.has_halted.done():
            self.has_halted.set_result(None)


async def _all_ready(service: Service) -> None:
    """Wait until every worker is ready. Raises: ConfigError: one does not become ready."""
    limit = service.registry.options.start_timeout
    end = None if limit is None else time.monotonic() + limit
    while not service.registry.is_complete:
        if service.registry.halted:
            raise ConfigError(service.registry.halted)
        if end is not None and time.monotonic() >= end:
            raise ConfigError(f"not all workers were ready within {limit:g} s")
        await asyncio.sleep(POLL_S)
