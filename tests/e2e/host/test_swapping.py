"""SIGHUP and `jshost reload`: fresh workers, new code, new options, and no call lost."""

from __future__ import annotations

import os
import pty
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from support.hosts import RunningHost, StartHost, cli, wait_until

from jshost.exceptions import FunctionNotFound, HostUnavailable, RemoteError

JS = """
const fs = require('node:fs');
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
module.exports = {functions: {
  version: ({n}) => ['one', n],
  pid: () => process.pid,
  async hold({file}) { while (!fs.existsSync(file)) await sleep(2); return process.pid; },
}};
"""
PY = 'include = ["host.config.js"]\nworkers = 2\nfunctions = {}\n'
SLOW = "import time, pathlib\npathlib.Path(__file__).with_name('begun').touch()\ntime.sleep(60)\n"


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(8) as executor:
        yield executor


@pytest.fixture
def served(serve: StartHost, tmp_path: Path) -> RunningHost:
    """A host with two config files, and two workers for each."""
    (tmp_path / "host.config.js").write_text(JS)
    host = serve("host.config.py", PY)
    wait_until(lambda: ready_count(host) == 4, 10, "four workers")
    return host


def ready_count(host: RunningHost) -> int:
    workers = host.host.request_status()["workers"]
    return sum(worker["state"] == "ready" for worker in workers)


def reload(host: RunningHost, *arguments: str) -> subprocess.CompletedProcess[str]:
    return cli("reload", host.status["config"]["configFile"], *arguments)


def reloaded(host: RunningHost, *arguments: str) -> None:
    done = reload(host, *arguments)
    assert (done.returncode, done.stderr) == (0, "")
    assert f"pid {host.pid}" in done.stdout


def wait_for_calls(host: RunningHost, count: int) -> None:
    status = host.host.request_status
    wait_until(lambda: sum(w["calls"] for w in status()["workers"]) == count, 5, f"{count} calls")


def test_new_code_under_load(
    served: RunningHost, threads: ThreadPoolExecutor, tmp_path: Path
) -> None:
    config, is_over = tmp_path / "host.config.js", Event()
    version = served.function("version")

    def call_on(first: int) -> set[str]:
        versions, n = set(), first
        while not is_over.is_set():
            n += 8
            name, back = version.call(n=n)
            assert back == n
            versions.add(name)
        return versions

    callers = [threads.submit(call_on, first) for first in range(7)]
    seen = {"one"}
    for name in ("two", "three", "four"):
        config.write_text(JS.replace("'one'", f"'{name}'"))
        reloaded(served)
        assert served.function("version").call(n=1) == [name, 1]
        seen.add(name)
    is_over.set()
    for caller in callers:
        assert caller.result(10) <= seen
    assert "four" in set.union(*(caller.result() for caller in callers))
    wait_until(lambda: len(served.worker_pids()) == 4, 5, "end of old workers")


def test_calls_in_flight_are_finished_by_the_old_workers(
    served: RunningHost, threads: ThreadPoolExecutor, gate: Path
) -> None:
    old = served.function("pid").call()
    holding = threads.submit(served.function("hold", timeout=60).call, file=str(gate))
    wait_for_calls(served, 1)
    for _ in range(2):
        reloaded(served)
    assert served.function("pid").call() != old
    states = {w["pid"]: w["state"] for w in served.host.request_status()["workers"]}
    assert states[old] == "retiring"
    assert list(states.values()).count("ready") == 4
    assert not holding.done()
    gate.touch()
    assert holding.result(5) == old
    wait_until(lambda: old not in served.worker_pids(), 5, "end of the old worker")


def test_functions_and_options_are_new(served: RunningHost, tmp_path: Path) -> None:
    (tmp_path / "host.config.js").write_text(
        "module.exports = {functionTimeout: 7, functions: {other: () => 1}};"
    )
    (tmp_path / "host.config.py").write_text(
        'include = ["host.config.js"]\nworkers = 1\nmax_requests = 9\nrequest_data_limit = 30\n'
        "address = '127.0.0.2'\ndef more(text): return len(text)\nfunctions = {'more': more}\n"
    )
    assert served.function("version").call(n=1) == ["one", 1]
    reloaded(served)
    assert served.function("other").call() == 1
    assert served.function("more").call(text="abc") == 3
    with pytest.raises(FunctionNotFound):
        served.function("version").call(n=1)
    with pytest.raises(RemoteError, match="30"):
        served.function("more").call(text="abc" * 10)
    config = served.host.request_status()["config"]
    assert config["maxRequests"] == 9
    assert [pool["functionTimeout"] for pool in config["pools"]] == [None, 7]
    assert ready_count(served) == 2
    assert config["address"] == "127.0.0.1", "it listens where it did"
    assert "effect when the host is restarted: address" in served.log_text()


BROKEN = {
    "a syntax error": ("host.config.js", "module.exports = {", "SyntaxError"),
    "a wrong option": ("host.config.py", PY + "\nmax_memory = 'much'", "max_memory"),
    "an included file that is gone": ("host.config.py", 'include = ["no.js"]', "no.js"),
    "a name twice": ("host.config.py", PY + "\nfunctions = {'pid': id}", "already been defined"),
}


