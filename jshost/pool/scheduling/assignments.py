"""Which worker has which call, and which calls wait.

Runs in: host, programs that embed.
"""

from __future__ import annotations

from dataclasses import dataclass

from jshost.pool.scheduling.actions import Action, Fail, Send
from jshost.pool.scheduling.roster import Roster

__all__ = ["Assignment", "Assignments"]


@dataclass(slots=True)
class Assignment:
    """One call."""

    deadline: float
    worker: int | None = None
    """The worker that runs it; None: it waits."""
    drop_by: float | None = None
    """Set once the call was cancelled: when its worker must have dropped it."""


class Assignments:
    """All calls of a pool that are not answered, or not dropped yet."""

    def __init__(self) -> None:
        self.calls: dict[int, Assignment] = {}
        self.queue: dict[int, Assignment] = {}
        """Those that wait for a worker, the longest waiting first."""

    @property
    def idle(self) -> bool:
        """Whether no call waits or runs for a caller who still listens."""
        return all(assignment.drop_by is not None for assignment in self.calls.values())

    def send_queued(self, roster: Roster, concurrency: int) -> list[Action]:
        """Give calls that wait to workers that have room."""
        actions: list[Action] = []
        while self.queue:
            worker = roster.least_loaded(concurrency)
            if worker is None:
                break
            call = next(iter(self.queue))
            assignment = self.queue.pop(call)
            assignment.worker = worker.number
            worker.calls.add(call)
            actions.append(Send(worker.number, call))
        return actions

    def forget_queued(self, call: int) -> None:
        del self.calls[call], self.queue[call]

    def fail_queued(self, code: str, worker: int) -> list[Action]:
        """Fail all calls that wait."""
        fails: list[Action] = [Fail(call, code, worker) for call in self.queue]
        for call in self.queue:
            del self.calls[call]
        self.queue.clear()
        return fails

    def fail_assigned(self, calls: set[int], worker: int) -> list[Action]:
        """Fail the calls of a worker that is gone."""
        fails: list[Action] = []
        for call in calls:
            # None: Ctrl-C struck while the call was taken or ended.
            assignment = self.calls.pop(call, None)
            # A cancelled call's caller has been answered.
            if assignment is not None and assignment.drop_by is None:
                fails.append(Fail(call, "worker_died", worker))
        return fails

    def is_stuck(self, call: int, now: float) -> bool:
        """Whether the call was cancelled, and its worker has not dropped it in time."""
        drop_by = self.calls[call].drop_by
        return drop_by is not None and drop_by <= now

    def is_cancelled(self, call: int) -> bool:
        return self.calls[call].drop_by is not None

    def wakes(self) -> list[float]:
        """When something is due for each call."""
        return [
            each.deadline if each.drop_by is None else each.drop_by for each in self.calls.values()
        ]
