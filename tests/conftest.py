"""What tests share: real hosts on free ports, a runtime directory of their own, no leftovers."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from jshost.conf import settings
from jshost.function import Function
from jshost.host import JSHost

START_TIMEOUT_S = 20.0
STOP_TIMEOUT_S = 15.0

if os.environ.get("JSHOST_REQUIRE_ALL"):
    # CI says whether a change is right, by the same examples each time. `make test` explores.
    with contextlib.suppress(ImportError):  # the tests with several Djangos have no use for it
        import hypothesis

        hypothesis.settings.register_profile("ci", derandomize=True)
        hypothesis.settings.load_profile("ci")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell has it ignored in what it starts with `&`, and so would the programs of the tests.
    signal.signal(signal.SIGINT, signal.default_int_handler)


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


@pytest.fixture(autouse=True)
def own_runtime_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Records of a test's hosts are nobody else's, and settings do not leak between tests."""
    folder = tmp_path_factory.mktemp("run")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_RUNTIME_DIR", str(folder))
        for name in list(os.environ):
            if name.startswith("JSHOST_") and name != "JSHOST_REQUIRE_ALL":
                patch.delenv(name)
        settings.reset()
        yield folder
    settings.reset()


@pytest.fixture(autouse=True)
def no_process_left() -> Iterator[None]:
    """Fails a test that leaves a child process behind."""
    before = {child.pid for child in psutil.Process().children(recursive=True)}
    yield
    end = time.monotonic() + 3
    left: list[psutil.Process] = []
    while time.monotonic() < end:
        children = psutil.Process().children(recursive=True)
        left = [c for c in children if c.pid not in before | _long_lived and _runs(c)]
        if not left:
            return
        time.sleep(0.01)
    commands = [" ".join(child.cmdline()) for child in left]
    for child in left:
        child.kill()
    pytest.fail(f"processes left behind: {commands}")


_long_lived: set[int] = set()
"""Processes of hosts that a module's tests share, and their workers."""


def _runs(process: psutil.Process) -> bool:
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


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


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[StartHost]:
    """Start hosts: `serve("host.config.js", "module.exports = …", "--workers", "2")`.

    The text is written to that name in the test's folder; None takes a file that is there.
    """
    hosts: list[RunningHost] = []

    def start(name: str, text: str | None = None, *flags: str, **options: Any) -> RunningHost:
        config = tmp_path / name
        if text is not None:
            config.parent.mkdir(parents=True, exist_ok=True)
            config.write_text(text)
        host = start_host(config, tmp_path / f"host-{len(hosts)}.log", *flags, **options)
        hosts.append(host)
        return host

    yield start
    for host in hosts:
        end_host(host)


@pytest.fixture(scope="module")
def shared_host(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningHost]:
    """One host for all tests of a module, of the config files in its dict `CONFIG`.

    The dict maps file names to texts; the first is the one that is served.
    """
    folder = tmp_path_factory.mktemp("shared")
    for name, text in request.module.CONFIG.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    environment = {**os.environ, "XDG_RUNTIME_DIR": str(folder)}
    first = next(iter(request.module.CONFIG))
    flags = getattr(request.module, "FLAGS", ())
    host = start_host(folder / first, folder / "host.log", *flags, env=environment)
    process = psutil.Process(host.pid)
    pids = {host.pid} | {child.pid for child in process.children(recursive=True)}
    _long_lived.update(pids)
    yield host
    end_host(host)
    _long_lived.difference_update(pids)


def require(program: str, package: str) -> str:
    """The path of a system program; skips the test without it, fails it where CI must have it."""
    found = shutil.which(program)
    if found is None:
        message = f"{program} is not installed; install it with: apt-get install {package}"
        if os.environ.get("JSHOST_REQUIRE_ALL"):
            pytest.fail(message)
        pytest.skip(message)
    return found
