"""How the workers of a config file are started, with what its owner has set.

Runs in: host (and any program that owns workers). It imports little: a program that is in a hurry
starts its first worker with it, and imports the rest while that one loads.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from jshost.exceptions import ConfigError
from jshost.pool.process import Launch, WorkerProcess, is_javascript, spawn

__all__ = ["DEFAULT_THREADS", "OPTION_NAMES", "launch_of", "spawn_first"]

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
"""`jshost.pool.options.option_names()`, without the 20 ms that its dataclass takes to import."""
DEFAULT_THREADS = 32


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


def spawn_first(
    config_file: Path,
    threads: int,
    *,
    path_to_node: str | None,
    environment: Mapping[str, str],
) -> WorkerProcess:
    """Spawn a worker for a program that waits for it. The first Node there is will nearly always
    do: it is asked for its version while it starts.

    Raises: ConfigError: as `launch_of`.
    """

    def launch(any_node: bool) -> Launch:
        return launch_of(
            config_file,
            threads,
            path_to_node=path_to_node,
            environment=environment,
            any_node=any_node,
        )

    hasty = launch(any_node=True)
    if not is_javascript(config_file):
        return spawn(hasty)
    try:
        first = spawn(hasty)
    except ConfigError:
        return spawn(launch(any_node=False))  # another one may run
    try:
        sure = launch(any_node=False)
    except BaseException:
        first.discard()
        raise
    if sure.command == hasty.command:
        return first
    first.discard()
    return spawn(sure)
