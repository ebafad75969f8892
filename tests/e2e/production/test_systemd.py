"""The units of example/production/systemd, and what a host and systemd say to each other.

systemd does not run as process 1 everywhere that tests do: its own tools check the units and hand
over the sockets, and this test listens in its place.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from support.hosts import STOP_TIMEOUT_S, require, wait_until
from support.production import BIN, FILES, Site, filled, free_ports, site_in

UNITS = FILES / "systemd"
PORT = 9009


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with site_in(tmp_path) as site:
        yield site


@pytest.fixture
def news(tmp_path: Path) -> Iterator[socket.socket]:
    """Where systemd would hear what its services say."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(str(tmp_path / "notify"))
        receiver.settimeout(20)
        yield receiver


def next_news(news: socket.socket) -> str:
    """The first line of what is said next, but for the watchdog's pulse."""
    while (said := news.recv(4096).decode().split("\n")[0]) == "WATCHDOG=1":
        pass
    return said


def command(site: Site, *flags: str) -> list[str]:
    """The unit's ExecStart."""
    places = {
        "/srv/app/.venv/bin/jshost": str(BIN / "jshost"),
        "/srv/app/host.config.js": str(site.app / "host.config.js"),
    }
    text = filled("systemd/jshost@.service", places)
    start = re.search(r"^ExecStart=(.+)$", text, re.MULTILINE)
    assert start is not None
    return [*start[1].split(), *flags]


def test_systemd_finds_no_fault_with_the_units(tmp_path: Path) -> None:
    analyze = require("systemd-analyze", "systemd")
    places = {"/srv/app/.venv/bin/jshost": str(BIN / "jshost")}
    unit = tmp_path / f"jshost@{PORT}.service"
    unit.write_text(filled("systemd/jshost@.service", places))
    listener = tmp_path / f"jshost@{PORT}.socket"
    listener.write_text((UNITS / "jshost@.socket").read_text())
    done = subprocess.run(
        [analyze, "verify", "--man=no", unit, listener],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (done.stdout, done.stderr, done.returncode) == ("", "", 0)


def test_a_host_tells_systemd_what_it_does(site: Site, news: socket.socket) -> None:
    """Type=notify, with a watchdog."""
    site.run(
        *command(site, "--port", str(site.ports[0]), "--shutdown-delay", "0"),
        NOTIFY_SOCKET=news.getsockname(),
        WATCHDOG_USEC="200000",
    )
    assert news.recv(4096).decode().split("\n") == [
        "READY=1",
        f"STATUS=serving {len(site.host(site.ports[0]).get_config()['functions'])} functions on "
        f"http://127.0.0.1:{site.ports[0]}",
    ]
    for _ in range(3):
        assert news.recv(4096) == b"WATCHDOG=1"
    site.close()
    assert next_news(news) == "STOPPING=1"


def test_a_host_that_does_not_load_never_says_that_it_is_ready(
    site: Site, news: socket.socket
) -> None:
    (site.app / "host.config.js").write_text("throw new Error('broken');")
    host = site.run(*command(site), NOTIFY_SOCKET=news.getsockname())
    assert host.wait(STOP_TIMEOUT_S) == 1
    news.setblocking(False)
    with pytest.raises(BlockingIOError):
        news.recv(100)


def test_systemd_hands_over_its_socket(site: Site) -> None:
    """By systemd's own tool, which starts the host at the first connection."""
    activate = require("systemd-socket-activate", "systemd")
    (port,) = free_ports(1)
    site.run(
        activate,
        *("-l", f"127.0.0.1:{port}", "-E", "XDG_RUNTIME_DIR", "-E", "PATH", "-E", "HOME"),
        *command(site, "--shutdown-delay", "0"),
    )
    hello = site.function(port, "hello_world", timeout=20)
    wait_until(lambda: _connects(port), 5, "socket")
    assert hello.call(name="systemd") == "Hello, systemd!"
    assert site.host(port).get_config()["port"] == port, "and not the config's"


def _connects(port: int) -> bool:
    with socket.socket() as caller:
        return caller.connect_ex(("127.0.0.1", port)) == 0


def wait_for_calls(site: Site) -> None:
    before = len(site.ran())
    wait_until(lambda: len(site.ran()) > before + 20, 20, "calls")


def test_a_restart_under_a_socket_of_systemd_loses_no_call(site: Site) -> None:
    """One host alone: who connects meanwhile waits for the next one."""
    (port,) = free_ports(1)
    over = False
    with socket.socket() as listener, ThreadPoolExecutor(8) as threads:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        listener.listen(2048)

        def start() -> subprocess.Popen[bytes]:
            shell = 'exec 3<&"$0"; export LISTEN_PID=$$; exec "$@"'
            return subprocess.Popen(
                ["bash", "-c", shell, str(listener.fileno()), *command(site)],
                pass_fds=[listener.fileno()],
                env={**os.environ, "LISTEN_FDS": "1"},
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )

        def call(caller: int) -> list[str]:
            calls = 0
            while not over:
                calls += 1
                name = f"{caller}-{calls}"
                work = site.function(port, "work", timeout=20)  # a connection of its own
                assert work.call(call=name) == name
            return [f"{caller}-{number}" for number in range(1, calls + 1)]

        host = start()
        callers = [threads.submit(call, number) for number in range(8)]
        try:
            wait_for_calls(site)
            host.send_signal(signal.SIGTERM)
            assert host.wait(STOP_TIMEOUT_S) == 0
            host = start()
            wait_for_calls(site)
        finally:
            over = True
            called = [name for caller in callers for name in caller.result(60)]
            host.send_signal(signal.SIGTERM)
            assert host.wait(STOP_TIMEOUT_S) == 0
    assert sorted(site.ran()) == sorted(called)
