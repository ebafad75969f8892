"""Frames that mean nothing: from a worker to its host, and from a host to its workers."""

from __future__ import annotations

import contextlib
import gc
import json
import os
import random
import socket
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from support.extent import SEED, Gain, by_hand, report
from support.hosts import StartHost, wait_until
from support.lies import any_lie, lie_to_a_worker, not_frames, senseless_call

from jshost.exceptions import ProcessError, RemoteError
from jshost.function import Function
from jshost.pool.channel import WorkerChannel
from jshost.pool.launch import Launch
from jshost.pool.process import WorkerProcess, spawn
from jshost.protocol import frames

pytestmark = pytest.mark.timeout(by_hand(1800, 60))

LIES = by_hand(10_000, 1000)
FATAL_LIES = by_hand(20, 3)
CALLERS = 8

LYING_NODE = """#!{python} -P
import json, random, socket, sys
sys.path[:0] = {paths}
if "--version" in sys.argv:
    print("v20.0.0")
    raise SystemExit
from support.lies import fatal_lie, harmless_lies
from jshost.protocol import frames
channel = socket.socket(fileno=json.loads(sys.argv[-1])["channel"])
ready = {{"language": "javascript", "version": "20.0.0", "functions": ["harmless", "fatal"],
         "options": {{}}, "files": []}}
channel.sendall(frames.encode(frames.READY, 0, json.dumps(ready).encode()))
decoder = frames.Decoder()
while data := channel.recv(65536):
    for kind, call_id, payload in decoder.feed(data):
        if kind == frames.PING:
            channel.sendall(frames.encode(frames.PONG, 0, payload))
        elif kind == frames.CALL:
            header, body = frames.split_call(payload)
            rng = random.Random(json.loads(body)["seed"])
            lie = {{"harmless": harmless_lies, "fatal": fatal_lie}}[header["name"]]
            channel.sendall(lie(rng, call_id))
            channel.sendall(frames.encode(frames.RESULT, call_id, b"j" + body))
"""
"""What the host takes for Node: it lies before each answer, as the call's seed has it."""


