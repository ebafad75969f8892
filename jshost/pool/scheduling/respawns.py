"""When a worker that died is followed by another.

Runs in: host, programs that embed.
"""

from __future__ import annotations

from jshost.pool.scheduling.backoff import pause_s
from jshost.pool.scheduling.policy import Policy

__all__ = ["Respawns"]


class Respawns:
    """Respawns that are due, and the failures that delay them.

    A worker is followed at once after the first death, and later and later while workers die early
    or fail to start.
    """

    def __init__(self) -> None:
        self.due: list[float] = []
        """When each is due."""
        self._failed_starts = 0
        self._early_deaths = 0

    def worker_started(self) -> None:
        """A worker has become ready."""
        self._failed_starts = 0

    def start_failed(self) -> int:
        """Returns how many starts in a row have failed."""
        self._failed_starts += 1
        return self._failed_starts

    def worker_died(self, served_s: float, policy: Policy) -> None:
        """A worker that was ready has died."""
        self._early_deaths = self._early_deaths + 1 if served_s < policy.settled_s else 0

    def plan(self, is_start: bool, policy: Policy, now: float) -> float | None:
        """When the worker is followed by another; None: at once."""
        failures = self._failed_starts + self._early_deaths
        if not is_start and failures <= 1:
            return None
        due = now + pause_s(failures, policy.backoff_s, policy.max_backoff_s)
        self.due.append(due)
        return due

    def take_due(self, now: float) -> int:
        """How many are due."""
        count = len(self.due)
        self.due = [at for at in self.due if at > now]
        return count - len(self.due)
