"""The manager's state file, as its clients read it. Runs in: callers, command line.

jshost_manager.state writes it, and holds a lock on the folder for as long as the manager lives.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from jshost.discovery.records import is_alive, runtime_folder
from jshost.protocol.version import __version__

__all__ = [
    "STATE_FILE_NAME",
    "ManagerState",
    "is_free",
    "process_exists",
    "read_state",
    "remove_stale",
    "stale_state_file",
]

STATE_FILE_NAME = "manager.json"
FOREVER_S = 1e12


class ManagerState(NamedTuple):
    """What the manager's state file says. Another version's may lack the token and the start."""

    port: int
    token: str
    pid: int
    started_at: float | None
    version: str

    @property
    def is_ours(self) -> bool:
        return self.version == __version__

    @property
    def is_alive(self) -> bool:
        """Whether its process still runs."""
        if self.started_at is None:
            return process_exists(self.pid)
        return is_alive(self.pid, self.started_at)


def read_state(folder: Path) -> ManagerState | None:
    try:
        values = json.loads((folder / STATE_FILE_NAME).read_bytes())
        state = ManagerState(*(values.get(name) for name in ManagerState._fields))
    except (OSError, ValueError, AttributeError, RecursionError):
        return None
    fits = _is_between(state.port, 65536) and _is_between(state.pid, 2**31)
    if not fits or not isinstance(state.version, str):
        return None
    has_token = isinstance(state.token, str) and state.token.isascii() and state.token.isprintable()
    has_start = isinstance(state.started_at, int | float) and abs(state.started_at) < FOREVER_S
    if state.is_ours:
        return state if has_token and has_start else None
    return state._replace(
        token=state.token if has_token else "", started_at=state.started_at if has_start else None
    )


def _is_between(value: object, end: int) -> bool:
    return isinstance(value, int) and 0 < value < end


def is_free(folder: Path) -> bool:
    """Whether no manager runs for this folder, and none starts."""
    with _managers_lock(folder) as held:
        return held


@contextlib.contextmanager
def _managers_lock(folder: Path) -> Iterator[bool]:
    """Hold the lock that a manager holds for its whole life, if there is none: see
    jshost_manager.state."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        yield False
    else:
        try:
            yield True
        finally:  # closing does not release it where a child was forked meanwhile
            fcntl.flock(descriptor, fcntl.LOCK_UN)
    finally:
        os.close(descriptor)


def stale_state_file() -> Path | None:
    """The state file that no manager answers for, if there is one."""
    folder = runtime_folder()
    path = folder / STATE_FILE_NAME
    return path if path.exists() and is_free(folder) else None


def remove_stale(folder: Path) -> None:
    path = folder / STATE_FILE_NAME
    if path.exists():
        with _managers_lock(folder) as held, contextlib.suppress(OSError):
            if held:
                path.unlink()


def process_exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