def test_a_host_survives_a_lying_worker(serve: StartHost, tmp_path: Path) -> None:
    node = tmp_path / "node"
    tests = Path(__file__).parents[1]
    paths = [str(tests), str(tests.parent)]
    node.write_text(LYING_NODE.format(python=sys.executable, paths=paths))
    node.chmod(0o755)
    environment = {**os.environ, "JSHOST_PATH_TO_NODE": str(node)}
    host = serve("host.config.js", "", env=environment)
    harmless, fatal = host.function("harmless", timeout=30), host.function("fatal", timeout=30)
    rng = random.Random(SEED)

    def call(seed: int) -> str:
        try:
            answer = harmless.call(seed=seed)
        except RemoteError as error:
            answer = error
        if isinstance(answer, RemoteError):
            assert "died" not in str(answer), f"seed {seed}"
            return "an ERROR about the call, which is believed"
        assert answer == {"seed": seed}
        return "the truth"

    def calls(count: int) -> Counter[str]:
        with ThreadPoolExecutor(CALLERS) as callers:
            return Counter(callers.map(call, [rng.randrange(2**32) for _ in range(count)]))

    calls(LIES // 4)
    (worker,) = host.worker_pids()
    gain = Gain(host.pid)
    ends = calls(LIES)
    megabytes = gain.megabytes
    assert host.worker_pids() == [worker]
    for _ in range(FATAL_LIES):
        seed = rng.randrange(2**32)
        assert "died: signal SIGKILL" in str(outcome(fatal, seed)), f"seed {seed}"
    assert call(0)
    report(f"host of a lying worker, seed {SEED}: {dict(ends)}, {megabytes:+.1f} MB")
    assert megabytes < 8
    wait_until(lambda: gain.files <= 1, 10, "end of all descriptors")
    log = host.log_text()
    assert log.count("is killed: ") == FATAL_LIES
    assert "Traceback" not in log, log[log.index("Traceback") :][:4000]


def outcome(function: Function, seed: int) -> object:
    try:
        return function.call(seed=seed)
    except ProcessError as error:
        return error


# The host's end of a channel, alone: it hears of nothing that is no frame


class Deaf:
    """A pool that looks at what it is told, and a loop that is turned by hand."""

    def __init__(self) -> None:
        self.readers: dict[int, Any] = {}

    def add_reader(self, fd: int, callback: Any) -> None:
        self.readers[fd] = callback

    def remove_reader(self, fd: int) -> None:
        self.readers.pop(fd, None)

    remove_writer = remove_reader

    def on_answer(self, kind: int, call_id: int, payload: bytes) -> None:
        assert kind != frames.RESULT or payload[:1] in (b"j", b"t", b"b", b"m")

    def on_chunk(self, call_id: int, payload: bytes) -> None:
        assert payload[:1] == b"b" or b"\n" not in payload

    def on_ready(self, worker: WorkerChannel, ready: dict[str, Any]) -> None:
        assert {"language", "version", "functions", "options", "files"} <= set(ready)

    def on_update(self, ready: dict[str, Any]) -> None:
        assert all(isinstance(name, str) for name in ready["files"])

    def on_load_failed(self, worker: WorkerChannel, failure: dict[str, Any]) -> None:
        assert isinstance(failure["message"], str)

    def on_pong(self, worker: WorkerChannel) -> None: ...
    def on_gone(self, worker: WorkerChannel) -> None: ...
    def on_line(self, *what: object) -> None: ...


class Process:
    """A worker's process that never was: one end of its channel is ours."""

    def __init__(self) -> None:
        self.channel, self.theirs = socket.socketpair()
        self.stdout, self.stderr = open(os.devnull, "rb"), open(os.devnull, "rb")  # noqa: SIM115, PTH123
        self.pid = 2**22 + 1
        self.is_killed = False

    def kill(self) -> None:
        self.is_killed = True

    def has_ended(self) -> bool:
        return True

    def close(self) -> None:
        for each in (self.channel, self.theirs, self.stdout, self.stderr):
            each.close()


def test_a_hosts_end_takes_any_bytes(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("CRITICAL")
    killed = 0
    gc.collect()  # what earlier tests left is not ours to count
    gain = Gain(os.getpid())
    for lie in range(LIES):
        rng = random.Random(SEED + lie)
        pool, process = Deaf(), Process()
        channel = WorkerChannel(1, process, pool, pool, pool)  # type: ignore[arg-type]
        while not process.is_killed and rng.random() < 0.9:
            process.theirs.sendall(any_lie(rng, 1))
            pool.readers[process.channel.fileno()]()
        killed += process.is_killed
        channel.close()
    report(f"host's end, seed {SEED}: {killed} of {LIES} workers would be killed")
    assert LIES // 2 < killed < LIES
    assert gain.files == 0
    assert gain.megabytes < 16


def test_nothing_is_believed_that_follows_what_is_no_frame(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("CRITICAL")
    pool, process = Deaf(), Process()
    channel = WorkerChannel(1, process, pool, pool, pool)  # type: ignore[arg-type]
    process.theirs.sendall(b"x" * 100)
    pool.readers[process.channel.fileno()]()
    assert process.is_killed
    assert process.channel.fileno() not in pool.readers
    assert not channel.is_connected
    channel.close()


# Workers


CONFIGS = {
    "python": ("host.config.py", "def add(a, b): return a + b\nfunctions = {'add': add}\n"),
    "node": ("host.config.js", "module.exports = {functions: {add: ({a, b}) => a + b}};"),
}


class Worker:
    """A real worker, and our end of its channel."""

    def __init__(self, config: Path) -> None:
        self.process: WorkerProcess = spawn(
            Launch.for_config(config, {"options": [], "threads": 4})
        )
        self.process.channel.settimeout(20)
        self._decoder = frames.Decoder()
        self._received: list[frames.Frame] = []
        assert self.receive()[0] == frames.READY

    def send(self, data: bytes) -> None:
        self.process.channel.sendall(data)

    def receive(self) -> frames.Frame:
        while not self._received:
            data = self.process.channel.recv(1 << 16)
            assert data, f"the worker has ended: {self.last_words()}"
            self._received += self._decoder.feed(data)
        return self._received.pop(0)

    def add(self, call_id: int, a: int, b: int) -> bytes:
        """Call it, and read on until its answer comes; garbage may have been answered before."""
        header = frames.call_header("add", 5.0, "r")
        self.send(frames.call_frame(call_id, header, json.dumps({"a": a, "b": b}).encode()))
        while True:
            kind, about, payload = self.receive()
            if about == call_id:
                assert kind == frames.RESULT, payload
                return payload

    def end(self) -> int:
        """Wait for its end."""
        return self.process.popen.wait(10)

    def last_words(self) -> str:
        self.end()
        return self.process.stderr.read().decode()

    def close(self) -> None:
        self.process.kill()
        self.process.popen.wait(10)
        self.process.close()


@pytest.fixture(params=CONFIGS)
def config(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    name, text = CONFIGS[request.param]
    (tmp_path / name).write_text(text)
    return tmp_path / name


@pytest.fixture
def worker(config: Path) -> Iterator[Worker]:
    worker = Worker(config)
    yield worker
    worker.close()


def test_a_worker_survives_frames_that_make_no_sense(worker: Worker) -> None:
    rng = random.Random(SEED)
    for number in range(1, LIES // 10 + 1):
        worker.send(b"".join(lie_to_a_worker(rng) for _ in range(10)))
        assert worker.add(number, number, 1) == b"j%d" % (number + 1), f"seed {SEED}"
        if number == LIES // 40:
            gain = Gain(worker.process.pid)
    report(f"lied to, seed {SEED}: {LIES} frames, {gain.megabytes:+.1f} MB")
    assert gain.megabytes < 32
    assert gain.files == 0


@pytest.mark.parametrize("lie", [not_frames, senseless_call])
@pytest.mark.parametrize("attempt", range(by_hand(50, 3)))
def test_a_worker_that_does_not_understand_says_so_and_ends(
    config: Path, lie: Callable[[random.Random], bytes], attempt: int
) -> None:
    with contextlib.closing(Worker(config)) as worker:
        seed = SEED + attempt
        worker.send(lie(random.Random(seed)))
        assert worker.end() == 1, f"seed {seed}"
        assert worker.last_words(), f"seed {seed}"
