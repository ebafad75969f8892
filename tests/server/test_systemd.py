"""What a host hears from systemd and tells it: this test plays systemd, with real sockets."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from jshost.exceptions import ConfigError
from jshost.server.systemd import Systemd


@pytest.fixture
def news(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(str(tmp_path / "notify"))
        receiver.settimeout(5)
        yield receiver


def lines(news: socket.socket) -> list[str]:
    return news.recv(4096).decode().split("\n")


def test_outside_of_systemd_there_is_nothing() -> None:
    systemd = Systemd({})
    systemd.ready("serving")
    systemd.stopping("ending")
    assert systemd.sockets == []


def test_what_happens_is_told(news: socket.socket) -> None:
    environment = {"NOTIFY_SOCKET": news.getsockname(), "PATH": "/bin"}
    systemd = Systemd(environment)
    assert environment == {"PATH": "/bin"}, "workers must not speak for the host"
    systemd.ready("serving 3 functions")
    assert lines(news) == ["READY=1", "STATUS=serving 3 functions"]
    before_us = time.monotonic_ns() // 1000
    systemd.reloading("loading")
    first, when, status = lines(news)
    assert (first, status) == ("RELOADING=1", "STATUS=loading")
    assert before_us <= int(when.removeprefix("MONOTONIC_USEC=")) <= time.monotonic_ns() // 1000
    systemd.stopping("calls in flight end")
    assert lines(news) == ["STOPPING=1", "STATUS=calls in flight end"]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has an abstract namespace")
def test_an_abstract_socket_is_told() -> None:
    name = f"jshost-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(f"\0{name}")
        receiver.settimeout(5)
        Systemd({"NOTIFY_SOCKET": f"@{name}"}).ready("serving")
        assert lines(receiver)[0] == "READY=1"


def test_nobody_listening_is_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    Systemd({"NOTIFY_SOCKET": str(tmp_path / "nobody")}).ready("serving")
    assert "notifying systemd of READY=1 failed: No such file or directory" in caplog.text


def test_the_watchdog_hears_of_the_loop(news: socket.socket) -> None:
    environment = {
        "NOTIFY_SOCKET": news.getsockname(),
        "WATCHDOG_USEC": "40000",
        "WATCHDOG_PID": str(os.getpid()),
    }

    async def beat() -> float:
        systemd = Systemd(environment)
        systemd.ready("serving")
        assert lines(news)[0] == "READY=1"
        began = time.monotonic()
        for _ in range(4):
            assert await asyncio.to_thread(lines, news) == ["WATCHDOG=1"]
        systemd.close()
        return time.monotonic() - began

    assert asyncio.run(beat()) >= 0.06  # four times half of what systemd asks for, or nearly
    assert environment == {}


@pytest.mark.parametrize(
    "of_another",
    [{"WATCHDOG_USEC": "1000", "WATCHDOG_PID": "1"}, {"WATCHDOG_USEC": "soon"}],
)
def test_a_watchdog_of_another_process_hears_nothing(
    of_another: dict[str, str], news: socket.socket
) -> None:
    async def beat() -> None:
        Systemd({**of_another, "NOTIFY_SOCKET": news.getsockname()}).ready("serving")
        assert lines(news)[0] == "READY=1"
        await asyncio.sleep(0.01)

    asyncio.run(beat())
    news.setblocking(False)
    with pytest.raises(BlockingIOError):
        news.recv(100)


def test_sockets_for_another_process_are_not_taken() -> None:
    environment = {"LISTEN_PID": "1", "LISTEN_FDS": "1", "LISTEN_FDNAMES": "web"}
    assert Systemd(environment).sockets == []
    assert environment == {}


HANDED = """
import os, sys
os.environ["LISTEN_PID"] = str(os.getpid())
from jshost.server.systemd import Systemd
try:
    for listener in Systemd(os.environ).sockets:
        print(listener.getsockname(), listener.getblocking(), listener.get_inheritable())
except Exception as error:
    print(type(error).__name__, error)
print(sorted(name for name in os.environ if name.startswith("LISTEN_")))
"""


def handed(*sockets: socket.socket) -> list[str]:
    """What a process says that begins with these sockets as its descriptors from 3 on."""
    numbers = [each.fileno() for each in sockets]
    shell = "exec 0</dev/null " + " ".join(
        f"{3 + place}<&{number}" for place, number in enumerate(numbers)
    )
    command = f'{shell}; exec "$0" -c "$1"'
    environment = {**os.environ, "LISTEN_FDS": str(len(sockets)), "LISTEN_FDNAMES": "a"}
    done = subprocess.run(
        ["bash", "-c", command, sys.executable, HANDED],
        pass_fds=numbers, env=environment, capture_output=True, text=True, timeout=20, check=True,
    )  # fmt: skip
    return done.stdout.splitlines()


@pytest.mark.real
def test_sockets_are_taken_over(tmp_path: Path) -> None:
    with socket.socket() as tcp, socket.socket(socket.AF_UNIX) as unix:
        tcp.bind(("127.0.0.1", 0))
        unix.bind(str(tmp_path / "host.sock"))
        for each in (tcp, unix):
            each.listen()
        assert handed(tcp, unix) == [
            f"{tcp.getsockname()} False False",
            f"{tmp_path}/host.sock False False",
            "[]",
        ]


@pytest.mark.real
def test_a_socket_that_does_not_listen_is_refused() -> None:
    with socket.socket() as idle:
        text = handed(idle)[0]
    assert text.startswith(f"{ConfigError.__name__} systemd passed the descriptor 3, which is no")
    assert "ListenStream=" in text
