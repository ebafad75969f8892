"""A host that listens: it announces itself, serves, and drains when it stops. Runs in: host."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from jshost.discovery.records import HostRecord
from jshost.exceptions import ConfigError
from jshost.protocol.version import __version__
from jshost.server.drain import DrainLimits, DrainState
from jshost.server.generations import Generations
from jshost.server.http.listeners import Listeners
from jshost.server.signals import Signals
from jshost.server.systemd import Systemd

if TYPE_CHECKING:
    from jshost.server.app import App
    from jshost.server.http.http_server import HttpServer

__all__ = ["GAVE_UP", "STOPPED", "ListeningHost"]

logger = logging.getLogger("jshost.host")

STOPPED = 0
GAVE_UP = 1
"""The exit code of a host whose pools cannot go on; the manager knows it too."""
END_S = 2.0
BACKLOG_S = 0.01
"""How long TCP connections that are half open have to complete: a round trip."""
POLL_S = 0.01
CLOSE_POLL_S = 0.002


@dataclass(frozen=True, slots=True)
class ListeningHost:
    """A host whose functions are loaded and whose sockets are open.

    Args:
        as_json: whether stdout gets the host's status, in place of a line for people.
    """

    generations: Generations
    app: App
    server: HttpServer
    listeners: Listeners
    signals: Signals
    systemd: Systemd
    record: HostRecord
    as_json: bool = False

    async def run(self) -> int:
        """Serve until a signal comes or the pools cannot go on. Returns the exit code."""
        registry = self.generations.current.registry
        registry.options = replace(registry.options, port=self.listeners.port)
        try:
            await self.server.start(self.listeners.sockets, self.listeners.own)
            self._announce()
            stop = asyncio.ensure_future(self.signals.stop.wait())
            await _first(self.generations.has_halted, stop)
            await self._stop()
            return STOPPED if self.signals.stop.is_set() else GAVE_UP
        finally:
            self.record.remove()
            self.server.abort()

    def _announce(self) -> None:
        """Announce the host in its record, on stdout and to systemd; begin to take reloads."""
        try:
            self.record.write()
        except (ConfigError, OSError) as error:
            logger.warning("this host is found by ROOT_URL only: %s", error)
        self.generations.watch_files()
        self.app.reload_status = self.generations.status
        self._print_address()
        self.generations.on_change = self._on_change
        self._on_change()
        self.signals.on_hang_up(self.generations.renew)

    def _print_address(self) -> None:
        if self.as_json:
            line = json.dumps(self.app.status())
        else:
            names = ", ".join(sorted(self.generations.current.registry.routes))
            line = f"jshost {__version__} listens on {self.listeners.url}, functions: {names}"
        try:
            os.write(1, (line + "\n").encode("utf-8", "backslashreplace"))
        except OSError as error:
            logger.warning("stdout cannot be written to: %s", error)

    def _on_change(self) -> None:
        """A reload begins or is over."""
        if self.generations.is_busy:
            self.systemd.reloading("loading everything again")
            return
        service = self.generations.current
        self.app.use(service)
        count = len(service.registry.routes)
        self.systemd.ready(f"serving {count} functions on {self.listeners.url}")

    async def _stop(self) -> None:
        """Stop accepting, let calls finish, end the workers, close the connections."""
        self.record.remove()
        self.app.draining = True
        self.systemd.stopping("calls in flight finish")
        self.server.wind_down()
        delay_s = self.generations.current.registry.options.shutdown_delay
        if delay_s and not self.record.managed and not self.generations.has_halted.done():
            logger.info("stopping: calls are taken for another %g s", delay_s)
            await self._pause(delay_s)
        self.listeners.turn_away()
        await self._pause(BACKLOG_S)
        self.server.stop_accepting()
        drain = await self._drain()
        self.server.shut_down()
        while not (
            self.server.idle or self.signals.stop_now.is_set() or time.monotonic() >= drain.end
        ):
            await asyncio.sleep(CLOSE_POLL_S)

    async def _drain(self) -> DrainLimits:
        """Let calls finish; a second signal, or the end of the time limit, cuts them off."""
        self.generations.settle()
        limit_s = self.generations.current.registry.options.shutdown_timeout
        shown = "unlimited" if limit_s is None else f"{limit_s:g}"
        logger.info("stopping: calls in flight have %s s", shown)
        drain = DrainLimits.begin(time.monotonic(), limit_s)
        while (state := self._drain_state(drain)) is DrainState.WAIT:
            await self._pause(POLL_S)
        cut = self.generations.in_flight()
        if cut:
            is_now = state is DrainState.STOP_NOW
            why = "a second signal came" if is_now else "their time is over"
            logger.warning("stopping: %s; calls that have not finished: %d", why, cut)
        if state is not DrainState.STOP_NOW:
            await self.generations.end(END_S if self.generations.idle else 0)
        return drain

    def _drain_state(self, drain: DrainLimits) -> DrainState:
        return drain.state(
            time.monotonic(),
            calls_done=self.generations.idle,
            connections_closed=self.server.idle,
            stop_now=self.signals.stop_now.is_set(),
        )

    async def _pause(self, seconds: float) -> None:
        """Wait so long, or until a second signal."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.signals.stop_now.wait(), seconds)


async def _first(*ends: asyncio.Future[Any]) -> None:
    await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
