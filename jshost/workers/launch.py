"""How the workers of a config file are started, with what its owner has set.

Runs in: host (and any program that owns workers). It imports little: a program that is in a hurry
starts its first worker with it, and imports the rest while that one loads.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from jshost.workers.process import Launch

__all__ = ["DEFAULT_THREADS", "OPTION_NAMES", "launch_of"]

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
"""`jshost.options.option_names()`, without the 20 ms that its dataclass takes to import."""
DEFAULT_THREADS = 32


def launch_of(
    config_file: Path,
    threads: int,
    *,
    path_to_node: str | None = None,
    reload: bool = False,
    environment: Mapping[str, str] | None = None,
) -> Launch:
    """The launch of a config file's workers. Raises: ConfigError: as `Launch.for_config`."""
    settings = {"options": OPTION_NAMES, "threads": threads, "reload": reload}
    return Launch.for_config(
        config_file, settings, path_to_node=path_to_node, environment=environment
    )
