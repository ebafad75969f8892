"""Whether the processes of clients still run. Runs in: manager."""

from __future__ import annotations

import psutil

from .managed_host import Holder

__all__ = ["Liveness"]

START_TOLERANCE_S = 1.0
"""How far a process's start may be from the one that its client has sent."""


class Liveness:
    """Finds the holders of hosts whose processes have ended.

    A process that was seen before is recognized by its `psutil.Process`, because the start time of
    a process changes when the clock is set.
    """

    def __init__(self) -> None:
        self._seen: dict[Holder, psutil.Process] = {}

    def find_dead(self, holders: set[Holder]) -> list[Holder]:
        """The holders whose processes have ended."""
        self._seen = {holder: seen for holder, seen in self._seen.items() if holder in holders}
        return [holder for holder in holders if not self._is_alive(holder)]

    def _is_alive(self, holder: Holder) -> bool:
        try:
            process = self._seen.get(holder)
            if process is None:
                process = psutil.Process(holder.pid)
                if abs(process.create_time() - holder.started_at) >= START_TOLERANCE_S:
                    return False
                self._seen[holder] = process
            return process.is_running() and bool(process.status() != psutil.STATUS_ZOMBIE)
        except psutil.Error:
            return False
