"""An asyncio loop that takes part in driving the workers. Runs in: programs that embed a host."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import math
import sys
import threading
import time
from collections.abc import Callable

from jshost.embedding.reactor import Reactor

__all__ = ["LoopWatch"]

KERNEL_BEAT_S = 0.2


class LoopWatch:
    """One loop: it watches the reactor's descriptor and its next timer."""

    def __init__(self, reactor: Reactor, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.thread_id = threading.get_ident()
        self.planned = math.inf
        """When the loop looks at the timers next; under the reactor's lock."""
        self.is_attached = True
        self._reactor = reactor
        self._fd = reactor.fileno()
        self._timer: asyncio.TimerHandle | None = None
        self._settles = False
        # In no context: what reads for all belongs to none of them. Jupyter would show what
        # functions print under the cell that was the first to call, whichever runs.
        contextvars.Context().run(loop.add_reader, self._fd, self._pump)
        if "ipykernel" in sys.modules:
            self._beat()

    def _pump(self) -> None:
        with self._reactor as reactor:
            reactor.pump()

    def _beat(self) -> None:
        """Wake the loop now and then: Jupyter's kernel tells a loop of an interrupt without waking
        it (ipykernel issue 881), and a call that is awaited may wake it as late as it ends."""
        if self.is_attached:
            self.loop.call_later(KERNEL_BEAT_S, self._beat)

    def settle_soon(self) -> None:
        """Under the lock: send what is held when the loop's turn is over, so that it goes
        together."""
        if not self._reactor.has_plans:
            self._reactor.settle()
        elif not self._settles:
            self._settles = True
            self.loop.call_soon(self._settle)

    def _settle(self) -> None:
        self._settles = False
        with self._reactor:
            pass

    def plan(self, when: float) -> None:
        """Under the lock, in any thread: look at the timers at `when`."""
        if self.loop.is_closed():
            return
        self.planned = when
        if threading.get_ident() == self.thread_id:
            self._set_timer()
        else:
            self.call_threadsafe(self._set_timer)

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        delay_s = min(max(self.planned - time.monotonic(), 0), 3600.0)
        self._timer = contextvars.Context().run(self.loop.call_later, delay_s, self._on_timer)

    def _on_timer(self) -> None:
        self.planned = math.inf
        self._timer = None
        if self.is_attached:
            self._pump()

    def set_result(self, future: asyncio.Future[None]) -> None:
        """Under the lock, in any thread: wake the task that awaits the future."""
        if threading.get_ident() == self.thread_id:
            _wake(future)
        else:
            self.call_threadsafe(lambda: _wake(future))

    def call_threadsafe(self, callback: Callable[[], None]) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed, and no task waits on it
            self.loop.call_soon_threadsafe(callback)

    def detach(self, then: Callable[[], None]) -> None:
        """The workers are gone; from any thread."""
        if self.loop.is_closed():
            self.is_attached = False
            then()
        elif threading.get_ident() == self.thread_id:
            self._detach(then)
        else:
            self.call_threadsafe(lambda: self._detach(then))

    def _detach(self, then: Callable[[], None]) -> None:
        self.is_attached = False
        self.loop.remove_reader(self._fd)
        if self._timer is not None:
            self._timer.cancel()
        then()


def _wake(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
