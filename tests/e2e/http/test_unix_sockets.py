"""Hosts on unix sockets: asked for with --uds, or used by themselves on the same machine."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import stat
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest
from support.hosts import RunningHost, StartHost, cli, wait_until

from jshost.conf import settings
from jshost.discovery import records
from jshost.exceptions import ConnectionError
from jshost.function import Function
from jshost.host import JSHost

CONFIG = """
import asyncio, os

async def wait(path):
    while not os.path.exists(path):
        await asyncio.sleep(0.002)

async def count(to):
    for number in range(to):
        yield number

functions = {"echo": lambda value: value, "wait": wait, "count": count, "pid": os.getppid}
"""
TIMEOUT_S = 10.0


@pytest.fixture
def folder() -> Iterator[Path]:
    """One with a short path, as sockets need it."""
    with tempfile.TemporaryDirectory(prefix="jshost") as path:
        yield Path(path)


def function(path: Path, name: str = "echo", **options: Any) -> Function:
    return Function(name, JSHost(root_url=f"unix://{path}"), **options)


def listens_on(host: RunningHost) -> list[tuple[str, Any]]:
    found = psutil.Process(host.pid).net_connections("all")
    return [
        (str(each.family.name), each.laddr)
        for each in found
        if each.status == psutil.CONN_LISTEN
        or (each.family == socket.AF_UNIX and str(each.laddr).endswith(".sock"))
    ]


def test_a_host_on_a_socket(serve: StartHost, folder: Path) -> None:
    path = folder / "host.sock"
    host = serve("host.config.py", CONFIG, "--uds", str(path))
    assert stat.S_ISSOCK(path.stat().st_mode)
    assert {kind for kind, _ in listens_on(host)} == {"AF_UNIX"}, "and on nothing else"
    echo = function(path)
    for value in (None, "größe", [1, {"a": None}], b"\x00\xff", "x" * 5_000_000):
        assert echo.call(value=value) == value
        assert asyncio.run(echo.acall(value=value)) == value
    assert list(function(path, "count").stream(to=1000)) == list(range(1000))
    assert echo.map({"value": n} for n in range(10)) == list(range(10))
    assert echo.get_host().request_status()["pid"] == host.pid
    with ThreadPoolExecutor(16) as threads:
        found = threads.map(lambda n: echo.call(value=n), range(500))
        assert list(found) == list(range(500))
    assert host.stop() == 0
    assert list(folder.iterdir()) == []


def test_the_setting_root_url(serve: StartHost, folder: Path) -> None:
    host = serve("host.config.py", CONFIG, "--uds", str(folder / "host.sock"))
    settings.configure(ROOT_URL=f"unix://{folder}/host.sock")
    assert Function("pid").call() == host.pid


def test_a_host_on_a_socket_is_found_by_its_config_file(
    serve: StartHost, folder: Path, tmp_path: Path
) -> None:
    host = serve("host.config.py", CONFIG, "--uds", str(folder / "host.sock"))
    settings.configure(SOURCE_ROOT=tmp_path)
    found = JSHost(tmp_path / "host.config.py")
    assert found.get_url() == f"unix://{folder}/host.sock"
    assert Function("pid", found).call() == host.pid


def test_a_relative_path_is_relative_to_where_the_host_starts(
    serve: StartHost, folder: Path
) -> None:
    serve("host.config.py", CONFIG, "--uds", "host.sock", cwd=folder)
    assert function(folder / "host.sock").call(value=1) == 1


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_curl(serve: StartHost, folder: Path) -> None:
    serve("host.config.py", CONFIG, "--uds", str(folder / "host.sock"))
    done = subprocess.run(
        ["curl", "-s", "--unix-socket", folder / "host.sock", "http://localhost/function/echo",
         "-H", "Content-Type: application/json", "-d", '{"value": 40}'],
        capture_output=True, timeout=TIMEOUT_S, check=True,
    )  # fmt: skip
    assert done.stdout == b"40"


# Found hosts


def test_a_found_host_is_called_over_its_socket(
    serve: StartHost, tmp_path: Path, own_runtime_folder: Path
) -> None:
    """By itself, and only by who found it: a URL that was given is taken as it is."""
    host = serve("host.config.py", CONFIG)
    assert sorted(kind for kind, _ in listens_on(host)) == ["AF_INET", "AF_UNIX"]
    echo = Function("echo", JSHost(tmp_path / "host.config.py"))
    assert echo.get_host().get_url() == host.url, "what people are shown is the URL"
    assert echo.call(value=1) == 1
    assert asyncio.run(echo.acall(value=2)) == 2
    transport: Any = echo.get_host()._requester._connected()
    (kept,) = transport._kept.idle
    assert kept._socket.family == socket.AF_UNIX
    (path,) = own_runtime_folder.rglob("*.sock")
    assert path == records.socket_path(str(tmp_path / "host.config.py"), host.pid)
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700, "nobody else's"


def test_a_found_host_without_a_socket_is_called_over_tcp(
    serve: StartHost, tmp_path: Path, own_runtime_folder: Path
) -> None:
    host = serve("host.config.py", CONFIG)
    (path,) = own_runtime_folder.rglob("*.sock")
    path.unlink()
    assert Function("pid", JSHost(tmp_path / "host.config.py")).call() == host.pid


def test_a_runtime_folder_whose_path_is_too_long(
    serve: StartHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The host listens on TCP alone, and is found all the same."""
    long = tmp_path / ("x" * 60) / ("y" * 60)
    long.mkdir(mode=0o700, parents=True)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(long))
    host = serve("host.config.py", CONFIG)
    assert [kind for kind, _ in listens_on(host)] == ["AF_INET"]
    assert Function("pid", JSHost(tmp_path / "host.config.py")).call() == host.pid


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_nothing_is_left_of_a_host_that_stops(
    serve: StartHost, own_runtime_folder: Path, number: int
) -> None:
    host = serve("host.config.py", CONFIG)
    assert len(list(own_runtime_folder.rglob("*.*"))) == 2, "its record, its socket"
    assert host.stop(number) == 0
    assert list(own_runtime_folder.rglob("*.*")) == []


