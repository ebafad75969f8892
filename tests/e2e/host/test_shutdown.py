"""What a host says of itself, and its end: it drains, it hurries, it is killed."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest
from support.hosts import RunningHost, StartHost, wait_until

from jshost.client.http.http_request import HttpRequest
from jshost.exceptions import ConnectionError, HostUnavailable, ProcessError, RemoteError

JS = """
const fs = require('node:fs');
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
process.on('exit', () => console.log('Node says goodbye'));
module.exports = {functions: {
  async hold_js({file}) { while (!fs.existsSync(file)) await sleep(2); return process.pid; },
  hello_js: () => 'Hello!',
  large_js: ({megabytes}) => 'x'.repeat(megabytes * 2 ** 20),
  endless_js() { for (;;); },
  die_js() { process.exit(3); },
}};
"""

PY = """
import asyncio, atexit, os, time

include = ["host.config.js"]
atexit.register(print, "Python says goodbye")

def hold_py(file):
    while not os.path.exists(file): time.sleep(0.002)
    return os.getpid()
async def hold_async(file):
    while not os.path.exists(file): await asyncio.sleep(0.002)
    return os.getpid()

def hello_py(): return "Hello!"

def endless_py():
    while True: pass
async def endless_async():
    while True: pass

functions = {name: value for name, value in globals().items() if type(value) is type(hold_py)}
"""

ENDLESS = ["endless_js", "endless_py", "endless_async"]
HOLDS = ["hold_js", "hold_py", "hold_async"]


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(16) as executor:
        yield executor


@pytest.fixture
def serve_both(serve: StartHost, tmp_path: Path) -> StartHost:
    """Start a host of both config files, which have a pool each."""
    (tmp_path / "host.config.js").write_text(JS)
    return lambda *flags: serve("host.config.py", PY, *flags)


def wait_for_calls(host: RunningHost, count: int) -> None:
    """Wait until so many calls are with the workers."""
    status = host.host.request_status
    wait_until(lambda: sum(w["calls"] for w in status()["workers"]) == count, 5, f"{count} calls")


def outcome(call: Future[Any]) -> Any:
    """A call's result, or the error that it ended in."""
    return call.exception(10) or call.result()


