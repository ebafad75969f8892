"""The pools of a host, on its asyncio loop. Runs in: host."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jshost.exceptions import ConfigError
from jshost.pool.options import HostOptions
from jshost.pool.registry import Registry, Route
from jshost.server.reloader import Reloader

__all__ = ["Route", "Service"]


class Service(Registry):
    """Everything that a host serves.

    Args:
        config_file, overrides, path_to_node: as for `Registry`.
        reloader: loads code anew when it is edited; None: it is loaded once.

    Attributes:
        has_halted: done, with the reason, once the pools cannot go on.
        wanted: the options as they were loaded; `options` are those that hold.
        older: the services before this one that finish their calls.
    """

    def __init__(
        self,
        config_file: Path,
        overrides: Mapping[str, Any],
        path_to_node: str | None = None,
        reloader: Reloader | None = None,
    ) -> None:
        loop = asyncio.get_running_loop()
        super().__init__(config_file, overrides, loop, path_to_node, reloader)
        self.reloader = reloader
        self.has_halted: asyncio.Future[str] = loop.create_future()
        self.wanted: HostOptions = self.options
        self.older: list[Service] = []

    async def start(self) -> None:
        """Load all config files and what they include.

        Raises:
            ConfigError: one does not load, sets a wrong option, or defines a name again.
        """
        loaded: asyncio.Future[ConfigError | None] = asyncio.get_running_loop().create_future()

        def on_loaded(problem: ConfigError | None) -> None:
            if not loaded.done():  # the host may have been told to stop meanwhile
                loaded.set_result(problem)

        self.load(on_loaded)
        problem = await loaded
        if problem is not None:
            raise problem
        self.wanted = self.options

    def succeed(self, old: Service) -> None:
        """Take the place of a service that has taken its last call; its workers are replaced."""
        self.older = old.older
        self.older.append(old)
        before = {item.config_file: item.pool for item in old.loaded}
        for item in self.loaded:
            pool = before.get(item.config_file)
            if pool is not None:
                item.pool.restarts.update(pool.restarts)
                item.pool.restarts["reload"] += len(pool.workers)

    def workers(self) -> list[dict[str, Any]]:
        """As `Registry.workers`; those of older services retire."""
        old = [worker for service in self.older for worker in Registry.workers(service)]
        return [*super().workers(), *({**worker, "state": "retiring"} for worker in old)]

    async def end(self, timeout_s: float) -> None:
        """Let calls finish, at most `timeout_s` seconds; then end the workers."""
        stopped = asyncio.Event()
        self.stop(timeout_s, stopped.set)
        await stopped.wait()

    def _on_halt(self, reason: str) -> None:
        super()._on_halt(reason)
        if not self.has_halted.done():
            self.has_halted.set_result(reason)
