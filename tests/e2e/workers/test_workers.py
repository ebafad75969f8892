"""What hurts a worker hurts its own calls: deaths, endless loops, deadlines, hang-ups, queues."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import socket
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest
from support.hosts import RunningHost, StartHost, wait_until

from jshost.client.host import CallRequest
from jshost.exceptions import FunctionTimeout, HostUnavailable, ProcessError

pytestmark = pytest.mark.versions

JS = """
const fs = require('node:fs'), {spawn} = require('node:child_process');
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const note = ({file, text}) => fs.appendFileSync(file, text);
let here = 0, all = [];
module.exports = {functions: {
  pid_js: () => process.pid,
  async hold_js({file}) { while (!fs.existsSync(file)) await sleep(2); return process.pid; },
  note_js: note,
  async listen_js({file}) {
    note({file, text: 'began '});
    await new Promise((resolve) => this.signal.addEventListener('abort', resolve));
    note({file, text: this.signal.reason.name});
  },
  async together_js({count}) {
    if (++here === count) all.forEach((resolve) => resolve());
    else await new Promise((resolve) => all.push(resolve));
    return here;
  },
  die_js({code}) { process.stderr.write('last words'); process.exit(code); },
  die_before_child() { spawn('sleep', ['0.3'], {stdio: 'inherit'}); process.exit(1); },
  endless_js() { for (;;); },
  async microtask_js() { for (;;) await 0; },
}};
"""

PY = """
import asyncio, os, sys, time, jshost
include, here, everyone = ["host.config.js"], 0, None
def pid_py(): return os.getpid()
async def pid_async(): return os.getpid()
def hold_py(file):
    while not os.path.exists(file): time.sleep(0.002)
    return os.getpid()
async def hold_async(file):
    while not os.path.exists(file): await asyncio.sleep(0.002)
    return os.getpid()
def note(file, text):
    with open(file, "a") as notes: notes.write(text)
def listen_py(file):
    note(file, "began ")
    while not jshost.current_call().signal.aborted: time.sleep(0.002)
    note(file, "AbortError")
async def listen_async(file):
    note(file, "began ")
    try: await asyncio.sleep(60)
    except asyncio.CancelledError:
        note(file, "CancelledError")
        raise
async def together_py(count):
    global here, everyone
    everyone = everyone or asyncio.Event()
    here += 1
    if here == count: everyone.set()
    await everyone.wait()
    return here
def die_py(code):
    sys.stderr.write("last words\\n")
    os._exit(code)
def endless_py():
    while True: pass
def sleep_py(): time.sleep(60)
async def endless_async():
    while True: pass

functions = {name: value for name, value in globals().items() if type(value) is type(pid_py)}
"""

both_languages = pytest.mark.parametrize("language", ["js", "py"])


@pytest.fixture
def serve_both(serve: StartHost, tmp_path: Path) -> StartHost:
    """Start a host of both config files, which have a pool each."""
    (tmp_path / "host.config.js").write_text(JS)
    return lambda *flags: serve("host.config.py", PY, *flags)


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(32) as executor:
        yield executor


def workers_of(host: RunningHost, language: str) -> list[dict[str, Any]]:
    """The ready workers of that language's pool, as /status shows them."""
    workers = host.host.request_status()["workers"]
    return [w for w in workers if w["configFile"].endswith(language) and w["state"] == "ready"]


def wait_for_calls(host: RunningHost, count: int) -> None:
    """Wait until so many calls are with the workers."""
    status = host.host.request_status
    wait_until(lambda: sum(w["calls"] for w in status()["workers"]) == count, 5, f"{count} calls")


def outcome(call: Future[Any]) -> Any:
    """A call's result, or the error that it ended in."""
    return call.exception(10) or call.result()


def connect(host: RunningHost) -> socket.socket:
    return socket.create_connection(("127.0.0.1", host.status["config"]["port"]), 10)


def request(name: str, body: str) -> bytes:
    """A call as bytes, for clients that behave as ours does not."""
    head = f"POST /function/{name} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
    head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return (head + body).encode()


# Deaths


@both_languages
def test_a_function_that_ends_its_process(serve_both: StartHost, language: str) -> None:
    host = serve_both()
    workers = [host.function(f"pid_{language}").call()]
    for code in range(3):
        with pytest.raises(ProcessError) as caught:
            host.function(f"die_{language}").call(code=code)
        said = caught.value.message
        assert (caught.value.status, f"exit code {code}" in said) == (502, True)
        assert f"pid {workers[-1]}" in said
        assert said.endswith("last words")
        calls = f"ran these calls: die_{language} {caught.value.request_id}\n"
        host.wait_for_log(calls)
        workers.append(host.function(f"pid_{language}").call())
    assert len(set(workers)) == 4


