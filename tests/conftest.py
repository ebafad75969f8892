"""What tests share: real hosts on free ports, a runtime directory of their own, no leftovers."""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from support.hosts import RunningHost, StartHost, _long_lived, end_host, start_host

from jshost.conf import settings

_TESTS = Path(__file__).parent
_TASKS = Path("/proc/self/task")
_STARTS = {"subprocess.Popen", "os.fork", "os.forkpty", "os.posix_spawn"}
_test: pytest.Item | None = None

with contextlib.suppress(ImportError):  # the tests with several Djangos have no use for it
    import hypothesis

    hypothesis.settings.register_profile("fast", max_examples=5, derandomize=True)
    if os.environ.get("JSHOST_REQUIRE_ALL"):
        # CI says whether a change is right, by the same examples each time. `make test` explores.
        hypothesis.settings.register_profile("ci", derandomize=True)
        hypothesis.settings.load_profile("ci")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell has it ignored in what it starts with `&`, and so would the programs of the tests.
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark what is real; a module's tests share a worker, and the longest modules come first."""
    # For the processes of tests: bytecode is known by the second and the size of its source, and
    # a test rewrites a config sooner. pytest itself may write, so not before here.
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
    for item in items:
        folder, *_ = item.path.relative_to(_TESTS).parts
        if folder in ("e2e", "faults"):
            item.add_marker(pytest.mark.real)
        else:
            item.add_marker(pytest.mark.versions)
        item.add_marker(pytest.mark.xdist_group(str(item.path.relative_to(_TESTS))))
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: item.get_closest_marker("real") is None)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """A test that is marked `alone` waits for those of other processes, and they for it."""
    global _test
    _test = item
    how = fcntl.LOCK_SH if item.get_closest_marker("alone") is None else fcntl.LOCK_EX
    with Path(__file__).open() as lock:
        fcntl.flock(lock, how)
        try:
            return (yield)
        finally:
            fcntl.flock(lock, fcntl.LOCK_UN)  # a child that was forked may have the file open


def _audit(event: str, _: tuple[object, ...]) -> None:
    if event in _STARTS and _test is not None and _test.get_closest_marker("real") is None:
        raise RuntimeError(f"{event} in {_test.nodeid}: mark it `real`, or move it to tests/e2e")


sys.addaudithook(_audit)


@pytest.fixture(scope="session")
def _runtime_folders(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Names of folders that do not exist yet; `mktemp` would list all of them each time."""
    base = tmp_path_factory.mktemp("run")
    return (base / str(number) for number in itertools.count())


@pytest.fixture(autouse=True)
def own_runtime_folder(_runtime_folders: Iterator[Path]) -> Iterator[Path]:
    """Each test has records of hosts of its own, and settings do not leak between tests."""
    folder = next(_runtime_folders)
    folder.mkdir(mode=0o700)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_RUNTIME_DIR", str(folder))
        for name in list(os.environ):
            if name.startswith("JSHOST_") and name != "JSHOST_REQUIRE_ALL":
                patch.delenv(name)
        settings.reset()
        yield folder
    settings.reset()


@pytest.fixture(autouse=True)
def no_process_left(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fails a test that leaves a child process behind."""
    if request.node.get_closest_marker("real") is None:
        yield  # it cannot start any
        return
    before = {child.pid for child in _descendants()}
    yield
    end = time.monotonic() + 3
    left: list[psutil.Process] = []
    while time.monotonic() < end:
        children = _descendants()
        left = [c for c in children if c.pid not in before | _long_lived and _runs(c)]
        if not left:
            return
        time.sleep(0.01)
    commands = [" ".join(child.cmdline()) for child in left]
    for child in left:
        child.kill()
    pytest.fail(f"processes left behind: {commands}")


def _descendants() -> list[psutil.Process]:
    """The children of this process, and theirs; psutil reads all processes of the machine."""
    with contextlib.suppress(OSError):  # Linux only
        lists = [path.read_bytes() for path in _TASKS.glob("*/children")]
        if lists and not any(lists):
            return []
    return psutil.Process().children(recursive=True)


def _runs(process: psutil.Process) -> bool:
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[Path]:
    """The file that functions of a test wait for; it is there at the end, whatever happens."""
    yield tmp_path / "gate"
    (tmp_path / "gate").touch()


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
