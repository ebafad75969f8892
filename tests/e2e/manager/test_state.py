"""The manager's state file: stale, lying, unreadable, another version's."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator

import psutil
import pytest
from support import managing
from support.hosts import require, wait_until
from support.managing import Program, User, runs

from jshost import __version__
from jshost.exceptions import ConfigError, ProcessError
from jshost.function import Function
from jshost.host import host

user, here = managing.user, managing.here

COUNT = Function("count")


def _state(**changes: object) -> str:
    state: dict[str, object] = {"port": 9, "token": "t", "pid": 999_999_999, "started_at": 1.0}
    return json.dumps({**state, "version": __version__, **changes})


ALIVE: dict[str, object] = {"pid": os.getpid(), "started_at": psutil.Process().create_time()}
LIES = {
    "stale": _state(),
    "a living process": _state(**ALIVE),
    "a port that is none": _state(**ALIVE, port=70_000),
    "a port below 0": _state(**ALIVE, port=-1),
    "a token that no header can carry": _state(**ALIVE, token="ü\r\nX: y"),
    "a process below 0": _state(pid=-1),
    "a process that no system has": _state(pid=10**30),
    "wrong types": _state(port="9", token=1, pid="x", version=None),
    "a name too few": '{"port": 9}',
    "a list": "[1, 2]",
    "null": "null",
    "cut": '{"port": 1',
    "empty": "",
}


@pytest.mark.parametrize("lie", ["stale", "a living process", "a port that is none", "cut"])
def test_a_state_file_that_lies_is_replaced(here: User, lie: str) -> None:
    here.runtime.mkdir(mode=0o700)
    here.state_file.write_text(LIES[lie])
    assert COUNT.call() == 1
    assert here.state()["pid"] == here.running("jshost_manager")[0].pid


def test_a_state_file_that_names_another_server(here: User) -> None:
    """Its port is another program's now, which never answers."""
    here.runtime.mkdir(mode=0o700)
    with socket.create_server(("127.0.0.1", 0)) as server:
        here.state_file.write_text(_state(**ALIVE, port=server.getsockname()[1]))
        assert COUNT.call() == 1


WITHOUT_ROOTS_EYES = ["setpriv", "--bounding-set", "-dac_override,-dac_read_search"]


def test_a_state_file_that_cannot_be_read(user: User) -> None:
    as_others = []
    if os.getuid() == 0:  # who reads every file
        require("setpriv", "util-linux")
        as_others = WITHOUT_ROOTS_EYES
    user.runtime.mkdir(mode=0o700)
    user.state_file.write_text(_state())
    user.state_file.chmod(0)
    code = f"open({str(user.state_file)!r})"
    assert "PermissionError" in read_error(user.start(*as_others, sys.executable, "-c", code))
    program = user.start(*as_others, sys.executable, "-c", managing.LINES)
    assert program.call("count") == 1


def read_error(program: Program) -> str:
    program.process.communicate(timeout=20)
    return program.said


def test_only_its_own_state_file_is_removed(here: User) -> None:
    COUNT.call()
    foreign = json.dumps({**here.state(), "token": "another's"})
    pid = here.state()["pid"]
    here.state_file.write_text(foreign)
    os.kill(pid, signal.SIGTERM)
    wait_until(lambda: not runs(pid), 10, "end of the manager")
    assert here.state_file.read_text() == foreign
    here.state_file.unlink()


def test_a_state_file_that_lies_is_no_manager_and_is_removed(here: User) -> None:
    here.runtime.mkdir(mode=0o700)
    for lie, text in {**LIES, "no text": b"\xff\xfe{"}.items():
        here.state_file.write_bytes(text.encode() if isinstance(text, str) else text)
        assert not host.manager.is_running(), lie
        assert here.files() == [], lie


def test_ps_removes_a_stale_state_file(here: User) -> None:
    here.runtime.mkdir(mode=0o700)
    here.state_file.write_text(LIES["stale"])
    assert "No manager runs" in here.cli("ps").stdout
    assert here.files() == []


def test_a_state_file_that_is_a_folder_is_named(here: User) -> None:
    here.state_file.mkdir(parents=True)
    with pytest.raises(ProcessError, match=r"manager\.json"):
        COUNT.call()
    assert here.files() == ["manager.json"]
    assert str(here.state_file) in here.cli("doctor").stdout
    here.state_file.rmdir()


def test_a_clock_that_was_set_hides_no_manager(here: User) -> None:
    """Start times come from the clock: when it is set, the file's is another than psutil's."""
    pid = COUNT.call() and here.state()["pid"]
    state = here.state()
    here.state_file.write_text(json.dumps({**state, "started_at": state["started_at"] - 3600}))
    host.disconnect()
    assert COUNT.call() == 2
    assert here.running("jshost_manager")[0].pid == pid


# Another version


def test_another_version_is_named_with_what_to_do(here: User) -> None:
    COUNT.call()
    state = here.state()
    for changes in ({}, {"news": 1}):
        here.state_file.write_text(json.dumps({**state, "version": "9.8.7", **changes}))
        host.disconnect()
        with pytest.raises(ConfigError, match=r"9\.8\.7") as caught:
            COUNT.call()
        assert __version__ in str(caught.value)
        assert "jshost stop --all" in str(caught.value)
    assert here.cli("stop", "--all").returncode == 0
    here.wait_until_gone()


@pytest.fixture
def stranger(here: User) -> Iterator[int]:
    """A process that holds the managers' lock, as another version's manager does; its id."""
    here.runtime.mkdir(mode=0o700)
    code = (
        "import fcntl, os, sys, time\n"
        "fcntl.flock(os.open(sys.argv[1], os.O_RDONLY), fcntl.LOCK_EX)\n"
        "print(flush=True)\n"
        "time.sleep(60)"
    )
    command = [sys.executable, "-c", code, str(here.runtime)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process.pid
        process.kill()


def test_a_version_that_speaks_otherwise_is_named_too(here: User, stranger: int) -> None:
    """Only where it listens, its process and its version are known of it."""
    text = json.dumps({"port": 9, "pid": stranger, "version": "9.8.7", "key": {}})
    here.state_file.write_text(text)
    assert host.manager.is_running()
    with pytest.raises(ConfigError, match=r"9\.8\.7.* jshost stop --all") as caught:
        COUNT.call()
    assert __version__ in str(caught.value)
    for command in ("ps", "doctor"):
        done = here.cli(command)
        assert done.returncode == 1
        assert "9.8.7" in done.stdout + done.stderr
        assert "jshost stop --all" in done.stdout + done.stderr
    assert here.state_file.read_text() == text
    assert here.cli("stop", "--all").returncode == 0
    wait_until(lambda: not runs(stranger), 5, "end of the other version's manager")
    assert COUNT.call() == 1
