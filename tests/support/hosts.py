"""Real hosts that tests start, and what else tests of real processes share."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from jshost.function import Function
from jshost.host import JSHost

START_TIMEOUT_S = 20.0
STOP_TIMEOUT_S = 15.0


@dataclass
class RunningHost:
    """A real host process that a test started."""

    process: subprocess.Popen[str]
    status: dict[str, Any]
    log: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.status['config']['port']}"

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def host(self) -> JSHost:
        return JSHost(root_url=self.url)

    def function(self, name: str, **options: Any) -> Function:
        return Function(name, self.host, **options)

    def worker_pids(self) -> list[int]:
        return [worker["pid"] for worker in self.host.request_status()["workers"]]

    def log_text(self) -> str:
        return self.log.read_text(errors="replace")

    def wait_for_log(self, text: str, timeout_s: float = 5.0) -> str:
        """The log, as soon as it holds `text`."""
        wait_until(lambda: text in self.log_text(), timeout_s, f"{text!r} in the log")
        return self.log_text()

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal and wait for the end; returns the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(STOP_TIMEOUT_S)


def wait_until(condition: Callable[[], object], timeout_s: float, what: str) -> None:
    """Poll until the condition holds; fails the test when it does not within `timeout_s`."""
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end, f"no {what} within {timeout_s:g} s"
        time.sleep(0.005)


def cli(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run the command `jshost` to its end."""
    command = [sys.executable, "-m", "jshost", *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=60, check=False, **options
    )


_long_lived: set[int] = set()
"""Processes of hosts that a module's tests share, and their workers."""


StartHost = Callable[..., RunningHost]


def start_host(config: Path, log: Path, *flags: str, **options: Any) -> RunningHost:
    """Start `jshost serve CONFIG -p 0` and wait until it listens."""
    with log.open("w") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-m", "jshost", "serve", str(config), "-p", "0", "--json", *flags],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            **options,
        )
    assert process.stdout is not None
    try:
        line = process.stdout.readline()  # pytest-timeout bounds it
        assert line, f"the host did not start: {log.read_text()}"
        return RunningHost(process, json.loads(line), log)
    except BaseException:
        process.kill()
        process.wait(STOP_TIMEOUT_S)
        process.stdout.close()
        raise


def end_host(host: RunningHost) -> None:
    if host.process.poll() is None:
        host.process.terminate()
    try:
        host.process.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        host.process.kill()
        host.process.wait(STOP_TIMEOUT_S)
        raise
    finally:
        assert host.process.stdout is not None
        host.process.stdout.close()


def require(program: str, package: str) -> str:
    """The path of a system program; skips the test without it, fails it where CI must have it."""
    found = shutil.which(program)
    if found is None:
        message = f"{program} is not installed; install it with: apt-get install {package}"
        if os.environ.get("JSHOST_REQUIRE_ALL"):
            pytest.fail(message)
        pytest.skip(message)
    return found
