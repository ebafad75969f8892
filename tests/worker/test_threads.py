"""Leader and followers: one reads, the others run, nobody sleeps through work."""

from __future__ import annotations

import queue
import random
import threading
from collections.abc import Callable, Iterator
from itertools import pairwise

import pytest
from support.hosts import wait_until

from jshost.worker.threads import Threads

WAIT_S = 10.0

Batch = list[int] | None


class Source:
    """What is read: batches that a test puts in, one read at a time; `end` ends the reading."""

    def __init__(self) -> None:
        self._batches: queue.SimpleQueue[Batch] = queue.SimpleQueue()
        self._reading = threading.Lock()
        self.waiting = threading.Semaphore(0)
        """Released each time that a thread begins to read."""
        self.ended = threading.Event()

    def put(self, *tasks: int) -> None:
        self._batches.put(list(tasks))

    def end(self) -> None:
        self._batches.put(None)
        assert self.ended.wait(WAIT_S)

    def read(self) -> Batch:
        assert self._reading.acquire(blocking=False), "two threads read at once"
        self.waiting.release()
        batch = self._batches.get()
        if batch is None:
            self.ended.set()
        self._reading.release()
        return batch

    def wait_for_reader(self) -> None:
        assert self.waiting.acquire(timeout=WAIT_S), "nobody reads"


@pytest.fixture
def source() -> Iterator[Source]:
    source = Source()
    yield source
    if not source.ended.is_set():
        source.end()


