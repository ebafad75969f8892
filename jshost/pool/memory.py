"""Measures the memory of a pool's workers, if it has a limit.

Runs in: host, programs that embed. What counts is the resident set of the worker itself, without
the processes that it has started.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Protocol

from jshost.pool.call_table import CallTable
from jshost.pool.channel import WorkerChannel
from jshost.pool.launch import Launch
from jshost.pool.loop import Handle, Loop
from jshost.pool.scheduling.scheduler import Scheduler

__all__ = ["MemoryOwner", "MemoryWatch"]

logger = logging.getLogger("jshost.pool")

BUSY_S = 0.1
"""How often it measures while there are calls; it takes some 20 µs for each worker."""
IDLE_S = 1.0


class MemoryOwner(Protocol):
    """The pool whose workers are measured."""

    launch: Launch
    scheduler: Scheduler
    calls: CallTable

    @property
    def workers(self) -> Mapping[int, WorkerChannel]:
        """Their channels, by number."""

    def on_memory(self, worker: WorkerChannel, rss: int) -> None:
        """A worker uses so many bytes of memory."""


class MemoryWatch:
    """Measures the workers from time to time, more often while there are calls."""

    def __init__(self, owner: MemoryOwner, loop: Loop) -> None:
        self._owner = owner
        self._loop = loop
        self._timer: Handle | None = None
        self._last_call = 0
        self._has_warned = False

    def start(self) -> None:
        """Begin, if the pool has a limit."""
        if self._timer is None and self._owner.scheduler.policy.max_memory is not None:
            self._look()

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _look(self) -> None:
        owner = self._owner
        for worker in list(owner.workers.values()):
            if worker.is_ready and not worker.is_gone:
                self.measure(worker)
        last, self._last_call = self._last_call, owner.calls.last_id
        is_idle = last == self._last_call and owner.scheduler.idle
        self._timer = self._loop.call_later(IDLE_S if is_idle else BUSY_S, self._look)

    def measure(self, worker: WorkerChannel) -> None:
        """Tell the pool what a worker uses; the first time before it gets calls."""
        limit = self._owner.scheduler.policy.max_memory
        rss = worker.process.memory() if limit is not None else None
        if rss is None or limit is None:
            return
        is_first, worker.is_measured = not worker.is_measured, True
        if is_first and rss >= limit and not self._has_warned:
            self._has_warned = True
            logger.warning(
                "%s: a worker uses %d MB before its first call, and maxMemory is %d MB: it cannot "
                "be recycled for its memory. Set maxMemory to twice what it needs, or more.",
                self._owner.launch.config_file.name,
                rss >> 20,
                limit >> 20,
            )
        self._owner.on_memory(worker, rss)
