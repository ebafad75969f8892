"""The event loop of async functions. Runs in: Python workers."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio

__all__ = ["EventLoop"]


class EventLoop:
    """An asyncio loop in the thread that calls `run`, started when it is wanted.

    A worker without async functions never imports asyncio.

    Attributes:
        loop: the asyncio loop, or None: it does not run yet.
    """

    def __init__(self) -> None:
        self.loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._wanted = threading.Event()
        self._started = threading.Event()
        self._over = False

    def run(self) -> None:
        """Block until `stop`; run the loop once `want` or `post` was called."""
        self._wanted.wait()
        if not self._over:
            import asyncio

            asyncio.run(self._run())

    async def _run(self) -> None:
        import asyncio

        self._stop = asyncio.Event()
        self.loop = asyncio.get_running_loop()
        self._started.set()
        if not self._over:
            await self._stop.wait()

    def want(self) -> None:
        """Start the loop, if it does not run yet."""
        self._wanted.set()

    def post(self, function: Callable[..., None], *args: object) -> None:
        """Run the function on the loop; from any thread. After `stop` it may not run."""
        self._wanted.set()
        self._started.wait()
        if self.loop is not None:  # else `stop` came before the start
            self.loop.call_soon_threadsafe(function, *args)

    def stop(self) -> None:
        """End `run`: its tasks are cancelled. From any thread, once."""
        self._over = True
        self._wanted.set()
        self._started.set()
        if self.loop is not None and self._stop is not None:
            self.loop.call_soon_threadsafe(self._stop.set)
