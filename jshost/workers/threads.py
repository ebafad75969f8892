"""Threads that take turns at reading. Runs in: Python workers."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

__all__ = ["Threads"]

T = TypeVar("T")


class Threads(Generic[T]):
    """Leader and followers: one thread reads, the others run what was read or wait.

    `read` blocks until there are new tasks and returns them; `run` runs one. At most `limit`
    tasks run at once, so that one thread is always free to read.
    """

    def __init__(
        self, limit: int, read: Callable[[], list[T] | None], run: Callable[[T], None]
    ) -> None:
        self._limit = limit
        self._read = read
        self._run = run
        self._condition = threading.Condition(threading.Lock())
        self._tasks: deque[T] = deque()
        self._reading = False
        self._running = 0
        self._idle = 0
        self._threads = 0

    def start(self) -> None:
        with self._condition:
            self._wake(1)

    def submit(self, task: T) -> None:
        """Run a task that was not read; from any thread."""
        with self._condition:
            self._tasks.append(task)
            if self._running < self._limit:
                self._wake(1)

    def discard(self, task: T) -> bool:
        """Forget a task that waits for a thread; False: it runs already."""
        with self._condition:
            if task not in self._tasks:
                return False
            self._tasks.remove(task)
            return True

    def _loop(self) -> None:
        task: T | None = None
        while True:
            with self._condition:
                if task is not None:
                    self._running -= 1
                task = self._choose()
            if task is None:
                read = self._read()
                if read is None:
                    return
                with self._condition:
                    self._reading = False
                    self._tasks.extend(read)
                    task = self._take()
                    if task is not None:
                        self._wake(1 + min(len(self._tasks), self._limit - self._running))
                if task is None:
                    continue
            self._run(task)

    def _choose(self) -> T | None:
        """A task to run, or None: this thread is the one that reads now."""
        while True:
            task = self._take()
            if task is not None:
                return task
            if not self._reading:
                self._reading = True
                return None
            self._idle += 1
            self._condition.wait()

    def _take(self) -> T | None:
        if not self._tasks or self._running >= self._limit:
            return None
        self._running += 1
        return self._tasks.popleft()

    def _wake(self, wanted: int) -> None:
        waking = min(wanted, self._idle)
        self._idle -= waking
        self._condition.notify(waking)
        for _ in range(min(wanted - waking, self._limit + 1 - self._threads)):
            self._threads += 1
            name = f"jshost-{self._threads}"
            threading.Thread(target=self._loop, name=name, daemon=True).start()
