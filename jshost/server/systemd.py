"""Socket activation, notifications and watchdog of systemd. Runs in: host.

Sockets are passed as in sd_listen_fds(3), notifications are sent as in sd_notify(3). Without
systemd there are no sockets, and notifications are dropped.
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
        environment: has systemd's variables. They are removed, so that workers and their children
            cannot send notifications for this process.

    Attributes:
        sockets: the listening sockets that systemd opened, and keeps open when we end.

    Raises:
        ConfigError: it passed a descriptor that is not a listening socket.
    """

    def __init__(self, environment: MutableMapping[str, str]) -> None:
        self._address = environment.pop("NOTIFY_SOCKET", "")
        self._watchdog_s = _watchdog_s(environment)
        self._pulse: asyncio.TimerHandle | None = None
        self.sockets = _sockets(environment)

    def ready(self, status: str) -> None:
        """The host takes calls. `systemctl status` shows `status`."""
        self._notify("READY=1", f"STATUS={status}")
        if self._watchdog_s and self._pulse is None:
            self._beat(asyncio.get_running_loop())

    def reloading(self, status: str) -> None:
        """A reload begins; `ready` follows."""
        now_us = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        self._notify("RELOADING=1", f"MONOTONIC_USEC={now_us}", f"STATUS={status}")

    def stopping(self, status: str) -> None:
        """The host takes no more calls, and ends when those in flight are finished."""
        self._notify("STOPPING=1", f"STATUS={status}")

    def close(self) -> None:
        """Stop the watchdog's pulse."""
        if self._pulse is not None:
            self._pulse.cancel()

    def _beat(self, loop: asyncio.AbstractEventLoop) -> None:
        """Notify the watchdog twice in each period, from the loop: a host that hangs does not."""
        self._notify("WATCHDOG=1")
        self._pulse = loop.call_later(self._watchdog_s / 2, self._beat, loop)

    def _notify(self, *lines: str) -> None:
        if not self._address:
            return
        address = self._address
        if address.startswith("@"):  # Linux's abstract namespace
            address = "\0" + address[1:]
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
                sender.setblocking(False)
                sender.sendto("\n".join(lines).encode("utf-8", "replace"), address)
        except OSError as error:
            logger.warning("notifying systemd of %s failed: %s", lines[0], error.strerror)


def _watchdog_s(environment: MutableMapping[str, str]) -> float:
    """How long systemd's watchdog waits for a notification, in seconds; 0: there is none."""
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
