"""One load of `compare.py`: prints microseconds. Runs in: the measured checkout's Python."""

import asyncio
import statistics
import sys
import threading
import time
from collections.abc import Callable

import jshost
from jshost import Function, JSHost

__all__ = ["main"]

REPETITIONS = 5
THREADS = 8
TASKS = 32


def main() -> None:
    """``LOAD URL CONFIG``; no URL: embed the config."""
    load, url, config = sys.argv[1:]
    host = JSHost(root_url=url) if url else jshost.embedded(config)
    hello, two = Function("hello", host), Function("two", host)
    arguments = [{"name": "Foo"}] * 100

    def call(count: int) -> None:
        for _ in range(count):
            hello.call(name="Foo")

    def batch(count: int) -> None:
        for _ in range(count):
            hello.map(arguments)

    def stream(count: int) -> None:
        for _ in range(count):
            assert list(two.stream()) == [1, 2]

    def threads(count: int) -> None:
        started = [threading.Thread(target=call, args=(count // THREADS,)) for _ in range(THREADS)]
        for thread in started:
            thread.start()
        for thread in started:
            thread.join()

    async def task(count: int) -> None:
        for _ in range(count):
            await hello.acall(name="Foo")

    async def all_tasks(count: int) -> None:
        await asyncio.gather(*(task(count // TASKS) for _ in range(TASKS)))

    def tasks(count: int) -> None:
        asyncio.run(all_tasks(count))

    loads: dict[str, tuple[Callable[[int], None], int]] = {
        "call": (call, 2000),
        "batch": (batch, 50),
        "stream": (stream, 600),
        "threads": (threads, 3200),
        "tasks": (tasks, 6400),
    }
    print(_median_us(*loads[load]))


def _median_us(run: Callable[[int], None], count: int) -> float:
    run(count // 5)
    found = []
    for _ in range(REPETITIONS):
        began = time.perf_counter()
        run(count)
        found.append((time.perf_counter() - began) / count * 1e6)
    return statistics.median(found)


if __name__ == "__main__":
    main()
