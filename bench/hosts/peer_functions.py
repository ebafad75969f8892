"""The functions that Node's peers call: those of host.config.py, without asyncio.

Runs in: each peer's Python.
"""

import time
from collections.abc import Iterator

__all__ = ["burn", "chunks", "echo", "sleep", "tiny"]


def tiny(x: int) -> int:
    """Return ``x`` plus one."""
    return x + 1


def echo(text: str) -> str:
    """Return ``text``."""
    return text


def sleep(ms: float) -> float:
    """Wait ``ms`` milliseconds."""
    time.sleep(ms / 1000)
    return ms


def burn(ms: float) -> float:
    """Spend ``ms`` milliseconds of this thread's CPU time."""
    end_s = time.thread_time() + ms / 1000
    while time.thread_time() < end_s:
        pass
    return ms


def chunks(count: int) -> Iterator[str]:
    """Yield ``count`` chunks of 10 bytes."""
    for _ in range(count):
        yield "0123456789"
