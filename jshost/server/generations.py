"""The services of a host, one after the other: fresh workers, and no call is lost. Runs in: host.

On SIGHUP everything is loaded anew beside what runs: config files, what they include, options.
Once all of its workers are ready, calls go there, and the service before it finishes the calls that
it has. If something does not load, all stays as it is.
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
"""How long the service before may take to finish its calls; most have deadlines of their own."""
END_S = 2.0
POLL_S = 0.01
NEEDS_RESTART = ("address", "port", "uds", "max_connections", "token", "token_file")


class Generations:
    """The service that calls go to, and those before it.

    Args:
        make: makes a service that has not begun.

    Attributes:
        current: the one that calls go to.
        has_halted: done once the current one cannot go on.
        is_busy: whether the next one is being loaded.
        on_change: called when that begins and when it is over; `current` may be another one then.
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
        """Swap the workers; if they are being swapped, then once more afterwards."""
        self._asked += 1
        if self._task is None and not self._is_settled:
            self._task = asyncio.create_task(self._renew())

    def status(self) -> dict[str, Any]:
        """How many swaps were asked for and are over, and why the last one failed, if it did."""
        return {"asked": self._asked, "done": self._done, "error": self._error}

    @property
    def idle(self) -> bool:
        return all(service.idle for service in self._all())

    def in_flight(self) -> int:
        """How many calls wait or run, in all of them."""
        pools = [pool for service in self._all() for pool in service.pools]
        return sum(pool.calls.in_flight().total() for pool in pools)

    def watch_files(self) -> None:
        """With --reload: load code anew when it is edited."""
        if self._watching is not None:
            self._watching.cancel()
        reloader = self.current.reloader
        self._watching = None if reloader is None else asyncio.create_task(reloader.watch())

    def settle(self) -> None:
        """The host stops: there will be no other service."""
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
        """Returns why nothing was swapped, or an empty string."""
        logger.info("loading everything anew")
        began = time.monotonic()
        fresh = self._make()
        try:
            fresh.begin()
            await fresh.start()
            await _all_ready(fresh)
        except ConfigError as error:
            logger.error("nothing was swapped, the old workers go on: %s", error)
            await fresh.end(0)
            return str(error)
        except Exception as error:  # a mistake of ours, or of the system: the host must go on
            logger.exception("nothing was swapped, the old workers go on")
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
        kept = {name: getattr(old.options, name) for name in NEEDS_RESTART}
        fresh.options = dataclasses.replace(fresh.options, **kept)
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
    """Wait until every pool has all its workers. Raises: ConfigError: it does not get them."""
    limit = service.options.start_timeout
    end = None if limit is None else time.monotonic() + limit
    while not service.is_complete:
        if service.halted:
            raise ConfigError(service.halted)
        if end is not None and time.monotonic() >= end:
            raise ConfigError(f"not all workers were ready within {limit:g} s")
        await asyncio.sleep(POLL_S)
