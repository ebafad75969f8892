"""What drives a pool: the few things of an asyncio loop that it needs.

Runs in: host (and whoever owns a pool). The host's loop has them by nature; `reactor.Reactor` has
them for programs without one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

__all__ = ["Handle", "Loop"]

Callback = Callable[[], object]


class Handle(Protocol):
    """Something that was planned."""

    def cancel(self) -> object: ...


class Loop(Protocol):
    """Watches descriptors and the clock. Callbacks may come without a reason: they read and write
    without blocking."""

    def add_reader(self, fd: int, callback: Callback, /) -> object: ...
    def remove_reader(self, fd: int, /) -> object: ...
    def add_writer(self, fd: int, callback: Callback, /) -> object: ...
    def remove_writer(self, fd: int, /) -> object: ...
    def call_later(self, delay_s: float, callback: Callback, /) -> Handle: ...
    def call_soon(self, callback: Callback, /) -> object: ...
