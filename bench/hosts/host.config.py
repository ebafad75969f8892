"""jshost's config file, Python: the same functions. Runs in: jshost's Python workers."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Iterator

CHUNK = "0123456789"

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


def chunks(count: int) -> Iterator[str]:
    """Yield ``count`` chunks of 10 bytes."""
    for _ in range(count):
        yield CHUNK


async def async_chunks(count: int) -> AsyncIterator[str]:
    """Yield the same on the worker's loop."""
    for _ in range(count):
        yield CHUNK


def mixed(i: int) -> object:
    """Return results of every kind, by ``i``; what each gives is in bench/million.py, too."""
    kind = i % 7
    if kind == 0:
        return i + 1
    if kind == 1:
        return f"text {i} \u00e4\U0001f600"
    if kind == 2:
        return {"number": i, "list": [i, None, True], "nested": {"text": "x" * 200}}
    if kind == 3:
        return None
    if kind == 4:
        return b"bytes %d" % i
    if kind == 5:
        return "y" * 10_000 + str(i)
    raise ValueError(f"no {i}")


functions = {
    "tiny": tiny,
    "echo": echo,
    "sleep": sleep,
    "burn": burn,
    "chunks": chunks,
    "async_chunks": async_chunks,
    "mixed": mixed,
}
