"""The workers of one pool: their states, which of them serve, and which follows which.

Runs in: host, programs that embed.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from jshost.pool.scheduling.states import SERVING, TRANSITIONS, IllegalTransition, State

__all__ = ["Roster", "Worker"]

_READY = State.READY
"""A name of our own: an enum's members take a while to look up."""


@dataclass(slots=True)
class Worker:
    """One worker."""

    number: int
    since: float
    """When it began to start, to serve, or to retire; and when it was replaced."""
    state: State = State.STARTING
    calls: set[int] = field(default_factory=set)
    successor: int | None = None
    """The worker that was started to take its place."""
    calls_left: int | None = None
    """How many more calls it answers before it is recycled."""
    age_by: float | None = None
    """When it is recycled."""
    end_by: float | None = None
    """In state ENDING: when it is killed if it has not ended."""
    base_rss: int | None = None
    """Bytes of memory that it used before its first call."""
    held_rss: int | None = None
    """Bytes of memory that it used at last, since it gets no more calls."""


class Roster:
    """The workers that there are."""

    def __init__(self) -> None:
        self.workers: dict[int, Worker] = {}
        self._spawned = 0

    # States

    def add(self, now: float) -> Worker:
        """A new worker, which starts."""
        self._spawned += 1
        worker = self.workers[self._spawned] = Worker(self._spawned, now)
        return worker

    def get(self, number: int, event: str) -> Worker:
        """The worker that an event is about.

        Raises:
            IllegalTransition: there is none.
        """
        worker = self.workers.get(number)
        if worker is None:
            raise IllegalTransition(number, None, event)
        return worker

    def move(self, worker: Worker, event: str, now: float) -> None:
        """Change the worker's state as the table says.

        Raises:
            IllegalTransition: the table does not allow the event.
        """
        target = TRANSITIONS[worker.state].get(event)
        if target is None:
            raise IllegalTransition(worker.number, worker.state, event)
        if target.phase is not worker.state.phase or event == "replace":
            worker.since = now
        worker.state = target

    def note(self, worker: Worker, event: str) -> None:
        """`ping`, `pong` and `lost` may come in each state; in most, they change nothing."""
        worker.state = TRANSITIONS[worker.state].get(event, worker.state)

    # Who serves

    @property
    def serving(self) -> int:
        """How many workers take calls."""
        return sum(worker.state in SERVING for worker in self.workers.values())

    def least_loaded(self, concurrency: int) -> Worker | None:
        """The worker that a call is given to; None: no worker has room."""
        best: Worker | None = None
        fewest = concurrency
        for worker in self.workers.values():
            if worker.state is _READY:
                load = len(worker.calls)
                if load < fewest:
                    best, fewest = worker, load
        return best

    # Which worker follows which

    def successor_of(self, worker: Worker) -> Worker | None:
        """The worker that was started to take its place, unless that one's code is outdated."""
        successor = self.workers.get(worker.successor or 0)
        if successor is None or successor.state is State.OUTDATED:
            return None
        return successor
