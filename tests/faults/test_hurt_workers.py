"""Workers that are killed, stopped, stuck, filled, flooded, while 32 callers call.

Every call ends with its own answer or an error that says what happened, and in time; soon after the
last fault all is well.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest
from support.callers import CONFIG, JS, Callers, simple_call
from support.extent import SEED, Gain, by_hand, report
from support.hosts import RunningHost, StartHost, wait_until

from jshost.discovery.records import runtime_folder
from jshost.exceptions import FunctionTimeout, JSHostError, ProcessError

SECONDS = by_hand(60, 6)
CALLERS = 32
TIMEOUT_S = 5.0

pytestmark = pytest.mark.timeout(by_hand(300, 90))

Fault = Callable[[RunningHost, random.Random], None]


def kill(host: RunningHost, rng: random.Random, number: int = signal.SIGKILL) -> None:
    workers = host.host.request_status()["workers"]
    # one that is stopped while it starts has startTimeout, a minute: nobody can tell it from slow
    ready = [worker["pid"] for worker in workers if worker["state"] == "ready"]
    if ready or number == signal.SIGKILL:
        with contextlib.suppress(ProcessLookupError):
            os.kill(rng.choice(ready or [worker["pid"] for worker in workers]), number)


def stop(host: RunningHost, rng: random.Random) -> None:
    kill(host, rng, signal.SIGSTOP)


def loop(host: RunningHost, rng: random.Random) -> None:
    """An endless loop: in JavaScript it blocks all the calls of its worker."""
    function = host.function(f"endless_{rng.choice(['js', 'py'])}", timeout=0.5)
    with pytest.raises((FunctionTimeout, ProcessError)):
        function.call()


def fill(host: RunningHost, rng: random.Random) -> None:
    """A function that fills the memory, up to twice maxMemory."""
    function = host.function(f"fill_{rng.choice(['js', 'py'])}", timeout=30)
    with pytest.raises(ProcessError, match="grew past twice maxMemory"):
        function.call()


def flood(host: RunningHost, rng: random.Random) -> None:
    language, lines = rng.choice(["js", "py"]), 5000
    assert host.function(f"flood_{language}", timeout=30).call(lines=lines) == lines


def hurt(host: RunningHost, fault: Fault, settle_s: float) -> Callers:
    """One fault a second under load; then all is well within `settle_s`."""
    rng = random.Random(SEED)
    for name in ("js", "py"):  # both pools have loaded
        assert host.function(f"echo_{name}").call(value=1) == 1
    faults, end = 0, time.monotonic() + SECONDS
    with Callers(host, CALLERS, TIMEOUT_S, simple_call) as callers:
        while time.monotonic() < end:
            began = time.monotonic()
            fault(host, rng)
            faults += 1
            time.sleep(max(1.0 - (time.monotonic() - began), 0))
        well = time.monotonic() - 1.0 + settle_s  # the last fault was a second ago
        time.sleep(max(well - time.monotonic(), 0) + 2)
    report(
        f"{faults} faults, {len(callers.outcomes)} calls; failed: {dict(callers.kinds())}; the "
        f"slowest took {max(o.ended - o.began for o in callers.outcomes):.2f} s"
    )
    assert callers.broken == []
    assert callers.late() == []
    assert callers.failed_after(well) == []
    assert host.host.request_status()["ready"]
    wait_until(lambda: states(host) == ["ready"] * 4, 10, "four workers")
    return callers


def states(host: RunningHost) -> list[str]:
    return [worker["state"] for worker in host.host.request_status()["workers"]]


@pytest.fixture
def hurt_host(serve: StartHost, tmp_path: Path) -> Callable[..., RunningHost]:
    """Start a host with two workers for each language."""

    def start(*flags: str) -> RunningHost:
        (tmp_path / "host.config.js").write_text(JS)
        host = serve("host.config.py", CONFIG, "--workers", "2", *flags)
        wait_until(lambda: states(host) == ["ready"] * 4, 20, "four workers")
        return host

    return start


def ends_well(host: RunningHost) -> None:
    """It stops as ever, and leaves no worker, record or socket."""
    pids = host.worker_pids()
    assert host.stop() == 0
    wait_until(lambda: not any(map(runs, pids)), 5, "end of all workers")
    assert list(runtime_folder().iterdir()) == []


def runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_killed(hurt_host: Callable[..., RunningHost]) -> None:
    host = hurt_host()
    callers = hurt(host, kill, settle_s=1.0)
    assert set(callers.kinds()) <= {"ProcessError"}
    ends_well(host)


def test_stopped(hurt_host: Callable[..., RunningHost]) -> None:
    """Nobody knows of it before a call's deadline has passed: then it is given up."""
    host = hurt_host()
    callers = hurt(host, stop, settle_s=TIMEOUT_S + 3.0)
    assert set(callers.kinds()) <= {"FunctionTimeout", "ProcessError"}
    ends_well(host)


