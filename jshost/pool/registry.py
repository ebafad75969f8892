"""The pools of a config file and of those that it includes, and the functions they serve.

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
from jshost.pool.launch import Launch, launch_of
from jshost.pool.loop import Loop
from jshost.pool.options import PER_CONFIG, HostOptions, camel_case, read_options
from jshost.pool.pool import LineListener, Pool
from jshost.pool.process import WorkerProcess
from jshost.pool.scheduling.decisions import Policy

__all__ = ["FileWatch", "Registry", "Route"]

logger = logging.getLogger("jshost.host")


@dataclass(frozen=True, slots=True)
class Route:
    """Where a function's calls go, and how long they may take at most (None: no limit)."""

    name: str
    pool: Pool
    timeout_s: float | None

    def limit_s(self, asked_s: float | None) -> float | None:
        """How long a call may take whose caller asks for so much: the smaller counts."""
        if asked_s is None or self.timeout_s is None:
            return self.timeout_s if asked_s is None else asked_s
        return min(asked_s, self.timeout_s)


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


class FileWatch(Protocol):
    """Who hears which files the workers have read: with --reload."""

    def add(self, pool: Pool) -> None: ...
    def learn(self, pool: Pool, files: Iterable[str]) -> None: ...
    def learn_folders(self, pool: Pool) -> None: ...


class Registry:
    """Everything that a host serves.

    Args:
        config_file: the first config file, absolute.
        overrides: options by name that win over what config files say (the command line's).
        loop: drives the pools.
        path_to_node: the Node to use, or None: the first one that `find_node` finds.
        files: loads code anew when it is edited; None: it is loaded once.
        on_line: called with each line that functions print; by default it is logged.
        environment: environment variables for the workers, beside ours.
        takes_any_name: whether the worker of the first config file makes a function of any name.
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
    ) -> None:
        self.config_file = config_file
        self.options = read_options(overrides, "the command line")
        self.routes: dict[str, Route] = {}
        self.loaded: list[Loaded] = []
        self.halted = ""
        """Why the pools cannot go on, once they cannot."""
        self.problem = ""
        """Why, after an edit, it cannot be said which function a name means."""
        self._files = files
        self._loop = loop
        self._on_line = on_line
        self._environment = environment
        self._takes_any_name = takes_any_name
        self._overrides = overrides
        self._path_to_node = path_to_node
        self._pools: list[Pool] = []
        self._outcomes: dict[Pool, dict[str, Any] | ConfigError] = {}
        self._waiting: list[Pool] = []
        self._seen = {config_file}
        self._on_loaded: Callable[[ConfigError | None], None] | None = None

    def begin(self, first: WorkerProcess | None = None) -> None:
        """Spawn the first worker, so that it loads while its owner does other things.

        Args:
            first: it, where it was spawned before.

        Raises:
            ConfigError: no such config file, no Node, or a worker that cannot be run.
        """
        self._waiting.append(self._begin(self.config_file, self.options, first))

    def load(self, on_loaded: Callable[[ConfigError | None], None]) -> None:
        """Load all config files and what they include, one after the other.

        `on_loaded` is called once: with None, or with why one does not load: it fails itself, sets
        a wrong option, or defines a name again.
        """
        self._on_loaded = on_loaded
        self._load_next()

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
        """Whether nothing is due but answers and deadlines; see `Pool.is_resting`."""
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
        """Whether all the workers that are wanted can take calls."""
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
        """The workers there are now: config file, number, pid, state, calls in flight."""
        return [
            {
                "configFile": str(pool.launch.config_file),
                "number": worker.number,
                "pid": pool.workers[worker.number].process.pid,
                "state": worker.state.value,
                "calls": len(worker.calls),
                "memory": pool.workers[worker.number].process.memory(),
            }
            for pool in self._pools
            for worker in pool.scheduler.workers.values()
            if worker.number in pool.workers
        ]

    def _begin(
        self, config_file: Path, inherited: HostOptions, process: WorkerProcess | None = None
    ) -> Pool:
        launch = process.launch if process is not None else self._launch(config_file, inherited)
        policy = Policy(start_timeout_s=_seconds(inherited.start_timeout))
        pool = Pool(
            launch,
            policy,
            self._loop,
            lambda outcome: self._on_started(pool, outcome),
            self._on_halt,
            lambda ready: self._on_ready(pool, ready),
            self._on_line,
        )
        if self._files is not None:
            self._files.add(pool)
        pool.begin(process)
        self._pools.append(pool)
        return pool

    def _launch(self, config_file: Path, inherited: HostOptions) -> Launch:
        return launch_of(
            config_file,
            inherited.threads,
            path_to_node=self._path_to_node,
            reload=self._files is not None,
            environment=self._environment,
        )

    def _on_started(self, pool: Pool, outcome: dict[str, Any] | ConfigError) -> None:
        self._outcomes[pool] = outcome
        if self._on_loaded is not None:
            self._load_next()

    def _load_next(self) -> None:
        """Read what the next pool says of itself, if it has said so."""
        try:
            while self._waiting and self._waiting[0] in self._outcomes:
                pool = self._waiting.pop(0)
                outcome = self._outcomes.pop(pool)
                if isinstance(outcome, ConfigError):
                    raise outcome
                self._include(self._load(pool, outcome))
        except ConfigError as error:
            self._tell(error)
        except Exception as error:  # a mistake of ours: nobody else would tell whoever waits
            logger.exception("%s could not be loaded", self.config_file)
            self._tell(ConfigError(f"{self.config_file}: could not be loaded: {error!r}"))
        else:
            if not self._waiting:
                self._tell(None)

    def _tell(self, outcome: ConfigError | None) -> None:
        told, self._on_loaded = self._on_loaded, None
        if told is not None:
            told(outcome)

    def _include(self, loaded: Loaded) -> None:
        for name in loaded.options.include:
            included = self._resolve(loaded.config_file, name)
            if included not in self._seen:
                self._seen.add(included)
                self._waiting.append(self._begin(included, self.options))

    def _load(self, pool: Pool, ready: dict[str, Any]) -> Loaded:
        config_file = pool.launch.config_file
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
                max_requests=options.max_requests,
                max_memory=options.max_memory,
                max_age_s=options.max_age,
                respawn=options.respawn,
                reload=self._files is not None,
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
        self.routes, self.problem = {}, ""
        try:
            for item in self.loaded:
                self._add_routes(item.pool, item.functions, item.options.function_timeout)
        except ConfigError as error:
            self.problem = str(error)
            logger.error("%s", error)

    def _resolve(self, config_file: Path, name: str) -> Path:
        try:
            included = (config_file.parent / name).resolve()
            if included.is_file():
                return included
            problem = f"{included} is no file"
        except (OSError, RuntimeError, ValueError) as error:  # too long, links in a circle, "\0"
            problem = f"that cannot be looked at: {error}"
        raise ConfigError(f'{config_file}: "include" names {name!r}, but {problem}.')

    def _on_halt(self, reason: str) -> None:
        self.halted = self.halted or reason


def _seconds(limit: float | None) -> float:
    return math.inf if limit is None else limit


INCLUDED = {*PER_CONFIG, "include", *map(camel_case, PER_CONFIG)}
"""What of an included config file's options counts, in both spellings."""
