"""What systemd hands a host, and what it is told. Runs in: host.

Sockets come as sd_listen_fds(3) says, news go as sd_notify(3) says. Outside of systemd there are no
sockets, and news go nowhere.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import time
from collections.abc import MutableMapping

from jshost.exceptions import ConfigError

__all__ = ["Systemd"]

logger = logging.getLogger("jshost.host")

FIRST_FD = 3


class Systemd:
    """Our side of both protocols.

    Args:
        environment: where systemd says what there is. It is taken out: what workers start must not
            speak for this process.

    Attributes:
        sockets: what to listen on, opened by systemd and kept open by it when we end; empty: none.

    Raises:
        ConfigError: it passed a descriptor that nobody can connect to.
    """

    def __init__(self, environment: MutableMapping[str, str]) -> None:
        self._address = environment.pop("NOTIFY_SOCKET", "")
        self._watchdog_s = _watchdog_s(environment)
        self._pulse: asyncio.TimerHandle | None = None
        self.sockets = _sockets(environment)

    def ready(self, status: str) -> None:
        """Calls are taken; `status` is what `systemctl status` shows."""
        self._tell("READY=1", f"STATUS={status}")
        if self._watchdog_s and self._pulse is None:
            self._beat(asyncio.get_running_loop())

    def reloading(self, status: str) -> None:
        """Code is loaded anew; `ready` follows."""
        now_us = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        self._tell("RELOADING=1", f"MONOTONIC_USEC={now_us}", f"STATUS={status}")

    def stopping(self, status: str) -> None:
        """Calls in flight end, and then this process."""
        self._tell("STOPPING=1", f"STATUS={status}")

    def close(self) -> None:
        """Stop the watchdog's pulse."""
        if self._pulse is not None:
            self._pulse.cancel()

    def _beat(self, loop: asyncio.AbstractEventLoop) -> None:
        """From the event loop, so that a host that hangs goes without. Twice in each period."""
        self._tell("WATCHDOG=1")
        self._pulse = loop.call_later(self._watchdog_s / 2, self._beat, loop)

    def _tell(self, *lines: str) -> None:
        if not self._address:
            return
        address = self._address
        if address.startswith("@"):  # Linux's abstract namespace
            address = "\0" + address[1:]
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as news:
                news.setblocking(False)
                news.sendto("\n".join(lines).encode("utf-8", "replace"), address)
        except OSError as error:
            logger.warning("systemd could not be told %s: %s", lines[0], error.strerror)


def _watchdog_s(environment: MutableMapping[str, str]) -> float:
    """How often systemd wants to hear of us, in seconds, or 0."""
    microseconds = environment.pop("WATCHDOG_USEC", "")
    pid = environment.pop("WATCHDOG_PID", "") or str(os.getpid())
    if not microseconds.isdigit() or pid != str(os.getpid()):
        return 0
    return int(microseconds) / 1e6


def _sockets(environment: MutableMapping[str, str]) -> list[socket.socket]:
    pid, count = environment.pop("LISTEN_PID", ""), environment.pop("LISTEN_FDS", "")
    environment.pop("LISTEN_FDNAMES", None)
    if pid != str(os.getpid()) or not count.isdigit():
        return []
    return [_listener(number) for number in range(FIRST_FD, FIRST_FD + int(count))]


def _listener(number: int) -> socket.socket:
    with contextlib.suppress(OSError):
        listener = socket.socket(fileno=number)
        if listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            listener.setblocking(False)
            listener.set_inheritable(False)
            return listener
        listener.detach()
    raise ConfigError(
        f"systemd passed the descriptor {number}, which is no socket that listens for connections. "
        "Give the socket unit ListenStream= lines only, and Accept=no."
    )
