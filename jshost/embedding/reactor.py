"""A loop without a thread of its own: a thread that waits reads for all (leader and followers).

Runs in: programs that embed a host.

A thread that waits for its answer becomes the leader if there is none: it polls, without the lock,
and carries out what came, with it. When its own answer has come it hands the lead to a follower, of
those that sleep until theirs. So a lone caller pays for no other thread, and many for one wake-up
each. An asyncio loop takes part by watching `fileno` and calling `pump`. An interrupt (Ctrl-C) may
strike anywhere, also where a leader would hand the lead on: a follower that has slept for long
looks whether there is a leader still.

All that a pool does happens under `lock`, in whichever thread. `with reactor:` takes it, and on the
way out carries out what was planned with `call_soon`, and wakes a leader that would sleep for too
long.
"""

from __future__ import annotations

import contextlib
import heapq
import itertools
import logging
import math
import os
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Self

from jshost.platform import kept_lock
from jshost.platform.pollers import READ, WRITE, Poller, new_poller
from jshost.pool.loop import Callback

__all__ = ["Reactor", "Timer", "Waiter"]

logger = logging.getLogger("jshost.pool")

MISTAKE = "a mistake of jshost's own; please report it"
MAX_EVENTS = 64
LONGEST_SLEEP_S = 3600.0
DOUBTFUL_S = 0.5
"""After this time a follower asks the leader for a sign of life."""
SIGN_S = 0.1
"""How long the leader may take to give it."""
FRESH_S = 0.002
"""A call polls the descriptors if the last poll is longer ago than this."""


class Waiter:
    """A thread that waits for one thing at a time."""

    __slots__ = ("is_done", "signal")

    def __init__(self) -> None:
        self.is_done = False
        self.signal: threading.Lock | None = None
        """What a follower sleeps on; released when it is done, or has the lead."""


class Timer:
    """A callback at a time."""

    __slots__ = ("callback", "when")

    def __init__(self, when: float, callback: Callback) -> None:
        self.when = when
        self.callback: Callback | None = callback

    def cancel(self) -> None:
        self.callback = None


