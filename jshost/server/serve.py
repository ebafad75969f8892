"""Starts a host: load, listen, serve until a signal stops it. Runs in: host."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jshost.discovery.records import HostRecord
from jshost.pool.options import HostOptions
from jshost.protocol.version import __version__
from jshost.server.file_limit import connections_allowed, raise_file_limit
from jshost.server.generations import Generations
from jshost.server.http.listeners import Listeners
from jshost.server.listening_host import STOPPED, ListeningHost
from jshost.server.reloader import Reloader
from jshost.server.service import Service
from jshost.server.signals import Signals
from jshost.server.systemd import Systemd
from jshost.server.tokens import read_token, warn_if_open

if TYPE_CHECKING:
    from jshost.server.app import App
    from jshost.server.http.http_server import HttpServer

__all__ = ["ServeOptions", "describe", "serve"]

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
            server = _server_of(app, registry.options)
            record = HostRecord.of_this_process(
                registry.config_file, listeners.url, __version__, options.managed, token
            )
            host = ListeningHost(
                generations, app, server, listeners, signals, systemd, record, options.as_json
            )
            return await host.run()
    finally:
        systemd.close()
        await generations.end(0)


async def _is_loaded(service: Service, signals: Signals) -> bool:
    """Load the service; False if a signal stops that. Raises: ConfigError: it does not load."""
    loading = asyncio.ensure_future(service.start())
    stop = asyncio.ensure_future(signals.stop.wait())
    await asyncio.wait((loading, stop), return_when=asyncio.FIRST_COMPLETED)
    if not loading.done():
        loading.cancel()
        return False
    await loading
    return True


def _server_of(app: App, options: HostOptions) -> HttpServer:
    from jshost.server.http.http_server import HttpServer

    limit = min(options.max_connections, connections_allowed())
    server = HttpServer(app, KEEP_ALIVE_S, limit)
    app.metrics.count_connections = server.count
    return server
