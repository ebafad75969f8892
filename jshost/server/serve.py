"""The life of a host process: load, listen, serve, drain. Runs in: host."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import logging
import math
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jshost.discovery.records import HostRecord
from jshost.exceptions import ConfigError
from jshost.protocol.version import __version__
from jshost.server.generations import Generations
from jshost.server.http.listeners import Listeners
from jshost.server.logs import reopen_log
from jshost.server.reloader import Reloader
from jshost.server.service import Service
from jshost.server.systemd import Systemd

if TYPE_CHECKING:
    from jshost.server.app import App
    from jshost.server.http.http_server import HttpServer

__all__ = ["ServeOptions", "describe", "serve"]

logger = logging.getLogger("jshost.host")

END_S = 2.0
TURN_AWAY_S = 0.01
"""How long connections that are half made have to become whole: a round trip."""
GOODBYE_S = 0.1
"""How long open connections are still read after the last one was accepted, before they are
closed: a request that is on its way meanwhile would be lost."""
ORPHAN_S = 3.0
"""How long a host outlives its manager: calls in flight end, and nothing is left."""
MAX_FILES = 65_536
OWN_FILES = 64
KEEP_ALIVE_S = 75


async def describe(
    config_file: Path, overrides: Mapping[str, Any], path_to_node: str | None
) -> dict[str, Any]:
    """Load everything, as `serve` does, and say what it comes to, without listening.

    Raises:
        ConfigError: what is wrong.
    """
    service = Service(config_file, overrides, path_to_node)
    try:
        service.begin()
        await service.start()
        return service.describe()
    finally:
        await service.end(0)


class Signals:
    """SIGTERM and Ctrl-C: `soft` after the first one, `hard` after the second. SIGHUP has the log
    opened anew and everything loaded anew, unless it says that our terminal is gone: that ends us.
    """

    def __init__(self) -> None:
        self.soft = asyncio.Event()
        self.hard = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._on_signal)
        self._has_terminal = os.isatty(0)
        self._hang_ups = 0
        self._renew: Callable[[], None] | None = None
        loop.add_signal_handler(signal.SIGHUP, self._on_hang_up)

    def _on_signal(self) -> None:
        if self.soft.is_set():
            self.hard.set()
        self.soft.set()

    def _on_hang_up(self) -> None:
        if self._has_terminal and not os.isatty(0):
            self.soft.set()
            return
        reopen_log()
        self._hang_ups += 1
        if self._renew is not None:
            self._renew()

    def on_hang_up(self, renew: Callable[[], None]) -> None:
        """Have it called at each SIGHUP; at once, if there was one already."""
        self._renew = renew
        if self._hang_ups:
            renew()


class _Owner(asyncio.Protocol):
    """Our stdin, which the manager holds open and never writes to."""

    def __init__(self, signals: Signals) -> None:
        self._signals = signals

    def connection_lost(self, exc: Exception | None) -> None:
        logger.warning("the manager has died; this host stops in %g s", ORPHAN_S)
        asyncio.get_running_loop().call_later(ORPHAN_S, self._signals.soft.set)


async def _watch_owner(signals: Signals) -> None:
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: _Owner(signals), sys.stdin)


@dataclass(frozen=True, slots=True)
class ServeOptions:
    """How a host was asked to serve. A managed one also stops some seconds after the manager,
    which holds its stdin, has died."""

    config_file: Path
    overrides: Mapping[str, Any]
    path_to_node: str | None
    as_json: bool = False
    managed: bool = False
    reload: bool = False


def raise_file_limit() -> None:
    """Allow as many connections as the system lets us: 1024 open files are a login's habit."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MAX_FILES if hard == resource.RLIM_INFINITY else min(hard, MAX_FILES)
    if soft < wanted:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def free_files() -> int:
    """How many connections the system lets us have, beside what else a host opens."""
    import resource

    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return sys.maxsize if limit == resource.RLIM_INFINITY else limit - OWN_FILES