def test_what_a_killed_host_leaves_is_removed_by_who_comes_across_it(
    serve: StartHost, tmp_path: Path, own_runtime_folder: Path
) -> None:
    host = serve("host.config.py", CONFIG)
    workers = [psutil.Process(pid) for pid in host.worker_pids()]
    host.stop(signal.SIGKILL)
    psutil.wait_procs(workers, TIMEOUT_S)
    assert list(own_runtime_folder.rglob("*.sock"))
    with pytest.raises(ConnectionError, match="No running host serves"):
        Function("pid", JSHost(tmp_path / "host.config.py")).call()
    assert list(own_runtime_folder.rglob("*.*")) == []


def test_a_host_that_comes_back_has_another_socket(serve: StartHost, tmp_path: Path) -> None:
    first = serve("host.config.py", CONFIG)
    pid = Function("pid", JSHost(tmp_path / "host.config.py"))
    assert pid.call() == first.pid
    first.stop()
    second = serve("host.config.py")
    assert pid.call() == second.pid
    second.stop(signal.SIGKILL)
    third = serve("host.config.py")
    assert asyncio.run(pid.acall()) == third.pid


# Paths


def test_a_stale_socket_is_replaced(serve: StartHost, folder: Path) -> None:
    path = folder / "host.sock"
    first = serve("host.config.py", CONFIG, "--uds", str(path))
    first.stop(signal.SIGKILL)
    assert path.exists()
    with pytest.raises(ConnectionError, match=f"No host answers at unix://{path}"):
        function(path).call(value=1)
    serve("host.config.py", None, "--uds", str(path))
    assert function(path).call(value=1) == 1


def test_a_socket_in_use_is_left_alone(serve: StartHost, folder: Path, tmp_path: Path) -> None:
    path = folder / "host.sock"
    first = serve("host.config.py", CONFIG, "--uds", str(path))
    done = cli("serve", str(tmp_path / "host.config.py"), "--uds", str(path))
    assert done.returncode != 0
    assert f"{path}: another program listens there" in done.stderr
    assert function(path, "pid").call() == first.pid


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("file", "another program listens there, or it is not a socket"),
        ("folder", "another program listens there, or it is not a socket"),
        ("missing/host.sock", "No such file"),
        ("x" * 110, "the path of a unix socket can have 103 bytes"),
    ],
)
def test_a_path_that_will_not_do(folder: Path, tmp_path: Path, name: str, said: str) -> None:
    (folder / "file").write_text("precious")
    (folder / "folder").mkdir()
    (tmp_path / "host.config.py").write_text(CONFIG)
    done = cli("serve", str(tmp_path / "host.config.py"), "--uds", str(folder / name))
    assert done.returncode != 0
    assert f"{folder / name}: " in done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert (folder / "file").read_text() == "precious"


def test_a_host_that_drains_does_not_take_its_successors_socket_along(
    serve: StartHost, folder: Path
) -> None:
    """As in a restart without a gap: the new host listens while the old one ends its calls."""
    path, go = folder / "host.sock", folder / "go"
    first = serve("host.config.py", CONFIG, "--uds", str(path))
    waiting = threading.Thread(target=lambda: function(path, "wait").call(path=str(go)))
    waiting.start()
    wait_until(
        lambda: any(w["calls"] for w in function(path).get_host().request_status()["workers"]),
        TIMEOUT_S,
        "call in flight",
    )
    first.process.terminate()
    first.wait_for_log("stopping")
    second = serve("host.config.py", None, "--uds", str(path))
    go.touch()
    waiting.join(TIMEOUT_S)
    assert first.process.wait(TIMEOUT_S) == 0
    assert function(path, "pid").call() == second.pid


def test_forked_children_of_a_caller(serve: StartHost, folder: Path) -> None:
    path = folder / "host.sock"
    serve("host.config.py", CONFIG, "--uds", str(path))
    echo = function(path)
    assert echo.call(value="parent") == "parent"
    child = os.fork()
    if child == 0:
        os._exit(0 if [echo.call(value=n) for n in range(20)] == list(range(20)) else 1)
    assert [echo.call(value=n) for n in range(20)] == list(range(20))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
