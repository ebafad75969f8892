"""The system's limit of open files, which also limits connections. Runs in: host."""

from __future__ import annotations

import contextlib
import sys

__all__ = ["connections_allowed", "raise_file_limit"]

MAX_FILES = 65_536
OWN_FILES = 64
"""How many files a host opens besides its connections."""


def raise_file_limit() -> None:
    """Raise the limit as far as we may: the usual 1024 is for login sessions."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MAX_FILES if hard == resource.RLIM_INFINITY else min(hard, MAX_FILES)
    if soft < wanted:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def connections_allowed() -> int:
    """How many connections the limit leaves; at least one."""
    import resource

    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return sys.maxsize if limit == resource.RLIM_INFINITY else max(limit - OWN_FILES, 1)
