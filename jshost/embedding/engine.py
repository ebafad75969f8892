"""The workers that a program owns: started, driven and ended by the threads that call them.

Runs in: programs that embed a host.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import sys
import threading
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from jshost.embedding.reactor import Reactor, Waiter
from jshost.exceptions import ConfigError
from jshost.pool.channel import WorkerChannel
from jshost.protocol.lines import Line

if TYPE_CHECKING:
    import asyncio

    from jshost.embedding.loops import LoopWatch
    from jshost.pool.batch import Batch
    from jshost.pool.pending_call import PendingCall
    from jshost.pool.pool import Pool
    from jshost.pool.process import WorkerProcess
    from jshost.pool.registry import Registry

__all__ = ["EXIT_S", "Engine"]


class AnyCall(Protocol):
    """A call that a pool has."""

    pool: Pool
    pending: PendingCall | None


logger = logging.getLogger("jshost.host")

CARE_S = 0.01
"""How often the caretaker looks whether it is still needed."""
EXIT_S = 2.0
"""How long workers may take to end when the program does."""


class Engine:
    """One process's workers and what drives them.

    Args:
        make_registry: makes the pools, for the engine's reactor and its `on_line`.
        first: the first worker, where it was spawned before.
    """

    def __init__(
        self, make_registry: Callable[[Engine], Registry], first: WorkerProcess | None = None
    ) -> None:
        self.reactor = Reactor()
        self.is_loaded = False
        self.is_closed = False
        self.failure: ConfigError | None = None
        """Why the config files did not load."""
        self.was_interrupted = False
        """Ctrl-C struck while it loaded, which may have cost it a worker."""
        self._waiting: list[Callable[[], None]] = []
        self._watches: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, LoopWatch] | None = None
        self._last_watch: LoopWatch | None = None
        self._caretaker: threading.Thread | None = None
        self._closing = threading.Lock()
        self.registry = make_registry(self)
        with self.reactor:
            self.registry.begin(first)
            self.registry.load(self._on_loaded)
        _open.add(self)

    # Loading

    def _on_loaded(self, problem: ConfigError | None) -> None:
        self.is_loaded = problem is None
        self.failure = problem
        waiting, self._waiting = self._waiting, []
        for tell in waiting:
            tell()

    def when_loaded(self, tell: Callable[[], None]) -> None:
        """Under the lock: have `tell` called once everything is loaded, or has failed to."""
        if self.is_loaded or self.failure is not None:
            tell()
        else:
            self._waiting.append(tell)

    def load(self) -> None:
        """Wait until everything is loaded. Raises: ConfigError: it does not load."""
        if not self.is_loaded:
            waiter, reactor = Waiter(), self.reactor
            try:
                reactor.wait_after(waiter, lambda: self.when_loaded(lambda: reactor.done(waiter)))
            except BaseException:
                self.was_interrupted = True
                raise
            self.raise_failure()

    def raise_failure(self) -> None:
        if self.failure is not None:
            raise ConfigError(*self.failure.args) from None

    # Output

    def on_line(self, worker: WorkerChannel, level: int, line: Line) -> None:
        """What functions print goes where the program prints."""
        self.reactor.call_unlocked(lambda: _print(level, line.text))

    # Calls that are left

    def cancel(self, call: AnyCall) -> None:
        """Drop a call whose answer is not waited for any more; its function hears of it."""
        pending, call.pending = call.pending, None
        if pending is not None:
            self.reactor.run(lambda: self._cancel(call.pool, pending))

    def cancel_batch(self, batch: Batch) -> None:
        """As `cancel`. Under the lock, as no other thread may begin more of its calls meanwhile."""
        self.reactor.run(lambda: batch.cancel(self._cancel))

    def cancel_soon(self, call: AnyCall) -> None:
        """As `cancel`, from finalizers, which may run where the lock is held."""
        pending, call.pending = call.pending, None
        if pending is not None:
            self.reactor.post(lambda: self._cancel(call.pool, pending))

    def _cancel(self, pool: Pool, pending: PendingCall) -> None:
        pool.cancel(pending)
        self._care()

    def care(self) -> None:
        """Wait for the end of cancelled calls and dead workers, in a thread of its own that ends
        with them: there may be no other thread that drives the reactor."""
        self.reactor.run(self._care)

    def _care(self) -> None:
        if self._caretaker is None and not self.is_closed and not self.registry.is_resting:
            self._caretaker = threading.Thread(
                target=self._take_care, name="jshost-caretaker", daemon=True
            )
            self.reactor.call_unlocked(self._start_caretaker)

    def _start_caretaker(self) -> None:
        try:
            assert self._caretaker is not None
            self._caretaker.start()
        except RuntimeError:  # the interpreter ends, and the workers with it
            self._caretaker = None

    def _take_care(self) -> None:
        waiter, reactor = Waiter(), self.reactor

        def look() -> None:
            if self.is_closed or self.registry.is_resting:
                self._caretaker = None
                reactor.done(waiter)
            else:
                reactor.call_later(CARE_S, look)

        with reactor:
            look()
            if not waiter.is_done:
                reactor.enter(waiter)
        reactor.wait(waiter)

    # asyncio

    def watch(self) -> LoopWatch:
        """How the running loop takes part."""
        import asyncio

        loop = asyncio.get_running_loop()
        last = self._last_watch
        if last is not None and last.loop is loop:
            return last
        watches = self._watches
        if watches is None:
            with self.reactor:
                watches = self._watches = self._watches or weakref.WeakKeyDictionary()
        watch = watches.get(loop)
        if watch is None:
            from jshost.embedding.loops import LoopWatch

            watch = LoopWatch(self.reactor, loop)
            with self.reactor:
                for each in [each for each in watches if each.is_closed()]:
                    del watches[each]
                watches[loop] = watch
                self.reactor.on_leave = self._plan_loops
        self._last_watch = watch
        return watch

    def _plan_loops(self) -> None:
        assert self._watches is not None
        when = self.reactor.next_timer
        for watch in list(self._watches.values()):
            if when < watch.planned:
                watch.plan(when)

    # The end

    def close(self, timeout_s: float = EXIT_S) -> None:
        """End the workers: calls in flight have `timeout_s` seconds to finish."""
        with self._closing:
            if self.is_closed:
                return
            waiter, reactor = Waiter(), self.reactor
            with reactor:
                self.registry.stop(timeout_s, lambda: reactor.done(waiter))
                if not waiter.is_done:
                    reactor.enter(waiter)
            reactor.wait(waiter)
            self.is_closed = True
            _open.discard(self)
        caretaker = self._caretaker
        if caretaker is not None and caretaker.is_alive():
            caretaker.join(EXIT_S)
        watches = list(self._watches.values()) if self._watches is not None else []

        def close_reactor() -> None:
            if not any(watch.is_attached for watch in watches):
                reactor.close()

        for watch in watches:
            watch.detach(close_reactor)
        if not watches:
            reactor.close()

    def close_soon(self) -> None:
        """Close it in a thread of its own: for finalizers, which may run anywhere."""
        if self in _open:
            with contextlib.suppress(RuntimeError):  # the interpreter ends, and the workers with it
                threading.Thread(target=self.close, name="jshost-close").start()

    def abandon(self) -> None:
        """In a forked child: all of it is the parent's; close our copies."""
        self.is_closed = True
        self.registry.abandon()
        self.reactor.close()


def _print(level: int, text: str) -> None:
    stream: Any = sys.stdout if level == logging.INFO else sys.stderr
    if stream is None:  # pythonw, a daemon
        return
    try:
        stream.write(text + "\n")
        stream.flush()
    except (OSError, ValueError) as error:  # closed, or a pipe without a reader
        logger.debug("a line that a function printed is lost: %s", error)


_open: set[Engine] = set()


def _close_all() -> None:
    for engine in list(_open):
        engine.close()


def _after_fork() -> None:
    for engine in list(_open):
        engine.abandon()
    _open.clear()


atexit.register(_close_all)
os.register_at_fork(after_in_child=_after_fork)
