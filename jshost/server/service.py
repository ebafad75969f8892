"""The pools of a host and the functions they serve. Runs in: host."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jshost.exceptions import ConfigError
from jshost.options import PER_CONFIG, HostOptions, camel_case, option_names, read_options
from jshost.server.reload import Reloader
from jshost.workers.decisions import Policy
from jshost.workers.pool import Pool
from jshost.workers.process import Launch

__all__ = ["Route", "Service"]

logger = logging.getLogger("jshost.host")


@dataclass(frozen=True, slots=True)
class Route:
    """Where a function's calls go, and how long they may take at most (None: no limit)."""

    name: str
    pool: Pool
    timeout_s: float | None


@dataclass(frozen=True, slots=True)
class Loaded:
    """A config file whose first worker is ready."""

    config_file: Path
    pool: Pool
    options: HostOptions
    functions: list[str]
    language: str
    version: str
    raw_options: Mapping[str, Any]


class Service:
    """Everything that a host serves.

    Args:
        config_file: the first config file, absolute.
        overrides: options by name that win over what config files say (the command line's).
        path_to_node: the Node to use, or None: the first one that `find_node` finds.
        reloader: loads code anew when it is edited; None: it is loaded once.
    """

    def __init__(
        self,
        config_file: Path,
        overrides: Mapping[str, Any],
        path_to_node: str | None = None,
        reloader: Reloader | None = None,
    ) -> None:
        self.config_file = config_file
        self.options = read_options(overrides, "the command line")
        self.routes: dict[str, Route] = {}
        self.loaded: list[Loaded] = []
        self.halted: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.reloader = reloader
        self.problem = ""
        """Why, after an edit, it cannot be said which function a name means."""
        self._overrides = overrides
        self._path_to_node = path_to_node
        self._pools: list[Pool] = []

    def begin(self) -> None:
        """Spawn the first worker, so that it loads while the host imports its server.

        Raises:
            ConfigError: no such config file, no Node, or a worker that cannot be run.
        """
        self._begin(self.config_file, self.options)

    async def start(self) -> None:
        """Load all config files and what they include.

        Raises:
            ConfigError: one does not load, sets a wrong option, or defines a name again.
        """
        waiting = [(self._pools[0], self.config_file)]
        seen = {self.config_file}
        while waiting:
            pool, config_file = waiting.pop(0)
            loaded = await self._load(pool, config_file)
            for name in loaded.options.include:
                included = self._resolve(config_file, name)
                if included not in seen:
                    seen.add(included)
                    waiting.append((self._begin(included, self.options), included))

    async def stop(self, timeout_s: float) -> None:
        """Let calls finish, at most `timeout_s` seconds; then end the workers."""
        deadline = time.monotonic() + timeout_s
        await asyncio.gather(*(pool.stop(deadline) for pool in self._pools))

    @property
    def ready(self) -> bool:
        return all(pool.scheduler.ready for pool in self._pools)

    @property
    def idle(self) -> bool:
        return all(pool.scheduler.idle for pool in self._pools)

    def describe(self) -> dict[str, Any]:
        """The effective configuration, as `/status` and `jshost config` show it."""
        options = dataclasses.asdict(self.options)
        return {
            **{camel_case(name): value for name, value in options.items()},
            "configFile": str(self.config_file),
            "functions": sorted(self.routes),
            "pools": [
                {
                    "configFile": str(item.config_file),
                    "language": item.language,
                    "version": item.version,
                    "functions": sorted(item.functions),
                    "workers": item.options.workers,
                    "functionTimeout": item.options.function_timeout,
                    "respawn": item.options.respawn,
                }
                for item in self.loaded
            ],
        }

    def workers(self) -> list[dict[str, Any]]:
        """The workers there are now: config file, number, pid, state, calls in flight."""
        return [
            {
                "configFile": str(pool.launch.config_file),
                "number": worker.number,
                "pid": pool.workers[worker.number].process.pid,
                "state": worker.state.value,
                "calls": len(worker.calls),
            }
            for pool in self._pools
            for worker in pool.scheduler.workers.values()
            if worker.number in pool.workers
        ]

    def _begin(self, config_file: Path, inherited: HostOptions) -> Pool:
        settings = {
            "options": option_names(),
            "threads": inherited.threads,
            "reload": self.reloader is not None,
        }
        launch = Launch.for_config(config_file, settings, path_to_node=self._path_to_node)
        first = Policy(start_timeout_s=_seconds(inherited.start_timeout))
        pool = Pool(launch, first, self._on_halt, lambda ready: self._on_ready(pool, ready))
        if self.reloader is not None:
            self.reloader.add(pool)
        pool.begin()
        self._pools.append(pool)
        return pool

    async def _load(self, pool: Pool, config_file: Path) -> Loaded:
        ready = await pool.started()
        raw, source = ready["options"], str(config_file)
        if config_file == self.config_file:
            self.options = options = read_options(
                self._overrides, "the command line", read_options(raw, source)
            )
        else:
            own = {name: value for name, value in raw.items() if name in INCLUDED}
            flags = {name: self._overrides[name] for name in PER_CONFIG if name in self._overrides}
            inherited = dataclasses.replace(self.options, include=())
            options = read_options({**own, **flags}, source, inherited)
        loaded = Loaded(
            config_file,
            pool,
            options,
            ready["functions"],
            ready["language"],
            ready["version"],
            raw,
        )
        self.loaded.append(loaded)
        self._add_routes(pool, loaded.functions, options.function_timeout)
        pool.set_policy(
            Policy(
                workers=options.workers,
                concurrency=options.concurrency,
                max_queue=options.max_queue,
                start_timeout_s=_seconds(options.start_timeout),
                respawn=options.respawn,
                reload=self.reloader is not None,
            )
        )
        return loaded

    def _add_routes(self, pool: Pool, functions: list[str], timeout_s: float | None) -> None:
        config_file = pool.launch.config_file
        for name in functions:
            if name in self.routes:
                first = self.routes[name].pool.launch.config_file
                raise ConfigError(
                    f'{config_file}: A function has already been defined with the name "{name}", '
                    f"in {first}. Rename one of the two."
                )
            self.routes[name] = Route(name, pool, timeout_s)

    def _on_ready(self, pool: Pool, ready: dict[str, Any]) -> None:
        """A worker has loaded its config, the first time or again, or has read more files."""
        if self.reloader is None:
            return
        self.reloader.learn(pool, ready.get("files", ()))
        if pool.load_error:
            self.reloader.learn_folders(pool)
        loaded = next((item for item in self.loaded if item.pool is pool), None)
        if loaded is None or "functions" not in ready:
            return
        if ready["options"] != loaded.raw_options:
            logger.warning(
                "%s: changed options take effect when the host is restarted",
                loaded.config_file.name,
            )
        self.loaded[self.loaded.index(loaded)] = dataclasses.replace(
            loaded, functions=ready["functions"]
        )
        self.routes, self.problem = {}, ""
        try:
            for item in self.loaded:
                self._add_routes(item.pool, item.functions, item.options.function_timeout)
        except ConfigError as error:
            self.problem = str(error)
            logger.error("%s", error)

    def _resolve(self, config_file: Path, name: str) -> Path:
        included = (config_file.parent / name).resolve()
        if not included.is_file():
            raise ConfigError(
                f'{config_file}: "include" names {name!r}, but {included} is no file.'
            )
        return included

    def _on_halt(self, reason: str) -> None:
        if not self.halted.done():
            self.halted.set_result(reason)


def _seconds(limit: float | None) -> float:
    return math.inf if limit is None else limit


INCLUDED = {*PER_CONFIG, "include", *map(camel_case, PER_CONFIG)}
"""What of an included config file's options counts, in both spellings."""
