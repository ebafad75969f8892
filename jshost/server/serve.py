"""A host process from start to end: load, listen, serve, drain. Runs in: host."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jshost.discovery.records import HostRecord
from jshost.exceptions import ConfigError
from jshost.protocol.version import __version__
from jshost.server.drain import DrainLimits, DrainState
from jshost.server.file_limit import connections_allowed, raise_file_limit
from jshost.server.generations import Generations
from jshost.server.http.listeners import Listeners
from jshost.server.reloader import Reloader
from jshost.server.service import Service
from jshost.server.signals import Signals
from jshost.server.systemd import Systemd
from jshost.server.tokens import read_token, warn_if_open

if TYPE_CHECKING:
    from jshost.server.app import App
    from jshost.server.http.http_server import HttpServer

__all__ = ["ServeOptions", "describe", "serve"]

logger = logging.getLogger("jshost.host")

STOPPED = 0
GAVE_UP = 1
"""The exit code of a host whose pools cannot go on; the manager knows it too."""
END_S = 2.0
BACKLOG_S = 0.01
"""How long TCP connections that are half open have to complete: a round trip."""
POLL_S = 0.01
CLOSE_POLL_S = 0.002
KEEP_ALIVE_S = 75


@dataclass(frozen=True, slots=True)
class ServeOptions:
    """How the command line, or a manager, wants a host to be run.

    A managed host stops when its manager, which holds its stdin, has died.
    """

    config_file: Path
    overrides: Mapping[str, Any]
    path_to_node: str | None
    as_json: bool = False
    managed: bool = False
    reload: bool = False

    def make_service(self) -> Service:
        """A service that has not begun to load."""
        reloader = Reloader() if self.reload else None
        return Service(self.config_file, self.overrides, self.path_to_node, reloader)


async def describe(
    config_file: Path, overrides: Mapping[str, Any], path_to_node: str | None
) -> dict[str, Any]:
    """Load everything as `serve` does, without listening, and return the configuration.

    Raises:
        ConfigError: something does not load.
    """
    service = Service(config_file, overrides, path_to_node)
    try:
        service.begin()
        await service.start()
        return service.registry.describe()
    finally:
        await service.end(0)


async def serve(options: ServeOptions) -> int:
    """Serve a config file until a signal stops it. Returns the exit code.

    Raises:
        ConfigError: the config does not load, or its address cannot be listened on.
    """
    signals = Signals()
    systemd = Systemd(os.environ)
    raise_file_limit()
    if options.managed:
        await signals.watch_manager()
    generations = Generations(options.make_service)
    service = generations.current
    try:
        service.begin()
        from jshost.server.app import App  # imported while the worker starts: it takes as long

        if not await _is_loaded(service, signals):
            return STOPPED
        registry = service.registry
        with Listeners(registry.config_file, registry.options, systemd.sockets) as listeners:
            token = read_token(registry.options, registry.config_file, os.environ)
            warn_if_open(listeners.sockets, token)
            app = App(service, __version__, token)
            record = HostRecord.of_this_process(
                registry.config_file, listeners.url, __version__, options.managed, token
            )
            return await _Host(options, generations, app, listeners, signals, systemd, record).run()
    finally:
        systemd.close()
        await generations.end(0)


async def _is_loaded(service: Service, signals: Signals) -> bool:
    """Load the service; False if a signal stops that. Raises: ConfigError: it does not load."""
    loading = asyncio.ensure_future(service.start())
    await _first(loading, asyncio.ensure_future(signals.stop.wait()))
    if not loading.done():
        loading.cancel()
        return False
    await loading
    return True


@dataclass(frozen=True, slots=True)
class _Host:
    """A loaded host: listens, serves, and drains."""

    options: ServeOptions
    generations: Generations
    app: App
    listeners: Listeners
    signals: Signals
    systemd: Systemd
    record: HostRecord

    async def run(self) -> int:
        """Returns the exit code."""
        from jshost.server.http.http_server import HttpServer

        registry = self.generations.current.registry
        registry.options = replace(registry.options, port=self.listeners.port)
        limit = min(registry.options.max_connections, connections_allowed())
        server = HttpServer(self.app, KEEP_ALIVE_S, limit)
        self.app.metrics.count_connections = server.count
        try:
            await server.start(self.listeners.sockets, self.listeners.own)
            self._announce()
            stop = asyncio.ensure_future(self.signals.stop.wait())
            await _first(self.generations.has_halted, stop)
            await self._stop(server)
            return STOPPED if self.signals.stop.is_set() else GAVE_UP
        finally:
            self.record.remove()
            server.abort()

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
        if self.options.as_json:
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

    async def _stop(self, server: HttpServer) -> None:
        """Stop accepting, let calls finish, end the workers, close the connections."""
        self.record.remove()
        self.app.draining = True
        self.systemd.stopping("calls in flight finish")
        server.wind_down()
        delay_s = self.generations.current.registry.options.shutdown_delay
        if delay_s and not self.options.managed and not self.generations.has_halted.done():
            logger.info("stopping: calls are taken for another %g s", delay_s)
            await self._pause(delay_s)
        self.listeners.turn_away()
        await self._pause(BACKLOG_S)
        server.stop_accepting()
        drain = await self._drain(server)
        server.shut_down()
        while not (server.idle or self.signals.stop_now.is_set() or time.monotonic() >= drain.end):
            await asyncio.sleep(CLOSE_POLL_S)

    async def _drain(self, server: HttpServer) -> DrainLimits:
        """Let calls finish; a second signal, or the end of the time limit, cuts them off."""
        self.generations.settle()
        limit_s = self.generations.current.registry.options.shutdown_timeout
        shown = "unlimited" if limit_s is None else f"{limit_s:g}"
        logger.info("stopping: calls in flight have %s s", shown)
        drain = DrainLimits.begin(time.monotonic(), limit_s)
        while (state := self._drain_state(drain, server)) is DrainState.WAIT:
            await self._pause(POLL_S)
        cut = self.generations.in_flight()
        if cut:
            is_now = state is DrainState.STOP_NOW
            why = "a second signal came" if is_now else "their time is over"
            logger.warning("stopping: %s; calls that have not finished: %d", why, cut)
        if state is not DrainState.STOP_NOW:
            await self.generations.end(END_S if self.generations.idle else 0)
        return drain

    def _drain_state(self, drain: DrainLimits, server: HttpServer) -> DrainState:
        return drain.state(
            time.monotonic(),
            calls_done=self.generations.idle,
            connections_closed=server.idle,
            stop_now=self.signals.stop_now.is_set(),
        )

    async def _pause(self, seconds: float) -> None:
        """Wait so long, or until a second signal."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.signals.stop_now.wait(), seconds)


async def _first(*ends: asyncio.Future[Any]) -> None:
    await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