def runs(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def workers_end(pids: list[int], seconds: float = 1) -> None:
    try:
        wait_until(lambda: not any(map(runs, pids)), seconds, "end of all workers")
    finally:
        for pid in filter(runs, pids):
            os.kill(pid, signal.SIGKILL)


def test_what_a_host_says_of_itself(serve_both: StartHost) -> None:
    host = serve_both("--request-data-limit", "64kb")
    said = host.host.request_status()
    assert (said["type"], said["pid"], said["ready"]) == ("Host", host.pid, True)
    assert said["version"] == host.status["version"]
    assert said["config"]["address"] == "127.0.0.1"
    assert host.url == f"http://127.0.0.1:{said['config']['port']}"
    assert said["config"]["functions"] == sorted(said["config"]["functions"])
    assert {*HOLDS, *ENDLESS} < set(said["config"]["functions"])
    assert [worker["calls"] for worker in said["workers"]] == [0, 0]
    assert len(set(host.worker_pids())) == 2
    for path, text in [("/health", "ok\n"), ("/ready", "ready\n")]:
        page = host.host.request(HttpRequest("GET", path, timeout_s=5))
        assert (page.status_code, page.text) == (200, text)
        assert page.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_calls_in_flight_are_answered_and_no_others(
    serve_both: StartHost, threads: ThreadPoolExecutor, gate: Path, number: int
) -> None:
    host = serve_both()
    workers = host.worker_pids()
    known, other = host.host, host.host  # their connections are there already
    for each in (known, other):
        assert each.request(HttpRequest("GET", "/ready", timeout_s=5)).status_code == 200
    calls = [threads.submit(host.function(name).call, file=str(gate)) for name in HOLDS]
    wait_for_calls(host, 3)
    host.process.send_signal(number)
    host.wait_for_log("stopping")
    ready = known.request(HttpRequest("GET", "/ready", timeout_s=5))
    assert (ready.status_code, ready.text) == (503, "draining\n")
    assert "retry-after" in ready.headers
    late = other.request(HttpRequest("POST", "/function/hello_js", timeout_s=5))
    assert (late.status_code, late.text) == (200, "Hello!")
    for answer in (ready, late):
        assert answer.headers["connection"] == "close"
    with pytest.raises(ConnectionError):
        host.function("hello_js").call()
    assert not any(call.done() for call in calls)
    gate.touch()
    assert {outcome(call) for call in calls} == set(workers)
    assert host.process.wait(3) == 0
    workers_end(workers)
    assert "ERROR" not in host.log_text()
    for language in ("Node", "Python"):
        assert f"{language} says goodbye" in host.log_text()


def test_calls_are_taken_until_balancers_have_noticed(serve_both: StartHost) -> None:
    """`shutdown_delay`: /ready says 503 all the while, and no connection is used twice."""
    host = serve_both("--shutdown-delay", "0.5")
    host.process.terminate()
    host.wait_for_log("stopping")
    began = time.monotonic()
    for _ in range(3):
        caller = host.host
        ready = caller.request(HttpRequest("GET", "/ready", timeout_s=5))
        assert (ready.status_code, ready.headers["connection"]) == (503, "close")
        answer = caller.request(HttpRequest("POST", "/function/hello_js", timeout_s=5))
        assert (answer.status_code, answer.headers["connection"]) == (200, "close")
    assert host.process.wait(3) == 0
    assert time.monotonic() - began > 0.4


def test_a_second_signal_ends_the_delay(serve_both: StartHost) -> None:
    host = serve_both("--shutdown-delay", "30")
    host.process.terminate()
    host.wait_for_log("stopping")
    host.process.terminate()
    host.process.wait(3)


def test_nobody_who_connects_while_a_host_stops_is_reset(
    serve_both: StartHost, threads: ThreadPoolExecutor
) -> None:
    """A caller that could send its call gets an answer; the others know that nobody heard them."""
    host = serve_both()
    port = host.status["config"]["port"]
    request = b"POST /function/hello_js HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"

    def call_until_refused() -> list[bytes]:
        answers = []
        while True:
            try:
                caller = socket.create_connection(("127.0.0.1", port), 10)
            except ConnectionRefusedError:
                return answers
            with caller:
                caller.sendall(request)
                answers.append(caller.recv(4096))

    callers = [threads.submit(call_until_refused) for _ in range(16)]
    wait_until(lambda: host.host.request_status()["uptime"] > 0.5, 5, "load")
    host.process.terminate()
    for caller in callers:
        assert {answer[:15] for answer in caller.result(20)} == {b"HTTP/1.1 200 OK"}
    assert host.process.wait(3) == 0


def test_calls_that_wait_are_answered_too(
    serve_both: StartHost, threads: ThreadPoolExecutor, gate: Path
) -> None:
    host = serve_both("--concurrency", "1", "--max-queue", "1")
    names = ["hold_js", "hello_js", "hello_js"]
    calls = [threads.submit(host.function(name).call, file=str(gate)) for name in names[:1]]
    wait_for_calls(host, 1)
    calls += [threads.submit(host.function(name).call) for name in names[1:]]
    wait_until(lambda: any(call.done() for call in calls), 5, "refusal: the queue is full")
    host.process.terminate()
    host.wait_for_log("stopping")
    gate.touch()
    outcomes = [outcome(call) for call in calls[1:]]
    assert sorted(map(str, outcomes))[0] == "Hello!"
    assert [type(end) for end in outcomes].count(HostUnavailable) == 1
    assert host.process.wait(3) == 0


def test_an_answer_on_its_way_arrives_whole(serve_both: StartHost) -> None:
    """Also at a caller who takes the time that is set."""
    host, megabytes = serve_both(), 30
    request = "POST /function/large_js HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
    request += "Content-Type: application/json\r\nContent-Length: 17\r\n\r\n" + '{"megabytes": 30}'
    with socket.create_connection(("127.0.0.1", host.status["config"]["port"]), 10) as caller:
        caller.sendall(request.encode())
        head, _, body = caller.recv(4096).partition(b"\r\n\r\n")
        assert b"content-length: %d\r\n" % (megabytes << 20) in head
        host.process.terminate()
        with pytest.raises(subprocess.TimeoutExpired):
            host.process.wait(2.5)
        got = len(body)
        while data := caller.recv(1 << 20):
            got += len(data)
    assert got == megabytes << 20
    assert host.process.wait(3) == 0


def test_idle_connections_do_not_keep_a_host(serve_both: StartHost) -> None:
    host = serve_both()
    workers, callers = host.worker_pids(), [host.host for _ in range(3)]
    for caller in callers:
        caller.connect()
    host.process.terminate()
    assert host.process.wait(3) == 0
    workers_end(workers)


def test_a_second_signal_ends_at_once(
    serve_both: StartHost, threads: ThreadPoolExecutor, gate: Path
) -> None:
    host = serve_both()
    workers = host.worker_pids()
    names = [*HOLDS[:2], "endless_js"]
    arguments: list[dict[str, Any]] = [{"file": str(gate)}, {"file": str(gate)}, {}]
    calls = [
        threads.submit(host.function(name).call, **given)
        for name, given in zip(names, arguments, strict=True)
    ]
    wait_for_calls(host, 3)
    host.process.terminate()
    host.wait_for_log("stopping")
    host.process.terminate()
    host.process.wait(3)
    workers_end(workers)
    for call in calls:
        assert isinstance(outcome(call), RemoteError | ConnectionError)
    assert "a second signal came; calls that have not finished: 3\n" in host.log_text()


def test_endless_loops_have_only_the_time_that_is_set(
    serve_both: StartHost, threads: ThreadPoolExecutor
) -> None:
    host = serve_both("--shutdown-timeout", "0.3")
    workers = host.worker_pids()
    calls = [threads.submit(host.function(name, timeout=30).call) for name in ENDLESS]
    wait_for_calls(host, 3)
    began = time.monotonic()
    host.process.terminate()
    assert host.process.wait(5) == 0
    assert time.monotonic() - began >= 0.3
    workers_end(workers)
    for call in calls:
        assert isinstance(outcome(call), RemoteError | ConnectionError)
    assert "their time is over; calls that have not finished: 3\n" in host.log_text()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux kills workers for a killed host")
def test_a_killed_host_leaves_no_worker(
    serve_both: StartHost, threads: ThreadPoolExecutor, gate: Path
) -> None:
    """Nor in endless loops, where nobody reads the end of the channel."""
    host = serve_both("--workers", "3")
    wait_until(lambda: len(host.worker_pids()) == 6, 5, "six workers")
    workers = host.worker_pids()
    calls = [threads.submit(host.function(name).call) for name in ENDLESS + ENDLESS]
    calls.append(threads.submit(host.function("hold_js").call, file=str(gate)))
    wait_for_calls(host, len(calls))
    os.kill(host.pid, signal.SIGKILL)
    workers_end(workers)
    for call in calls:
        assert isinstance(outcome(call), ConnectionError)


def test_without_respawn_the_host_ends(serve: StartHost) -> None:
    host = serve("host.config.js", JS + "module.exports.respawn = false;")
    with pytest.raises(ProcessError):
        host.function("die_js").call()
    assert host.process.wait(5) == 1
    assert "respawn is off" in host.log_text()
