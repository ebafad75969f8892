"""The functions of a config file and of those that it includes, and the pools that run them.

Runs in: host, programs that embed.
"""

from __future__ import annotations

import dataclasses
import logging
import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from jshost.exceptions import ConfigError, from_envelope
from jshost.pool.channel import log_line
from jshost.pool.fleet import Spawner
from jshost.pool.launch import Launch, launch_of
from jshost.pool.loader import Loader, PooledConfig
from jshost.pool.loop import Loop
from jshost.pool.options import HostOptions, camel_case
from jshost.pool.pool import LineListener, Pool
from jshost.pool.process import WorkerProcess, spawn
from jshost.pool.scheduling.policy import Policy

__all__ = ["FileWatch", "Registry", "Route"]

logger = logging.getLogger("jshost.host")


@dataclass(frozen=True, slots=True)
class Route:
    """The pool of a function, and its time limit in seconds (None: no limit)."""

    name: str
    pool: Pool
    timeout_s: float | None

    def limit_s(self, asked_s: float | None) -> float | None:
        """A call's time limit: the smaller of the function's and the caller's."""
        if asked_s is None or self.timeout_s is None:
            return self.timeout_s if asked_s is None else asked_s
        return min(asked_s, self.timeout_s)


class FileWatch(Protocol):
    """Watches the files that workers have read, for --reload."""

    def add(self, pool: Pool) -> None: ...
    def learn(self, pool: Pool, files: Iterable[str]) -> None: ...
    def learn_folders(self, pool: Pool) -> None: ...