class Gate:
    """Tasks that run until the test lets them end."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.started: queue.SimpleQueue[int] = queue.SimpleQueue()
        self.finished: queue.SimpleQueue[int] = queue.SimpleQueue()
        self._doors: dict[int, threading.Event] = {}

    def door(self, task: int) -> threading.Event:
        with self._lock:
            return self._doors.setdefault(task, threading.Event())

    def run(self, task: int) -> None:
        self.started.put(task)
        assert self.door(task).wait(WAIT_S)
        self.finished.put(task)

    def wait_for_start(self) -> int:
        return self.started.get(timeout=WAIT_S)

    def open(self, *tasks: int) -> None:
        """Let these tasks end, and wait until they have."""
        for task in tasks:
            self.door(task).set()
        assert {self.finished.get(timeout=WAIT_S) for _ in tasks} == set(tasks)


def start(limit: int, source: Source, run: Callable[[int], None]) -> Threads[int]:
    threads = Threads(limit, source.read, run)
    threads.start()
    source.wait_for_reader()
    return threads


def test_tasks_run(source: Source) -> None:
    done: queue.SimpleQueue[int] = queue.SimpleQueue()
    start(2, source, done.put)
    for task in range(5):
        source.put(task)
        assert done.get(timeout=WAIT_S) == task


def test_a_task_that_runs_does_not_keep_others_from_being_read(source: Source) -> None:
    gate = Gate()
    start(3, source, gate.run)
    for task in (1, 2, 3):
        source.put(task)
        source.wait_for_reader()
        assert gate.wait_for_start() == task
    gate.open(1, 2, 3)


def test_no_more_run_than_the_limit_and_yet_one_reads(source: Source) -> None:
    gate = Gate()
    start(2, source, gate.run)
    source.put(1, 2, 3)
    assert {gate.wait_for_start(), gate.wait_for_start()} == {1, 2}
    source.wait_for_reader()
    source.put(4)
    source.wait_for_reader()
    assert gate.started.empty()
    gate.open(2)
    assert gate.wait_for_start() == 3
    gate.open(1)
    assert gate.wait_for_start() == 4
    gate.open(3, 4)


def test_one_thread_may_be_all_there_is(source: Source) -> None:
    gate = Gate()
    start(1, source, gate.run)
    source.put(1, 2)
    assert gate.wait_for_start() == 1
    source.wait_for_reader()
    gate.open(1)
    assert gate.wait_for_start() == 2
    gate.open(2)


def test_the_watcher_wakes_for_what_follows_a_long_task(source: Source) -> None:
    """It sleeps where nothing happens; what is held back for the next task counts on it."""
    gate = Gate()
    ticks = 0

    def tick() -> None:
        nonlocal ticks
        ticks += 1

    threads = Threads(1, source.read, gate.run, tick)
    threads.start()
    source.wait_for_reader()
    source.put(1)
    assert gate.wait_for_start() == 1
    source.wait_for_reader()
    wait_until(lambda: not threads._watched, WAIT_S, "the watcher to sleep")
    ticks = 0
    source.put(2)
    source.wait_for_reader()
    gate.open(1)
    assert gate.wait_for_start() == 2
    wait_until(lambda: ticks > 0, WAIT_S, "the watcher")
    gate.open(2)


def test_a_batch_starts_all_its_tasks_at_once(source: Source) -> None:
    together = threading.Barrier(8)
    met: queue.SimpleQueue[int] = queue.SimpleQueue()

    def run(task: int) -> None:
        together.wait(WAIT_S)
        met.put(task)

    start(8, source, run)
    for _ in range(3):  # the second time, threads that wait are woken
        source.put(*range(8))
        assert {met.get(timeout=WAIT_S) for _ in range(8)} == set(range(8))


def test_reading_goes_on_when_there_was_nothing_to_run(source: Source) -> None:
    done: queue.SimpleQueue[int] = queue.SimpleQueue()
    start(2, source, done.put)
    source.put()
    source.put()
    source.put(1)
    assert done.get(timeout=WAIT_S) == 1


def test_no_more_threads_are_made_than_can_have_work(source: Source) -> None:
    before = threading.active_count()
    done: queue.SimpleQueue[int] = queue.SimpleQueue()
    start(4, source, done.put)
    for round_number in range(50):
        source.put(*range(10))
        assert sorted(done.get(timeout=WAIT_S) for _ in range(10)) == list(range(10)), round_number
    assert threading.active_count() - before <= 4 + 1


def test_threads_that_were_woken_before_are_not_counted_on_twice(source: Source) -> None:
    """After any number of tasks, each one that blocks leaves a reader behind it, to the limit."""
    gate = Gate()
    done: queue.SimpleQueue[int] = queue.SimpleQueue()
    start(32, source, lambda task: done.put(task) if task < 100 else gate.run(task))
    for task in range(100):
        source.put(task)
        assert done.get(timeout=WAIT_S) == task
    for task in range(100, 132):
        source.put(task)
        assert gate.wait_for_start() == task
    gate.open(*range(100, 132))


def test_a_task_that_waits_can_be_discarded(source: Source) -> None:
    gate = Gate()
    threads = start(1, source, gate.run)
    source.put(1, 2, 3)
    assert gate.wait_for_start() == 1
    source.wait_for_reader()
    assert threads.discard(2)
    assert not threads.discard(2)
    assert not threads.discard(1), "it runs"
    gate.open(1)
    assert gate.wait_for_start() == 3
    gate.open(3)


def test_tasks_that_were_read_are_run_after_the_end_of_reading(source: Source) -> None:
    gate = Gate()
    start(1, source, gate.run)
    source.put(1, 2)
    assert gate.wait_for_start() == 1
    source.end()
    gate.open(1)
    assert gate.wait_for_start() == 2
    gate.open(2)


@pytest.mark.parametrize("limit", [1, 2, 7])
def test_no_wake_up_is_lost(source: Source, limit: int) -> None:
    """Batches of all sizes, as fast as they are read; each task runs once."""
    total = 6000
    done: queue.SimpleQueue[int] = queue.SimpleQueue()
    running, most = 0, 0
    lock = threading.Lock()

    def run(task: int) -> None:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        if task % 7 == 0:
            threading.Event().wait(0)  # gives the processor away
        with lock:
            running -= 1
        done.put(task)

    start(limit, source, run)
    edges = sorted(random.Random(limit).choices(range(total), k=total // 5))
    for first, end in pairwise([0, *edges, total]):
        source.put(*range(first, end))
    found = [done.get(timeout=WAIT_S) for _ in range(total)]
    assert sorted(found) == list(range(total))
    assert 1 <= most <= limit


def test_no_wake_up_is_lost_where_each_waits_for_the_last(source: Source) -> None:
    """A caller that sends its next call once it was answered: one lost wake-up would stop it."""
    done: queue.SimpleQueue[int] = queue.SimpleQueue()
    start(3, source, done.put)
    for task in range(0, 6000, 3):
        source.put(task)
        source.put(task + 1, task + 2)
        assert {done.get(timeout=WAIT_S) for _ in range(3)} == {task, task + 1, task + 2}


def test_a_task_can_be_submitted_that_was_not_read(source: Source) -> None:
    gate = Gate()
    threads = start(2, source, gate.run)
    threads.submit(1)
    assert gate.wait_for_start() == 1
    threads.submit(2)
    assert gate.wait_for_start() == 2
    threads.submit(3)
    assert threads.discard(3), "it waits: no more run than the limit"
    threads.submit(4)
    gate.open(1)
    assert gate.wait_for_start() == 4
    gate.open(2, 4)
