"""A real Python worker, driven by frames without a host: answers that are sent together."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from jshost.pool.launch import Launch
from jshost.pool.process import WorkerProcess, spawn
from jshost.protocol import frames

pytestmark = pytest.mark.versions

CONFIG = """
import threading, time
from pathlib import Path

gate = threading.Event()

def add(a, b): return a + b
def large(): return "x" * 100_000
def nap(for_s): time.sleep(for_s)
def wait(): gate.wait()
def burn(for_s):
    end = time.perf_counter() + for_s
    while time.perf_counter() < end: pass
functions = {"add": add, "large": large, "nap": nap, "wait": wait, "burn": burn}
"""
DEADLINE_S = 10.0


class Worker:
    """A worker process: calls in, the ids of answered calls out."""

    def __init__(self, process: WorkerProcess) -> None:
        self._channel = process.channel
        self._decoder = frames.Decoder()

    def send(self, *calls: tuple[str, dict[str, object]]) -> None:
        """All in one write, numbered from 1."""
        data = b""
        for call_id, (name, arguments) in enumerate(calls, 1):
            header = {"name": name, "requestId": str(call_id), "timeout": None}
            body = json.dumps(arguments).encode()
            data += frames.call_frame(call_id, json.dumps(header).encode(), body)
        self._channel.sendall(data)

    def receive(self) -> list[int]:
        """The ids of the calls that one read has the whole answers of."""
        answers: list[int] = []
        while not answers:
            data = self._channel.recv(1 << 20)
            assert data, "the worker is gone"
            answers = [
                call_id
                for kind, call_id, _ in self._decoder.feed(data)
                if kind in (frames.RESULT, frames.ERROR)
            ]
        return answers

    def receive_many(self, count: int) -> list[int]:
        answers: list[int] = []
        while len(answers) < count:
            answers += self.receive()
        return answers


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[Worker]:
    path = tmp_path / "host.config.py"
    path.write_text(CONFIG)
    process = spawn(Launch.for_config(path, {"options": []}))
    process.channel.settimeout(DEADLINE_S)
    try:
        (ready, *_), *_ = frames.Decoder().feed(process.channel.recv(1 << 16))
        assert ready == frames.READY
        yield Worker(process)
    finally:
        process.kill()
        process.popen.wait(DEADLINE_S)
        process.close()


def add_many(count: int) -> list[tuple[str, dict[str, object]]]:
    return [("add", {"a": n, "b": 1}) for n in range(count)]


def test_answers_of_quick_calls_come_in_order(worker: Worker) -> None:
    worker.send(*add_many(8))
    worker.receive_many(8)
    worker.send(*add_many(100))
    assert worker.receive_many(100) == list(range(1, 101))


@pytest.mark.parametrize("slow", ["nap", "burn"])
def test_none_waits_for_a_call_that_takes_long(worker: Worker, slow: str) -> None:
    """Also not for one that has been quick until now."""
    for _ in range(2):
        worker.send(*add_many(4), (slow, {"for_s": 0}))
        worker.receive_many(5)
    worker.send(*add_many(4), (slow, {"for_s": 1}))
    assert sorted(worker.receive_many(4)) == [1, 2, 3, 4]
    assert worker.receive() == [5]


def test_none_waits_for_a_call_that_is_cancelled(worker: Worker) -> None:
    worker.send(*add_many(8))
    worker.receive_many(8)
    worker.send(*add_many(1), ("wait", {}))
    assert worker.receive() == [1]


def test_large_answers_keep_their_place(worker: Worker) -> None:
    worker.send(*add_many(4), ("large", {}), *add_many(4))
    worker.receive_many(9)
    worker.send(*add_many(4), ("large", {}), *add_many(4))
    assert sorted(worker.receive_many(9)) == list(range(1, 10))
