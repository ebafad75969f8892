"""The event loop of async functions: it starts when it is wanted, and ends when it is told."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest

from jshost.worker.loop import EventLoop

WAIT_S = 10.0


class Running:
    """An event loop that runs in a thread."""

    def __init__(self) -> None:
        self.loop = EventLoop()
        self.thread = threading.Thread(target=self.loop.run)
        self.thread.start()

    def stop(self) -> None:
        self.loop.stop()
        self.thread.join(WAIT_S)
        assert not self.thread.is_alive()


@pytest.fixture
def running() -> Iterator[Running]:
    running = Running()
    yield running
    if running.thread.is_alive():
        running.stop()


def test_it_does_not_start_by_itself(running: Running) -> None:
    running.stop()
    assert running.loop.loop is None


def test_what_is_posted_runs_in_its_thread(running: Running) -> None:
    seen: list[int | None] = []
    done = threading.Event()

    def see(number: int) -> None:
        seen[:] = number, threading.get_ident()
        done.set()

    running.loop.post(see, 7)
    assert done.wait(WAIT_S)
    assert seen == [7, running.thread.ident]
    assert running.loop.loop is not None


def test_the_end_cancels_its_tasks(running: Running) -> None:
    begun, ended = threading.Event(), threading.Event()

    async def wait() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    tasks: list[asyncio.Task[None]] = []

    def start() -> None:
        assert running.loop.loop is not None
        tasks.append(running.loop.loop.create_task(wait()))

    running.loop.post(start)
    assert begun.wait(WAIT_S)
    running.stop()
    assert ended.is_set()


def test_what_is_posted_after_an_end_before_the_start_is_dropped() -> None:
    loop = EventLoop()
    loop.stop()
    loop.run()
    loop.post(lambda: pytest.fail("it runs"))
