"""What memory the workers of a pool use, where it has a limit.

Runs in: host (and whoever owns a pool). It counts what a worker itself holds (its resident set),
not what it has started.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from jshost.pool.loop import Handle, Loop

if TYPE_CHECKING:
    from jshost.pool.channel import WorkerChannel
    from jshost.pool.pool import Pool

__all__ = ["MemoryWatch"]

logger = logging.getLogger("jshost.pool")

BUSY_S = 0.1
"""How often it looks while there are calls; a look takes some 20 µs for each worker."""
IDLE_S = 1.0


class MemoryWatch:
    """Looks from time to time, and tells the pool."""

    def __init__(self, pool: Pool, loop: Loop) -> None:
        self._pool = pool
        self._loop = loop
        self._timer: Handle | None = None
        self._last_call = 0
        self._has_warned = False

    def start(self) -> None:
        """Begin, if the pool has a limit."""
        if self._timer is None and self._pool.scheduler.policy.max_memory is not None:
            self._look()

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _look(self) -> None:
        pool = self._pool
        for worker in list(pool.workers.values()):
            if worker.is_ready and not worker.is_gone:
                self.measure(worker)
        last, self._last_call = self._last_call, pool.calls_begun
        is_idle = last == self._last_call and pool.scheduler.idle
        self._timer = self._loop.call_later(IDLE_S if is_idle else BUSY_S, self._look)

    def measure(self, worker: WorkerChannel) -> None:
        """Tell the pool what a worker uses; the first time before it gets calls."""
        limit = self._pool.scheduler.policy.max_memory
        rss = worker.process.memory() if limit is not None else None
        if rss is None or limit is None:
            return
        is_first = self._pool.scheduler.workers[worker.number].base_rss is None
        if is_first and rss >= limit and not self._has_warned:
            self._has_warned = True
            logger.warning(
                "%s: a worker uses %d MB before its first call, and maxMemory is %d MB: it cannot "
                "be recycled for its memory. Set maxMemory to twice of what it needs, or more.",
                self._pool.launch.config_file.name,
                rss >> 20,
                limit >> 20,
            )
        self._pool.on_memory(worker, rss)
