"""Workers that are recycled: by calls, by memory, by age. No call is lost, and they stay small."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest
from support.hosts import RunningHost, StartHost, wait_until

from jshost.exceptions import ProcessError

JS = """
const fs = require('node:fs');
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const kept = [];
module.exports = {functions: {
  pid_js: () => process.pid,
  echo_js: ({value}) => value,
  async hold_js({file}) { while (!fs.existsSync(file)) await sleep(2); return process.pid; },
  leak_js({value, kb}) { kept.push(Buffer.alloc(kb * 1024, 1)); return value; },
  async fill_js() { for (;;) { kept.push(Buffer.alloc(8 << 20, 1)); await sleep(5); } },
}};
"""

PY = """
import os, time
include, kept = ["host.config.js"], []
def pid_py(): return os.getpid()
def echo_py(value): return value
def hold_py(file):
    while not os.path.exists(file): time.sleep(0.002)
    return os.getpid()
def leak_py(value, kb):
    kept.append(b"x" * (kb * 1024))
    return value
def fill_py():
    while True:
        kept.append(b"x" * (8 << 20))
        time.sleep(0.005)
functions = {name: value for name, value in globals().items() if type(value) is type(pid_py)}
"""

LANGUAGES = ["js", "py"]
MB = 1 << 20


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(8) as executor:
        yield executor


@pytest.fixture
def serve_both(serve: StartHost, tmp_path: Path) -> StartHost:
    """Start a host of both config files, which have a pool each."""
    (tmp_path / "host.config.js").write_text(JS)
    return lambda *flags: serve("host.config.py", PY, *flags)


def calls_until_another(host: RunningHost, language: str, pid: int) -> None:
    """Call until another worker answers; timers of an embedded host run while somebody waits."""
    pid_of = host.function(f"pid_{language}").call
    wait_until(lambda: pid_of() != pid, 10, "other worker")


@pytest.mark.parametrize("language", LANGUAGES)
def test_after_so_many_calls(
    serve_both: StartHost, threads: ThreadPoolExecutor, language: str
) -> None:
    host = serve_both("--max-requests", "50", "--workers", "2")
    echo, pids = host.function(f"echo_{language}"), set()
    pid_of = host.function(f"pid_{language}")
    done = 0
    while len(pids) < 6:  # two at first, two that followed them, two that followed these
        assert list(threads.map(lambda n: echo.call(value=n), range(100))) == list(range(100))
        pids.add(pid_of.call())
        done += 100
        assert done < 100_000
    wait_until(lambda: len(host.worker_pids()) <= 5, 10, "end of old workers")


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_call_that_runs_is_finished_by_its_worker(
    serve_both: StartHost, threads: ThreadPoolExecutor, tmp_path: Path, language: str
) -> None:
    host, gate = serve_both("--max-requests", "5"), tmp_path / "gate"
    old = host.function(f"pid_{language}").call()
    holding = threads.submit(host.function(f"hold_{language}").call, file=str(gate))
    calls_until_another(host, language, old)
    assert not holding.done()
    assert psutil.pid_exists(old)
    gate.touch()
    assert holding.result(10) == old
    wait_until(lambda: old not in host.worker_pids(), 10, "end of the old worker")


@pytest.mark.parametrize("language", LANGUAGES)
def test_after_so_much_time(serve_both: StartHost, language: str) -> None:
    host = serve_both("--max-age", "0.3")
    first = host.function(f"pid_{language}").call()
    calls_until_another(host, language, first)


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_leak_is_held_at_its_limit(
    serve_both: StartHost, threads: ThreadPoolExecutor, language: str
) -> None:
    host = serve_both("--max-memory", "150mb")
    first = host.function(f"pid_{language}").call()
    leak, largest, calls = host.function(f"leak_{language}"), 0, 0
    while first in host.worker_pids():
        values = range(calls, calls + 40)
        assert list(threads.map(lambda n: leak.call(value=n, kb=64), values)) == list(values)
        calls += 40
        largest = max(largest, *map(memory, host.worker_pids()))
        assert largest < 450 * MB, "far over its limit"
        time.sleep(0.05)  # 50 MB a second: memory is looked at once a second
    assert largest > 100 * MB


def memory(pid: int) -> int:
    try:
        return int(psutil.Process(pid).memory_info().rss)
    except psutil.NoSuchProcess:
        return 0


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_function_that_fills_the_memory_is_stopped(serve_both: StartHost, language: str) -> None:
    host = serve_both("--max-memory", "120mb")
    with pytest.raises(ProcessError, match="grew past twice maxMemory"):
        host.function(f"fill_{language}", timeout=30).call()
    assert host.function(f"echo_{language}").call(value=1) == 1


def test_a_worker_stays_while_the_config_does_not_load(
    serve: StartHost, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    host = serve("host.config.js", JS, "--max-requests", "3")
    config, pid_of = tmp_path / "host.config.js", host.function("pid_js")
    config.write_text("module.exports = {")
    first = pid_of.call()
    for _ in range(50):
        assert pid_of.call() == first
    config.write_text(JS)
    calls_until_another(host, "js", first)


def test_what_a_host_says_of_it(serve: StartHost) -> None:
    host = serve("host.config.js", JS, "--max-requests", "3")
    for _ in range(6):
        host.function("pid_js").call()
    assert "worker 1 was recycled: maxRequests" in host.wait_for_log("recycled")
    assert host.status["config"]["maxRequests"] == 3


def test_an_included_config_has_limits_of_its_own(serve: StartHost, tmp_path: Path) -> None:
    (tmp_path / "host.config.js").write_text(JS + "module.exports.maxRequests = 3;")
    host = serve("host.config.py", PY + "\nmax_age = 1000\nmax_memory = '1gb'\n")
    js, py = host.function("pid_js"), host.function("pid_py")
    first = js.call(), py.call()
    calls_until_another(host, "js", first[0])
    for _ in range(10):
        assert py.call() == first[1]


def test_a_limit_that_is_too_small_is_said(serve: StartHost) -> None:
    host = serve("host.config.js", JS, "--max-memory", "1mb")
    assert host.function("pid_js").call() == host.function("pid_js").call()
    assert "maxMemory is 1 MB" in host.wait_for_log("before its first call")
