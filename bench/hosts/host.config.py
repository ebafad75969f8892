"""jshost's config file, Python: the same functions. Runs in: jshost's Python workers."""

import asyncio
import os
import time

workers = int(os.environ.get("BENCH_WORKERS", "1"))


def tiny(x: int) -> int:
    """Return ``x`` plus one."""
    return x + 1


def echo(text: str) -> str:
    """Return ``text``."""
    return text


async def sleep(ms: float) -> float:
    """Wait ``ms`` milliseconds on the worker's loop."""
    await asyncio.sleep(ms / 1000)
    return ms


def burn(ms: float) -> float:
    """Spend ``ms`` milliseconds of this thread's CPU time."""
    end_s = time.thread_time() + ms / 1000
    while time.thread_time() < end_s:
        pass
    return ms


functions = {"tiny": tiny, "echo": echo, "sleep": sleep, "burn": burn}
