"""When a worker that another has replaced is ended.

Runs in: host, programs that embed.
"""

from __future__ import annotations

import math

from jshost.pool.scheduling.actions import Action, Drain, Kill
from jshost.pool.scheduling.assignments import Assignments
from jshost.pool.scheduling.policy import Policy
from jshost.pool.scheduling.roster import Roster, Worker
from jshost.pool.scheduling.states import LAST_CALLS, RECYCLING, Phase, State

__all__ = ["Retirement"]


class Retirement:
    """Ends workers: each is asked to end, and killed if it does not, or if its calls do not."""

    def __init__(self, roster: Roster, assignments: Assignments) -> None:
        self._roster = roster
        self._assignments = assignments

    def end_if_done(self, worker: Worker, policy: Policy, now: float) -> tuple[list[Action], float]:
        """End a worker that has finished its last calls, or whose time is over.

        Returns:
            What to do, and when to look again.
        """
        if worker.state is State.ENDING and worker.end_by is not None and worker.end_by <= now:
            worker.end_by = None
            return self._kill(worker, "did not end when it was asked to", now)
        if worker.state not in LAST_CALLS or self._has_starting_successor(worker):
            return [], math.inf
        by = worker.since + patience_s(worker.state, policy)
        if now < by and not self._has_only_stuck_calls(worker, now):
            return [], by
        if worker.calls:
            if worker.state in RECYCLING:
                return self._kill(worker, "was busy with its last calls for too long", now)
            return self._kill(worker, "did not drop a cancelled call", now)
        self._roster.move(worker, "end", now)
        worker.end_by = now + policy.end_s
        return [Drain(worker.number)], worker.end_by

    def _kill(self, worker: Worker, reason: str, now: float) -> tuple[list[Action], float]:
        self._roster.move(worker, "kill", now)
        return [Kill(worker.number, reason)], math.inf

    def _has_starting_successor(self, worker: Worker) -> bool:
        successor = self._roster.workers.get(worker.successor or 0)
        return successor is not None and successor.state.phase is Phase.STARTING

    def _has_only_stuck_calls(self, worker: Worker, now: float) -> bool:
        """Whether all its calls were cancelled; a recycled worker has some time to drop them."""
        if worker.state in RECYCLING:
            return all(self._assignments.is_stuck(call, now) for call in worker.calls)
        return all(map(self._assignments.is_cancelled, worker.calls))


def patience_s(state: State, policy: Policy) -> float:
    """How long a worker may take to finish its last calls."""
    if state in RECYCLING:
        return policy.last_calls_s
    return policy.drain_s if state is State.REPLACED else policy.unresponsive_s