@pytest.mark.parametrize(("name", "text", "said"), BROKEN.values(), ids=list(BROKEN))
def test_what_does_not_load_changes_nothing(
    served: RunningHost, tmp_path: Path, name: str, text: str, said: str
) -> None:
    before = set(served.worker_pids())
    (tmp_path / name).write_text(text)
    done = reload(served)
    assert done.returncode == 1
    assert said in done.stderr
    assert "keeps the workers it had" in done.stderr
    assert said in served.log_text()
    assert set(served.worker_pids()) == before
    assert served.function("version").call(n=1) == ["one", 1]
    (tmp_path / "host.config.js").write_text(JS.replace("'one'", "'two'"))
    (tmp_path / "host.config.py").write_text(PY)
    reloaded(served)
    assert served.function("version").call(n=1) == ["two", 1]


def test_one_of_several_hosts(served: RunningHost, serve: StartHost) -> None:
    other = serve("host.config.py", None)
    before = {host.pid: set(host.worker_pids()) for host in (served, other)}
    assert cli("reload", "--url", other.url).returncode == 0
    assert set(served.worker_pids()) == before[served.pid]
    wait_until(lambda: before[other.pid].isdisjoint(other.worker_pids()), 10, "end of old workers")
    done = reload(served)
    assert done.stdout.count("runs fresh workers") == 2


def test_nothing_to_reload(tmp_path: Path) -> None:
    (tmp_path / "host.config.js").write_text(JS)
    for arguments in ([str(tmp_path / "host.config.js")], ["--url", "http://127.0.0.1:9"]):
        done = cli("reload", *arguments)
        assert done.returncode == 1
        assert "jshost status" in done.stderr


def test_a_reload_that_takes_too_long_is_said(served: RunningHost, tmp_path: Path) -> None:
    (tmp_path / "host.config.py").write_text(SLOW + PY)
    done = reload(served, "--timeout", "0.5")
    assert done.returncode == 1
    assert "not done within 0.5 s" in done.stderr
    assert served.function("version").call(n=1) == ["one", 1]


def test_a_host_that_stops_while_it_loads(served: RunningHost, tmp_path: Path) -> None:
    (tmp_path / "host.config.py").write_text(SLOW + PY)
    served.process.send_signal(signal.SIGHUP)
    wait_until((tmp_path / "begun").exists, 5, "begin of loading")
    assert served.stop() == 0


def test_a_host_that_stops_lets_older_workers_finish(
    served: RunningHost, threads: ThreadPoolExecutor, gate: Path
) -> None:
    old = served.function("pid").call()
    holding: Future[Any] = threads.submit(served.function("hold", timeout=60).call, file=str(gate))
    wait_for_calls(served, 1)
    reloaded(served)
    served.process.terminate()
    served.wait_for_log("stopping")
    gate.touch()
    assert holding.result(5) == old
    assert served.process.wait(5) == 0


def test_a_second_signal_ends_older_workers_too(
    served: RunningHost, threads: ThreadPoolExecutor, gate: Path
) -> None:
    holding = threads.submit(served.function("hold", timeout=60).call, file=str(gate))
    wait_for_calls(served, 1)
    reloaded(served)
    served.process.terminate()
    served.wait_for_log("stopping")
    served.process.terminate()
    served.process.wait(5)
    assert isinstance(holding.exception(5), RemoteError | ConnectionError | HostUnavailable)


def test_edited_code_is_still_found(serve: StartHost, tmp_path: Path) -> None:
    host = serve("host.config.js", JS, "--reload")
    reloaded(host)
    (tmp_path / "host.config.js").write_text(JS.replace("'one'", "'two'"))
    assert host.function("version").call(n=1) == ["two", 1]


def test_the_log_is_opened_anew(serve: StartHost, tmp_path: Path) -> None:
    log = tmp_path / "host.log"
    host = serve("host.config.js", JS, "-l", str(log))
    log.rename(tmp_path / "host.log.1")
    host.process.send_signal(signal.SIGHUP)
    wait_until(lambda: log.exists() and "fresh workers" in log.read_text(), 10, "new log")
    assert "fresh workers" not in (tmp_path / "host.log.1").read_text()


@pytest.mark.skipif(sys.platform != "linux", reason="other systems hang up in other ways")
def test_a_terminal_that_is_closed_ends_its_host(tmp_path: Path) -> None:
    (tmp_path / "host.config.js").write_text(JS)
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "jshost", "serve", "-p", "0", "host.config.js"]
    process = subprocess.Popen(
        command,
        cwd=tmp_path,
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        os.close(theirs)
        assert process.stdout is not None
        assert "listens" in process.stdout.readline()
        os.close(ours)
        process.send_signal(signal.SIGHUP)
        assert process.wait(5) == 0
    finally:
        process.kill()
        process.wait()
        process.stdout.close()  # type: ignore[union-attr]


def test_a_request_that_comes_during_the_swap_is_asked_by_the_new_options(
    serve: StartHost, tmp_path: Path
) -> None:
    (tmp_path / "host.config.js").write_text(JS)
    host = serve("host.config.py", PY + 'allowed_origins = ["http://shop.example"]\n')
    head = (
        b"POST /function/pid HTTP/1.1\r\nHost: localhost\r\nOrigin: http://shop.example\r\n"
        b"Content-Type: application/json\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", host.status["config"]["port"]), 10) as caller:
        caller.sendall(head)
        assert caller.recv(1024).startswith(b"HTTP/1.1 100 ")
        (tmp_path / "host.config.py").write_text(PY)
        reloaded(host)
        caller.sendall(b"{}")
        assert caller.recv(4096).startswith(b"HTTP/1.1 403 ")
