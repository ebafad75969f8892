"""How the workers of a config file are started: command, settings, environment.

Runs in: host, programs that embed. This module and `process` import little: a program that waits
for its first worker starts it with them, and imports the rest while that one loads.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from jshost.exceptions import ConfigError
from jshost.pool.node import find_node, first_node

__all__ = [
    "DEFAULT_THREADS",
    "JAVASCRIPT_SUFFIXES",
    "JS_FOLDER",
    "OPTION_NAMES",
    "Launch",
    "is_javascript",
    "launch_of",
]

JS_FOLDER = Path(__file__).parent.parent / "js"
PYTHON_WORKER = Path(__file__).parent.parent / "worker" / "main.py"
JAVASCRIPT_SUFFIXES = (".js", ".mjs", ".cjs")


OPTION_NAMES = (
    "address",
    "port",
    "uds",
    "include",
    "workers",
    "threads",
    "concurrency",
    "max_queue",
    "max_connections",
    "max_requests",
    "max_memory",
    "max_age",
    "function_timeout",
    "request_data_limit",
    "start_timeout",
    "shutdown_timeout",
    "shutdown_delay",
    "allowed_hosts",
    "allowed_origins",
    "token",
    "token_file",
    "expose_errors",
    "disconnect_timeout",
    "respawn",
    "maxQueue",
    "maxConnections",
    "maxRequests",
    "maxMemory",
    "maxAge",
    "functionTimeout",
    "requestDataLimit",
    "startTimeout",
    "shutdownTimeout",
    "shutdownDelay",
    "allowedHosts",
    "allowedOrigins",
    "tokenFile",
    "exposeErrors",
    "disconnectTimeout",
)
"""The same as `options.option_names()`, without the 20 ms that its dataclass takes to import."""
DEFAULT_THREADS = 32


def is_javascript(config_file: Path) -> bool:
    """Whether a config file is JavaScript, by its suffix.

    Raises:
        ConfigError: the suffix is neither JavaScript's nor Python's.
    """
    if config_file.suffix in JAVASCRIPT_SUFFIXES:
        return True
    if config_file.suffix == ".py":
        return False
    raise ConfigError(
        f"{config_file}: a config file ends in .py, .js, .mjs or .cjs, not in "
        f"{config_file.suffix or 'nothing'!r}."
    )


class Launch(NamedTuple):
    """Command, settings and environment of every worker of a pool.

    Attributes:
        command: the program and its arguments, before the ones that `spawn` adds.
        config_file: the absolute path of the config file it loads.
        settings: passed to the worker as JSON: ``{"options": [names], ...}``.
        environment: environment variables for the worker, besides ours.
    """

    command: Sequence[str]
    config_file: Path
    settings: Mapping[str, object] = MappingProxyType({})
    environment: Mapping[str, str] = MappingProxyType({})

    @classmethod
    def for_config(
        cls,
        config_file: Path,
        settings: Mapping[str, object],
        *,
        path_to_node: str | None = None,
        environment: Mapping[str, str] | None = None,
        any_node: bool = False,
    ) -> Launch:
        """The launch for a config file of either language.

        Args:
            any_node: take the first Node found, without asking for its version.

        Raises:
            ConfigError: no such file, an unknown ending, or no usable Node.
        """
        if not config_file.is_file():
            raise ConfigError(
                f"{config_file}: no such config file. Name an existing one, or write a first one "
                "with: jshost init"
            )
        if is_javascript(config_file):
            node = first_node(path_to_node) if any_node else None
            command = [node or find_node(path_to_node).path, str(JS_FOLDER / "worker" / "main.mjs")]
        else:
            command = [sys.executable, "-P", "-X", "utf8", str(PYTHON_WORKER)]
        return cls(command, config_file, settings, environment or {})


def launch_of(
    config_file: Path,
    threads: int,
    *,
    path_to_node: str | None = None,
    reload: bool = False,
    environment: Mapping[str, str] | None = None,
    any_node: bool = False,
) -> Launch:
    """The launch of a config file's workers. Raises: ConfigError: as `Launch.for_config`."""
    settings = {"options": OPTION_NAMES, "threads": threads, "reload": reload}
    return Launch.for_config(
        config_file,
        settings,
        path_to_node=path_to_node,
        environment=environment,
        any_node=any_node,
    )