class Registry:
    """All functions that a host serves, and their pools.

    Args:
        config_file: the first config file, absolute.
        overrides: options by name that win over those of config files (the command line's).
        loop: drives the pools.
        path_to_node: the Node to use; None: the first one that `find_node` finds.
        files: watches the files that workers read, so that edited code is loaded again; None: code
            is loaded once.
        on_line: called with each line that functions print; by default it is logged.
        environment: environment variables for the workers, besides ours.
        takes_any_name: whether the first config file has a function for every name.
        on_halt: called with the reason once a pool cannot go on.
        spawn: starts a worker process.

    Attributes:
        options: of the first config file; before it is loaded, the overrides and the defaults.
        routes: where the calls of each function go.
        loaded: the config files, in the order in which they were loaded.
        halted: why the pools cannot go on; "" while they can.
        problem: why, after an edit, it is not clear which function a name means; else "".
    """

    def __init__(
        self,
        config_file: Path,
        overrides: Mapping[str, Any],
        loop: Loop,
        path_to_node: str | None = None,
        files: FileWatch | None = None,
        on_line: LineListener = log_line,
        environment: Mapping[str, str] | None = None,
        takes_any_name: bool = False,
        on_halt: Callable[[str], None] = lambda reason: None,
        spawn: Spawner = spawn,
    ) -> None:
        self.config_file = config_file
        self._loader = Loader(config_file, overrides, self)
        self.options = self._loader.options
        self.routes: dict[str, Route] = {}
        self.loaded: list[PooledConfig] = []
        self.halted = ""
        self.problem = ""
        self._files = files
        self._loop = loop
        self._on_line = on_line
        self._environment = environment
        self._takes_any_name = takes_any_name
        self._on_halted = on_halt
        self._spawn = spawn
        self._path_to_node = path_to_node
        self._pools: list[Pool] = []

    def begin(self, first: WorkerProcess | None = None) -> None:
        """Spawn the first worker, so that it loads while the caller does other things.

        Args:
            first: the first worker, if it was spawned before.

        Raises:
            ConfigError: no such config file, no Node, or a worker that cannot be run.
        """
        self._loader.begin(first)

    def load(self, on_loaded: Callable[[ConfigError | None], None]) -> None:
        """Load the config file and what it includes, one after the other.

        `on_loaded` is called once: with None, or with the error of the first config file that does
        not load, sets a wrong option, or defines a name again.
        """
        self._loader.load(on_loaded)

    def stop(self, timeout_s: float, on_stopped: Callable[[], None]) -> None:
        """Let calls finish, at most `timeout_s` seconds; then end the workers."""
        deadline = time.monotonic() + timeout_s
        running = set(self._pools)

        def on_one_stopped(pool: Pool) -> None:
            running.discard(pool)
            if not running:
                on_stopped()

        if not running:
            on_stopped()
        for pool in list(running):
            pool.stop(deadline, lambda pool=pool: on_one_stopped(pool))  # type: ignore[misc]

    def abandon(self) -> None:
        """In a forked child: the workers are the parent's."""
        for pool in self._pools:
            pool.abandon()

    @property
    def is_resting(self) -> bool:
        """Whether no worker is being stopped or replaced; see `Pool.is_resting`."""
        return all(pool.is_resting for pool in self._pools)

    def route(self, name: str) -> Route:
        """Where a function's calls go. Raises: RemoteError: there is no such function."""
        route = self.routes.get(name)
        if route is None:
            if not self._takes_any_name:
                message = f'Not found. Unknown function "{name}"'
                raise from_envelope({"code": "unknown_function", "message": message}, name=name)
            route = Route(name, self._pools[0], self.options.function_timeout)
        return route

    @property
    def ready(self) -> bool:
        return all(pool.scheduler.ready for pool in self._pools)

    @property
    def is_complete(self) -> bool:
        """Whether as many workers can take calls as the options want."""
        return all(pool.is_complete for pool in self._pools)

    @property
    def idle(self) -> bool:
        return all(pool.scheduler.idle for pool in self._pools)

    @property
    def pools(self) -> Sequence[Pool]:
        return self._pools

    @property
    def queued(self) -> int:
        """How many calls wait for a worker."""
        return sum(len(pool.scheduler.queue) for pool in self._pools)

    def describe(self) -> dict[str, Any]:
        """The effective configuration, as `/status` and `jshost config` show it."""
        options = dataclasses.asdict(self.options)
        options["token"] = None if self.options.token is None else "(hidden)"
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
                    "cacheable": dict(item.pool.max_ages),
                    "workers": item.options.workers,
                    "maxRequests": item.options.max_requests,
                    "maxMemory": item.options.max_memory,
                    "maxAge": item.options.max_age,
                    "functionTimeout": item.options.function_timeout,
                    "respawn": item.options.respawn,
                }
                for item in self.loaded
            ],
        }

    def workers(self) -> list[dict[str, Any]]:
        """The workers now: config file, number, pid, state, calls in flight, memory in bytes."""
        return [
            {
                "configFile": str(pool.launch.config_file),
                "number": worker.number,
                "pid": pool.workers[worker.number].process.pid,
                "state": worker.state.phase.value,
                "calls": len(worker.calls),
                "memory": pool.workers[worker.number].process.memory(),
            }
            for pool in self._pools
            for worker in pool.scheduler.workers.values()
            if worker.number in pool.workers
        ]

    def begin_pool(
        self, config_file: Path, options: HostOptions, first: WorkerProcess | None
    ) -> Pool:
        """Start a pool; see `LoaderOwner`."""
        launch = first.launch if first is not None else self._launch(config_file, options)
        pool = Pool(
            launch,
            Policy(start_timeout_s=_seconds(options.start_timeout)),
            self._loop,
            lambda outcome: self._loader.on_started(pool, outcome),
            self._on_halt,
            lambda ready: self._on_ready(pool, ready),
            self._on_line,
            self._spawn,
        )
        if self._files is not None:
            self._files.add(pool)
        pool.begin(first)
        self._pools.append(pool)
        return pool

    def _launch(self, config_file: Path, options: HostOptions) -> Launch:
        return launch_of(
            config_file,
            options.threads,
            path_to_node=self._path_to_node,
            reload=self._files is not None,
            environment=self._environment,
        )

    def add(self, loaded: PooledConfig) -> None:
        """A config file has been loaded; see `LoaderOwner`."""
        if loaded.config_file == self.config_file:
            self.options = loaded.options
        self.loaded.append(loaded)
        self._add_routes(loaded)
        loaded.pool.set_policy(self._policy(loaded.options))

    def _policy(self, options: HostOptions) -> Policy:
        return Policy(
            workers=options.workers,
            concurrency=options.concurrency,
            max_queue=options.max_queue,
            start_timeout_s=_seconds(options.start_timeout),
            max_requests=options.max_requests,
            max_memory=options.max_memory,
            max_age_s=options.max_age,
            respawn=options.respawn,
            reload=self._files is not None,
        )

    def _add_routes(self, loaded: PooledConfig) -> None:
        for name in loaded.functions:
            if name in self.routes:
                first = self.routes[name].pool.launch.config_file
                raise ConfigError(
                    f"{loaded.config_file}: A function has already been defined with the name "
                    f'"{name}", in {first}. Rename one of the two.'
                )
            self.routes[name] = Route(name, loaded.pool, loaded.options.function_timeout)

    def _on_ready(self, pool: Pool, ready: dict[str, Any]) -> None:
        """A worker has loaded its config, the first time or again, or has read more files."""
        if self._files is None:
            return
        self._files.learn(pool, ready.get("files", ()))
        if pool.load_error:
            self._files.learn_folders(pool)
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
        self._route_again()

    def _route_again(self) -> None:
        self.routes, self.problem = {}, ""
        try:
            for loaded in self.loaded:
                self._add_routes(loaded)
        except ConfigError as error:
            self.problem = str(error)
            logger.error("%s", error)

    def _on_halt(self, reason: str) -> None:
        self.halted = self.halted or reason
        self._on_halted(reason)


def _seconds(limit: float | None) -> float:
    return math.inf if limit is None else limit
