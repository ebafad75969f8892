"""Loads a config file and the config files that it includes. Runs in: host, programs that embed."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from jshost.exceptions import ConfigError
from jshost.pool.options import PER_CONFIG, HostOptions, camel_case, read_options
from jshost.pool.pool import Pool
from jshost.pool.process import WorkerProcess

__all__ = ["Loader", "LoaderOwner", "PooledConfig"]

logger = logging.getLogger("jshost.host")

INCLUDED = {*PER_CONFIG, "include", *map(camel_case, PER_CONFIG)}
"""The options that an included config file may set, in both spellings."""


@dataclass(frozen=True, slots=True)
class PooledConfig:
    """A config file whose first worker is ready."""

    config_file: Path
    pool: Pool
    options: HostOptions
    functions: list[str]
    language: str
    version: str
    raw_options: Mapping[str, Any]
    """The options as the config file sets them."""


class LoaderOwner(Protocol):
    """The registry that the config files are loaded for."""

    def begin_pool(
        self, config_file: Path, options: HostOptions, first: WorkerProcess | None
    ) -> Pool:
        """Start a pool, with the options that hold until its config file is loaded.

        `Loader.on_started` must be called with what its first worker says. Raises: ConfigError.
        """

    def add(self, loaded: PooledConfig) -> None:
        """A config file has been loaded. Raises: ConfigError: it defines a name again."""


class Loader:
    """Loads config files one after the other, in the order in which they are included.

    Args:
        config_file: the first config file, absolute.
        overrides: options by name that win over those of config files (the command line's).
        owner: starts the pools, and takes the config files that have loaded.

    Attributes:
        options: of the first config file; before it is loaded, the overrides and the defaults.
    """

    def __init__(self, config_file: Path, overrides: Mapping[str, Any], owner: LoaderOwner) -> None:
        self.options = read_options(overrides, "the command line")
        self._config_file = config_file
        self._overrides = overrides
        self._owner = owner
        self._seen = {config_file}
        self._waiting: list[Pool] = []
        """The pools whose config files have not been loaded."""
        self._outcomes: dict[Pool, dict[str, Any] | ConfigError] = {}
        self._on_loaded: Callable[[ConfigError | None], None] | None = None

    def begin(self, first: WorkerProcess | None) -> None:
        """Start the first pool. Raises: ConfigError: it cannot be started."""
        self._waiting.append(self._owner.begin_pool(self._config_file, self.options, first))

    def load(self, on_loaded: Callable[[ConfigError | None], None]) -> None:
        """Load everything, and then call `on_loaded` with None, or with the first problem."""
        self._on_loaded = on_loaded
        self._load_next()

    def on_started(self, pool: Pool, outcome: dict[str, Any] | ConfigError) -> None:
        """The pool's first worker is ready, or its config file does not load."""
        self._outcomes[pool] = outcome
        if self._on_loaded is not None:
            self._load_next()

    def _load_next(self) -> None:
        try:
            while self._waiting and self._waiting[0] in self._outcomes:
                pool = self._waiting.pop(0)
                outcome = self._outcomes.pop(pool)
                if isinstance(outcome, ConfigError):
                    raise outcome
                loaded = self._read(pool, outcome)
                self._owner.add(loaded)
                self._include(loaded)
        except ConfigError as error:
            self._finish(error)
        except Exception as error:  # a bug of ours: the caller must not wait forever
            logger.exception("%s could not be loaded", self._config_file)
            self._finish(ConfigError(f"{self._config_file}: could not be loaded: {error!r}"))
        else:
            if not self._waiting:
                self._finish(None)

    def _finish(self, problem: ConfigError | None) -> None:
        on_loaded, self._on_loaded = self._on_loaded, None
        if on_loaded is not None:
            on_loaded(problem)

    def _read(self, pool: Pool, ready: dict[str, Any]) -> PooledConfig:
        config_file = pool.launch.config_file
        raw = ready["options"]
        options = self._options_of(config_file, raw)
        if config_file == self._config_file:
            self.options = options
        return PooledConfig(
            config_file=config_file,
            pool=pool,
            options=options,
            functions=ready["functions"],
            language=ready["language"],
            version=ready["version"],
            raw_options=raw,
        )

    def _options_of(self, config_file: Path, raw: Mapping[str, Any]) -> HostOptions:
        source = str(config_file)
        if config_file == self._config_file:
            return read_options(self._overrides, "the command line", read_options(raw, source))
        own = {name: value for name, value in raw.items() if name in INCLUDED}
        flags = {name: self._overrides[name] for name in PER_CONFIG if name in self._overrides}
        inherited = dataclasses.replace(self.options, include=())
        return read_options({**own, **flags}, source, inherited)

    def _include(self, loaded: PooledConfig) -> None:
        for name in loaded.options.include:
            included = _resolve(loaded.config_file, name)
            if included not in self._seen:
                self._seen.add(included)
                self._waiting.append(self._owner.begin_pool(included, self.options, None))


def _resolve(config_file: Path, name: str) -> Path:
    """The path of an included config file."""
    try:
        included = (config_file.parent / name).resolve()
        if included.is_file():
            return included
        problem = f"there is no file {included}"
    except (OSError, RuntimeError, ValueError) as error:  # too long, links in a circle, "\0"
        problem = f"the path cannot be resolved: {error}"
    raise ConfigError(f'{config_file}: "include" names {name!r}, but {problem}.')