def test_stuck_in_endless_loops(hurt_host: Callable[..., RunningHost]) -> None:
    """A loop a second is more than four workers take: calls wait, and some for too long."""
    host = hurt_host()
    callers = hurt(host, loop, settle_s=3.0)
    assert set(callers.kinds()) <= {"FunctionTimeout", "ProcessError"}
    ends_well(host)


def test_filled(hurt_host: Callable[..., RunningHost]) -> None:
    host = hurt_host("--max-memory", "200mb")
    callers = hurt(host, fill, settle_s=1.0)
    assert set(callers.kinds()) <= {"ProcessError"}
    ends_well(host)


def test_flooded(hurt_host: Callable[..., RunningHost]) -> None:
    host = hurt_host()
    gain = Gain(host.pid)
    callers = hurt(host, flood, settle_s=1.0)
    assert callers.failed == []
    assert gain.megabytes < 50
    ends_well(host)


def test_with_a_full_disk_under_the_log(
    hurt_host: Callable[..., RunningHost], tmp_path: Path
) -> None:
    """What is printed is lost; nothing else is."""
    log = tmp_path / "full.log"
    log.symlink_to("/dev/full")
    host = hurt_host("-l", str(log))
    gain = Gain(host.pid)

    def kill_and_flood(host: RunningHost, rng: random.Random) -> None:
        with contextlib.suppress(JSHostError):
            flood(host, rng)
        kill(host, rng)

    callers = hurt(host, kill_and_flood, settle_s=1.0)
    assert set(callers.kinds()) <= {"ProcessError"}
    assert host.log_text().count("lines are lost") == 1
    assert gain.megabytes < 50
    ends_well(host)


def test_a_leak_is_held_and_no_call_fails(hurt_host: Callable[..., RunningHost]) -> None:
    """Functions that leak 128 kB with each call."""
    host, limit_mb = hurt_host("--max-memory", "150mb"), 150
    calls, largest, slowest = by_hand(100_000, 6000), 0.0, 0.0
    leaks = [host.function(f"leak_{language}", timeout=30) for language in ("js", "py")]

    def call(number: int) -> float:
        began = time.monotonic()
        assert leaks[number % 2].call(value=number, kb=128) == number
        return time.monotonic() - began

    with ThreadPoolExecutor(16) as threads:
        for first in range(0, calls, 500):
            slowest = max(slowest, *threads.map(call, range(first, first + 500)))
            largest = max(largest, *map(megabytes, host.worker_pids()))
    recycled = host.log_text().count("was recycled: maxMemory")
    report(
        f"{calls} calls, {recycled} workers recycled, the largest had {largest:.0f} MB "
        f"(limit {limit_mb}), the slowest call took {slowest * 1000:.0f} ms"
    )
    assert largest < 2 * limit_mb
    assert recycled >= calls * 128 / 1024 / (2 * limit_mb) - 4, "all of them, again and again"
    ends_well(host)


def megabytes(pid: int) -> float:
    with contextlib.suppress(psutil.Error):
        return float(psutil.Process(pid).memory_info().rss) / 2**20
    return 0.0
