"""The manager's state file, and the lock that allows one manager only. Runs in: manager.

The file has the manager's port and token (mode 0600, in the user's runtime directory). The lock is
on that directory, and held until the manager ends: a killed manager leaves no lock behind.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

__all__ = ["STATE_FILE_NAME", "ManagerState", "lock_folder"]

STATE_FILE_NAME = "manager.json"


@dataclass(frozen=True, slots=True)
class ManagerState:
    """Where a manager listens, and which process it is.

    Attributes:
        started_at: the start of its process, in seconds since the epoch, by psutil.
    """

    port: int
    token: str
    pid: int
    started_at: float
    version: str

    def write(self, folder: Path) -> None:
        """Write the file atomically, readable for this user only.

        Raises:
            OSError: it cannot be written.
        """
        temporary = folder / f"{STATE_FILE_NAME}.{self.pid}"
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            with os.fdopen(descriptor, "w") as file:
                json.dump(asdict(self), file)
            temporary.replace(folder / STATE_FILE_NAME)
        except OSError:
            temporary.unlink()
            raise

    def remove(self, folder: Path) -> None:
        """Remove the file, unless another manager has written it."""
        path = folder / STATE_FILE_NAME
        with contextlib.suppress(OSError, ValueError):
            if json.loads(path.read_text()).get("token") == self.token:
                path.unlink()


def lock_folder(folder: Path) -> int | None:
    """Become the one manager of this folder: a descriptor to keep open; None: there is one."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor
