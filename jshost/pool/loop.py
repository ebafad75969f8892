"""What drives a pool: the few methods of an asyncio loop that it needs.

Runs in: host, programs that embed. The host passes its asyncio loop; `embedding.reactor.Reactor` is
a loop for programs without one.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

__all__ = ["POLL_S", "Callback", "Handle", "Loop", "when"]

Callback = Callable[[], object]

POLL_S = 0.002
LONGEST_POLL_S = 0.05


class Handle(Protocol):
    """A callback that was planned."""

    def cancel(self) -> object: ...


class Loop(Protocol):
    """Watches descriptors and the clock. A callback may come without need: it reads and writes
    without blocking."""

    def add_reader(self, fd: int, callback: Callback, /) -> object: ...
    def remove_reader(self, fd: int, /) -> object: ...
    def add_writer(self, fd: int, callback: Callback, /) -> object: ...
    def remove_writer(self, fd: int, /) -> object: ...
    def call_later(self, delay_s: float, callback: Callback, /) -> Handle: ...
    def call_soon(self, callback: Callback, /) -> object: ...


def when(
    condition: Callable[[], bool],
    deadline: float,
    then: Callback,
    loop: Loop,
    pause_s: float = POLL_S,
) -> None:
    """Call `then` as soon as the condition holds, or at the deadline (monotonic seconds)."""
    if condition() or time.monotonic() >= deadline:
        then()
    else:  # a call may run for long: look less and less often
        longer_s = min(pause_s * 1.1, LONGEST_POLL_S)
        loop.call_later(pause_s, lambda: when(condition, deadline, then, loop, longer_s))
