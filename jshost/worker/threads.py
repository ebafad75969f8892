"""Threads that take turns at reading tasks and run them. Runs in: Python workers."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

__all__ = ["Threads"]

T = TypeVar("T")

TICK_S = 0.001
FEW_TASKS = 5
"""If fewer tasks than this finish in a tick, another thread is worth it."""
IDLE_TICKS = 10
"""The watcher sleeps after so many ticks without a task."""


class Threads(Generic[T]):
    """One thread reads tasks and runs them itself; others join it where that takes long.

    Handing a task to another thread costs more than a short task itself. So the thread that has
    read tasks runs them one after another, and reads again. A watcher looks every `TICK_S` whether
    the tasks take too long for that. Then it wakes another thread to read, and one for each task
    that waits. At most `limit` tasks run at once, so one thread is always free to read.

    `read` blocks until there are new tasks and returns them, or None at the end: then the threads
    end when the tasks are done. `run` runs one task. The watcher calls `tick` while tasks run.
    """

    def __init__(
        self,
        limit: int,
        read: Callable[[], list[T] | None],
        run: Callable[[T], None],
        tick: Callable[[], None] = lambda: None,
    ) -> None:
        self._limit = limit
        self._read = read
        self._run = run
        self._tick = tick
        self._lock = threading.Lock()  # used directly: the condition's `with` is Python code
        self._condition = threading.Condition(self._lock)
        self._tasks: deque[T] = deque()
        self._reading = False
        self._over = False
        self._running = 0
        self._finished = 0
        self._idle = 0
        self._coming = 0
        """Threads that were woken or started and have not looked for work yet."""
        self._threads = 0
        self._watched = False
        self._wanted = threading.Event()
        self._watcher: threading.Thread | None = None

    def start(self) -> None:
        with self._lock:
            self._wake(1)

    def submit(self, task: T) -> None:
        """Run a task that was not read. Call it from any thread."""
        with self._lock:
            self._tasks.append(task)
            if self._running < self._limit:
                self._wake(1)

    def peek(self) -> T | None:
        """The task that runs next, or None."""
        try:
            return self._tasks[0]
        except IndexError:
            return None

    def discard(self, task: T) -> bool:
        """Forget a task that waits for a thread. Returns False if it runs already."""
        with self._lock:
            if task not in self._tasks:
                return False
            self._tasks.remove(task)
            return True

    def _loop(self) -> None:
        with self._lock:
            self._coming -= 1
            task = self._choose()
        while True:
            if task is None:
                if self._over:
                    return
                read = self._read()
                with self._lock:
                    self._reading = False
                    if read is None:
                        self._end()
                        read = []
                    self._tasks.extend(read)
                    task = self._choose()
            else:
                self._run(task)
                with self._lock:
                    self._finished += 1
                    if self._tasks:  # `_running` stays the same
                        task = self._take()
                    else:
                        self._running -= 1
                        task = self._choose()

    def _choose(self) -> T | None:
        """A task to run, or None: this thread is the one that reads now, or ends."""
        while True:
            if self._tasks and self._running < self._limit:
                self._running += 1
                return self._take()
            if self._over:
                self._threads -= 1
                return None
            if not self._reading:
                self._reading = True
                return None
            self._idle += 1
            self._condition.wait()
            self._coming -= 1

    def _take(self) -> T:
        """The next task, while the watcher watches."""
        if not self._watched:
            self._watch()
        return self._tasks.popleft()

    def _end(self) -> None:
        """No more is read: the threads that wait end."""
        self._over = True
        self._coming += self._idle
        self._idle = 0
        self._condition.notify_all()
        self._wanted.set()

    def _wake(self, wanted: int) -> None:
        waking = min(wanted, self._idle)
        self._idle -= waking
        self._condition.notify(waking)
        starting = min(wanted - waking, self._limit + 1 - self._threads)
        self._coming += waking + max(starting, 0)
        for _ in range(starting):
            self._threads += 1
            name = f"jshost-{self._threads}"
            threading.Thread(target=self._loop, name=name, daemon=True).start()

    # The watcher

    def _watch(self) -> None:
        self._watched = True
        self._wanted.set()
        if self._watcher is None:
            self._watcher = threading.Thread(
                target=self._watch_tasks, name="jshost-watcher", daemon=True
            )
            self._watcher.start()

    def _watch_tasks(self) -> None:
        finished, idle = 0, 0
        while True:
            self._wanted.wait()
            time.sleep(TICK_S)
            self._tick()
            with self._lock:
                if self._over and not self._tasks and not self._running:
                    self._watcher, self._watched = None, False
                    self._wanted.clear()
                    return
                if self._finished - finished < FEW_TASKS:
                    self._help()
                is_idle = self._finished == finished and not self._tasks and self._reading
                idle = idle + 1 if is_idle else 0
                finished = self._finished
                if idle > IDLE_TICKS:
                    self._watched = False
                    self._wanted.clear()

    def _help(self) -> None:
        """Wake threads for tasks that the running ones do not get to."""
        wanted = min(len(self._tasks), self._limit - self._running)
        if not self._reading and not self._over:
            wanted += 1
        if wanted > self._coming:
            self._wake(wanted - self._coming)
