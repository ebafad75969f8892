"""One loaded set of functions: the pools that run them, on asyncio. Runs in: host."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jshost.exceptions import ConfigError
from jshost.pool.options import HostOptions
from jshost.pool.registry import Registry
from jshost.server.reloader import Reloader

__all__ = ["Service"]


class Service:
    """The functions of a host as they were loaded at one time. A reload makes another service.

    Args:
        config_file, overrides, path_to_node: as for `Registry`.
        reloader: loads code again when it is edited; None: code is loaded once.

    Attributes:
        registry: the pools and their functions.
        has_halted: done, with the reason, once the pools cannot go on.
        wanted: the options as the config files set them; `registry.options` are those in force.
        older: the services before this one that still finish their calls.
    """

    def __init__(
        self,
        config_file: Path,
        overrides: Mapping[str, Any],
        path_to_node: str | None = None,
        reloader: Reloader | None = None,
    ) -> None:
        loop = asyncio.get_running_loop()
        self.registry = Registry(
            config_file, overrides, loop, path_to_node, reloader, on_halt=self._on_halt
        )
        self.reloader = reloader
        self.has_halted: asyncio.Future[str] = loop.create_future()
        self.wanted: HostOptions = self.registry.options
        self.older: list[Service] = []

    def begin(self) -> None:
        """Spawn the first worker, so that it loads while we do other things.

        Raises:
            ConfigError: as `Registry.begin`.
        """
        self.registry.begin()

    async def start(self) -> None:
        """Load all config files and what they include.

        Raises:
            ConfigError: one does not load, sets a wrong option, or defines a name again.
        """
        loaded: asyncio.Future[ConfigError | None] = asyncio.get_running_loop().create_future()

        def on_loaded(problem: ConfigError | None) -> None:
            if not loaded.done():  # the host may have been stopped meanwhile
                loaded.set_result(problem)

        self.registry.load(on_loaded)
        problem = await loaded
        if problem is not None:
            raise problem
        self.wanted = self.registry.options

    def succeed(self, old: Service) -> None:
        """Take the place of a service that gets no more calls; its restarts are counted on."""
        self.older = old.older
        self.older.append(old)
        before = {item.config_file: item.pool for item in old.registry.loaded}
        for item in self.registry.loaded:
            pool = before.get(item.config_file)
            if pool is not None:
                item.pool.restarts.update(pool.restarts)
                item.pool.restarts["reload"] += len(pool.workers)

    def workers(self) -> list[dict[str, Any]]:
        """As `Registry.workers`; the workers of older services are retiring."""
        old = [worker for service in self.older for worker in service.registry.workers()]
        retiring = [{**worker, "state": "retiring"} for worker in old]
        return [*self.registry.workers(), *retiring]

    async def end(self, timeout_s: float) -> None:
        """Let calls finish, at most `timeout_s` seconds; then end the workers."""
        stopped = asyncio.Event()
        self.registry.stop(timeout_s, stopped.set)
        await stopped.wait()

    def _on_halt(self, reason: str) -> None:
        if not self.has_halted.done():
            self.has_halted.set_result(reason)
