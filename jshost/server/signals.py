"""Stops or reloads a host: on signals, and when its manager dies. Runs in: host."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Callable

from jshost.server.logs import reopen_log

__all__ = ["Signals"]

logger = logging.getLogger("jshost.host")

ORPHAN_S = 3.0
"""How long a host runs on after its manager has died, so that its calls can finish."""


class Signals:
    """SIGTERM, SIGINT and SIGHUP.

    SIGHUP reopens the log and reloads everything. If it came because our terminal has closed, it
    stops the host instead.

    Attributes:
        stop: set by the first SIGTERM or SIGINT.
        stop_now: set by the second one.
    """

    def __init__(self) -> None:
        self.stop = asyncio.Event()
        self.stop_now = asyncio.Event()
        self._had_terminal = os.isatty(0)
        self._hang_ups = 0
        self._reload: Callable[[], None] | None = None
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._on_stop)
        loop.add_signal_handler(signal.SIGHUP, self._on_hang_up)

    def _on_stop(self) -> None:
        if self.stop.is_set():
            self.stop_now.set()
        self.stop.set()

    def _on_hang_up(self) -> None:
        if self._had_terminal and not os.isatty(0):
            self.stop.set()
            return
        reopen_log()
        self._hang_ups += 1
        if self._reload is not None:
            self._reload()

    def on_hang_up(self, reload: Callable[[], None]) -> None:
        """Call `reload` at each SIGHUP, and now if there was one already."""
        self._reload = reload
        if self._hang_ups:
            reload()

    async def watch_manager(self) -> None:
        """Stop some seconds after the manager's end: it holds our stdin open, and never writes."""
        loop = asyncio.get_running_loop()
        await loop.connect_read_pipe(lambda: _ManagerPipe(self.stop), sys.stdin)


class _ManagerPipe(asyncio.Protocol):
    """Our stdin, if a manager has started us."""

    def __init__(self, stop: asyncio.Event) -> None:
        self._stop = stop

    def connection_lost(self, exc: Exception | None) -> None:
        logger.warning("the manager has died; this host stops in %g s", ORPHAN_S)
        asyncio.get_running_loop().call_later(ORPHAN_S, self._stop.set)
