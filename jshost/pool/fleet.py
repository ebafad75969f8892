"""The worker processes of a pool: spawned, stopped, and watched until they are gone.

Runs in: host, programs that embed.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

from jshost.pool.channel import AnswerListener, ChannelOwner, WorkerChannel
from jshost.pool.launch import Launch
from jshost.pool.loop import POLL_S, Loop, when
from jshost.pool.process import WorkerProcess

__all__ = ["Fleet", "FleetOwner", "Spawner"]

LAST_OUTPUT_S = 0.05
"""How long the error of a worker that died waits for the rest of its stderr."""
END_S = 2.0
"""How long a worker may take to end after DRAIN, or to be gone after SIGKILL."""

Spawner = Callable[[Launch], WorkerProcess]


class FleetOwner(ChannelOwner, Protocol):
    """The pool: it hears what workers say, and when one has ended."""

    def on_ended(self, worker: WorkerChannel) -> None:
        """The worker's process has ended, and all of its output has been read."""


class Fleet:
    """A pool's workers.

    Args:
        workers: their channels by number; the fleet adds to it, the owner removes.
        calls: hears the answers to calls.
        owner: hears everything else.
        spawn: starts a worker process; raises `ConfigError` where that is not possible.
    """

    def __init__(
        self,
        workers: dict[int, WorkerChannel],
        calls: AnswerListener,
        owner: FleetOwner,
        loop: Loop,
        spawn: Spawner,
    ) -> None:
        self._workers = workers
        self._calls = calls
        self._owner = owner
        self._loop = loop
        self._spawn = spawn

    def spawn(self, number: int, launch: Launch, first: WorkerProcess | None = None) -> None:
        """Start a worker, or take in one that was started before.

        Raises:
            ConfigError: the worker's program cannot be run.
        """
        process = first
        try:
            process = first or self._spawn(launch)
            channel = WorkerChannel(number, process, self._calls, self._owner, self._loop)
            self._workers[number] = channel
        except BaseException:  # Ctrl-C in mid-work
            if process is not None and number not in self._workers:
                process.kill()
            raise

    def ask_lag(self) -> None:
        """Have the workers show how late their event loops are; see `WorkerChannel.lag_s`."""
        for worker in self._workers.values():
            worker.ask_lag()

    @property
    def fingerprint(self) -> str:
        """Of the code that all workers run; "" while they do not run the same."""
        found = {worker.fingerprint for worker in self._workers.values() if worker.is_ready}
        return found.pop() if len(found) == 1 else ""

    def await_end(self, worker: WorkerChannel) -> None:
        """Watch a worker whose channel or process has ended until both have.

        What it wrote last is read as well, unless another process holds its pipes open.
        """
        end = time.monotonic() + (END_S if worker.expected_end else LAST_OUTPUT_S)
        self._loop.call_soon(lambda: self._look(worker, end))

    def _look(self, worker: WorkerChannel, end: float) -> None:
        process = worker.process
        has_ended = process.has_ended()
        if not has_ended or worker.open_outputs or worker.is_connected:
            now = time.monotonic()
            if now < end or not has_ended:
                if now >= end:
                    process.kill()
                    end = now + END_S
                self._loop.call_later(POLL_S, lambda: self._look(worker, end))
                return
        self._owner.on_ended(worker)

    def stop(self, deadline: float, then: Callable[[], None]) -> None:
        """Ask the workers to end, kill those that have not by the deadline, and call `then`."""
        for worker in list(self._workers.values()):
            worker.drain()
        end = min(deadline, time.monotonic() + END_S)
        when(lambda: not self._workers, end, lambda: self._kill(then), self._loop)

    def _kill(self, then: Callable[[], None]) -> None:
        for worker in list(self._workers.values()):
            worker.process.kill()
        when(lambda: not self._workers, time.monotonic() + END_S, then, self._loop)

    def abandon(self) -> None:
        """In a forked child: close our copies of the descriptors; the workers are the parent's."""
        for worker in self._workers.values():
            worker.abandon()
