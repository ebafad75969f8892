"""Who stops waiting stops the work: tasks that are cancelled, clients that die, deadlines."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from support.hosts import RunningHost, StartHost, wait_until

from jshost.client.batch import abatch
from jshost.exceptions import FunctionTimeout

CONFIG_PY = """
import asyncio
import threading
import time
import jshost
begun, stopped = set(), set()

async def work(key):
    begun.add(key)
    try:
        await asyncio.sleep(60)
    except asyncio.CancelledError:
        stopped.add(key)
        raise

def plain_work(key):
    begun.add(key)
    while not jshost.current_call().signal.aborted:
        time.sleep(0.002)
    stopped.add(key)

async def state(key):
    return [key in begun, key in stopped]

functions = {"work": work, "plain_work": plain_work, "state": state}
"""
CONFIG_JS = """
const begun = new Set(), stopped = new Set();
exports.functions = {
  work({key}) {
    begun.add(key);
    return new Promise((resolve, reject) => {
      const signal = this.signal;
      signal.addEventListener('abort', () => { stopped.add(key); reject(signal.reason); });
    });
  },
  plain_work({key}, cb) {
    begun.add(key);
    const look = () => {
      if (this.signal.aborted) { stopped.add(key); cb(null, null); } else setTimeout(look, 2);
    };
    look();
  },
  state: ({key}) => [begun.has(key), stopped.has(key)],
};
"""
CONFIGS = {"host.config.py": CONFIG_PY, "host.config.js": CONFIG_JS}
TIMEOUT_S = 10.0
SLOTS = 2
"""So many calls at once: one that works, and one that asks for its state."""


@pytest.fixture(params=CONFIGS)
def host(request: pytest.FixtureRequest, serve: StartHost) -> RunningHost:
    flags = ("--workers", "1", "--concurrency", str(SLOTS))
    return serve(request.param, CONFIGS[request.param], *flags)


works = pytest.mark.parametrize("name", ["work", "plain_work"])


def state(host: RunningHost, key: str) -> list[bool]:
    """Whether the work has begun, and has learned that it is to stop."""
    found: list[bool] = host.function("state").call(key=key)
    return found


def wait_for_stop(host: RunningHost, *keys: str) -> None:
    """Until the work has stopped, and its slots are free: all of them take calls again."""
    for key in keys:
        wait_until(lambda k=key: state(host, k)[1], TIMEOUT_S, f"stop of {key}")
    wait_until(lambda: running(host) == 0, TIMEOUT_S, "free slots")
    with ThreadPoolExecutor(SLOTS) as threads:
        answers = threads.map(lambda n: state(host, f"other {n}"), range(10))
        assert list(answers) == [[False, False]] * 10


def running(host: RunningHost) -> int:
    """How many calls its workers run."""
    return sum(worker["calls"] for worker in host.host.request_status()["workers"])


@works
def test_cancelling_a_task(host: RunningHost, name: str) -> None:
    async def main() -> None:
        for key in ("one", "two", "three", "four"):  # more than there are slots
            task = asyncio.create_task(host.function(name).acall(key=key))
            while not (await host.function("state").acall(key=key))[0]:
                await asyncio.sleep(0.002)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            while not (await host.function("state").acall(key=key))[1]:
                await asyncio.sleep(0.002)

    asyncio.run(asyncio.wait_for(main(), 4 * TIMEOUT_S))
    wait_for_stop(host, "four")


@works
def test_a_timeout_around_an_acall(host: RunningHost, name: str) -> None:
    async def main() -> None:
        async with asyncio.timeout(0.3):
            await host.function(name).acall(key="one")

    with pytest.raises(TimeoutError):
        asyncio.run(main())
    wait_for_stop(host, "one")


@works
def test_a_deadline(host: RunningHost, name: str) -> None:
    with pytest.raises(FunctionTimeout, match=f"^{name}: .*0.2 s"):
        host.function(name, timeout=0.2).call(key="one")
    with pytest.raises(FunctionTimeout, match=f"^{name}: .*0.2 s"):
        asyncio.run(host.function(name).with_timeout(0.2).acall(key="two"))
    with pytest.raises(FunctionTimeout, match=f"^{name}: .*0.2 s"):
        list(host.function(name, timeout=0.2).stream(key="three"))
    (answer,) = host.function(name, timeout=0.2).map([{"key": "four"}])
    assert isinstance(answer, FunctionTimeout)
    wait_for_stop(host, "one", "two", "three", "four")


async def until_busy(host: RunningHost) -> None:
    async with asyncio.timeout(TIMEOUT_S):
        while await asyncio.to_thread(running, host) < SLOTS:
            await asyncio.sleep(0.002)


@works
def test_a_batch_that_is_cancelled(host: RunningHost, name: str) -> None:
    """Those of its calls that have not begun never do."""

    async def main() -> None:
        function = host.function(name)
        task = asyncio.create_task(abatch((function, {"key": f"{n}"}) for n in range(5)))
        await until_busy(host)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    wait_for_stop(host, "0", "1")
    assert [state(host, f"{n}") for n in (2, 3, 4)] == [[False, False]] * 3


CLIENT = """
import asyncio, sys
from jshost.function import Function
from jshost.host import JSHost
url, name, how = sys.argv[1:]
function = Function(name, JSHost(root_url=url), timeout=None)
if how == "call":
    function.call(key="one")
elif how == "acall":
    asyncio.run(function.acall(key="one"))
elif how == "stream":
    list(function.stream(key="one"))
else:
    function.map([{"key": "one"}])
"""


@works
@pytest.mark.parametrize("how", ["call", "acall", "stream", "map"])
def test_a_client_that_is_killed(host: RunningHost, name: str, how: str) -> None:
    client = subprocess.Popen([sys.executable, "-c", CLIENT, host.url, name, how])
    try:
        wait_until(lambda: state(host, "one")[0], TIMEOUT_S, "begin of the work")
        assert state(host, "one") == [True, False]
    finally:
        os.kill(client.pid, signal.SIGKILL)
        client.wait(TIMEOUT_S)
    wait_for_stop(host, "one")


@works
def test_a_client_that_resets_its_connection(host: RunningHost, name: str) -> None:
    body = json.dumps({"key": "one"}).encode()
    address = ("127.0.0.1", host.status["config"]["port"])
    with socket.create_connection(address, TIMEOUT_S) as sock:
        sock.sendall(
            b"POST /function/%s HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            b"Content-Length: %d\r\n\r\n%s" % (name.encode(), len(body), body)
        )
        wait_until(lambda: state(host, "one")[0], TIMEOUT_S, "begin of the work")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
    wait_for_stop(host, "one")


def test_a_call_that_waits_in_the_queue_and_is_cancelled_never_begins(host: RunningHost) -> None:
    async def main() -> None:
        work = host.function("work")
        tasks = [asyncio.create_task(work.acall(key=f"busy {n}")) for n in range(SLOTS)]
        await until_busy(host)
        queued = asyncio.create_task(work.with_timeout(0.2).acall(key="timed out"))
        with pytest.raises(FunctionTimeout):
            await queued
        tasks.append(asyncio.create_task(work.acall(key="cancelled")))
        await asyncio.sleep(0.05)  # long enough to arrive; the test holds without it
        for task in reversed(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    asyncio.run(main())
    wait_for_stop(host, *(f"busy {n}" for n in range(SLOTS)))
    assert state(host, "timed out") == [False, False]
    begun, stopped = state(host, "cancelled")
    assert begun == stopped, "begun between two cancels, at most"
