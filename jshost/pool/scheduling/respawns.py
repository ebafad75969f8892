"""When a worker that died is followed by another.

Runs in: host, programs that embed.
"""

from __future__ import annotations

from jshost.pool.scheduling.backoff import pause_s
from jshost.pool.scheduling.policy import Policy
from jshost.pool.scheduling.roster import Worker
from jshost.pool.scheduling.states import Phase

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

    def plan(self, worker: Worker, policy: Policy, now: float) -> float | None:
        """When the worker, which is gone, is followed by another; at once is `now`.

        None: never, too many starts in a row have failed.
        """
        if worker.state.phase is Phase.STARTING:
            self._failed_starts += 1
            if self._failed_starts >= policy.max_start_failures:
                return None
        elif now - worker.since < policy.settled_s:
            self._early_deaths += 1
        else:
            self._early_deaths = 0
        failures = self._failed_starts + self._early_deaths
        if worker.state.phase is not Phase.STARTING and failures <= 1:
            return now
        due = now + pause_s(failures, policy.backoff_s, policy.max_backoff_s)
        if due > now:
            self.due.append(due)
        return due

    def take_due(self, now: float) -> int:
        """How many are due."""
        count = len(self.due)
        self.due = [at for at in self.due if at > now]
        return count - len(self.due)