async def serve(start: ServeOptions) -> int:
    """Serve a config file until a signal ends it. Returns the exit code.

    Raises:
        ConfigError: the config does not load, or the port cannot be had.
    """
    signals = Signals()
    systemd = Systemd(os.environ)
    raise_file_limit()
    if start.managed:
        await _watch_owner(signals)

    def make() -> Service:
        reloader = Reloader() if start.reload else None
        return Service(start.config_file, start.overrides, start.path_to_node, reloader)

    generations = Generations(make)
    service = generations.current
    try:
        service.begin()
        from jshost.server.app import App  # its imports take as long as the worker's start
        from jshost.server.http.access_control import read_token, warn_if_open

        starting = asyncio.ensure_future(service.start())
        await _first(starting, asyncio.ensure_future(signals.soft.wait()))
        if not starting.done():
            starting.cancel()
            return 0
        await starting
        with Listeners(service.config_file, service.options, systemd.sockets) as listeners:
            token = read_token(service.options, service.config_file, os.environ)
            warn_if_open(listeners.sockets, token)
            app = App(service, __version__, token)
            return await _run(start, generations, app, listeners, signals, systemd, token)
    finally:
        systemd.close()
        await generations.end(0)


async def _run(
    start: ServeOptions,
    generations: Generations,
    app: App,
    listeners: Listeners,
    signals: Signals,
    systemd: Systemd,
    token: str,
) -> int:
    from jshost.server.http.http_server import HttpServer

    url, service = listeners.url, generations.current
    service.options = dataclasses.replace(service.options, port=listeners.port)
    limit = min(service.options.max_connections, max(free_files(), 1))
    server = HttpServer(app, KEEP_ALIVE_S, limit)
    app.metrics.count_connections = server.count
    record = HostRecord.of_this_process(service.config_file, url, __version__, start.managed, token)
    try:
        await server.start(listeners.sockets, listeners.own)
        try:
            record.write()
        except (ConfigError, OSError) as error:
            logger.warning("this host is found by ROOT_URL only: %s", error)
        generations.watch_files()
        app.reload_status = generations.status
        _announce(service, app, url, start.as_json)

        def tell() -> None:
            if generations.is_busy:
                systemd.reloading("loading everything anew")
            else:
                app.use(generations.current)
                count = len(generations.current.routes)
                systemd.ready(f"serving {count} functions on {url}")

        generations.on_change = tell
        tell()
        signals.on_hang_up(generations.renew)
        await _first(generations.has_halted, asyncio.ensure_future(signals.soft.wait()))
        record.remove()
        app.draining = True
        systemd.stopping("calls in flight end")
        server.wind_down()
        delay = generations.current.options.shutdown_delay
        if delay and not start.managed and not generations.has_halted.done():
            logger.info("stopping: calls are taken for another %g s", delay)
            await _pause(delay, signals.hard)
        listeners.turn_away()
        await _pause(TURN_AWAY_S, signals.hard)
        server.stop_accepting()
        end = await _drain(generations, server, signals.hard)
        server.shut_down()
        while not (server.idle or signals.hard.is_set() or time.monotonic() >= end):
            await asyncio.sleep(0.002)
        return 0 if signals.soft.is_set() else 1  # 1: the pools cannot go on, which was logged
    finally:
        record.remove()
        server.abort()


async def _drain(generations: Generations, server: HttpServer, hard: asyncio.Event) -> float:
    """Let calls in flight end; a second signal, or the time that is set, cuts them off.

    Returns when that time is over, in seconds of the monotonic clock.
    """
    generations.settle()
    limit = generations.current.options.shutdown_timeout
    logger.info(
        "stopping: calls in flight have %s s", "unlimited" if limit is None else f"{limit:g}"
    )
    goodbye = time.monotonic() + GOODBYE_S
    end = time.monotonic() + (limit if limit is not None else math.inf)
    while not hard.is_set() and time.monotonic() < end:
        if generations.idle and (server.idle or time.monotonic() >= goodbye):
            break
        await _pause(0.01, hard)
    cut = generations.in_flight()
    if cut:
        why = "a second signal came" if hard.is_set() else "their time is over"
        logger.warning("stopping: %s; calls that have not finished: %d", why, cut)
    if not hard.is_set():
        await generations.end(END_S if generations.idle else 0)
    return end


async def _pause(seconds: float, hard: asyncio.Event) -> None:
    """Wait so long, or until a second signal."""
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(hard.wait(), seconds)


async def _first(*ends: asyncio.Future[Any]) -> None:
    await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)


def _announce(service: Service, app: App, url: str, as_json: bool) -> None:
    if as_json:
        line = json.dumps(app.status())
    else:
        line = (
            f"jshost {__version__} listens on {url}, functions: {', '.join(sorted(service.routes))}"
        )
    try:
        os.write(1, (line + "\n").encode("utf-8", "backslashreplace"))
    except OSError as error:
        logger.warning("stdout cannot be written to: %s", error)