@both_languages
def test_a_worker_that_is_killed(
    serve_both: StartHost, threads: ThreadPoolExecutor, gate: Path, language: str
) -> None:
    """Its calls fail at once; those of all other workers, and the next ones, do not."""
    host = serve_both("--workers", "2")
    status = host.host.request_status
    wait_until(lambda: str(status()["workers"]).count("ready") == 4, 5, "four ready workers")
    holds = [host.function(f"hold_{kind}", timeout=None) for kind in ("js", "py") for _ in range(4)]
    calls = [threads.submit(hold.call, file=str(gate)) for hold in holds]
    wait_for_calls(host, 8)
    victim = workers_of(host, language)[0]
    assert victim["calls"] == 2
    os.kill(victim["pid"], signal.SIGKILL)
    wait_until(lambda: sum(call.done() for call in calls) == 2, 5, "two failed calls")
    failures = [outcome(call) for call in calls if call.done()]
    assert [type(failure) for failure in failures] == [ProcessError] * 2
    assert "signal SIGKILL" in str(failures[0])
    assert host.function(f"pid_{language}").call() != victim["pid"]
    gate.touch()
    answers = [outcome(call) for call in calls if outcome(call) not in failures]
    assert (len(answers), victim["pid"] in answers) == (6, False)
    wait_until(lambda: len(workers_of(host, language)) == 2, 5, "new worker")


def test_calls_that_wait_outlive_the_worker(
    serve_both: StartHost, threads: ThreadPoolExecutor, gate: Path
) -> None:
    """A call that no worker has got yet is not lost with one."""
    host = serve_both("--concurrency", "1")
    [victim] = workers_of(host, "js")
    first = threads.submit(host.function("hold_js").call, file=str(gate))
    wait_for_calls(host, 1)
    waiting = [threads.submit(host.function("pid_js").call) for _ in range(5)]
    with pytest.raises(FunctionTimeout):
        host.function("pid_js", timeout=0.1).call()
    os.kill(victim["pid"], signal.SIGKILL)
    assert isinstance(outcome(first), ProcessError)
    pids = {outcome(call) for call in waiting}
    assert (len(pids), victim["pid"] in pids) == (1, False)


def test_no_call_is_given_to_a_dead_worker(serve: StartHost, threads: ThreadPoolExecutor) -> None:
    """Not even while its child holds its output open, and the host waits for last words."""
    host = serve("host.config.js", JS)
    worker = host.function("pid_js").call()
    dying = threads.submit(host.function("die_before_child").call)
    wait_until(lambda: not psutil.pid_exists(worker), 5, "death")
    assert host.function("pid_js").call() != worker
    assert isinstance(outcome(dying), ProcessError)


# Deadlines

ENDLESS = ["endless_js", "microtask_js", "endless_py", "sleep_py", "endless_async"]


@pytest.mark.parametrize("name", ENDLESS)
def test_an_endless_loop(serve_both: StartHost, name: str) -> None:
    """504 at its deadline, the next call works at once, the worker is replaced."""
    host, pid = serve_both(), "pid_" + name.rpartition("_")[2]
    before, stuck = set(host.worker_pids()), host.function(pid).call()
    began = time.monotonic()
    request = CallRequest(name, b"{}", timeout_s=0.4, headers={"X-Request-ID": "stuck-1"})
    answer = host.host.call(request).response()
    spent_s = time.monotonic() - began
    assert (answer.status_code, "limit of 0.4 s" in answer.text) == (504, True)
    assert spent_s >= 0.4
    host.function(pid, timeout=5).call()
    wait_until(lambda: stuck not in host.worker_pids(), 5, "end of the stuck worker")
    assert before - set(host.worker_pids()) == {stuck}
    assert f"did not drop a cancelled call; its calls: {name} stuck-1\n" in host.log_text()


def test_a_stuck_thread_does_not_hurt_its_neighbours(
    serve_both: StartHost, threads: ThreadPoolExecutor, gate: Path
) -> None:
    host = serve_both()
    worker = host.function("pid_py").call()
    names = ["hold_py", "hold_async", "hold_py"]
    neighbours = [threads.submit(host.function(name).call, file=str(gate)) for name in names]
    wait_for_calls(host, 3)
    with pytest.raises(FunctionTimeout):
        host.function("sleep_py", timeout=0.2).call()
    assert host.function("pid_py").call() == worker
    wait_until(lambda: host.function("pid_py").call() != worker, 5, "new worker")
    gate.touch()
    assert [outcome(neighbour) for neighbour in neighbours] == [worker] * 3
    wait_until(lambda: not psutil.pid_exists(worker), 5, "end of the stuck worker")