class Reactor:
    """A `Loop` that is driven by the threads that wait for answers."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.is_closed = False
        self._poller: Poller = new_poller()
        self._readers: dict[int, Callback] = {}
        self._writers: dict[int, Callback] = {}
        self._timers: list[tuple[float, int, Timer]] = []
        self._numbers = itertools.count()
        self._soon: deque[Callback] = deque()
        self._posted: deque[Callback] = deque()
        self._after: deque[Callback] = deque()
        self._leader: Waiter | None = None
        self._followers: dict[Waiter, None] = {}
        self._sleep_s = 0.0
        """How long the leader is to poll."""
        self._sleeps_until = 0.0
        """When it stops by itself; 0.0 while it does not poll."""
        self._polled_at = 0.0
        self.on_leave: Callable[[], None] | None = None
        """Called under the lock before it is given back; asyncio loops plan their timers."""
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_read, False)
        os.set_blocking(self._wake_write, False)
        self.add_reader(self._wake_read, self._on_wake)

    def fileno(self) -> int:
        """A descriptor that is readable when `pump` has something to do, timers apart."""
        return self._poller.fileno()

    # Loop: under the lock

    def add_reader(self, fd: int, callback: Callback) -> None:
        known = fd in self._readers
        self._readers[fd] = callback
        if not known:
            self._watch(fd, fd in self._writers)

    def remove_reader(self, fd: int) -> None:
        if self._readers.pop(fd, None) is not None:
            self._watch(fd, True)

    def add_writer(self, fd: int, callback: Callback) -> None:
        known = fd in self._writers
        self._writers[fd] = callback
        if not known:
            self._watch(fd, fd in self._readers)

    def remove_writer(self, fd: int) -> None:
        if self._writers.pop(fd, None) is not None:
            self._watch(fd, True)

    def _watch(self, fd: int, is_registered: bool) -> None:
        events = (READ if fd in self._readers else 0) | (WRITE if fd in self._writers else 0)
        if not events:
            self._poller.unregister(fd)
        elif is_registered:
            self._poller.modify(fd, events)
        else:
            self._poller.register(fd, events)

    def call_later(self, delay_s: float, callback: Callback) -> Timer:
        timer = Timer(time.monotonic() + delay_s, callback)
        heapq.heappush(self._timers, (timer.when, next(self._numbers), timer))
        return timer

    def call_soon(self, callback: Callback) -> None:
        """Have it called before the lock is given back."""
        self._soon.append(callback)

    def call_unlocked(self, callback: Callback) -> None:
        """Have it called, in this thread, once the lock is given back."""
        self._after.append(callback)

    # The lock. Where an interrupt (Ctrl-C) may strike, take `lock` itself, call `settle` inside of
    # it and `released` behind it: nothing can come between taking it and giving it back.

    def __enter__(self) -> Self:
        self.lock.acquire()
        return self

    def __exit__(self, *error: object) -> None:
        try:
            self.settle()
        finally:
            self.lock.release()
        self.released()

    @property
    def has_plans(self) -> bool:
        """Whether `settle` has more to do than to look at the clock."""
        return bool(self._soon or self._posted)

    def settle(self) -> None:
        """Under the lock, before it is given back: do what was planned."""
        if self._soon or self._posted:
            self._run_soon()
        if self.on_leave is not None:
            self.on_leave()
        if self._timers and self._timers[0][0] < self._sleeps_until:
            self._wake()

    def released(self) -> None:
        """Behind the lock: do what others might wait for while we have it."""
        while self._after:
            after, self._after = self._after, deque()
            try:
                while after:
                    after.popleft()()
            except BaseException:
                self._after.extendleft(reversed(after))
                raise
        if self._posted:
            self._settle_posted()

    def post(self, callback: Callback) -> None:
        """Have it called under the lock, soon, in any thread: for finalizers, which may run in a
        thread that holds the lock."""
        self._posted.append(callback)
        self._settle_posted()

    def _settle_posted(self) -> None:
        if not self.lock.locked():  # else its holder carries out what was posted
            with self.lock:
                self.settle()
            self.released()

    def run(self, callback: Callback) -> None:
        """Call it under the lock, which this thread must not have."""
        self._soon.append(callback)
        with self.lock:
            self.settle()
        self.released()

    def _run_soon(self) -> None:
        for queue in (self._posted, self._soon):
            while queue:
                self._run(queue[0])  # after Ctrl-C in mid-work, the next with the lock does it
                queue.popleft()

    def _run(self, callback: Callback) -> None:
        try:
            callback()
        except Exception:
            logger.exception(MISTAKE)

    # Waiting

    def done(self, waiter: Waiter) -> None:
        """Under the lock: what `waiter` waits for has come."""
        waiter.is_done = True
        if self._followers and self._followers.pop(waiter, waiter) is None:
            assert waiter.signal is not None
            waiter.signal.release()

    def enter(self, waiter: Waiter) -> None:
        """Under the lock, before `wait`: take the lead, or a place among the followers; `settle`.

        It does without a call of `settle`, as every call comes through here.
        """
        if self._leader is None:
            self._leader = waiter
            self._plan_sleep()
        else:
            kept_lock.want()
            if waiter.signal is None:
                waiter.signal = threading.Lock()
            waiter.signal.acquire(False)
            self._followers[waiter] = None
        if self._soon or self._posted:
            self._run_soon()
        if self.on_leave is not None:
            self.on_leave()
        if self._timers and self._timers[0][0] < self._sleeps_until:
            self._wake()

    def wait_after(self, waiter: Waiter, begin: Callable[[], object]) -> None:
        """Call `begin` under the lock, and `wait`; whatever interrupts it, `waiter` has left."""
        try:
            with self.lock:
                begin()
                if waiter.is_done:
                    self.settle()
                else:
                    self.enter(waiter)
            self.wait(waiter)
        except BaseException:
            self.leave(waiter)
            raise

    def wait(self, waiter: Waiter) -> None:
        """Behind the lock: sleep until `done(waiter)`, or read for all meanwhile."""
        try:
            if self._after or self._posted:
                self.released()
            while not waiter.is_done:
                if self._leader is waiter:
                    self._lead(waiter)
                else:
                    assert waiter.signal is not None
                    if not waiter.signal.acquire(timeout=DOUBTFUL_S):
                        self._doubt(waiter)
            if self._leader is waiter:  # it was given the lead, and its answer, while it slept
                self.leave(waiter)
        except BaseException:
            self.leave(waiter)
            raise

    def _lead(self, waiter: Waiter) -> None:
        """Sleep until something happens, and carry it out."""
        events = self._poller.poll(self._sleep_s, MAX_EVENTS)
        with self.lock:
            if self._leader is waiter:
                self._sleeps_until = 0.0
            self._dispatch(events)
            if self._soon or self._posted:
                self._run_soon()
            if self._leader is not waiter:  # it gave no sign of life in time
                if not waiter.is_done:
                    self.enter(waiter)
            elif not waiter.is_done:
                self._plan_sleep()
            else:
                self._leader = None
                if self._followers:
                    self._hand_over()
            if self.on_leave is not None:
                self.on_leave()
        if self._after or self._posted:
            self.released()

    def _doubt(self, waiter: Waiter) -> None:
        """Take the lead if the leader gives no sign of life: it may have been interrupted before it
        could hand on the lead."""
        with self.lock:
            leader, polled_at = self._leader, self._polled_at
            self._wake()
        assert waiter.signal is not None
        if waiter.signal.acquire(timeout=SIGN_S):
            return
        with self.lock:
            is_asleep = self._leader is leader and self._polled_at == polled_at
            if is_asleep and not waiter.is_done:
                self._followers.pop(waiter, None)
                self._leader = waiter
                self._plan_sleep()

    def leave(self, waiter: Waiter) -> None:
        """Stop waiting: another thread takes the lead."""
        with self.lock:
            self._followers.pop(waiter, None)
            if self._leader is waiter:
                self._leader = None
                self._sleeps_until = 0.0
                if self._followers:
                    self._hand_over()
            self.settle()
        self.released()

    def _hand_over(self) -> None:
        follower = self._leader = next(iter(self._followers))
        del self._followers[follower]
        self._plan_sleep()
        assert follower.signal is not None
        follower.signal.release()

    def _plan_sleep(self) -> None:
        timers = self._timers
        while timers and timers[0][2].callback is None:
            heapq.heappop(timers)
        self._sleep_s = LONGEST_SLEEP_S
        now = time.monotonic()
        if timers:
            self._sleep_s = min(max(timers[0][0] - now, 0.0), LONGEST_SLEEP_S)
        self._sleeps_until = now + self._sleep_s

    def pump(self) -> None:
        """Under the lock: carry out what has happened, without waiting."""
        self._dispatch(self._poller.poll(0, MAX_EVENTS))

    def refresh(self) -> None:
        """Under the lock: `pump`, unless a thread has just looked, or is looking."""
        if self._leader is None and time.monotonic() - self._polled_at > FRESH_S:
            self.pump()

    @property
    def next_timer(self) -> float:
        """When the next timer is due (monotonic seconds)."""
        return self._timers[0][0] if self._timers else math.inf

    def _dispatch(self, events: list[tuple[int, int]]) -> None:
        for fd, mask in events:
            if mask & ~WRITE:
                callback = self._readers.get(fd)
                if callback is not None:
                    try:  # as `_run`, which every answer would pay for
                        callback()
                    except Exception:
                        logger.exception(MISTAKE)
            if mask & ~READ:
                callback = self._writers.get(fd)
                if callback is not None:
                    self._run(callback)
        now = self._polled_at = time.monotonic()
        timers = self._timers
        while timers and timers[0][0] <= now:
            first = timers[0]
            if first[2].callback is not None:
                self._run(first[2].callback)
                first[2].callback = None
            if timers[0] is first:
                heapq.heappop(timers)

    def _wake(self) -> None:
        self._sleeps_until = 0.0
        with contextlib.suppress(BlockingIOError):  # it is woken already
            os.write(self._wake_write, b"\0")

    def _on_wake(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(self._wake_read, 4096)

    # The end

    def close(self) -> None:
        """Close its own descriptors, once no thread waits. In a forked child: our copies."""
        if self.is_closed:
            return
        self.is_closed = True
        self._readers.clear()
        self._writers.clear()
        self._poller.close()
        os.close(self._wake_read)
        os.close(self._wake_write)
