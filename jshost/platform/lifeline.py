"""The pipe whose hang-up kills a worker. Runs in: host, programs that embed, Python workers.

A worker's owner holds one end and never writes to it. Where the system can do it (Linux), the
kernel kills the worker when that end closes: one in an endless loop, which reads no EOF, does not
outlive a killed owner either.
"""

from __future__ import annotations

import fcntl
import os
import select
import signal

__all__ = ["guard_myself", "kill_on_hang_up"]


def kill_on_hang_up(lifeline: int, pid: int) -> bool:
    """Have the kernel kill `pid` when the other end of `lifeline` closes: fcntl(2), F_SETSIG.

    Returns:
        Whether this system can do it.
    """
    if not (hasattr(fcntl, "F_SETSIG") and hasattr(fcntl, "F_SETOWN")):
        return False
    fcntl.fcntl(lifeline, fcntl.F_SETOWN, pid)
    fcntl.fcntl(lifeline, fcntl.F_SETSIG, signal.SIGKILL)
    flags = fcntl.fcntl(lifeline, fcntl.F_GETFL)
    fcntl.fcntl(lifeline, fcntl.F_SETFL, flags | os.O_ASYNC)
    return True


def guard_myself(lifeline: int) -> None:
    """In a worker whose owner cannot call fcntl (Node): end with it."""
    if not kill_on_hang_up(lifeline, os.getpid()):
        import threading

        threading.Thread(target=_wait_for_the_end, args=(lifeline,), daemon=True).start()
        return
    poll = select.poll()
    poll.register(lifeline, select.POLLHUP)
    if any(events & select.POLLHUP for _, events in poll.poll(0)):
        os._exit(1)  # it was gone before we asked


def _wait_for_the_end(lifeline: int) -> None:
    os.read(lifeline, 1)
    os.kill(os.getpid(), signal.SIGKILL)