def test_a_call_that_never_began_holds_no_worker(
    serve: StartHost, threads: ThreadPoolExecutor, gate: Path
) -> None:
    """It waits for a thread until its deadline; nothing is stuck, so nothing is replaced."""
    host = serve(
        "host.config.py", PY.replace("include", "threads").replace('["host.config.js"]', "1")
    )
    running = threads.submit(host.function("hold_py").call, file=str(gate))
    wait_for_calls(host, 1)
    with pytest.raises(FunctionTimeout):
        host.function("pid_py", timeout=0.1).call()
    wait_for_calls(host, 1)
    [worker] = workers_of(host, "py")
    gate.touch()
    assert outcome(running) == worker["pid"] == host.function("pid_py").call()


def test_the_smaller_limit_counts(serve: StartHost, tmp_path: Path) -> None:
    host = serve("host.config.js", JS, "--function-timeout", "0.2")
    for timeout, limit in [(None, "0.2 s"), (9, "0.2 s"), (0.1, "0.1 s")]:
        with pytest.raises(FunctionTimeout, match=f"limit of {limit}"):
            host.function("listen_js", timeout=timeout).call(file=str(tmp_path / "told"))


@pytest.mark.parametrize("name", ["listen_js", "listen_py", "listen_async"])
def test_a_function_that_listens_is_told_and_keeps_its_worker(
    serve_both: StartHost, tmp_path: Path, name: str
) -> None:
    """Of its deadline, and of a caller who hung up."""
    host, notes = serve_both(), tmp_path / "notes"
    notes.touch()
    workers, error = host.worker_pids(), "Cancelled" if name == "listen_async" else "Abort"
    with pytest.raises(FunctionTimeout):
        host.function(name, timeout=0.3).call(file=str(notes))
    wait_until(lambda: notes.read_text() == f"began {error}Error", 5, "word of the deadline")
    notes.write_text("")
    with connect(host) as caller:
        caller.sendall(request(name, f'{{"file": "{notes}"}}'))
        wait_until(notes.read_text, 5, "begin of the call")
    wait_until(lambda: notes.read_text() == f"began {error}Error", 5, "word of the hang-up")
    wait_for_calls(host, 0)
    assert host.worker_pids() == workers


# Queues


@both_languages
def test_a_full_queue(
    serve_both: StartHost, threads: ThreadPoolExecutor, gate: Path, language: str
) -> None:
    host = serve_both("--concurrency", "2", "--max-queue", "3")
    hold = host.function(f"hold_{language}")
    held = [threads.submit(hold.send_request, file=str(gate)) for _ in range(9)]
    wait_until(lambda: sum(call.done() for call in held) == 4, 5, "four refused calls")
    for response in [call.result() for call in held if call.done()]:
        assert (response.status_code, response.json()["code"]) == (503, "queue_full")
        assert int(response.headers["retry-after"]) >= 1
    with pytest.raises(HostUnavailable, match="3 calls wait already"):
        host.function(f"pid_{language}").call()
    gate.touch()
    assert sorted(outcome(call).status_code for call in held) == [200] * 5 + [503] * 4


def test_a_call_that_is_given_up_in_the_queue_never_runs(
    serve_both: StartHost, threads: ThreadPoolExecutor, gate: Path, tmp_path: Path
) -> None:
    host, notes = serve_both("--concurrency", "1"), str(tmp_path / "notes")
    running = threads.submit(host.function("hold_js").call, file=str(gate))
    wait_for_calls(host, 1)
    with connect(host) as caller:
        caller.sendall(request("note_js", f'{{"file": "{notes}", "text": "a"}}'))
        host.host.request_status()  # by now it waits
    with pytest.raises(FunctionTimeout):
        host.function("note_js", timeout=0.1).call(file=notes, text="b")
    gate.touch()
    outcome(running)
    host.function("note_js").call(file=notes, text="c")
    assert Path(notes).read_text() == "c"


@both_languages
def test_a_thousand_calls_at_once(serve_both: StartHost, language: str) -> None:
    """None ends before all have begun; and a host may open as few files as systems often allow."""
    call = request(f"together_{language}", '{"count": 1000}')
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (1024, hard))
    try:
        host = serve_both()
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, hard), hard))
        with contextlib.ExitStack() as stack:
            callers = [stack.enter_context(connect(host)) for _ in range(1000)]
            for caller in callers:
                caller.sendall(call)
            answers = [caller.makefile("rb").read() for caller in callers]
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    ends = [(answer[:15], answer[-4:]) for answer in answers]
    assert ends == [(b"HTTP/1.1 200 OK", b"1000")] * 1000
